//! Procedure: requests within dialogs, ACKs to 2xx, and requests to this server itself (RFC 3261 12.2, 16.4).

use ims_common::proxy::{NextHop, route};
use ims_common::sip::{HeaderName, Method, Request, StatusCode, UriBuf};

use super::{Step, is_own};
use crate::context::Context;
use crate::reject::RequestReject;
use crate::service_route;

/// Methods that this server answers itself or passes on.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, SUBSCRIBE, \
                     NOTIFY, PUBLISH, REFER";

/// By the rest of the Route, else by the Request-URI.
pub(super) fn on_request(ctx: &Context<'_>, received: &Request) -> Result<Step, RequestReject> {
    let (request, own) = without_own_routes(ctx, received);
    if own
        .first()
        .is_some_and(|own| service_route::token_of(&own.as_uri()).is_some())
        && may_be_initial(&request.method())
    {
        // A tag in To is easily written: it must not be the way round barring and filter criteria.
        return Err(RequestReject::NoSuchDialog);
    }
    let hop = next_hop(ctx, &request).ok_or(RequestReject::NoSuchDialog)?;
    if !refreshes_targets(&request.method()) {
        return Ok(Step::Follow(request, hop));
    }
    // TS 24.229 5.4.3.2, 5.4.3.3: a target refresh request is Record-Routed again.
    let mut edit = request.edit();
    for own in &own {
        edit = edit.push_front(HeaderName::RecordRoute, format!("<{own}>"));
    }
    Ok(Step::Follow(edit.finish_request(), hop))
}

/// Where an ACK to a 2xx goes on; `None` when it leads nowhere but here.
pub(crate) fn on_ack(ctx: &Context<'_>, request: &Request) -> Option<(Request, NextHop)> {
    let (request, _) = without_own_routes(ctx, request);
    let hop = next_hop(ctx, &request)?;
    Some((request, hop))
}

/// One after the other: a call between two users of ours has been here for each of them, and to go through the
/// network to ourselves would bring nothing.
pub(crate) fn without_own_routes(ctx: &Context<'_>, request: &Request) -> (Request, Vec<UriBuf>) {
    let mut request = request.clone();
    let mut own = Vec::new();
    loop {
        let routed = route::preprocess(&request, |uri| is_own(ctx, uri));
        let Some(uri) = routed.own else {
            return (request, own);
        };
        own.push(uri);
        request = routed.request;
    }
}

/// Methods that need no dialog. Those of a dialog come by its Record-Route, never by a Service-Route.
fn may_be_initial(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite
            | Method::Subscribe
            | Method::Refer
            | Method::Message
            | Method::Options
            | Method::Publish
    )
}

/// RFC 3261 12.2, RFC 3311, RFC 6665.
fn refreshes_targets(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe)
}

/// The top Route, else the Request-URI, unless that is this server itself.
fn next_hop(ctx: &Context<'_>, request: &Request) -> Option<NextHop> {
    let hop = route::next_hop(request).filter(|hop| !is_own(ctx, &hop.as_uri()))?;
    Some(NextHop::Uri(hop))
}

/// RFC 3261 11: OPTIONS asks for capabilities; nothing else is meant for the server itself.
pub(super) fn to_server(ctx: &mut Context<'_>, request: &Request) -> Result<Step, RequestReject> {
    if request.method() != Method::Options {
        return Err(RequestReject::UnknownUser);
    }
    let tag = ctx.fresh_token();
    let reply = request
        .reply(StatusCode::OK)
        .to_tag(&tag)
        .header(HeaderName::Allow, ALLOW)
        .header(HeaderName::Supported, "path");
    Ok(Step::Answer(reply.finish()))
}
