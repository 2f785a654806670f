//! Machine: what comes in, and what is refused on sight (RFC 3261 16.3, 9.2; RFC 5393).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use rand::RngCore;

use crate::net::{Destination, Flow, Malformed, SipOutput, Transmit, Transport};
use crate::overload::{Storm, Work};
use crate::sip::{HeaderName, Message, Method, Request, Response, SipMessage, StatusCode};
use crate::transaction::key::ServerKey;
use crate::transaction::layer::{Incoming, ServerTransaction, TAG_STATELESS};
use crate::transaction::response_route::ResponseRoute;
use crate::transaction::{TimerName, to_tag, wire};
use crate::why::{Fact, Facts, Note, NoteKind};

use super::core::ProxyCore;
use super::{CoreEvent, malformed, via};

/// Transactions of different methods under one branch; RFC 3261 knows two, INVITE and CANCEL. They are searched
/// in turn, so that more would let a peer make every packet cost more than the one before.
const METHODS_PER_BRANCH_MAX: usize = 8;

/// What the shell says of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Urgency {
    /// Nothing.
    Normal,
    /// It came when there was too much to do.
    Excess,
}

impl ProxyCore {
    pub(super) fn receive(&mut self, now: Instant, message: Message, flow: Flow, urgency: Urgency) {
        match message.into_parts() {
            SipMessage::Request(request) => self.receive_request(now, &request, flow, urgency),
            SipMessage::Response(response) => self.receive_response(now, response, &flow),
        }
    }

    pub(super) fn receive_malformed(&mut self, now: Instant, malformed: &Malformed) {
        self.counters.count("ims_sip_malformed_total", malformed.reason);
        let tag = self.fresh_token();
        if let Some(transmit) = malformed::answer(malformed, &tag) {
            if self.answer_budget.take(now) {
                self.outputs.push_back(SipOutput::Transmit(transmit));
            } else {
                self.counters.count("ims_sip_refusals_total", "malformed_rate");
            }
        }
    }

    fn receive_response(&mut self, now: Instant, response: Response, flow: &Flow) {
        let key = self.layer.client_key(&response);
        // What has a key is readable.
        let readable = key.is_some() || (response.top_via().is_ok() && response.cseq().is_ok());
        if !readable {
            self.counters.count("ims_sip_malformed_total", "response");
        } else if !key.is_some_and(|key| self.layer.receive_response(now, key, response, flow)) {
            // RFC 6026 8.2: a response that matches no transaction is not forwarded.
            self.counters
                .count("ims_sip_responses_unmatched_total", "no_transaction");
        }
    }

    fn receive_request(&mut self, now: Instant, request: &Request, flow: Flow, urgency: Urgency) {
        self.count_request(&request.method());
        match self.layer.receive_request(now, request, &flow) {
            Incoming::Absorbed => {}
            Incoming::Unusable => self.counters.count("ims_sip_malformed_total", "via"),
            Incoming::Ack => self.receive_ack(request, flow),
            Incoming::New(key) if request.method() == Method::Cancel => {
                self.receive_cancel(now, key, request, flow)
            }
            Incoming::New(key) if self.refused.contains(now, key) => {
                self.counters.count("ims_sip_refusals_total", "repeated");
                self.refuse_stateless(request, &flow);
            }
            Incoming::New(key) => match self.overload(now, request, &flow, urgency) {
                Some(reason) => {
                    self.counters.count("ims_sip_refusals_total", reason);
                    self.note_reason(request, reason);
                    let retry_after = self.put_off(now, request);
                    self.refuse_with(request, &flow, retry_after);
                    self.note_refusal(now, key, &flow);
                }
                None => {
                    self.receive_new(now, key, request, flow);
                }
            },
        }
    }

    /// Datagrams are repeated until an answer comes, for 64*T1 (RFC 3261 17.1.2.2), and the last is on its way for up to
    /// T4 (RFC 3261 17.1.1.2).
    fn note_refusal(&mut self, now: Instant, key: ServerKey, flow: &Flow) {
        if flow.transport == Transport::Tcp {
            return;
        }
        let wire = self.wire(flow.interface, false);
        let linger = wire.first(TimerName::F) + wire.first(TimerName::K);
        if self.refused.add(now, key, linger) {
            self.counters.count("ims_sip_refusals_forgotten_total", "full");
        }
    }

