//! Table: what crossed a node's border of one subscriber, kept for a while because an operator asked.
//!
//! A capture follows an identity wherever it stands in a message, and every call that it was seen in. It is a ring: the
//! oldest packets make room for new ones. It ends by itself, can be fetched for an hour, and is then forgotten.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use memchr::memmem::Finder;

use super::packet::Packet;
use super::trail::Trail;

/// Microseconds that an ended capture can be fetched.
const KEPT: u64 = 3_600_000_000;
const MINUTE: u64 = 60_000_000;
/// The longest that a capture lasts.
const MINUTES_MAX: u64 = 24 * 60;
/// Calls that one capture follows.
const CALLS_MAX: usize = 1_024;
/// Fewer characters would be in every message.
const WHO_MIN: usize = 4;
/// What a packet costs beside its octets.
const PACKET_COST: usize = 200;

/// Bounds of all captures of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CaptureLimits {
    /// Captures at a time, ended ones among them.
    pub captures: usize,
    /// Octets of all together.
    pub bytes: usize,
}

/// What an operator wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CaptureRequest {
    /// An identity or number, with or without scheme and domain.
    pub who: String,
    /// How long.
    pub minutes: u64,
    /// The size of the ring.
    pub max_bytes: usize,
}

/// Why there is no capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CaptureReject {
    /// Too short: it would match strangers.
    #[error("an identity has at least four characters")]
    WhoTooShort,
    /// No minutes, or more than a day.
    #[error("a capture lasts from one minute to a day")]
    Minutes,
    /// As many as there may be.
    #[error("there are as many captures as may be")]
    TooMany,
    /// All captures together would have more octets than there may be.
    #[error("the captures that there are leave less room than that")]
    TooLarge,
}

/// How a capture does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CaptureState {
    /// Its number.
    pub id: u64,
    /// Whom it follows.
    pub who: String,
    /// When it ends, in microseconds of the Unix epoch.
    pub until: u64,
    /// Packets that it has.
    pub packets: usize,
    /// Octets that it has.
    pub bytes: usize,
    /// Packets that made room for others.
    pub left_out: u64,
}

/// All captures of a node.
#[derive(Debug)]
pub struct Captures {
    limits: CaptureLimits,
    all: BTreeMap<u64, Capture>,
    last: u64,
    trail: Trail,
}

#[derive(Debug)]
struct Capture {
    who: String,
    finder: Finder<'static>,
    until: u64,
    max_bytes: usize,
    packets: VecDeque<Packet>,
    bytes: usize,
    left_out: u64,
    calls: HashSet<Arc<str>>,
}

impl Captures {
    /// None yet.
    #[must_use]
    pub fn new(limits: CaptureLimits) -> Self {
        Self {
            limits,
            all: BTreeMap::new(),
            last: 0,
            trail: Trail::default(),
        }
    }

    /// Begins one, and says its number.
    ///
    /// # Errors
    /// When it asks for too much, or there are too many.
    pub fn start(&mut self, now: u64, request: &CaptureRequest) -> Result<u64, CaptureReject> {
        self.forget(now);
        let needle = needle(&request.who);
        if needle.len() < WHO_MIN {
            return Err(CaptureReject::WhoTooShort);
        }
        if !(1..=MINUTES_MAX).contains(&request.minutes) {
            return Err(CaptureReject::Minutes);
        }
        if self.all.len() >= self.limits.captures {
            return Err(CaptureReject::TooMany);
        }
        let taken: usize = self.all.values().map(|capture| capture.max_bytes).sum();
        if request.max_bytes > self.limits.bytes.saturating_sub(taken) {
            return Err(CaptureReject::TooLarge);
        }
        self.last += 1;
        let capture = Capture {
            finder: Finder::new(needle).into_owned(),
            who: request.who.clone(),
            until: now.saturating_add(request.minutes * MINUTE),
            max_bytes: request.max_bytes,
            packets: VecDeque::new(),
            bytes: 0,
            left_out: 0,
            calls: HashSet::new(),
        };
        self.all.insert(self.last, capture);
        Ok(self.last)
    }

    /// Ends one early and forgets it. Says whether there was one.
    pub fn remove(&mut self, id: u64) -> bool {
        self.all.remove(&id).is_some()
    }

    /// Whether packets are wanted still. Captures that ended long ago are forgotten.
    pub fn is_wanted(&mut self, now: u64) -> bool {
        self.forget(now);
        self.all.values().any(|capture| now < capture.until)
    }

    /// Keeps a packet where it belongs, without its keys.
    pub fn offer(&mut self, mut packet: Packet) {
        let call_id = self.trail.call_id(&packet);
        let mut is_blanked = false;
        for capture in self.all.values_mut() {
            if packet.at >= capture.until || !capture.wants(&packet, call_id.as_ref()) {
                continue;
            }
            if !is_blanked {
                packet.blank();
                is_blanked = true;
            }
            capture.keep(packet.clone());
        }
    }

    /// How all do.
    #[must_use]
    pub fn states(&self) -> Vec<CaptureState> {
        let state = |(id, capture): (&u64, &Capture)| CaptureState {
            id: *id,
            who: capture.who.clone(),
            until: capture.until,
            packets: capture.packets.len(),
            bytes: capture.bytes,
            left_out: capture.left_out,
        };
        self.all.iter().map(state).collect()
    }

    /// The packets of one, in their order.
    #[must_use]
    pub fn packets(&self, id: u64) -> Option<Vec<Packet>> {
        let capture = self.all.get(&id)?;
        Some(capture.packets.iter().cloned().collect())
    }

