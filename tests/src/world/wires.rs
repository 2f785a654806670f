//! Testkit: who listens where, SIP streams and Diameter connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ims_common::diameter::framing;
use ims_common::limits::SipLimits;
use ims_common::net::{
    ConnectionId, Destination, DiameterInput, Flow, Interface, NetInput, SipInput, Transmit, Transport,
};
use ims_common::sip::{Frame, Framer};

use super::{NodeId, Socket};
use crate::kernel::Sealed;

/// What travels to one end of a connection, in order.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Octets.
    Octets(Bytes),
    /// News of the connection itself.
    Input(NetInput),
    /// It is closed or reset.
    End,
}

/// One chunk on its way, and how the sender's kernel protected it.
#[derive(Debug)]
struct Packet {
    chunk: Chunk,
    sealed: Sealed,
}

/// Where the chunks of a stream come from and go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) from: NodeId,
    pub(super) source: SocketAddr,
    pub(super) to: NodeId,
    pub(super) destination: SocketAddr,
}

/// A listener of SIP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    pub(super) node: NodeId,
    pub(super) interface: Interface,
    /// TCP is accepted too.
    pub(super) streams: bool,
}

/// What a chunk becomes at the receiver.
#[derive(Debug)]
pub(super) enum Reading {
    /// One whole SIP message.
    Sip(Flow, Bytes),
    /// Anything that needs no more care.
    Input(NetInput),
    /// CRLF CRLF: the shell answers it (RFC 5626 4.4.1).
    Ping,
    /// The framing is lost: the shell closes the connection.
    Lost,
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    node: NodeId,
    peer: ConnectionId,
    peer_node: NodeId,
    kind: Kind,
    incoming: VecDeque<Packet>,
    last_due: Option<Instant>,
    stalled: Option<Instant>,
}

#[derive(Debug)]
enum Kind {
    Sip { flow: Flow, framer: Framer },
    Diameter { buffer: BytesMut },
}

/// Where a transmission comes out.
pub(super) enum Route {
    /// At a socket; `to` is `None` when nobody listens there and datagrams just vanish.
    Datagram { to: Option<NodeId>, flow: Flow },
    /// At the other end of a connection.
    Stream {
        to: NodeId,
        end: ConnectionId,
        flow: Flow,
    },
    /// The other end is gone and this one does not know yet.
    HalfOpen {
        own: ConnectionId,
        to: NodeId,
        flow: Flow,
    },
    /// The sender learns that it cannot send.
    Refused,
    /// The sender learns it too, but only when its patience ends.
    Unreachable,
}

/// Whether a connection to a node can be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    Open,
    Refused,
    Silent,
}

/// All sockets of the world.
#[derive(Debug, Default)]
pub(super) struct Wires {
    listeners: BTreeMap<SocketAddr, Listener>,
    diameter_listeners: BTreeMap<SocketAddr, NodeId>,
    ends: BTreeMap<ConnectionId, End>,
    last_connection: u64,
    last_port: u16,
}

impl Wires {
    pub(super) fn listen(&mut self, socket: &Socket, node: NodeId) {
        let listener = Listener {
            node,
            interface: socket.interface,
            streams: socket.streams,
        };
        let before = self.listeners.insert(socket.address, listener);
        assert!(before.is_none(), "two nodes listen at {}", socket.address);
    }

    pub(super) fn listen_diameter(&mut self, address: SocketAddr, node: NodeId) {
        self.diameter_listeners.insert(address, node);
    }

    /// The node listens no more.
    pub(super) fn mute(&mut self, address: SocketAddr) {
        self.listeners.remove(&address);
    }

    /// Who listens at an address, and on which side.
    pub(super) fn listener(&self, address: SocketAddr) -> Option<Listener> {
        self.listeners.get(&address).copied()
    }

