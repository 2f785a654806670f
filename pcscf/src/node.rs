//! Machine: the P-CSCF as one node: what comes in, which procedure takes it, what goes out (TS 24.229 5.2).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Instant;

use ims_common::media_policy::MediaProfile;
use ims_common::net::{Command, Flow, Interface, NetInput, NetOutput, SipOutput};
use ims_common::node::{Counters, Metrics, Node, Sharded, earliest};
use ims_common::operate::{Question, Report};
use ims_common::overload::{Priorities, Work};
use ims_common::proxy::{CoreEvent, ForwardId, ProxyCore, ServerTransactionId};
use ims_common::sip::{HeaderName, Message, Method, Request, StatusCode, UriBuf};
use ims_common::why::{Facts, Note, NoteKind};
use tracing::info;

use crate::charging;
use crate::config::UnregisteredRequests;
use crate::config::emergency::EmergencyPolicy;
use crate::contacts::ContactTable;
use crate::emergency::EmergencyRoutes;
use crate::emergency::callers::EmergencyCallers;
use crate::guard::Guard;
use crate::ipsec::agreement::supported;
use crate::passage::Passages;
use crate::protection::Protection;
use crate::reg_event::subscriptions::Subscriptions;
use crate::register::AwaitRegisterAnswer;
use crate::reject::Reject;
use crate::restoration::Restorations;
use crate::sessions::Sessions;
use crate::signals::Signals;
use crate::trust_boundary::EarlyMediaOfUe;

/// Seconds after which a UE may ask again when a table is full (RFC 3261 21.5.4).
const RETRY_AFTER_SECS: u32 = 30;

/// What the configuration means to the procedures.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Value of P-Visited-Network-ID, quoted where it must be.
    pub(crate) visited_network: String,
    /// The network of this P-CSCF in `orig-ioi`.
    pub(crate) network: String,
    /// Our `host[:port]` towards the UEs.
    pub(crate) gm_host: String,
    /// Our `host:port` towards protected UEs, with the protected server port.
    pub(crate) protected_host: Option<String>,
    /// Our `host[:port]` towards the home network.
    pub(crate) mw_host: String,
    /// Our address towards the home network, as a host.
    pub(crate) mw_address: String,
    /// Our `host[:port]` forms, by which a Route or Request-URI is ours.
    pub(crate) own_uris: Vec<UriBuf>,
    /// I-CSCFs, in the order in which to try.
    pub(crate) entry_points: Vec<UriBuf>,
    /// Policy for UEs without a registration.
    pub(crate) unregistered_requests: UnregisteredRequests,
    /// What becomes of calls for help.
    pub(crate) emergency: EmergencyPolicy,
    /// Whether we subscribe to the registrations of UEs.
    pub(crate) reg_event: bool,
    /// Whether UEs authorise early media.
    pub(crate) early_media: EarlyMediaOfUe,
    /// The media that UEs may offer; `None`: all.
    pub(crate) media: Option<MediaProfile>,
}

impl Settings {
    /// TS 24.229 5.2.2.1, RFC 3327 5.1: our URI with the flow token; `term` marks the terminating direction.
    pub(crate) fn path_of(&self, token: &str) -> String {
        format!("<sip:{token}@{};lr;term>", self.mw_host)
    }

    /// What a UE is told to reach us by, on this side (TS 24.229 5.2.2.2).
    pub(crate) fn host_towards_ue(&self, side: Interface) -> &str {
        match (side, &self.protected_host) {
            (Interface::GmProtected, Some(host)) => host,
            (Interface::GmProtected, None) | (Interface::Gm | Interface::Mw, _) => &self.gm_host,
        }
    }

    /// Whether a URI names this P-CSCF, whatever its user part and parameters.
    pub(crate) fn is_own(&self, uri: &ims_common::sip::Uri<'_>) -> bool {
        let port = |p: Option<u16>| p.unwrap_or(5060);
        self.own_uris.iter().any(|own| {
            let own = own.as_uri();
            own.host() == uri.host() && port(own.port()) == port(uri.port())
        })
    }
}

