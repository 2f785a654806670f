//! Machine: the S-CSCF: dispatches what comes in, keeps procedures in progress, answers each request once.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use hss_client::cx::{
    CxAnswer, CxError, CxInput, CxOutput, CxPush, CxPushAnswer, CxRequest, CxRequestId, ServerAssignmentType,
};
use hss_client::with_hss::{CscfInput, CscfOutput};
use ims_common::identity::Impi;
use ims_common::net::{Command, Interface};
use ims_common::node::{Counters, Metrics, Node, Seed, earliest};
use ims_common::proxy::{CoreEvent, ProxyCore, ProxyCoreConfig, ServerTransactionId};
use ims_common::sip::{Method, Request, Response, UriBuf};
use ims_common::token::{self, ShardId};
use rand::rngs::StdRng;

use crate::challenges::{ChallengeLimits, Challenges};
use crate::config::RegistrationConfig;
use crate::context::{Context, Notice};
use crate::network_initiated;
use crate::register::{self, Await, Outcome, Register, Step};
use crate::registrar::{Registrar, RegistrarLimits};
use crate::registration_change::{ContactEvent, Outbox, RegistrationChange};
use crate::reject::{RegisterReject, RequestReject};
use crate::service_route::ServiceRoute;
use crate::sessions::{self, SessionStep};

/// REGISTERs of one private identity that wait for the one before them, at most.
const WAITING_PER_IMPI_MAX: usize = 4;

/// What the node is told once.
#[derive(Clone, Debug)]
pub struct ScscfSettings {
    /// SIP underneath.
    pub core: ProxyCoreConfig,
    /// The home network.
    pub home_realm: String,
    /// Visited networks that count as home.
    pub home_networks: Vec<String>,
    /// SIP URI of this server.
    pub server_name: UriBuf,
    /// Its address on Mw.
    pub address: SocketAddr,
    /// Policy of the registrar.
    pub registration: RegistrationConfig,
}

/// What waits for an answer of the HSS.
#[derive(Debug)]
enum InProgress {
    Register {
        transaction: ServerTransactionId,
        register: Box<Register>,
        awaited: Await,
    },
    Notice {
        impi: Impi,
        assignment_type: ServerAssignmentType,
    },
}

/// What goes on for one private identity: REGISTERs are served one after the other (RG-22).
#[derive(Debug, Default)]
struct Busy {
    /// Answers of the HSS that are awaited.
    outstanding: usize,
    waiting: VecDeque<(ServerTransactionId, Box<Register>)>,
}

/// The S-CSCF.
pub struct Scscf {
    settings: ScscfSettings,
    service_route: ServiceRoute,
    core: ProxyCore,
    registrar: Registrar,
    challenges: Challenges,
    changes: Outbox,
    rng: StdRng,
    shard: ShardId,
    in_progress: BTreeMap<CxRequestId, InProgress>,
    busy: BTreeMap<Impi, Busy>,
    last_cx_id: u64,
    cx_outputs: VecDeque<CxOutput>,
    counters: Counters,
    drain: Drain,
}

/// Whether the node still takes new work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Drain {
    Serving,
    Draining,
    Drained,
}

impl Scscf {
    /// A node without registrations.
    #[must_use]
    pub fn new(settings: ScscfSettings, seed: &Seed) -> Self {
        let policy = &settings.registration;
        let registrar = Registrar::new(RegistrarLimits {
            bindings_per_impu: policy.bindings_per_impu,
            registrations: policy.bindings,
        });
        let challenges = Challenges::new(ChallengeLimits {
            reg_await_auth: policy.reg_await_auth.get(),
            digest_nonce_lifetime: policy.digest_nonce_lifetime.get(),
            challenges: policy.challenges,
        });
        Self {
            service_route: ServiceRoute::of(&settings.server_name),
            core: ProxyCore::new(settings.core.clone(), seed),
            registrar,
            challenges,
            changes: Outbox::default(),
            rng: seed.rng(b'S'),
            shard: settings.core.shard,
            in_progress: BTreeMap::new(),
            busy: BTreeMap::new(),
            last_cx_id: 0,
            cx_outputs: VecDeque::new(),
            counters: Counters::default(),
            drain: Drain::Serving,
            settings,
        }
    }