    /// Answers a request without a transaction, within the budget for such answers; all else is dropped.
    pub fn turn_away(&mut self, now: Instant, message: &Message, flow: &Flow, status: StatusCode) {
        let SipMessage::Request(request) = message.clone().into_parts() else {
            return;
        };
        if request.method() == Method::Ack || !self.answer_budget.take(now) {
            return;
        }
        let tag = self.stateless_tag(self.stateless_hash(&request));
        let via = wire::marked_via(&request, flow);
        let response = request.reply(status).to_tag(&tag).first_via_line(via).finish();
        self.send_stateless(&response, flow);
    }

    /// Why there is too much to do for a request, if there is: no transaction is made for it then. What is repeated
    /// was taken before and does not come here.
    fn overload(
        &mut self,
        now: Instant,
        request: &Request,
        flow: &Flow,
        urgency: Urgency,
    ) -> Option<&'static str> {
        if let Some(reason) = self.no_room_for(request) {
            return Some(reason);
        }
        // The rest is for what is in progress.
        let max = self.config.limits.transactions_max;
        let is_crowded = self.layer.running_server_count() >= max - max / 8;
        let is_register = request.method() == Method::Register;
        let throttle = self.throttle.as_mut().filter(|_| is_register);
        let is_throttled = throttle.as_ref().is_some_and(|throttle| throttle.permille() > 0);
        let storm = self.storm.as_mut().filter(|_| is_register);
        let has_rate = storm.as_ref().is_some_and(|storm| storm.has_rate());
        if !(is_crowded || is_throttled || has_rate || urgency == Urgency::Excess)
            || self.priorities.work_of(flow, request) == Work::InProgress
        {
            return None;
        }
        if is_crowded {
            return Some("transactions_max");
        }
        if urgency == Urgency::Excess {
            return Some("overload");
        }
        if storm.is_some_and(|storm| storm.is_over(now)) {
            return Some("register_rate");
        }
        throttle?.sheds(now, &mut self.rng).then_some("next_hop_overload")
    }

    fn receive_new(&mut self, now: Instant, key: ServerKey, request: &Request, flow: Flow) {
        if self.layer.methods_of(key) >= METHODS_PER_BRANCH_MAX {
            self.counters.count("ims_sip_refusals_total", "branch_reused");
            return;
        }
        let marked = wire::mark_received(request, &flow);
        let loop_hash = via::loop_hash(request);
        let wire = self.wire(flow.interface, flow.transport == Transport::Tcp);
        let transaction = self
            .layer
            .open_server(now, key, marked.clone(), flow, wire, loop_hash);
        match self.check(request, loop_hash) {
            Ok(()) => self.events.push_back(CoreEvent::Request {
                transaction,
                request: marked,
                flow,
            }),
            Err(refusal) => {
                self.counters.count("ims_sip_refusals_total", refusal.reason);
                self.note_reason(request, refusal.reason);
                let retry_after = self.config.limits.retry_after.of(self.rng.next_u64());
                self.reject_with(now, transaction, refusal.status, |mut reply| {
                    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
                        reply = reply.header(HeaderName::RetryAfter, retry_after);
                    }
                    if !refusal.unsupported.is_empty() {
                        reply = reply.header(HeaderName::Unsupported, refusal.unsupported.join(", "));
                    }
                    reply
                });
            }
        }
    }

    /// For whoever asks later why this request was refused.
    fn note_reason(&mut self, request: &Request, reason: &'static str) {
        self.note(|| {
            let call_id = request.call_id().unwrap_or_default();
            Note::of_call(NoteKind::Refused, call_id, Facts::new()).saying(reason)
        });
    }

    /// RFC 3261 16.3, in its order.
    fn check(&self, request: &Request, loop_hash: u64) -> Result<(), Refusal> {
        // Step 1: reasonable syntax.
        if let Err(bad) = request.validate() {
            return Err(Refusal::new(bad.status(), bad.reason));
        }
        let in_dialog = to_tag(request).is_some_and(|tag| !tag.is_empty());
        if self.draining && !in_dialog {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "draining"));
        }
        // Step 3: Max-Forwards. An OPTIONS may be answered instead.
        if request.max_forwards() == Some(0) && request.method() != Method::Options {
            return Err(Refusal::new(StatusCode::TOO_MANY_HOPS, "max_forwards"));
        }
        // RFC 5393 5.3.3: no breadth is left.
        if max_breadth(request) == Some(0) {
            return Err(Refusal::new(StatusCode::MAX_BREADTH_EXCEEDED, "max_breadth"));
        }
        // Step 4: loops.
        if via::is_loop(request, loop_hash, |sent_by| self.is_own_sent_by(sent_by)) {
            return Err(Refusal::new(StatusCode::LOOP_DETECTED, "loop"));
        }
        // Step 5: Proxy-Require.
        let unsupported: Vec<String> = request
            .tokens(HeaderName::ProxyRequire)
            .filter(|tag| {
                !self
                    .supported
                    .iter()
                    .any(|known| tag.eq_ignore_ascii_case(known.as_bytes()))
            })
            .map(|tag| String::from_utf8_lossy(tag).into_owned())
            .collect();
        if !unsupported.is_empty() {
            return Err(Refusal {
                status: StatusCode::BAD_EXTENSION,
                reason: "proxy_require",
                unsupported,
            });
        }
        Ok(())
    }

    fn receive_ack(&mut self, request: &Request, flow: Flow) {
        if to_tag(request)
            .is_some_and(|tag| tag == self.stateless_tag(self.stateless_hash(request)).as_bytes())
        {
            return;
        }
        // An ACK is never answered: what is wrong with it ends it.
        if request.validate().is_err() || request.max_forwards() == Some(0) {
            self.counters.count("ims_sip_malformed_total", "ack");
            return;
        }
        let request = wire::mark_received(request, &flow);
        self.events.push_back(CoreEvent::Ack { request, flow });
    }

    /// RFC 3261 9.2 and 16.10: the CANCEL is answered here, and the INVITE it means is ended.
    fn receive_cancel(&mut self, now: Instant, key: ServerKey, request: &Request, flow: Flow) {
        let meant = self.layer.find_cancellable(key, &flow);
        // RFC 3261 9.2, 26: who does not speak for the INVITE is not answered: the answer would be repeated to who does.
        if meant.is_none() && self.layer.is_cancel_of_something(key) {
            self.counters
                .count("ims_sip_refusals_total", "cancel_from_elsewhere");
            return;
        }
        if let Some(reason) = self.no_room_for(request) {
            self.counters.count("ims_sip_refusals_total", reason);
            self.refuse_stateless(request, &flow);
        } else {
            let marked = wire::mark_received(request, &flow);
            let wire = self.wire(flow.interface, flow.transport == Transport::Tcp);
            let own = self.layer.open_server(now, key, marked, flow, wire, 0);
            let status = match meant {
                Some(_) => StatusCode::OK,
                None => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            };
            self.reject_with(now, own, status, |reply| reply);
        }
        if let Some(transaction) = meant {
            self.cancelled(now, transaction, request);
        }
    }

    fn cancelled(
        &mut self,
        now: Instant,
        transaction: crate::transaction::ServerTransactionId,
        cancel: &Request,
    ) {
        // "CANCEL requests that match a transaction of another method than INVITE have no effect"
        let is_invite = self
            .layer
            .server(transaction)
            .is_some_and(ServerTransaction::is_invite);
        if !is_invite || !self.layer.awaits_final(transaction) {
            return;
        }
        self.layer.set_cancel_reasons(transaction, wire::reasons(cancel));
        if self.cancelled_upstream(now, transaction) {
            self.events.push_back(CoreEvent::Cancelled { transaction });
        }
    }

    /// Which limit a further transaction would break.
    fn no_room_for(&self, request: &Request) -> Option<&'static str> {
        let limits = &self.config.limits;
        let octets = self.layer.request_octets().saturating_add(request.bytes().len());
        if self.layer.running_server_count() >= limits.transactions_max {
            Some("transactions_max")
        } else if octets > limits.transaction_bytes_max {
            Some("transaction_bytes_max")
        } else {
            None
        }
    }

    /// 503 without a transaction, for when there is no room for one.
    fn refuse_stateless(&mut self, request: &Request, flow: &Flow) {
        self.refuse_with(request, flow, None);
    }

    /// When the sender of a REGISTER may come again, where phones that are refused come one after the other.
    fn put_off(&mut self, now: Instant, request: &Request) -> Option<u64> {
        let is_register = request.method() == Method::Register;
        // Without a rate of the operator's the Retry-After is drawn, which fills the room that there is at once.
        let has_rate = |storm: &&mut Storm| is_register && storm.has_rate();
        let storm = self.storm.as_mut().filter(has_rate)?;
        let retry_after = storm.put_off(now, self.config.limits.retry_after);
        if let Some(state) = storm.poll_state(now) {
            let (min, max) = state.retry_after;
            let (per_second, refused) = (state.per_second, state.refused);
            tracing::warn!(
                per_second,
                refused,
                min,
                max,
                "registration storm: phones are put off"
            );
            self.note(|| {
                let facts = Facts::new()
                    .with(Fact::Limit, per_second)
                    .with(Fact::Count, refused)
                    .with(Fact::RetryAfter, format!("{min}-{max}"));
                Note::of_node(NoteKind::Throttled, facts).saying("registration storm")
            });
        }
        Some(retry_after)
    }

    fn refuse_with(&mut self, request: &Request, flow: &Flow, retry_after: Option<u64>) {
        let hash = self.stateless_hash(request);
        let tag = self.stateless_tag(hash);
        let retry_after = retry_after.unwrap_or_else(|| self.config.limits.retry_after.of(hash));
        let response = request
            .reply(StatusCode::SERVICE_UNAVAILABLE)
            .to_tag(&tag)
            .first_via_line(wire::marked_via(request, flow))
            .header(HeaderName::RetryAfter, retry_after)
            .finish();
        self.send_stateless(&response, flow);
    }

    fn send_stateless(&mut self, response: &Response, flow: &Flow) {
        let destination: Destination = ResponseRoute::of(response, flow).first;
        let bytes = response.bytes().clone();
        self.outputs.push_back(SipOutput::Transmit(Transmit {
            bytes,
            destination,
            tag: TAG_STATELESS,
        }));
    }

    /// RFC 3261 8.2.7: a stateless UAS gives the same answer to every retransmission.
    fn stateless_hash(&self, request: &Request) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        request.call_id().hash(&mut hasher);
        request.cseq().map_or(0, |cseq| cseq.number).hash(&mut hasher);
        crate::transaction::from_tag(request).hash(&mut hasher);
        hasher.finish()
    }

    /// The To tag of such an answer, by which its ACK is known.
    fn stateless_tag(&self, hash: u64) -> String {
        format!("{:02x}0{hash:016x}", self.config.shard.0)
    }

    pub(super) fn is_own_sent_by(&self, sent_by: &[u8]) -> bool {
        self.config
            .interfaces
            .iter()
            .any(|own| own.sent_by.as_bytes().eq_ignore_ascii_case(sent_by))
    }

    /// Methods by name; what is not of an RFC shares one label, so that nobody can fill the table.
    fn count_request(&mut self, method: &Method) {
        let label = match method {
            Method::Other(_) => "other",
            known => known.as_str(),
        };
        if let Some(count) = self.requests.get_mut(label) {
            *count = count.saturating_add(1);
        } else {
            self.requests.insert(label.to_owned(), 1);
        }
    }
}

/// Why a request is refused on sight.
struct Refusal {
    status: StatusCode,
    reason: &'static str,
    unsupported: Vec<String>,
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            unsupported: Vec::new(),
        }
    }
}

/// RFC 5393 5.3.3: how many branches may still be made.
pub(super) fn max_breadth(request: &Request) -> Option<u32> {
    let text = request.header(HeaderName::MaxBreadth)?;
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
