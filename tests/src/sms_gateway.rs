//! Testkit: a small IP-SM-GW (TS 24.341 5.3.3, TS 23.204), which is its own service centre: what one phone submits it
//! delivers to the other.
//!
//! It learns by third-party REGISTERs where a user's S-CSCF is (TS 24.341 5.3.3.2).

pub mod rp;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use ims_common::net::{Command, Interface, NetInput, NetOutput};
use ims_common::node::{Metrics, Node, Seed};
use ims_common::proxy::{CoreEvent, ForwardId, HostsTable, NextHop, ProxyCore, ServerTransactionId, route};
use ims_common::sip::{HeaderName, Method, NameAddr, Request, StatusCode};

use self::rp::{CONTENT_TYPE, Rp, Submit};
use crate::app_server::core_config;
use crate::hss::Ifc;

/// The number of the service centre.
pub const SERVICE_CENTRE: &str = "15550099";

/// What a gateway is.
#[derive(Clone, Debug)]
pub struct SmsGatewayConfig {
    /// Where it is.
    pub local: SocketAddr,
    /// Its name in the home network; `None`: its address.
    pub host: Option<String>,
    /// The URI of an I-CSCF, for users who never registered.
    pub icscf: String,
    /// Refuses what is submitted with this RP-Cause.
    pub refuses: Option<u8>,
    /// Names that no DNS knows.
    pub hosts: HostsTable,
}

impl SmsGatewayConfig {
    /// The URI of the gateway.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.host {
            Some(host) => format!("sip:{host}:{}", self.local.port()),
            None => format!("sip:{}", self.local),
        }
    }
}

/// The criteria that bring a user's registrations and short messages to the gateway with this URI (TS 24.341 4).
#[must_use]
pub fn criteria(uri: &str) -> [Ifc; 2] {
    [
        Ifc::to(uri, 1).registers(&[]),
        Ifc::to(uri, 2)
            .method(&["MESSAGE"])
            .originating()
            .header("Content-Type", Some("application/vnd\\.3gpp\\.sms")),
    ]
}

/// What a gateway saw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SmsEvent {
    /// A user registered here or left (0 seconds).
    Registered(String, u32),
    /// A submission came from this user.
    Submitted {
        /// P-Asserted-Identity.
        from: String,
        /// The TPDU.
        tpdu: Vec<u8>,
    },
    /// The report on a submission was answered with this status.
    Reported(u16),
    /// A delivery was answered with this status; 0: not at all.
    Delivered(u16),
    /// The phone says that it has the message.
    Acknowledged(u8),
    /// The phone says why it has it not.
    Failed(u8),
    /// The phone has memory again.
    MemoryAvailable,
    /// A report that belongs to no delivery.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    Report,
    Delivery,
}

/// A small IP-SM-GW. See the module.
pub struct SmsGateway {
    config: SmsGatewayConfig,
    core: ProxyCore,
    /// Where the S-CSCFs of users are.
    scscfs: BTreeMap<String, String>,
    awaited: BTreeMap<ForwardId, Sent>,
    /// Call-IDs of deliveries that await their report.
    deliveries: Vec<String>,
    reference: u8,
    events: Vec<SmsEvent>,
    requests: Vec<Request>,
    draining: bool,
    outputs: VecDeque<NetOutput>,
}

impl SmsGateway {
    /// A gateway that knows nobody.
    #[must_use]
    pub fn new(config: SmsGatewayConfig, seed: &Seed) -> Self {
        Self {
            core: ProxyCore::new(core_config(config.local, config.hosts.clone()), seed),
            config,
            scscfs: BTreeMap::new(),
            awaited: BTreeMap::new(),
            deliveries: Vec::new(),
            reference: 0,
            events: Vec::new(),
            requests: Vec::new(),
            draining: false,
            outputs: VecDeque::new(),
        }
    }

    /// What it saw.
    #[must_use]
    pub fn events(&self) -> &[SmsEvent] {
        &self.events
    }

    /// Every request that came.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Its configuration, to change its mind.
    pub const fn config_mut(&mut self) -> &mut SmsGatewayConfig {
        &mut self.config
    }