    /// Finds the receiver.
    pub(super) fn route(
        &mut self,
        from: NodeId,
        sockets: &[Socket],
        transmit: &Transmit,
        reach: impl Fn(NodeId, SocketAddr, SocketAddr) -> Reach,
    ) -> Route {
        match transmit.destination {
            Destination::Flow(Flow {
                connection: Some(connection),
                ..
            }) => self.over_stream(connection),
            Destination::Flow(flow) => self.route_to(
                from,
                (flow.interface, flow.local),
                flow.transport,
                flow.remote,
                reach,
            ),
            Destination::Address {
                interface,
                transport,
                remote,
            } => {
                let fits = |s: &&Socket| s.interface == interface && s.address.is_ipv4() == remote.is_ipv4();
                match sockets.iter().find(fits) {
                    Some(socket) => {
                        self.route_to(from, (interface, socket.address), transport, remote, reach)
                    }
                    None => Route::Refused,
                }
            }
        }
    }

    fn over_stream(&self, own: ConnectionId) -> Route {
        let Some(end) = self.ends.get(&own) else {
            return Route::Refused;
        };
        match self.ends.get(&end.peer).map(|peer| (peer.node, &peer.kind)) {
            Some((to, Kind::Sip { flow, .. })) => Route::Stream {
                to,
                end: end.peer,
                flow: *flow,
            },
            _ => match end.kind {
                Kind::Sip { flow, .. } => Route::HalfOpen {
                    own,
                    to: end.peer_node,
                    flow: Flow {
                        local: flow.remote,
                        remote: flow.local,
                        ..flow
                    },
                },
                Kind::Diameter { .. } => Route::Refused,
            },
        }
    }

    fn route_to(
        &mut self,
        from: NodeId,
        (interface, local): (Interface, SocketAddr),
        transport: Transport,
        remote: SocketAddr,
        reach: impl Fn(NodeId, SocketAddr, SocketAddr) -> Reach,
    ) -> Route {
        let listener = self.listener(remote);
        if transport == Transport::Udp {
            let flow = Flow {
                interface: listener.map_or(interface, |listener| listener.interface),
                transport,
                local: remote,
                remote: local,
                connection: None,
            };
            let to = listener.map(|listener| listener.node);
            return Route::Datagram { to, flow };
        }
        // TS 33.203 7.1: on the protected side the port is part of the security association, so that connections
        // are made from exactly the port that was said.
        let is_exact = interface == Interface::GmProtected;
        let is_open = |end: &End| match &end.kind {
            Kind::Sip { flow, .. } => {
                let same_local = !is_exact || flow.local == local;
                end.node == from && flow.interface == interface && flow.remote == remote && same_local
            }
            Kind::Diameter { .. } => false,
        };
        if let Some((open, _)) = self.ends.iter().find(|(_, end)| is_open(end)) {
            return self.over_stream(*open);
        }
        let Some(listener) = listener else {
            return Route::Refused;
        };
        let local = match is_exact {
            true => local,
            false => SocketAddr::new(local.ip(), self.ephemeral_port()),
        };
        match reach(listener.node, local, remote) {
            Reach::Open if listener.streams => {
                let peer = (listener.node, listener.interface, remote);
                let own = self.open_stream((from, interface, local), peer);
                self.over_stream(own)
            }
            Reach::Open => Route::Refused,
            Reach::Refused => Route::Refused,
            Reach::Silent => Route::Unreachable,
        }
    }

    fn open_stream(
        &mut self,
        (a, a_interface, local): (NodeId, Interface, SocketAddr),
        (b, b_interface, b_address): (NodeId, Interface, SocketAddr),
    ) -> ConnectionId {
        let kind = |interface, local, remote, connection| Kind::Sip {
            flow: Flow {
                interface,
                transport: Transport::Tcp,
                local,
                remote,
                connection: Some(connection),
            },
            framer: Framer::new(SipLimits::default()),
        };
        self.join(
            (a, |ours| kind(a_interface, local, b_address, ours)),
            (b, |theirs| kind(b_interface, b_address, local, theirs)),
        )
        .0
    }

