//! Machine: the Cx client of a CSCF: peers, pending requests, pushes (RFC 6733 5.5.4, 6; TS 29.229).

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use ims_common::diameter::base::DisconnectCause;
use ims_common::diameter::grammar::{VENDOR_3GPP, VENDOR_ETSI, avp};
use ims_common::diameter::{
    AcceptPolicy, Application, DiameterEvent, DiameterPeers, Header, LocalPeer, Message, PeerId, PeersConfig,
    Pending, PendingRequests,
};
use ims_common::net::{ConnectionId, DiameterInput, DiameterOutput};
use ims_common::node::{Counters, Metrics, Node, Seed, earliest};

use crate::cx::{CxAnswer, CxError, CxInput, CxOutput, CxRequest, CxRequestId, CxResult, RequestHead};
use crate::push::{Accepted, Pushes};

mod config;

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
const PUSHES: &str = "ims_cx_pushes_total";

/// A request of the CSCF on its way.
#[derive(Clone, Debug)]
struct Outstanding {
    id: CxRequestId,
    /// As printed, to be sent again.
    bytes: Bytes,
    /// Whether it was sent to another peer already.
    is_sent_again: bool,
}

/// A request of the CSCF that waits for its turn on a connection.
#[derive(Debug)]
struct Queued {
    id: CxRequestId,
    request: CxRequest,
    expires_at: Instant,
}

/// The Cx client of a CSCF.
///
/// Each [`CxOutput::Request`] gets exactly one [`CxInput::Answer`]: from the preferred open peer, or from
/// the next one when that fails, or a [`CxError`].
#[derive(Debug)]
pub struct HssClient {
    config: HssClientConfig,
    peers: DiameterPeers,
    pending: PendingRequests<Outstanding>,
    queue: VecDeque<Queued>,
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
            queue: VecDeque::new(),
            pushes: Pushes::new(config.outstanding_max),
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

    fn on_request(&mut self, now: Instant, id: CxRequestId, request: CxRequest) {
        self.counters.count(REQUESTS, request.name());
        if self.pending.len() + self.queue.len() >= self.config.outstanding_max {
            return self.refuse(id, &request, CxError::Overloaded);
        }
        let expires_at = now + self.config.request_timeout;
        self.queue.push_back(Queued {
            id,
            request,
            expires_at,
        });
        self.send_queued(now);
    }

    /// Sends what has its turn; what finds no peer fails at once.
    fn send_queued(&mut self, now: Instant) {
        while let Some(next) = self.queue.front() {
            let connection = self.choose(next.request.destination_host(), None);
            if connection.is_some_and(|c| self.pending.len_on(c) >= self.config.in_flight_max) {
                return;
            }
            let Some(Queued { id, request, .. }) = self.queue.pop_front() else {
                return;
            };
            match connection {
                Some(connection) => self.send_request(now, id, &request, connection),
                None => self.refuse(id, &request, CxError::NoPeer),
            }
        }
    }

    fn expire_queued(&mut self, now: Instant) {
        while self.queue.front().is_some_and(|next| next.expires_at <= now) {
            if let Some(late) = self.queue.pop_front() {
                self.refuse(late.id, &late.request, CxError::Timeout);
            }
        }
    }

    fn refuse(&mut self, id: CxRequestId, request: &CxRequest, error: CxError) {
        self.counters.count(ANSWERS, error_label(error));
        tracing::warn!(command = request.name(), %error, "Cx request not sent");
        self.answer(id, Err(error));
    }

    fn send_request(&mut self, now: Instant, id: CxRequestId, request: &CxRequest, connection: ConnectionId) {
        let session_id = self.sessions.next(&self.config.origin_host);
        let hop_by_hop = self.peers.identifiers().next_hop_by_hop();
        let end_to_end = self.peers.identifiers().next_end_to_end();
        let bytes = request.encode(&RequestHead {
            local: self.peers.local(),
            session_id: &session_id,
            destination_host: request.destination_host(),
            destination_realm: &self.config.destination_realm,
            hop_by_hop,
            end_to_end,
        });
        let context = Outstanding {
            id,
            bytes: bytes.clone(),
            is_sent_again: false,
        };
        self.enqueue(now, connection, hop_by_hop, request.code(), context, bytes);
    }

