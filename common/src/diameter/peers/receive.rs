//! Machine: what comes in on the connections of the peer table (RFC 6733 5.3 to 5.6, 7).

use std::time::Instant;

use bytes::Bytes;

use super::{
    AcceptPolicy, Connection, DiameterEvent, DiameterPeers, EVENTS, Owner, Peer, PeerId, Timer, UNWANTED_TC,
};
use crate::diameter::avp::Avps;
use crate::diameter::base::{Capabilities, DisconnectCause};
use crate::diameter::grammar::{APPLICATION_BASE, avp, command, result_code};
use crate::diameter::header::Header;
use crate::diameter::message::{Message, ParseError, Refusal};
use crate::diameter::peer::{PeerEvent, PeerState, Responder, wins_election};
use crate::net::ConnectionId;

impl DiameterPeers {
    pub(super) fn on_message(&mut self, now: Instant, connection: ConnectionId, bytes: Bytes) {
        let Some(owner) = self.connections.get(&connection).map(|c| c.owner) else {
            return;
        };
        let message = match Message::parse(bytes.clone()) {
            Ok(message) => message,
            Err(ParseError::Avp { header, refusal }) => {
                return self.on_broken(now, connection, owner, &bytes, header, &refusal);
            }
            Err(ParseError::Length | ParseError::Version) => {
                self.counters.count(EVENTS, "framing_lost");
                return self.disconnect(now, connection, owner);
            }
        };
        match owner {
            Owner::Nobody => self.on_first_message(now, connection, &message),
            Owner::Peer(peer) => self.on_peer_message(now, peer, connection, message),
        }
    }

    /// The framing holds, the AVPs do not: a request is refused with 5014, an answer is reported.
    fn on_broken(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        owner: Owner,
        bytes: &Bytes,
        header: Header,
        refusal: &Refusal,
    ) {
        self.counters.count(EVENTS, "broken_avp");
        let open = match owner {
            Owner::Peer(peer) => self.peers.get(&peer).and_then(|peer| peer.fsm.open_connection()),
            Owner::Nobody => None,
        };
        if open != Some(connection) {
            return self.disconnect(now, connection, owner);
        }
        if header.flags.is_request() {
            let avps = Avps::new(bytes.get(Header::LEN..).unwrap_or_default());
            let session_id = avps.find(&avp::SESSION_ID).and_then(|avp| avp.text());
            let answer = self.config.local.refuse(&header, session_id, refusal);
            self.send(connection, answer);
        } else {
            self.events
                .push_back(DiameterEvent::BadAnswer { connection, header });
        }
    }

    fn disconnect(&mut self, now: Instant, connection: ConnectionId, owner: Owner) {
        match owner {
            Owner::Nobody => self.close(connection),
            Owner::Peer(peer) => {
                self.apply(now, peer, PeerEvent::PeerDisc { connection });
                self.close(connection);
            }
        }
    }

    /// RFC 6733 5.6: the first message on an accepted connection is a CER, or the connection is closed.
    fn on_first_message(&mut self, now: Instant, connection: ConnectionId, message: &Message) {
        let header = *message.header();
        if !header.flags.is_request() || header.code != command::CAPABILITIES_EXCHANGE {
            self.counters.count(EVENTS, "no_cer");
            return self.close(connection);
        }
        let accepted = Capabilities::of_cer(message).and_then(|cer| {
            let peer = self.identify(connection, &cer)?;
            Ok((peer, cer))
        });
        match accepted {
            Ok((peer, cer)) => {
                self.timers.cancel(&Timer::Identify(connection));
                if let Some(known) = self.connections.get_mut(&connection) {
                    known.owner = Owner::Peer(peer);
                }
                let responder = Responder {
                    connection,
                    cer: header,
                    wins: wins_election(&self.config.local.origin_host, &cer.origin_host),
                };
                self.apply(now, peer, PeerEvent::RConnCer(responder));
            }
            Err(refusal) => {
                tracing::warn!(result_code = refusal.code, "CER refused");
                self.counters.count(EVENTS, "cer_refused");
                let cea = self
                    .config
                    .local
                    .cea(&header, self.local_ip(connection), &refusal);
                self.send(connection, cea);
                self.close(connection);
            }
        }
    }

