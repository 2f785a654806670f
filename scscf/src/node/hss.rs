//! Machine: the S-CSCF towards the HSS: requests and their answers, pushes, and what time does to the tables.

use std::collections::BTreeMap;
use std::time::Instant;

use hss_client::cx::{
    CxAnswer, CxError, CxInput, CxOutput, CxPush, CxPushAnswer, CxRequest, CxRequestId, ReasonCode, Rtr,
    ServerAssignmentType,
};
use ims_common::identity::Impi;
use ims_common::proxy::ServerTransactionId;

use super::{Busy, InProgress, Scscf};
use crate::challenges::Progress;
use crate::context::Notice;
use crate::network_initiated;
use crate::register;
use crate::registrar::Expired;
use crate::registration_change::ContactEvent;
use crate::spelling::may_mean_a_registered_one;

impl Scscf {
    pub(super) fn ask(&mut self, impi: &Impi, request: CxRequest, progress: InProgress) {
        self.last_cx_id += 1;
        let id = CxRequestId(self.last_cx_id);
        self.busy.entry(impi.clone()).or_default().outstanding += 1;
        self.in_progress.insert(id, progress);
        self.cx_outputs.push_back(CxOutput::Request { id, request });
    }

    /// Asks for a request that is no REGISTER.
    pub(super) fn ask_for_session(&mut self, transaction: ServerTransactionId, request: CxRequest) {
        self.last_cx_id += 1;
        let id = CxRequestId(self.last_cx_id);
        self.in_progress.insert(id, InProgress::Session(transaction));
        self.cx_outputs.push_back(CxOutput::Request { id, request });
    }

    pub(super) fn send_notice(&mut self, now: Instant, notice: Notice) {
        let impi = notice.impi.clone();
        let assignment_type = notice.assignment_type;
        let request = self.context(now, &mut Vec::new()).sar(notice, false);
        let progress = InProgress::Notice {
            impi: impi.clone(),
            assignment_type,
        };
        self.ask(&impi, request, progress);
    }

    pub(super) fn on_cx(&mut self, now: Instant, input: CxInput) {
        match input {
            CxInput::Answer { id, answer } => self.on_cx_answer(now, id, answer),
            CxInput::Push { id, push, .. } => {
                if let CxPush::Rtr(rtr) = &push {
                    self.terminate_in_progress(rtr);
                }
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

    /// A termination is also about what is just being registered.
    fn terminate_in_progress(&mut self, rtr: &Rtr) {
        if rtr.reason.code == ReasonCode::RemoveScscf {
            return;
        }
        let impis = network_initiated::private_identities(rtr);
        for progress in self.in_progress.values_mut() {
            if let InProgress::Register {
                register, awaited, ..
            } = progress
                && impis.contains(&register.impi)
            {
                awaited.terminate(&rtr.public_identities);
            }
        }
    }

    fn on_cx_answer(&mut self, now: Instant, id: CxRequestId, answer: Result<CxAnswer, CxError>) {
        let impi = match self.in_progress.remove(&id) {
            None => return,
            Some(InProgress::Session(transaction)) => {
                self.on_session_saa(now, transaction, answer);
                return;
            }
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

    /// TS 24.229 5.4.1.4: expiry of contacts; 5.4.1.2.3: expiry of challenges.
    pub(super) fn expire(&mut self, now: Instant) {
        let busy: &BTreeMap<Impi, Busy> = &self.busy;
        let mut notices = Vec::new();
        while let Some(expired) = self.registrar.pop_expired(now, |impi| busy.contains_key(impi)) {
            self.counters.count("ims_scscf_expirations_total", "binding");
            let Expired { impi, unbound } = expired;
            let contact = unbound.removed.first().map(|b| &b.contact);
            tracing::info!(?impi, ?contact, "binding expired");
            self.changes.push(unbound.change(&impi, ContactEvent::Expired));
            notices.extend(Notice::of(
                impi,
                unbound,
                ServerAssignmentType::TimeoutDeregistration,
            ));
        }
        self.sessions.limits.expire(now);
        for _ in 0..self.calls.expire(now) {
            self.counters.count("ims_scscf_expirations_total", "dialog");
        }
        for _ in 0..self.subscriptions.expire(now) {
            self.counters
                .count("ims_scscf_expirations_total", "reg_subscription");
        }
        while let Some((impi, challenge)) = self.challenges.pop_expired(now) {
            self.counters.count("ims_scscf_expirations_total", "challenge");
            let is_unanswered = challenge.progress == Progress::Unanswered;
            // A REGISTER in progress tells the HSS itself how it ends.
            let is_pending = is_unanswered && !busy.contains_key(&impi);
            let home_realm = &self.settings.home_realm;
            if is_pending && !may_mean_a_registered_one(&self.registrar, home_realm, &challenge.impu) {
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
}
