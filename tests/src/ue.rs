//! Testkit: a simulated phone.
//!
//! It speaks SIP through the project's transactions (with the timers of TS 24.229 table 7.8 for Gm) but builds its
//! REGISTERs as text, in the very shape of a phone family ([`shape`]), and computes its digests by itself: a fault
//! of the codec or of the authentication engine cannot hide by being on both sides.

pub mod esp_keys;
pub mod events;
pub mod fixtures;
pub mod identity;
pub mod register;
pub mod remote;
pub mod sas;
pub mod security;
pub mod shape;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ims_common::ipsec::XfrmInput;
use ims_common::limits::SipLimits;
use ims_common::net::{Command, Flow, Interface, NetInput, NetOutput, SipInput, Transport};
use ims_common::node::{Metrics, Node, Seed, earliest};
use ims_common::proxy::{
    CoreEvent, ForwardId, HostsTable, InterfaceConfig, NextHop, ProxyCore, ProxyCoreConfig, ProxyLimits,
};
use ims_common::sip::{Message, Method, Request, SipMessage, StatusCode};
use ims_common::token::ShardId;
use ims_common::transaction::{ServerTransactionId, SipTimers};

use self::identity::{Secret, UeIdentity};
use self::register::Registrant;
use self::sas::{Answer, SaView, Sas, Way};
use self::security::{Misdeed, UeSecurity};
use self::shape::Shape;

/// What a phone is and how it behaves.
#[derive(Clone, Debug)]
pub struct UeConfig {
    /// Its names.
    pub identity: UeIdentity,
    /// What it proves them with.
    pub secret: Secret,
    /// How its messages look.
    pub shape: Shape,
    /// Where it is.
    pub local: SocketAddr,
    /// How it speaks.
    pub transport: Transport,
    /// The P-CSCF it was told of.
    pub pcscf: SocketAddr,
    /// The seconds it asks for.
    pub expires: u32,
    /// What it does wrong.
    pub behaviour: Behaviour,
    /// Refreshes by itself when TS 24.229 5.1.1.4.1 says so.
    pub refreshes: bool,
    /// Comes again by itself when a 503 has said when (RFC 3261 21.5.4).
    pub comes_again: bool,
    /// How it protects Gm; `None`: not at all.
    pub security: Option<UeSecurity>,
}

impl UeConfig {
    /// An honest phone of the family `shape`, over UDP, asking for 600 000 s.
    #[must_use]
    pub const fn new(identity: UeIdentity, secret: Secret, local: SocketAddr, pcscf: SocketAddr) -> Self {
        Self {
            identity,
            secret,
            shape: shape::PLAIN,
            local,
            transport: Transport::Udp,
            pcscf,
            expires: 600_000,
            behaviour: Behaviour::Honest,
            refreshes: false,
            comes_again: false,
            security: None,
        }
    }

    /// The same phone in another shape.
    #[must_use]
    pub const fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// The same phone over another transport.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The same phone asking for this many seconds.
    #[must_use]
    pub const fn expires(mut self, seconds: u32) -> Self {
        self.expires = seconds;
        self
    }

    /// The same phone with IPsec.
    #[must_use]
    pub const fn security(mut self, security: UeSecurity) -> Self {
        self.security = Some(security);
        self
    }

    /// What it does wrong with security associations.
    #[must_use]
    pub(crate) fn misdeed(&self) -> Misdeed {
        self.security.unwrap_or_default().misdeed
    }

    /// The same phone with a private identity that is not its own.
    pub(crate) fn with_impi_of_another(&self) -> Self {
        let mut other = self.clone();
        other.identity.impi = format!("001010000000099@{}", self.identity.home);
        other
    }

    /// The same phone with this behaviour.
    #[must_use]
    pub const fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }
}

/// What a phone does when it is challenged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Behaviour {
    /// What TS 24.229 5.1.1.5 asks.
    #[default]
    Honest,
    /// Answers with a wrong RES.
    WrongResponse,
    /// Finds every AUTN wrong: an empty response without AUTS.
    MacFailure,
    /// Finds every SQN out of range: AUTS, whatever the network does.
    AlwaysResync,
    /// Never answers a challenge.
    IgnoreChallenge,
    /// Answers a challenge in a new Call-ID.
    NewCallId,
}

