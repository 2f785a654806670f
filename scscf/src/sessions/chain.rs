//! Procedure: the application servers that a request visits, by filter criteria (TS 23.218 5.2, TS 24.229 5.4.3).
//!
//! Criteria are looked at in ascending order of priority, each once, on the request as the application server before
//! returned it. What belongs together across those requests is the original dialog identifier alone: a B2BUA changes
//! everything else.

use std::sync::Arc;

use hss_client::user_data::{DefaultHandling, SessionCase};
use ims_common::proxy::{ForkPlan, ForwardFailure, NextHop, NextHopTarget};
use ims_common::sip::{HeaderName, Method, Request, Response, StatusCode, UriBuf};
use ims_common::why::{Fact, Facts, NoteKind};

use super::charging::{self, Boundary};
use super::dialog_ids::Place;
use super::{
    Arrival, Await, BETWEEN_SERVERS, Downstream, ServedUser, Session, Step, makes_a_dialog, record_route,
};
use super::{onward, targets, terminating};
use crate::cdr::RecordKey;
use crate::charging::function_addresses;
use crate::context::Context;
use crate::ifc::Subject;
use crate::registrar::Services;
use crate::reject::RequestReject;

/// How often one original dialog identifier may come back: an AS that forks sends it several times.
const RETURNS_MAX: u8 = 16;

/// How far a request has come through the services of one user. Frozen when it begins: a new profile counts for
/// the next request.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(super) served: ServedUser,
    /// `None`: the HSS gave no profile.
    pub(super) services: Option<Arc<Services>>,
    /// The Request-URI before the first application server.
    pub(super) dialled: Arc<[u8]>,
    /// The first criterion that has not been looked at.
    pub(super) next: usize,
    /// What is charged, if it is.
    pub(super) record: Option<RecordKey>,
}

impl Chain {
    pub(super) fn begin(served: ServedUser, services: Option<Arc<Services>>, request: &Request) -> Self {
        Self {
            served,
            services,
            dialled: request.request_uri_bytes().into(),
            next: 0,
            record: None,
        }
    }
}

/// A request that an application server has.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Its original dialog identifier.
    pub(super) token: String,
    server: UriBuf,
    handling: DefaultHandling,
    life: Life,
}

/// An application server that does not serve, and how that showed.
struct Failed {
    server: String,
    how: String,
}

impl Failed {
    fn new(server: &str, how: String) -> Self {
        let server = server.to_owned();
        Self { server, how }
    }
}

/// What an application server has shown of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    None,
    /// A 100.
    Trying,
    /// Another provisional answer, or the request came back: what it answers is its own decision.
    Sure,
}

/// To the next application server, or to where the request goes after the last.
pub(super) fn advance(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let chain = &session.chain;
    let subject = Subject {
        request: &session.request,
        case: chain.served.case,
        registration: None,
    };
    let services = chain.services.clone();
    let found = services
        .as_ref()
        .and_then(|services| services.criteria.next_match(chain.next, &subject));
    let Some((place, criterion)) = found else {
        return end(ctx, session);
    };
    session.chain.next = place + 1;
    let server = &criterion.application_server;
    ctx.note(NoteKind::AppServerChosen, &session.received, || {
        Facts::new()
            .with(Fact::AppServer, &server.server_name)
            .with(Fact::Count, criterion.priority)
    });
    let Ok(uri) = server.server_name.parse::<UriBuf>() else {
        tracing::warn!(clause = "TS 29.228 B.2.3", "application server without a SIP URI");
        let failed = Failed::new(&server.server_name, "has a name that is not a SIP URI".to_owned());
        return without_server(ctx, session, server.default_handling, &failed);
    };
    Ok(visit(ctx, session, &uri, server.default_handling))
}

