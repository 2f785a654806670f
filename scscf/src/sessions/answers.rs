//! Procedure: what becomes of the answers to a request (TS 24.229 5.4.3.2, 5.4.3.3; RFC 3261 16.7).

use ims_common::proxy::{ForkAnswer, ForwardFailure, ServerTransactionId};
use ims_common::sip::{Contacts, HeaderName, Method, Response, Scheme, StatusCode};

use super::chain::{self, Verdict};
use super::charging::Boundary;
use super::{Await, Downstream, Session, Step, charging, identity, onward, targets};
use crate::caller_preferences::CallerPreferences;
use crate::charging::function_addresses;
use crate::config::RedirectPolicy;
use crate::context::Context;
use crate::registrar::SetId;
use crate::reject::RequestReject;

/// How often one request may be redirected.
const REDIRECTIONS_MAX: u8 = 5;

/// What to do about an answer.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// Nothing goes upstream.
    Wait(Box<Session>),
    /// Pass it on; others may come.
    Provisional(Box<Session>, Response),
    /// Pass it on; there may be further 2xx.
    Success(Answered, Response),
    /// Pass it on, and that is all.
    Final(Response),
    /// Do this instead.
    Instead(Step),
}

/// What is kept of an INVITE that was answered 2xx, as long as there may be more of them: many calls begin in that time.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) transaction: ServerTransactionId,
    vector: Option<Box<[u8]>>,
    upstream: Boundary,
    downstream: Downstream,
    set: Option<SetId>,
}

/// Between whom a response travels.
struct Way<'a> {
    /// P-Charging-Vector of the request.
    vector: Option<&'a [u8]>,
    upstream: Boundary,
    downstream: Downstream,
    set: Option<SetId>,
}

impl Session {
    fn way(&self) -> Way<'_> {
        Way {
            vector: self.received.header(HeaderName::PChargingVector),
            upstream: self.upstream,
            downstream: self.downstream,
            set: self.chain.served.set,
        }
    }
}

/// A further 2xx.
pub(crate) fn on_further_answer(ctx: &Context<'_>, answered: &Answered, response: &Response) -> Response {
    let way = Way {
        vector: answered.vector.as_deref(),
        upstream: answered.upstream,
        downstream: answered.downstream,
        set: answered.set,
    };
    upstream(ctx, &way, response)
}

/// An answer of where the request went last.
pub(crate) fn on_answer(
    ctx: &mut Context<'_>,
    session: Box<Session>,
    answer: ForkAnswer,
) -> Result<Reaction, RequestReject> {
    match answer {
        ForkAnswer::Trying => Ok(Reaction::Wait(on_trying(session))),
        ForkAnswer::Failed(failure) => match chain::on_final(ctx, session, None) {
            Verdict::Relay(session) => match another_way(ctx, session, None) {
                Ok(step) => Ok(Reaction::Instead(step?)),
                Err(session) => Err(failed(&session, failure)),
            },
            Verdict::Instead(step) => Ok(Reaction::Instead(step?)),
        },
        ForkAnswer::Response(response) if response.status().is_provisional() => {
            Ok(on_provisional(ctx, session, &response))
        }
        ForkAnswer::Response(response) => match chain::on_final(ctx, session, Some(&response)) {
            Verdict::Relay(session) => match another_way(ctx, session, Some(response.status())) {
                Ok(step) => Ok(Reaction::Instead(step?)),
                Err(session) => match redirection(ctx, &session, &response) {
                    Some(target) => Ok(Reaction::Instead(chain::redirect(ctx, session, &target)?)),
                    None => on_final(ctx, &session, &response),
                },
            },
            Verdict::Instead(step) => Ok(Reaction::Instead(step?)),
        },
    }
}

/// What may be done about a dead next hop: another trunk, or another flow of the UE (RFC 5626 6: after 430 or 408). Gives
/// the session back when there is nothing.
fn another_way(
    ctx: &mut Context<'_>,
    session: Box<Session>,
    status: Option<StatusCode>,
) -> Result<Result<Step, RequestReject>, Box<Session>> {
    if session.is_cancelled || !matches!(session.awaits, Await::Answer) {
        return Err(session);
    }
    let is_silent = status.is_none_or(|status| status == StatusCode::REQUEST_TIMEOUT);
    let is_dead = is_silent || status.is_some_and(|status| status.class() == 5);
    if is_dead && !session.exits.is_empty() {
        return Ok(onward::leave(ctx, session));
    }
    let is_flow_dead = is_silent || status == Some(StatusCode::FLOW_FAILED);
    if is_flow_dead && !session.flows.is_empty() {
        return Ok(targets::next_flow(ctx, session));
    }
    Err(session)
}