    /// Delivers these octets to a user, from this number (TS 24.341 5.3.3.4.2).
    pub fn deliver(&mut self, now: Instant, impu: &str, from: &str, data: &[u8]) {
        self.send_delivery(now, impu, Submit::of_octets("", data).delivery(from));
        self.run(now);
    }

    fn send_delivery(&mut self, now: Instant, impu: &str, tpdu: Vec<u8>) {
        self.reference = self.reference.wrapping_add(1);
        let rp = Rp::Data {
            from_ms: false,
            reference: self.reference,
            service_centre: SERVICE_CENTRE.to_owned(),
            tpdu,
        };
        let call_id = self.send(now, impu, &rp, None, Sent::Delivery);
        self.deliveries.push(call_id);
    }

    fn send(&mut self, now: Instant, impu: &str, rp: &Rp, in_reply_to: Option<&str>, sent: Sent) -> String {
        let call_id = self.core.fresh_token();
        let tag = self.core.fresh_token();
        let uri = self.config.uri();
        let scscf = self.scscfs.get(impu).unwrap_or(&self.config.icscf);
        let mut builder = Request::build(Method::Message, impu)
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::Route, format_args!("<{scscf};lr>"))
            .header(HeaderName::From, format_args!("<{uri}>;tag={tag}"))
            .header(HeaderName::To, format_args!("<{impu}>"))
            .header(HeaderName::CallId, &call_id)
            .header(HeaderName::CSeq, "1 MESSAGE")
            .header(HeaderName::PAssertedIdentity, format_args!("<{uri}>"))
            .header(HeaderName::RequestDisposition, "no-fork")
            .header(HeaderName::AcceptContact, "*;+g.3gpp.smsip;explicit;require");
        if let Some(in_reply_to) = in_reply_to {
            builder = builder.header(HeaderName::InReplyTo, in_reply_to);
        }
        let request = builder.body(CONTENT_TYPE, rp.print()).finish_request();
        if let Some(hop) = route::next_hop(&request) {
            let forward = self
                .core
                .originate(now, request, NextHop::Uri(hop), Interface::Mw);
            self.awaited.insert(forward, sent);
        }
        call_id
    }

    fn run(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            match event {
                CoreEvent::Request {
                    transaction, request, ..
                } => self.on_request(now, transaction, &request),
                CoreEvent::Response { forward, response } if response.status().is_final() => {
                    self.on_answer(forward, response.status().as_u16());
                }
                CoreEvent::Failed { forward, .. } => self.on_answer(forward, 0),
                CoreEvent::Response { .. }
                | CoreEvent::Ack { .. }
                | CoreEvent::Cancelled { .. }
                | CoreEvent::Forked { .. } => {}
            }
        }
        while let Some(output) = self.core.poll_output() {
            self.outputs.push_back(NetOutput::Sip(output));
        }
        if self.draining && self.core.is_idle() {
            self.draining = false;
            self.outputs.push_back(NetOutput::Drained);
        }
    }

    fn on_answer(&mut self, forward: ForwardId, status: u16) {
        let event = match self.awaited.remove(&forward) {
            Some(Sent::Report) => SmsEvent::Reported(status),
            Some(Sent::Delivery) => SmsEvent::Delivered(status),
            None => return,
        };
        self.events.push(event);
    }

    fn on_request(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        self.requests.push(request.clone());
        match request.method() {
            Method::Register => self.on_register(now, transaction, request),
            Method::Message => {
                let status = self.on_message(request);
                self.core.reject(now, transaction, status);
                self.answer_submission(now, request, status);
            }
            _ => self.core.reject(now, transaction, StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn on_register(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        let impu = request.to().map(|to| to.uri.to_string()).unwrap_or_default();
        let expires = request.expires().unwrap_or(0);
        let contacts = request.name_addrs(HeaderName::Contact).ok();
        let scscf = contacts.and_then(|all| all.first().map(|contact| contact.uri.to_string()));
        match scscf.filter(|_| expires > 0) {
            Some(scscf) => drop(self.scscfs.insert(impu.clone(), scscf)),
            None => drop(self.scscfs.remove(&impu)),
        }
        self.events.push(SmsEvent::Registered(impu, expires));
        self.core.reject(now, transaction, StatusCode::OK);
    }

    /// TS 24.341 5.3.3.3 and 5.3.3.4.1.
    fn on_message(&mut self, request: &Request) -> StatusCode {
        let accepted = StatusCode::new(202).unwrap_or(StatusCode::OK);
        let not_acceptable = StatusCode::new(488).unwrap_or(StatusCode::FORBIDDEN);
        match submitted(request) {
            None => StatusCode::new(415).unwrap_or(not_acceptable),
            Some(Rp::Data { tpdu, .. }) => {
                let from = asserted(request).unwrap_or_default();
                self.events.push(SmsEvent::Submitted { from, tpdu });
                accepted
            }
            Some(Rp::MemoryAvailable { .. }) => {
                self.events.push(SmsEvent::MemoryAvailable);
                accepted
            }
            Some(Rp::Ack { reference, .. }) => self.on_report(
                request,
                SmsEvent::Acknowledged(reference),
                accepted,
                not_acceptable,
            ),
            Some(Rp::Error { cause, .. }) => {
                self.on_report(request, SmsEvent::Failed(cause), accepted, not_acceptable)
            }
        }
    }

    fn on_report(
        &mut self,
        request: &Request,
        event: SmsEvent,
        accepted: StatusCode,
        unknown: StatusCode,
    ) -> StatusCode {
        let in_reply_to = request.header(HeaderName::InReplyTo).unwrap_or_default();
        let of = |call_id: &String| call_id.as_bytes() == in_reply_to;
        let Some(at) = self.deliveries.iter().position(of) else {
            self.events.push(SmsEvent::Unknown);
            return unknown;
        };
        self.deliveries.remove(at);
        self.events.push(event);
        accepted
    }

    /// The report on a submission, in a MESSAGE of its own (TS 24.341 5.3.3.4.3), and then the delivery.
    fn answer_submission(&mut self, now: Instant, request: &Request, status: StatusCode) {
        let Some(from) = asserted(request).filter(|_| status.is_success()) else {
            return;
        };
        let call_id = String::from_utf8_lossy(request.call_id().unwrap_or_default()).into_owned();
        let (reference, tpdu) = match submitted(request) {
            Some(Rp::Data { reference, tpdu, .. }) => (reference, Some(tpdu)),
            Some(Rp::MemoryAvailable { reference }) => (reference, None),
            _ => return,
        };
        let report = match self.config.refuses {
            Some(cause) => Rp::Error {
                from_ms: false,
                reference,
                cause,
            },
            None => Rp::Ack {
                from_ms: false,
                reference,
            },
        };
        self.send(now, &from, &report, Some(&call_id), Sent::Report);
        let submit = tpdu.as_deref().and_then(Submit::parse);
        if let Some(submit) = submit.filter(|_| self.config.refuses.is_none()) {
            let number: String = from.chars().filter(char::is_ascii_digit).take(15).collect();
            self.send_delivery(now, &format!("tel:+{}", submit.to), submit.delivery(&number));
        }
    }
}

fn submitted(request: &Request) -> Option<Rp> {
    let content_type = request.header(HeaderName::ContentType)?;
    content_type
        .eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
        .then(|| Rp::parse(request.body()))?
}

fn asserted(request: &Request) -> Option<String> {
    let value = request.values(HeaderName::PAssertedIdentity).next()?;
    NameAddr::parse(value)
        .ok()
        .map(|identity| identity.uri.to_string())
}

impl Node for SmsGateway {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        match input {
            NetInput::Sip(input) => self.core.handle(now, input),
            NetInput::Command(Command::Drain) => self.draining = true,
            NetInput::Command(Command::Registration(_) | Command::Unban(_))
            | NetInput::Diameter(_)
            | NetInput::Xfrm(_) => {}
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
        self.run(now);
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        let output = self.outputs.pop_front();
        output.or_else(|| self.core.poll_output().map(NetOutput::Sip))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
    }
}

#[cfg(test)]
mod tests;
