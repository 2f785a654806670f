//! Testkit: who listens where, SIP streams and Diameter connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ims_common::net::{
    ConnectionId, Destination, DiameterInput, Flow, Interface, NetInput, SipInput, Transmit, Transport,
};

use super::{NodeId, Socket};

/// One end of a stream.
#[derive(Clone, Copy, Debug)]
struct End {
    node: NodeId,
    connection: ConnectionId,
    interface: Interface,
    local: SocketAddr,
    remote: SocketAddr,
    peer: ConnectionId,
}

/// One end of a Diameter connection.
#[derive(Clone, Copy, Debug)]
struct DiameterEnd {
    node: NodeId,
    peer: ConnectionId,
    peer_node: NodeId,
}

/// Where a transmission comes out.
pub(super) struct Route {
    /// The receiver; `None` when nobody listens there and datagrams just vanish.
    pub to: Option<NodeId>,
    /// As the receiver sees it.
    pub flow: Flow,
    pub transport: Transport,
}

/// All sockets of the world.
#[derive(Debug, Default)]
pub(super) struct Wires {
    listeners: BTreeMap<SocketAddr, (NodeId, Interface)>,
    diameter_listeners: BTreeMap<SocketAddr, NodeId>,
    streams: BTreeMap<ConnectionId, End>,
    diameters: BTreeMap<ConnectionId, DiameterEnd>,
    last_connection: u64,
    last_port: u16,
}

impl Wires {
    pub(super) fn listen(&mut self, address: SocketAddr, node: NodeId, interface: Interface) {
        let before = self.listeners.insert(address, (node, interface));
        assert!(before.is_none(), "two nodes listen at {address}");
    }

    pub(super) fn listen_diameter(&mut self, address: SocketAddr, node: NodeId) {
        self.diameter_listeners.insert(address, node);
    }

