//! Procedure: requests to users of this server (TS 24.229 5.4.3.3).

use hss_client::user_data::SessionCase;
use ims_common::identity::Impu;
use ims_common::sip::{Request, Scheme, Uri};

use super::charging::Boundary;
use super::{Await, Downstream, ServedUser, Session, Step, targets};
use crate::context::Context;
use crate::registrar::SetId;
use crate::reject::RequestReject;
use crate::spelling::with_or_without_plus;

/// By the Request-URI.
pub(super) fn start(
    ctx: &mut Context<'_>,
    received: &Request,
    request: &Request,
) -> Result<Step, RequestReject> {
    let uri = request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let spellings = spellings(ctx, &uri)?;
    let (set, impu) = registered(ctx, &spellings).ok_or(RequestReject::NotRegistered)?;
    if ctx.registrar.set(set).is_some_and(|set| set.is_barred(&impu)) {
        return Err(RequestReject::Barred);
    }
    let session = Box::new(Session {
        received: received.clone(),
        request: request.clone(),
        served: ServedUser {
            impu,
            case: SessionCase::TerminatingRegistered,
            set: Some(set),
        },
        upstream: Boundary::Home,
        downstream: Downstream::Contact,
        awaits: Await::Answer,
    });
    targets::alert(ctx, session)
}

/// Which identities a Request-URI may mean, the likeliest first: as a SIP URI and as a number, with and without what
/// HSSs leave out of numbers (TS 24.229 5.4.3.3: compared after canonicalisation).
pub(super) fn spellings(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<Vec<Impu>, RequestReject> {
    if !matches!(uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(RequestReject::UnsupportedScheme);
    }
    let impu =
        Impu::from_bytes(uri.as_bytes()).map_err(|_| RequestReject::Malformed("Request-URI identity"))?;
    let home_realm = ctx.settings.home_realm.as_str();
    let number = uri.tel_number().or_else(|| {
        let user = impu.user()?;
        let digits = user.strip_prefix('+')?;
        let is_number = impu.host() == Some(home_realm) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| user.to_owned())
    });
    let others = number
        .into_iter()
        .filter(|number| number.starts_with('+'))
        .flat_map(|number| [format!("tel:{number}"), format!("sip:{number}@{home_realm}")]);
    let others: Vec<Impu> = others.filter_map(|text| Impu::parse(&text).ok()).collect();
    let mut all: Vec<Impu> = Vec::new();
    for spelling in std::iter::once(impu).chain(others).flat_map(with_or_without_plus) {
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    Ok(all)
}

/// The first of the spellings that somebody is registered with.
fn registered(ctx: &Context<'_>, spellings: &[Impu]) -> Option<(SetId, Impu)> {
    spellings
        .iter()
        .find_map(|impu| Some((ctx.registrar.set_of(impu)?.id, impu.clone())))
}
