//! Procedure: requests that a UE sends, or an application server for a user (TS 24.229 5.4.3.2).

use hss_client::user_data::SessionCase;
use ims_common::identity::Impu;
use ims_common::sip::{HeaderName, Request, StatusCode};

use super::chain::{self, Chain};
use super::charging::Boundary;
use super::{Arrival, ServedUser, Step, authorisation, identity, served_user, terminating, unregistered};
use crate::context::Context;
use crate::reject::RequestReject;
use crate::spelling::with_or_without_plus;

/// TS 24.229 7.6: what makes a UE register anew that this server has forgotten.
const RESTORATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ims-3gpp version=\"1\"><alternative-service>\
    <type>restoration</type><reason>registration unknown</reason><action>initial-registration</action>\
    </alternative-service></ims-3gpp>";

/// By the Service-Route of a contact, to which `token` belongs.
pub(super) fn from_ue(
    ctx: &mut Context<'_>,
    token: &str,
    mut arrival: Arrival<'_>,
) -> Result<Step, RequestReject> {
    let Some((set, _)) = ctx.registrar.by_service_route(token) else {
        return Ok(restoration(ctx, token, arrival.received));
    };
    let served = ServedUser {
        impu: served_user::of_ue(set, &arrival.request)?,
        case: SessionCase::OriginatingRegistered,
        set: Some(set.id),
    };
    // TS 24.229 5.4.3.2 step 6.
    if let Some(alias) = identity::missing_alias(&arrival.request, |_| set.alias_of(&served.impu)) {
        let edit = arrival.request.edit();
        arrival.request = edit.append(HeaderName::PAssertedIdentity, alias).finish_request();
    }
    let services = set.services_of(&served.impu).cloned();
    let chain = Chain::begin(served, services, &arrival.request);
    let mut session = arrival.charged(ctx, chain, Boundary::Visited);
    match authorisation::check(ctx, &mut session)? {
        Some(answer) => Ok(answer),
        None => chain::advance(ctx, session),
    }
}

/// By `orig` in our Route: an application server speaks for a user, registered or not (TS 24.229 5.4.3.2, 5.7.3).
pub(super) fn from_app_server(ctx: &mut Context<'_>, arrival: Arrival<'_>) -> Result<Step, RequestReject> {
    let from = arrival.flow.remote.ip();
    // What comes from an I-CSCF has been asked there whom it trusts (TS 24.229 5.3.2.1A).
    let is_of_icscf = ctx.settings.icscf.as_uri().host().ip() == Some(from);
    if !is_of_icscf && !ctx.settings.isc.trusted.contains(from) {
        return Err(RequestReject::Untrusted);
    }
    let named = served_user::of_app_server(&arrival.request)?;
    let spellings: Vec<Impu> = with_or_without_plus(named.impu.clone()).collect();
    let registered = terminating::registered(ctx, &spellings);
    let case = match (&registered, named.diverts) {
        (_, true) => SessionCase::OriginatingCdiv,
        (Some(_), false) => SessionCase::OriginatingRegistered,
        (None, false) => SessionCase::OriginatingUnregistered,
    };
    let (set, impu) = match registered {
        Some((set, impu)) => (Some(set), impu),
        None => (None, named.impu),
    };
    if set
        .and_then(|id| ctx.registrar.set(id))
        .is_some_and(|set| set.is_barred(&impu))
    {
        return Err(RequestReject::NotServed("barred identity"));
    }
    let served = ServedUser { impu, case, set };
    let services = terminating::services_of(ctx, &served);
    let chain = Chain::begin(served, services, &arrival.request);
    let session = arrival.charged(ctx, chain, Boundary::Isc);
    match set {
        Some(_) => chain::advance(ctx, session),
        None => unregistered::serve(ctx, session),
    }
}

/// TS 24.229 5.4.3.2, 5.1.2A.1.6: the UE believes it when P-Asserted-Identity is an entry of its Service-Route.
fn restoration(ctx: &mut Context<'_>, token: &str, received: &Request) -> Step {
    let tag = ctx.fresh_token();
    let response = received
        .reply(StatusCode::SERVER_TIMEOUT)
        .to_tag(&tag)
        .header(HeaderName::PAssertedIdentity, ctx.service_route.value(token))
        .body("application/3gpp-ims+xml", RESTORATION)
        .finish();
    Step::Answer(response)
}