    /// The next change of registrations, in order.
    pub fn poll_change(&mut self) -> Option<RegistrationChange> {
        self.changes.pop()
    }

    fn context<'a>(&'a mut self, now: Instant, notices: &'a mut Vec<Notice>) -> Context<'a> {
        Context {
            now,
            settings: &self.settings,
            service_route: &self.service_route,
            registrar: &mut self.registrar,
            challenges: &mut self.challenges,
            changes: &mut self.changes,
            notices,
            rng: &mut self.rng,
            shard: self.shard,
        }
    }

    /// Serves what the SIP core has understood.
    fn drain_core(&mut self, now: Instant) {
        while let Some(event) = self.core.poll_event() {
            match event {
                CoreEvent::Request {
                    transaction, request, ..
                } if request.method() == Method::Register => self.on_register(now, transaction, request),
                CoreEvent::Request {
                    transaction, request, ..
                } => self.on_request(now, transaction, &request),
                CoreEvent::Ack { request, .. } => self.on_ack(now, &request),
                // A REGISTER cannot be cancelled, relayed requests are cancelled by the core, and this
                // node starts no client transactions of its own.
                CoreEvent::Cancelled { .. } | CoreEvent::Response { .. } | CoreEvent::Failed { .. } => {}
            }
        }
    }

    fn on_register(&mut self, now: Instant, transaction: ServerTransactionId, request: Request) {
        let register = match Register::read(request.clone()) {
            Ok(register) => Box::new(register),
            Err(reject) => return self.refuse(now, transaction, &request, None, reject),
        };
        match self.busy.get_mut(&register.impi) {
            None => self.begin(now, transaction, register),
            Some(busy) if busy.waiting.len() < WAITING_PER_IMPI_MAX => {
                busy.waiting.push_back((transaction, register));
            }
            Some(_) => {
                let impi = register.impi.clone();
                self.refuse(
                    now,
                    transaction,
                    &request,
                    Some(&impi),
                    RegisterReject::Overloaded,
                );
            }
        }
    }

    fn begin(&mut self, now: Instant, transaction: ServerTransactionId, register: Box<Register>) {
        let mut notices = Vec::new();
        let step = register::start(&mut self.context(now, &mut notices), &register);
        self.take_step(now, transaction, register, step, notices);
    }

    /// The one place where a REGISTER waits on or ends.
    fn take_step(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        register: Box<Register>,
        step: Result<Step, RegisterReject>,
        notices: Vec<Notice>,
    ) {
        for notice in notices {
            self.send_notice(now, notice);
        }
        match step {
            Ok(Step::Ask(request, awaited)) => {
                let impi = register.impi.clone();
                let progress = InProgress::Register {
                    transaction,
                    register,
                    awaited,
                };
                self.ask(&impi, request, progress);
            }
            Ok(Step::Answer(outcome, response)) => {
                self.finish(now, transaction, &register.impi, outcome, response);
            }
            Err(reject) => {
                self.refuse(now, transaction, &register.request, Some(&register.impi), reject);
            }
        }
    }

    fn finish(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        impi: &Impi,
        outcome: Outcome,
        response: Response,
    ) {
        self.counters.count("ims_scscf_registers_total", outcome.label());
        tracing::info!(
            ?impi,
            outcome = outcome.label(),
            status = response.status().as_u16(),
            clause = "TS 24.229 5.4.1",
            "REGISTER answered"
        );
        self.core.respond(now, transaction, response);
    }

    fn refuse(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        impi: Option<&Impi>,
        reject: RegisterReject,
    ) {
        self.counters.count("ims_scscf_registers_total", reject.label());
        tracing::info!(
            ?impi,
            ?reject,
            status = reject.status().as_u16(),
            clause = "TS 24.229 5.4.1",
            "REGISTER refused"
        );
        let tag = token::fresh(self.shard, &mut self.rng);
        let response = register::reject_response(request, reject, &tag, &self.settings);
        self.core.respond(now, transaction, response);
    }

    fn ask(&mut self, impi: &Impi, request: CxRequest, progress: InProgress) {
        self.last_cx_id += 1;
        let id = CxRequestId(self.last_cx_id);
        self.busy.entry(impi.clone()).or_default().outstanding += 1;
        self.in_progress.insert(id, progress);
        self.cx_outputs.push_back(CxOutput::Request { id, request });
    }

