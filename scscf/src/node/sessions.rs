//! Machine: the S-CSCF's requests other than REGISTER: the one place where each is answered.

use std::time::Instant;

use hss_client::cx::{CxAnswer, CxError};
use ims_common::net::{Flow, Interface, Naptr, NaptrId, NaptrRequest, SipOutput};
use ims_common::proxy::{ForkAnswer, NextHopTarget, ServerTransactionId};
use ims_common::sip::{HeaderName, Request, StatusCode};

use super::Scscf;
use crate::call_limits::Full;
use crate::reject::RequestReject;
use crate::sessions::{self, Await, Expired, Reaction, Session, Step};

impl Scscf {
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) {
        let mut notices = Vec::new();
        let ctx = &mut self.context(now, &mut notices);
        let step = sessions::on_request(ctx, transaction, request, flow);
        if matches!(step, Ok(Step::Follow(..))) {
            self.calls.on_request(now, request);
            self.sessions.records.on_request(now, request);
            self.sessions.limits.on_request(now, request);
        }
        self.take_session_step(now, transaction, step);
    }

    fn take_session_step(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        step: Result<Step, RequestReject>,
    ) {
        // Whoever asked may be gone by now.
        if !self.core.awaits_final(transaction) {
            self.sessions.limits.end(transaction);
            let records = &mut self.sessions.records;
            return records.on_reject(now, transaction, StatusCode::REQUEST_TIMEOUT);
        }
        match step {
            Ok(Step::Answer(response)) => {
                self.end_call(transaction);
                self.sessions.records.on_final(now, transaction, &response);
                self.counters.count("ims_scscf_requests_total", "answered");
                self.core.respond(now, transaction, response);
            }
            Ok(Step::Follow(request, hop)) => {
                self.counters.count("ims_scscf_requests_total", "relayed");
                let targets = vec![NextHopTarget::unchanged(hop)];
                self.core.relay(now, transaction, request, targets, Interface::Mw);
            }
            Ok(Step::Ask(session, request)) => {
                self.sessions.running.put(now, session);
                self.ask_for_session(transaction, request);
            }
            Ok(Step::LookUp(session, name)) => {
                self.sessions.running.put(now, session);
                self.last_cx_id += 1;
                let id = NaptrId(self.last_cx_id);
                self.lookups.insert(id, transaction);
                self.sip_outputs
                    .push_back(SipOutput::Naptr(NaptrRequest { id, name }));
            }
            Ok(Step::Fork(session, request, plan)) => {
                let what = match session.awaits {
                    Await::AppServer(_) => "to_application_server",
                    Await::Answer | Await::Saa | Await::Naptr => "served",
                };
                if let Err(full) = self.count_call(&session, &request) {
                    return self.refuse_request(now, transaction, full);
                }
                self.counters.count("ims_scscf_requests_total", what);
                self.begin_call(&session, &request);
                let (records, icscf) = (&mut self.sessions.records, &self.settings.icscf);
                session.note_way(records, &request, &plan, icscf);
                self.sessions.running.put(now, session);
                self.core.fork(now, transaction, request, plan, Interface::Mw);
            }
            Err(reject) => self.refuse_request(now, transaction, reject),
        }
    }

    pub(super) fn on_forked(&mut self, now: Instant, transaction: ServerTransactionId, answer: ForkAnswer) {
        let Some(session) = self.sessions.running.take(transaction) else {
            return self.on_further_answer(now, transaction, &answer);
        };
        if let ForkAnswer::Response(response) = &answer {
            self.calls.on_response(now, transaction, response);
            self.sessions.records.on_response(now, transaction, response);
            self.sessions.limits.on_response(now, transaction, response);
        }
        match sessions::on_answer(&mut self.context(now, &mut Vec::new()), session, answer) {
            Ok(Reaction::Wait(session)) => self.sessions.running.put(now, session),
            Ok(Reaction::Provisional(session, response)) => {
                self.sessions.running.put(now, session);
                self.core.respond(now, transaction, response);
            }
            Ok(Reaction::Success(answered, response)) => {
                self.sessions.running.put_answered(now, answered);
                self.core.respond(now, transaction, response);
            }
            Ok(Reaction::Final(response)) => {
                self.end_call(transaction);
                self.sessions.records.on_final(now, transaction, &response);
                self.core.respond(now, transaction, response);
            }
            Ok(Reaction::Instead(step)) => self.take_session_step(now, transaction, Ok(step)),
            Err(reject) => self.refuse_request(now, transaction, reject),
        }
    }

    /// After a 2xx to an INVITE.
    fn on_further_answer(&mut self, now: Instant, transaction: ServerTransactionId, answer: &ForkAnswer) {
        let ForkAnswer::Response(response) = answer else {
            return;
        };
        let Some(answered) = self.sessions.running.take_answered(transaction) else {
            return;
        };
        self.calls.on_response(now, transaction, response);
        self.sessions.records.on_response(now, transaction, response);
        self.sessions.limits.on_response(now, transaction, response);
        let response = sessions::on_further_answer(&self.context(now, &mut Vec::new()), &answered, response);
        self.sessions.running.put_back(answered);
        self.core.respond(now, transaction, response);
    }

    /// What was forked is cancelled by the core, and its answer still comes.
    pub(super) fn on_cancelled(&mut self, now: Instant, transaction: ServerTransactionId) {
        let Some(session) = self.sessions.running.get_mut(transaction) else {
            return;
        };
        session.is_cancelled = true;
        self.sessions.records.on_cancel(transaction);
        let Some(session) = self.sessions.running.get_mut(transaction) else {
            return;
        };
        if matches!(session.awaits, Await::Saa | Await::Naptr) {
            self.sessions.running.take(transaction);
            self.lookups.retain(|_, of| *of != transaction);
            self.refuse_request(now, transaction, RequestReject::Cancelled);
        }
    }

    pub(super) fn on_session_saa(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        answer: Result<CxAnswer, CxError>,
    ) {
        let Some(session) = self.sessions.running.take(transaction) else {
            return;
        };
        let mut notices = Vec::new();
        let step = sessions::on_saa(&mut self.context(now, &mut notices), session, answer);
        for notice in notices {
            self.send_notice(now, notice);
        }
        self.take_session_step(now, transaction, step);
    }

    /// An answer of DNS about a number.
    pub(super) fn on_naptr(&mut self, now: Instant, id: NaptrId, records: &[Naptr]) {
        let Some(transaction) = self.lookups.remove(&id) else {
            return;
        };
        let waits = |session: &mut Session| matches!(session.awaits, Await::Naptr);
        if !self.sessions.running.get_mut(transaction).is_some_and(waits) {
            return;
        }
        if let Some(session) = self.sessions.running.take(transaction) {
            let step = sessions::on_naptr(&mut self.context(now, &mut Vec::new()), session, records);
            self.take_session_step(now, transaction, step);
        }
    }

    pub(super) fn expire_sessions(&mut self, now: Instant) {
        while let Some(expired) = self.sessions.running.pop_expired(now) {
            let session = match expired {
                Expired::Session(session) => session,
                Expired::Answered(transaction) => {
                    self.end_call(transaction);
                    self.sessions.records.end_transaction(transaction);
                    continue;
                }
            };
            let transaction = session.transaction;
            match &session.awaits {
                Await::AppServer(_) => {}
                // DNS is silent.
                Await::Naptr => {
                    self.lookups.retain(|_, of| *of != transaction);
                    let step = sessions::on_naptr(&mut self.context(now, &mut Vec::new()), session, &[]);
                    self.take_session_step(now, transaction, step);
                    continue;
                }
                Await::Saa | Await::Answer => continue,
            }
            self.counters
                .count("ims_scscf_expirations_total", "application_server");
            let step = sessions::on_silence(&mut self.context(now, &mut Vec::new()), session);
            if step.is_err() {
                self.core.cancel_fork(now, transaction, None);
            }
            self.take_session_step(now, transaction, step);
        }
        self.sessions.dialog_ids.expire(now);
        self.sessions.records.expire(now);
        let mut notices = Vec::new();
        while let Some(profile) = self.sessions.held.pop_expired(now) {
            sessions::release(&mut self.context(now, &mut notices), profile);
        }
        for notice in notices {
            self.send_notice(now, notice);
        }
    }

    fn refuse_request(&mut self, now: Instant, transaction: ServerTransactionId, reject: RequestReject) {
        self.end_call(transaction);
        self.counters.count("ims_scscf_requests_total", reject.label());
        let status = reject.status();
        self.sessions.records.on_reject(now, transaction, status);
        tracing::info!(
            ?reject,
            status = status.as_u16(),
            clause = "TS 24.229 5.4.3",
            "request refused"
        );
        let words = match reject {
            RequestReject::Blocked(told) => self.settings.blocking.reason(told),
            _ => None,
        };
        let words = words.map(str::to_owned);
        let warning = words.as_ref().map(|words| {
            let host = self.settings.server_name.as_uri().host().to_string();
            format!("399 {host} \"{words}\"")
        });
        let is_full = matches!(reject, RequestReject::TrunksFull(_) | RequestReject::CallsFull);
        let retry_after =
            (is_full && status == StatusCode::SERVICE_UNAVAILABLE).then(|| self.core.retry_after());
        self.core.reject_saying(now, transaction, status, |mut reply| {
            if let (Some(words), Some(warning)) = (&words, &warning) {
                reply = reply.reason(words).header(HeaderName::Warning, warning);
            }
            if let Some(seconds) = retry_after {
                reply = reply.header(HeaderName::RetryAfter, seconds);
            }
            reply
        });
    }

    /// No further answer to an INVITE comes.
    pub(super) fn end_call(&mut self, transaction: ServerTransactionId) {
        self.calls.end(transaction);
        self.sessions.limits.end(transaction);
    }

    /// From now on a call counts, where calls are limited.
    fn count_call(&mut self, session: &Session, sent: &Request) -> Result<(), RequestReject> {
        let limits = &mut self.sessions.limits;
        let counted = limits.begin(session.transaction, session.holders(), &session.received, sent);
        counted.map_err(|full| match full {
            Full::Subscriber => RequestReject::SubscriberFull(self.settings.call_limits.subscriber_status),
            Full::Table => RequestReject::CallsFull,
        })
    }

    pub(super) fn on_ack(&mut self, now: Instant, request: &Request) {
        let next = sessions::on_ack(&self.context(now, &mut Vec::new()), request);
        if let Some((request, hop)) = next {
            self.core.forward_ack(now, request, hop, Interface::Mw);
        }
    }
}
