//! Procedure: where a request goes after the services of its sender (TS 24.229 5.4.3.2 after the filter criteria).

use std::collections::VecDeque;

use ims_common::config::TrustedPeers;
use ims_common::net::Naptr;
use ims_common::proxy::{ForkPlan, NextHop, NextHopTarget, route};
use ims_common::sip::{HeaderName, Host, Method, Request, Scheme, Uri, UriBuf};

use super::charging::{self, Boundary};
use super::{
    Await, BETWEEN_SERVERS, Downstream, Session, Step, dialog, is_emergency, is_own, makes_a_dialog,
    record_route,
};
use crate::call_limits::TrunkId;
use crate::context::Context;
use crate::enum_lookup::EnumAnswer;
use crate::numbers::{GlobalNumber, Number};
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

/// One way on.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    hop: UriBuf,
    to: Domain,
    /// Instead of that of the request.
    request_uri: Option<String>,
}

/// What a next hop is to us.
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
    if let Some(blocked) = ctx.settings.blocking.of_called(&ctx.settings.normaliser, &uri) {
        return Err(RequestReject::Blocked(blocked.told()));
    }
    let next = route::top_route(&session.request);
    if next.is_none() && is_own(ctx, &uri) {
        return dialog::to_server(ctx, &session.received);
    }
    let exits = match next {
        Some(next) => VecDeque::from([Exit {
            to: domain_of(ctx, &next.as_uri()),
            hop: next,
            request_uri: None,
        }]),
        None => match name_of_number(ctx, &uri) {
            Some(name) => {
                session.awaits = Await::Naptr;
                return Ok(Step::LookUp(session, name));
            }
            None => exits_of(ctx, &uri)?,
        },
    };
    session.exits = exits;
    // It goes to a phone no more.
    session.flows.clear();
    leave(ctx, session)
}

/// Where DNS is to be asked about a global number, when it is (RFC 6116; not again after a query: RFC 4694 `npdi`).
fn name_of_number(ctx: &Context<'_>, uri: &Uri<'_>) -> Option<String> {
    let lookup = ctx.settings.enum_lookup.as_ref()?;
    match ctx.settings.normaliser.read(uri) {
        Number::Global(number) if number.routing_number().is_none() => Some(lookup.name(&number)),
        Number::Global(_) | Number::Local(_) | Number::Incomplete | Number::Name => None,
    }
}

/// What DNS knows of the number: a SIP URI, a number that is ported, or nothing.
pub(crate) fn on_naptr(
    ctx: &mut Context<'_>,
    mut session: Box<Session>,
    records: &[Naptr],
) -> Result<Step, RequestReject> {
    session.awaits = Await::Answer;
    let uri = session
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let found = match ctx.settings.normaliser.read(&uri) {
        Number::Global(number) => EnumAnswer::of(&number, records),
        Number::Local(_) | Number::Incomplete | Number::Name => EnumAnswer::None,
    };
    session.exits = match &found {
        EnumAnswer::None => exits_of(ctx, &uri)?,
        EnumAnswer::Sip(target) => by_domain(ctx, &target.as_uri())?,
        EnumAnswer::Tel(target) => exits_of(ctx, &target.as_uri())?,
    };
    session.flows.clear();
    if let EnumAnswer::Sip(target) | EnumAnswer::Tel(target) = found {
        let edit = session.request.edit();
        session.request = edit.request_uri(target.as_str()).finish_request();
    }
    leave(ctx, session)
}

/// The next of the ways on; of trunks the next with room for a call. Calls for help are not counted, so no trunk is full for
/// them.
fn next_exit(ctx: &Context<'_>, session: &mut Session) -> Result<Exit, RequestReject> {
    let is_call = session.request.method() == Method::Invite;
    let is_for_help = is_emergency(&session.request);
    let mut is_any_full = false;
    while let Some(exit) = session.exits.pop_front() {
        let trunk = ctx.sessions.limits.trunk_of(&exit.hop).filter(|_| is_call);
        if is_for_help || trunk.is_none_or(|trunk| trunk_has_room(ctx, session, trunk)) {
            session.trunk = trunk;
            return Ok(exit);
        }
        is_any_full = true;
    }
    Err(match is_any_full {
        true => RequestReject::TrunksFull(ctx.settings.call_limits.trunk_status),
        false => RequestReject::NoRoute,
    })
}

/// What a call has already it may keep.
fn trunk_has_room(ctx: &Context<'_>, session: &Session, trunk: TrunkId) -> bool {
    session.trunk == Some(trunk) || ctx.sessions.limits.has_room(trunk)
}

/// By the next of the ways on; some of them may have been tried.
pub(super) fn leave(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let exit = next_exit(ctx, &mut session)?;
    session.downstream = match exit.to {
        Domain::Home | Domain::Trusted => Downstream::Trusted,
        Domain::Foreign => Downstream::Foreign,
    };
    let request = leaving(ctx, &session.request, &exit);
    let target = NextHopTarget::unchanged(NextHop::Uri(exit.hop));
    Ok(Step::Fork(session, request, ForkPlan::at_once(vec![target])))
}

