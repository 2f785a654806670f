//! Machine: the Cx client of a CSCF: peers, pending requests, pushes (RFC 6733 5.5.4, 6; TS 29.229).

use std::collections::VecDeque;
use std::time::Instant;

use ims_common::diameter::base::DisconnectCause;
use ims_common::diameter::grammar::{VENDOR_3GPP, VENDOR_ETSI};
use ims_common::diameter::{
    AcceptPolicy, Application, DiameterEvent, DiameterPeers, Header, LocalPeer, Message, PeerId, PeersConfig,
    PendingRequests,
};
use ims_common::net::{ConnectionId, DiameterInput, DiameterOutput};
use ims_common::node::{Counters, Metrics, Node, Seed, earliest};
use ims_common::operate::{LimitRow, List, Question, Report};
use rand::rngs::StdRng;

use crate::cx::{CxAnswer, CxError, CxInput, CxOutput, CxRequestId, CxResult};
use crate::push::{Accepted, Pushes};

mod config;
mod line;
mod overload;
mod sending;

use line::Line;
use overload::Overload;
use sending::{Outstanding, Waiting};

pub use config::HssClientConfig;

/// What happens to an [`HssClient`].
#[derive(Clone, Debug)]
pub enum HssClientInput {
    /// On Diameter.
    Diameter(DiameterInput),
    /// From the CSCF.
    Cx(CxOutput),
    /// Say goodbye to all peers, then [`HssClientOutput::Stopped`].
    Stop,
}

/// What an [`HssClient`] asks for.
#[derive(Clone, Debug)]
pub enum HssClientOutput {
    /// Of Diameter's shell.
    Diameter(DiameterOutput),
    /// To the CSCF.
    Cx(CxInput),
    /// No connection is left, after [`HssClientInput::Stop`].
    Stopped,
}

/// Connections at most, accepted ones included.
const CONNECTIONS_MAX: usize = 64;
const REQUESTS: &str = "ims_cx_requests_total";
const ANSWERS: &str = "ims_cx_answers_total";
const OVERLOAD: &str = "ims_cx_overload_reports_total";
const PUSHES: &str = "ims_cx_pushes_total";

/// The Cx client of a CSCF.
///
/// Each [`CxOutput::Request`] gets exactly one [`CxInput::Answer`]: from the preferred open peer, or from
/// the next one when that fails, or a [`CxError`].
#[derive(Debug)]
pub struct HssClient {
    config: HssClientConfig,
    peers: DiameterPeers,
    pending: PendingRequests<Outstanding>,
    line: Line<Waiting>,
    overload: Overload,
    rng: StdRng,
    pushes: Pushes,
    sessions: SessionIds,
    outputs: VecDeque<HssClientOutput>,
    counters: Counters,
}

/// Session-Ids `<origin-host>;<high>;<low>` (RFC 6733 8.8): the second of the start, then a counter.
#[derive(Debug)]
struct SessionIds {
    high: u64,
    low: u32,
}

impl SessionIds {
    fn next(&mut self, origin_host: &str) -> String {
        let low = self.low;
        self.low = self.low.wrapping_add(1);
        format!("{origin_host};{};{low}", self.high & 0xFFFF_FFFF)
    }
}

impl HssClient {
    /// A client that dials its peers as soon as its outputs are drained.
    #[must_use]
    pub fn new(config: HssClientConfig, seed: &Seed) -> Self {
        let peers = PeersConfig {
            local: LocalPeer {
                origin_host: config.origin_host.clone(),
                origin_realm: config.origin_realm.clone(),
                host_ip_addresses: config.host_ip_addresses.clone(),
                product_name: config.product_name.clone(),
                origin_state_id: u32::try_from(seed.boot_unix_secs & 0xFFFF_FFFF).unwrap_or(0),
                applications: vec![Application::CX],
                supported_vendors: vec![VENDOR_3GPP, VENDOR_ETSI],
            },
            peers: config.peers.clone(),
            accept: AcceptPolicy::ConfiguredAddresses,
            tw: config.watchdog,
            tc: config.reconnect,
            connections_max: CONNECTIONS_MAX,
            shard: 0,
        };
        let mut client = Self {
            peers: DiameterPeers::new(peers, seed),
            pending: PendingRequests::new(config.outstanding_max),
            line: Line::default(),
            overload: Overload::default(),
            rng: seed.rng(b'O'),
            pushes: Pushes::new(config.outstanding_max, config.features()),
            sessions: SessionIds {
                high: seed.boot_unix_secs,
                low: 0,
            },
            outputs: VecDeque::new(),
            counters: Counters::default(),
            config,
        };
        client.collect_outputs();
        client
    }

