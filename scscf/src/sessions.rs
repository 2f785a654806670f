//! Procedure: requests other than REGISTER: which of the procedures below one belongs to (TS 24.229 5.4.3.1).
//!
//! Read first: TS 24.229 5.4.3, TS 23.218 5.2 and 6.4, RFC 3261 16, RFC 5502, RFC 8498.
//!
//! A request within a dialog follows its route and is not looked at again. Any other becomes a [`Session`]: it is
//! served for somebody, and its answers come back here ([`answers`]).
//!
//! * `originating`: for whom a request is served that a UE or an AS sends; `served_user`: who that is
//! * `terminating`: who is called; `targets`: the contacts that a call goes to
//! * `onward`: where a request goes that is not for a contact of ours
//! * `dialog`: requests within dialogs, and requests to this server itself
//! * `charging`: P-Charging-Vector at each boundary; `identity`: alias identities

mod answers;
mod charging;
mod dialog;
mod identity;
mod onward;
mod originating;
mod served_user;
mod targets;
mod terminating;

use hss_client::cx::CxRequest;
use hss_client::user_data::SessionCase;
use ims_common::identity::Impu;
use ims_common::net::Flow;
use ims_common::proxy::{ForkPlan, NextHop, route};
use ims_common::sip::{HeaderName, Method, Request, Response, Uri, UriBuf};

pub(crate) use self::answers::{Reaction, on_answer};
pub(crate) use self::dialog::on_ack;
use crate::context::Context;
use crate::registrar::SetId;
use crate::reject::RequestReject;
use crate::service_route;

/// One request on its way through this server.
#[derive(Debug)]
pub(crate) struct Session {
    /// As it came.
    pub(crate) received: Request,
    /// As it goes on, without what was meant for us.
    pub(crate) request: Request,
    /// Whose services it gets.
    pub(crate) served: ServedUser,
    /// Who sent it.
    upstream: charging::Boundary,
    /// Who got it last.
    downstream: Downstream,
    /// What its next event means.
    pub(crate) awaits: Await,
}

/// Whose services a request gets, and why.
#[derive(Clone, Debug)]
pub(crate) struct ServedUser {
    pub(crate) impu: Impu,
    #[allow(dead_code, reason = "for application servers")]
    pub(crate) case: SessionCase,
    /// `None`: not registered.
    pub(crate) set: Option<SetId>,
}

/// Whose answers come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Downstream {
    /// A UE of ours, behind its P-CSCF.
    Contact,
    /// A server of the trust domain.
    Trusted,
    /// A server outside of it.
    Foreign,
}

/// What a session waits for.
#[derive(Debug)]
pub(crate) enum Await {
    /// The final answer of where it went last.
    Answer,
    /// An INVITE was answered 2xx; there may be more of them.
    FurtherAnswers,
}

/// What to do with a request now.
#[derive(Debug)]
pub(crate) enum Step {
    /// Answer it here.
    Answer(Response),
    /// Pass it on by its route; its answers are of no interest.
    Follow(Request, NextHop),
    /// Ask the HSS first.
    #[allow(dead_code, reason = "for users that are not registered")]
    Ask(Box<Session>, CxRequest),
    /// Send it to these, and tell what they answer.
    Fork(Box<Session>, Request, ForkPlan),
}

/// TS 24.229 5.4.3.1: originating by the Route, else terminating by the Request-URI.
pub(crate) fn on_request(
    ctx: &mut Context<'_>,
    received: &Request,
    _flow: &Flow,
) -> Result<Step, RequestReject> {
    if received.to().is_ok_and(|to| to.tag().is_some()) {
        return dialog::on_request(ctx, received);
    }
    let routed = route::preprocess(received, |uri| is_own(ctx, uri));
    let own = routed.own.as_ref().map(UriBuf::as_uri);
    if let Some(token) = own.as_ref().and_then(service_route::token_of) {
        return originating::from_ue(ctx, token, received, routed.request);
    }
    if let Some(hop) = route::top_route(&routed.request) {
        return Ok(Step::Follow(routed.request, NextHop::Uri(hop)));
    }
    let uri = routed
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    if is_own(ctx, &uri) {
        return dialog::to_server(ctx, received);
    }
    terminating::start(ctx, received, &routed.request)
}

/// Whether a URI names this server: by its name or by its address.
pub(crate) fn is_own(ctx: &Context<'_>, uri: &Uri<'_>) -> bool {
    let name = ctx.settings.server_name.as_uri();
    let port_of = |uri: &Uri<'_>| uri.port().unwrap_or(ims_common::config::SIP_PORT);
    let by_name = uri.host() == name.host() && port_of(uri) == port_of(&name);
    let address = ctx.settings.address;
    let by_address = uri.host().ip() == Some(address.ip()) && port_of(uri) == address.port();
    by_name || by_address
}

/// Methods that make a dialog, and none other, are Record-Routed (TS 24.229 5.4.3.2; RFC 3261, 6665, 3515).
fn makes_a_dialog(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}

/// Our Record-Route value for one pass of a request.
fn record_route(ctx: &mut Context<'_>) -> String {
    let token = ctx.fresh_token();
    ctx.service_route.record_route(&token)
}

/// What only application servers are told (RFC 5502 4), and what only says how the request came here.
const BETWEEN_SERVERS: [HeaderName; 3] = [
    HeaderName::PServedUser,
    HeaderName::PUserDatabase,
    HeaderName::PPreferredIdentity,
];
