//! Testkit: a simulated phone.
//!
//! It speaks SIP through the project's transactions (with the timers of TS 24.229 table 7.8 for Gm) but builds its
//! REGISTERs as text, in the very shape of a phone family ([`shape`]), and computes its digests by itself: a fault
//! of the codec or of the authentication engine cannot hide by being on both sides.

pub mod identity;
pub mod register;
pub mod remote;
pub mod shape;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ims_common::limits::SipLimits;
use ims_common::net::{Command, Interface, NetInput, NetOutput, Transport};
use ims_common::node::{Metrics, Node, Seed, earliest};
use ims_common::proxy::{
    CoreEvent, HostsTable, InterfaceConfig, NextHop, ProxyCore, ProxyCoreConfig, ProxyLimits,
};
use ims_common::sip::{Message, Method, Request, SipMessage, StatusCode};
use ims_common::token::ShardId;
use ims_common::transaction::{ServerTransactionId, SipTimers};

use self::identity::{Secret, UeIdentity};
use self::register::Registrant;
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
}

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
    draining: bool,
}

impl Ue {
    /// A phone that is switched on and waits for a command.
    #[must_use]
    pub fn new(config: UeConfig, seed: &Seed) -> Self {
        let core = ProxyCore::new(core_config(&config), seed);
        Self {
            registrant: Registrant::new(seed),
            core,
            config,
            commands: VecDeque::new(),
            events: Vec::new(),
            outputs: VecDeque::new(),
            refresh_at: None,
            again_at: None,
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
        self.commands.is_empty() && !self.registrant.is_busy()
    }

    /// Its configuration, to change its mind.
    pub const fn config_mut(&mut self) -> &mut UeConfig {
        &mut self.config
    }

    fn next_command(&mut self, now: Instant) {
        if self.registrant.is_busy() {
            return;
        }
        if let Some(command) = self.commands.pop_front() {
            let text = self.registrant.start(command, &self.config);
            self.send(now, &text);
        }
    }

    fn send(&mut self, now: Instant, text: &str) {
        let request = request_of(text);
        let hop = NextHop::Address {
            transport: self.config.transport,
            remote: self.config.pcscf,
        };
        let forward = self.core.originate(now, request, hop, Interface::Gm);
        self.registrant.sent(forward);
    }

    fn run(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            self.on_event(now, event);
        }
        self.next_command(now);
        while let Some(output) = self.core.poll_output() {
            self.outputs.push_back(NetOutput::Sip(output));
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
                        .on_final(&response, &mut self.config, &mut self.events);
                    self.after(now, next);
                }
            }
            CoreEvent::Failed { forward, .. } if self.registrant.awaits(forward) => {
                self.registrant.on_no_answer();
                self.events.push(UeEvent::NoAnswer);
            }
            CoreEvent::Request {
                transaction, request, ..
            } => self.on_request(now, transaction, &request),
            CoreEvent::Response { .. }
            | CoreEvent::Failed { .. }
            | CoreEvent::Ack { .. }
            | CoreEvent::Cancelled { .. } => {}
        }
    }

    fn after(&mut self, now: Instant, next: Option<String>) {
        if let Some(text) = next {
            return self.send(now, &text);
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
            NetInput::Sip(input) => self.core.handle(now, input),
            NetInput::Command(Command::Drain) => self.draining = true,
            NetInput::Diameter(_) | NetInput::Xfrm(_) => {}
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
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
        earliest(self.core.poll_timeout(), own)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
    }
}

fn core_config(config: &UeConfig) -> ProxyCoreConfig {
    ProxyCoreConfig {
        interfaces: vec![InterfaceConfig {
            interface: Interface::Gm,
            sent_by: config.local.to_string(),
            local_v: config.local,
            timers: SipTimers::gm(),
            tcp_above_bytes: usize::MAX,
        }],
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