/// What a phone is told to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UeCommand {
    /// Initial registration, in a new Call-ID.
    Register,
    /// Registration again, same Call-ID, CSeq + 1, last nonce with the next nonce count.
    Refresh,
    /// De-registration of its own contact.
    Deregister,
    /// De-registration of all contacts (`Contact: *`).
    DeregisterAll,
    /// Asks for the bindings (REGISTER without Contact).
    Query,
    /// Sends another request, the text of which has the places of a [`shape`]; `To` and all before the Via is in it.
    Request(&'static str),
}

/// A short message of somebody who cannot wait.
const MESSAGE: &str = "MESSAGE sip:+15550009@{home} SIP/2.0\nMax-Forwards: 70\nFrom: <{impu}>;tag={tag}\n\
                       To: <sip:+15550009@{home}>\nCall-ID: m-{call_id}\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n";

/// What a phone saw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UeEvent {
    /// A challenge came.
    Challenged {
        /// Its algorithm.
        algorithm: String,
    },
    /// The challenge was good and is being answered.
    NetworkAuthentic,
    /// AUTN did not verify.
    MacFailure,
    /// SQN was out of range; AUTS goes back.
    SyncFailure,
    /// 200 to a registration.
    Registered(Granted),
    /// 200 to a de-registration.
    Deregistered,
    /// 200 to a query: the Contact values.
    Bindings(Vec<String>),
    /// A final answer that is neither 200 nor a challenge.
    Rejected {
        /// Its status.
        status: u16,
        /// Retry-After, when there.
        retry_after: Option<u32>,
        /// Min-Expires, when there.
        min_expires: Option<u32>,
    },
    /// No final answer before the phone's own timers ended.
    NoAnswer,
    /// Two challenges in a row were bad: the phone stops (TS 24.229 5.1.1.5.1).
    GaveUp,
    /// A request came from the network.
    Request(String),
    /// The final answer to a request that was no REGISTER.
    Answered(u16),
    /// The kernel has the states of a set.
    SaInstalled(SaView),
    /// A set could not be had, or vanished.
    SaFailed(&'static str),
}

/// What a 200 to a registration gave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Granted {
    /// The seconds of the phone's own contact.
    pub expires: u32,
    /// All Contact values.
    pub contacts: Vec<String>,
    /// Service-Route values.
    pub service_route: Vec<String>,
    /// P-Associated-URI values.
    pub associated: Vec<String>,
    /// Path values.
    pub path: Vec<String>,
}

/// A simulated phone. See the module.
pub struct Ue {
    config: UeConfig,
    core: ProxyCore,
    registrant: Registrant,
    commands: VecDeque<UeCommand>,
    events: Vec<UeEvent>,
    outputs: VecDeque<NetOutput>,
    refresh_at: Option<Instant>,
    again_at: Option<Instant>,
    /// A REGISTER that waits for its security associations.
    held: Option<String>,
    /// A request that is no REGISTER.
    asked: Option<ForwardId>,
    draining: bool,
}

impl Ue {
    /// A phone that is switched on and waits for a command.
    #[must_use]
    pub fn new(config: UeConfig, seed: &Seed) -> Self {
        let core = ProxyCore::new(core_config(&config), seed);
        Self {
            registrant: Registrant::new(seed, &config),
            core,
            config,
            commands: VecDeque::new(),
            events: Vec::new(),
            outputs: VecDeque::new(),
            refresh_at: None,
            again_at: None,
            held: None,
            asked: None,
            draining: false,
        }
    }

    /// Tells the phone to do something, after what it does now.
    pub fn command(&mut self, now: Instant, command: UeCommand) {
        self.commands.push_back(command);
        self.next_command(now);
    }

    /// What it saw since it was last asked.
    pub fn take_events(&mut self) -> Vec<UeEvent> {
        std::mem::take(&mut self.events)
    }

    /// What it saw.
    #[must_use]
    pub fn events(&self) -> &[UeEvent] {
        &self.events
    }

    /// Whether it holds a registration.
    #[must_use]
    pub const fn is_registered(&self) -> bool {
        self.registrant.is_registered()
    }

