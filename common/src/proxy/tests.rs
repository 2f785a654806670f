//! Testkit: a proxy core on a virtual clock, with the world played by the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::limits::SipLimits;
use crate::net::{
    ConnectionId, Destination, Flow, Interface, ResolveRequest, SipInput, SipOutput, Transmit, Transport,
};
use crate::node::{Metrics, Seed};
use crate::sip::{HeaderName, Message, Method, Request, Response, SipMessage, StatusCode};
use crate::token::ShardId;

use super::*;

mod cancelling;
mod completed;
mod failover;
mod forking;
mod forwarding;
mod protected;
mod refusals;
mod relaying;
mod response_routing;
mod swarm;

/// Where our core listens on Mw.
const HERE: &str = "192.0.2.1:5060";
const UPSTREAM: &str = "192.0.2.100:5060";

/// The core, its clock, and what it asked for.
struct Bench {
    core: ProxyCore,
    now: Instant,
    resolves: Vec<ResolveRequest>,
}

/// One message that left the core.
struct Sent {
    message: SipMessage,
    transmit: Transmit,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(edit: impl FnOnce(&mut ProxyCoreConfig)) -> Self {
        let side = |interface, timers| InterfaceConfig {
            interface,
            sent_by: HERE.to_owned(),
            local_v: address(HERE),
            timers,
            tcp_above_bytes: 1_300,
        };
        let mut config = ProxyCoreConfig {
            interfaces: vec![
                side(Interface::Gm, SipTimers::gm()),
                side(Interface::Mw, SipTimers::mw()),
            ],
            hosts: HostsTable::default(),
            shard: ShardId(0x2a),
            limits: ProxyLimits::default(),
            server_header: String::new(),
        };
        edit(&mut config);
        Self {
            core: ProxyCore::new(config, &Seed::from_number(1)),
            now: start(),
            resolves: Vec::new(),
        }
    }

    fn receive(&mut self, flow: Flow, text: &str) {
        self.receive_bytes(flow, Bytes::copy_from_slice(text.as_bytes()));
    }

    fn receive_bytes(&mut self, flow: Flow, bytes: Bytes) {
        let message = Message::parse(bytes, &SipLimits::default()).expect("a test sends what scans");
        self.core.handle(self.now, SipInput::Received { flow, message });
    }

    /// Gives a request to the core and takes its event.
    fn receive_new(&mut self, text: &str) -> (ServerTransactionId, Request) {
        self.receive(udp(UPSTREAM), text);
        match self.events().as_slice() {
            [
                CoreEvent::Request {
                    transaction, request, ..
                },
            ] => (*transaction, request.clone()),
            other => panic!("not one request: {other:?}"),
        }
    }

    /// Answers a request that the core has sent.
    fn answer(&mut self, sent: &Sent, status: u16) {
        self.answer_with(sent, status, &[]);
    }

    fn answer_with(&mut self, sent: &Sent, status: u16, headers: &[(HeaderName, &str)]) {
        self.answer_tagged(sent, status, "b1", headers);
    }

    fn answer_tagged(&mut self, sent: &Sent, status: u16, tag: &str, headers: &[(HeaderName, &str)]) {
        let status = StatusCode::new(status).expect("a status");
        let mut reply = sent.request().reply(status).to_tag(tag);
        for (name, value) in headers {
            reply = reply.header(*name, value);
        }
        let flow = match sent.transmit.destination {
            Destination::Flow(flow) => flow,
            Destination::Address {
                interface,
                transport,
                remote,
            } => Flow {
                interface,
                transport,
                local: address(HERE),
                remote,
                connection: None,
            },
        };
        self.receive_bytes(flow, reply.finish().bytes().clone());
    }

    fn events(&mut self) -> Vec<CoreEvent> {
        std::iter::from_fn(|| self.core.poll_event()).collect()
    }

    fn sent(&mut self) -> Vec<Sent> {
        let outputs: Vec<SipOutput> = std::iter::from_fn(|| self.core.poll_output()).collect();
        let mut sent = Vec::new();
        for output in outputs {
            match output {
                SipOutput::Transmit(transmit) => sent.push(Sent::new(transmit)),
                SipOutput::Resolve(question) => self.resolves.push(question),
                SipOutput::Naptr(_) | SipOutput::Close(_) => {}
            }
        }
        sent
    }

