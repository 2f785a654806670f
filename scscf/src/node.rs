//! Machine: the S-CSCF: dispatches what comes in, keeps procedures in progress, answers each request once.

mod hss;
mod sessions;
mod watchers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use hss_client::cx::{CxOutput, CxRequestId, ServerAssignmentType};
use hss_client::with_hss::{CscfInput, CscfOutput};
use ims_common::identity::{Impi, Impu};
use ims_common::ifc_test::{IfcTest, IfcTestAnswer, IfcTestError};
use ims_common::net::{Command, NaptrId, SipInput, SipOutput};
use ims_common::node::{Counters, Metrics, Node, Seed, earliest};
use ims_common::operate::{LimitRow, List, Question, Report};
use ims_common::proxy::{CoreEvent, ForwardId, ProxyCore, ProxyCoreConfig, ServerTransactionId};
use ims_common::sip::{Method, Request, Response, StatusCode, UriBuf};
use ims_common::steering::ShardPlace;
use ims_common::token::{self, ShardId};
use ims_common::why::{Facts, Note, NoteKind, Notes};
use rand::rngs::StdRng;

use crate::blocking::Blocking;
use crate::breakout::Breakout;
use crate::call_limits::Maxima;
use crate::challenges::{ChallengeLimits, Challenges};
use crate::config::{
    CallLimitsConfig, IscConfig, RegEventConfig, RegistrationConfig, ServiceIdsConfig, SessionsConfig,
};
use crate::context::{Context, Notice};
use crate::enum_lookup::EnumLookup;
use crate::ifc::SharedIfcSets;
use crate::ifc_test;
use crate::numbers::Normaliser;
use crate::reg_event::{SubscriptionId, SubscriptionLimits, Subscriptions};
use crate::register::{self, Await, Outcome, Register, Step};
use crate::registrar::{Registrar, RegistrarLimits, SetId};
use crate::registration_change::Outbox;
use crate::reject::RegisterReject;
use crate::release::Calls;
use crate::service_route::ServiceRoute;
use crate::sessions::Tables;
use ims_common::media_policy::MediaPolicy;

/// Keeps the identifiers of records apart from all other chance.
const RECORD_STREAM: u8 = b'R';

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
    /// Where requests to users of the home network go.
    pub icscf: UriBuf,
    /// Application servers.
    pub isc: IscConfig,
    /// Calls, messages and subscriptions.
    pub sessions: SessionsConfig,
    /// Where emergency calls go.
    pub ecscf: Option<UriBuf>,
    /// SIP URI of this server.
    pub server_name: UriBuf,
    /// Its address on Mw.
    pub address: SocketAddr,
    /// Policy of the registrar.
    pub registration: RegistrationConfig,
    /// What number a Request-URI names.
    pub(crate) normaliser: Normaliser,
    /// Which media users may have.
    pub(crate) media_policy: MediaPolicy,
    /// What happens with services that a user has not subscribed to.
    pub service_ids: ServiceIdsConfig,
    /// Where numbers are looked up, if they are.
    pub(crate) enum_lookup: Option<EnumLookup>,
    /// Next hops for what this network does not serve.
    pub(crate) breakout: Breakout,
    /// Who may not call whom.
    pub(crate) blocking: Blocking,
    /// How many calls there may be.
    pub call_limits: CallLimitsConfig,
    pub(crate) call_maxima: Maxima,
    /// Policy of the reg event package.
    pub reg_event: RegEventConfig,
    /// Whether charging data records are made.
    pub records: bool,
    /// Filter criteria that profiles name by number.
    pub(crate) shared_ifc_sets: SharedIfcSets,
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
    /// The profile of a user who is not registered.
    Session(ServerTransactionId),
}