    /// Whether it does nothing and has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.commands.is_empty() && !self.is_busy()
    }

    fn is_busy(&self) -> bool {
        self.registrant.is_busy() || self.asked.is_some()
    }

    /// Its security associations.
    #[must_use]
    pub const fn sas(&self) -> Option<&Sas> {
        self.registrant.sas.as_ref()
    }

    /// Its configuration, to change its mind.
    pub const fn config_mut(&mut self) -> &mut UeConfig {
        &mut self.config
    }

    fn next_command(&mut self, now: Instant) {
        if self.is_busy() {
            return;
        }
        match self.commands.pop_front() {
            None => {}
            Some(UeCommand::Request(template)) => {
                let text = self.registrant.other_request(template, &self.config);
                let way = self.sas().map(|sas| sas.way_in_use(self.config.transport));
                self.asked = match way {
                    None => Some(self.originate(now, &text, None)),
                    Some(Some(flow)) => Some(self.originate(now, &text, Some(flow))),
                    Some(None) => {
                        self.events.push(UeEvent::SaFailed("no set in use"));
                        None
                    }
                };
            }
            Some(command) => {
                let text = self.registrant.start(command, &self.config);
                self.send(now, text);
            }
        }
    }

    fn send(&mut self, now: Instant, text: String) {
        let transport = self.config.transport;
        let way = self.sas().map_or(Way::Clear, |sas| sas.way(transport));
        let forward = match way {
            Way::Clear => self.originate(now, &text, None),
            Way::Inside(flow) => self.originate(now, &text, Some(flow)),
            Way::NotYet => {
                self.held = Some(text);
                return;
            }
        };
        self.registrant.sent(forward);
    }

    /// Sends a request inside a security association, or in clear to where the P-CSCF was said to be.
    fn originate(&mut self, now: Instant, text: &str, inside: Option<Flow>) -> ForwardId {
        let request = request_of(text);
        let (hop, interface) = match inside {
            Some(flow) => (NextHop::Flow(flow), Interface::GmProtected),
            None => {
                let hop = NextHop::Address {
                    transport: self.config.transport,
                    remote: self.config.pcscf,
                };
                (hop, Interface::Gm)
            }
        };
        self.core.originate(now, request, hop, interface)
    }

    /// The kernel has answered: what waited for it goes on.
    fn on_xfrm(&mut self, now: Instant, input: &XfrmInput) {
        let Some(sas) = &mut self.registrant.sas else {
            return;
        };
        match sas.on_xfrm(input, &mut self.events) {
            Answer::Nothing => {}
            Answer::GiveUp => {
                self.held = None;
                self.registrant.on_no_answer();
            }
            Answer::GoOn => {
                let Some(text) = self.held.take() else { return };
                match self.config.misdeed() {
                    Misdeed::NeverAnswers => return self.registrant.on_no_answer_but_keep(),
                    Misdeed::MessageOnTemporarySet => {
                        let message = self.registrant.other_request(MESSAGE, &self.config);
                        if let Some(Way::Inside(flow)) = self.sas().map(|sas| sas.way(Transport::Udp)) {
                            self.originate(now, &message, Some(flow));
                        }
                    }
                    _ => {}
                }
                self.send(now, text);
            }
        }
    }

    /// What came over the protected side is from where a set of ours comes, and goes back as TS 33.203 7.1 says.
    fn arrived(&mut self, now: Instant, input: SipInput) -> Option<SipInput> {
        if let SipInput::ConnectionClosed(connection) = &input
            && let Some(sas) = &mut self.registrant.sas
        {
            sas.on_closed(*connection);
        }
        match input {
            SipInput::Received { flow, message } if flow.interface == Interface::GmProtected => {
                let flow = self.registrant.sas.as_mut()?.arrive(now, flow)?;
                Some(SipInput::Received { flow, message })
            }
            SipInput::Malformed(malformed) if malformed.flow.interface == Interface::GmProtected => None,
            other => Some(other),
        }
    }

    fn run(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            self.on_event(now, event);
        }
        self.next_command(now);
        while let Some(output) = self.core.poll_output() {
            self.outputs.push_back(NetOutput::Sip(output));
        }
        while let Some(output) = self.registrant.sas.as_mut().and_then(Sas::poll_output) {
            self.outputs.push_back(output);
        }
        if self.draining && self.is_idle() && self.core.is_idle() {
            self.draining = false;
            self.outputs.push_back(NetOutput::Drained);
        }
    }

    fn on_event(&mut self, now: Instant, event: CoreEvent) {
        match event {
            CoreEvent::Response { forward, response } if self.registrant.awaits(forward) => {
                if response.status().is_final() {
                    let next = self
                        .registrant
                        .on_final(now, &response, &mut self.config, &mut self.events);
                    self.after(now, next);
                }
            }
            CoreEvent::Failed { forward, .. } if self.registrant.awaits(forward) => {
                self.registrant.on_no_answer();
                self.events.push(UeEvent::NoAnswer);
            }
            CoreEvent::Response { forward, response } if self.asked == Some(forward) => {
                if response.status().is_final() {
                    self.asked = None;
                    self.events.push(UeEvent::Answered(response.status().as_u16()));
                }
            }
            CoreEvent::Failed { forward, .. } if self.asked == Some(forward) => {
                self.asked = None;
                self.events.push(UeEvent::NoAnswer);
            }
            CoreEvent::Request {
                transaction, request, ..
            } => self.on_request(now, transaction, &request),
            CoreEvent::Response { .. }
            | CoreEvent::Failed { .. }
            | CoreEvent::Ack { .. }
            | CoreEvent::Cancelled { .. }
            | CoreEvent::Forked { .. } => {}
        }
    }

    fn after(&mut self, now: Instant, next: Option<String>) {
        if let Some(text) = next {
            return self.send(now, text);
        }
        if let Some(UeEvent::Rejected {
            status: 503,
            retry_after: Some(seconds),
            ..
        }) = self.events.last()
        {
            let wait = Duration::from_secs(u64::from(*seconds));
            self.again_at = self.config.comes_again.then(|| now + wait);
        }
        self.refresh_at = self
            .registrant
            .granted()
            .filter(|_| self.config.refreshes)
            .map(|seconds| now + register::refresh_after(seconds));
    }

    fn on_request(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        self.events.push(UeEvent::Request(request.method().to_string()));
        let status = match request.method() {
            Method::Options | Method::Notify | Method::Message => StatusCode::OK,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        self.core.reject(now, transaction, status);
    }
}

