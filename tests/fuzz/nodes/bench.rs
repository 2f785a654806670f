//! Testkit: one node, its neighbours, and what must hold after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::aka::{AkaVersion, DigestInput};
use ims_common::limits::SipLimits;
use ims_common::net::{
    Command, ConnectionId, Destination, Flow, Interface, Malformed, Naptr, NetInput, NetOutput,
    ResolvedTarget, SendTag, SipInput, SipOutput, Transmit, Transport,
};
use ims_common::node::{Metrics, Node};
use ims_common::sip::{HeaderName, Message, Method, SipMessage, refuse};
use ims_common::why::{Case, Recorder, RecorderSettings, Who, explain};

use super::HOME;
use super::hss::{FakeHss, vector};
use super::kernel::FakeKernel;
use super::rules::{not_for_a_ue, not_of_a_ue};
use super::script::Step;
use crate::engine::now;
use crate::sip::datagram::{WIDE, same_again};

pub(super) type NetNode = dyn Node<Input = NetInput, Output = NetOutput>;

/// A gauge and what it never exceeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    gauge: &'static str,
    side: Option<&'static str>,
    max: u64,
}

impl Limit {
    pub(super) const fn new(gauge: &'static str, max: u64) -> Self {
        Self {
            gauge,
            side: None,
            max,
        }
    }

    pub(super) const fn of_side(gauge: &'static str, side: &'static str, max: u64) -> Self {
        Self {
            gauge,
            side: Some(side),
            max,
        }
    }

    fn present(self, metrics: &Metrics) -> u64 {
        match self.side {
            Some(side) => metrics.sum(self.gauge, &[("side", side)]),
            None => metrics.sum(self.gauge, &[]),
        }
    }
}

/// Stories that the recorder may keep: few, so that they make room for each other.
const STORIES: usize = 4;
/// What one input makes a node say at most.
const OUTPUTS_MAX: usize = 200;
/// Timers that fire in one wait at most.
const TIMERS_MAX: usize = 20_000;
/// The longest wait of a script.
const WAIT_MAX: Duration = Duration::from_secs(8_000);
/// Longer than any transaction lives.
const ALL_IS_OVER: Duration = Duration::from_secs(700);
/// What the neighbours remember of what they were asked.
const ASKED_MAX: usize = 64;

/// Who asked what: sent-by, branch and CSeq of the topmost Via, white space left out.
type Key = (Vec<u8>, Vec<u8>);

pub(super) struct Bench {
    node: Box<NetNode>,
    now: Instant,
    interfaces: &'static [Interface],
    limits: &'static [Limit],
    hss: FakeHss,
    kernel: FakeKernel,
    /// Requests of the node, the oldest first.
    asked: VecDeque<(Flow, Message)>,
    tags: VecDeque<SendTag>,
    nonce: String,
    /// The last Security-Server to a UE, and the last Path to the home network.
    security_server: Vec<u8>,
    path: Vec<u8>,
    /// Something came over security associations.
    protected: bool,
    delivered: BTreeMap<Key, usize>,
    finals: BTreeMap<Key, BTreeSet<Vec<u8>>>,
    peaks: BTreeMap<&'static str, u64>,
    drained: usize,
    understood: bool,
    /// What an operator could ask for: it must bear whatever the node bears.
    recorder: Recorder,
}

impl Bench {
    pub(super) fn new(
        node: Box<NetNode>,
        interfaces: &'static [Interface],
        limits: &'static [Limit],
    ) -> Self {
        let mut bench = Self {
            node,
            now: now(),
            interfaces,
            limits,
            hss: FakeHss::new(),
            kernel: FakeKernel::default(),
            asked: VecDeque::new(),
            tags: VecDeque::new(),
            nonce: String::new(),
            security_server: Vec::new(),
            path: Vec::new(),
            protected: false,
            delivered: BTreeMap::new(),
            finals: BTreeMap::new(),
            peaks: BTreeMap::new(),
            drained: 0,
            understood: false,
            recorder: Recorder::new(RecorderSettings {
                node: "node",
                addresses: Vec::new(),
                stories: STORIES,
                calendar: (now(), 0),
            }),
        };
        bench.drain();
        bench.settle();
        bench
    }

