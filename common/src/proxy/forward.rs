//! Machine: one request towards one next hop, over several targets (RFC 3261 16.6 to 16.9, RFC 3263 4.3).

use std::collections::VecDeque;
use std::time::Instant;

use rand::RngCore as _;

use crate::net::{Destination, Interface, ResolveId, ResolvedTarget, SipOutput, Transport};
use crate::overload::Work;
use crate::sip::{HeaderName, Method, Request, Response, StatusCode};
use crate::transaction::layer::ClientRequest;
use crate::transaction::{ClientTransactionId, Failure, ServerTransactionId, TimerName};
use crate::why::{Fact, Facts, Note, NoteKind};

use super::core::{CoreTimer, ProxyCore, RESOLVE_WAIT, Resolving};
use super::next_hop::{Attempt, Resolution, attempts, attempts_along};
use super::{CoreEvent, ForwardFailure, ForwardId, NextHop, route, via};

/// RFC 3261 16.6 step 3: "If the copy does not contain a Max-Forwards header field, add one with 70".
pub(super) const MAX_FORWARDS: u8 = 70;
/// What our Via adds to a request, at most, besides the sent-by.
const VIA_OVERHEAD: usize = 100;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Forward {
    /// The response context it is a branch of; `None`: the node's own.
    pub(super) relay: Option<ServerTransactionId>,
    /// The server transaction it descends from.
    pub(super) parent: Option<ServerTransactionId>,
    pub(super) is_invite: bool,
    /// Ready but for our Via and Max-Forwards; `None`: answered 2xx, and waits for further ones.
    request: Option<Box<Request>>,
    /// Max-Forwards of what is sent; `None`: as the request has it.
    hops_left: Option<u8>,
    pub(super) interface: Interface,
    loop_hash: u64,
    /// What is still untried.
    attempts: VecDeque<Attempt>,
    pub(super) stage: Stage,
    pub(super) cancel: Cancel,
    /// Value of the Reason header of the CANCEL, unless one came from upstream.
    pub(super) cancel_reason: Option<Box<str>>,
    /// What to report when nothing is left to try.
    failure: ForwardFailure,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Resolving(ResolveId),
    Trying {
        client: ClientTransactionId,
        attempt: Attempt,
    },
    /// An INVITE was answered 2xx; further 2xx may come until timer M.
    Accepted,
    /// Nothing is under way.
    Over,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cancel {
    No,
    /// Waits for a provisional response (RFC 3261 9.1).
    Wanted,
    Sent,
}

/// What became of a forwarded request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Our Via is off.
    Response(Response),
    Failed(ForwardFailure),
}

impl ProxyCore {
    /// RFC 3261 16.6 steps 3, 6, then 7 to 10.
    pub(super) fn start_forward(
        &mut self,
        now: Instant,
        id: ForwardId,
        relay: Option<ServerTransactionId>,
        request: Request,
        hop: NextHop,
        interface: Interface,
    ) {
        let parent = self.layer.of_request(&request);
        let left = request
            .max_forwards()
            .map_or(Some(MAX_FORWARDS), |hops| hops.checked_sub(1));
        let Some(left) = left else {
            let forward = Forward::new(relay, parent, request, None, interface);
            self.forwards.insert(id, forward);
            self.answer_locally(id, StatusCode::TOO_MANY_HOPS);
            return;
        };
        let of_parent = parent.and_then(|parent| self.layer.server(parent));
        let loop_hash = of_parent.map(|server| server.loop_hash);
        let request = route::postprocess(request);
        let forward = Forward::new(relay, parent, request, loop_hash, interface).with_hops_left(left);
        self.forwards.insert(id, forward);
        self.resolve(now, id, &hop);
    }

    pub(super) fn start_originated(
        &mut self,
        now: Instant,
        id: ForwardId,
        request: Request,
        hop: NextHop,
        interface: Interface,
    ) {
        // It may come back to us along the route of its dialog, and is no loop then: nobody has received it yet.
        let no_loop = Some(self.rng.next_u64());
        let forward = Forward::new(None, None, route::postprocess(request), no_loop, interface);
        self.forwards.insert(id, forward);
        self.resolve(now, id, &hop);
    }

