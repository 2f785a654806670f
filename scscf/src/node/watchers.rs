//! Machine: the S-CSCF towards those who hear of registrations: SUBSCRIBEs in, NOTIFYs and third-party REGISTERs out
//! (TS 24.229 5.4.1.7, 5.4.2).

use std::sync::Arc;
use std::time::Instant;

use hss_client::user_data::RegistrationType;
use ims_common::identity::Impi;
use ims_common::net::{Flow, Interface, RegistrationCommand};
use ims_common::proxy::{ForwardId, NextHop, ServerTransactionId, route};
use ims_common::sip::{Method, Request, Response, StatusCode};
use ims_common::token;

use super::{Originated, Scscf};
use crate::context::Context;
use crate::network_initiated;
use crate::reg_event::{self, Landing, SubscriptionId};
use crate::register::{Outcome, Register};
use crate::registrar::SetId;
use crate::registration_change::{Cause, ContactEvent, RegistrationChange};
use crate::release;
use crate::sessions::{Session, without_own_routes};
use crate::third_party_register;

/// Requests of our own that await an answer, at most; above, application servers are not told.
const ORIGINATED_MAX: usize = 100_000;

impl Scscf {
    /// Does what events have left to do, until nothing is left.
    pub(super) fn settle(&mut self, now: Instant) {
        self.drain_core(now);
        while self.tell_changes(now) {
            self.drain_core(now);
        }
    }

    /// Answers a SUBSCRIBE that is for the notifier. False: the request is somebody else's.
    pub(super) fn on_subscribe(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) -> bool {
        let mut notices = Vec::new();
        let mut ctx = self.context(now, &mut notices);
        let Some(place) = reg_event::place(&ctx, request) else {
            return false;
        };
        let response = match reg_event::on_subscribe(&mut ctx, request, place, flow.remote.ip()) {
            Ok((outcome, response)) => {
                self.counters.count("ims_scscf_reg_event_total", outcome.label());
                response
            }
            Err(reject) => {
                self.counters.count("ims_scscf_reg_event_total", reject.label());
                tracing::info!(
                    ?reject,
                    status = reject.status().as_u16(),
                    clause = "TS 24.229 5.4.2.1.1",
                    "SUBSCRIBE refused"
                );
                let tag = token::fresh(self.shard, &mut self.rng);
                reg_event::reject_response(request, reject, &tag)
            }
        };
        self.core.respond(now, transaction, response);
        true
    }

    /// The end of a request of our own: its final response, or `None`.
    pub(super) fn on_originated(&mut self, now: Instant, forward: ForwardId, answer: Option<&Response>) {
        if answer.is_some_and(|response| response.status().is_provisional()) {
            return;
        }
        match self.originated.remove(&forward) {
            None => {}
            Some(Originated::Notify(id)) => self.on_notify_answer(now, id, answer),
            Some(Originated::ThirdParty(at_stake)) => self.on_server_answer(now, at_stake, answer),
        }
    }

    fn on_notify_answer(&mut self, now: Instant, id: SubscriptionId, answer: Option<&Response>) {
        let landing = reg_event::on_answer(&mut self.context(now, &mut Vec::new()), id, answer);
        let reason = match landing {
            Landing::Taken => "taken",
            Landing::Held => "held",
            Landing::Dropped => {
                let status = answer.map(|response| response.status().as_u16());
                tracing::info!(?status, clause = "RFC 6665 4.2.2", "subscription removed");
                "dropped"
            }
        };
        self.counters.count("ims_scscf_notifies_total", reason);
    }

    /// TS 24.229 5.4.1.7: without a server that the operator insists on there is no registration.
    fn on_server_answer(&mut self, now: Instant, at_stake: Option<(SetId, Impi)>, answer: Option<&Response>) {
        if !third_party_register::has_failed(answer) {
            self.counters
                .count("ims_scscf_third_party_registers_total", "answered");
            return;
        }
        let status = answer.map(|response| response.status().as_u16());
        self.counters
            .count("ims_scscf_third_party_registers_total", "failed");
        tracing::warn!(
            ?status,
            ends_registration = at_stake.is_some(),
            clause = "TS 24.229 5.4.1.7",
            "application server failed to take a third-party REGISTER"
        );
        if let Some((set, impi)) = at_stake {
            self.with_notices(now, |ctx| {
                network_initiated::deregister(ctx, set, &impi, ContactEvent::Probation)
            });
        }
    }

    /// What the operator wants; without effect on whom this node does not serve.
    pub(super) fn on_operator(&mut self, now: Instant, command: RegistrationCommand) {
        let (done, label) = match command {
            RegistrationCommand::Deregister { impu, again } => {
                let work = |ctx: &mut Context<'_>| network_initiated::by_operator(ctx, &impu, again);
                (self.with_notices(now, work), "deregister")
            }
            RegistrationCommand::Reauthenticate { impu } => {
                let work = |ctx: &mut Context<'_>| network_initiated::reauthenticate(ctx, &impu);
                (self.with_notices(now, work), "reauthenticate")
            }
        };
        tracing::info!(command = label, contacts = done, "operator changed registrations");
        let label = if done == 0 { "not_served" } else { label };
        self.counters.count("ims_scscf_commands_total", label);
    }