/// After the last application server.
fn end(ctx: &mut Context<'_>, session: Box<Session>) -> Result<Step, RequestReject> {
    match session.chain.served.case {
        SessionCase::OriginatingRegistered
        | SessionCase::OriginatingUnregistered
        | SessionCase::OriginatingCdiv => {
            note_message_to_nobody(ctx, &session);
            onward::route(ctx, session)
        }
        SessionCase::TerminatingRegistered => targets::alert(ctx, session),
        SessionCase::TerminatingUnregistered => Err(RequestReject::NotRegistered),
    }
}

/// TS 24.229 5.4.3.2, 5.4.3.3: Route = the AS, then ourselves with the original dialog identifier.
fn visit(
    ctx: &mut Context<'_>,
    mut session: Box<Session>,
    server: &UriBuf,
    handling: DefaultHandling,
) -> Step {
    let token = ctx.fresh_token();
    let place = Place::new(session.chain.clone(), session.transaction);
    ctx.sessions.dialog_ids.insert(ctx.now, &token, place);
    let lr = if server.as_uri().param("lr").is_some() {
        ""
    } else {
        ";lr"
    };
    let target = NextHopTarget {
        request_uri: None,
        route: vec![format!("<{server}{lr}>"), ctx.service_route.dialog_id(&token)],
        hop: NextHop::Uri(server.clone()),
    };
    let request = towards_server(ctx, &session);
    session.downstream = Downstream::Trusted;
    session.awaits = Await::AppServer(Visit {
        token,
        server: server.clone(),
        handling,
        life: Life::None,
    });
    Step::Fork(session, request, ForkPlan::at_once(vec![target]))
}

/// TS 24.341 5.3.1: a short message goes to an IP-SM-GW, which filter criteria name; without one it goes astray.
fn note_message_to_nobody(ctx: &mut Context<'_>, session: &Session) {
    let request = &session.received;
    let content_type = request.header(HeaderName::ContentType).unwrap_or_default();
    let is_sms = content_type
        .to_ascii_lowercase()
        .starts_with(b"application/vnd.3gpp.sms");
    let has_matched = session.chain.next > 0;
    // TS 24.341 5.3.2.4: a report to the gateway goes by its address and needs no criterion.
    let is_report = request.header(HeaderName::InReplyTo).is_some();
    if request.method() == Method::Message && is_sms && !is_report && !has_matched {
        let user = session.chain.served.impu.as_str();
        ctx.note(NoteKind::NoCriteriaMatched, request, || {
            Facts::new().with(Fact::Identity, user)
        });
    }
}

/// What an application server gets to see (TS 24.229 5.4.3.2; RFC 5502 4).
fn towards_server(ctx: &mut Context<'_>, session: &Session) -> Request {
    let request = &session.request;
    let served = &session.chain.served;
    let received = request.header(HeaderName::PChargingVector);
    let vector = charging::of_request(received, Boundary::Isc, &ctx.settings.home_realm, || {
        ims_common::token::fresh(ctx.shard, ctx.rng)
    });
    let mut edit = request
        .edit()
        .remove_all(&BETWEEN_SERVERS)
        .set(HeaderName::PServedUser, served_user_value(served))
        .set(HeaderName::PChargingVector, vector);
    let charging = served.set.and_then(|id| ctx.registrar.set(id)?.charging());
    if let Some(addresses) = charging.and_then(function_addresses) {
        edit = edit.set(HeaderName::PChargingFunctionAddresses, addresses);
    }
    if makes_a_dialog(&request.method()) {
        edit = edit.push_front(HeaderName::RecordRoute, record_route(ctx));
    }
    edit.finish_request()
}

/// RFC 5502 5, RFC 8498 5.2: after a diversion there is neither session case nor state.
fn served_user_value(served: &ServedUser) -> String {
    let parameters = match served.case {
        SessionCase::OriginatingRegistered => ";sescase=orig;regstate=reg",
        SessionCase::OriginatingUnregistered => ";sescase=orig;regstate=unreg",
        SessionCase::TerminatingRegistered => ";sescase=term;regstate=reg",
        SessionCase::TerminatingUnregistered => ";sescase=term;regstate=unreg",
        SessionCase::OriginatingCdiv => ";orig-cdiv",
    };
    format!("<{}>{parameters}", served.impu.as_str())
}

