//! Machine: the proxy core's tables and public calls (RFC 3261 16).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::RngCore;
use rand::rngs::StdRng;

use crate::net::{Flow, Interface, ResolveId, SipInput, SipOutput};
use crate::node::{Counters, Metrics, Seed, TimerTable, earliest};
use crate::operate::{LimitRow, List, Question, Report};
use crate::overload::{Priorities, Storm, StormLimits, Throttle, Work};
use crate::sip::{HeaderName, Message, Reply, Request, Response, StatusCode};
use crate::token;
use crate::transaction::layer::{ServerTransaction, TransactionEvent, TransactionLayer};
use crate::transaction::{ClientTransactionId, ServerTransactionId, SipTimers, Wire};
use crate::why::{Note, Notes};

use super::blacklist::Blacklist;
use super::forward::{Forward, Outcome};
use super::malformed::AnswerBudget;
use super::receive::Urgency;
use super::refused::Refused;
use super::relay::Relay;
use super::{CoreEvent, ForwardId, InterfaceConfig, NextHop, ProxyCoreConfig};

/// How long DNS may take before its silence counts as an empty answer.
pub(super) const RESOLVE_WAIT: Duration = Duration::from_secs(10);
/// Option tags in Proxy-Require that every CSCF honours (RFC 3327, RFC 3329).
const SUPPORTED: [&str; 2] = ["path", "sec-agree"];
/// Keeps the core's random stream apart from the node's.
const RNG_STREAM: u8 = 0x50;
/// Of the secret that makes the keys of transactions.
const KEY_STREAM: u8 = 0x51;

/// What a timer of the core is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum CoreTimer {
    /// Timer C of a forwarded INVITE.
    C(ForwardId),
    /// A CANCEL was sent and no final response came (RFC 3261 9.1: after 64*T1).
    CancelUnanswered(ForwardId),
    /// DNS is silent.
    Resolve(ResolveId),
    /// A group of branches has had its time.
    Group(ServerTransactionId),
}

/// What waits for an answer of DNS.
#[derive(Debug)]
pub(super) enum Resolving {
    Forward {
        forward: ForwardId,
        host: String,
    },
    Ack {
        request: Box<Request>,
        interface: Interface,
    },
}

/// The proxy core: transactions, next hops, forking. See the [module](super).
pub struct ProxyCore {
    pub(super) config: ProxyCoreConfig,
    pub(super) supported: Vec<&'static str>,
    pub(super) rng: StdRng,
    /// Makes the To tags of stateless refusals unguessable.
    pub(super) salt: u64,
    pub(super) layer: TransactionLayer,
    pub(super) forwards: BTreeMap<ForwardId, Forward>,
    pub(super) by_client: HashMap<ClientTransactionId, ForwardId>,
    pub(super) relays: BTreeMap<ServerTransactionId, Relay>,
    pub(super) resolving: BTreeMap<ResolveId, Resolving>,
    pub(super) timers: TimerTable<CoreTimer>,
    pub(super) blacklist: Blacklist,
    pub(super) refused: Refused,
    pub(super) answer_budget: AnswerBudget,
    pub(super) outcomes: VecDeque<(ForwardId, Outcome)>,
    pub(super) events: VecDeque<CoreEvent>,
    pub(super) outputs: VecDeque<SipOutput>,
    pub(super) counters: Counters,
    pub(super) notes: Notes,
    pub(super) requests: BTreeMap<String, u64>,
    pub(super) draining: bool,
    /// For REGISTERs towards the home network.
    pub(super) throttle: Option<Throttle>,
    /// Of phones.
    pub(super) storm: Option<Storm>,
    pub(super) priorities: Priorities,
    next: u64,
}

impl ProxyCore {
    /// An idle core.
    #[must_use]
    pub fn new(config: ProxyCoreConfig, seed: &Seed) -> Self {
        let mut rng = seed.rng(RNG_STREAM);
        let key_secret = rand::Rng::random(&mut seed.rng(KEY_STREAM));
        let completed_bytes_max = config.limits.completed_bytes_max;
        Self {
            supported: SUPPORTED.to_vec(),
            salt: rand::Rng::random(&mut rng),
            config,
            rng,
            layer: TransactionLayer::new(key_secret, completed_bytes_max),
            forwards: BTreeMap::new(),
            by_client: HashMap::new(),
            relays: BTreeMap::new(),
            resolving: BTreeMap::new(),
            timers: TimerTable::default(),
            blacklist: Blacklist::default(),
            refused: Refused::default(),
            answer_budget: AnswerBudget::default(),
            outcomes: VecDeque::new(),
            events: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            notes: Notes::default(),
            requests: BTreeMap::new(),
            draining: false,
            throttle: None,
            storm: None,
            priorities: Priorities::default(),
            next: 0,
        }
    }