    /// Lets a procedure work that may have something to tell the HSS.
    pub(super) fn with_notices<T>(&mut self, now: Instant, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut notices = Vec::new();
        let result = work(&mut self.context(now, &mut notices));
        for notice in notices {
            self.send_notice(now, notice);
        }
        result
    }

    /// What is told of a REGISTER is told with the REGISTER and its answer.
    pub(super) fn note_cause(&mut self, register: &Register, outcome: Outcome, response: &Response) {
        let registration = match outcome {
            Outcome::Registered => RegistrationType::Initial,
            Outcome::Refreshed => RegistrationType::Reregistration,
            Outcome::Deregistered => RegistrationType::Deregistration,
            Outcome::Challenged
            | Outcome::Resynchronised
            | Outcome::ChallengedAgain
            | Outcome::ChallengedStale
            | Outcome::ChallengeRepeated
            | Outcome::Repeated
            | Outcome::Queried => return,
        };
        self.changes.attach(Cause {
            request: register.request.clone(),
            response: response.clone(),
            registration,
        });
    }

    /// From now on the call can be released.
    pub(super) fn begin_call(&mut self, session: &Session, sent: &Request) {
        let is_call = session.received.method() == Method::Invite;
        if let Some(leg) = session.leg().filter(|_| is_call)
            && !self
                .calls
                .begin(session.transaction, leg, &session.received, sent)
        {
            self.counters.count("ims_scscf_releases_total", "table_full");
        }
    }

    /// TS 24.229 5.4.5.1: BYE to both sides of a call; of one that is being set up CANCEL to the one and 480 to the
    /// other.
    fn release_calls(&mut self, now: Instant, change: &RegistrationChange) -> bool {
        let released = self.calls.release(&self.registrar, change);
        let has_any = !released.byes.is_empty() || !released.invites.is_empty();
        for bye in released.byes {
            self.counters.count("ims_scscf_releases_total", "bye");
            // The other user may be one of ours: then the way leads through ourselves, and it is his call too.
            let (bye, _) = without_own_routes(&self.context(now, &mut Vec::new()), &bye);
            self.calls.on_request(now, &bye);
            self.sessions.records.on_network_bye(now, &bye);
            self.sessions.limits.on_request(now, &bye);
            if let Some(hop) = route::next_hop(&bye) {
                self.core.originate(now, bye, NextHop::Uri(hop), Interface::Mw);
            }
        }
        for transaction in released.invites {
            self.end_call(transaction);
            if self.sessions.running.take(transaction).is_none() {
                continue;
            }
            self.counters.count("ims_scscf_releases_total", "cancel");
            let status = StatusCode::TEMPORARILY_UNAVAILABLE;
            self.sessions.records.on_reject(now, transaction, status);
            self.core.cancel_fork(now, transaction, Some(release::REASON));
            self.core.reject(now, transaction, status);
        }
        if has_any {
            tracing::info!(event = ?change.event, clause = "TS 24.229 5.4.5.1", "calls released");
        }
        has_any
    }

    /// Tells application servers and watchers what has happened to registrations; says whether there was anything to
    /// send.
    fn tell_changes(&mut self, now: Instant) -> bool {
        let mut has_sent = false;
        let mut last_cause: Option<Arc<Cause>> = None;
        while let Some(change) = self.changes.pop() {
            has_sent |= self.release_calls(now, &change);
            // One REGISTER may change several contacts; servers hear of it once.
            let is_told = match (&change.cause, &last_cause) {
                (Some(cause), Some(last)) => Arc::ptr_eq(cause, last),
                (None, _) | (_, None) => false,
            };
            if !is_told && third_party_register::concerns(&change) {
                has_sent |= self.tell_servers(now, &change);
                last_cause = change.cause.clone();
            }
            reg_event::on_change(&mut self.context(now, &mut Vec::new()), &change);
        }
        while let Some(notify) = reg_event::next(&mut self.context(now, &mut Vec::new())) {
            has_sent = true;
            self.counters.count("ims_scscf_notifies_total", "sent");
            let hop = NextHop::Uri(notify.hop);
            let forward = self.core.originate(now, notify.request, hop, Interface::Mw);
            if let Some(id) = notify.awaited_for {
                self.originated.insert(forward, Originated::Notify(id));
            }
        }
        has_sent
    }

    fn tell_servers(&mut self, now: Instant, change: &RegistrationChange) -> bool {
        let all = third_party_register::of_change(&mut self.context(now, &mut Vec::new()), change);
        let has_any = !all.is_empty();
        for register in all {
            if self.originated.len() >= ORIGINATED_MAX {
                self.counters
                    .count("ims_scscf_third_party_registers_total", "left_out");
                continue;
            }
            self.counters
                .count("ims_scscf_third_party_registers_total", "sent");
            let hop = NextHop::Uri(register.server);
            let forward = self.core.originate(now, register.request, hop, Interface::Mw);
            self.originated
                .insert(forward, Originated::ThirdParty(register.at_stake));
        }
        has_any
    }
}