    fn ephemeral_port(&mut self) -> u16 {
        self.last_port = self.last_port.checked_add(1).unwrap_or(0).max(40_000);
        self.last_port
    }

    fn join(
        &mut self,
        (a, a_kind): (NodeId, impl FnOnce(ConnectionId) -> Kind),
        (b, b_kind): (NodeId, impl FnOnce(ConnectionId) -> Kind),
    ) -> (ConnectionId, ConnectionId) {
        let (ours, theirs) = (
            ConnectionId(self.last_connection + 1),
            ConnectionId(self.last_connection + 2),
        );
        self.last_connection += 2;
        let end = |node, peer, peer_node, kind| End {
            node,
            peer,
            peer_node,
            kind,
            incoming: VecDeque::new(),
            last_due: None,
            stalled: None,
        };
        self.ends.insert(ours, end(a, theirs, b, a_kind(ours)));
        self.ends.insert(theirs, end(b, ours, a, b_kind(theirs)));
        (ours, theirs)
    }

    /// Dials; what both ends are told, or why not.
    pub(super) fn connect_diameter(
        &mut self,
        from: NodeId,
        attempt: u64,
        address: &str,
        reach: impl Fn(NodeId) -> Reach,
    ) -> Result<[(ConnectionId, NetInput); 2], Reach> {
        let remote = address.parse::<SocketAddr>().map_err(|_| Reach::Refused)?;
        let to = *self.diameter_listeners.get(&remote).ok_or(Reach::Refused)?;
        match reach(to) {
            Reach::Open => {}
            failed => return Err(failed),
        }
        let kind = |_| Kind::Diameter {
            buffer: BytesMut::new(),
        };
        let (ours, theirs) = self.join((from, kind), (to, kind));
        let own_sip = self.listeners.iter().find(|(_, listener)| listener.node == from);
        let mut own_diameter = self.diameter_listeners.iter();
        let local = own_sip
            .map(|(address, _)| *address)
            .or_else(|| own_diameter.find(|(_, node)| **node == from).map(|(a, _)| *a))
            .map_or(remote, |address| SocketAddr::new(address.ip(), 50_000));
        let up = |connection, attempt, local, remote| {
            NetInput::Diameter(DiameterInput::Connected {
                connection,
                attempt,
                local,
                remote,
            })
        };
        Ok([
            (theirs, up(theirs, None, remote, local)),
            (ours, up(ours, Some(attempt), local, remote)),
        ])
    }

    /// The other end of a Diameter connection; `None` when the sender's own end is closed.
    pub(super) fn diameter_peer(&self, own: ConnectionId) -> Option<(NodeId, ConnectionId)> {
        let end = self.ends.get(&own)?;
        Some((end.peer_node, end.peer))
    }

    pub(super) fn exists(&self, end: ConnectionId) -> bool {
        self.ends.contains_key(&end)
    }

    /// Who sends to an end, and who is there.
    pub(super) fn nodes_of(&self, end: ConnectionId) -> Option<(NodeId, NodeId)> {
        let end = self.ends.get(&end)?;
        Some((end.peer_node, end.node))
    }

    /// Puts something on its way to an end; when it arrives: never before what was sent earlier.
    pub(super) fn push(
        &mut self,
        end: ConnectionId,
        (chunk, sealed): (Chunk, Sealed),
        due: Instant,
    ) -> Option<Instant> {
        let end = self.ends.get_mut(&end)?;
        let due = end.last_due.map_or(due, |last| last.max(due));
        end.last_due = Some(due);
        end.incoming.push_back(Packet { chunk, sealed });
        Some(due)
    }

    /// The path of what travels to an end of SIP.
    pub(super) fn path_to(&self, end: ConnectionId) -> Option<Path> {
        let end = self.ends.get(&end)?;
        let Kind::Sip { flow, .. } = &end.kind else {
            return None;
        };
        Some(Path {
            from: end.peer_node,
            source: flow.remote,
            to: end.node,
            destination: flow.local,
        })
    }

