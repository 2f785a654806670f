//! Testkit: a P-CSCF on a bench: messages in, messages out, virtual time.

mod deregistration;
mod emergency;
mod entry_points;
mod guard;
mod hostile;
mod kernel;
mod others;
mod protected;
mod reg_event;
mod registration;
mod restoration;
mod sessions;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::config::{DaemonConfig, parse};
use ims_common::ipsec::XfrmInput;
use ims_common::limits::SipLimits;
use ims_common::net::{
    Command, ConnectionId, Destination, Flow, Interface, NetInput, NetOutput, SendTag, SipInput, SipOutput,
    Transmit, Transport,
};
use ims_common::node::{Metrics, Node, Seed};
use ims_common::sip::{HeaderName, Message, Request, Response, SipMessage};

use crate::{Pcscf, PcscfConfig};
use kernel::Kernel;

pub(crate) const REALM: &str = "ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const IMPI: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const UE: &str = "127.0.1.10:5060";
pub(crate) const ICSCF: &str = "127.0.1.3:5060";
pub(crate) const OTHER_ICSCF: &str = "127.0.1.13:5060";

#[allow(clippy::disallowed_methods, reason = "where virtual time begins")]
fn epoch() -> Instant {
    Instant::now()
}

/// A P-CSCF and everything it sent.
pub(crate) struct Bench {
    pub(crate) node: Pcscf,
    pub(crate) now: Instant,
    sent: VecDeque<Transmit>,
    /// Of the request that was sent last.
    last_tag: Option<SendTag>,
    pub(crate) kernel: Kernel,
    pub(crate) closed: Vec<ConnectionId>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// With further keys of `gm` and of the whole section, each as `, key: value`.
    pub(crate) fn with(gm: &str, further: &str) -> Self {
        let security = if gm.contains("security") {
            ""
        } else {
            ", security: none"
        };
        // Most tests look at what comes next, and a subscription would.
        let reg_event = match further.contains("reg_event") {
            true => "",
            false => ", reg_event: {subscribe: false}",
        };
        let text = format!(
            "pcscf: {{home_realm: {REALM}, gm: {{address: 127.0.1.1{security}{gm}}}, mw: {{address: 127.0.1.2}}, \
             icscf: [\"sip:{ICSCF}\", \"sip:{OTHER_ICSCF}\"]{reg_event}{further}}}"
        );
        let config: PcscfConfig = parse("pcscf", &text).unwrap();
        let (node, _) = config.build(Seed::from_number(7)).unwrap();
        Self {
            node,
            now: epoch(),
            sent: VecDeque::new(),
            last_tag: None,
            kernel: Kernel::default(),
            closed: Vec::new(),
        }
    }