    fn resolve(&mut self, now: Instant, id: ForwardId, hop: &NextHop) {
        match Resolution::of(hop, &self.config.hosts) {
            Resolution::Targets(targets) => self.begin(now, id, &targets),
            Resolution::Path(flow) => {
                let Some(forward) = self.forwards.get(&id) else {
                    return;
                };
                let too_long = self.is_forward_too_long(forward);
                let attempts = attempts_along(now, &flow, too_long, &self.blacklist);
                self.attempt(now, id, attempts);
            }
            Resolution::Ask {
                host,
                port,
                transport,
            } => {
                let question = ResolveId(self.next_number());
                if let Some(forward) = self.forwards.get_mut(&id) {
                    forward.stage = Stage::Resolving(question);
                }
                let waiting = Resolving::Forward {
                    forward: id,
                    host: host.clone(),
                };
                self.resolving.insert(question, waiting);
                self.ask(now, question, host, port, transport);
            }
            Resolution::Impossible => self.fail(id, ForwardFailure::Unresolvable),
        }
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        id: ResolveId,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) {
        self.timers.set(CoreTimer::Resolve(id), now + RESOLVE_WAIT);
        self.outputs.push_back(SipOutput::Resolve(Resolution::question(
            id, host, port, transport,
        )));
    }

    /// The answer of DNS, or its silence.
    pub(super) fn resolved(&mut self, now: Instant, id: ResolveId, targets: &[ResolvedTarget]) {
        self.timers.cancel(&CoreTimer::Resolve(id));
        match self.resolving.remove(&id) {
            None => {}
            Some(Resolving::Ack { request, interface }) => match targets.first() {
                Some(target) => self.transmit_ack(&request, interface, &Attempt::to(interface, target)),
                None => self.counters.count("ims_sip_acks_dropped_total", "unresolvable"),
            },
            Some(Resolving::Forward { forward, host }) if targets.is_empty() => {
                self.counters.count("ims_sip_resolve_failures_total", "no_target");
                self.note_name(forward, &host);
                self.fail(forward, ForwardFailure::Unresolvable);
            }
            Some(Resolving::Forward { forward, .. }) => self.begin(now, forward, targets),
        }
    }

    /// For whoever asks later why this request came no further.
    fn note_name(&mut self, forward: ForwardId, host: &str) {
        let request = self.forwards.get(&forward).and_then(|it| it.request.as_ref());
        let call_id = request.and_then(|request| request.call_id()).unwrap_or_default();
        let facts = || Facts::new().with(Fact::Address, host);
        self.notes
            .make(|| Note::of_call(NoteKind::NameServesNothing, call_id, facts()));
    }

    fn begin(&mut self, now: Instant, id: ForwardId, targets: &[ResolvedTarget]) {
        let Some(forward) = self.forwards.get(&id) else {
            return;
        };
        let too_long = self.is_forward_too_long(forward);
        let attempts = attempts(now, forward.interface, targets, too_long, &self.blacklist);
        self.attempt(now, id, attempts);
    }

    fn attempt(&mut self, now: Instant, id: ForwardId, attempts: VecDeque<Attempt>) {
        if let Some(forward) = self.forwards.get_mut(&id) {
            forward.attempts = attempts;
        }
        self.try_next(now, id);
    }

    /// RFC 3261 18.1.1: with our Via it does not fit into a datagram of the path.
    pub(super) fn is_too_long(&self, request: &Request, interface: Interface) -> bool {
        self.interface(interface).is_some_and(|config| {
            request.bytes().len() + config.sent_by.len() + VIA_OVERHEAD > config.tcp_above_bytes
        })
    }

    fn is_forward_too_long(&self, forward: &Forward) -> bool {
        let request = forward.request.as_deref();
        request.is_some_and(|request| self.is_too_long(request, forward.interface))
    }

    /// RFC 3261 16.6 steps 8 and 10: our Via with a new branch, then a client transaction.
    fn try_next(&mut self, now: Instant, id: ForwardId) {
        let branch_token = self.fresh_token();
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        let failure = forward.failure;
        let Some(attempt) = forward.attempts.pop_front() else {
            self.fail(id, failure);
            return;
        };
        let interface = forward.interface;
        let Some(sent_by) = self.interface(interface).map(|config| config.sent_by.clone()) else {
            self.fail(id, ForwardFailure::Unresolvable);
            return;
        };
        if self.layer.running_client_count() >= self.config.limits.transactions_max {
            self.counters
                .count("ims_sip_refusals_total", "client_transactions_max");
            self.fail(id, ForwardFailure::Unreachable);
            return;
        }
        let wire = self.wire(interface, attempt.transport == Transport::Tcp);
        let Some(forward) = self.forwards.get(&id) else {
            return;
        };
        let Some(to_send) = &forward.request else {
            return;
        };
        let branch = via::branch(&branch_token, forward.loop_hash);
        let value = via::value(attempt.transport, &sent_by, &branch);
        let mut edit = to_send.edit();
        if let Some(left) = forward.hops_left {
            edit = edit.set(HeaderName::MaxForwards, left);
        }
        let request = edit.push_front(HeaderName::Via, value).finish_request();
        let (method, is_invite) = (request.method(), forward.is_invite);
        let client = self.layer.send_request(
            now,
            ClientRequest {
                bytes: request.bytes().clone(),
                branch,
                method,
                invite: is_invite.then_some(request),
                destination: attempt.destination,
                wire,
            },
        );
        if let Some(forward) = self.forwards.get_mut(&id) {
            forward.stage = Stage::Trying { client, attempt };
        }
        self.by_client.insert(client, id);
        if is_invite {
            // RFC 3261 16.6 step 11
            self.timers.set(CoreTimer::C(id), now + wire.first(TimerName::C));
        }
    }

