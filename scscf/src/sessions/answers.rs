//! Procedure: what becomes of the answers to a request (TS 24.229 5.4.3.2, 5.4.3.3; RFC 3261 16.7).

use ims_common::proxy::{ForkAnswer, ForwardFailure};
use ims_common::sip::{HeaderName, Method, Response, StatusCode};

use super::chain::{self, Verdict};
use super::{Await, Downstream, Session, Step, charging, identity};
use crate::context::Context;
use crate::reject::RequestReject;

/// What to do about an answer.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// Nothing goes upstream.
    Wait(Box<Session>),
    /// Pass it on; others may come.
    Provisional(Box<Session>, Response),
    /// Pass it on; there may be further 2xx.
    Success(Box<Session>, Response),
    /// Pass it on, and that is all.
    Final(Response),
    /// Do this instead.
    Instead(Step),
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
            Verdict::Relay(session) => Err(failed(&session, failure)),
            Verdict::Instead(step) => Ok(Reaction::Instead(step?)),
        },
        ForkAnswer::Response(response) if response.status().is_provisional() => {
            Ok(on_provisional(ctx, session, &response))
        }
        ForkAnswer::Response(response) => match chain::on_final(ctx, session, Some(&response)) {
            Verdict::Relay(session) => on_final(ctx, session, &response),
            Verdict::Instead(step) => Ok(Reaction::Instead(step?)),
        },
    }
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
    let response = upstream(ctx, &session, response);
    Reaction::Provisional(session, response)
}

fn on_final(
    ctx: &Context<'_>,
    mut session: Box<Session>,
    response: &Response,
) -> Result<Reaction, RequestReject> {
    let status = response.status();
    // RFC 3261 16.7 step 6.
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(RequestReject::Unavailable);
    }
    let response = upstream(ctx, &session, response);
    if status.is_success() && session.received.method() == Method::Invite {
        session.awaits = Await::FurtherAnswers;
        return Ok(Reaction::Success(session, response));
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
fn upstream(ctx: &Context<'_>, session: &Session, response: &Response) -> Response {
    let mut edit = response.edit();
    let vector = charging::of_response(
        session.received.header(HeaderName::PChargingVector),
        response.header(HeaderName::PChargingVector),
        session.upstream,
        &ctx.settings.home_realm,
    );
    match vector {
        Some(vector) => edit = edit.set(HeaderName::PChargingVector, vector),
        None => edit = edit.remove(HeaderName::PChargingVector),
    }
    match session.downstream {
        Downstream::Trusted => {}
        // RFC 3325 5: whoever is not trusted asserts nothing.
        Downstream::Foreign => edit = edit.remove(HeaderName::PAssertedIdentity),
        Downstream::Contact => {
            let set = session.chain.served.set.and_then(|id| ctx.registrar.set(id));
            let alias = identity::missing_alias(response, |asserted| set?.alias_of(asserted));
            if let Some(alias) = alias {
                edit = edit.append(HeaderName::PAssertedIdentity, alias);
            }
        }
    }
    edit.finish_response()
}