    /// How the next chunk for an end is protected, and its octets.
    pub(super) fn next_sealed(&mut self, end: ConnectionId) -> Option<(&mut Sealed, usize)> {
        let packet = self.ends.get_mut(&end)?.incoming.front_mut()?;
        Some((&mut packet.sealed, packet.chunk.octets()))
    }

    /// Nothing passes at `now`; for how long already.
    pub(super) fn stall(&mut self, end: ConnectionId, now: Instant) -> Duration {
        self.ends.get_mut(&end).map_or(Duration::ZERO, |end| {
            now.duration_since(*end.stalled.get_or_insert(now))
        })
    }

    /// The next thing that arrives at an end.
    pub(super) fn pop(&mut self, end: ConnectionId) -> Vec<Reading> {
        let Some(place) = self.ends.get_mut(&end) else {
            return Vec::new();
        };
        place.stalled = None;
        match place.incoming.pop_front().map(|packet| packet.chunk) {
            None => Vec::new(),
            Some(Chunk::Input(input)) => vec![Reading::Input(input)],
            Some(Chunk::End) => self.remove(end).into_iter().map(Reading::Input).collect(),
            Some(Chunk::Octets(octets)) => place.kind.read(end, &octets),
        }
    }

    /// The news on its way to an end, without the octets.
    pub(super) fn pending_news(&mut self, end: ConnectionId) -> Vec<NetInput> {
        let incoming = self
            .ends
            .get_mut(&end)
            .map(|end| std::mem::take(&mut end.incoming));
        let chunks = incoming.into_iter().flatten().map(|packet| packet.chunk);
        chunks
            .filter_map(|chunk| match chunk {
                Chunk::Input(input) => Some(input),
                Chunk::Octets(_) | Chunk::End => None,
            })
            .collect()
    }

    /// An end is gone; what its node is told.
    pub(super) fn remove(&mut self, connection: ConnectionId) -> Option<NetInput> {
        Some(match self.ends.remove(&connection)?.kind {
            Kind::Sip { flow, .. } => {
                NetInput::Sip(SipInput::ConnectionClosed(connection, Some(flow.remote)))
            }
            Kind::Diameter { .. } => NetInput::Diameter(DiameterInput::Closed { connection }),
        })
    }

    /// All ends of a node.
    pub(super) fn ends_of(&self, node: NodeId) -> Vec<ConnectionId> {
        let ends = self.ends.iter().filter(|(_, end)| end.node == node);
        ends.map(|(id, _)| *id).collect()
    }
}

impl Chunk {
    pub(super) const fn octets(&self) -> usize {
        match self {
            Self::Octets(octets) => octets.len(),
            Self::Input(_) | Self::End => 0,
        }
    }
}

impl Kind {
    fn read(&mut self, connection: ConnectionId, octets: &[u8]) -> Vec<Reading> {
        let mut readings = Vec::new();
        match self {
            Self::Sip { flow, framer } => {
                framer.push(octets);
                loop {
                    readings.push(match framer.next() {
                        Ok(Some(Frame::Message(bytes))) => Reading::Sip(*flow, bytes),
                        Ok(Some(Frame::KeepAlivePing)) => Reading::Ping,
                        Ok(Some(Frame::KeepAlivePong)) => continue,
                        Ok(None) => return readings,
                        Err(_) => Reading::Lost,
                    });
                    if matches!(readings.last(), Some(Reading::Lost)) {
                        return readings;
                    }
                }
            }
            Self::Diameter { buffer } => {
                buffer.extend_from_slice(octets);
                loop {
                    match framing::split(buffer, framing::MESSAGE_BYTES_MAX) {
                        Ok(Some(bytes)) => {
                            readings.push(Reading::Input(NetInput::Diameter(DiameterInput::Message {
                                connection,
                                bytes,
                            })))
                        }
                        Ok(None) => return readings,
                        Err(_) => {
                            readings.push(Reading::Lost);
                            return readings;
                        }
                    }
                }
            }
        }
    }
}