    pub(super) fn on_response(&mut self, now: Instant, client: ClientTransactionId, response: &Response) {
        let Some(id) = self.by_client.get(&client).copied() else {
            return;
        };
        let status = response.status();
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        let is_busy = is_busy(response);
        if let Stage::Trying { attempt, .. } = forward.stage {
            match status {
                // It lives, and takes what it can: whoever passes it over for a while does to the next target what
                // was done to this one.
                StatusCode::SERVICE_UNAVAILABLE if is_busy => forward.skip_twins_of(&attempt),
                StatusCode::SERVICE_UNAVAILABLE => {
                    self.blacklist.add(now, attempt.transport, attempt.remote);
                    forward.skip_twins_of(&attempt);
                }
                _ => self.blacklist.remove(attempt.transport, attempt.remote),
            }
        }
        if status.is_provisional() {
            self.on_provisional(now, id, client, response);
            return;
        }
        self.timers.cancel(&CoreTimer::C(id));
        self.timers.cancel(&CoreTimer::CancelUnanswered(id));
        // RFC 3263 4.3: a 503 is a failure of the target, not of the next hop.
        if status == StatusCode::SERVICE_UNAVAILABLE
            && forward.cancel == Cancel::No
            && !forward.attempts.is_empty()
        {
            self.counters.count("ims_sip_failovers_total", "503");
            self.by_client.remove(&client);
            self.try_next(now, id);
            return;
        }
        if let Some(throttle) = &mut self.throttle
            && let Some(request) = forward.request.as_deref()
            && request.method() == Method::Register
            && self.priorities.of_message(request) == Work::New
        {
            match is_busy {
                true => throttle.on_refused(now),
                false => throttle.on_taken(now),
            }
        }
        if forward.is_invite && status.is_success() {
            forward.stage = Stage::Accepted;
            forward.request = None;
        } else if matches!(forward.stage, Stage::Accepted) {
            return;
        } else {
            forward.stage = Stage::Over;
            self.by_client.remove(&client);
        }
        self.outcomes
            .push_back((id, Outcome::Response(without_our_via(response))));
    }

    fn on_provisional(
        &mut self,
        now: Instant,
        id: ForwardId,
        client: ClientTransactionId,
        response: &Response,
    ) {
        if response.status() == StatusCode::TRYING {
            self.tell_trying(id);
        }
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        if !forward.is_invite || !matches!(forward.stage, Stage::Trying { .. }) {
            // RFC 4320 4.1: no provisional response to a non-INVITE request travels.
            return;
        }
        if forward.cancel == Cancel::Wanted {
            self.send_cancel(now, id, client);
        }
        if response.status() == StatusCode::TRYING {
            return;
        }
        // RFC 3261 16.7 step 2: "if the response is a provisional response with status codes 101 to 199 inclusive,
        // the proxy MUST reset timer C"
        if self.timers.get(&CoreTimer::C(id)).is_some()
            && let Some(forward) = self.forwards.get(&id)
        {
            let timer_c = self.wire(forward.interface, true).first(TimerName::C);
            self.timers.set(CoreTimer::C(id), now + timer_c);
        }
        self.outcomes
            .push_back((id, Outcome::Response(without_our_via(response))));
    }

