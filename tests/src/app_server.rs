//! Testkit: an application server: what an S-CSCF finds at the other end of ISC (TS 23.218 5.1, TS 24.229 5.7).
//!
//! Read first: TS 23.218 9.1, TS 24.229 5.7.1 to 5.7.5.
//!
//! It is a [`Node`], so that it stands in the virtual world and on sockets alike. What it does with an initial
//! request is its [`AsBehaviour`], which may change at any time; some of it no real one should do.

pub mod b2bua;
mod behaviour;
pub mod own;
mod proxying;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use ims_common::net::{Command, Interface, NetInput, NetOutput, SipInput};
use ims_common::node::{Metrics, Node, Seed};
use ims_common::proxy::{
    CoreEvent, ForwardFailure, ForwardId, HostsTable, InterfaceConfig, NextHop, ProxyCore, ProxyCoreConfig,
    ProxyLimits, ServerTransactionId, SipTimers, route,
};
use ims_common::sip::{HeaderName, Method, Request, Response, SipMessage, StatusCode, Uri};
use ims_common::token::ShardId;

use self::b2bua::Bridges;
pub use self::behaviour::{AsBehaviour, RegisterAnswer};
use self::own::{Own, OwnRequest};

/// The session description of an application server that takes calls.
const SDP: &str = "v=0\r\no=as 1 1 IN IP4 192.0.2.250\r\ns=-\r\nc=IN IP4 192.0.2.250\r\nt=0 0\r\n\
                   m=audio 49000 RTP/AVP 96\r\na=rtpmap:96 AMR/8000\r\n";

/// What an application server is.
#[derive(Clone, Debug)]
pub struct AsConfig {
    /// Where it is, on ISC.
    pub local: SocketAddr,
    /// The host name by which criteria call it; `None`: only by its address.
    pub host: Option<String>,
    /// What it does with initial requests.
    pub behaviour: AsBehaviour,
    /// What it does with third-party REGISTERs.
    pub registers: RegisterAnswer,
    /// Names that no DNS knows.
    pub hosts: HostsTable,
}

impl AsConfig {
    /// One that lets everything pass and accepts every REGISTER.
    #[must_use]
    pub fn new(local: SocketAddr) -> Self {
        Self {
            local,
            host: None,
            behaviour: AsBehaviour::Continue { record_route: false },
            registers: RegisterAnswer::Accept,
            hosts: HostsTable::default(),
        }
    }

    /// The same with a host name.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// The same with another behaviour.
    #[must_use]
    pub fn behaviour(mut self, behaviour: AsBehaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// The same with another answer to third-party REGISTERs.
    #[must_use]
    pub const fn registers(mut self, registers: RegisterAnswer) -> Self {
        self.registers = registers;
        self
    }

    /// The same that knows these names.
    #[must_use]
    pub fn hosts(mut self, hosts: HostsTable) -> Self {
        self.hosts = hosts;
        self
    }

    /// The URI of the server: by its name when it has one.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.host {
            Some(host) => format!("sip:{host}:{}", self.local.port()),
            None => format!("sip:{}", self.local),
        }
    }
}

/// A third-party registration as it came (TS 24.229 5.4.1.7).
#[derive(Clone, Debug)]
pub struct ThirdParty {
    /// Who is registered: the URI of To.
    pub impu: String,
    /// Expires: 0 is a de-registration.
    pub expires: u32,
    /// The URI of the S-CSCF in Contact.
    pub scscf: String,
    /// Content-Type and body, when there is one: service information, the user's REGISTER and its answer.
    pub body: Option<(String, Bytes)>,
    /// The whole request.
    pub request: Request,
}