impl Node for Ue {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        match input {
            NetInput::Sip(input) => {
                if let Some(input) = self.arrived(now, input) {
                    self.core.handle(now, input);
                }
            }
            NetInput::Xfrm(input) => self.on_xfrm(now, &input),
            NetInput::Command(Command::Drain) => self.draining = true,
            NetInput::Diameter(_) => {}
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
        if let Some(sas) = &mut self.registrant.sas
            && sas.on_timeout(now, &mut self.events) == Answer::GiveUp
        {
            self.held = None;
            self.registrant.on_no_answer();
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.commands.push_back(UeCommand::Refresh);
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            let command = match self.is_registered() {
                true => UeCommand::Refresh,
                false => UeCommand::Register,
            };
            self.commands.push_back(command);
        }
        self.run(now);
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs
            .pop_front()
            .or_else(|| self.core.poll_output().map(NetOutput::Sip))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = earliest(self.refresh_at, self.again_at);
        let own = earliest(own, self.sas().and_then(Sas::poll_timeout));
        earliest(self.core.poll_timeout(), own)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
    }
}

fn core_config(config: &UeConfig) -> ProxyCoreConfig {
    let side = |interface, local: SocketAddr| InterfaceConfig {
        interface,
        sent_by: local.to_string(),
        local_v: local,
        timers: SipTimers::gm(),
        tcp_above_bytes: usize::MAX,
    };
    // TS 24.229 5.1.1.2.2: the Via of what is protected names the protected server port.
    let protected = config.protected_server();
    let protected = protected.map(|address| side(Interface::GmProtected, address));
    let interfaces = std::iter::once(side(Interface::Gm, config.local)).chain(protected);
    ProxyCoreConfig {
        interfaces: interfaces.collect(),
        hosts: HostsTable::default(),
        shard: ShardId(0),
        limits: ProxyLimits::default(),
        server_header: String::new(),
    }
}

/// The request that a text is.
///
/// # Panics
/// When it is none: the shapes are ours.
fn request_of(text: &str) -> Request {
    let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
    match Message::parse(bytes, &SipLimits::default()).map(Message::into_parts) {
        Ok(SipMessage::Request(request)) => request,
        Ok(SipMessage::Response(_)) => unreachable!("a shape is a request"),
        Err(error) => unreachable!("a shape is SIP, but {error:?}:\n{text}"),
    }
}

#[cfg(test)]
mod tests;