/// What a request that this node has sent itself is about.
#[derive(Clone, Debug)]
enum Originated {
    Notify(SubscriptionId),
    /// A third-party REGISTER, and whose registration ends if it fails.
    ThirdParty(Option<(SetId, Impi)>),
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
    subscriptions: Subscriptions,
    originated: BTreeMap<ForwardId, Originated>,
    calls: Calls,
    rng: StdRng,
    shard: ShardId,
    in_progress: BTreeMap<CxRequestId, InProgress>,
    busy: BTreeMap<Impi, Busy>,
    sessions: Tables,
    notes: Notes,
    /// Numbers that DNS is asked about.
    lookups: BTreeMap<NaptrId, ServerTransactionId>,
    sip_outputs: VecDeque<SipOutput>,
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
        })
        .with_shared_ifc_sets(settings.shared_ifc_sets.clone());
        let challenges = Challenges::new(ChallengeLimits {
            reg_await_auth: policy.reg_await_auth.get(),
            digest_nonce_lifetime: policy.digest_nonce_lifetime.get(),
            challenges: policy.challenges,
        });
        let subscriptions = Subscriptions::new(SubscriptionLimits {
            subscriptions: settings.reg_event.subscriptions,
            per_set: settings.reg_event.subscriptions_per_set,
        });
        // Boot time before chance: identifiers of one node sort by its lives.
        let records = settings.records.then(|| {
            let shard = settings.core.shard;
            format!(
                "{:x}-{}-",
                seed.boot_unix_secs,
                token::fresh(shard, &mut seed.rng(RECORD_STREAM))
            )
        });
        Self {
            service_route: ServiceRoute::of(&settings.server_name),
            core: ProxyCore::new(settings.core.clone(), seed),
            registrar,
            challenges,
            changes: Outbox::default(),
            subscriptions,
            originated: BTreeMap::new(),
            calls: Calls::new(settings.sessions.dialogs),
            rng: seed.rng(b'S'),
            shard: settings.core.shard,
            in_progress: BTreeMap::new(),
            busy: BTreeMap::new(),
            sessions: Tables::new(&settings, records),
            notes: Notes::default(),
            lookups: BTreeMap::new(),
            sip_outputs: VecDeque::new(),
            last_cx_id: 0,
            cx_outputs: VecDeque::new(),
            counters: Counters::default(),
            drain: Drain::Serving,
            settings,
        }
    }

    /// From now on, other settings count; what the tables were made with stays.
    pub(crate) fn reconfigure(&mut self, mut settings: ScscfSettings, place: ShardPlace) {
        settings.core.shard = place.shard;
        self.sessions.reconfigure(&settings);
        self.settings = settings;
    }

    /// From now on, says for which identities requests are served here: there are other shards.
    pub fn announce_identities(&mut self) {
        self.registrar.announce();
    }

    /// The next change of registrations, in order.
    #[cfg(test)]
    pub(crate) fn poll_change(&mut self) -> Option<crate::registration_change::RegistrationChange> {
        self.changes.read.pop_front()
    }

    /// Who is registered: the private and the public identity of each contact.
    pub fn registered(&self) -> impl Iterator<Item = (&Impi, &Impu)> {
        self.registrar
            .bindings()
            .map(|binding| (&binding.impi, &binding.impu))
    }

    fn context<'a>(&'a mut self, now: Instant, notices: &'a mut Vec<Notice>) -> Context<'a> {
        Context {
            now,
            settings: &self.settings,
            service_route: &self.service_route,
            registrar: &mut self.registrar,
            challenges: &mut self.challenges,
            changes: &mut self.changes,
            subscriptions: &mut self.subscriptions,
            sessions: &mut self.sessions,
            notices,
            notes: &mut self.notes,
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
                    transaction,
                    request,
                    flow,
                } => {
                    if !self.on_subscribe(now, transaction, &request, &flow) {
                        self.on_request(now, transaction, &request, &flow);
                    }
                }
                CoreEvent::Ack { request, .. } => self.on_ack(now, &request),
                CoreEvent::Forked { transaction, answer } => self.on_forked(now, transaction, answer),
                CoreEvent::Response { forward, response } => {
                    self.on_originated(now, forward, Some(&response));
                }
                CoreEvent::Failed { forward, .. } => self.on_originated(now, forward, None),
                CoreEvent::Cancelled { transaction } => self.on_cancelled(now, transaction),
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
                self.note_cause(&register, outcome, &response);
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
        let (status, clause) = (response.status().as_u16(), "TS 24.229 5.4.1");
        let outcome = outcome.label();
        if response.status() == StatusCode::UNAUTHORIZED {
            tracing::debug!(?impi, outcome, status, clause, "REGISTER answered");
        } else {
            tracing::info!(?impi, outcome, status, clause, "REGISTER answered");
        }
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
        self.core.note(|| {
            let call_id = request.call_id().unwrap_or_default();
            Note::of_call(NoteKind::Refused, call_id, Facts::new()).saying(reject.label())
        });
        let tag = token::fresh(self.shard, &mut self.rng);
        let response = register::reject_response(request, reject, &tag, &self.settings);
        self.core.respond(now, transaction, response);
    }

    fn is_idle(&self) -> bool {
        self.in_progress.is_empty() && self.core.is_settled()
    }
}

