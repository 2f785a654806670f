//! Testkit: a phone's calls, messages and subscription at work: whereto their messages go, and what comes for them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ims_common::limits::SipLimits;
use ims_common::net::{Interface, SipInput, Transport};
use ims_common::proxy::{CoreEvent, NextHop};
use ims_common::sip::{Message, Method, SipMessage};

use super::agent::Act;
use super::around::Around;
use super::dialog::{Outgoing, uri_of};
use super::sdp::Direction;
use super::talk::Answer;
use super::{Ue, UeCommand, UeEvent, request_of, subscription};

impl Ue {
    pub(super) fn talk(&mut self, now: Instant, command: UeCommand) {
        let around = Around::of(&self.registrant, &self.config);
        let (agent, events) = (&mut self.agent, &mut self.events);
        match command {
            UeCommand::Call(plan) => agent.call(now, &around, events, &plan),
            UeCommand::Message(text) => agent.message(&around, &text),
            UeCommand::Subscribe(seconds) => agent.subscribe(&around, seconds),
            UeCommand::InDialog(method, twist) => agent.request_in_dialog(&around, method, &twist),
            command => {
                agent.with_newest(now, &around, events, |call, desk| match command {
                    UeCommand::PickUp => call.pick_up(desk),
                    UeCommand::HangUp => call.hang_up(desk),
                    UeCommand::Hold => call.redirect_media(desk, Direction::SendOnly),
                    UeCommand::Resume => call.redirect_media(desk, Direction::SendRecv),
                    UeCommand::Update => call.mention(desk, "UPDATE", None),
                    UeCommand::Info(content_type, body) => {
                        call.mention(desk, "INFO", Some((content_type.to_owned(), body)));
                    }
                    _ => {}
                });
            }
        }
    }

    /// TS 24.229 5.1.1.3, once for a registration.
    pub(super) fn subscribe(&mut self) {
        if self.config.manner.subscribes && self.is_registered() && !self.agent.is_subscribed() {
            let around = Around::of(&self.registrant, &self.config);
            self.agent.subscribe(&around, subscription::EXPIRES);
        }
        if !self.is_registered() {
            self.agent.on_deregistered();
        }
    }

    /// Whether the phone takes any notice.
    pub(super) fn hears(&self, input: &SipInput) -> bool {
        let SipInput::Received { message, .. } = input else {
            return true;
        };
        let is_call = |message: &Message| match message.clone().into_parts() {
            SipMessage::Request(request) => matches!(request.method(), Method::Invite | Method::Cancel),
            SipMessage::Response(_) => false,
        };
        self.config.manner.answer != Answer::Silent || !is_call(message)
    }

    /// What the transactions say that is of no registration.
    pub(super) fn on_talk(&mut self, now: Instant, event: CoreEvent) {
        let around = Around::of(&self.registrant, &self.config);
        let (agent, events) = (&mut self.agent, &mut self.events);
        match event {
            CoreEvent::Request {
                transaction, request, ..
            } => {
                events.push(UeEvent::Request(request.method().to_string()));
                agent.on_request(now, &around, events, transaction, request.bytes());
            }
            CoreEvent::Ack { request, .. } => agent.on_ack(now, &around, events, request.bytes()),
            CoreEvent::Cancelled { transaction } => agent.on_cancelled(now, &around, events, transaction),
            CoreEvent::Response { forward, response } => {
                agent.on_response(now, &around, events, forward, response.bytes());
            }
            // A phone forks nothing.
            CoreEvent::Forked { .. } => {}
            CoreEvent::Failed { forward, .. } => {
                if let Some(errand) = agent.take_errand(forward) {
                    agent.on_failed(now, &around, events, &errand);
                }
            }
        }
    }

    pub(super) fn perform(&mut self, now: Instant, act: Act) {
        match act {
            Act::Send {
                errand,
                request,
                transport,
            } => match self.way_of(&request, transport) {
                Some((hop, interface)) => {
                    let forward = self
                        .core
                        .originate(now, request_of(&request.bytes()), hop, interface);
                    self.agent.sent(errand, forward, request);
                }
                None => {
                    let around = Around::of(&self.registrant, &self.config);
                    self.agent.on_failed(now, &around, &mut self.events, &errand);
                }
            },
            Act::Ack(request) => {
                if let Some((hop, interface)) = self.way_of(&request, None) {
                    self.core
                        .forward_ack(now, request_of(&request.bytes()), hop, interface);
                }
            }
            Act::Respond(transaction, bytes) => {
                let message = Message::parse(bytes.into(), &SipLimits::default());
                if let Ok(SipMessage::Response(response)) = message.map(Message::into_parts) {
                    self.core.respond(now, transaction, response);
                }
            }
            Act::Cancel(errand) => {
                if let Some(forward) = self.agent.forward_of(&errand) {
                    self.core.cancel(now, forward, None);
                }
            }
            Act::RegisterAnew => self.tell_once(UeCommand::Register),
            Act::RegisterAgain => self.tell_once(UeCommand::Refresh),
        }
    }

    fn tell_once(&mut self, command: UeCommand) {
        if !self.commands.contains(&command) {
            self.commands.push_back(command);
        }
    }

    /// Whereto a request goes: the topmost Route, or the Request-URI (RFC 3261 12.2.1.1); what is protected goes to the
    /// other end of the security association or nowhere (TS 33.203 7.1).
    fn way_of(&mut self, request: &Outgoing, transport: Option<Transport>) -> Option<(NextHop, Interface)> {
        let transport = match (transport, self.config.transport) {
            // PRACKs and the like by the other one.
            (Some(Transport::Tcp), Transport::Tcp) => Transport::Udp,
            (other, own) => other.unwrap_or(own),
        };
        let said = request
            .routes
            .first()
            .map_or(request.uri.as_str(), |route| uri_of(route));
        let said = address_of(said);
        let Some(sas) = &self.registrant.sas else {
            let remote = said.unwrap_or(self.config.pcscf);
            return Some((NextHop::Address { transport, remote }, Interface::Gm));
        };
        let Some(flow) = sas.way_in_use(transport) else {
            self.events.push(UeEvent::SaFailed("no set in use"));
            return None;
        };
        if said.is_some_and(|said| said != flow.remote) {
            let said = said.map(|said| said.to_string());
            self.events.push(UeEvent::Misled(said.unwrap_or_default()));
            return None;
        }
        Some((NextHop::Flow(flow), Interface::GmProtected))
    }
}

/// The address in a SIP URI, when it has one.
fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.rsplit('@').next()?.split([';', '?']).next()?;
    host.parse().ok().or_else(|| {
        let ip: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, 5060))
    })
}