    /// Adds an option tag that requests may have in Proxy-Require; others are refused with 420. `path` and
    /// `sec-agree` are there from the start.
    pub fn support(&mut self, tag: &'static str) {
        self.supported.push(tag);
    }

    /// From now on, new REGISTERs are refused here in the measure in which the next hop refuses them because it has
    /// too much to do. For nodes that send all REGISTERs to one place.
    pub fn throttle_registers(&mut self) {
        self.throttle = Some(Throttle::default());
    }

    /// Takes what came from the shell.
    pub fn handle(&mut self, now: Instant, input: SipInput) {
        match input {
            SipInput::Received { flow, message } => self.receive(now, message, flow, Urgency::Normal),
            SipInput::Excess { flow, message } => self.receive(now, message, flow, Urgency::Excess),
            SipInput::Malformed(malformed) => self.receive_malformed(now, &malformed),
            SipInput::SendFailed(tag) => self.layer.send_failed(now, tag),
            SipInput::Resolved { id, targets } => self.resolved(now, id, &targets),
            // The node asked it, not the core.
            SipInput::Naptr { .. } => {}
            SipInput::ConnectionClosed(connection, opened_to) => {
                self.layer.connection_closed(now, connection);
                if let Some(peer) = opened_to {
                    self.layer.write_again(now, peer);
                }
            }
        }
        self.pump(now);
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.layer.handle_timeout(now);
        while let Some(timer) = self.timers.pop_expired(now) {
            match timer {
                CoreTimer::C(forward) => self.timer_c_fired(now, forward),
                CoreTimer::CancelUnanswered(forward) => self.cancel_unanswered(forward),
                CoreTimer::Resolve(id) => self.resolved(now, id, &[]),
                CoreTimer::Group(transaction) => self.group_overdue(now, transaction),
            }
        }
        self.pump(now);
    }