impl Node for Scscf {
    type Input = CscfInput;
    type Output = CscfOutput;

    fn handle(&mut self, now: Instant, input: CscfInput) {
        match input {
            CscfInput::Sip(SipInput::Naptr { id, records }) => self.on_naptr(now, id, &records),
            CscfInput::Sip(input) => self.core.handle(now, input),
            CscfInput::Cx(input) => self.on_cx(now, input),
            CscfInput::Command(Command::Registration(command)) => self.on_operator(now, command),
            CscfInput::Command(Command::Unban(_)) => {}
            CscfInput::Command(Command::Drain) => {
                if self.drain == Drain::Serving {
                    self.drain = Drain::Draining;
                }
                self.core.drain();
            }
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
        self.drain_core(now);
        self.expire(now);
        self.expire_sessions(now);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<CscfOutput> {
        // Before the messages that it belongs to.
        if let Some(event) = self.sessions.records.poll_event() {
            return Some(CscfOutput::Cdr(event));
        }
        if let Some(output) = self.cx_outputs.pop_front() {
            return Some(CscfOutput::Cx(output));
        }
        if let Some(output) = self.sip_outputs.pop_front() {
            return Some(CscfOutput::Sip(output));
        }
        if let Some(output) = self.core.poll_output() {
            return Some(CscfOutput::Sip(output));
        }
        if let Some((impu, is_here)) = self.registrar.poll_announcement() {
            return Some(match is_here {
                true => CscfOutput::Serves(impu),
                false => CscfOutput::Leaves(impu),
            });
        }
        if self.drain == Drain::Draining && self.is_idle() {
            self.drain = Drain::Drained;
            return Some(CscfOutput::Drained);
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tables = earliest(self.registrar.next_timeout(), self.challenges.next_timeout());
        let tables = earliest(tables, self.sessions.next_timeout());
        let tables = earliest(tables, self.subscriptions.next_timeout());
        let tables = earliest(tables, self.calls.next_timeout());
        let tables = earliest(tables, self.sessions.limits.next_timeout());
        earliest(self.core.poll_timeout(), tables)
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.core.poll_note().or_else(|| self.notes.poll())
    }

    fn ifc_test(&self, test: &IfcTest) -> Option<Result<IfcTestAnswer, IfcTestError>> {
        Some(ifc_test::answer(test, &self.registrar, &self.sessions.held))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.core.export_metrics(out);
        self.counters.export(out);
        let (bad_expressions, unknown_sets) = self.registrar.bad_criteria();
        for (fault, value) in [("expression", bad_expressions), ("shared_set", unknown_sets)] {
            out.counter("ims_scscf_bad_criteria_total", &[("reason", fault)], value);
        }
        let left_out = self.sessions.records.left_out();
        out.counter("ims_scscf_records_left_out_total", &[], left_out);
        self.sessions.limits.export_metrics(out);
        let gauges = [
            ("ims_scscf_bindings", self.registrar.len()),
            ("ims_scscf_registration_sets", self.registrar.sets_len()),
            ("ims_scscf_challenges", self.challenges.len()),
            ("ims_scscf_reg_subscriptions", self.subscriptions.len()),
            ("ims_scscf_dialogs", self.calls.len()),
            ("ims_scscf_in_progress", self.in_progress.len()),
            ("ims_scscf_sessions", self.sessions.running.len()),
            ("ims_scscf_answered_calls", self.sessions.running.answered_len()),
            ("ims_scscf_dialog_ids", self.sessions.dialog_ids.len()),
            ("ims_scscf_unregistered_profiles", self.sessions.held.len()),
            ("ims_scscf_open_records", self.sessions.records.len()),
            ("ims_scscf_changes_unread", self.changes.len()),
        ];
        for (name, value) in gauges {
            out.gauge(name, &[], u64::try_from(value).unwrap_or(u64::MAX));
        }
    }

    fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        self.core.report(now, question, out);
        match question.list {
            List::Users => self.registrar.report(now, question, out),
            List::Sessions => self.calls.report(now, question, &self.registrar, out),
            List::Limits => {
                let bindings = LimitRow::new("scscf.registration.bindings", self.registrar.limit());
                let refused = self.counters.get("ims_scscf_registers_total", "overloaded");
                out.add(question, || bindings.used(self.registrar.len()).refused(refused));
                let dialogs = LimitRow::new("scscf.sessions.dialogs", self.calls.limit());
                out.add(question, || dialogs.used(self.calls.len()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
