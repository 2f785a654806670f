//! Engine: messages as spans of traces: one trace for each Call-ID, one span for each request.
//!
//! Read first: <https://opentelemetry.io/docs/specs/otel/trace/api/>. All numbers are derived from what is on the wire: the
//! trace from the Call-ID, a span from the branch of its request. So the nodes agree on them without telling each other:
//! the span of a request that came has the span of the node that sent it as its parent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::glance::Glance;
use super::packet::{Packet, Protocol};
use super::trail::Trail;
use crate::diameter::Header;
use crate::net::Interface;

/// Requests that have no final response yet. The oldest make room.
const OPEN_MAX: usize = 8_192;
/// Events of which it is known what they are about.
const CAUSES_MAX: usize = 256;

/// What is traced, and how much of it is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanSettings {
    /// The part of all calls that is traced, from 0 to 1; the same calls on every node.
    pub sample: f64,
    /// Whether Request-URIs, callers and callees are told.
    pub identities: bool,
}

/// Who asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpanKind {
    /// The node was asked.
    Server,
    /// The node asked.
    Client,
}

/// One request and its final response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    /// Of the Call-ID.
    pub trace: [u8; 16],
    /// Of the request.
    pub id: [u8; 8],
    /// What the request was made for.
    pub parent: Option<[u8; 8]>,
    /// The method or command.
    pub name: String,
    /// Who asked.
    pub kind: SpanKind,
    /// In microseconds of the Unix epoch.
    pub start: u64,
    /// In microseconds of the Unix epoch.
    pub end: u64,
    /// Whether the answer is a failure of the server, or of Diameter.
    pub is_error: bool,
    /// What is known about it.
    pub attributes: Vec<(&'static str, String)>,
}

/// The requests of one node that are open.
#[derive(Debug)]
pub struct Spans {
    settings: SpanSettings,
    trail: Trail,
    open: HashMap<SpanKey, Span>,
    order: VecDeque<SpanKey>,
    /// The span that is worked on, by event.
    causes: VecDeque<(u64, [u8; 8])>,
    ended: VecDeque<Span>,
}

/// Kind, and the branch and method or the numbers of Diameter.
type SpanKey = (bool, Vec<u8>);

impl Spans {
    /// Nothing yet.
    #[must_use]
    pub fn new(settings: SpanSettings) -> Self {
        Self {
            settings,
            trail: Trail::default(),
            open: HashMap::new(),
            order: VecDeque::new(),
            causes: VecDeque::new(),
            ended: VecDeque::new(),
        }
    }

    /// One message. All of one node come in their order.
    pub fn offer(&mut self, packet: &Packet) {
        let Some(call_id) = self.trail.call_id(packet) else {
            return;
        };
        let trace = trace_of(&call_id);
        if !is_sampled(&trace, self.settings.sample) {
            return;
        }
        match packet.protocol {
            Protocol::Sip => self.sip(packet, trace, &call_id),
            Protocol::Diameter => self.diameter(packet, trace, &call_id),
        }
    }

    /// The next span that has ended.
    pub fn poll(&mut self) -> Option<Span> {
        self.ended.pop_front()
    }

    fn sip(&mut self, packet: &Packet, trace: [u8; 16], call_id: &Arc<str>) {
        let Some(glance) = Glance::of(&packet.bytes).filter(|glance| glance.method != b"ACK") else {
            return;
        };
        let key = |is_server: bool| (is_server, [glance.branch, b" ", glance.method].concat());
        if let Some(status) = glance.status {
            let key = key(!packet.is_heard);
            self.works_on(packet, &key);
            if status >= 200 {
                let status_text = status.to_string();
                self.end(packet, &key, "sip.status_code", status_text, status >= 500);
            }
            return;
        }
        let key = key(packet.is_heard);
        let client = id_of(b"client", &key.1);
        let (id, parent, kind) = match packet.is_heard {
            true => {
                let is_of_a_node = packet.interface == Interface::Mw;
                (
                    id_of(b"server", &key.1),
                    is_of_a_node.then_some(client),
                    SpanKind::Server,
                )
            }
            false => (client, self.of_cause(packet.cause), SpanKind::Client),
        };
        let name = String::from_utf8_lossy(glance.method).into_owned();
        let mut attributes = common(packet, call_id);
        attributes.push(("sip.method", name.clone()));
        if self.settings.identities {
            attributes.extend(identities(&packet.bytes));
        }
        let span = Span {
            trace,
            id,
            parent,
            name,
            kind,
            start: packet.at,
            end: packet.at,
            is_error: false,
            attributes,
        };
        self.begin(packet, key, span);
    }

