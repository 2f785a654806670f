//! Procedure: a request on its way to the S-CSCF that was found for it, and its answers (TS 24.229 5.3.2.2).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::identity::Impu;
use ims_common::net::Interface;
use ims_common::node::TimerTable;
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{HeaderName, Method, Request, Response, UriBuf};
use tracing::info;

use crate::node::Icscf;
use crate::reject::Reject;
use crate::terminating::{AwaitLia, SessionCase};

/// How long further 2xx of an INVITE may come (timer M of RFC 6026 7.2).
const TIMER_M: Duration = Duration::from_secs(32);

/// A request and the S-CSCFs that may serve it.
#[derive(Debug)]
pub(crate) struct Passage {
    /// Owed an answer.
    pub(crate) transaction: ServerTransactionId,
    /// Without the Route to an S-CSCF.
    pub(crate) request: Request,
    /// For the log.
    pub(crate) identity: Impu,
    /// Whose S-CSCF it is.
    pub(crate) case: SessionCase,
    /// In the order in which to try.
    pub(crate) candidates: std::vec::IntoIter<UriBuf>,
    /// Those that were tried.
    pub(crate) tried: Vec<UriBuf>,
    /// Whether the HSS may be asked for others.
    pub(crate) reselectable: bool,
}

/// Requests whose answers are awaited.
#[derive(Debug, Default)]
pub(crate) struct Passages {
    by_forward: BTreeMap<ForwardId, Passage>,
    timer_m: TimerTable<ForwardId>,
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

    /// Forgets answered INVITEs of which no further 2xx will come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(forward) = self.timer_m.pop_expired(now) {
            self.by_forward.remove(&forward);
        }
    }
}

impl Icscf {
    /// TS 24.229 5.3.2.1: Route to the next candidate; without one, `reject` is the answer.
    pub(crate) fn pass_on(&mut self, now: Instant, mut passage: Passage, reject: Reject) {
        let Some(scscf) = passage.candidates.next() else {
            self.refuse(now, passage.transaction, reject);
            return;
        };
        let route = route_to(&scscf, passage.case);
        passage.tried.push(scscf.clone());
        let request = passage
            .request
            .edit()
            .push_front(HeaderName::Route, route)
            .finish_request();
        info!(procedure = "terminating", impu = %passage.identity, scscf = %scscf, method = %request.method(), "request forwarded");
        self.counters.count("ims_icscf_request_total", "forwarded");
        let forward = self
            .core
            .forward(now, request, NextHop::Uri(scscf), Interface::Mw);
        self.passages.by_forward.insert(forward, passage);
    }

    /// An answer of the S-CSCF.
    pub(crate) fn on_passage_response(&mut self, now: Instant, forward: ForwardId, response: Response) {
        let Some(passage) = self.passages.by_forward.get(&forward) else {
            return;
        };
        let transaction = passage.transaction;
        let status = response.status();
        if status.is_final() {
            if passage.request.method() == Method::Invite && status.is_success() {
                if self.passages.timer_m.get(&forward).is_none() {
                    self.passages.timer_m.set(forward, now + TIMER_M);
                }
            } else {
                self.passages.by_forward.remove(&forward);
            }
        }
        self.core.respond(now, transaction, response);
    }

    /// TS 24.229 5.3.2.2, TS 23.380 4.4: an S-CSCF out of reach is followed by the next that may serve; for somebody who
    /// is not registered the HSS is asked who else may. Silence has used up the sender's own time, so 480 (Temporarily
    /// Unavailable) ends it.
    pub(crate) fn on_passage_failed(&mut self, now: Instant, forward: ForwardId, cause: ForwardFailure) {
        let Some(mut passage) = self.passages.by_forward.remove(&forward) else {
            return;
        };
        info!(procedure = "terminating", ?cause, "S-CSCF does not answer");
        if cause == ForwardFailure::Timeout {
            passage.candidates = Vec::new().into_iter();
        } else if passage.reselectable && passage.candidates.len() == 0 {
            self.counters.count("ims_icscf_request_total", "reselection");
            self.locate_user(AwaitLia::once_more(passage));
            return;
        }
        self.pass_on(now, passage, Reject::ScscfUnavailable);
    }

    /// RFC 3261 16.10: the CANCEL follows its INVITE.
    pub(crate) fn cancel_passage(&mut self, now: Instant, transaction: ServerTransactionId) {
        let cancelled: Vec<ForwardId> = self
            .passages
            .by_forward
            .iter()
            .filter(|(_, passage)| passage.transaction == transaction)
            .map(|(forward, _)| *forward)
            .collect();
        for forward in cancelled {
            self.core.cancel(now, forward, None);
        }
    }
}

/// Server-Name as a Route value: loose routing whatever the HSS wrote (TS 24.229 5.3.2.1).
fn route_to(scscf: &UriBuf, case: SessionCase) -> String {
    let case = match case {
        SessionCase::Originating => ";orig",
        SessionCase::Terminating => "",
    };
    let lr = if scscf.as_uri().param("lr").is_some() {
        ""
    } else {
        ";lr"
    };
    format!("<{scscf}{lr}{case}>")
}
