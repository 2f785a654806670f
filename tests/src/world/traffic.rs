//! Testkit: how messages travel: datagrams at the mercy of their link, streams in order and in pieces.

use std::time::Duration;

use bytes::Bytes;
use ims_common::ipsec::EspKeys;
use ims_common::net::{
    ConnectionId, Destination, DiameterInput, DiameterOutput, Flow, Interface, Malformed, NaptrRequest,
    NetInput, ResolveRequest, SipInput, Transmit,
};
use ims_common::sip::{Message, ParseError};

use super::links::Fate;
use super::record::{Entry, What};
use super::wires::{Chunk, Reach, Reading, Route};
use super::{Event, NodeId, Packet, Role, State, World};
use crate::kernel::{Dropped, Envelope, Sealed};
use crate::text::SipText;

/// How long a host tries to open a connection to one that says nothing.
const CONNECT_PATIENCE: Duration = Duration::from_secs(4);
/// How long a host sends again what nobody acknowledges; after that a connection is broken.
const STREAM_PATIENCE: Duration = Duration::from_secs(60);
/// How often it does.
const STREAM_RETRY: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn transmit(&mut self, from: NodeId, transmit: &Transmit) {
        let (slots, links) = (&self.slots, &self.links);
        let reach = |to: NodeId, local, remote| {
            let (a, b) = (&slots[from.0].name, &slots[to.0].name);
            let (ours, theirs) = (&slots[from.0].kernel, &slots[to.0].kernel);
            if !ours.would_seal(local, remote) {
                return Reach::Refused;
            }
            let passes = theirs.would_open(local, remote, ours) && ours.would_open(remote, local, theirs);
            // To open a connection takes both directions.
            reach(
                slots[to.0].state,
                links.is_cut(a, b) || links.is_cut(b, a) || !passes,
            )
        };
        match self.wires.route(from, &slots[from.0].sockets, transmit, reach) {
            Route::Refused => self.send_failed(from, Duration::from_millis(1), transmit),
            Route::Unreachable => {
                self.count_closed_door(from, transmit);
                self.send_failed(from, CONNECT_PATIENCE, transmit);
            }
            Route::Datagram { to, flow } => self.send_datagram(from, to, flow, transmit),
            Route::Stream { to, end, flow } => {
                let is_protected = self.slots[from.0].kernel.is_protected(flow.remote);
                self.write_down((from, to), flow, &transmit.bytes, false, is_protected);
                self.write(from, to, end, transmit.bytes.clone());
            }
            Route::HalfOpen { own, to, flow } => {
                let is_protected = self.slots[from.0].kernel.is_protected(flow.remote);
                self.write_down((from, to), flow, &transmit.bytes, true, is_protected);
                self.half_open(own);
            }
        }
    }

    fn send_datagram(&mut self, from: NodeId, to: Option<NodeId>, flow: Flow, transmit: &Transmit) {
        let kernel = &mut self.slots[from.0].kernel;
        let envelope = match kernel.seal(flow.remote, flow.local, transmit.bytes.len()) {
            Sealed::Clear => None,
            Sealed::Esp(envelope) => Some(envelope),
            Sealed::Blocked => return self.send_failed(from, Duration::from_millis(1), transmit),
        };
        let message = Message::parse(transmit.bytes.clone(), &self.limits);
        match to.filter(|to| self.slots[to.0].state == State::Up) {
            Some(to) => self.datagram((from, to), flow, &transmit.bytes, message, envelope),
            None => self.lose_in_the_void(from, flow, &transmit.bytes),
        }
    }

    /// A connection in clear was refused by the other's kernel, which saw its SYN.
    fn count_closed_door(&mut self, from: NodeId, transmit: &Transmit) {
        let (Destination::Address { remote, .. } | Destination::Flow(Flow { remote, .. })) =
            transmit.destination;
        if let Some(listener) = self.wires.listener(remote)
            && self.slots[listener.node.0].kernel.is_protected(remote)
            && !self.slots[from.0].kernel.has_ipsec()
        {
            self.slots[listener.node.0].kernel.count(Dropped::Clear);
        }
    }

    fn send_failed(&mut self, from: NodeId, after: Duration, transmit: &Transmit) {
        if let Ok(message) = Message::parse(transmit.bytes.clone(), &self.limits) {
            self.invariants.on_unsendable(from, message);
        }
        self.news(after, from, NetInput::Sip(SipInput::SendFailed(transmit.tag)));
    }

    fn datagram(
        &mut self,
        (from, to): (NodeId, NodeId),
        flow: Flow,
        bytes: &Bytes,
        message: Result<Message, ParseError>,
        envelope: Option<Envelope>,
    ) {
        let names = (self.slots[from.0].name.as_str(), self.slots[to.0].name.as_str());
        let fate = self.links.fate(names.0, names.1, bytes.len(), &mut self.rng);
        let lost = fate == Fate::Lost;
        self.write_down((from, to), flow, bytes, lost, envelope.is_some());
        let input = received(flow, bytes, message);
        let packet = Box::new(Packet {
            source: flow.remote,
            destination: flow.local,
            envelope,
            octets: bytes.len(),
        });
        let first = match fate {
            Fate::Lost => return,
            Fate::Arrives(delay) => delay,
            Fate::ArrivesTwice(delay, second) => {
                let (input, packet) = (input.clone(), packet.clone());
                self.schedule(self.now + second, Event::Datagram { to, input, packet });
                delay
            }
        };
        self.schedule(self.now + first, Event::Datagram { to, input, packet });
    }

    /// What of the protected side goes over Gm unprotected, as a sentence.
    fn bare(&self, from: NodeId, to: NodeId, entry: &Entry) -> Option<String> {
        let What::Sip { flow, bytes, .. } = &entry.what else {
            return None;
        };
        let (ours, theirs) = (&self.slots[from.0], &self.slots[to.0]);
        if flow.interface == Interface::Mw || !(ours.kernel.has_ipsec() && theirs.kernel.has_ipsec()) {
            return None;
        }
        let sets = ours.kernel.sets().chain(theirs.kernel.sets());
        if sets.map(|set| &set.keys).any(|keys| shows_key(bytes, keys)) {
            return Some(format!("{} sent a key of ESP to {}", entry.from, entry.to));
        }
        let is_bare = flow.interface == Interface::Gm && theirs.role == Role::Ue;
        (is_bare && !may_go_in_clear(bytes)).then(|| {
            format!(
                "{} sent to {} in clear what belongs inside an SA",
                entry.from, entry.to
            )
        })
    }

    /// Nobody is there; what is said there must still not hold a secret.
    fn lose_in_the_void(&mut self, from: NodeId, flow: Flow, bytes: &Bytes) {
        if flow.interface != Interface::Mw && self.slots[from.0].role == Role::Network {
            let at = self.recorded();
            let entry = Entry::sip(
                at,
                (&self.slots[from.0].name, "nobody"),
                flow,
                bytes.clone(),
                true,
            );
            let wrong = super::invariants::leak(bytes);
            self.record.push(entry);
            if let Some(what) = wrong {
                self.fail(&format!("{} sent {what} to nobody", self.slots[from.0].name));
            }
        }
    }

    pub(super) fn received(&self, flow: Flow, bytes: Bytes) -> NetInput {
        let message = Message::parse(bytes.clone(), &self.limits);
        received(flow, &bytes, message)
    }

    pub(super) fn write_down(
        &mut self,
        (from, to): (NodeId, NodeId),
        mut flow: Flow,
        bytes: &Bytes,
        lost: bool,
        is_protected: bool,
    ) {
        // What an observer sees: whether it was inside a security association.
        if flow.interface != Interface::Mw {
            flow.interface = if is_protected {
                Interface::GmProtected
            } else {
                Interface::Gm
            };
        }
        let entry = Entry::sip(
            self.recorded(),
            (&self.slots[from.0].name, &self.slots[to.0].name),
            flow,
            bytes.clone(),
            lost,
        );
        let wrong = self
            .invariants
            .on_sip(
                (from, to),
                (self.slots[from.0].role, self.slots[to.0].role),
                &entry,
                &self.limits,
            )
            .or_else(|| self.bare(from, to, &entry));
        self.record.push(entry);
        if let Some(wrong) = wrong {
            self.fail(&wrong);
        }
    }

    pub(super) fn resolve(&mut self, id: NodeId, request: &ResolveRequest) {
        let mut targets = self
            .dns
            .get(&request.host.to_ascii_lowercase())
            .cloned()
            .unwrap_or_default();
        if let Some(transport) = request.transport {
            targets.retain(|target| target.transport == transport);
        }
        if let Some(port) = request.port {
            targets.iter_mut().for_each(|target| target.remote.set_port(port));
        }
        let input = SipInput::Resolved {
            id: request.id,
            targets,
        };
        self.news(Duration::from_millis(2), id, NetInput::Sip(input));
    }

    pub(super) fn answer_naptr(&mut self, id: NodeId, request: &NaptrRequest) {
        let known = self.naptr.get(&request.name.to_ascii_lowercase());
        let input = SipInput::Naptr {
            id: request.id,
            records: known.cloned().unwrap_or_default(),
        };
        self.news(Duration::from_millis(2), id, NetInput::Sip(input));
    }

    pub(super) fn diameter(&mut self, from: NodeId, output: DiameterOutput) {
        match output {
            DiameterOutput::Connect { attempt, address } => self.dial(from, attempt, &address),
            DiameterOutput::Send { connection, bytes } => {
                let Some((to, end)) = self.wires.diameter_peer(connection) else {
                    return;
                };
                let at = self.recorded();
                let names = (self.slots[from.0].name.as_str(), self.slots[to.0].name.as_str());
                self.record.push(Entry::diameter(at, names, bytes.clone()));
                if self.wires.exists(end) {
                    self.write(from, to, end, bytes);
                } else {
                    self.half_open(connection);
                }
            }
            DiameterOutput::Close { connection } => {
                self.close(connection);
                if let Some(input) = self.wires.remove(connection) {
                    self.news(Duration::from_millis(5), from, input);
                }
            }
        }
    }

    fn dial(&mut self, from: NodeId, attempt: u64, address: &str) {
        let (slots, links) = (&self.slots, &self.links);
        let reach = |to: NodeId| {
            let (a, b) = (&slots[from.0].name, &slots[to.0].name);
            // To open a connection takes both directions.
            reach(slots[to.0].state, links.is_cut(a, b) || links.is_cut(b, a))
        };
        match self.wires.connect_diameter(from, attempt, address, reach) {
            Ok(news) => {
                for (end, input) in news {
                    self.send_chunk(end, Chunk::Input(input), Duration::from_millis(5));
                }
            }
            Err(failed) => {
                let (after, reason) = match failed {
                    Reach::Silent => (CONNECT_PATIENCE, "timed out"),
                    Reach::Open | Reach::Refused => (Duration::from_millis(5), "connection refused"),
                };
                let input = DiameterInput::ConnectFailed {
                    attempt,
                    reason: reason.to_owned(),
                };
                self.news(after, from, NetInput::Diameter(input));
            }
        }
    }

    /// One message on a stream.
    fn write(&mut self, from: NodeId, to: NodeId, end: ConnectionId, bytes: Bytes) {
        let names = (self.slots[from.0].name.as_str(), self.slots[to.0].name.as_str());
        for piece in self.links.pieces(names.0, names.1, bytes, &mut self.rng) {
            let names = (self.slots[from.0].name.as_str(), self.slots[to.0].name.as_str());
            let delay = self.links.delay(names.0, names.1, &mut self.rng);
            self.send_chunk(end, Chunk::Octets(piece), delay);
        }
    }

    pub(super) fn send_chunk(&mut self, end: ConnectionId, chunk: Chunk, delay: Duration) {
        let octets = chunk.octets();
        let sealed = self.wires.path_to(end).map_or(Sealed::Clear, |path| {
            let kernel = &mut self.slots[path.from.0].kernel;
            kernel.seal(path.source, path.destination, octets)
        });
        if let Some(due) = self.wires.push(end, (chunk, sealed), self.now + delay) {
            self.schedule(due, Event::Chunk { end });
        }
    }

    /// Somebody writes on a connection whose other end is gone: a reset comes back, if anybody is there to send it.
    fn half_open(&mut self, own: ConnectionId) {
        let peer = self.wires.diameter_peer(own).map(|(node, _)| node);
        let is_dark = peer.is_none_or(|node| self.slots[node.0].state == State::Dark);
        let after = if is_dark {
            STREAM_PATIENCE
        } else {
            Duration::from_millis(10)
        };
        self.send_chunk(own, Chunk::End, after);
    }

    /// The next chunk arrives at an end, unless nothing passes.
    pub(super) fn arrive(&mut self, end: ConnectionId) -> NodeId {
        let Some((from, to)) = self.wires.nodes_of(end) else {
            return NodeId(0);
        };
        let is_cut = self
            .links
            .is_cut(&self.slots[from.0].name, &self.slots[to.0].name);
        let is_cut = is_cut || !self.opens(end);
        if is_cut && self.wires.stall(end, self.now) < STREAM_PATIENCE {
            self.schedule(self.now + STREAM_RETRY, Event::Chunk { end });
            return to;
        }
        if is_cut {
            self.break_both(end);
            return to;
        }
        for reading in self.wires.pop(end) {
            match reading {
                Reading::Sip(flow, bytes) => {
                    let input = self.received(flow, bytes);
                    self.deliver(to, input);
                }
                Reading::Input(input) => self.deliver(to, input),
                Reading::Ping => {
                    if let Some((peer, peer_end)) = self.wires.diameter_peer(end) {
                        self.write(to, peer, peer_end, Bytes::from_static(b"\r\n"));
                    }
                }
                Reading::Lost => self.break_both(end),
            }
        }
        to
    }

    /// Whether both kernels let the next chunk of a stream pass. One that they dropped is sent again, with the states
    /// of then.
    fn opens(&mut self, end: ConnectionId) -> bool {
        let Some(path) = self.wires.path_to(end) else {
            return true;
        };
        let Some((sealed, octets)) = self.wires.next_sealed(end) else {
            return true;
        };
        let (source, destination) = (path.source, path.destination);
        if matches!(sealed, Sealed::Blocked) {
            *sealed = self.slots[path.from.0].kernel.seal(source, destination, octets);
        }
        let envelope = match sealed {
            Sealed::Blocked => return false,
            Sealed::Clear => None,
            Sealed::Esp(envelope) => Some(&*envelope),
        };
        let kernel = &mut self.slots[path.to.0].kernel;
        let opens = kernel.open(source, destination, envelope, octets).is_ok();
        if !opens {
            *sealed = Sealed::Blocked;
            let to = path.to;
            self.kernel_dropped(to);
        }
        opens
    }

    fn break_both(&mut self, end: ConnectionId) {
        let ends = self.wires.diameter_peer(end).map(|(_, peer)| peer);
        for end in [Some(end), ends].into_iter().flatten() {
            let Some((_, node)) = self.wires.nodes_of(end) else {
                continue;
            };
            // What the shell has not said yet it says now: that it is connected, and that this is over.
            for input in self.wires.pending_news(end) {
                self.news(Duration::ZERO, node, input);
            }
            if let Some(input) = self.wires.remove(end) {
                self.news(Duration::ZERO, node, input);
            }
        }
    }
}

