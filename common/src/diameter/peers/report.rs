//! Machine: peers as an operator sees them.

use std::time::Instant;

use super::{DiameterPeers, Peer};
use crate::diameter::peer::PeerState;
use crate::diameter::watchdog::WatchdogState;
use crate::net::ConnectionId;
use crate::operate::{PeerRow, Question, Report, secs_between};

impl DiameterPeers {
    /// Adds a row for each peer that is asked for. `pending` says how many requests wait on a connection.
    pub fn report(
        &self,
        now: Instant,
        question: &Question,
        pending: impl Fn(ConnectionId) -> usize,
        out: &mut Report,
    ) {
        for peer in self.peers.values() {
            let names = [peer.address.as_deref(), peer.host.as_deref()];
            if question.is_about(names.into_iter().flatten()) {
                out.add(question, || row(now, peer, &pending));
            }
        }
    }
}

fn row(now: Instant, peer: &Peer, pending: impl Fn(ConnectionId) -> usize) -> PeerRow {
    let accepted = || peer.ip.map(|ip| ip.to_string());
    PeerRow {
        node: String::new(),
        protocol: "diameter".to_owned(),
        address: peer.address.clone().or_else(accepted).unwrap_or_default(),
        host: peer.host.clone(),
        state: state(peer).to_owned(),
        since_secs: peer.since.map(|since| secs_between(since, now)),
        last_error: peer.last_error.as_deref().map(str::to_owned),
        pending: peer.fsm.open_connection().map_or(0, pending),
    }
}

/// RFC 6733 5.6 until it is open, RFC 3539 3.4.1 from then on.
fn state(peer: &Peer) -> &'static str {
    match peer.fsm.state() {
        PeerState::Closed => "closed",
        PeerState::WaitConnAck { .. } | PeerState::WaitConnAckElect { .. } => "dialling",
        PeerState::WaitICea { .. } | PeerState::WaitReturns { .. } => "awaits_cea",
        PeerState::Closing { .. } => "closing",
        PeerState::ROpen { .. } | PeerState::IOpen { .. } => match peer.watchdog.state() {
            WatchdogState::Okay => "open",
            WatchdogState::Suspect => "suspect",
            WatchdogState::Reopen => "on_trial",
            WatchdogState::Initial | WatchdogState::Down => "down",
        },
    }
}
