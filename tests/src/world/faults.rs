//! Testkit: nodes that die, come back, move or hear nothing, connections that break, and strangers that send junk.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ims_common::net::{ConnectionId, Flow, Interface, Transport};

use super::wires::Chunk;
use super::{Event, NodeId, Packet, Role, SimNode, State, World};
use crate::kernel::Envelope;

impl World {
    /// A node hears nothing from now on, though its connections stay up. Timers go on.
    pub fn deafen(&mut self, name: &str) {
        let id = self.id(name);
        self.slots[id.0].deaf = true;
        self.note(&format!("{name} hears nothing"));
    }

    /// Ends [`World::deafen`].
    pub fn undeafen(&mut self, name: &str) {
        let id = self.id(name);
        if std::mem::take(&mut self.slots[id.0].deaf) {
            self.note(&format!("{name} hears again"));
        }
    }

    /// The process of a node dies with all that it knew: its connections are reset, nothing reaches it.
    pub fn crash(&mut self, name: &str) {
        let id = self.end_life(name, State::Down);
        for end in self.wires.ends_of(id) {
            self.close(end);
            self.wires.remove(end);
        }
        self.note(&format!("{name} is down"));
    }

    /// The host of a node loses power: it says nothing any more, and nobody resets its connections. Who writes on
    /// one learns it when the node is up again, or when TCP gives up.
    pub fn darken(&mut self, name: &str) {
        let id = self.end_life(name, State::Dark);
        for end in self.wires.ends_of(id) {
            self.wires.remove(end);
        }
        self.note(&format!("{name} is dark"));
    }

    fn end_life(&mut self, name: &str, state: State) -> NodeId {
        let id = self.id(name);
        let slot = &mut self.slots[id.0];
        slot.state = state;
        slot.life += 1;
        // The states of a process that died stay in its kernel; a phone is one machine.
        if state == State::Dark || slot.role == Role::Ue {
            slot.kernel.forget_states();
        }
        let role = slot.role;
        self.invariants.on_death(id, role);
        id
    }

    /// Whether a node is up.
    #[must_use]
    pub fn is_up(&self, name: &str) -> bool {
        self.slots[self.id(name).0].state == State::Up
    }

    /// A dead node comes back as `node`, at the same addresses.
    pub fn restart(&mut self, name: &str, node: impl SimNode + 'static) {
        let id = self.id(name);
        self.restarts += 1;
        let slot = &mut self.slots[id.0];
        slot.node = Box::new(node);
        slot.state = State::Up;
        slot.drained = false;
        slot.charged.begin_again();
        // The shell removes what an earlier life left.
        slot.kernel.forget_states();
        let now = self.now;
        slot.node.handle_timeout(now);
        self.restart_why(id);
        self.note(&format!("{name} is up again"));
        self.drain(id);
    }

    /// A dead node will come back at another address instead of its first one, and its other sockets at that host.
    ///
    /// # Panics
    /// When the node is up.
    pub fn relocate(&mut self, name: &str, address: SocketAddr) {
        let id = self.id(name);
        let slot = &mut self.slots[id.0];
        assert!(slot.state != State::Up, "{name} is up");
        for (index, socket) in slot.sockets.iter_mut().enumerate() {
            self.wires.mute(socket.address);
            slot.kernel.unprotect(socket.address);
            // The others keep their ports.
            socket.address = match index {
                0 => address,
                _ => SocketAddr::new(address.ip(), socket.address.port()),
            };
            self.wires.listen(socket, id);
            if socket.interface == Interface::GmProtected {
                slot.kernel.protect(socket.address);
            }
        }
    }

    /// All connections between two nodes are reset.
    pub fn reset_between(&mut self, a: &str, b: &str) {
        let (a, b) = (self.id(a), self.id(b));
        for (node, other) in [(a, b), (b, a)] {
            for end in self.wires.ends_of(node) {
                if self.wires.nodes_of(end) == Some((other, node)) {
                    self.send_chunk(end, Chunk::End, Duration::from_millis(1));
                }
            }
        }
    }

    /// A datagram of a stranger, whose address is of no node, arrives at a socket.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        self.inject_packet(from, to, bytes, None);
    }

    /// A datagram of a stranger inside ESP arrives at a socket.
    pub fn inject_sealed(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes, envelope: Envelope) {
        self.inject_packet(from, to, bytes, Some(envelope));
    }

    /// A datagram that a node of the network is made to send.
    ///
    /// # Panics
    /// When nobody listens at one of the addresses.
    pub fn inject_as(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let (Some(sender), Some(receiver)) = (self.wires.listener(from), self.wires.listener(to)) else {
            panic!("nobody listens at {from} or {to}")
        };
        let flow = Flow {
            interface: receiver.interface,
            transport: Transport::Udp,
            local: to,
            remote: from,
            connection: None,
        };
        self.write_down((sender.node, receiver.node), flow, &bytes, false, false);
        self.inject(from, to, bytes);
    }

    fn inject_packet(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes, envelope: Option<Envelope>) {
        let Some(listener) = self.wires.listener(to) else {
            return;
        };
        let flow = Flow {
            interface: listener.interface,
            transport: Transport::Udp,
            local: to,
            remote: from,
            connection: None,
        };
        let packet = Box::new(Packet {
            source: from,
            destination: to,
            envelope,
            octets: bytes.len(),
        });
        let input = self.received(flow, bytes);
        let to = listener.node;
        self.schedule(self.now, Event::Datagram { to, input, packet });
    }

    /// The other side of an end is told that the connection is over.
    pub(super) fn close(&mut self, own: ConnectionId) {
        if let Some((_, peer)) = self.wires.diameter_peer(own) {
            self.send_chunk(peer, Chunk::End, Duration::from_millis(5));
        }
    }
}