    /// The number of the latest one of somebody.
    #[must_use]
    pub fn latest_of(&self, who: &str) -> Option<u64> {
        let mut latest = self.all.iter().rev();
        latest
            .find(|(_, capture)| needle(&capture.who) == needle(who))
            .map(|(id, _)| *id)
    }

    /// Forgets those that ended an hour ago.
    pub fn forget(&mut self, now: u64) {
        self.all
            .retain(|_, capture| now < capture.until.saturating_add(KEPT));
    }
}

impl Capture {
    fn wants(&mut self, packet: &Packet, call_id: Option<&Arc<str>>) -> bool {
        if self.finder.find(&packet.bytes).is_some() {
            if let Some(call_id) = call_id
                && self.calls.len() < CALLS_MAX
            {
                self.calls.insert(Arc::clone(call_id));
            }
            return true;
        }
        call_id.is_some_and(|call_id| self.calls.contains(call_id))
    }

    fn keep(&mut self, packet: Packet) {
        let cost = packet.bytes.len() + PACKET_COST;
        if cost > self.max_bytes {
            self.left_out += 1;
            return;
        }
        while self.bytes + cost > self.max_bytes {
            let Some(oldest) = self.packets.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes.len() + PACKET_COST;
            self.left_out += 1;
        }
        self.bytes += cost;
        self.packets.push_back(packet);
    }
}

/// The part of an identity that stands in every spelling of it.
fn needle(who: &str) -> &str {
    let plain = who.trim();
    let plain = ["sips:", "sip:", "tel:"]
        .iter()
        .find_map(|scheme| plain.strip_prefix(scheme))
        .unwrap_or(plain);
    let user = plain.split(['@', ';']).next().unwrap_or_default();
    user.trim_start_matches('+')
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;

    use super::*;
    use crate::net::{Interface, Transport};
    use crate::telemetry::packet::Protocol;

    const LIMITS: CaptureLimits = CaptureLimits {
        captures: 2,
        bytes: 10_000,
    };

    fn message(at: u64, call_id: &str, from: &str, more: &str) -> Packet {
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        let text = format!(
            "SIP/2.0 401 No\r\nVia: SIP/2.0/UDP h;branch=z\r\nCall-ID: {call_id}\r\nCSeq: 1 REGISTER\r\nFrom: <sip:{from}@home.example>\r\n{more}\r\n"
        );
        Packet {
            at,
            is_heard: true,
            protocol: Protocol::Sip,
            transport: Transport::Udp,
            interface: Interface::Mw,
            source: address,
            target: address,
            bytes: Bytes::from(text),
            cause: at,
        }
    }

    fn request(who: &str, max_bytes: usize) -> CaptureRequest {
        CaptureRequest {
            who: who.to_owned(),
            minutes: 5,
            max_bytes,
        }
    }

    #[test]
    fn one_subscriber_is_kept_with_the_calls_that_it_is_in_and_without_keys() {
        let mut captures = Captures::new(LIMITS);
        let id = captures.start(0, &request("tel:+15550001", 5_000)).unwrap();
        captures.offer(message(
            1,
            "c1",
            "+15550001",
            "WWW-Authenticate: Digest ck=\"0123\"\r\n",
        ));
        captures.offer(message(2, "c2", "+15550002", ""));
        captures.offer(message(3, "c1", "anonymous", ""));
        let kept = captures.packets(id).unwrap();
        assert_eq!(kept.iter().map(|packet| packet.at).collect::<Vec<_>>(), [1, 3]);
        let text = String::from_utf8(kept[0].bytes.to_vec()).unwrap();
        assert!(text.contains("ck=\"xxxx\""), "{text}");
        assert_eq!(
            captures.latest_of("sip:+15550001@home.example;user=phone"),
            Some(id)
        );
    }

    #[test]
    fn a_capture_is_a_ring_ends_by_itself_and_is_forgotten() {
        let mut captures = Captures::new(LIMITS);
        let id = captures.start(0, &request("alice", 2_000)).unwrap();
        for at in 0..100 {
            captures.offer(message(at, "c", "alice", ""));
        }
        let state = captures.states().remove(0);
        assert!(state.bytes <= 2_000 && state.packets >= 4, "{state:?}");
        assert_eq!(state.packets as u64 + state.left_out, 100);
        assert_eq!(captures.packets(id).unwrap().last().unwrap().at, 99);
        assert!(captures.is_wanted(5 * MINUTE - 1));
        assert!(!captures.is_wanted(5 * MINUTE));
        captures.offer(message(5 * MINUTE, "c", "alice", ""));
        assert_eq!(captures.packets(id).unwrap().last().unwrap().at, 99);
        assert!(!captures.is_wanted(5 * MINUTE + KEPT));
        assert_eq!(captures.packets(id), None);
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let mut captures = Captures::new(LIMITS);
        let refused =
            |captures: &mut Captures, who, bytes| captures.start(0, &request(who, bytes)).unwrap_err();
        assert_eq!(refused(&mut captures, "sip:al@h", 1), CaptureReject::WhoTooShort);
        assert_eq!(refused(&mut captures, "alice", 10_001), CaptureReject::TooLarge);
        captures.start(0, &request("alice", 6_000)).unwrap();
        assert_eq!(refused(&mut captures, "bertha", 6_000), CaptureReject::TooLarge);
        let second = captures.start(0, &request("bertha", 4_000)).unwrap();
        assert_eq!(refused(&mut captures, "caesar", 0), CaptureReject::TooMany);
        assert!(captures.remove(second));
        captures.start(0, &request("caesar", 4_000)).unwrap();
        let forever = CaptureRequest {
            minutes: 1_441,
            ..request("alice", 1)
        };
        assert_eq!(captures.start(0, &forever), Err(CaptureReject::Minutes));
    }
}
