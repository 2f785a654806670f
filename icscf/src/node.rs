//! Machine: the I-CSCF as one node: what comes in, which procedure takes it, what goes out (TS 24.229 5.3).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use hss_client::cx::{CxInput, CxOutput, CxPush, CxPushAnswer, CxRequest, CxRequestId, CxResult, Ppa, Rta};
use hss_client::with_hss::{CscfInput, CscfOutput};
use ims_common::config::TrustedPeers;
use ims_common::net::{Command, Flow};
use ims_common::node::{Counters, Metrics, Node, TimerTable, earliest};
use ims_common::operate::{Question, Report};
use ims_common::proxy::{CoreEvent, ForwardFailure, ForwardId, ProxyCore, ServerTransactionId};
use ims_common::sip::{HeaderName, Host, Method, Request, StatusCode, Uri, UriBuf};
use ims_common::why::Note;
use tracing::info;

use crate::passage::Passages;
use crate::register::{AwaitScscf, AwaitUaa};
use crate::reject::Reject;
use crate::selection::Scscf;
use crate::terminating::AwaitLia;

/// What the configuration means to the procedures.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Our own domain, for a REGISTER without P-Visited-Network-ID.
    pub(crate) home_realm: String,
    /// URIs whose host and port mean this node.
    pub(crate) own_uris: Vec<UriBuf>,
    /// S-CSCFs, for users that the HSS has assigned none.
    pub(crate) scscfs: Vec<Scscf>,
    /// How long one S-CSCF may take to answer a REGISTER.
    pub(crate) scscf_timeout: Duration,
    /// The trust domain (TS 24.229 4.4).
    pub(crate) trusted_peers: TrustedPeers,
    /// Domains of services that are reached by DNS, without the HSS.
    pub(crate) psi_domains: Vec<String>,
    /// Whether S-CSCFs are told which HSS answered.
    pub(crate) p_user_database: bool,
}

impl Settings {
    /// Whether a message of this flow is from inside the trust domain.
    pub(crate) fn trusts(&self, flow: &Flow) -> bool {
        self.trusted_peers.contains(flow.remote.ip())
    }

    /// RFC 4457 4.1: the HSS that answered, as the S-CSCF may ask it again, if it is to know.
    pub(crate) fn user_database(&self, origin_host: &str) -> Option<String> {
        let named = self.p_user_database && Host::parse(origin_host.as_bytes()).is_some();
        named.then(|| format!("<aaa://{origin_host}>"))
    }

    /// Whether a URI names this I-CSCF, whatever its user part and parameters.
    pub(crate) fn is_own(&self, uri: &Uri<'_>) -> bool {
        let port = |p: Option<u16>| p.unwrap_or(5060);
        self.own_uris.iter().any(|own| {
            let own = own.as_uri();
            own.host() == uri.host() && port(own.port()) == port(uri.port())
        })
    }
}

/// What an answer of the HSS is awaited for.
#[derive(Debug)]
pub(crate) enum Query {
    /// A REGISTER.
    Uaa(AwaitUaa),
    /// Another initial request.
    Lia(AwaitLia),
}

/// Whether the operator asked to finish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    Draining,
    Drained,
}

/// An I-CSCF; needs an HSS client at its side ([`hss_client::with_hss::WithHss`]).
pub struct Icscf {
    pub(crate) core: ProxyCore,
    pub(crate) settings: Settings,
    queries: BTreeMap<CxRequestId, Query>,
    pub(crate) registers: BTreeMap<ForwardId, AwaitScscf>,
    pub(crate) scscf_timers: TimerTable<ForwardId>,
    pub(crate) passages: Passages,
    pub(crate) counters: Counters,
    next_query: u64,
    outputs: VecDeque<CxOutput>,
    phase: Phase,
}

impl Icscf {
    pub(crate) fn new(core: ProxyCore, settings: Settings) -> Self {
        Self {
            core,
            settings,
            queries: BTreeMap::new(),
            registers: BTreeMap::new(),
            scscf_timers: TimerTable::default(),
            passages: Passages::default(),
            counters: Counters::default(),
            next_query: 0,
            outputs: VecDeque::new(),
            phase: Phase::Serving,
        }
    }

    /// Asks the HSS; the answer comes back to the query.
    pub(crate) fn ask(&mut self, request: CxRequest, query: Query) {
        let id = CxRequestId(self.next_query);
        self.next_query = self.next_query.wrapping_add(1);
        self.queries.insert(id, query);
        self.outputs.push_back(CxOutput::Request { id, request });
    }

    /// The one place where a request that is not served gets its answer.
    pub(crate) fn refuse(&mut self, now: Instant, transaction: ServerTransactionId, reject: Reject) {
        info!(reject = reject.label(), "request rejected");
        self.counters.count("ims_icscf_rejected_total", reject.label());
        self.core.reject(now, transaction, reject.status());
    }

