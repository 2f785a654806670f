//! Machine: all peers of one node: who dials, who is accepted, who is open (RFC 6733 2.1, 5.2 to 5.6).
//!
//! Each peer has a [`PeerFsm`] and a [`Watchdog`]. An accepted connection belongs to nobody until its CER
//! says an Origin-Host. Base messages are answered here; everything else leaves as a [`DiameterEvent`].

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;

use super::base::{DisconnectCause, Identifiers, LocalPeer};
use super::grammar::result_code;
use super::message::Refusal;
use super::peer::{PeerAction, PeerActions, PeerEvent, PeerFsm, PeerState, WAIT};
use super::watchdog::{Watchdog, WatchdogAction, WatchdogActions, WatchdogState};
use crate::net::{ConnectionId, DiameterInput, DiameterOutput};
use crate::node::{Counters, Metrics, Seed, TimerTable};

mod receive;
mod report;
mod values;

pub use values::{AcceptPolicy, DiameterEvent, PeerId, PeersConfig};

/// After a DPR that says BUSY or DO_NOT_WANT_TO_TALK_TO_YOU we leave the peer alone for so many Tc.
const UNWANTED_TC: u32 = 10;
/// The first delay before dialling again.
const RECONNECT_MIN: Duration = Duration::from_secs(1);
const EVENTS: &str = "ims_diameter_events_total";

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// A connection has no name yet.
    Identify(ConnectionId),
    Peer(PeerId),
    Watchdog(PeerId),
    Reconnect(PeerId),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    /// No CER yet.
    Nobody,
    Peer(PeerId),
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    owner: Owner,
    local: IpAddr,
    remote: IpAddr,
}

#[derive(Debug)]
struct Peer {
    /// Whom to dial; `None` for a peer that only comes by itself.
    address: Option<String>,
    /// Its Origin-Host, once it said so.
    host: Option<String>,
    /// Its address, once known.
    ip: Option<IpAddr>,
    fsm: PeerFsm,
    watchdog: Watchdog,
    /// When it came up or went down last.
    since: Option<Instant>,
    /// What went wrong last.
    last_error: Option<Box<str>>,
    /// Attempts since it was open.
    failures: u32,
    /// The least delay before the next attempt.
    hold: Duration,
}

/// All peers of one node.
///
/// The owner drains `poll_event` and `poll_output` after each call, and once after construction: that
/// dials the configured peers.
#[derive(Debug)]
pub struct DiameterPeers {
    config: PeersConfig,
    peers: BTreeMap<PeerId, Peer>,
    connections: BTreeMap<ConnectionId, Connection>,
    ids: Identifiers,
    rng: StdRng,
    timers: TimerTable<Timer>,
    attempts: u64,
    next_peer: u32,
    is_stopping: bool,
    events: VecDeque<DiameterEvent>,
    outputs: VecDeque<DiameterOutput>,
    counters: Counters,
}

impl DiameterPeers {
    /// A table that dials its configured peers at once.
    #[must_use]
    pub fn new(config: PeersConfig, seed: &Seed) -> Self {
        let mut rng = seed.rng(b'D');
        let mut table = Self {
            ids: Identifiers::new(seed, config.shard, &mut rng),
            config,
            peers: BTreeMap::new(),
            connections: BTreeMap::new(),
            rng,
            timers: TimerTable::default(),
            attempts: 0,
            next_peer: 0,
            is_stopping: false,
            events: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        };
        for address in table.config.peers.clone() {
            let (_, socket) = address.rsplit_once('/').unwrap_or(("", &address));
            let ip = socket.parse::<SocketAddr>().ok().map(|socket| socket.ip());
            let peer = table.add(Some(address), None, ip);
            table.dial(peer);
        }
        table
    }

    /// Who we are.
    #[must_use]
    pub fn local(&self) -> &LocalPeer {
        &self.config.local
    }