/// A request that an application server sends back along the original dialog identifier `token`.
pub(super) fn resume(
    ctx: &mut Context<'_>,
    token: &str,
    arrival: Arrival<'_>,
) -> Result<Step, RequestReject> {
    let place = ctx
        .sessions
        .dialog_ids
        .come_back(token)
        .ok_or(RequestReject::UnknownDialogId)?;
    if place.returns > RETURNS_MAX {
        return Err(RequestReject::TooManyReturns);
    }
    let (chain, of) = (place.chain.clone(), place.transaction);
    ctx.sessions.running.show_life(of);
    let session = arrival.session(chain, Boundary::Isc);
    if is_retargeted(ctx, &session)? {
        return divert(ctx, session);
    }
    advance(ctx, session)
}

/// TS 24.229 5.4.3.3 step 3: the Request-URI names neither the served user nor a contact of theirs any more.
fn is_retargeted(ctx: &Context<'_>, session: &Session) -> Result<bool, RequestReject> {
    let chain = &session.chain;
    let is_terminating = matches!(
        chain.served.case,
        SessionCase::TerminatingRegistered | SessionCase::TerminatingUnregistered
    );
    if !is_terminating || session.request.request_uri_bytes() == &*chain.dialled {
        return Ok(false);
    }
    let uri = session
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let Ok(spellings) = terminating::spellings(ctx, &uri) else {
        return Ok(true);
    };
    let set = chain.served.set.and_then(|id| ctx.registrar.set(id));
    let is_user = spellings
        .iter()
        .any(|impu| *impu == chain.served.impu || set.is_some_and(|set| set.has_member(impu)));
    let is_contact = set.is_some_and(|set| {
        set.bindings()
            .iter()
            .any(|binding| binding.contact.uri().as_uri().equivalent(&uri))
    });
    Ok(!is_user && !is_contact)
}

/// A contact of the served user sends the request elsewhere.
pub(super) fn redirect(
    ctx: &mut Context<'_>,
    mut session: Box<Session>,
    target: &str,
) -> Result<Step, RequestReject> {
    session.redirections += 1;
    session.request = session.request.edit().request_uri(target).finish_request();
    match is_retargeted(ctx, &session)? {
        true => divert(ctx, session),
        false => advance(ctx, session),
    }
}

/// The diverting user's criteria for diverted requests, when there are any, then to the new target (RFC 8498).
fn divert(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let services = session.chain.services.take();
    let diverts = services
        .as_ref()
        .is_some_and(|services| services.criteria.names_case(SessionCase::OriginatingCdiv));
    let served = ServedUser {
        case: SessionCase::OriginatingCdiv,
        ..session.chain.served.clone()
    };
    // The leg from here on is charged to whoever diverts.
    let records = &mut ctx.sessions.records;
    let record = records.begin(
        ctx.now,
        session.transaction,
        &session.request,
        &served.for_record(),
    );
    session.chain = Chain {
        record,
        ..Chain::begin(served, services.filter(|_| diverts), &session.request)
    };
    advance(ctx, session)
}

/// What a visit has come to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The server decided: its answer goes to whoever sent the request.
    Relay(Box<Session>),
    /// The default handling decided.
    Instead(Result<Step, RequestReject>),
}

impl Visit {
    /// A sign of life.
    pub(super) fn on_trying(&mut self) {
        if self.life == Life::None {
            self.life = Life::Trying;
        }
    }

    /// A sign of life of a server that can answer for itself.
    pub(super) fn show_life(&mut self) {
        self.life = Life::Sure;
    }