    /// Whether the node acted upon a message of the script: it asked a neighbour, or granted something.
    pub(super) fn was_understood(&self) -> bool {
        self.understood
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step.word(0) {
            "sip" => self.on_sip(step),
            "answer" => self.on_answer(step),
            "fail" => {
                if let Some(tag) = self.tags.get(step.number(1) % self.tags.len().max(1)).copied() {
                    self.tell(NetInput::Sip(SipInput::SendFailed(tag)));
                }
            }
            "wait" => {
                let millis = u64::try_from(step.number(1)).unwrap_or(u64::MAX);
                self.wait(Duration::from_millis(millis).min(WAIT_MAX));
            }
            "close" => self.tell(NetInput::Sip(SipInput::ConnectionClosed(
                ConnectionId(step.number(1) as u64 % 8),
                None,
            ))),
            "kernel" => self.kernel.step(step),
            "drain" => self.tell(NetInput::Command(Command::Drain)),
            _ => self.hss.step(step),
        }
        self.settle();
        self.check_limits();
    }

    /// All waits end, and the node leaves when it is asked to.
    pub(super) fn end(&mut self) {
        for words in [["hss", "up"], ["hss", "go"], ["kernel", "good"]] {
            self.step(&Step {
                words: words.map(str::to_owned).to_vec(),
                body: Vec::new(),
            });
        }
        self.wait(ALL_IS_OVER);
        let metrics = self.metrics();
        for gauge in [
            "ims_sip_transactions",
            "ims_sip_forwards",
            "ims_sip_response_contexts",
            "ims_cx_requests_pending",
            "ims_pcscf_challenges_waiting",
        ] {
            assert_eq!(metrics.sum(gauge, &[]), 0, "{gauge} after all is over");
        }
        if let Some(installed) = self.kernel.known() {
            assert_eq!(
                metrics.sum("ims_pcscf_sa_sets", &[]),
                installed,
                "sets after all is over"
            );
        }
        for (gauge, _, _, value) in metrics.iter().filter(|(gauge, ..)| gauge.ends_with("_pending")) {
            assert_eq!(value, 0, "{gauge} after all is over");
        }
        self.tell(NetInput::Command(Command::Drain));
        self.settle();
        self.wait(ALL_IS_OVER);
        assert_eq!(self.drained, 1, "the node says once that it is drained");
    }

    fn interface(&self, word: &str) -> Interface {
        match word {
            "gm" if self.interfaces.contains(&Interface::Gm) => Interface::Gm,
            "ps" | "pc" if self.interfaces.contains(&Interface::GmProtected) => Interface::GmProtected,
            _ => Interface::Mw,
        }
    }

    fn flow(&self, interface: Interface, transport: Transport, peer: usize) -> Flow {
        let host = u8::try_from(peer % 8).unwrap_or_default();
        let last = if interface == Interface::Gm {
            10 + host
        } else {
            3 + host
        };
        let local = if interface == Interface::Gm { 1 } else { 2 };
        Flow {
            interface,
            transport,
            local: SocketAddr::from(([192, 0, 2, local], 5060)),
            remote: SocketAddr::from(([192, 0, 2, last], 5060)),
            connection: (transport == Transport::Tcp).then(|| ConnectionId(u64::from(host))),
        }
    }

    /// From the client or the server port of the UE whose set was installed last; a number other than 0 is a stranger.
    fn protected_flow(&self, port: &str, transport: Transport, stranger: usize) -> Flow {
        let flow = self.flow(Interface::Gm, transport, stranger);
        let state = self.kernel.last().map(|set| match port {
            "pc" => set.states[3],
            _ => set.states[0],
        });
        let (local, remote) = match state.filter(|_| stranger == 0) {
            Some(state) => (state.destination, state.source),
            None => (
                SocketAddr::new(flow.local.ip(), 6_101),
                SocketAddr::new(flow.remote.ip(), 45_001),
            ),
        };
        Flow {
            interface: Interface::GmProtected,
            local,
            remote,
            ..flow
        }
    }