    fn send_notice(&mut self, now: Instant, notice: Notice) {
        let impi = notice.impi.clone();
        let assignment_type = notice.assignment_type;
        let request = self.context(now, &mut Vec::new()).sar(notice, false);
        let progress = InProgress::Notice {
            impi: impi.clone(),
            assignment_type,
        };
        self.ask(&impi, request, progress);
    }

    fn on_cx(&mut self, now: Instant, input: CxInput) {
        match input {
            CxInput::Answer { id, answer } => self.on_cx_answer(now, id, answer),
            CxInput::Push { id, push, .. } => {
                let mut notices = Vec::new();
                let mut ctx = self.context(now, &mut notices);
                let answer = match push {
                    CxPush::Rtr(rtr) => CxPushAnswer::Rta(network_initiated::on_rtr(&mut ctx, &rtr)),
                    CxPush::Ppr(ppr) => CxPushAnswer::Ppa(network_initiated::on_ppr(&mut ctx, &ppr)),
                };
                let (command, result) = match &answer {
                    CxPushAnswer::Rta(rta) => ("rtr", rta.result),
                    CxPushAnswer::Ppa(ppa) => ("ppr", ppa.result),
                };
                let name = if result.is_success() {
                    "ims_scscf_pushes_total"
                } else {
                    "ims_scscf_pushes_refused_total"
                };
                self.counters.count(name, command);
                self.cx_outputs.push_back(CxOutput::PushAnswer { id, answer });
            }
        }
    }

    fn on_cx_answer(&mut self, now: Instant, id: CxRequestId, answer: Result<CxAnswer, CxError>) {
        let impi = match self.in_progress.remove(&id) {
            None => return,
            Some(InProgress::Notice {
                impi,
                assignment_type,
            }) => {
                self.on_notice_answer(&impi, assignment_type, answer);
                impi
            }
            Some(InProgress::Register {
                transaction,
                register,
                awaited,
            }) => {
                let impi = register.impi.clone();
                let mut notices = Vec::new();
                let mut ctx = self.context(now, &mut notices);
                let step = register::on_answer(&mut ctx, &register, awaited, answer);
                self.take_step(now, transaction, register, step, notices);
                impi
            }
        };
        self.release(now, &impi);
    }

    fn on_notice_answer(
        &mut self,
        impi: &Impi,
        assignment_type: ServerAssignmentType,
        answer: Result<CxAnswer, CxError>,
    ) {
        let reason = match answer.map(|answer| answer.result()) {
            Ok(result) if result.is_success() => "accepted",
            Ok(result) => {
                tracing::warn!(?impi, ?assignment_type, ?result, "HSS refused a notice");
                "refused"
            }
            Err(error) => {
                tracing::warn!(?impi, ?assignment_type, %error, "HSS was not told");
                "unanswered"
            }
        };
        self.counters.count("ims_scscf_notices_total", reason);
    }

    /// One answer of the HSS less to wait for; when none is left, the next REGISTER has its turn.
    fn release(&mut self, now: Instant, impi: &Impi) {
        if let Some(busy) = self.busy.get_mut(impi) {
            busy.outstanding = busy.outstanding.saturating_sub(1);
        }
        while let Some(busy) = self.busy.get_mut(impi)
            && busy.outstanding == 0
        {
            match busy.waiting.pop_front() {
                Some((transaction, register)) => self.begin(now, transaction, register),
                None => {
                    self.busy.remove(impi);
                }
            }
        }
    }

    fn on_request(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        let step = sessions::on_request(&mut self.context(now, &mut Vec::new()), request);
        match step {
            Ok(SessionStep::Answer(response)) => {
                self.counters.count("ims_scscf_requests_total", "answered");
                self.core.respond(now, transaction, response);
            }
            Ok(SessionStep::Relay(request, targets)) => {
                self.counters.count("ims_scscf_requests_total", "relayed");
                self.core.relay(now, transaction, request, targets, Interface::Mw);
            }
            Err(reject) => self.refuse_request(now, transaction, reject),
        }
    }