fn received(flow: Flow, bytes: &Bytes, message: Result<Message, ParseError>) -> NetInput {
    NetInput::Sip(match message {
        Ok(message) => SipInput::Received { flow, message },
        Err(_) => SipInput::Malformed(Malformed {
            flow,
            reason: "malformed",
            bytes: bytes.clone(),
        }),
    })
}

/// On Gm of a phone with IPsec only what refuses a REGISTER, or challenges it, goes unprotected (TS 24.229 5.2.2.2,
/// 5.2.6.3.2A; RFC 3329 2.3.1).
fn may_go_in_clear(bytes: &Bytes) -> bool {
    let status = SipText::new(bytes).and_then(|text| text.status());
    status.is_some_and(|status| status == 100 || status >= 300)
}

fn shows_key(bytes: &Bytes, keys: &EspKeys) -> bool {
    let hex = |key: &[u8]| {
        key.iter()
            .take(16)
            .map(|octet| format!("{octet:02x}"))
            .collect::<String>()
    };
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let shows = |key: &[u8]| !key.is_empty() && text.contains(&hex(key));
    shows(keys.integrity.expose()) || shows(keys.encryption.expose())
}

const fn reach(state: State, is_cut: bool) -> Reach {
    match state {
        _ if is_cut => Reach::Silent,
        State::Up => Reach::Open,
        State::Down => Reach::Refused,
        State::Dark => Reach::Silent,
    }
}