/// Where a contact of the callee redirects a request that this server may send there itself (RFC 3261 16.7 step 4;
/// RFC 3841 9.1 `no-recurse`).
fn redirection(ctx: &Context<'_>, session: &Session, response: &Response) -> Option<String> {
    let may_follow = ctx.settings.sessions.redirects == RedirectPolicy::Follow
        && session.downstream == Downstream::Contact
        && session.redirections < REDIRECTIONS_MAX
        && !session.is_cancelled
        && response.status().class() == 3
        && response.status() != StatusCode::ALTERNATIVE_SERVICE
        && !CallerPreferences::of(&session.request).disposition().no_recurse;
    if !may_follow {
        return None;
    }
    let Ok(Contacts::List(contacts)) = response.contacts() else {
        return None;
    };
    let best = contacts
        .iter()
        .rev()
        .filter(|contact| contact.uri.is_sip() || contact.uri.scheme() == Scheme::Tel)
        .filter(|contact| !contact.uri.has_headers())
        .max_by_key(|contact| contact.q().unwrap_or(1_000))?;
    Some(String::from_utf8_lossy(best.uri.as_bytes()).into_owned())
}

fn on_trying(mut session: Box<Session>) -> Box<Session> {
    if let Await::AppServer(visit) = &mut session.awaits {
        visit.on_trying();
    }
    session
}

fn on_provisional(ctx: &Context<'_>, mut session: Box<Session>, response: &Response) -> Reaction {
    if let Await::AppServer(visit) = &mut session.awaits {
        visit.show_life();
    }
    let response = upstream(ctx, &session.way(), response);
    Reaction::Provisional(session, response)
}

fn on_final(ctx: &Context<'_>, session: &Session, response: &Response) -> Result<Reaction, RequestReject> {
    let status = response.status();
    // RFC 3261 16.7 step 6.
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(RequestReject::Unavailable);
    }
    // RFC 5626 11.6: it is of interest to whoever knows the flows.
    if status == StatusCode::FLOW_FAILED && session.downstream == Downstream::Contact {
        return Err(RequestReject::Unreachable);
    }
    let way = session.way();
    let response = upstream(ctx, &way, response);
    if status.is_success() && session.received.method() == Method::Invite {
        let answered = Answered {
            transaction: session.transaction,
            vector: way.vector.map(Into::into),
            upstream: way.upstream,
            downstream: way.downstream,
            set: way.set,
        };
        return Ok(Reaction::Success(answered, response));
    }
    Ok(Reaction::Final(response))
}

fn failed(session: &Session, failure: ForwardFailure) -> RequestReject {
    match (session.downstream, failure) {
        (Downstream::Contact, ForwardFailure::Unreachable | ForwardFailure::Unresolvable) => {
            RequestReject::Unreachable
        }
        (_, failure) => RequestReject::Failed(failure),
    }
}

/// A response as the side may see it that the request came from.
fn upstream(ctx: &Context<'_>, way: &Way<'_>, response: &Response) -> Response {
    let mut edit = response.edit();
    let vector = charging::of_response(
        way.vector,
        response.header(HeaderName::PChargingVector),
        way.upstream,
        &ctx.settings.home_realm,
    );
    match vector {
        Some(vector) => edit = edit.set(HeaderName::PChargingVector, vector),
        None => edit = edit.remove(HeaderName::PChargingVector),
    }
    edit = edit.remove(HeaderName::PChargingFunctionAddresses);
    if let Some(addresses) = function_addresses_for_home(ctx, way) {
        edit = edit.append(HeaderName::PChargingFunctionAddresses, addresses);
    }
    match way.downstream {
        Downstream::Trusted => {}
        // RFC 3325 5: whoever is not trusted asserts nothing.
        Downstream::Foreign => edit = edit.remove(HeaderName::PAssertedIdentity),
        Downstream::Contact => {
            let set = way.set.and_then(|id| ctx.registrar.set(id));
            let alias = identity::missing_alias(response, |asserted| set?.alias_of(asserted));
            if let Some(alias) = alias {
                edit = edit.append(HeaderName::PAssertedIdentity, alias);
            }
        }
    }
    edit.finish_response()
}

/// TS 24.229 5.4.3.2: a P-CSCF of the home network learns the charging functions of the caller; whose it is says the
/// `orig-ioi` that it wrote. So does an application server.
fn function_addresses_for_home(ctx: &Context<'_>, way: &Way<'_>) -> Option<String> {
    let set = ctx.registrar.set(way.set?)?;
    let charging = set.charging()?;
    let is_for = match way.upstream {
        Boundary::Visited => charging::is_of_home(way.vector, ctx.settings),
        Boundary::Home => false,
        Boundary::Isc => true,
    };
    is_for.then(|| function_addresses(charging)).flatten()
}
