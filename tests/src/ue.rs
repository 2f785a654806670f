//! Testkit: a simulated phone.
//!
//! It speaks SIP through the project's transactions (with the timers of TS 24.229 table 7.8 for Gm) but builds its
//! messages as text, its REGISTERs in the very shape of a phone family ([`shape`]), and computes its digests by itself:
//! a fault of the codec or of the authentication engine cannot hide by being on both sides.
//!
//! * `register`, `sas`, `security`, `esp_keys`: registrations and security associations
//! * `agent`: all that it does beside; `call`: calls; [`message`], [`subscription`]; `acting` sends what they want
//! * [`dialog`], [`sdp`], `around`: what their messages are made of
//! * [`events`], [`progress`], [`verdict`]: what it saw, for programs and for people, and what probably is wrong

mod acting;
mod agent;
mod around;
mod call;
pub mod config;
pub mod dialog;
pub mod esp_keys;
pub mod events;
pub mod fixtures;
pub mod identity;
pub mod message;
pub mod progress;
pub mod register;
pub mod remote;
pub mod sas;
pub mod sdp;
pub mod security;
pub mod shape;
pub mod subscription;
pub mod talk;
pub mod verdict;

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
use ims_common::sip::{Message, Request, SipMessage};
use ims_common::token::ShardId;
use ims_common::transaction::SipTimers;

use self::agent::Agent;
use self::around::Around;
pub use self::config::{Behaviour, Granted, UeCommand, UeConfig, UeEvent};
use self::dialog::Dialog;
use self::register::Registrant;
use self::sas::{Sas, Way};
use self::security::Misdeed;

/// A short message of somebody who cannot wait.
const MESSAGE: &str = "MESSAGE sip:+15550009@{home} SIP/2.0\nMax-Forwards: 70\nFrom: <{impu}>;tag={tag}\n\
                       To: <sip:+15550009@{home}>\nCall-ID: m-{call_id}\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n";

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
    /// Calls, messages, the subscription.
    agent: Agent,
    draining: bool,
}

impl Ue {
    /// A phone that is switched on and waits for a command.
    #[must_use]
    pub fn new(config: UeConfig, seed: &Seed) -> Self {
        let core = ProxyCore::new(core_config(&config), seed);
        Self {
            registrant: Registrant::new(seed, &config),
            agent: Agent::new(seed),
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
        self.run(now);
    }

    /// Ends it, whatever it does: its sockets close, and the kernel keeps nothing of it.
    pub fn switch_off(&mut self) {
        self.outputs.push_back(NetOutput::Drained);
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
        self.is_free() && self.agent.is_idle()
    }

    /// Whether it can begin to register at once: calls do not keep it from that.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.commands.is_empty() && !self.is_busy()
    }

    /// The dialogs of its calls, the newest last.
    #[must_use]
    pub fn dialogs(&self) -> Vec<Dialog> {
        self.agent.dialogs()
    }

    /// Calls that have begun and are not over.
    #[must_use]
    pub fn calls_in_progress(&self) -> usize {
        self.agent.calls_in_progress()
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
        while !self.is_busy()
            && let Some(command) = self.commands.pop_front()
        {
            match (command.procedure(), command) {
                (Some(procedure), _) => {
                    let text = self.registrant.start(procedure, &self.config);
                    self.send(now, text);
                }
                (None, UeCommand::Request(template)) => self.ask(now, template),
                (None, command) => self.talk(now, command),
            }
        }
    }

    fn ask(&mut self, now: Instant, template: &'static str) {
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
        let request = request_of(text.as_bytes());
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
            sas::Answer::Nothing => {}
            sas::Answer::GiveUp => {
                self.held = None;
                self.registrant.on_no_answer();
            }
            sas::Answer::GoOn => {
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
        if let SipInput::ConnectionClosed(connection, _) = &input
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
        loop {
            while let Some(event) = self.core.poll_event() {
                self.on_event(now, event);
            }
            self.next_command(now);
            match self.agent.poll_act() {
                Some(act) => self.perform(now, act),
                None => break,
            }
        }
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
            other => self.on_talk(now, other),
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
        self.subscribe();
        self.refresh_at = self
            .registrant
            .granted()
            .filter(|_| self.config.refreshes)
            .map(|seconds| now + register::refresh_after(seconds));
    }
}

impl Node for Ue {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        if self.agent.is_gone() {
            return;
        }
        match input {
            NetInput::Sip(input) => {
                if let Some(input) = self.arrived(now, input).filter(|input| self.hears(input)) {
                    self.core.handle(now, input);
                }
            }
            NetInput::Xfrm(input) => self.on_xfrm(now, &input),
            NetInput::Command(Command::Drain) => self.draining = true,
            NetInput::Command(Command::Registration(_) | Command::Unban(_)) | NetInput::Diameter(_) => {}
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.agent.is_gone() {
            return;
        }
        self.core.handle_timeout(now);
        let around = Around::of(&self.registrant, &self.config);
        self.agent.handle_timeout(now, &around, &mut self.events);
        if let Some(sas) = &mut self.registrant.sas
            && sas.on_timeout(now, &mut self.events) == sas::Answer::GiveUp
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
        if self.agent.is_gone() {
            return None;
        }
        let own = earliest(self.agent.poll_timeout(), self.refresh_at);
        let own = earliest(own, self.again_at);
        let own = earliest(own, self.sas().and_then(Sas::poll_timeout));
        earliest(self.core.poll_timeout(), own)
    }

    fn metrics(&self, out: &mut Metrics) {
        if self.agent.is_gone() {
            return;
        }
        self.core.export_metrics(out);
    }
}

fn core_config(config: &UeConfig) -> ProxyCoreConfig {
    let side = |interface, local: SocketAddr| InterfaceConfig {
        interface,
        sent_by: local.to_string(),
        local_v: local,
        // Timer C is of proxies: a phone rings out.
        timers: SipTimers {
            timer_c: Duration::from_secs(86_400),
            ..SipTimers::gm()
        },
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
fn request_of(octets: &[u8]) -> Request {
    let text = String::from_utf8_lossy(octets);
    let bytes = bytes::Bytes::copy_from_slice(octets);
    match Message::parse(bytes, &SipLimits::default()).map(Message::into_parts) {
        Ok(SipMessage::Request(request)) => request,
        Ok(SipMessage::Response(_)) => unreachable!("a shape is a request"),
        Err(error) => unreachable!("a shape is SIP, but {error:?}:\n{text}"),
    }
}

#[cfg(test)]
mod tests;