    fn refuse_request(&mut self, now: Instant, transaction: ServerTransactionId, reject: RequestReject) {
        self.counters.count("ims_scscf_requests_total", reject.label());
        tracing::info!(
            ?reject,
            status = reject.status().as_u16(),
            clause = "TS 24.229 5.4.3",
            "request refused"
        );
        self.core.reject(now, transaction, reject.status());
    }

    fn on_ack(&mut self, now: Instant, request: &Request) {
        let next = sessions::on_ack(&self.context(now, &mut Vec::new()), request);
        if let Some((request, hop)) = next {
            self.core.forward_ack(now, request, hop, Interface::Mw);
        }
    }

    /// TS 24.229 5.4.1.4: expiry of contacts; 5.4.1.2.3: expiry of challenges.
    fn expire(&mut self, now: Instant) {
        let busy: &BTreeMap<Impi, Busy> = &self.busy;
        let mut notices = Vec::new();
        while let Some(expired) = self.registrar.pop_expired(now, |impi| busy.contains_key(impi)) {
            self.counters.count("ims_scscf_expirations_total", "binding");
            tracing::info!(impi = ?expired.impi, contact = ?expired.contact, "binding expired");
            self.changes.push(RegistrationChange {
                impi: expired.impi.clone(),
                identities: expired.identities,
                contacts: vec![expired.contact.uri().clone()],
                event: ContactEvent::Expired,
            });
            if expired.last_of_impi {
                notices.push(Notice {
                    impi: expired.impi,
                    impu: expired.impu,
                    assignment_type: ServerAssignmentType::TimeoutDeregistration,
                    hss_host: expired.hss_host,
                });
            }
        }
        while let Some((impi, challenge)) = self.challenges.pop_expired(now) {
            self.counters.count("ims_scscf_expirations_total", "challenge");
            let is_unanswered = challenge.progress == crate::challenges::Progress::Unanswered;
            // A REGISTER in progress tells the HSS itself how it ends.
            let is_pending = is_unanswered && !busy.contains_key(&impi);
            if is_pending && !self.registrar.is_registered(&impi, &challenge.impu) {
                tracing::info!(?impi, clause = "TS 24.229 5.4.1.2.3", "reg-await-auth expired");
                notices.push(Notice {
                    impi,
                    impu: challenge.impu,
                    assignment_type: ServerAssignmentType::AuthenticationTimeout,
                    hss_host: challenge.hss_host,
                });
            }
        }
        for notice in notices {
            self.send_notice(now, notice);
        }
    }

    fn is_idle(&self) -> bool {
        self.in_progress.is_empty() && self.core.is_idle()
    }
}

impl Node for Scscf {
    type Input = CscfInput;
    type Output = CscfOutput;

    fn handle(&mut self, now: Instant, input: CscfInput) {
        match input {
            CscfInput::Sip(input) => self.core.handle(now, input),
            CscfInput::Cx(input) => self.on_cx(now, input),
            CscfInput::Command(Command::Drain) => {
                if self.drain == Drain::Serving {
                    self.drain = Drain::Draining;
                }
                self.core.drain();
            }
        }
        self.drain_core(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
        self.drain_core(now);
        self.expire(now);
    }

    fn poll_output(&mut self) -> Option<CscfOutput> {
        if let Some(output) = self.cx_outputs.pop_front() {
            return Some(CscfOutput::Cx(output));
        }
        if let Some(output) = self.core.poll_output() {
            return Some(CscfOutput::Sip(output));
        }
        if self.drain == Drain::Draining && self.is_idle() {
            self.drain = Drain::Drained;
            return Some(CscfOutput::Drained);
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tables = earliest(self.registrar.next_timeout(), self.challenges.next_timeout());
        earliest(self.core.poll_timeout(), tables)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
        self.counters.export(out);
        let gauges = [
            ("ims_scscf_bindings", self.registrar.len()),
            ("ims_scscf_registration_sets", self.registrar.sets_len()),
            ("ims_scscf_challenges", self.challenges.len()),
            ("ims_scscf_in_progress", self.in_progress.len()),
            ("ims_scscf_changes_unread", self.changes.len()),
        ];
        for (name, value) in gauges {
            out.gauge(name, &[], u64::try_from(value).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests;