    fn on_sip(&mut self, step: &Step) {
        let transport = if step.word(2) == "tcp" {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let interface = self.interface(step.word(1));
        let flow = match interface {
            Interface::GmProtected => self.protected_flow(step.word(1), transport, step.number(3)),
            Interface::Gm | Interface::Mw => self.flow(interface, transport, step.number(3)),
        };
        let bytes = self.filled(&step.body);
        self.receive(flow, bytes);
    }

    fn receive(&mut self, flow: Flow, bytes: Bytes) {
        self.protected |= flow.interface == Interface::GmProtected;
        let limits = SipLimits {
            message_bytes_max: 16_000,
            ..SipLimits::default()
        };
        let input = match Message::parse(bytes.clone(), &limits) {
            Ok(message) => {
                if message.is_request() {
                    self.count(&message);
                }
                SipInput::Received { flow, message }
            }
            Err(error) => {
                if let Some(response) = refuse(&bytes, &limits, "t") {
                    self.count(&response);
                }
                SipInput::Malformed(Malformed {
                    flow,
                    reason: error.reason(),
                    bytes,
                })
            }
        };
        self.tell(NetInput::Sip(input));
    }

    fn count(&mut self, message: &Message) {
        if let Some(key) = key(message) {
            *self.delivered.entry(key).or_default() += 1;
        }
    }

    /// `{aka}` is the right answer to the last challenge of the node, `{verify}` its last Security-Server, `{path}` its
    /// last Path.
    fn filled(&self, body: &[u8]) -> Bytes {
        let body = replaced(body, b"{verify}", &self.security_server);
        let body = replaced(&body, b"{path}", &self.path);
        let Some(at) = body.windows(5).position(|window| window == b"{aka}") else {
            return body.into();
        };
        let (impi, uri) = (format!("001010000000001@{HOME}"), format!("sip:{HOME}"));
        let ha1 = AkaVersion::V1Md5.ha1(impi.as_bytes(), HOME.as_bytes(), &vector().keys());
        let input = DigestInput {
            nonce: self.nonce.as_bytes().into(),
            uri: uri.as_bytes().into(),
            qop: Some(b"auth".as_slice().into()),
            nc: b"00000001".as_slice().into(),
            cnonce: b"0a4f113b".as_slice().into(),
            method: b"REGISTER".as_slice().into(),
            ..DigestInput::default()
        };
        let response = input.expected_response(&ha1).expect("a response");
        let value = format!(
            "Digest username=\"{impi}\",realm=\"{HOME}\",nonce=\"{}\",uri=\"{uri}\",response=\"{response}\",algorithm=AKAv1-MD5,\
             qop=auth,nc=00000001,cnonce=\"0a4f113b\",integrity-protected=\"yes\"",
            self.nonce
        );
        [&body[..at], value.as_bytes(), &body[at + 5..]].concat().into()
    }

    fn on_answer(&mut self, step: &Step) {
        let Some((flow, request)) = self.asked.get(step.number(1) % self.asked.len().max(1)).cloned() else {
            return;
        };
        let mut text = format!("SIP/2.0 {} Answer\r\n", step.word(2)).into_bytes();
        for name in [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
        ] {
            // The script may say another To.
            let says_it = name == HeaderName::To && step.body.starts_with(b"To");
            for value in request.headers(name).filter(|_| !says_it) {
                let tag = if name == HeaderName::To && step.word(2) != "100" {
                    ";tag=n"
                } else {
                    ""
                };
                text.extend([name.as_str().as_bytes(), b": ", value, tag.as_bytes(), b"\r\n"].concat());
            }
        }
        text.extend_from_slice(&step.body);
        if !step.body.ends_with(b"\r\n\r\n") {
            text.extend_from_slice(b"\r\n");
        }
        self.receive(flow, text.into());
    }

    fn tell(&mut self, input: NetInput) {
        self.recorder.heard(self.now, &input);
        self.node.handle(self.now, input);
        self.drain();
    }

    /// The neighbours of Diameter have their say, to the end.
    fn settle(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            if let Some(input) = self.hss.inputs.pop_front() {
                self.tell(NetInput::Diameter(input));
            } else if let Some(input) = self.kernel.inputs.pop_front() {
                self.tell(NetInput::Xfrm(input));
            } else {
                break;
            }
        }
        assert!(self.hss.inputs.is_empty(), "node and HSS talk without end");
        assert!(self.kernel.inputs.is_empty(), "node and kernel talk without end");
    }