    fn enqueue(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        hop_by_hop: u32,
        code: u32,
        context: Outstanding,
        bytes: Bytes,
    ) {
        let pending = Pending {
            connection,
            code,
            expires_at: now + self.config.request_timeout,
            context,
        };
        self.pending.insert(hop_by_hop, pending);
        self.peers.send(connection, bytes);
    }

    /// The peer that Destination-Host names, if it is ours, else the preferred one: it may relay.
    fn choose(&self, destination_host: Option<&str>, avoid: Option<ConnectionId>) -> Option<ConnectionId> {
        let named = destination_host.and_then(|host| self.peers.connection_of(host));
        let usable = |connection: &ConnectionId| Some(*connection) != avoid;
        named.filter(usable).or_else(|| {
            let mut open = self.peers.open_peers().map(|(_, connection, _)| connection);
            open.find(usable)
        })
    }

    /// RFC 6733 5.5.4: a request whose peer failed goes once to another one, with T and the same
    /// End-to-End Identifier; when there is none the request fails.
    fn fail_over(&mut self, now: Instant, pending: Pending<Outstanding>, error: CxError) {
        let alternate = self.choose(None, Some(pending.connection));
        match alternate.filter(|_| !pending.context.is_sent_again) {
            Some(alternate) => self.send_again(now, pending, alternate, Message::retransmission),
            None => {
                self.counters.count(ANSWERS, error_label(error));
                tracing::warn!(code = pending.code, %error, "Cx request failed");
                self.answer(pending.context.id, Err(error));
            }
        }
    }

    fn send_again(
        &mut self,
        now: Instant,
        pending: Pending<Outstanding>,
        connection: ConnectionId,
        print: impl Fn(&Message, u32) -> Bytes,
    ) {
        let Pending {
            code, mut context, ..
        } = pending;
        let Ok(message) = Message::parse(context.bytes.clone()) else {
            unreachable!("we printed it");
        };
        self.counters.count(REQUESTS, "sent_again");
        let hop_by_hop = self.peers.identifiers().next_hop_by_hop();
        context.is_sent_again = true;
        let bytes = print(&message, hop_by_hop);
        self.enqueue(now, connection, hop_by_hop, code, context, bytes);
    }

    /// The peer that serves a request that this one refused without doing it: after 3002 and 3004 any other
    /// (RFC 6733 7.1.3), after 3006 the first one of Redirect-Host that is open (TS 29.228 6.4).
    fn other_peer_for(
        &self,
        result: CxResult,
        pending: &Pending<Outstanding>,
        answer: &Message,
    ) -> Option<ConnectionId> {
        if pending.context.is_sent_again {
            return None;
        }
        match result {
            CxResult::UNABLE_TO_DELIVER | CxResult::TOO_BUSY => self.choose(None, Some(pending.connection)),
            CxResult::REDIRECT_INDICATION => {
                let mut hosts = answer
                    .avps()
                    .all(&avp::REDIRECT_HOST)
                    .filter_map(|avp| host_of_uri(avp.text()?));
                hosts.find_map(|host| self.peers.connection_of(host))
            }
            _ => None,
        }
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
        self.send_queued(now);
        self.collect_outputs();
    }

    fn collect_outputs(&mut self) {
        while let Some(output) = self.peers.poll_output() {
            self.outputs.push_back(HssClientOutput::Diameter(output));
        }
    }
}

/// The host of `aaa://host:port;parameters` (RFC 6733 4.3.1).
fn host_of_uri(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    rest.split([':', ';']).next().filter(|host| !host.is_empty())
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
        self.expire_queued(now);
        self.pushes.handle_timeout(now);
        self.collect(now);
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let requests = earliest(self.pending.poll_timeout(), self.pushes.poll_timeout());
        let queued = self.queue.front().map(|next| next.expires_at);
        earliest(self.peers.poll_timeout(), earliest(queued, requests))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        self.peers.export_metrics(out);
        let pending = u64::try_from(self.pending.len() + self.queue.len()).unwrap_or(u64::MAX);
        out.gauge("ims_cx_requests_pending", &[], pending);
        let answered = u64::try_from(self.pushes.answered()).unwrap_or(u64::MAX);
        out.gauge("ims_cx_pushes_remembered", &[], answered);
    }
}

#[cfg(test)]
mod tests;