    /// Which peer a CER comes from: by Origin-Host; by address when the peer did not say its name yet.
    fn identify(&mut self, connection: ConnectionId, cer: &Capabilities) -> Result<PeerId, Refusal> {
        if !cer.serves_any_of(&self.config.local.applications) {
            return Err(Refusal::new(result_code::NO_COMMON_APPLICATION));
        }
        let Some(Connection { remote, .. }) = self.connections.get(&connection).copied() else {
            return Err(Refusal::new(result_code::UNABLE_TO_COMPLY));
        };
        let anyone = self.config.accept == AcceptPolicy::Anyone;
        let is_named = |host: &str| host.eq_ignore_ascii_case(&cer.origin_host);
        let by_name = |peer: &Peer| {
            let named = peer.host.as_deref().is_some_and(is_named);
            named && (anyone || peer.ip == Some(remote))
        };
        let by_address = |peer: &Peer| peer.host.is_none() && peer.ip == Some(remote);
        let find = |wanted: &dyn Fn(&Peer) -> bool| {
            let mut peers = self.peers.iter();
            peers.find(|(_, peer)| wanted(peer)).map(|(id, _)| *id)
        };
        let found = find(&by_name).or_else(|| find(&by_address));
        match found {
            Some(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.host = Some(cer.origin_host.clone());
                }
                Ok(id)
            }
            None if anyone => Ok(self.add(None, Some(cer.origin_host.clone()), Some(remote))),
            None => Err(Refusal::new(result_code::UNKNOWN_PEER)),
        }
    }

    fn on_peer_message(&mut self, now: Instant, id: PeerId, connection: ConnectionId, message: Message) {
        let Some(state) = self.peers.get(&id).map(|peer| peer.fsm.state()) else {
            return;
        };
        match state {
            PeerState::WaitICea { initiator } | PeerState::WaitReturns { initiator, .. }
                if initiator == connection =>
            {
                self.on_cea(now, id, &message);
            }
            PeerState::ROpen { connection: open } | PeerState::IOpen { connection: open }
                if open == connection =>
            {
                self.on_open_message(now, id, connection, message);
            }
            PeerState::Closing { connection: closing } if closing == connection => {
                self.on_closing_message(now, id, connection, message);
            }
            // Talking before the CEA.
            PeerState::Closed
            | PeerState::WaitConnAck { .. }
            | PeerState::WaitICea { .. }
            | PeerState::WaitConnAckElect { .. }
            | PeerState::WaitReturns { .. }
            | PeerState::ROpen { .. }
            | PeerState::IOpen { .. }
            | PeerState::Closing { .. } => self.disconnect(now, connection, Owner::Peer(id)),
        }
    }

    fn on_cea(&mut self, now: Instant, id: PeerId, message: &Message) {
        let header = message.header();
        let is_cea = header.code == command::CAPABILITIES_EXCHANGE && !header.flags.is_request();
        let accepted = if is_cea {
            Capabilities::of_cea(message)
        } else {
            Err(result_code::UNABLE_TO_COMPLY)
        };
        let refused = match accepted {
            Ok(cea) if !cea.serves_any_of(&self.config.local.applications) => {
                result_code::NO_COMMON_APPLICATION
            }
            Ok(cea) if self.is_open_elsewhere(id, &cea.origin_host) => result_code::ELECTION_LOST,
            Ok(cea) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.host = Some(cea.origin_host);
                }
                return self.apply(now, id, PeerEvent::IRcvCea);
            }
            Err(code) => code,
        };
        tracing::warn!(peer = id.0, result_code = refused, "CEA refuses us, or we it");
        self.counters.count(EVENTS, "cea_refused");
        self.failed(
            id,
            format!("CEA with Result-Code {refused}, or one that does not suit us"),
        );
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.hold = self.config.tc;
        }
        self.apply(now, id, PeerEvent::IRcvNonCea);
    }

    /// RFC 6733 5.6.4: one connection between two nodes. The same HSS may be configured under two addresses.
    fn is_open_elsewhere(&self, id: PeerId, origin_host: &str) -> bool {
        self.peers.iter().any(|(other, peer)| {
            let is_named = peer
                .host
                .as_deref()
                .is_some_and(|host| host.eq_ignore_ascii_case(origin_host));
            *other != id && is_named && peer.fsm.open_connection().is_some()
        })
    }

    fn on_open_message(&mut self, now: Instant, id: PeerId, connection: ConnectionId, message: Message) {
        let header = *message.header();
        let is_request = header.flags.is_request();
        if let Some(peer) = self.peers.get_mut(&id) {
            let actions = if header.code == command::DEVICE_WATCHDOG && !is_request {
                peer.watchdog.received_dwa(now, &mut self.rng)
            } else {
                peer.watchdog.received_other(now, &mut self.rng)
            };
            self.run_watchdog(now, id, &actions);
        }
        let local = &self.config.local;
        match (header.code, is_request) {
            (command::DEVICE_WATCHDOG, true) => {
                let dwa = local.dwa(&header);
                self.send(connection, dwa);
            }
            (command::DISCONNECT_PEER, true) => self.on_dpr(now, id, &message),
            (command::CAPABILITIES_EXCHANGE, true) => {
                let refusal = Refusal::new(result_code::UNABLE_TO_COMPLY);
                let cea = local.cea(&header, self.local_ip(connection), &refusal);
                self.send(connection, cea);
            }
            (command::DEVICE_WATCHDOG | command::DISCONNECT_PEER | command::CAPABILITIES_EXCHANGE, false) => {
            }
            (_, true) if header.flags.is_error() => {
                self.refuse(connection, &message, result_code::INVALID_HDR_BITS)
            }
            (_, true) if header.application == APPLICATION_BASE => {
                self.refuse(connection, &message, result_code::COMMAND_UNSUPPORTED);
            }
            (_, true) => {
                let peer = id;
                self.events.push_back(DiameterEvent::Request {
                    peer,
                    connection,
                    message,
                });
            }
            (_, false) => self
                .events
                .push_back(DiameterEvent::Answer { connection, message }),
        }
    }

    /// After DPR or DPA answers still count, new requests do not.
    fn on_closing_message(&mut self, now: Instant, id: PeerId, connection: ConnectionId, message: Message) {
        match (message.header().code, message.is_request()) {
            (command::DISCONNECT_PEER, true) => self.on_dpr(now, id, &message),
            (command::DISCONNECT_PEER, false) => self.apply(now, id, PeerEvent::RcvDpa),
            (command::DEVICE_WATCHDOG | command::CAPABILITIES_EXCHANGE, false) => {}
            (_, true) => self.refuse(connection, &message, result_code::UNABLE_TO_DELIVER),
            (_, false) => self
                .events
                .push_back(DiameterEvent::Answer { connection, message }),
        }
    }

    fn on_dpr(&mut self, now: Instant, id: PeerId, message: &Message) {
        let cause = DisconnectCause::of(message);
        tracing::info!(peer = id.0, cause = ?cause, "Diameter peer says goodbye");
        if let Some(peer) = self.peers.get_mut(&id) {
            // RFC 6733 5.4: after these two causes the peer does not want to be dialled.
            peer.hold = match cause {
                DisconnectCause::Rebooting => peer.hold,
                DisconnectCause::Busy | DisconnectCause::DoNotWantToTalkToYou => self.config.tc * UNWANTED_TC,
            };
        }
        self.apply(
            now,
            id,
            PeerEvent::RcvDpr {
                dpr: *message.header(),
            },
        );
    }

    /// Refuses a request of an open peer.
    pub(super) fn refuse(&mut self, connection: ConnectionId, request: &Message, code: u32) {
        let session_id = request.text(&avp::SESSION_ID);
        let answer = self
            .config
            .local
            .refuse(request.header(), session_id, &Refusal::new(code));
        self.send(connection, answer);
    }
}