    /// Whatever a stranger has sent, an operator may ask, and is told what can be told again.
    fn ask_why(&mut self) {
        while let Some(note) = self.node.poll_note() {
            self.recorder.noted(self.now, note);
        }
        for who in ["001010000000001", "+15550001", "alice", "sip:%00@[::1"] {
            let who = Who::parse(who).expect("a question");
            let case = self.recorder.case(&who, self.now);
            assert!(case.entries.len() <= 24 * 64, "{} entries", case.entries.len());
            let told = serde_json::to_string(&case).expect("a case can be told");
            assert!(!told.chars().any(char::is_control), "{told}");
            assert_eq!(serde_json::from_str::<Case>(&told).expect("and read"), case);
            for finding in explain(&case) {
                assert!(!finding.sentence().chars().any(char::is_control), "{finding:?}");
            }
        }
        let mut metrics = Metrics::default();
        self.recorder.metrics(&mut metrics);
        assert!(metrics.sum("ims_why_stories", &[]) <= STORIES as u64);
    }

    fn check_limits(&mut self) {
        self.ask_why();
        let metrics = self.metrics();
        for limit in self.limits {
            let present = limit.present(&metrics);
            assert!(
                present <= limit.max,
                "{present} in {} of at most {}",
                limit.gauge,
                limit.max
            );
            let peak = self.peaks.entry(limit.gauge).or_default();
            *peak = present.max(*peak);
        }
    }