    fn diameter(&mut self, packet: &Packet, trace: [u8; 16], call_id: &Arc<str>) {
        let Some(header) = Header::read(&packet.bytes) else {
            return;
        };
        let is_request = header.flags.is_request();
        let numbers = [header.hop_by_hop.to_be_bytes(), header.end_to_end.to_be_bytes()].concat();
        let key = (is_request == packet.is_heard, numbers);
        if !is_request {
            self.works_on(packet, &key);
            let result = super::latency::result_class(&packet.bytes);
            let is_error = result != "success";
            return self.end(packet, &key, "diameter.result", result.to_owned(), is_error);
        }
        let name = super::latency::command_name(header.code);
        let mut attributes = common(packet, call_id);
        attributes.push(("diameter.command", name.to_owned()));
        let span = Span {
            trace,
            id: id_of(b"diameter", &[&key.1[..], &trace].concat()),
            parent: self.of_cause(packet.cause),
            name: name.to_owned(),
            kind: if key.0 { SpanKind::Server } else { SpanKind::Client },
            start: packet.at,
            end: packet.at,
            is_error: false,
            attributes,
        };
        self.begin(packet, key, span);
    }

    fn begin(&mut self, packet: &Packet, key: SpanKey, span: Span) {
        if packet.is_heard {
            self.remember(packet.cause, span.id);
        }
        // A repeated one has begun already.
        if self.open.contains_key(&key) {
            return;
        }
        if self.order.len() >= OPEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.open.insert(key, span);
    }

    /// What is said upon an answer is for what was asked for.
    fn works_on(&mut self, packet: &Packet, key: &SpanKey) {
        let parent = self.open.get(key).and_then(|span| span.parent);
        if let Some(parent) = parent.filter(|_| packet.is_heard) {
            self.remember(packet.cause, parent);
        }
    }

    fn end(&mut self, packet: &Packet, key: &SpanKey, name: &'static str, value: String, is_error: bool) {
        let Some(mut span) = self.open.remove(key) else {
            return;
        };
        if self.order.front() == Some(key) {
            self.order.pop_front();
        }
        span.end = packet.at.max(span.start);
        span.is_error = is_error;
        span.attributes.push((name, value));
        self.ended.push_back(span);
    }

    fn of_cause(&self, cause: u64) -> Option<[u8; 8]> {
        let found = self.causes.iter().rev().find(|(it, _)| *it == cause);
        found.map(|(_, id)| *id)
    }

    fn remember(&mut self, cause: u64, id: [u8; 8]) {
        if self.causes.len() >= CAUSES_MAX {
            self.causes.pop_front();
        }
        self.causes.push_back((cause, id));
    }
}

fn common(packet: &Packet, call_id: &Arc<str>) -> Vec<(&'static str, String)> {
    let peer = if packet.is_heard {
        packet.source
    } else {
        packet.target
    };
    let interface = match packet.interface {
        Interface::Gm => "gm",
        Interface::GmProtected => "gm_protected",
        Interface::Mw if packet.protocol == Protocol::Diameter => "cx",
        Interface::Mw => "mw",
    };
    vec![
        ("sip.call_id", call_id.to_string()),
        ("ims.interface", interface.to_owned()),
        ("network.peer.address", peer.ip().to_string()),
        ("network.peer.port", peer.port().to_string()),
    ]
}

/// Request-URI, From and To as written.
fn identities(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value.trim_ascii()).into_owned();
    let mut found = Vec::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        if number == 0 {
            if let Some(uri) = line.split(|b| *b == b' ').nth(1) {
                found.push(("sip.request_uri", text(uri)));
            }
            continue;
        }
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = match parts.next().map(<[u8]>::trim_ascii) {
            Some(b"From" | b"f") => "sip.from",
            Some(b"To" | b"t") => "sip.to",
            _ => continue,
        };
        found.push((name, text(parts.next().unwrap_or_default())));
    }
    found
}

/// The trace of a Call-ID, as collectors show it.
pub(crate) fn trace_id(call_id: &str) -> String {
    trace_of(call_id)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

fn trace_of(call_id: &str) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update(b"trace ")
        .chain_update(call_id)
        .finalize();
    digest.first_chunk().copied().unwrap_or([1; 16])
}

fn id_of(kind: &[u8], key: &[u8]) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(kind)
        .chain_update(b" ")
        .chain_update(key)
        .finalize();
    digest.first_chunk().copied().unwrap_or([1; 8])
}

