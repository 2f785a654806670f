//! Procedure: a request other than REGISTER on its way through the P-CSCF, and its answers back across the trust
//! boundary (TS 24.229 5.2.6; RFC 3261 16.7).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::net::Interface;
use ims_common::node::TimerTable;
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{Method, Request, Response};
use tracing::info;

use crate::node::Pcscf;
use crate::reject::Reject;
use crate::trust_boundary::{response_towards_home, response_towards_ue};

/// How long further 2xx of an INVITE may come: timer M on the slower side, 64*T1 of Gm (RFC 6026 7.2).
const TIMER_M: Duration = Duration::from_secs(128);

/// Requests whose answers are awaited.
#[derive(Debug, Default)]
pub(crate) struct Passages {
    by_forward: BTreeMap<ForwardId, Passage>,
    timer_m: TimerTable<ForwardId>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Passage {
    transaction: ServerTransactionId,
    method: Method,
    /// The side that the request left by.
    out: Interface,
}

impl Passages {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_forward.len()
    }

    /// When the next one is forgotten.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timer_m.next()
    }

    /// Another one takes its place.
    pub(crate) fn forget(&mut self, forward: ForwardId) {
        self.timer_m.cancel(&forward);
        self.by_forward.remove(&forward);
    }

    /// Forgets answered INVITEs of which no further 2xx will come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(forward) = self.timer_m.pop_expired(now) {
            self.by_forward.remove(&forward);
        }
    }
}

impl Pcscf {
    /// Sends a request on; its answers come to [`Pcscf::on_passage_response`].
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: Request,
        hop: NextHop,
        out: Interface,
    ) -> ForwardId {
        let method = request.method();
        let forward = self.core.forward(now, request, hop, out);
        let passage = Passage {
            transaction,
            method,
            out,
        };
        self.passages.by_forward.insert(forward, passage);
        forward
    }

    /// An answer, marked for the side that it goes to.
    pub(crate) fn on_passage_response(&mut self, now: Instant, forward: ForwardId, response: &Response) {
        if self.on_ecscf_response(now, forward, response) {
            return;
        }
        let Some(passage) = self.passages.by_forward.get(&forward) else {
            return;
        };
        self.emergency_callers.heard(now, response);
        self.restorations.heard(forward);
        let transaction = passage.transaction;
        let towards = match passage.out {
            Interface::Mw => response_towards_ue(response),
            Interface::Gm | Interface::GmProtected => response_towards_home(response),
        };
        let status = response.status();
        if status.is_final() {
            if passage.method == Method::Invite && status.is_success() {
                if self.passages.timer_m.get(&forward).is_none() {
                    self.passages.timer_m.set(forward, now + TIMER_M);
                }
            } else {
                self.passages.by_forward.remove(&forward);
            }
        }
        self.core.respond(now, transaction, towards);
    }

    /// No answer will come.
    pub(crate) fn on_passage_failed(&mut self, now: Instant, forward: ForwardId, cause: ForwardFailure) {
        if self.on_ecscf_failed(now, forward, cause) {
            return;
        }
        let Some(passage) = self.passages.by_forward.remove(&forward) else {
            return;
        };
        if self.restore(now, passage.transaction, forward, cause) {
            return;
        }
        let reject = match (cause, passage.out) {
            (ForwardFailure::Timeout, _) => Reject::Silence,
            (ForwardFailure::Unreachable | ForwardFailure::Unresolvable, Interface::Mw) => {
                Reject::HomeUnreachable
            }
            (ForwardFailure::Unreachable | ForwardFailure::Unresolvable, _) => Reject::FlowFailed,
        };
        info!(method = %passage.method, reject = reject.label(), "request not answered");
        self.counters.count("ims_pcscf_rejected_total", reject.label());
        self.core.reject(now, passage.transaction, reject.status());
    }

    /// RFC 3261 16.10: the CANCEL follows its INVITE; the 487 comes back as an answer.
    pub(crate) fn on_cancelled(&mut self, now: Instant, transaction: ServerTransactionId) {
        let cancelled: Vec<ForwardId> = self
            .passages
            .by_forward
            .iter()
            .filter(|(_, passage)| passage.transaction == transaction)
            .map(|(forward, _)| *forward)
            .collect();
        for forward in cancelled {
            self.emergency_routes.give_up(forward);
            self.core.cancel(now, forward, None);
        }
    }
}
