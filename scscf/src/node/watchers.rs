//! Machine: the S-CSCF towards those who watch registrations: SUBSCRIBEs in, NOTIFYs out (TS 24.229 5.4.2).

use std::time::Instant;

use ims_common::net::{Flow, Interface};
use ims_common::proxy::{ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{Request, Response};
use ims_common::token;

use super::{Originated, Scscf};
use crate::reg_event::{self, Landing};

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
        let Some(Originated::Notify(id)) = self.originated.remove(&forward) else {
            return;
        };
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

    /// Makes NOTIFYs of what has happened to registrations; says whether there was any.
    fn tell_changes(&mut self, now: Instant) -> bool {
        while let Some(change) = self.changes.pop() {
            reg_event::on_change(&mut self.context(now, &mut Vec::new()), &change);
        }
        let mut has_sent = false;
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
}
