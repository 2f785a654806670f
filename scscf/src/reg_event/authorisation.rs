//! Engine: who may watch the registration of a user (TS 24.229 5.4.2.1.1).

use std::net::IpAddr;

use ims_common::identity::Impu;
use ims_common::proxy::route;
use ims_common::sip::{HeaderName, NameAddr, Request, Uri, UriBuf};

use super::subscriptions::Subscriber;
use crate::context::Context;
use crate::registrar::{BindingId, ImplicitRegistrationSet};
use crate::reject::SubscribeReject;
use crate::service_route;
use crate::spelling::with_or_without_plus;

/// Says who subscribes, by P-Asserted-Identity: the user with an identity of the set that is not barred, the P-CSCF by
/// a URI of the host in the Path, an application server of the user's filter criteria, or a trusted host.
pub(super) fn subscriber(
    ctx: &Context<'_>,
    set: &ImplicitRegistrationSet,
    request: &Request,
    contact: &UriBuf,
    source: IpAddr,
) -> Result<Subscriber, SubscribeReject> {
    let asserted = request
        .name_addrs(HeaderName::PAssertedIdentity)
        .map_err(|_| SubscribeReject::Malformed("P-Asserted-Identity"))?;
    let judged = asserted.iter().find_map(|value| judge(ctx, set, &value.uri));
    if let Some(Judged::User) = judged {
        return Ok(Subscriber::Ue(binding_of(set, request, contact)));
    }
    match judged {
        Some(Judged::Pcscf(host)) => Ok(Subscriber::Pcscf(host)),
        Some(Judged::Server | Judged::User) => Ok(Subscriber::Server),
        // An application server of the operator may assert nothing; a request of a UE always has an assertion.
        None if asserted.is_empty() && trusts(ctx, &source.to_string()) => Ok(Subscriber::Server),
        None => Err(SubscribeReject::Forbidden),
    }
}

enum Judged {
    User,
    Pcscf(Box<str>),
    Server,
}

fn judge(ctx: &Context<'_>, set: &ImplicitRegistrationSet, asserted: &Uri<'_>) -> Option<Judged> {
    if is_user(set, asserted) {
        return Some(Judged::User);
    }
    if !asserted.is_sip() {
        return None;
    }
    let host = asserted.host().to_string();
    // Users have identities there: none of them is a server.
    if host.eq_ignore_ascii_case(&ctx.settings.home_realm) {
        return serves(set, asserted, Match::UserAndHost).then_some(Judged::Server);
    }
    if is_in_path(set, &host) {
        return Some(Judged::Pcscf(host.into()));
    }
    (serves(set, asserted, Match::Host) || trusts(ctx, &host)).then_some(Judged::Server)
}

fn is_user(set: &ImplicitRegistrationSet, asserted: &Uri<'_>) -> bool {
    let Ok(impu) = Impu::from_bytes(asserted.as_bytes()) else {
        return false;
    };
    with_or_without_plus(impu).any(|impu| set.members().any(|m| m.impu == impu && !m.barred))
}

/// Whether a host is in the Path of a contact of the set.
pub(super) fn is_in_path(set: &ImplicitRegistrationSet, host: &str) -> bool {
    let paths = set.bindings().iter().flat_map(|binding| &binding.path);
    paths
        .filter_map(|path| NameAddr::parse(path.as_bytes()).ok())
        .any(|path| path.uri.host().to_string().eq_ignore_ascii_case(host))
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Match {
    Host,
    UserAndHost,
}

/// Whether a URI is that of an application server of the set's filter criteria.
fn serves(set: &ImplicitRegistrationSet, asserted: &Uri<'_>, how: Match) -> bool {
    set.application_servers().any(|name| {
        let Ok(name) = Uri::parse(name.as_bytes()) else {
            return false;
        };
        name.host() == asserted.host()
            && (how == Match::Host || (name.user().is_some() && name.user() == asserted.user()))
    })
}

fn trusts(ctx: &Context<'_>, host: &str) -> bool {
    let mut trusted = ctx.settings.reg_event.trusted.iter();
    trusted.any(|trusted| trusted.eq_ignore_ascii_case(host))
}

/// From which contact the user subscribes: by the Service-Route, else by the address. `None` when neither tells.
fn binding_of(set: &ImplicitRegistrationSet, request: &Request, contact: &UriBuf) -> Option<BindingId> {
    let top = route::top_route(request);
    let top = top.as_ref().map(UriBuf::as_uri);
    let token = top.as_ref().and_then(service_route::token_of);
    let by_token = |token: &str| set.bindings().iter().find(|b| *b.service_route == *token);
    let by_address = || {
        let is_same = |uri: &UriBuf| uri.as_uri().equivalent(&contact.as_uri());
        set.bindings().iter().find(|b| is_same(b.contact.uri()))
    };
    token.and_then(by_token).or_else(by_address).map(|b| b.id)
}