    /// When [`Self::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.layer.poll_timeout(), self.timers.next())
    }

    /// The next event for the node.
    pub fn poll_event(&mut self) -> Option<CoreEvent> {
        self.events.pop_front()
    }

    /// The next output for the shell.
    pub fn poll_output(&mut self) -> Option<SipOutput> {
        self.outputs.pop_front()
    }

    /// Sends a request on, edited by the node (Request-URI, Route, Record-Route, Path); Max-Forwards is
    /// decremented and our Via added here. The outcome comes as [`CoreEvent::Response`] or
    /// [`CoreEvent::Failed`]. Targets of one next hop are tried in turn on transport error, timeout and 503.
    pub fn forward(
        &mut self,
        now: Instant,
        request: Request,
        hop: NextHop,
        interface: Interface,
    ) -> ForwardId {
        let id = self.fresh_forward_id();
        self.start_forward(now, id, None, request, hop, interface);
        self.pump(now);
        id
    }

    /// Sends a request of our own, complete except for Via.
    pub fn originate(
        &mut self,
        now: Instant,
        request: Request,
        hop: NextHop,
        interface: Interface,
    ) -> ForwardId {
        let id = self.fresh_forward_id();
        self.start_originated(now, id, request, hop, interface);
        self.pump(now);
        id
    }

    /// Sends a response upstream: built with [`Request::reply`], or come from downstream.
    ///
    /// A 408 to a non-INVITE request is not sent; the transaction is dropped instead (RFC 4320 4.2).
    pub fn respond(&mut self, now: Instant, transaction: ServerTransactionId, response: Response) {
        self.respond_inner(now, transaction, &response);
        self.pump(now);
    }

    /// Answers with a status and nothing else.
    pub fn reject(&mut self, now: Instant, transaction: ServerTransactionId, status: StatusCode) {
        self.reject_with(now, transaction, status, |reply| reply);
        self.pump(now);
    }

    /// The same with what `finish` adds.
    pub fn reject_saying(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        status: StatusCode,
        finish: impl for<'a> FnOnce(Reply<'a>) -> Reply<'a>,
    ) {
        self.reject_with(now, transaction, status, finish);
        self.pump(now);
    }

    /// The seconds of a Retry-After, drawn between the limits.
    pub fn retry_after(&mut self) -> u64 {
        self.config.limits.retry_after.of(self.rng.next_u64())
    }

    /// Forgets a request without any answer: for policies that want silence (TS 24.229 5.2.1).
    pub fn abandon(&mut self, transaction: ServerTransactionId) {
        self.layer.abandon(transaction);
    }

    /// Cancels a forwarded INVITE: at once if a provisional response came, else as soon as one comes
    /// (RFC 3261 9.1). The Reason of the CANCEL that came from upstream goes along, else `reason`, the value of a Reason
    /// header. The final response, 487 as a rule, comes as an event. No effect on other requests.
    pub fn cancel(&mut self, now: Instant, forward: ForwardId, reason: Option<&str>) {
        self.cancel_forward(now, forward, reason);
        self.pump(now);
    }

    /// From now on refuses requests that start something new with 503.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether no transaction is alive.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.layer.is_idle() && self.forwards.is_empty() && self.resolving.is_empty()
    }

    /// Whether every request has its final response, in both directions: what a drain waits for. Completed
    /// transactions that only absorb retransmissions do not count; on Gm they would last for 128 s.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.layer.is_settled() && self.resolving.is_empty()
    }

    /// Whether the transaction still owes its final response.
    #[must_use]
    pub fn awaits_final(&self, transaction: ServerTransactionId) -> bool {
        self.layer.awaits_final(transaction)
    }

    /// An unguessable token with this core's shard: tags, Call-IDs, ICIDs.
    pub fn fresh_token(&mut self) -> String {
        token::fresh(self.config.shard, &mut self.rng)
    }

    /// Has phones whose REGISTERs are refused come again one after the other.
    pub fn put_off_registers(&mut self, limits: StormLimits) {
        self.storm = Some(Storm::new(limits));
    }

    /// Says what goes before what is new, when there is too much to do.
    pub fn prioritise(&mut self, priorities: Priorities) {
        self.priorities = priorities;
    }

    /// How urgent a message is that comes along a flow.
    #[must_use]
    pub fn work_of(&self, flow: &Flow, message: &Message) -> Work {
        self.priorities.work_of(flow, message)
    }

    /// Notes what no wire shows, for whoever asks later why something failed.
    pub fn note(&mut self, note: impl FnOnce() -> Note) {
        self.notes.make(note);
    }

    /// The next note.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.poll()
    }

    /// Adds counters and gauges.
    pub fn export_metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        self.layer.counters.export(out);
        for (method, count) in &self.requests {
            out.counter("ims_sip_requests_total", &[("method", method)], *count);
        }
        let gauge = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        out.gauge(
            "ims_sip_transactions",
            &[("side", "server")],
            gauge(self.layer.server_count()),
        );
        out.gauge(
            "ims_sip_transactions",
            &[("side", "client")],
            gauge(self.layer.client_count()),
        );
        out.gauge(
            "ims_sip_transaction_bytes",
            &[("state", "running")],
            gauge(self.layer.request_octets()),
        );
        out.gauge(
            "ims_sip_transaction_bytes",
            &[("state", "completed")],
            gauge(self.layer.completed_octets()),
        );
        out.gauge("ims_sip_forwards", &[], gauge(self.forwards.len()));
        out.gauge("ims_sip_response_contexts", &[], gauge(self.relays.len()));
    }

    /// Adds next hops that are left out for a while, and the limits of transactions, when they are asked for.
    pub fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        match question.list {
            List::Peers => self.blacklist.report(now, question, out),
            List::Limits => {
                let limits = &self.config.limits;
                let refused = |reason| self.counters.get("ims_sip_refusals_total", reason);
                let transactions = LimitRow::new("limits.transactions", limits.transactions_max)
                    .used(self.layer.server_count())
                    .refused(refused("transactions_max"));
                out.add(question, || transactions);
                let octets = LimitRow::new("limits.transaction_bytes", limits.transaction_bytes_max)
                    .used(self.layer.request_octets())
                    .refused(refused("transaction_bytes_max"));
                out.add(question, || octets);
                let completed = LimitRow::new("limits.completed_bytes", limits.completed_bytes_max)
                    .used(self.layer.completed_octets());
                out.add(question, || completed);
            }
            _ => {}
        }
    }

    /// Settles what the layer and the forwards have to say, then takes what is to be transmitted.
    pub(super) fn pump(&mut self, now: Instant) {
        loop {
            if let Some(event) = self.layer.poll_event() {
                match event {
                    TransactionEvent::Response { client, response } => {
                        self.on_response(now, client, &response)
                    }
                    TransactionEvent::ClientFailed { client, failure } => {
                        self.on_client_failed(now, client, failure)
                    }
                    TransactionEvent::ClientTerminated { client } => self.on_client_terminated(client),
                    TransactionEvent::ServerOverdue { server } => self.on_server_overdue(now, server),
                }
            } else if let Some((forward, outcome)) = self.outcomes.pop_front() {
                self.deliver(now, forward, outcome);
            } else {
                break;
            }
        }
        while let Some(transmit) = self.layer.poll_transmit() {
            self.outputs.push_back(SipOutput::Transmit(transmit));
        }
    }

    /// Every request gets a final response, also one that the node forgot. As long as something is under way for
    /// it, the node has not.
    fn on_server_overdue(&mut self, now: Instant, transaction: ServerTransactionId) {
        if !self.layer.awaits_final(transaction) {
            return;
        }
        let is_under_way = |forward: &Forward| forward.parent == Some(transaction);
        if self.relays.contains_key(&transaction) || self.forwards.values().any(is_under_way) {
            self.layer.expect_final(now, transaction);
            return;
        }
        self.counters
            .count("ims_sip_transactions_overdue_total", "no_final_response");
        let server = self.layer.server(transaction);
        if server.is_some_and(ServerTransaction::is_invite) {
            self.reject_with(now, transaction, StatusCode::SERVER_INTERNAL_ERROR, |reply| reply);
        } else {
            // RFC 4320 4.2: the client's timer F has fired long ago.
            self.layer.abandon(transaction);
        }
    }

    pub(super) fn respond_inner(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        response: &Response,
    ) {
        let status = response.status();
        let Some(server) = self.layer.server(transaction) else {
            let reason = match self.layer.is_completed(transaction) {
                true => "final_already_sent",
                false => "transaction_gone",
            };
            self.counters.count("ims_sip_responses_dropped_total", reason);
            return;
        };
        if status == StatusCode::REQUEST_TIMEOUT && !server.is_invite() {
            // RFC 4320 4.2: "MUST NOT send a response with Status-Code of 408 to a non-INVITE request"
            self.counters
                .count("ims_sip_responses_dropped_total", "408_to_non_invite");
            self.layer.time_out(now, transaction);
            return;
        }
        if self.layer.respond(now, transaction, response) {
            self.counters
                .count("ims_sip_responses_total", class_label(status));
        } else {
            self.counters
                .count("ims_sip_responses_dropped_total", "final_already_sent");
        }
    }

    /// Answers with a reply that `finish` may add to.
    pub(super) fn reject_with(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        status: StatusCode,
        finish: impl for<'a> FnOnce(Reply<'a>) -> Reply<'a>,
    ) {
        let tag = self.fresh_token();
        let server = self.layer.server(transaction);
        let Some(request) = server.and_then(|server| server.request.as_ref()) else {
            let reason = match server.is_some() {
                true => "final_already_sent",
                false => "transaction_gone",
            };
            self.counters.count("ims_sip_responses_dropped_total", reason);
            return;
        };
        let mut reply = request.reply(status).to_tag(&tag);
        if !self.config.server_header.is_empty() {
            reply = reply.header(HeaderName::Server, &self.config.server_header);
        }
        let response = finish(reply).finish();
        self.respond_inner(now, transaction, &response);
    }

    pub(super) fn interface(&self, interface: Interface) -> Option<&InterfaceConfig> {
        self.config
            .interfaces
            .iter()
            .find(|config| config.interface == interface)
    }

    pub(super) fn wire(&self, interface: Interface, reliable: bool) -> Wire {
        let timers = self
            .interface(interface)
            .map_or(SipTimers::mw(), |config| config.timers);
        Wire { timers, reliable }
    }

    pub(super) fn fresh_forward_id(&mut self) -> ForwardId {
        ForwardId(self.next_number())
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn class_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "6xx",
    }
}