/// By the last octets of the trace, as other tracers sample.
fn is_sampled(trace: &[u8; 16], sample: f64) -> bool {
    let [.., a, b, c, d] = *trace;
    f64::from(u32::from_be_bytes([a, b, c, d])) < sample * 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;

    use super::*;
    use crate::net::Transport;

    const ALL: SpanSettings = SpanSettings {
        sample: 1.0,
        identities: false,
    };

    fn packet(at: u64, is_heard: bool, interface: Interface, protocol: Protocol, bytes: Vec<u8>) -> Packet {
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        Packet {
            at,
            is_heard,
            protocol,
            transport: Transport::Udp,
            interface,
            source: address,
            target: address,
            bytes: Bytes::from(bytes),
            cause: at / 10,
        }
    }

    fn sip(start: &str, branch: &str) -> Vec<u8> {
        format!(
            "{start}\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nFrom: <sip:alice@home.example>\r\n\r\n"
        )
        .into_bytes()
    }

    fn lir(is_request: bool) -> Vec<u8> {
        let flags = if is_request { 0x80 } else { 0 };
        let mut bytes = vec![1, 0, 0, 32, flags, 0, 1, 46, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 7];
        bytes.extend([0, 0, 1, 12, 0x40, 0, 0, 12, 0, 0, 0x07, 0xD1]);
        bytes
    }

    /// An I-CSCF: INVITE, LIR, LIA, INVITE, 200, 200.
    fn call(settings: SpanSettings) -> Vec<Span> {
        use Interface::Mw;
        use Protocol::{Diameter, Sip};
        let mut spans = Spans::new(settings);
        spans.offer(&packet(
            10,
            true,
            Mw,
            Sip,
            sip("INVITE sip:bob@home.example SIP/2.0", "up"),
        ));
        spans.offer(&packet(11, false, Mw, Diameter, lir(true)));
        spans.offer(&packet(20, true, Mw, Diameter, lir(false)));
        spans.offer(&packet(
            21,
            false,
            Mw,
            Sip,
            sip("INVITE sip:bob@home.example SIP/2.0", "down"),
        ));
        spans.offer(&packet(30, true, Mw, Sip, sip("SIP/2.0 180 Ringing", "down")));
        spans.offer(&packet(40, true, Mw, Sip, sip("SIP/2.0 200 OK", "down")));
        spans.offer(&packet(41, false, Mw, Sip, sip("SIP/2.0 200 OK", "up")));
        std::iter::from_fn(|| spans.poll()).collect()
    }

    #[test]
    fn a_request_its_question_to_the_hss_and_what_it_was_forwarded_as_are_one_tree() {
        let spans = call(ALL);
        let shown: Vec<_> = spans
            .iter()
            .map(|it| (it.name.as_str(), it.kind, it.start, it.end))
            .collect();
        assert_eq!(
            shown,
            [
                ("LIR", SpanKind::Client, 11, 20),
                ("INVITE", SpanKind::Client, 21, 40),
                ("INVITE", SpanKind::Server, 10, 41),
            ]
        );
        let server = &spans[2];
        assert!(
            spans[..2]
                .iter()
                .all(|it| it.parent == Some(server.id) && it.trace == server.trace)
        );
        assert!(server.attributes.contains(&("sip.status_code", "200".to_owned())));
    }

    #[test]
    fn the_next_node_finds_its_parent_in_what_it_hears() {
        let first = call(ALL);
        let mut next = Spans::new(ALL);
        let heard = |start| {
            packet(
                0,
                start != "SIP/2.0 200 OK",
                Interface::Mw,
                Protocol::Sip,
                sip(start, "down"),
            )
        };
        next.offer(&heard("INVITE sip:bob@home.example SIP/2.0"));
        next.offer(&heard("SIP/2.0 200 OK"));
        let span = next.poll().unwrap();
        assert_eq!((span.trace, span.parent), (first[1].trace, Some(first[1].id)));
        assert_ne!(span.id, first[1].id);
    }

    #[test]
    fn identities_are_told_only_if_asked_for_and_nothing_at_all_of_what_is_not_sampled() {
        let has_alice = |settings| format!("{:?}", call(settings)).contains("alice");
        assert!(!has_alice(ALL));
        assert!(has_alice(SpanSettings {
            identities: true,
            ..ALL
        }));
        assert!(call(SpanSettings { sample: 0.0, ..ALL }).is_empty());
        let count = (0..10_000_u32).filter(|it| is_sampled(&trace_of(&it.to_string()), 0.01));
        assert!((50..200).contains(&count.count()));
    }

    #[test]
    fn what_is_never_answered_is_forgotten() {
        let mut spans = Spans::new(ALL);
        for number in 0..20_000 {
            let request = sip("INVITE sip:bob@home.example SIP/2.0", &format!("z{number}"));
            spans.offer(&packet(number, true, Interface::Mw, Protocol::Sip, request));
        }
        assert_eq!((spans.open.len(), spans.order.len()), (OPEN_MAX, OPEN_MAX));
        assert_eq!(spans.causes.len(), CAUSES_MAX);
    }
}