/// Whether the operator asked to finish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    Draining,
    Drained,
}

/// A P-CSCF.
pub struct Pcscf {
    pub(crate) core: ProxyCore,
    pub(crate) settings: Settings,
    pub(crate) contacts: ContactTable,
    pub(crate) registers: BTreeMap<ForwardId, AwaitRegisterAnswer>,
    pub(crate) passages: Passages,
    pub(crate) emergency_callers: EmergencyCallers,
    pub(crate) emergency_routes: EmergencyRoutes,
    pub(crate) restorations: Restorations,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) sessions: Sessions,
    /// Where security associations are made with UEs.
    pub(crate) protection: Option<Protection>,
    /// What challenges and their answers tell the operator.
    pub(crate) signals: Signals,
    /// Limits of sources, and bans.
    pub(crate) guard: Option<Guard>,
    pub(crate) counters: Counters,
    phase: Phase,
    /// When the last input came.
    now: Option<Instant>,
}

impl Pcscf {
    /// From now on, other settings count.
    pub(crate) fn reconfigure(&mut self, settings: Settings, priorities: Priorities) {
        self.settings = settings;
        self.core.prioritise(priorities);
    }

    pub(crate) fn new(
        mut core: ProxyCore,
        settings: Settings,
        contacts: ContactTable,
        sessions: Sessions,
        protection: Option<Protection>,
    ) -> Self {
        // All REGISTERs go to one home network.
        core.throttle_registers();
        Self {
            core,
            settings,
            registers: BTreeMap::new(),
            passages: Passages::default(),
            emergency_callers: EmergencyCallers::default(),
            emergency_routes: EmergencyRoutes::default(),
            restorations: Restorations::default(),
            subscriptions: Subscriptions::new(contacts.limit()),
            contacts,
            sessions,
            signals: Signals::default(),
            guard: None,
            counters: Counters::default(),
            phase: Phase::Serving,
            protection,
            now: None,
        }
    }

    /// How many contacts are registered through this P-CSCF.
    #[must_use]
    pub fn contact_count(&self) -> usize {
        self.contacts.len()
    }

    /// RFC 7315 4.6, TS 24.229 5.2.2.1: a fresh ICID and our network as type 1 originator.
    pub(crate) fn charging_vector(&mut self) -> String {
        let icid = self.core.fresh_token();
        charging::vector_of(&self.settings, &icid)
    }

