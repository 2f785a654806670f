//! Table: which call a message belongs to: SIP says so itself, Diameter belongs to what it was said upon.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::glance::Glance;
use super::packet::{Packet, Protocol};
use crate::diameter::Header;

/// Questions to an HSS, or of one, whose answers are awaited.
const ASKED_MAX: usize = 8_192;
/// Events whose call is still known: an answer to what was heard just now.
const CAUSES_MAX: usize = 256;

/// The calls of late.
#[derive(Debug, Default)]
pub struct Trail {
    causes: VecDeque<(u64, Arc<str>)>,
    asked: HashMap<(bool, u32, u32), Arc<str>>,
    order: VecDeque<(bool, u32, u32)>,
}

impl Trail {
    /// The Call-ID of a SIP message, or of the one that made a node ask, or be asked, by Diameter. All packets of one node
    /// come here in their order.
    pub fn call_id(&mut self, packet: &Packet) -> Option<Arc<str>> {
        match packet.protocol {
            Protocol::Sip => {
                let glance = Glance::of(&packet.bytes)?;
                let call_id: Arc<str> = String::from_utf8_lossy(glance.call_id).into();
                self.remember(packet.cause, &call_id);
                Some(call_id)
            }
            Protocol::Diameter => {
                let header = Header::read(&packet.bytes)?;
                let is_request = header.flags.is_request();
                // Of the node's own requests, and of those that it hears.
                let key = (
                    is_request == packet.is_heard,
                    header.hop_by_hop,
                    header.end_to_end,
                );
                if is_request {
                    let call_id = self.of_cause(packet.cause)?;
                    self.ask(key, Arc::clone(&call_id));
                    return Some(call_id);
                }
                let call_id = self.asked.remove(&key)?;
                if packet.is_heard {
                    self.remember(packet.cause, &call_id);
                }
                Some(call_id)
            }
        }
    }

    fn ask(&mut self, key: (bool, u32, u32), call_id: Arc<str>) {
        if self.order.len() >= ASKED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.asked.remove(&oldest);
        }
        self.order.push_back(key);
        self.asked.insert(key, call_id);
    }

    fn of_cause(&self, cause: u64) -> Option<Arc<str>> {
        let found = self.causes.iter().rev().find(|(it, _)| *it == cause);
        found.map(|(_, call_id)| Arc::clone(call_id))
    }

    /// The first message of an event names it.
    fn remember(&mut self, cause: u64, call_id: &Arc<str>) {
        if self.causes.back().is_some_and(|(it, _)| *it == cause) {
            return;
        }
        if self.causes.len() >= CAUSES_MAX {
            self.causes.pop_front();
        }
        self.causes.push_back((cause, Arc::clone(call_id)));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;

    use super::*;
    use crate::net::{Interface, Transport};

    fn packet(is_heard: bool, cause: u64, protocol: Protocol, bytes: Vec<u8>) -> Packet {
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        Packet {
            at: 0,
            is_heard,
            protocol,
            transport: Transport::Udp,
            interface: Interface::Mw,
            source: address,
            target: address,
            bytes: Bytes::from(bytes),
            cause,
        }
    }

    fn sip(call_id: &str) -> Vec<u8> {
        format!("OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nCall-ID: {call_id}\r\n\r\n")
            .into_bytes()
    }

    fn diameter(is_request: bool, hop: u8) -> Vec<u8> {
        let flags = if is_request { 0x80 } else { 0 };
        vec![
            1, 0, 0, 20, flags, 0, 1, 44, 1, 0, 0, 0, 0, 0, 0, hop, 0, 0, 0, hop,
        ]
    }

    #[test]
    fn a_question_to_the_hss_and_its_answer_belong_to_the_call_that_needed_them() {
        let mut trail = Trail::default();
        let mut of = |is_heard, cause, protocol, bytes| {
            let call_id = trail.call_id(&packet(is_heard, cause, protocol, bytes));
            call_id.map(|it| it.to_string())
        };
        assert_eq!(of(true, 1, Protocol::Sip, sip("a")).as_deref(), Some("a"));
        assert_eq!(
            of(false, 1, Protocol::Diameter, diameter(true, 7)).as_deref(),
            Some("a")
        );
        assert_eq!(of(true, 2, Protocol::Sip, sip("b")).as_deref(), Some("b"));
        assert_eq!(
            of(false, 2, Protocol::Diameter, diameter(true, 8)).as_deref(),
            Some("b")
        );
        assert_eq!(
            of(true, 3, Protocol::Diameter, diameter(false, 7)).as_deref(),
            Some("a")
        );
        assert_eq!(
            of(false, 3, Protocol::Diameter, diameter(true, 9)).as_deref(),
            Some("a"),
            "one leads to the next"
        );
        assert_eq!(of(true, 4, Protocol::Diameter, diameter(false, 7)), None, "once");
        assert_eq!(
            of(false, 5, Protocol::Diameter, diameter(true, 10)),
            None,
            "a watchdog"
        );
    }

    #[test]
    fn what_is_never_answered_is_forgotten() {
        let mut trail = Trail::default();
        for number in 0..20_000_u32 {
            let cause = u64::from(number);
            trail.call_id(&packet(true, cause, Protocol::Sip, sip("a")));
            let mut request = diameter(true, 0);
            request[12..16].copy_from_slice(&number.to_be_bytes());
            trail.call_id(&packet(false, cause, Protocol::Diameter, request));
        }
        assert_eq!(trail.asked.len(), ASKED_MAX);
        assert_eq!(trail.causes.len(), CAUSES_MAX);
    }
}
