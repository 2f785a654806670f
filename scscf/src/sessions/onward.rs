//! Procedure: where a request goes after the services of its sender (TS 24.229 5.4.3.2 after the filter criteria).

use ims_common::proxy::{ForkPlan, NextHop, NextHopTarget, route};
use ims_common::sip::{HeaderName, Host, Request, Scheme, Uri, UriBuf};

use super::charging::{self, Boundary};
use super::{BETWEEN_SERVERS, Downstream, Session, Step, dialog, is_own, makes_a_dialog, record_route};
use crate::context::Context;
use crate::reject::RequestReject;

/// What does not leave the home network (TS 24.229 4.4, 5.4.3.2).
const OF_THE_HOME_NETWORK: [HeaderName; 4] = [
    HeaderName::PAccessNetworkInfo,
    HeaderName::CellularNetworkInfo,
    HeaderName::PChargingFunctionAddresses,
    HeaderName::PProfileKey,
];

/// What does not leave the trust domain (TS 24.229 4.4).
const OF_THE_TRUST_DOMAIN: [HeaderName; 3] = [
    HeaderName::PChargingVector,
    HeaderName::PAssertedService,
    HeaderName::PPrivateNetworkIndication,
];

/// A next hop and what it is to us.
struct Exit {
    hop: NextHop,
    to: Domain,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Domain {
    Home,
    Trusted,
    Foreign,
}

/// By the Route that is left, else by the Request-URI.
pub(super) fn route(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let uri = session
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let next = route::top_route(&session.request);
    if next.is_none() && is_own(ctx, &uri) {
        return dialog::to_server(ctx, &session.received);
    }
    let exit = match next {
        Some(next) => Exit {
            to: domain_of(ctx, &next.as_uri()),
            hop: NextHop::Uri(next),
        },
        None => exit_of(ctx, &uri)?,
    };
    session.downstream = match exit.to {
        Domain::Home | Domain::Trusted => Downstream::Trusted,
        Domain::Foreign => Downstream::Foreign,
    };
    let request = leaving(ctx, &session.request, exit.to);
    let plan = ForkPlan::at_once(vec![NextHopTarget::unchanged(exit.hop)]);
    Ok(Step::Fork(session, request, plan))
}

fn exit_of(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<Exit, RequestReject> {
    let to_icscf = || Exit {
        hop: NextHop::Uri(ctx.settings.icscf.clone()),
        to: Domain::Home,
    };
    match uri.scheme() {
        Scheme::Sip | Scheme::Sips => {
            let to = domain_of(ctx, uri);
            Ok(match to {
                Domain::Home => to_icscf(),
                Domain::Trusted | Domain::Foreign => Exit {
                    hop: NextHop::Uri(UriBuf::from(*uri)),
                    to,
                },
            })
        }
        Scheme::Tel => Ok(to_icscf()),
        Scheme::Urn => emergency(ctx, uri),
        Scheme::Other => Err(RequestReject::UnsupportedScheme),
    }
}

/// TS 24.229 5.4.8: a call to an emergency service that came this far goes to the E-CSCF (RFC 5031).
fn emergency(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<Exit, RequestReject> {
    let name = String::from_utf8_lossy(uri.as_bytes()).to_ascii_lowercase();
    let is_sos = name == "urn:service:sos" || name.starts_with("urn:service:sos.");
    let ecscf = ctx.settings.ecscf.as_ref().filter(|_| is_sos);
    ecscf
        .map(|ecscf| Exit {
            hop: NextHop::Uri(ecscf.clone()),
            to: Domain::Home,
        })
        .ok_or(RequestReject::NoRoute)
}

fn domain_of(ctx: &Context<'_>, uri: &Uri<'_>) -> Domain {
    let Host::Name(host) = uri.host() else {
        return Domain::Foreign;
    };
    let host = host.trim_end_matches('.');
    let is_in = |domain: &str| {
        let start = host.len().checked_sub(domain.len());
        start.is_some_and(|at| {
            host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
                && (at == 0 || host.as_bytes().get(at - 1) == Some(&b'.'))
        })
    };
    if is_in(&ctx.settings.home_realm) {
        Domain::Home
    } else if ctx
        .settings
        .sessions
        .trusted_domains
        .iter()
        .any(|domain| is_in(domain.as_str()))
    {
        Domain::Trusted
    } else {
        Domain::Foreign
    }
}

/// The request as `to` may see it.
fn leaving(ctx: &mut Context<'_>, request: &Request, to: Domain) -> Request {
    let mut edit = request.edit().remove_all(&BETWEEN_SERVERS);
    if to != Domain::Home {
        edit = edit.remove_all(&OF_THE_HOME_NETWORK);
    }
    if to == Domain::Foreign {
        edit = edit.remove_all(&OF_THE_TRUST_DOMAIN);
        // RFC 3325 7: with `id` the asserted identity stays inside.
        if request.tokens(HeaderName::Privacy).count() > 0 && is_private(request) {
            edit = edit.remove(HeaderName::PAssertedIdentity);
        }
    } else {
        let received = request.header(HeaderName::PChargingVector);
        let home_realm = &ctx.settings.home_realm;
        let vector = charging::of_request(received, Boundary::Home, home_realm, || {
            ims_common::token::fresh(ctx.shard, ctx.rng)
        });
        edit = edit.set(HeaderName::PChargingVector, vector);
    }
    if makes_a_dialog(&request.method()) {
        edit = edit.push_front(HeaderName::RecordRoute, record_route(ctx));
    }
    edit.finish_request()
}

/// RFC 3323 4.2, RFC 3325 9.3: `priv-value`s stand between semicolons.
fn is_private(request: &Request) -> bool {
    request
        .headers(HeaderName::Privacy)
        .flat_map(|line| line.split(|byte| matches!(byte, b';' | b',')))
        .any(|value| value.trim_ascii().eq_ignore_ascii_case(b"id"))
}