impl ThirdParty {
    fn of(request: &Request) -> Self {
        let contact = request.name_addrs(HeaderName::Contact).ok();
        let uri = contact.and_then(|all| all.first().map(|contact| contact.uri.to_string()));
        let content_type = request.header(HeaderName::ContentType).map(text_of);
        Self {
            impu: request.to().map(|to| to.uri.to_string()).unwrap_or_default(),
            expires: request.expires().unwrap_or(0),
            scscf: uri.unwrap_or_default(),
            body: content_type.map(|name| (name, request.body_bytes())),
            request: request.clone(),
        }
    }
}

/// What an answer that comes to the server is for.
#[derive(Debug)]
enum Awaited {
    /// The other leg of a bridge.
    Bridged(ServerTransactionId, Request),
    /// A request of the server's own.
    Own(OwnRequest),
}

/// An application server. See the module.
pub struct AppServer {
    config: AsConfig,
    core: ProxyCore,
    /// Every request that came, but ACK and CANCEL: as it came.
    requests: Vec<Request>,
    acks: usize,
    cancels: usize,
    third_party: Vec<ThirdParty>,
    awaited: BTreeMap<ForwardId, Awaited>,
    bridges: Bridges,
    own: Own,
    /// Call-IDs of what has dropped its original dialog identifier already.
    dropped: Vec<Vec<u8>>,
    outputs: VecDeque<NetOutput>,
    draining: bool,
}

impl AppServer {
    /// A server that waits for requests.
    #[must_use]
    pub fn new(config: AsConfig, seed: &Seed) -> Self {
        Self {
            core: ProxyCore::new(core_config(config.local, config.hosts.clone()), seed),
            config,
            requests: Vec::new(),
            acks: 0,
            cancels: 0,
            third_party: Vec::new(),
            awaited: BTreeMap::new(),
            bridges: Bridges::default(),
            own: Own::default(),
            dropped: Vec::new(),
            outputs: VecDeque::new(),
            draining: false,
        }
    }

    /// From now on it does this with initial requests.
    pub fn behave(&mut self, behaviour: AsBehaviour) {
        self.config.behaviour = behaviour;
    }

    /// From now on it does this with third-party REGISTERs.
    pub const fn answer_registers(&mut self, registers: RegisterAnswer) {
        self.config.registers = registers;
    }

    /// Every request that came since it was last forgotten, but for ACK and CANCEL.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The initial requests of this method that came.
    pub fn initial(&self, method: &Method) -> impl Iterator<Item = &Request> {
        let is_initial = move |request: &&Request| request.method() == *method && !is_in_dialog(request);
        self.requests.iter().filter(is_initial)
    }

    /// How many ACKs to 2xx came.
    #[must_use]
    pub const fn acks(&self) -> usize {
        self.acks
    }

    /// How many INVITEs were cancelled.
    #[must_use]
    pub const fn cancels(&self) -> usize {
        self.cancels
    }

    /// The third-party registrations that came.
    #[must_use]
    pub fn third_party(&self) -> &[ThirdParty] {
        &self.third_party
    }

    /// Forgets what came so far.
    pub fn forget(&mut self) {
        self.requests.clear();
        self.third_party.clear();
        (self.acks, self.cancels) = (0, 0);
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &AsConfig {
        &self.config
    }

    /// Its Record-Route value with this user part.
    fn record_route(&self, user: &str) -> String {
        format!("<sip:{user}@{};lr>", self.config.local)
    }

    fn contact(&self, user: &str) -> String {
        format!("<sip:{user}@{}>", self.config.local)
    }

    fn is_own(&self, uri: &Uri<'_>) -> bool {
        let local = self.config.local;
        let is_port = uri.port().unwrap_or(5060) == local.port();
        let is_name = |host: &String| uri.host().to_string().eq_ignore_ascii_case(host);
        is_port && (uri.host().ip() == Some(local.ip()) || self.config.host.as_ref().is_some_and(is_name))
    }

    /// What must not even be answered with 100 does not come to the transactions.
    fn is_ignored(&self, input: &SipInput) -> bool {
        let SipInput::Received { message, .. } = input else {
            return false;
        };
        let SipMessage::Request(request) = message.clone().into_parts() else {
            return false;
        };
        match request.method() {
            Method::Register => self.config.registers == RegisterAnswer::Silent,
            _ => matches!(self.config.behaviour, AsBehaviour::Silent) && !is_in_dialog(&request),
        }
    }

    fn run(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            self.on_event(now, event);
        }
        while let Some(output) = self.core.poll_output() {
            self.outputs.push_back(NetOutput::Sip(output));
        }
        if self.draining && self.core.is_idle() {
            self.draining = false;
            self.outputs.push_back(NetOutput::Drained);
        }
    }