/// TS 24.229 5.4.3.2: numbers by the rules of the breakout, else as users of the home network, whom the HSS knows or
/// not; names by their domain.
fn exits_of(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<VecDeque<Exit>, RequestReject> {
    if uri.scheme() == Scheme::Urn {
        return emergency(ctx, uri);
    }
    match ctx.settings.normaliser.read(uri) {
        Number::Global(number) => Ok(match ctx.settings.breakout.for_global(&number) {
            Some(hops) => hops.iter().map(|hop| to_trunk(ctx, hop, &number)).collect(),
            None => {
                let is_global_already = uri.user().is_some_and(|user| user.starts_with(b"+"));
                to_home(ctx, (!is_global_already).then(|| number.to_tel()))
            }
        }),
        Number::Local(number) => {
            let context = number.context.as_deref();
            let hops = match context {
                None => ctx.settings.breakout.for_local(&number),
                Some(context) => Some(
                    ctx.settings
                        .breakout
                        .for_domain(context)
                        .ok_or(RequestReject::NoRoute)?,
                ),
            };
            let home = || format!("tel:{};phone-context={}", number.digits, ctx.settings.home_realm);
            Ok(match hops {
                Some(hops) => hops.iter().map(|hop| to_proxy(ctx, hop)).collect(),
                None => to_home(ctx, Some(home())),
            })
        }
        Number::Incomplete => Err(RequestReject::Incomplete),
        Number::Name => by_domain(ctx, uri),
    }
}

/// A name: of the home network, by a rule for its domain, or wherever DNS says.
fn by_domain(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<VecDeque<Exit>, RequestReject> {
    match uri.scheme() {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Tel => return Err(RequestReject::NoRoute),
        Scheme::Urn | Scheme::Other => return Err(RequestReject::UnsupportedScheme),
    }
    let to = domain_of(ctx, uri);
    if to == Domain::Home {
        return Ok(to_home(ctx, None));
    }
    let host = uri.host().to_string();
    Ok(match ctx.settings.breakout.for_domain(&host) {
        Some(hops) => hops.iter().map(|hop| to_proxy(ctx, hop)).collect(),
        None => VecDeque::from([Exit {
            hop: UriBuf::from(*uri),
            to,
            request_uri: None,
        }]),
    })
}

fn to_home(ctx: &Context<'_>, request_uri: Option<String>) -> VecDeque<Exit> {
    VecDeque::from([Exit {
        hop: ctx.settings.icscf.clone(),
        to: Domain::Home,
        request_uri,
    }])
}

/// Trunks take numbers as users of theirs (RFC 3261 19.1.6); a server of the home network takes them as they are.
fn to_trunk(ctx: &Context<'_>, hop: &UriBuf, number: &GlobalNumber) -> Exit {
    let exit = to_proxy(ctx, hop);
    let tel = number.to_tel();
    let subscriber = tel.strip_prefix("tel:").unwrap_or(&tel);
    let uri = hop.as_uri();
    let port = uri.port().map_or(String::new(), |port| format!(":{port}"));
    let request_uri = match exit.to {
        Domain::Home => tel,
        Domain::Trusted | Domain::Foreign => {
            format!("sip:{subscriber}@{}{port};user=phone", uri.host())
        }
    };
    Exit {
        request_uri: Some(request_uri),
        ..exit
    }
}

fn to_proxy(ctx: &Context<'_>, hop: &UriBuf) -> Exit {
    Exit {
        hop: hop.clone(),
        to: domain_of(ctx, &hop.as_uri()),
        request_uri: None,
    }
}

/// TS 24.229 5.4.8: a call to an emergency service that came this far goes to the E-CSCF (RFC 5031).
fn emergency(ctx: &Context<'_>, uri: &Uri<'_>) -> Result<VecDeque<Exit>, RequestReject> {
    let name = String::from_utf8_lossy(uri.as_bytes()).to_ascii_lowercase();
    let is_sos = name == "urn:service:sos" || name.starts_with("urn:service:sos.");
    let ecscf = ctx.settings.ecscf.as_ref().filter(|_| is_sos);
    let ecscf = ecscf.ok_or(RequestReject::NoRoute)?;
    Ok(VecDeque::from([Exit {
        hop: ecscf.clone(),
        to: Domain::Home,
        request_uri: None,
    }]))
}

fn domain_of(ctx: &Context<'_>, uri: &Uri<'_>) -> Domain {
    let settings = ctx.settings;
    let is_ours = |own: &UriBuf| own.as_uri().host() == uri.host();
    if is_ours(&settings.icscf) || settings.ecscf.as_ref().is_some_and(is_ours) {
        return Domain::Home;
    }
    let host = match uri.host() {
        Host::Name(host) => host.trim_end_matches('.'),
        Host::V4(_) | Host::V6(_) => {
            let is_trusted = |address| match &settings.isc.trusted {
                // That nobody was named does not make everybody a friend.
                TrustedPeers::Any => false,
                trusted @ TrustedPeers::Blocks(_) => trusted.contains(address),
            };
            return match uri.host().ip().is_some_and(is_trusted) {
                true => Domain::Trusted,
                false => Domain::Foreign,
            };
        }
    };
    let is_in = |domain: &str| {
        let start = host.len().checked_sub(domain.len());
        start.is_some_and(|at| {
            host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
                && (at == 0 || host.as_bytes().get(at - 1) == Some(&b'.'))
        })
    };
    let mut trusted = settings.sessions.trusted_domains.iter();
    if is_in(&settings.home_realm) {
        Domain::Home
    } else if trusted.any(|domain| is_in(domain.as_str())) {
        Domain::Trusted
    } else {
        Domain::Foreign
    }
}

/// The request as `to` may see it.
fn leaving(ctx: &mut Context<'_>, request: &Request, exit: &Exit) -> Request {
    let to = exit.to;
    let mut edit = request.edit().remove_all(&BETWEEN_SERVERS);
    if let Some(uri) = &exit.request_uri {
        edit = edit.request_uri(uri);
    }
    if to != Domain::Home {
        edit = edit.remove_all(&OF_THE_HOME_NETWORK);
    }
    if to == Domain::Foreign {
        edit = edit.remove_all(&OF_THE_TRUST_DOMAIN);
        // RFC 3325 7: with `id` the asserted identity stays inside.
        if is_private(request) {
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