    /// The one place where a request that is not served gets its answer.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        reject: Reject,
    ) {
        info!(method = %request.method(), reject = reject.label(), "request rejected");
        self.counters.count("ims_pcscf_rejected_total", reject.label());
        self.core.note(|| {
            let call_id = request.call_id().unwrap_or_default();
            Note::of_call(NoteKind::Refused, call_id, Facts::new()).saying(reject.label())
        });
        let status = reject.status();
        let Some((name, value)) = self.said_with(status) else {
            return self.core.reject(now, transaction, status);
        };
        let tag = self.core.fresh_token();
        let reply = request.reply(status).to_tag(&tag).header(name, value).finish();
        self.core.respond(now, transaction, reply);
    }

    /// What a refusal with this status has to say besides.
    fn said_with(&self, status: StatusCode) -> Option<(HeaderName, String)> {
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Some((HeaderName::RetryAfter, RETRY_AFTER_SECS.to_string()));
        }
        // RFC 3329 2.3.1
        if status == StatusCode::EXTENSION_REQUIRED {
            return Some((HeaderName::Require, "sec-agree".to_owned()));
        }
        if status == StatusCode::SECURITY_AGREEMENT_REQUIRED {
            let protection = self.protection.as_ref()?;
            let mechanisms = supported(&protection.policy.algorithms);
            return Some((HeaderName::SecurityServer, mechanisms));
        }
        None
    }

    fn on_event(&mut self, now: Instant, event: CoreEvent) {
        match event {
            CoreEvent::Request {
                transaction,
                request,
                flow,
            } => self.on_request(now, transaction, request, flow),
            CoreEvent::Ack { request, flow } => self.on_ack(now, &request, flow),
            CoreEvent::Response { forward, response } => match self.registers.remove(&forward) {
                Some(procedure) => self.on_register_response(now, forward, procedure, response),
                None if self.subscriptions.is_asked(forward) => {
                    self.on_subscribe_response(now, forward, &response);
                }
                None => self.on_passage_response(now, forward, &response),
            },
            CoreEvent::Failed { forward, cause } => match self.registers.remove(&forward) {
                Some(procedure) => self.on_register_failed(now, procedure, cause),
                None if self.subscriptions.is_asked(forward) => self.on_subscribe_failed(now, forward, cause),
                None => self.on_passage_failed(now, forward, cause),
            },
            CoreEvent::Cancelled { transaction } => self.on_cancelled(now, transaction),
            // Each request of a P-CSCF has one way.
            CoreEvent::Forked { .. } => {}
        }
    }

    fn on_request(&mut self, now: Instant, transaction: ServerTransactionId, request: Request, flow: Flow) {
        let to_us = request
            .request_uri()
            .is_ok_and(|uri| uri.user().is_none() && self.settings.is_own(&uri));
        match (flow.interface, request.method()) {
            (Interface::Gm | Interface::GmProtected, Method::Register) => {
                self.on_register(now, transaction, &request, flow)
            }
            (Interface::Mw, Method::Register) => {
                self.refuse(now, transaction, &request, Reject::RegisterOnMw);
            }
            // RFC 3261 11.2: a question about this P-CSCF itself.
            (_, Method::Options) if to_us => {
                self.note_options(now, &flow);
                self.on_options(now, transaction, &request)
            }
            (Interface::Gm | Interface::GmProtected, _) => {
                self.on_originating(now, transaction, &request, flow)
            }
            (Interface::Mw, Method::Notify) => match self.reg_event_token(&request) {
                Some(token) => self.on_notify(now, transaction, &request, &token),
                None => self.on_terminating(now, transaction, &request),
            },
            (Interface::Mw, _) => self.on_terminating(now, transaction, &request),
        }
    }

    fn on_options(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        self.counters.count("ims_pcscf_options_total", "answered");
        let tag = self.core.fresh_token();
        let reply = request
            .reply(StatusCode::OK)
            .to_tag(&tag)
            .header(HeaderName::Supported, "path, sec-agree")
            .finish();
        self.core.respond(now, transaction, reply);
    }

    pub(crate) fn drain_events(&mut self, now: Instant) {
        self.note_bans();
        loop {
            self.release_gone(now);
            if let Some(event) = self.core.poll_event() {
                self.on_event(now, event);
            } else if let Some(event) = self.protection.as_mut().and_then(|p| p.sas.poll_event()) {
                self.on_sa_event(now, event);
            } else {
                break;
            }
        }
    }
}

impl Node for Pcscf {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        self.now = Some(now);
        match input {
            NetInput::Sip(input) => {
                if let Some(input) = self.admitted(now, input) {
                    self.core.handle(now, input);
                }
            }
            NetInput::Command(Command::Registration(_)) => {}
            NetInput::Command(Command::Unban(address)) => {
                if let Some(guard) = &mut self.guard {
                    guard.unban(address);
                }
            }
            NetInput::Command(Command::Drain) => {
                if self.phase == Phase::Serving {
                    self.phase = Phase::Draining;
                    self.core.drain();
                }
            }
            // The P-CSCF has no Diameter peer.
            NetInput::Diameter(_) => {}
            NetInput::Xfrm(input) => {
                if let Some(protection) = &mut self.protection {
                    protection.sas.on_xfrm(now, input);
                }
            }
        }
        self.drain_events(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        if let Some(protection) = &mut self.protection {
            protection.sas.handle_timeout(now);
        }
        let ended = self.contacts.expire(now);
        self.release_departed(now);
        if ended > 0 {
            info!(ended, "registrations expired without a refresh");
            for _ in 0..ended {
                self.counters.count("ims_pcscf_register_total", "expired");
            }
        }
        self.emergency_callers.expire(now);
        self.expire_subscriptions(now);
        self.expire_passages(now);
        self.expire_dialogs(now);
        self.signals.handle_timeout(now);
        if let Some(guard) = &mut self.guard {
            guard.handle_timeout(now);
        }
        self.core.handle_timeout(now);
        self.drain_events(now);
    }

    fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        self.tell_operator(now, question, out);
    }

    fn work_of(&self, flow: &Flow, message: &Message) -> Work {
        self.core.work_of(flow, message)
    }

    fn turns_away(&mut self, now: Instant, flow: &Flow) -> bool {
        let guard = self.guard.as_mut();
        guard.is_some_and(|guard| flow.interface == Interface::Gm && guard.turns_away(now, flow.remote.ip()))
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        // What leaves comes before what ends its way.
        while let Some(output) = self.core.poll_output() {
            let passed = match self.now {
                Some(now) => self.outbound(now, output),
                None => Some(output),
            };
            if let Some(output) = passed {
                return Some(NetOutput::Sip(output));
            }
        }
        if let Some(output) = self.protection.as_mut().and_then(|p| p.sas.poll_output()) {
            return Some(output);
        }
        if let Some(connection) = self.guard.as_mut().and_then(Guard::poll_close) {
            return Some(NetOutput::Sip(SipOutput::Close(connection)));
        }
        if self.phase == Phase::Draining && self.core.is_settled() {
            self.phase = Phase::Drained;
            return Some(NetOutput::Drained);
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tables = earliest(self.contacts.poll_timeout(), self.passages.poll_timeout());
        let tables = earliest(tables, self.sessions.dialogs.poll_timeout());
        let sets = self.protection.as_ref().and_then(|p| p.sas.poll_timeout());
        let tables = earliest(tables, self.signals.poll_timeout());
        let tables = earliest(tables, self.emergency_callers.poll_timeout());
        let tables = earliest(tables, self.subscriptions.poll_timeout());
        let tables = earliest(tables, self.guard.as_ref().and_then(Guard::poll_timeout));
        earliest(earliest(self.core.poll_timeout(), sets), tables)
    }

    fn poll_note(&mut self) -> Option<Note> {
        let noted = self.core.poll_note();
        noted.or_else(|| self.protection.as_mut()?.sas.poll_note())
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
        self.counters.export(out);
        self.signals.export_metrics(out);
        self.sessions.export_metrics(out);
        if let Some(guard) = &self.guard {
            guard.export_metrics(out);
        }
        if let Some(protection) = &self.protection {
            protection.sas.export_metrics(out);
            let waiting = protection.challenges.len() as u64;
            out.gauge("ims_pcscf_challenges_waiting", &[], waiting);
        }
        out.gauge("ims_pcscf_contacts", &[], self.contacts.len() as u64);
        out.gauge("ims_pcscf_requests_pending", &[], self.passages.len() as u64);
        out.gauge(
            "ims_pcscf_restorations_pending",
            &[],
            self.restorations.len() as u64,
        );
        out.gauge("ims_pcscf_subscriptions", &[], self.subscriptions.len() as u64);
        out.gauge(
            "ims_pcscf_subscribes_pending",
            &[],
            self.subscriptions.asked() as u64,
        );
        out.gauge(
            "ims_pcscf_emergency_callers",
            &[],
            self.emergency_callers.len() as u64,
        );
        out.gauge(
            "ims_pcscf_emergency_pending",
            &[],
            self.emergency_routes.len() as u64,
        );
        out.gauge("ims_pcscf_registers_pending", &[], self.registers.len() as u64);
    }
}

/// Nothing of one UE concerns another one.
impl Sharded for Pcscf {
    type Word = Infallible;
}
