//! Procedure: requests that a UE sends, or an application server for a user (TS 24.229 5.4.3.2).

use hss_client::user_data::{ServiceProfile, SessionCase};
use ims_common::identity::Impu;
use ims_common::sip::{Edit, HeaderName, Request, StatusCode};

use super::chain::{self, Chain};
use super::charging::Boundary;
use super::{Arrival, ServedUser, Step, identity, served_user, terminating, unregistered};
use crate::context::Context;
use crate::registrar::ImplicitRegistrationSet;
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
    arrival.request = with_what_the_profile_says(set, &served, &arrival.request);
    let services = set.services_of(&served.impu).cloned();
    let chain = Chain::begin(served, services, &arrival.request);
    let session = arrival.session(chain, Boundary::Visited);
    chain::advance(ctx, session)
}

/// By `orig` in our Route: an application server speaks for a user, registered or not (TS 24.229 5.4.3.2, 5.7.3).
pub(super) fn from_app_server(ctx: &mut Context<'_>, arrival: Arrival<'_>) -> Result<Step, RequestReject> {
    if !ctx.settings.isc.trusted.contains(arrival.flow.remote.ip()) {
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
    let session = arrival.session(chain, Boundary::Isc);
    match set {
        Some(_) => chain::advance(ctx, session),
        None => unregistered::serve(ctx, session),
    }
}

/// The alias identity (TS 24.229 5.4.3.2 step 6), and P-Asserted-Service instead of P-Preferred-Service (RFC 6050).
fn with_what_the_profile_says(
    set: &ImplicitRegistrationSet,
    served: &ServedUser,
    request: &Request,
) -> Request {
    let mut edit = request.edit();
    if let Some(alias) = identity::missing_alias(request, |_| set.alias_of(&served.impu)) {
        edit = edit.append(HeaderName::PAssertedIdentity, alias);
    }
    if request.header(HeaderName::PPreferredService).is_some()
        || request.header(HeaderName::PAssertedService).is_some()
    {
        edit = assert_service(
            edit,
            request,
            set.services_of(&served.impu).map(|services| &*services.profile),
        );
    }
    edit.finish_request()
}

/// RFC 6050 4: the preferred service where the user may have it; a profile that lists none allows all (TS 24.229
/// 5.4.3.2). One that the user may not have is only not asserted: filter criteria decide what becomes of the request.
fn assert_service<'a>(edit: Edit<'a>, request: &Request, services: Option<&ServiceProfile>) -> Edit<'a> {
    let allowed = services.map_or(&[][..], |services| &services.service_ids);
    let preferred = request
        .values(HeaderName::PPreferredService)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .find(|service| allowed.is_empty() || allowed.iter().any(|id| id.eq_ignore_ascii_case(service)));
    let edit = edit
        .remove(HeaderName::PPreferredService)
        .remove(HeaderName::PAssertedService);
    match preferred {
        Some(service) => edit.append(HeaderName::PAssertedService, service),
        None => edit,
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