    /// Identifiers for the owner's requests, unique on every connection.
    pub fn identifiers(&mut self) -> &mut Identifiers {
        &mut self.ids
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Instant, input: DiameterInput) {
        match input {
            DiameterInput::Connected {
                connection,
                attempt,
                local,
                remote,
            } => self.on_connected(now, connection, attempt, local.ip(), remote.ip()),
            DiameterInput::ConnectFailed { attempt, reason } => {
                tracing::warn!(reason, "Diameter peer refuses the connection");
                self.counters.count(EVENTS, "connect_failed");
                if let Some(peer) = self.dialling(attempt) {
                    self.failed(peer, reason);
                    self.apply(now, peer, PeerEvent::IRcvConnNack);
                }
            }
            DiameterInput::Message { connection, bytes } => self.on_message(now, connection, bytes),
            DiameterInput::Closed { connection } => {
                self.timers.cancel(&Timer::Identify(connection));
                if let Some(Owner::Peer(peer)) = self.connections.remove(&connection).map(|c| c.owner) {
                    self.failed(peer, "the connection ended");
                    self.apply(now, peer, PeerEvent::PeerDisc { connection });
                }
            }
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_expired(now) {
            match timer {
                Timer::Identify(connection) => {
                    self.counters.count(EVENTS, "no_cer");
                    self.close(connection);
                }
                Timer::Reconnect(peer) => self.dial(peer),
                Timer::Peer(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        let actions = peer.fsm.handle_timeout(now);
                        self.counters.count(EVENTS, "peer_timeout");
                        self.failed(id, "no answer to CER or DPR in time");
                        self.run(now, id, actions);
                    }
                }
                Timer::Watchdog(id) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        let actions = peer.watchdog.handle_timeout(now, &mut self.rng);
                        self.run_watchdog(now, id, &actions);
                    }
                }
            }
        }
    }

    /// Sends one message; nothing happens when the connection is gone.
    pub fn send(&mut self, connection: ConnectionId, bytes: Bytes) {
        if self.connections.contains_key(&connection) {
            self.outputs.push_back(DiameterOutput::Send { connection, bytes });
        }
    }

    /// Says goodbye to all peers; [`DiameterEvent::Stopped`] follows.
    pub fn stop(&mut self, now: Instant, cause: DisconnectCause) {
        if self.is_stopping {
            return;
        }
        self.is_stopping = true;
        let nameless = |c: &&ConnectionId| self.connections.get(c).is_some_and(|c| c.owner == Owner::Nobody);
        for connection in self
            .connections
            .keys()
            .filter(nameless)
            .copied()
            .collect::<Vec<_>>()
        {
            self.close(connection);
        }
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.timers.cancel(&Timer::Reconnect(peer));
            self.apply(now, peer, PeerEvent::Stop(cause));
        }
        self.report_stopped();
    }

    /// Peers that may be used, in the order of preference: those in REOPEN come last.
    ///
    /// *Deviates* from RFC 3539, which uses no peer in REOPEN: when it is the only one, trying it is better
    /// than refusing every registration for three watchdogs.
    pub fn open_peers(&self) -> impl Iterator<Item = (PeerId, ConnectionId, &str)> {
        let in_state = |state| {
            self.peers.iter().filter_map(move |(id, peer)| {
                let connection = peer.fsm.open_connection()?;
                (peer.watchdog.state() == state).then_some((*id, connection, peer.host.as_deref()?))
            })
        };
        in_state(WatchdogState::Okay).chain(in_state(WatchdogState::Reopen))
    }

    /// The open connection of the peer with this Origin-Host.
    #[must_use]
    pub fn connection_of(&self, origin_host: &str) -> Option<ConnectionId> {
        self.open_peers()
            .find(|(_, _, host)| host.eq_ignore_ascii_case(origin_host))
            .map(|(_, connection, _)| connection)
    }

    /// Origin-Host of the peer that may be used on this connection.
    #[must_use]
    pub fn host_on(&self, connection: ConnectionId) -> Option<&str> {
        let mut peers = self.open_peers();
        peers
            .find(|(_, open, _)| *open == connection)
            .map(|(_, _, host)| host)
    }

    /// Whether this is the connection of a peer that may be used.
    #[must_use]
    pub fn is_usable(&self, connection: ConnectionId) -> bool {
        self.open_peers().any(|(_, open, _)| open == connection)
    }

    /// Origin-Host of a peer.
    #[must_use]
    pub fn host(&self, peer: PeerId) -> Option<&str> {
        self.peers.get(&peer)?.host.as_deref()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DiameterEvent> {
        self.events.pop_front()
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<DiameterOutput> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Adds counters, and the gauge `ims_diameter_peers_open`.
    pub fn export_metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        let open = u64::try_from(self.open_peers().count()).unwrap_or(u64::MAX);
        out.gauge("ims_diameter_peers_open", &[], open);
    }

    fn failed(&mut self, id: PeerId, error: impl Into<Box<str>>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.last_error = Some(error.into());
        }
    }

    fn add(&mut self, address: Option<String>, host: Option<String>, ip: Option<IpAddr>) -> PeerId {
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let peer = Peer {
            address,
            host,
            ip,
            fsm: PeerFsm::default(),
            watchdog: Watchdog::new(self.config.tw),
            since: None,
            last_error: None,
            failures: 0,
            hold: Duration::ZERO,
        };
        self.peers.insert(id, peer);
        id
    }

    fn dial(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        self.attempts += 1;
        for action in peer.fsm.start(self.attempts) {
            if let (PeerAction::Connect { attempt }, Some(address)) = (action, peer.address.clone()) {
                self.outputs
                    .push_back(DiameterOutput::Connect { attempt, address });
            }
        }
    }

    fn dialling(&self, wanted: u64) -> Option<PeerId> {
        let dials = |peer: &Peer| match peer.fsm.state() {
            PeerState::WaitConnAck { attempt } | PeerState::WaitConnAckElect { attempt, .. } => {
                attempt == wanted
            }
            _ => false,
        };
        self.peers.iter().find(|(_, peer)| dials(peer)).map(|(id, _)| *id)
    }

    fn on_connected(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        attempt: Option<u64>,
        local: IpAddr,
        remote: IpAddr,
    ) {
        let owner = match attempt.map(|attempt| self.dialling(attempt)) {
            None => Owner::Nobody,
            Some(Some(peer)) => Owner::Peer(peer),
            // An attempt that was given up in the meantime.
            Some(None) => return self.outputs.push_back(DiameterOutput::Close { connection }),
        };
        // Only what comes by itself is limited: our own dials are as many as the configuration has peers, and
        // strangers on the listener must not keep us from an HSS.
        let is_full = owner == Owner::Nobody && self.connections.len() >= self.config.connections_max;
        if is_full || self.is_stopping {
            self.counters.count(EVENTS, "too_many_connections");
            self.outputs.push_back(DiameterOutput::Close { connection });
            if let Owner::Peer(peer) = owner {
                self.apply(now, peer, PeerEvent::IRcvConnNack);
            }
            return;
        }
        self.connections
            .insert(connection, Connection { owner, local, remote });
        match owner {
            Owner::Nobody => self.timers.set(Timer::Identify(connection), now + WAIT),
            Owner::Peer(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.ip = Some(remote);
                }
                self.apply(now, id, PeerEvent::IRcvConnAck { connection });
            }
        }
    }

    fn apply(&mut self, now: Instant, id: PeerId, event: PeerEvent) {
        if let Some(peer) = self.peers.get_mut(&id) {
            let actions = peer.fsm.handle(now, event);
            self.run(now, id, actions);
        }
    }

    fn run(&mut self, now: Instant, id: PeerId, actions: PeerActions) {
        for action in actions {
            match action {
                PeerAction::Connect { .. } => unreachable!("only start() dials"),
                PeerAction::SendCer(connection) => {
                    let local = self.local_ip(connection);
                    let bytes = self.config.local.cer(&mut self.ids, local);
                    self.send(connection, bytes);
                }
                PeerAction::SendCea(responder) => {
                    let local = self.local_ip(responder.connection);
                    let success = Refusal::new(result_code::SUCCESS);
                    let bytes = self.config.local.cea(&responder.cer, local, &success);
                    self.send(responder.connection, bytes);
                }
                PeerAction::SendDpr(connection, cause) => {
                    let bytes = self.config.local.dpr(&mut self.ids, cause);
                    self.send(connection, bytes);
                }
                PeerAction::SendDpa(connection, dpr) => {
                    let bytes = self.config.local.dpa(&dpr);
                    self.send(connection, bytes);
                }
                PeerAction::Close(connection) => self.close(connection),
                PeerAction::Up(connection) => self.on_up(now, id, connection),
                PeerAction::Down(connection) => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.watchdog.connection_down();
                        peer.since = Some(now);
                    }
                    self.counters.count(EVENTS, "down");
                    tracing::warn!(peer = id.0, "Diameter peer is down");
                    self.events
                        .push_back(DiameterEvent::Down { peer: id, connection });
                }
            }
        }
        self.settle(now, id);
    }

    fn on_up(&mut self, now: Instant, id: PeerId, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.failures = 0;
        peer.hold = Duration::ZERO;
        peer.since = Some(now);
        let actions = peer.watchdog.connection_up(now, &mut self.rng);
        self.counters.count(EVENTS, "up");
        tracing::info!(peer = id.0, host = peer.host, "Diameter peer is up");
        self.timers.cancel(&Timer::Reconnect(id));
        self.events.push_back(DiameterEvent::Up { peer: id, connection });
        self.run_watchdog(now, id, &actions);
    }

    fn run_watchdog(&mut self, now: Instant, id: PeerId, actions: &WatchdogActions) {
        let connection = self.peers.get(&id).and_then(|peer| peer.fsm.open_connection());
        for action in actions {
            let Some(connection) = connection else { break };
            match action {
                WatchdogAction::SendDwr => {
                    let bytes = self.config.local.dwr(&mut self.ids);
                    self.send(connection, bytes);
                }
                WatchdogAction::Failover => {
                    self.counters.count(EVENTS, "failover");
                    tracing::warn!(peer = id.0, "Diameter peer does not answer the watchdog");
                    self.failed(id, "does not answer the watchdog");
                    self.events
                        .push_back(DiameterEvent::Down { peer: id, connection });
                }
                WatchdogAction::Failback => {
                    self.counters.count(EVENTS, "failback");
                    self.events.push_back(DiameterEvent::Up { peer: id, connection });
                }
                WatchdogAction::CloseConnection => self.apply(now, id, PeerEvent::PeerDisc { connection }),
            }
        }
        self.settle(now, id);
    }

    /// Arms the timers that belong to a peer's state, and forgets a peer that nobody will dial.
    fn settle(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match peer.fsm.poll_timeout() {
            Some(at) => self.timers.set(Timer::Peer(id), at),
            None => self.timers.cancel(&Timer::Peer(id)),
        }
        match peer.watchdog.poll_timeout() {
            Some(at) => self.timers.set(Timer::Watchdog(id), at),
            None => self.timers.cancel(&Timer::Watchdog(id)),
        }
        if peer.fsm.state() != PeerState::Closed {
            return;
        }
        if peer.address.is_none() {
            self.peers.remove(&id);
        } else if !self.is_stopping && self.timers.get(&Timer::Reconnect(id)).is_none() {
            let delay = RECONNECT_MIN.saturating_mul(1_u32.checked_shl(peer.failures).unwrap_or(u32::MAX));
            peer.failures = peer.failures.saturating_add(1);
            let at = now + delay.min(self.config.tc).max(peer.hold);
            self.timers.set(Timer::Reconnect(id), at);
        }
        self.report_stopped();
    }

    fn report_stopped(&mut self) {
        let is_closed = |peer: &Peer| peer.fsm.state() == PeerState::Closed;
        let said = || {
            self.events
                .iter()
                .any(|event| matches!(event, DiameterEvent::Stopped))
        };
        if self.is_stopping && self.peers.values().all(is_closed) && !said() {
            self.events.push_back(DiameterEvent::Stopped);
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        self.timers.cancel(&Timer::Identify(connection));
        if self.connections.remove(&connection).is_some() {
            self.outputs.push_back(DiameterOutput::Close { connection });
        }
    }

    fn local_ip(&self, connection: ConnectionId) -> IpAddr {
        let known = self.connections.get(&connection).map(|c| c.local);
        known.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }
}

#[cfg(test)]
mod tests;