    fn on_event(&mut self, now: Instant, event: CoreEvent) {
        match event {
            CoreEvent::Request {
                transaction, request, ..
            } => self.on_request(now, transaction, &request),
            CoreEvent::Ack { request, .. } => self.on_ack(now, &request),
            CoreEvent::Cancelled { transaction } => self.on_cancelled(now, transaction),
            CoreEvent::Response { forward, response } => self.on_response(now, forward, &response),
            CoreEvent::Failed { forward, cause } => self.on_failed(now, forward, cause),
            // The server relays what it forks.
            CoreEvent::Forked { .. } => {}
        }
    }

    fn on_request(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        self.requests.push(request.clone());
        let routed = route::preprocess(request, |uri| self.is_own(uri)).request;
        if request.method() == Method::Register {
            return self.on_register(now, transaction, request);
        }
        if self.bridges.knows(&routed) {
            return self.bridge(now, transaction, &routed);
        }
        if is_in_dialog(request) {
            return self.in_dialog(now, transaction, &routed);
        }
        self.perform(now, transaction, routed);
    }

    /// What is in a dialog of the server's own ends here; else the server is only on its path.
    fn in_dialog(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        let is_here = request.request_uri().is_ok_and(|uri| self.is_own(&uri));
        if !is_here {
            return self.pass(now, transaction, request.clone());
        }
        if request.method() == Method::Notify {
            self.own.on_notify(request);
        }
        let status = match request.method() {
            Method::Notify | Method::Bye | Method::Invite | Method::Update | Method::Options => {
                StatusCode::OK
            }
            Method::Prack | Method::Info => StatusCode::OK,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        self.answer(now, transaction, request, status);
    }

    fn on_register(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        self.third_party.push(ThirdParty::of(request));
        match self.config.registers {
            // Silence begins before the transactions.
            RegisterAnswer::Silent => {}
            RegisterAnswer::Refuse(status) => {
                self.core.reject(now, transaction, status_of(status));
            }
            RegisterAnswer::Accept => {
                let reply = request.reply(StatusCode::OK).to_tag(&self.core.fresh_token());
                let reply = reply.header(HeaderName::Expires, request.expires().unwrap_or(0));
                let response = reply.finish();
                self.core.respond(now, transaction, response);
            }
        }
    }

    /// Answers as an end point does: the Record-Routes of the request, a Contact, and a description of the session
    /// to what begins one (RFC 3261 12.1.1).
    fn answer(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        status: StatusCode,
    ) {
        let tag = self.core.fresh_token();
        let response = self.answer_tagged(request, status, &tag);
        self.core.respond(now, transaction, response);
    }

    fn answer_tagged(&self, request: &Request, status: StatusCode, tag: &str) -> Response {
        let mut reply = request.reply(status).to_tag(tag);
        for value in request.headers(HeaderName::RecordRoute) {
            reply = reply.header(HeaderName::RecordRoute, text_of(value));
        }
        if matches!(
            request.method(),
            Method::Invite | Method::Update | Method::Subscribe
        ) {
            reply = reply.header(HeaderName::Contact, self.contact("as"));
        }
        if request.method() == Method::Invite && status.is_success() {
            reply = reply.body("application/sdp", SDP);
        }
        reply.finish()
    }

    fn on_ack(&mut self, now: Instant, request: &Request) {
        self.acks += 1;
        let routed = route::preprocess(request, |uri| self.is_own(uri)).request;
        if let Some(bridged) = self.bridged_request(&routed) {
            return self.send_ack(now, bridged);
        }
        let is_here = routed.request_uri().is_ok_and(|uri| self.is_own(&uri));
        if !is_here {
            self.send_ack(now, routed);
        }
    }

    fn send_ack(&mut self, now: Instant, ack: Request) {
        if let Some(hop) = route::next_hop(&ack) {
            self.core.forward_ack(now, ack, NextHop::Uri(hop), Interface::Mw);
        }
    }

    fn on_cancelled(&mut self, now: Instant, transaction: ServerTransactionId) {
        self.cancels += 1;
        let is_other_leg =
            |awaited: &Awaited| matches!(awaited, Awaited::Bridged(of, _) if *of == transaction);
        let other = self.awaited.iter().find(|(_, awaited)| is_other_leg(awaited));
        match other.map(|(forward, _)| *forward) {
            Some(forward) => self.core.cancel(now, forward, None),
            None => self.core.reject(now, transaction, StatusCode::REQUEST_TERMINATED),
        }
    }

    fn on_response(&mut self, now: Instant, forward: ForwardId, response: &Response) {
        let Some(awaited) = self.awaited.remove(&forward) else {
            return;
        };
        match &awaited {
            Awaited::Bridged(transaction, request) => self.on_bridged(now, *transaction, request, response),
            Awaited::Own(request) => self.on_own(now, request, response),
        }
        // Of an INVITE there may be several 2xx.
        let is_invite = response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let may_come_again = is_invite && response.status().is_success();
        if response.status().is_provisional() || may_come_again {
            self.awaited.insert(forward, awaited);
        }
    }

    fn on_failed(&mut self, now: Instant, forward: ForwardId, cause: ForwardFailure) {
        let status = match cause {
            ForwardFailure::Timeout => StatusCode::REQUEST_TIMEOUT,
            ForwardFailure::Unreachable | ForwardFailure::Unresolvable => StatusCode::SERVICE_UNAVAILABLE,
        };
        match self.awaited.remove(&forward) {
            Some(Awaited::Bridged(transaction, _)) => self.core.reject(now, transaction, status),
            Some(Awaited::Own(request)) => self.own.answered(request.method, status.as_u16()),
            None => {}
        }
    }

    /// Sends a request of the server's own and waits for its answer.
    fn send(&mut self, now: Instant, request: Request, awaited: Awaited) {
        let Some(hop) = route::next_hop(&request) else {
            return;
        };
        let forward = self
            .core
            .originate(now, request, NextHop::Uri(hop), Interface::Mw);
        self.awaited.insert(forward, awaited);
    }
}

impl Node for AppServer {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        match input {
            NetInput::Sip(input) if self.is_ignored(&input) => {}
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

/// Timers and sockets of a server on ISC.
pub(crate) fn core_config(local: SocketAddr, hosts: HostsTable) -> ProxyCoreConfig {
    ProxyCoreConfig {
        interfaces: vec![InterfaceConfig {
            interface: Interface::Mw,
            sent_by: local.to_string(),
            local_v: local,
            timers: SipTimers::mw(),
            tcp_above_bytes: 1_300,
        }],
        hosts,
        shard: ShardId(0),
        limits: ProxyLimits::default(),
        server_header: String::new(),
    }
}

/// Whether a request is within a dialog: its To has a tag (RFC 3261 12.2).
fn is_in_dialog(request: &Request) -> bool {
    request.to().is_ok_and(|to| to.tag().is_some())
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A status that a test names.
///
/// # Panics
/// When there is no such status.
fn status_of(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap_or_else(|| panic!("{code} is no status"))
}

#[cfg(test)]
mod tests;
