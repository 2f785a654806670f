//! Procedure: requests to users of this server (TS 24.229 5.4.3.3).

use std::sync::Arc;

use hss_client::user_data::SessionCase;
use ims_common::identity::Impu;
use ims_common::sip::{Scheme, Uri};

use super::chain::{self, Chain};
use super::charging::Boundary;
use super::{Arrival, ServedUser, Session, Step, authorisation, unregistered};
use crate::context::Context;
use crate::registrar::{Services, SetId};
use crate::reject::RequestReject;
use crate::spelling::with_or_without_plus;

/// By the Request-URI.
pub(super) fn start(ctx: &mut Context<'_>, arrival: Arrival<'_>) -> Result<Step, RequestReject> {
    let uri = arrival
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let spellings = spellings(ctx, &uri)?;
    let served = served_user(ctx, &spellings)?;
    let services = services_of(ctx, &served);
    let chain = Chain::begin(served, services, &arrival.request);
    let session = arrival.charged(ctx, chain, Boundary::Home);
    match session.chain.served.set {
        Some(_) => serve(ctx, session),
        None => unregistered::serve(ctx, session),
    }
}

/// Whether a user who was not registered has become so meanwhile.
pub(super) fn is_registered_now(ctx: &Context<'_>, session: &Session) -> bool {
    let uri = session.request.request_uri().ok();
    let spellings = uri.and_then(|uri| spellings(ctx, &uri).ok());
    spellings.is_some_and(|spellings| registered(ctx, &spellings).is_some())
}

/// The request once more, as if it had just come.
pub(super) fn begin_again(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let uri = session
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let served = served_user(ctx, &spellings(ctx, &uri)?)?;
    let services = services_of(ctx, &served);
    ctx.sessions.records.serve(session.record(), &served.for_record());
    session.chain = Chain {
        record: session.record(),
        ..Chain::begin(served, services, &session.request)
    };
    serve(ctx, session)
}

fn serve(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    match authorisation::check(ctx, &mut session)? {
        Some(answer) => Ok(answer),
        None => chain::advance(ctx, session),
    }
}

/// Whoever is registered with one of the spellings; else the likeliest.
fn served_user(ctx: &Context<'_>, spellings: &[Impu]) -> Result<ServedUser, RequestReject> {
    if let Some((set, impu)) = registered(ctx, spellings) {
        if ctx.registrar.set(set).is_some_and(|set| set.is_barred(&impu)) {
            return Err(RequestReject::Barred);
        }
        return Ok(ServedUser {
            impu,
            case: SessionCase::TerminatingRegistered,
            set: Some(set),
        });
    }
    let impu = spellings.first().ok_or(RequestReject::UnknownUser)?;
    Ok(ServedUser {
        impu: impu.clone(),
        case: SessionCase::TerminatingUnregistered,
        set: None,
    })
}

/// The services of a registered user, as they are now.
pub(super) fn services_of(ctx: &Context<'_>, served: &ServedUser) -> Option<Arc<Services>> {
    let set = ctx.registrar.set(served.set?)?;
    set.services_of(&served.impu).cloned()
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
pub(super) fn registered(ctx: &Context<'_>, spellings: &[Impu]) -> Option<(SetId, Impu)> {
    spellings
        .iter()
        .find_map(|impu| Some((ctx.registrar.set_of(impu)?.id, impu.clone())))
}
