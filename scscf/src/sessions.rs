//! Procedure: requests other than REGISTER: terminating ones to registered contacts, and those within
//! dialogs (TS 24.229 5.4.3.3). Originating services and filter criteria are not built yet.

use ims_common::identity::Impu;
use ims_common::proxy::{NextHop, NextHopTarget, route};
use ims_common::sip::{HeaderName, Method, NameAddr, Request, Response, Scheme, StatusCode, Uri, UriBuf};

use crate::context::Context;
use crate::registrar::Binding;
use crate::reject::RequestReject;
use crate::service_route;
use crate::spelling::with_or_without_plus;

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum SessionStep {
    /// Answer it here.
    Answer(Response),
    /// Carry it on, to one target per contact.
    Relay(Request, Vec<NextHopTarget>),
}

/// Methods that this server answers itself or passes on.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, SUBSCRIBE, \
                     NOTIFY, PUBLISH, REFER";

/// TS 24.229 5.4.3.1: originating by the Route, else terminating by the Request-URI.
pub(crate) fn on_request(ctx: &mut Context<'_>, request: &Request) -> Result<SessionStep, RequestReject> {
    let routed = route::preprocess(request, |uri| is_own(ctx, uri));
    let own = routed.own.as_ref().map(UriBuf::as_uri);
    if let Some(token) = own.as_ref().and_then(service_route::token_of) {
        return match ctx.registrar.by_service_route(token) {
            Some(_) => Err(RequestReject::OriginatingNotSupported),
            None => Err(RequestReject::UnknownServiceRoute),
        };
    }
    let uri = routed
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let has_more_routes = route::top_route(&routed.request).is_some();
    let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
    if has_more_routes || in_dialog {
        let hop = next_hop(ctx, &routed.request).ok_or(RequestReject::NoSuchDialog)?;
        let target = NextHopTarget::unchanged(hop);
        return Ok(SessionStep::Relay(routed.request, vec![target]));
    }
    if is_own(ctx, &uri) {
        return to_server(ctx, request);
    }
    let targets = to_contacts(ctx, &uri)?;
    // TS 24.229 5.4.3.3: P-Called-Party-ID = who was called.
    let called = format!("<{}>", String::from_utf8_lossy(uri.as_bytes()));
    let request = routed
        .request
        .edit()
        .set(HeaderName::PCalledPartyId, called)
        .finish_request();
    Ok(SessionStep::Relay(request, targets))
}

/// Where an ACK to a 2xx goes on; `None` when it leads nowhere but here.
pub(crate) fn on_ack(ctx: &Context<'_>, request: &Request) -> Option<(Request, NextHop)> {
    let routed = route::preprocess(request, |uri| is_own(ctx, uri));
    let hop = next_hop(ctx, &routed.request)?;
    Some((routed.request, hop))
}

/// The top Route, else the Request-URI, unless that is this server itself.
fn next_hop(ctx: &Context<'_>, request: &Request) -> Option<NextHop> {
    let hop = route::next_hop(request).filter(|hop| !is_own(ctx, &hop.as_uri()))?;
    Some(NextHop::Uri(hop))
}

/// Whether a URI names this server: by its name or by its address.
fn is_own(ctx: &Context<'_>, uri: &Uri<'_>) -> bool {
    let name = ctx.settings.server_name.as_uri();
    let port_of = |uri: &Uri<'_>| uri.port().unwrap_or(ims_common::config::SIP_PORT);
    let by_name = uri.host() == name.host() && port_of(uri) == port_of(&name);
    let address = ctx.settings.address;
    let by_address = uri.host().ip() == Some(address.ip()) && port_of(uri) == address.port();
    by_name || by_address
}

/// RFC 3261 11: OPTIONS asks for capabilities; nothing else is meant for the server itself.
fn to_server(ctx: &mut Context<'_>, request: &Request) -> Result<SessionStep, RequestReject> {
    if request.method() != Method::Options {
        return Err(RequestReject::NotRegistered);
    }
    let tag = ctx.fresh_token();
    let reply = request
        .reply(StatusCode::OK)
        .to_tag(&tag)
        .header(HeaderName::Allow, ALLOW)
        .header(HeaderName::Supported, "path");
    Ok(SessionStep::Answer(reply.finish()))
}

/// TS 24.229 5.4.3.3: Request-URI = contact, Route = Path (RFC 3327 5.3), for each contact of the identity
/// over all its private identities.
fn to_contacts(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<Vec<NextHopTarget>, RequestReject> {
    if !matches!(uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(RequestReject::UnsupportedScheme);
    }
    let impu =
        Impu::from_bytes(uri.as_bytes()).map_err(|_| RequestReject::Malformed("Request-URI identity"))?;
    let (set, impu) = with_or_without_plus(impu)
        .find_map(|impu| Some((ctx.registrar.set_of(&impu)?, impu)))
        .ok_or(RequestReject::NotRegistered)?;
    if set.is_barred(&impu) {
        return Err(RequestReject::Barred);
    }
    Ok(set.bindings().iter().map(target_of).collect())
}

fn target_of(binding: &Binding) -> NextHopTarget {
    let contact = binding.contact.uri();
    let first = binding
        .path
        .first()
        .and_then(|path| NameAddr::parse(path.as_bytes()).ok());
    let hop = first.map_or_else(|| contact.clone(), |path| UriBuf::from(path.uri));
    NextHopTarget {
        request_uri: Some(contact.clone()),
        route: binding.path.iter().map(|path| path.to_string()).collect(),
        hop: NextHop::Uri(hop),
    }
}