    /// Whether a request would find a peer.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.choose(None, None).is_some()
    }

    /// Whether requests wait for their turn so long, a quarter of what each may, that nothing new should begin.
    #[must_use]
    pub fn is_behind(&self, now: Instant) -> bool {
        let most = self.config.request_timeout / 4 * 3;
        let next = self.line.poll_timeout();
        next.is_some_and(|expires_at| expires_at.saturating_duration_since(now) < most)
    }

    fn on_event(&mut self, now: Instant, event: DiameterEvent) {
        match event {
            DiameterEvent::Up { .. } => {}
            DiameterEvent::Down { connection, .. } => {
                for pending in self.pending.take_on(connection) {
                    self.fail_over(now, pending, CxError::NoPeer);
                }
            }
            DiameterEvent::Answer { connection, message } => self.on_answer(now, connection, &message),
            DiameterEvent::BadAnswer { connection, header } => self.on_bad_answer(connection, &header),
            DiameterEvent::Request {
                peer,
                connection,
                message,
            } => self.on_push(now, peer, connection, message),
            DiameterEvent::Stopped => self.outputs.push_back(HssClientOutput::Stopped),
        }
    }

    fn on_push(&mut self, now: Instant, peer: PeerId, connection: ConnectionId, message: Message) {
        let origin_host = self.peers.host(peer).unwrap_or_default().to_owned();
        let expires_at = now + self.config.request_timeout;
        let local = self.peers.local();
        let accepted = self
            .pushes
            .accept(expires_at, local, connection, message, origin_host);
        match accepted {
            Accepted::New(input) => self.outputs.push_back(HssClientOutput::Cx(input)),
            Accepted::Waits => self.counters.count(PUSHES, "repeated"),
            Accepted::AnsweredBefore(bytes) => {
                self.counters.count(PUSHES, "repeated");
                self.peers.send(connection, bytes);
            }
            Accepted::Refused(bytes) => {
                self.counters.count(PUSHES, "refused");
                self.peers.send(connection, bytes);
            }
        }
    }

    fn on_answer(&mut self, now: Instant, connection: ConnectionId, message: &Message) {
        let Some(pending) = self.pending.take(connection, message.header()) else {
            return self.counters.count(ANSWERS, "unexpected");
        };
        if !self.overload.learn(now, message) {
            self.counters.count(OVERLOAD, "unusable");
        }
        let answer = CxAnswer::decode(message);
        let result = answer.as_ref().map_or(CxResult::Missing, CxAnswer::result);
        if let Some(other) = self.other_peer_for(result, &pending, message) {
            return self.send_again(now, pending, other, Message::redirection);
        }
        let label = match &answer {
            Ok(_) if result.is_success() => "success",
            Ok(_) => "failure",
            Err(error) => error_label(*error),
        };
        self.counters.count(ANSWERS, label);
        tracing::debug!(code = pending.code, ?result, "Cx answer");
        self.answer(pending.context.id, answer);
    }

    fn on_bad_answer(&mut self, connection: ConnectionId, header: &Header) {
        if let Some(pending) = self.pending.take(connection, header) {
            let error = CxError::Malformed("an AVP does not fit into the answer");
            self.counters.count(ANSWERS, error_label(error));
            self.answer(pending.context.id, Err(error));
        }
    }

    fn answer(&mut self, id: CxRequestId, answer: Result<CxAnswer, CxError>) {
        self.outputs
            .push_back(HssClientOutput::Cx(CxInput::Answer { id, answer }));
    }

    fn collect(&mut self, now: Instant) {
        // Outputs first: the last connection is closed before the owner hears that all are.
        self.collect_outputs();
        while let Some(event) = self.peers.poll_event() {
            self.on_event(now, event);
            self.collect_outputs();
        }
        self.send_waiting(now);
        self.collect_outputs();
    }

    fn collect_outputs(&mut self) {
        while let Some(output) = self.peers.poll_output() {
            self.outputs.push_back(HssClientOutput::Diameter(output));
        }
    }
}

fn error_label(error: CxError) -> &'static str {
    match error {
        CxError::Timeout => "timeout",
        CxError::NoPeer => "no_peer",
        CxError::Overloaded => "overloaded",
        CxError::Malformed(_) => "malformed",
    }
}

impl Node for HssClient {
    type Input = HssClientInput;
    type Output = HssClientOutput;

    fn handle(&mut self, now: Instant, input: Self::Input) {
        match input {
            HssClientInput::Diameter(input) => self.peers.handle(now, input),
            HssClientInput::Cx(CxOutput::Request { id, request }) => self.on_request(now, id, request),
            HssClientInput::Cx(CxOutput::PushAnswer { id, answer }) => {
                if let Some((connection, bytes)) = self.pushes.answer(now, self.peers.local(), id, answer) {
                    self.counters.count(PUSHES, "answered");
                    self.peers.send(connection, bytes);
                }
            }
            HssClientInput::Stop => self.peers.stop(now, DisconnectCause::Rebooting),
        }
        self.collect(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.peers.handle_timeout(now);
        self.collect(now);
        while let Some(pending) = self.pending.pop_expired(now) {
            self.fail_over(now, pending, CxError::Timeout);
        }
        while let Some(late) = self.line.pop_expired(now) {
            self.give_up(late, CxError::Timeout);
        }
        self.pushes.handle_timeout(now);
        self.collect(now);
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let requests = earliest(self.pending.poll_timeout(), self.pushes.poll_timeout());
        earliest(
            self.peers.poll_timeout(),
            earliest(self.line.poll_timeout(), requests),
        )
    }

    fn metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        self.peers.export_metrics(out);
        let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
        let (sent, waiting) = (self.pending.len(), self.line.len());
        out.gauge("ims_cx_requests_pending", &[], number(sent + waiting));
        out.gauge("ims_cx_requests_waiting", &[], number(waiting));
        for (_, connection, host) in self.peers.open_peers() {
            let on_peer = number(self.pending.len_on(connection));
            out.gauge("ims_cx_peer_requests_pending", &[("peer", host)], on_peer);
        }
        out.gauge("ims_cx_overload_reports", &[], number(self.overload.len()));
        out.gauge("ims_cx_pushes_remembered", &[], number(self.pushes.answered()));
    }

    fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        match question.list {
            List::Peers => {
                let pending = |connection| self.pending.len_on(connection);
                self.peers.report(now, question, pending, out);
            }
            List::Limits => {
                let used = self.pending.len() + self.line.len();
                let outstanding = LimitRow::new("cx.outstanding", self.config.outstanding_max);
                let refused = self.counters.get(ANSWERS, "overloaded");
                out.add(question, || outstanding.used(used).refused(refused));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