    pub(super) fn on_client_failed(&mut self, now: Instant, client: ClientTransactionId, failure: Failure) {
        let Some(id) = self.by_client.remove(&client) else {
            return;
        };
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        let Stage::Trying { attempt, .. } = forward.stage else {
            return;
        };
        self.blacklist.add(now, attempt.transport, attempt.remote);
        match failure {
            Failure::Timeout => {
                self.counters.count("ims_sip_timeouts_total", "B_or_F");
                forward.failure = ForwardFailure::Timeout;
                forward.skip_twins_of(&attempt);
            }
            Failure::Transport => {
                self.counters.count("ims_sip_send_failures_total", "request");
                forward.failure = ForwardFailure::Unreachable;
            }
        }
        self.timers.cancel(&CoreTimer::C(id));
        if forward.cancel != Cancel::No {
            self.answer_locally(id, StatusCode::REQUEST_TERMINATED);
            return;
        }
        if !forward.attempts.is_empty() {
            self.counters.count("ims_sip_failovers_total", "next_target");
        }
        self.try_next(now, id);
    }

    pub(super) fn on_client_terminated(&mut self, client: ClientTransactionId) {
        let Some(id) = self.by_client.remove(&client) else {
            return;
        };
        let is_accepted = self
            .forwards
            .get(&id)
            .is_some_and(|forward| matches!(forward.stage, Stage::Accepted));
        if is_accepted {
            self.release(id);
        }
    }

    /// A final response that stands for one that cannot come.
    pub(super) fn answer_locally(&mut self, id: ForwardId, status: StatusCode) {
        let tag = self.fresh_token();
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        forward.stage = Stage::Over;
        let Some(request) = &forward.request else {
            return;
        };
        let response = request.reply(status).to_tag(&tag).finish();
        self.outcomes.push_back((id, Outcome::Response(response)));
    }

    pub(super) fn fail(&mut self, id: ForwardId, failure: ForwardFailure) {
        if let Some(forward) = self.forwards.get_mut(&id) {
            forward.stage = Stage::Over;
            self.outcomes.push_back((id, Outcome::Failed(failure)));
        }
    }

    /// Gives an outcome to whoever asked for the forward, and forgets the forward with its last one.
    pub(super) fn deliver(&mut self, now: Instant, id: ForwardId, outcome: Outcome) {
        let Some(forward) = self.forwards.get(&id) else {
            return;
        };
        let relay = forward.relay;
        if matches!(forward.stage, Stage::Over) && is_last(&outcome) {
            self.release(id);
        }
        match (relay, outcome) {
            (Some(transaction), outcome) => self.relay_outcome(now, transaction, id, outcome),
            (None, Outcome::Response(response)) => {
                self.events.push_back(CoreEvent::Response {
                    forward: id,
                    response,
                });
            }
            (None, Outcome::Failed(cause)) => self.events.push_back(CoreEvent::Failed { forward: id, cause }),
        }
    }

    fn release(&mut self, id: ForwardId) {
        self.timers.cancel(&CoreTimer::C(id));
        self.timers.cancel(&CoreTimer::CancelUnanswered(id));
        if let Some(transaction) = self.forwards.remove(&id).and_then(|forward| forward.relay) {
            self.relay_released(transaction, id);
        }
    }
}

impl Forward {
    fn new(
        relay: Option<ServerTransactionId>,
        parent: Option<ServerTransactionId>,
        request: Request,
        loop_hash: Option<u64>,
        interface: Interface,
    ) -> Self {
        Self {
            relay,
            parent,
            loop_hash: loop_hash.unwrap_or_else(|| via::loop_hash(&request)),
            is_invite: request.method() == Method::Invite,
            request: Some(Box::new(request)),
            hops_left: None,
            interface,
            attempts: VecDeque::new(),
            stage: Stage::Over,
            cancel: Cancel::No,
            cancel_reason: None,
            failure: ForwardFailure::Unreachable,
        }
    }

    fn with_hops_left(self, left: u8) -> Self {
        Self {
            hops_left: Some(left),
            ..self
        }
    }

    /// UDP after TCP is for peers that refuse TCP, not for peers that are silent or overloaded.
    fn skip_twins_of(&mut self, tried: &Attempt) {
        self.attempts
            .retain(|next| !(next.after_refused_tcp && next.remote == tried.remote));
    }
}

impl Attempt {
    fn to(interface: Interface, target: &ResolvedTarget) -> Self {
        Self {
            destination: Destination::Address {
                interface,
                transport: target.transport,
                remote: target.remote,
            },
            transport: target.transport,
            remote: target.remote,
            after_refused_tcp: false,
        }
    }
}

/// RFC 3261 21.5.4: too much to do for now.
fn is_busy(response: &Response) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE && response.header(HeaderName::RetryAfter).is_some()
}

fn is_last(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Response(response) => response.status().is_final(),
        Outcome::Failed(_) => true,
    }
}

/// RFC 3261 16.7 step 3.
fn without_our_via(response: &Response) -> Response {
    response.edit().pop_first_value(HeaderName::Via).finish_response()
}
