//! Machine: the S-CSCF's requests other than REGISTER: those in progress, and the one place where each is answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::net::{Flow, Interface};
use ims_common::node::TimerTable;
use ims_common::proxy::{ForkAnswer, NextHopTarget, ServerTransactionId};
use ims_common::sip::Request;

use super::Scscf;
use crate::reject::RequestReject;
use crate::sessions::{self, Reaction, Session, Step};

/// How long further 2xx of an INVITE may come (timer M of RFC 6026 7.2).
const TIMER_M: Duration = Duration::from_secs(32);

/// Requests whose answers are awaited.
#[derive(Debug, Default)]
pub(super) struct Running {
    sessions: BTreeMap<ServerTransactionId, Box<Session>>,
    timers: TimerTable<ServerTransactionId>,
}

impl Running {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn take(&mut self, transaction: ServerTransactionId) -> Option<Box<Session>> {
        self.timers.cancel(&transaction);
        self.sessions.remove(&transaction)
    }

    fn put(&mut self, transaction: ServerTransactionId, session: Box<Session>) {
        self.sessions.insert(transaction, session);
    }
}

impl Scscf {
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) {
        let step = sessions::on_request(&mut self.context(now, &mut Vec::new()), request, flow);
        self.take_session_step(now, transaction, step);
    }

    fn take_session_step(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        step: Result<Step, RequestReject>,
    ) {
        if !self.core.awaits_final(transaction) {
            return;
        }
        match step {
            Ok(Step::Answer(response)) => {
                self.counters.count("ims_scscf_requests_total", "answered");
                self.core.respond(now, transaction, response);
            }
            Ok(Step::Follow(request, hop)) => {
                self.counters.count("ims_scscf_requests_total", "relayed");
                let targets = vec![NextHopTarget::unchanged(hop)];
                self.core.relay(now, transaction, request, targets, Interface::Mw);
            }
            Ok(Step::Ask(..)) => {}
            Ok(Step::Fork(session, request, plan)) => {
                self.counters.count("ims_scscf_requests_total", "served");
                self.running.put(transaction, session);
                self.core.fork(now, transaction, request, plan, Interface::Mw);
            }
            Err(reject) => self.refuse_request(now, transaction, reject),
        }
    }

    pub(super) fn on_forked(&mut self, now: Instant, transaction: ServerTransactionId, answer: ForkAnswer) {
        let Some(session) = self.running.take(transaction) else {
            return;
        };
        match sessions::on_answer(&mut self.context(now, &mut Vec::new()), session, answer) {
            Ok(Reaction::Provisional(session, response)) => {
                self.running.put(transaction, session);
                self.core.respond(now, transaction, response);
            }
            Ok(Reaction::Success(session, response)) => {
                self.running.put(transaction, session);
                self.running.timers.set(transaction, now + TIMER_M);
                self.core.respond(now, transaction, response);
            }
            Ok(Reaction::Final(response)) => self.core.respond(now, transaction, response),
            Ok(Reaction::Instead(step)) => self.take_session_step(now, transaction, Ok(step)),
            Err(reject) => self.refuse_request(now, transaction, reject),
        }
    }

    pub(super) fn expire_sessions(&mut self, now: Instant) {
        while let Some(transaction) = self.running.timers.pop_expired(now) {
            self.running.take(transaction);
        }
    }

    fn refuse_request(&mut self, now: Instant, transaction: ServerTransactionId, reject: RequestReject) {
        self.counters.count("ims_scscf_requests_total", reject.label());
        let status = reject.status();
        tracing::info!(
            ?reject,
            status = status.as_u16(),
            clause = "TS 24.229 5.4.3",
            "request refused"
        );
        self.core.reject(now, transaction, status);
    }

    pub(super) fn on_ack(&mut self, now: Instant, request: &Request) {
        let next = sessions::on_ack(&self.context(now, &mut Vec::new()), request);
        if let Some((request, hop)) = next {
            self.core.forward_ack(now, request, hop, Interface::Mw);
        }
    }
}