    /// How much longer than the first time silence is borne: a server that said 100 works on it.
    pub(super) fn patience(&self) -> Option<u32> {
        match self.life {
            Life::None => Some(1),
            Life::Trying => Some(5),
            Life::Sure => None,
        }
    }
}

/// The final answer of an application server; `None`: there is none (TS 24.229 5.4.3.2, 5.4.3.3: 408 and 5xx before
/// any other provisional answer than 100 are failures of the server, all else is its decision).
pub(super) fn on_final(
    ctx: &mut Context<'_>,
    mut session: Box<Session>,
    response: Option<&Response>,
) -> Verdict {
    let status = response.map(|response| response.status());
    let is_failure = status.is_none_or(|s| s == StatusCode::REQUEST_TIMEOUT || s.class() == 5);
    let Await::AppServer(visit) = &session.awaits else {
        return Verdict::Relay(session);
    };
    let (handling, life) = (visit.handling, visit.life);
    match status.is_some_and(StatusCode::is_success) {
        true => ctx.sessions.dialog_ids.answered(ctx.now, &visit.token),
        false => ctx.sessions.dialog_ids.remove(&visit.token),
    }
    if !is_failure || life == Life::Sure {
        return Verdict::Relay(session);
    }
    if session.is_cancelled {
        return Verdict::Instead(Err(RequestReject::Cancelled));
    }
    let how = match status {
        Some(status) => format!("answered {}", status.as_u16()),
        None => "cannot be reached".to_owned(),
    };
    let failed = Failed::new(visit.server.as_str(), how);
    session.awaits = Await::Answer;
    if handling == DefaultHandling::SessionTerminated && response.is_some() {
        note_failed(ctx, &session, handling, &failed);
        return Verdict::Relay(session);
    }
    Verdict::Instead(without_server(ctx, session, handling, &failed))
}

/// Nothing has been heard of an application server for too long.
pub(crate) fn on_silence(ctx: &mut Context<'_>, session: Box<Session>) -> Result<Step, RequestReject> {
    if session.is_cancelled {
        return Err(RequestReject::Cancelled);
    }
    let Await::AppServer(visit) = &session.awaits else {
        return Err(RequestReject::Failed(ForwardFailure::Timeout));
    };
    let handling = visit.handling;
    let how = format!(
        "did not answer in {} s",
        ctx.settings.isc.response_timeout.get().as_secs()
    );
    let failed = Failed::new(visit.server.as_str(), how);
    // What it sends from now on comes too late.
    ctx.sessions.dialog_ids.remove(&visit.token);
    without_server(ctx, session, handling, &failed)
}

fn note_failed(ctx: &mut Context<'_>, session: &Session, handling: DefaultHandling, failed: &Failed) {
    ctx.note(NoteKind::DefaultHandling, &session.received, || {
        let handling = match handling {
            DefaultHandling::SessionContinued => "went on without it",
            DefaultHandling::SessionTerminated => "ended",
        };
        Facts::new()
            .with(Fact::AppServer, &failed.server)
            .with(Fact::Words, &failed.how)
            .with(Fact::DefaultHandling, handling)
    });
}

/// TS 24.229 5.4.3.2: default handling 0 goes on with the request as it was, 1 ends it.
fn without_server(
    ctx: &mut Context<'_>,
    session: Box<Session>,
    handling: DefaultHandling,
    failed: &Failed,
) -> Result<Step, RequestReject> {
    ctx.sessions.records.server_failed(session.record());
    tracing::info!(
        ?handling,
        how = failed.how,
        clause = "TS 24.229 5.4.3.2",
        "application server failed"
    );
    note_failed(ctx, &session, handling, failed);
    match handling {
        DefaultHandling::SessionContinued => advance(ctx, session),
        DefaultHandling::SessionTerminated => Err(RequestReject::AppServerFailed {
            is_invite: session.received.method() == Method::Invite,
        }),
    }
}