    /// The only message that left since the last look.
    fn sent_one(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "not one message but {}", sent.len());
        sent.remove(0)
    }

    fn fail_send(&mut self, sent: &Sent) {
        self.core
            .handle(self.now, SipInput::SendFailed(sent.transmit.tag));
    }

    /// Lets time pass, firing each timer at its time.
    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.core.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn forward_to(&mut self, request: &Request, remote: &str) -> ForwardId {
        self.core
            .forward(self.now, request.clone(), to(remote), Interface::Mw)
    }

    fn relay_to(&mut self, transaction: ServerTransactionId, request: &Request, remotes: &[&str]) {
        let targets = remotes
            .iter()
            .map(|remote| NextHopTarget::unchanged(to(remote)))
            .collect();
        self.core
            .relay(self.now, transaction, request.clone(), targets, Interface::Mw);
    }

    fn count(&self, name: &str, reason: &str) -> u64 {
        let mut metrics = Metrics::default();
        self.core.export_metrics(&mut metrics);
        metrics.sum(name, &[("reason", reason)])
    }
}

impl Sent {
    fn new(transmit: Transmit) -> Self {
        let message =
            Message::parse(transmit.bytes.clone(), &SipLimits::default()).expect("what leaves us scans");
        Self {
            message: message.into_parts(),
            transmit,
        }
    }

    fn request(&self) -> &Request {
        match &self.message {
            SipMessage::Request(request) => request,
            SipMessage::Response(response) => panic!("not a request: {response:?}"),
        }
    }

    fn response(&self) -> &Response {
        match &self.message {
            SipMessage::Response(response) => response,
            SipMessage::Request(request) => panic!("not a response: {request:?}"),
        }
    }

    fn status(&self) -> u16 {
        self.response().status().as_u16()
    }

    fn method(&self) -> Method {
        self.request().method()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.transmit.bytes).into_owned()
    }

    fn remote(&self) -> SocketAddr {
        match self.transmit.destination {
            Destination::Flow(flow) => flow.remote,
            Destination::Address { remote, .. } => remote,
        }
    }

    fn transport(&self) -> Transport {
        match self.transmit.destination {
            Destination::Flow(flow) => flow.transport,
            Destination::Address { transport, .. } => transport,
        }
    }
}

/// The one instant that tests start from.
#[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn start() -> Instant {
    Instant::now()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn to(remote: &str) -> NextHop {
    NextHop::Address {
        transport: Transport::Udp,
        remote: address(remote),
    }
}

fn uri(text: &str) -> NextHop {
    NextHop::Uri(text.parse().expect("a URI"))
}

fn udp(remote: &str) -> Flow {
    Flow {
        interface: Interface::Mw,
        transport: Transport::Udp,
        local: address(HERE),
        remote: address(remote),
        connection: None,
    }
}

fn tcp(remote: &str) -> Flow {
    Flow {
        transport: Transport::Tcp,
        connection: Some(ConnectionId(7)),
        ..udp(remote)
    }
}

/// A request of alice to bob; `extra` are whole header lines.
fn request(method: &str, branch: &str, extra: &[&str]) -> String {
    let mut text = format!(
        "{method} sip:bob@home.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@home.example>;tag=a1\r\n\
         To: <sip:bob@home.example>\r\n\
         Call-ID: call-1@home.example\r\n\
         CSeq: 1 {method}\r\n"
    );
    for line in extra {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

fn statuses(sent: &[Sent]) -> Vec<u16> {
    sent.iter()
        .filter_map(|sent| match &sent.message {
            SipMessage::Response(response) => Some(response.status().as_u16()),
            SipMessage::Request(_) => None,
        })
        .collect()
}

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter()
        .filter_map(|sent| match &sent.message {
            SipMessage::Request(request) => Some(request.method().to_string()),
            SipMessage::Response(_) => None,
        })
        .collect()
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