    fn on_cx(&mut self, now: Instant, input: CxInput) {
        match input {
            CxInput::Answer { id, answer } => match self.queries.remove(&id) {
                Some(Query::Uaa(waiting)) => self.on_uaa(now, waiting, answer),
                Some(Query::Lia(waiting)) => self.on_lia(now, waiting, answer),
                // The caller has cancelled meanwhile.
                None => {}
            },
            // The HSS pushes to S-CSCFs only (TS 29.228 6.1.3, 6.2).
            CxInput::Push { id, push, .. } => {
                self.counters.count("ims_icscf_dropped_total", "push");
                let result = CxResult::UNABLE_TO_COMPLY;
                let answer = match push {
                    CxPush::Rtr(_) => CxPushAnswer::Rta(Rta { result }),
                    CxPush::Ppr(_) => CxPushAnswer::Ppa(Ppa { result }),
                };
                self.outputs.push_back(CxOutput::PushAnswer { id, answer });
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: CoreEvent) {
        match event {
            CoreEvent::Request {
                transaction,
                request,
                flow,
            } => self.on_request(now, transaction, &request, &flow),
            CoreEvent::Ack { request, .. } => self.on_ack(now, &request),
            CoreEvent::Cancelled { transaction } => self.on_cancelled(now, transaction),
            // TS 24.229 5.3.2: an I-CSCF never forks.
            CoreEvent::Forked { .. } => {}
            CoreEvent::Response { forward, response } => match self.registers.remove(&forward) {
                Some(waiting) => self.on_register_response(now, forward, waiting, response),
                None => self.on_passage_response(now, forward, response),
            },
            CoreEvent::Failed { forward, cause } => match self.registers.remove(&forward) {
                Some(waiting) => self.on_register_failed(now, forward, waiting, cause),
                None => self.on_passage_failed(now, forward, cause),
            },
        }
    }

    fn on_request(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request, flow: &Flow) {
        let to_us = request
            .request_uri()
            .is_ok_and(|uri| uri.user().is_none() && self.settings.is_own(&uri));
        match request.method() {
            Method::Register => self.on_register(now, transaction, request, flow),
            // RFC 3261 11.2: a question about this I-CSCF itself.
            Method::Options if to_us => self.on_options(now, transaction, request),
            _ => self.on_initial_request(now, transaction, request, flow),
        }
    }

    fn on_options(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        self.counters.count("ims_icscf_options_total", "answered");
        let tag = self.core.fresh_token();
        let reply = request
            .reply(StatusCode::OK)
            .to_tag(&tag)
            .header(HeaderName::Supported, "path")
            .finish();
        self.core.respond(now, transaction, reply);
    }

    /// RFC 3261 9.2: a request that waits for the HSS ends with 487.
    fn on_cancelled(&mut self, now: Instant, transaction: ServerTransactionId) {
        let waiting = self.queries.iter().find_map(|(id, query)| match query {
            Query::Lia(waiting) if waiting.transaction == transaction => Some(*id),
            Query::Lia(_) | Query::Uaa(_) => None,
        });
        if let Some(id) = waiting {
            self.queries.remove(&id);
            self.refuse(now, transaction, Reject::Cancelled);
        } else {
            self.cancel_passage(now, transaction);
        }
    }

    fn drain_events(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            self.on_event(now, event);
        }
    }
}

impl Node for Icscf {
    type Input = CscfInput;
    type Output = CscfOutput;

    fn handle(&mut self, now: Instant, input: CscfInput) {
        match input {
            CscfInput::Sip(input) => self.core.handle(now, input),
            CscfInput::Cx(input) => self.on_cx(now, input),
            CscfInput::Command(Command::Registration(_) | Command::Unban(_)) => {}
            CscfInput::Command(Command::Drain) => {
                if self.phase == Phase::Serving {
                    self.phase = Phase::Draining;
                    self.core.drain();
                }
            }
        }
        self.drain_events(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(forward) = self.scscf_timers.pop_expired(now) {
            // The S-CSCF had its time. A later answer of it finds nobody.
            if let Some(waiting) = self.registers.remove(&forward) {
                self.on_register_failed(now, forward, waiting, ForwardFailure::Timeout);
            }
        }
        self.passages.expire(now);
        self.core.handle_timeout(now);
        self.drain_events(now);
    }

    fn poll_output(&mut self) -> Option<CscfOutput> {
        if let Some(output) = self.core.poll_output() {
            return Some(CscfOutput::Sip(output));
        }
        if let Some(output) = self.outputs.pop_front() {
            return Some(CscfOutput::Cx(output));
        }
        if self.phase == Phase::Draining && self.queries.is_empty() && self.core.is_settled() {
            self.phase = Phase::Drained;
            return Some(CscfOutput::Drained);
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tables = earliest(self.scscf_timers.next(), self.passages.poll_timeout());
        earliest(self.core.poll_timeout(), tables)
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.core.poll_note()
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
        self.counters.export(out);
        out.gauge("ims_icscf_queries_pending", &[], self.queries.len() as u64);
        out.gauge("ims_icscf_requests_pending", &[], self.passages.len() as u64);
        out.gauge("ims_icscf_registers_pending", &[], self.registers.len() as u64);
    }

    fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        self.core.report(now, question, out);
    }
}