    /// The most that a limited gauge has shown.
    pub(super) fn peak(&self, gauge: &str) -> u64 {
        self.peaks.get(gauge).copied().unwrap_or_default()
    }

    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        self.node.metrics(&mut metrics);
        metrics
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..TIMERS_MAX {
            let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.drain();
            self.settle();
        }
        panic!("timers fire without end");
    }

    fn drain(&mut self) {
        let mut resolve = Vec::new();
        let mut naptr = Vec::new();
        let mut outputs = 0;
        while let Some(output) = self.node.poll_output() {
            outputs += 1;
            assert!(outputs <= OUTPUTS_MAX, "{outputs} outputs after one input");
            self.recorder.said(self.now, &output);
            match output {
                NetOutput::Sip(SipOutput::Transmit(transmit)) => self.on_transmit(&transmit),
                NetOutput::Sip(SipOutput::Resolve(request)) => {
                    assert!(
                        request.host.parse::<std::net::IpAddr>().is_err(),
                        "an address is not resolved"
                    );
                    resolve.push(request);
                }
                NetOutput::Sip(SipOutput::Naptr(request)) => naptr.push(request),
                NetOutput::Sip(SipOutput::Close(_)) => {}
                NetOutput::Diameter(output) => self.hss.on_output(output),
                NetOutput::Xfrm(request) => {
                    let wanted = self.interfaces.contains(&Interface::GmProtected);
                    assert!(wanted, "nobody has asked for IPsec: {request:?}");
                    self.kernel.on_output(request);
                }
                NetOutput::Cdr(_) => {}
                NetOutput::Drained => self.drained += 1,
            }
        }
        for request in naptr {
            let record = Naptr {
                flags: "u".to_owned(),
                service: "E2U+sip".to_owned(),
                regexp: "!^(.*)$!sip:\\1@192.0.2.40!".to_owned(),
                ..Naptr::default()
            };
            let records = if request.name.starts_with('0') {
                Vec::new()
            } else {
                vec![record]
            };
            let id = request.id;
            self.tell(NetInput::Sip(SipInput::Naptr { id, records }));
        }
        for request in resolve {
            let targets = [40, 41].map(|last| ResolvedTarget {
                transport: if request.host.contains("tcp") {
                    Transport::Tcp
                } else {
                    Transport::Udp
                },
                remote: SocketAddr::from(([192, 0, 2, last], 5060)),
            });
            let targets = if request.host.contains("void") {
                Vec::new()
            } else {
                targets.to_vec()
            };
            let id = request.id;
            self.tell(NetInput::Sip(SipInput::Resolved { id, targets }));
        }
    }

    fn on_transmit(&mut self, transmit: &Transmit) {
        let shown = || String::from_utf8_lossy(&transmit.bytes).into_owned();
        let message = Message::parse(transmit.bytes.clone(), &WIDE)
            .unwrap_or_else(|e| panic!("{e} is sent: {}", shown()));
        assert_eq!(message.bytes(), &transmit.bytes, "more than one message is sent");
        same_again(&message);
        let (interface, transport, remote, connection) = match transmit.destination {
            Destination::Flow(flow) => (flow.interface, flow.transport, flow.remote, flow.connection),
            Destination::Address {
                interface,
                transport,
                remote,
            } => (interface, transport, remote, None),
        };
        assert!(self.interfaces.contains(&interface));
        self.check_way(transmit, &message);
        match interface {
            Interface::Gm | Interface::GmProtected => {
                not_for_a_ue(&message);
                if let Some(value) = message.header(HeaderName::SecurityServer) {
                    self.security_server = value.to_vec();
                }
            }
            Interface::Mw if self.interfaces.contains(&Interface::Gm) => {
                not_of_a_ue(&message, self.protected);
                if let Some(value) = message.header(HeaderName::Path) {
                    self.path = value.to_vec();
                }
            }
            Interface::Mw => {}
        }
        self.tags.push_front(transmit.tag);
        self.tags.truncate(ASKED_MAX);
        match message.clone().into_parts() {
            SipMessage::Request(request) => {
                if request.method() != Method::Ack {
                    let flow = match interface {
                        Interface::GmProtected => self.protected_flow("ps", transport, 0),
                        Interface::Gm | Interface::Mw => Flow {
                            remote,
                            connection,
                            ..self.flow(interface, transport, 0)
                        },
                    };
                    self.understood = true;
                    self.asked.push_back((flow, message));
                    self.asked.drain(..self.asked.len().saturating_sub(ASKED_MAX));
                }
            }
            SipMessage::Response(response) => {
                if let Ok(Some(challenge)) = response.www_authenticate() {
                    let nonce = challenge.nonce().unwrap_or_default();
                    self.nonce = String::from_utf8_lossy(&nonce).into_owned();
                }
                self.understood |= (200..300).contains(&response.status().as_u16());
                if response.status().is_final() {
                    self.on_final(response.status().as_u16(), &message);
                }
            }
        }
    }

    /// TS 33.203 7.1: where IPsec is wanted, requests reach UEs over security associations only, by their own ports.
    fn check_way(&self, transmit: &Transmit, message: &Message) {
        if !self.interfaces.contains(&Interface::GmProtected) {
            return;
        }
        match transmit.destination {
            Destination::Flow(flow) if flow.interface == Interface::GmProtected => {
                let is_client = (6_100..=6_104).contains(&flow.local.port()) && flow.local.port() != 6_101;
                assert!(flow.transport == Transport::Tcp || is_client, "{flow:?}");
            }
            Destination::Flow(flow) if flow.interface == Interface::Gm => {
                assert!(!message.is_request(), "a request to a UE in clear: {flow:?}");
            }
            Destination::Flow(_) => {}
            Destination::Address { interface, .. } => assert_ne!(interface, Interface::GmProtected),
        }
    }

    /// A request has one final answer, and nobody else has any. An INVITE may have several 2xx (RFC 3261 16.7).
    fn on_final(&mut self, status: u16, message: &Message) {
        let Some(key) = key(message) else { return };
        let shown = || String::from_utf8_lossy(message.bytes()).into_owned();
        let asked = self.delivered.get(&key).copied().unwrap_or_default();
        assert!(asked > 0, "nobody asked for this: {}", shown());
        if status < 300 && key.1.ends_with(b"INVITE") {
            return;
        }
        let finals = self.finals.entry(key).or_default();
        finals.insert(message.bytes().to_vec());
        assert!(
            finals.len() <= asked,
            "{} answers to {asked} requests: {}",
            finals.len(),
            shown()
        );
    }
}

/// The text with the first `{word}` filled in.
fn replaced(body: &[u8], word: &[u8], value: &[u8]) -> Vec<u8> {
    match body.windows(word.len()).position(|window| window == word) {
        Some(at) => [&body[..at], value, &body[at + word.len()..]].concat(),
        None => body.to_vec(),
    }
}

fn key(message: &Message) -> Option<Key> {
    let via = message.top_via().ok()?;
    let plain = |bytes: &[u8]| {
        bytes
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect::<Vec<u8>>()
    };
    let mut branch = plain(via.sent_by());
    branch.push(b';');
    branch.extend(plain(via.branch().unwrap_or_default()));
    Some((branch, plain(message.header(HeaderName::CSeq)?)))
}
