//! Testkit: ladder lines from what one node on real sockets sees.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use ims_common::net::{
    ConnectionId, Destination, DiameterInput, DiameterOutput, Flow, Interface, NetInput, NetOutput, SipInput,
    SipOutput, Transmit, Transport,
};

use crate::ladder;
use crate::ue::remote::Seen;
use crate::world::record::Entry;

/// Watches one node, `own`, that speaks SIP with one peer, or Diameter with several.
pub struct Watcher {
    own: String,
    peer: String,
    began: Instant,
    /// Who is at the other end of a Diameter connection, by its Origin-Host.
    diameter_peers: BTreeMap<ConnectionId, String>,
}

impl Watcher {
    /// A watcher whose ladder begins at `began`.
    #[must_use]
    pub fn new(own: &str, peer: &str, began: Instant) -> Self {
        Self {
            own: own.to_owned(),
            peer: peer.to_owned(),
            began,
            diameter_peers: BTreeMap::new(),
        }
    }

    /// The line of what was seen; `None` for what a ladder leaves out.
    pub fn line(&mut self, now: Instant, seen: &Seen<'_>) -> Option<String> {
        let at = now.saturating_duration_since(self.began);
        let entry = match seen {
            Seen::Input(NetInput::Sip(SipInput::Received { flow, message })) => {
                Entry::sip(at, (&self.peer, &self.own), *flow, message.bytes().clone(), false)
            }
            Seen::Output(NetOutput::Sip(SipOutput::Transmit(transmit))) => {
                let flow = flow_of(transmit)?;
                Entry::sip(at, (&self.own, &self.peer), flow, transmit.bytes.clone(), false)
            }
            Seen::Input(NetInput::Diameter(DiameterInput::Message { connection, bytes })) => {
                let peer = self.learn(*connection, bytes);
                Entry::diameter(at, (&peer, &self.own), bytes.clone())
            }
            Seen::Output(NetOutput::Diameter(DiameterOutput::Send { connection, bytes })) => {
                let peer = self.diameter_peers.get(connection).unwrap_or(&self.peer);
                Entry::diameter(at, (&self.own, peer), bytes.clone())
            }
            Seen::Input(_) | Seen::Output(_) => return None,
        };
        ladder::line(&entry)
    }

    fn learn(&mut self, connection: ConnectionId, bytes: &Bytes) -> String {
        let name = ladder::origin_host(bytes).map(|host| match host.split('.').next() {
            Some(first) if first.starts_with("icscf") => "I-CSCF".to_owned(),
            Some(first) if first.starts_with("scscf") => "S-CSCF".to_owned(),
            other => other.unwrap_or_default().to_owned(),
        });
        let peer = self.peer.clone();
        self.diameter_peers
            .entry(connection)
            .or_insert_with(|| name.unwrap_or(peer))
            .clone()
    }
}

fn flow_of(transmit: &Transmit) -> Option<Flow> {
    match transmit.destination {
        // As the receiver sees it.
        Destination::Flow(flow) => Some(Flow {
            local: flow.remote,
            remote: flow.local,
            ..flow
        }),
        Destination::Address {
            transport, remote, ..
        } => Some(Flow {
            interface: Interface::Gm,
            transport,
            local: remote,
            remote,
            connection: (transport == Transport::Tcp).then_some(ConnectionId(0)),
        }),
    }
}