    /// Finds the receiver; `None` when the sender learns that it cannot send.
    pub(super) fn route(
        &mut self,
        from: NodeId,
        sockets: &[Socket],
        transmit: &Transmit,
        alive: impl Fn(NodeId) -> bool,
    ) -> Option<Route> {
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
                alive,
            ),
            Destination::Address {
                interface,
                transport,
                remote,
            } => {
                let socket = sockets
                    .iter()
                    .find(|s| s.interface == interface && s.address.is_ipv4() == remote.is_ipv4())?;
                self.route_to(from, (interface, socket.address), transport, remote, alive)
            }
        }
    }

    fn over_stream(&self, connection: ConnectionId) -> Option<Route> {
        let end = self.streams.get(&connection)?;
        let peer = self.streams.get(&end.peer)?;
        Some(Route {
            to: Some(peer.node),
            flow: flow_of(peer),
            transport: Transport::Tcp,
        })
    }

    fn route_to(
        &mut self,
        from: NodeId,
        (interface, local): (Interface, SocketAddr),
        transport: Transport,
        remote: SocketAddr,
        alive: impl Fn(NodeId) -> bool,
    ) -> Option<Route> {
        let listener = self
            .listeners
            .get(&remote)
            .copied()
            .filter(|(node, _)| alive(*node));
        if transport == Transport::Udp {
            let flow = Flow {
                interface: listener.map_or(Interface::Mw, |(_, interface)| interface),
                transport,
                local: remote,
                remote: local,
                connection: None,
            };
            return Some(Route {
                to: listener.map(|(node, _)| node),
                flow,
                transport,
            });
        }
        let open = self
            .streams
            .values()
            .find(|end| end.node == from && end.interface == interface && end.remote == remote)
            .map(|end| end.connection);
        if let Some(connection) = open {
            return self.over_stream(connection);
        }
        let (node, peer_interface) = listener?;
        let connection = self.open_stream((from, interface, local), (node, peer_interface, remote));
        self.over_stream(connection)
    }

    fn open_stream(
        &mut self,
        (a, a_interface, a_address): (NodeId, Interface, SocketAddr),
        (b, b_interface, b_address): (NodeId, Interface, SocketAddr),
    ) -> ConnectionId {
        let (ours, theirs) = (self.next_connection(), self.next_connection());
        self.last_port = self.last_port.checked_add(1).unwrap_or(0).max(40_000);
        let local = SocketAddr::new(a_address.ip(), self.last_port);
        let client = End {
            node: a,
            connection: ours,
            interface: a_interface,
            local,
            remote: b_address,
            peer: theirs,
        };
        let server = End {
            node: b,
            connection: theirs,
            interface: b_interface,
            local: b_address,
            remote: local,
            peer: ours,
        };
        self.streams.insert(ours, client);
        self.streams.insert(theirs, server);
        ours
    }

    /// Closes a stream; the other side learns of it.
    pub(super) fn close_stream(&mut self, connection: ConnectionId) -> Vec<(NodeId, NetInput)> {
        let Some(end) = self.streams.remove(&connection) else {
            return Vec::new();
        };
        self.streams
            .remove(&end.peer)
            .map(|peer| {
                (
                    peer.node,
                    NetInput::Sip(SipInput::ConnectionClosed(peer.connection)),
                )
            })
            .into_iter()
            .collect()
    }

    /// Dials; the events for both sides, or the refusal.
    pub(super) fn connect_diameter(
        &mut self,
        from: NodeId,
        attempt: u64,
        address: &str,
        alive: impl Fn(NodeId) -> bool,
    ) -> Vec<(NodeId, NetInput)> {
        let remote = address.parse::<SocketAddr>().ok();
        let listener = remote
            .and_then(|a| self.diameter_listeners.get(&a).copied())
            .filter(|n| alive(*n));
        let (Some(remote), Some(to)) = (remote, listener) else {
            let refused = DiameterInput::ConnectFailed {
                attempt,
                reason: "connection refused".to_owned(),
            };
            return vec![(from, NetInput::Diameter(refused))];
        };
        let (ours, theirs) = (self.next_connection(), self.next_connection());
        let local = self
            .listeners
            .iter()
            .find(|(_, (node, _))| *node == from)
            .map(|(address, _)| address)
            .or_else(|| {
                let mut own = self.diameter_listeners.iter();
                own.find(|(_, node)| **node == from).map(|(address, _)| address)
            })
            .map_or(remote, |address| SocketAddr::new(address.ip(), 50_000));
        let ends = |peer, peer_node, node| DiameterEnd {
            node,
            peer,
            peer_node,
        };
        self.diameters.insert(ours, ends(theirs, to, from));
        self.diameters.insert(theirs, ends(ours, from, to));
        let up = |connection, attempt, local, remote| {
            NetInput::Diameter(DiameterInput::Connected {
                connection,
                attempt,
                local,
                remote,
            })
        };
        vec![
            (to, up(theirs, None, remote, local)),
            (from, up(ours, Some(attempt), local, remote)),
        ]
    }

    pub(super) fn diameter_peer(&self, connection: ConnectionId) -> Option<(NodeId, ConnectionId)> {
        let end = self.diameters.get(&connection)?;
        Some((end.peer_node, end.peer))
    }

    /// Closes a connection; both sides learn of it.
    pub(super) fn close_diameter(&mut self, connection: ConnectionId) -> Vec<(NodeId, NetInput)> {
        let Some(end) = self.diameters.remove(&connection) else {
            return Vec::new();
        };
        self.diameters.remove(&end.peer);
        [(end.node, connection), (end.peer_node, end.peer)]
            .into_iter()
            .map(|(node, connection)| (node, NetInput::Diameter(DiameterInput::Closed { connection })))
            .collect()
    }

    /// A node is gone: what its peers learn.
    pub(super) fn break_all(&mut self, node: NodeId) -> Vec<(NodeId, NetInput)> {
        let streams: Vec<_> = self
            .streams
            .values()
            .filter(|end| end.node == node)
            .map(|end| end.connection)
            .collect();
        let diameters: Vec<_> = self
            .diameters
            .iter()
            .filter(|(_, end)| end.node == node)
            .map(|(connection, _)| *connection)
            .collect();
        let mut inputs = Vec::new();
        for connection in streams {
            inputs.extend(self.close_stream(connection));
        }
        for connection in diameters {
            inputs.extend(self.close_diameter(connection));
        }
        inputs.retain(|(to, _)| *to != node);
        inputs
    }

    const fn next_connection(&mut self) -> ConnectionId {
        self.last_connection += 1;
        ConnectionId(self.last_connection)
    }
}

const fn flow_of(end: &End) -> Flow {
    Flow {
        interface: end.interface,
        transport: Transport::Tcp,
        local: end.local,
        remote: end.remote,
        connection: Some(end.connection),
    }
}