    pub(crate) fn receive(&mut self, flow: Flow, text: &str) {
        let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()), &SipLimits::default()).unwrap();
        self.node
            .handle(self.now, NetInput::Sip(SipInput::Received { flow, message }));
        self.collect();
    }

    /// From the usual UE over UDP.
    pub(crate) fn ue_says(&mut self, text: &str) {
        self.receive(gm_flow(UE), text);
    }

    /// From the home network.
    pub(crate) fn home_says(&mut self, text: &str) {
        self.receive(mw_flow(ICSCF), text);
    }

    /// The home network answers what it was asked last.
    pub(crate) fn home_answers(&mut self, request: &Request, code: u16, further: &str) {
        self.home_says(&answer(request, code, further));
    }

    pub(crate) fn collect(&mut self) {
        loop {
            while let Some(output) = self.node.poll_output() {
                match output {
                    NetOutput::Sip(SipOutput::Transmit(transmit)) => {
                        if !transmit.bytes.starts_with(b"SIP/2.0") {
                            self.last_tag = Some(transmit.tag);
                        }
                        self.sent.push_back(transmit);
                    }
                    NetOutput::Sip(SipOutput::Close(connection)) => self.closed.push(connection),
                    NetOutput::Xfrm(output) => self.kernel.ask(output),
                    other => panic!("{other:?}"),
                }
            }
            let Some(answer) = self.kernel.answer() else {
                break;
            };
            self.node.handle(self.now, NetInput::Xfrm(answer));
        }
    }

    /// What was sent last could not be, and is forgotten.
    pub(crate) fn cannot_send(&mut self) {
        self.flush_requests();
        let tag = self.last_tag.take().expect("no request was sent");
        let input = NetInput::Sip(SipInput::SendFailed(tag));
        self.node.handle(self.now, input);
        self.collect();
    }

    /// The last word on a request; provisional ones do not count.
    pub(crate) fn final_response(&mut self) -> Response {
        loop {
            let response = self.response();
            if response.status().is_final() {
                return response;
            }
        }
    }

    /// The operator wants to stop.
    pub(crate) fn drain(&mut self) {
        self.node.handle(self.now, NetInput::Command(Command::Drain));
        while let Some(output) = self.node.poll_output() {
            assert!(matches!(output, NetOutput::Drained), "{output:?}");
        }
    }

    /// The kernel says what it has kept back, and something of its own.
    pub(crate) fn kernel_says(&mut self, input: Option<XfrmInput>) {
        self.kernel.is_silent = false;
        if let Some(input) = input {
            self.node.handle(self.now, NetInput::Xfrm(input));
        }
        self.collect();
    }

    pub(crate) fn count(&self, name: &str, reason: &str) -> u64 {
        let mut metrics = Metrics::default();
        self.node.metrics(&mut metrics);
        metrics.sum(name, &[("reason", reason)])
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn advance(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    pub(crate) fn next(&mut self) -> (Destination, SipMessage) {
        let transmit = self.sent.pop_front().expect("nothing was sent");
        let message = Message::parse(transmit.bytes, &SipLimits::default()).unwrap();
        (transmit.destination, message.into_parts())
    }

    pub(crate) fn request(&mut self) -> Request {
        match self.next().1 {
            SipMessage::Request(request) => request,
            SipMessage::Response(response) => panic!("{}", text(&response)),
        }
    }

    pub(crate) fn response(&mut self) -> Response {
        match self.next().1 {
            SipMessage::Response(response) => response,
            SipMessage::Request(request) => panic!("{}", text(&request)),
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.sent.is_empty()
    }

    /// Forgets what was sent; says to whom requests went.
    pub(crate) fn flush(&mut self) -> Vec<SocketAddr> {
        self.sent
            .drain(..)
            .map(|transmit| remote(&transmit.destination))
            .collect()
    }

    /// Forgets requests that were sent, keeps responses.
    pub(crate) fn flush_requests(&mut self) {
        self.sent
            .retain(|transmit| transmit.bytes.starts_with(b"SIP/2.0"));
    }

    /// Forgets the ACKs that were sent.
    pub(crate) fn flush_acks(&mut self) {
        self.sent.retain(|transmit| !transmit.bytes.starts_with(b"ACK"));
    }

    /// The whole of a registration that is granted at once.
    pub(crate) fn register(&mut self, register: &Register, granted: &str) -> Response {
        self.receive(register.flow(), &register.text());
        let request = self.request();
        self.home_answers(&request, 200, granted);
        self.response()
    }
}

pub(crate) fn remote(destination: &Destination) -> SocketAddr {
    match destination {
        Destination::Flow(flow) => flow.remote,
        Destination::Address { remote, .. } => *remote,
    }
}

pub(crate) fn gm_flow(from: &str) -> Flow {
    Flow {
        interface: Interface::Gm,
        transport: Transport::Udp,
        local: "127.0.1.1:5060".parse().unwrap(),
        remote: from.parse().unwrap(),
        connection: None,
    }
}

pub(crate) fn mw_flow(from: &str) -> Flow {
    Flow {
        interface: Interface::Mw,
        transport: Transport::Udp,
        local: "127.0.1.2:5060".parse().unwrap(),
        remote: from.parse().unwrap(),
        connection: None,
    }
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

pub(crate) fn header(message: &Message, name: HeaderName) -> Option<String> {
    message
        .header(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

pub(crate) fn lines(message: &Message, name: HeaderName) -> Vec<String> {
    message
        .headers(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// An answer to a request that was sent, with further header lines, each ending in CR LF.
pub(crate) fn answer(request: &Request, code: u16, further: &str) -> String {
    let mut text = format!("SIP/2.0 {code} Answer\r\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        for value in lines(request, name) {
            let tag = if name == HeaderName::To && code > 100 {
                ";tag=home"
            } else {
                ""
            };
            text.push_str(&format!("{}: {value}{tag}\r\n", name.as_str()));
        }
    }
    format!("{text}{further}Content-Length: 0\r\n\r\n")
}

/// What the S-CSCF grants: the contact with its expiry, Service-Route, identities, and charging data.
pub(crate) fn grant(contact: &str, expires: u32, service_route: &str) -> String {
    format!(
        "Contact: <{contact}>;expires={expires}\r\n\
         Service-Route: <{service_route}>\r\n\
         P-Associated-URI: <sip:+15550001@{REALM}>, <tel:+15550001>\r\n\
         P-Charging-Vector: icid-value=x;term-ioi=\"Type 1{REALM}\"\r\n\
         P-Charging-Function-Addresses: ccf=\"aaa://ccf.home.test\"\r\n"
    )
}

/// A REGISTER of the usual UE, with its parts to change.
#[derive(Clone)]
pub(crate) struct Register {
    pub(crate) from: &'static str,
    pub(crate) connection: Option<u64>,
    pub(crate) cseq: u32,
    pub(crate) authorization: Option<String>,
    pub(crate) contact: Option<String>,
    pub(crate) further: String,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            from: UE,
            connection: None,
            cseq: 1,
            authorization: Some(credentials("", "")),
            contact: Some("<sip:001010000000001@127.0.1.10:5060>;expires=600000".to_owned()),
            further: String::new(),
        }
    }
}

impl Register {
    pub(crate) fn nth(cseq: u32) -> Self {
        Self {
            cseq,
            ..Self::default()
        }
    }

    pub(crate) fn flow(&self) -> Flow {
        let mut flow = gm_flow(self.from);
        flow.connection = self.connection.map(ConnectionId);
        if self.connection.is_some() {
            flow.transport = Transport::Tcp;
        }
        flow
    }

    pub(crate) fn text(&self) -> String {
        let transport = if self.connection.is_some() { "TCP" } else { "UDP" };
        let (from, cseq) = (self.from, self.cseq);
        let mut text = format!(
            "REGISTER sip:{REALM} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {from};branch=z9hG4bK-{from}-{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{IMPI}>;tag=f1\r\n\
             To: <sip:{IMPI}>\r\n\
             Call-ID: c1@ue\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Supported: path,sec-agree\r\n"
        );
        if let Some(contact) = &self.contact {
            text.push_str(&format!("Contact: {contact}\r\n"));
        }
        if let Some(authorization) = &self.authorization {
            text.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        format!("{text}{}Content-Length: 0\r\n\r\n", self.further)
    }
}

/// Digest credentials with a response and further parameters.
pub(crate) fn credentials(response: &str, further: &str) -> String {
    format!(
        "Digest username=\"{IMPI}\",realm=\"{REALM}\",nonce=\"\",uri=\"sip:{REALM}\",response=\"{response}\"{further}"
    )
}
