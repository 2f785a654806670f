//! Shell: copies of what crosses the border, with their addresses, for whoever wants them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::net::{
    ConnectionId, Destination, DiameterInput, DiameterOutput, Interface, NetInput, NetOutput, SipInput,
    SipOutput, Transmit, Transport,
};
use crate::node::Metrics;
use crate::shell::bound::Shell;
use crate::shell::export::Exports;
use crate::telemetry::packet::{Packet, Protocol};
use crate::token::ShardId;

/// Makes packets of inputs and outputs.
pub(super) struct Copies {
    exports: Exports,
    shard: ShardId,
    /// Our addresses on each side.
    sides: Vec<(Interface, SocketAddr)>,
    /// Both ends of Diameter connections: ours first.
    links: HashMap<ConnectionId, (SocketAddr, SocketAddr)>,
    /// Number of the last event.
    cause: u64,
    /// One moment by both clocks.
    calendar: (Instant, u64),
}

impl Copies {
    pub(super) fn new(shell: &Shell, calendar: (Instant, u64)) -> Self {
        Self {
            exports: shell.exports.clone(),
            shard: shell.place.shard,
            sides: shell
                .udp
                .iter()
                .map(|side| (side.interface(), side.local()))
                .collect(),
            links: HashMap::new(),
            cause: u64::from(shell.place.shard.0) << 56,
            calendar,
        }
    }

    /// Something happens: what is said from now on is said upon it.
    pub(super) const fn next_event(&mut self) {
        self.cause += 1;
    }

    pub(super) fn heard(&mut self, now: Instant, input: &NetInput) {
        self.next_event();
        match input {
            NetInput::Diameter(DiameterInput::Connected {
                connection,
                local,
                remote,
                ..
            }) => {
                self.links.insert(*connection, (*local, *remote));
            }
            NetInput::Diameter(DiameterInput::Closed { connection }) => {
                self.links.remove(connection);
            }
            _ if !self.exports.is_wanted() => {}
            NetInput::Sip(SipInput::Received { flow, message } | SipInput::Excess { flow, message }) => {
                let ends = (flow.remote, flow.local);
                self.sip(now, true, flow.interface, flow.transport, ends, message.bytes());
            }
            NetInput::Diameter(DiameterInput::Message { connection, bytes }) => {
                if let Some((local, remote)) = self.links.get(connection).copied() {
                    self.diameter(now, true, (remote, local), bytes);
                }
            }
            NetInput::Sip(_) | NetInput::Diameter(_) | NetInput::Xfrm(_) | NetInput::Command(_) => {}
        }
    }

    pub(super) fn said(&mut self, now: Instant, output: &NetOutput) {
        match output {
            NetOutput::Diameter(DiameterOutput::Close { connection }) => {
                self.links.remove(connection);
            }
            _ if !self.exports.is_wanted() => {}
            NetOutput::Sip(SipOutput::Transmit(transmit)) => self.transmitted(now, transmit),
            NetOutput::Diameter(DiameterOutput::Send { connection, bytes }) => {
                if let Some(ends) = self.links.get(connection).copied() {
                    self.diameter(now, false, ends, bytes);
                }
            }
            _ => {}
        }
    }

    fn transmitted(&self, now: Instant, transmit: &Transmit) {
        let (interface, transport, local, remote) = match transmit.destination {
            Destination::Flow(flow) => (flow.interface, flow.transport, flow.local, flow.remote),
            Destination::Address {
                interface,
                transport,
                remote,
            } => {
                let serves = |(side, local): &&(Interface, SocketAddr)| {
                    *side == interface && local.is_ipv4() == remote.is_ipv4()
                };
                let Some((_, local)) = self.sides.iter().find(serves) else {
                    return;
                };
                (interface, transport, *local, remote)
            }
        };
        self.sip(now, false, interface, transport, (local, remote), &transmit.bytes);
    }

    fn sip(
        &self,
        now: Instant,
        is_heard: bool,
        interface: Interface,
        transport: Transport,
        (source, target): (SocketAddr, SocketAddr),
        bytes: &Bytes,
    ) {
        self.exports.put(&Packet {
            at: self.at(now),
            is_heard,
            protocol: Protocol::Sip,
            transport,
            interface,
            source,
            target,
            bytes: bytes.clone(),
            cause: self.cause,
        });
    }

    fn diameter(&self, now: Instant, is_heard: bool, ends: (SocketAddr, SocketAddr), bytes: &Bytes) {
        self.exports.put(&Packet {
            at: self.at(now),
            is_heard,
            protocol: Protocol::Diameter,
            transport: Transport::Tcp,
            interface: Interface::Mw,
            source: ends.0,
            target: ends.1,
            bytes: bytes.clone(),
            cause: self.cause,
        });
    }

    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.calendar.0);
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.calendar.1.saturating_add(micros)
    }

    pub(super) fn metrics(&self, out: &mut Metrics) {
        // Of the process.
        if self.shard == ShardId(0) {
            self.exports.metrics(out);
        }
    }
}
