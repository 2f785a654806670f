//! Machine: one request towards several next hops, with all that happens in between (RFC 3261 16.6 to 16.10).

use std::collections::BTreeSet;
use std::time::Instant;

use crate::net::Interface;
use crate::sip::{HeaderName, Request, StatusCode};
use crate::transaction::ServerTransactionId;

use super::core::ProxyCore;
use super::forward::Outcome;
use super::receive::max_breadth;
use super::response_context::{Answer, ResponseContext, Verdict, upstream_status};
use super::{ForwardId, NextHopTarget};

/// RFC 5393 5.3.3: "If a proxy receives a request without Max-Breadth, it SHOULD be treated as 60".
const MAX_BREADTH: u32 = 60;

/// A request that the core carries on its own.
#[derive(Debug)]
pub(super) struct Relay {
    context: ResponseContext,
    /// Forwards that may still say something: pending ones, and INVITEs within timer M.
    alive: BTreeSet<ForwardId>,
}

impl ProxyCore {
    /// Carries a request to one or more next hops at once and its best answer back: forking, CANCEL, timer C,
    /// aggregation of challenges. Nothing of it comes to the node as an event; the final response is given here.
    ///
    /// For non-INVITE requests without any answer nothing is sent upstream (RFC 4320 4.2).
    pub fn relay(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: Request,
        targets: Vec<NextHopTarget>,
        interface: Interface,
    ) {
        if !self.layer.awaits_final(transaction) || self.relays.contains_key(&transaction) {
            self.counters
                .count("ims_sip_responses_dropped_total", "relay_after_final");
            return;
        }
        let Ok(breadth) = split_breadth(&request, targets.len()) else {
            self.counters.count("ims_sip_refusals_total", "max_breadth");
            self.reject(now, transaction, StatusCode::MAX_BREADTH_EXCEEDED);
            return;
        };
        if targets.is_empty() {
            self.reject(now, transaction, StatusCode::TEMPORARILY_UNAVAILABLE);
            return;
        }
        let branches: Vec<(ForwardId, NextHopTarget)> = targets
            .into_iter()
            .map(|target| (self.fresh_forward_id(), target))
            .collect();
        let ids = || branches.iter().map(|(id, _)| *id);
        let relay = Relay {
            context: ResponseContext::new(ids()),
            alive: ids().collect(),
        };
        self.relays.insert(transaction, relay);
        for ((id, target), breadth) in branches.into_iter().zip(breadth) {
            let request = branch_request(&request, &target, breadth);
            self.start_forward(now, id, Some(transaction), request, target.hop, interface);
        }
        self.pump(now);
    }

    pub(super) fn relay_outcome(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        branch: ForwardId,
        outcome: Outcome,
    ) {
        let Some(relay) = self.relays.get_mut(&transaction) else {
            return;
        };
        let answer = match outcome {
            Outcome::Response(response) if response.status().is_provisional() => {
                if relay.context.passes_provisional() {
                    self.respond_inner(now, transaction, &response);
                }
                return;
            }
            Outcome::Response(response) => Answer::Response(response),
            Outcome::Failed(failure) => Answer::of_failure(failure),
        };
        match relay.context.on_answer(branch, answer) {
            Verdict::Wait | Verdict::Ignore => {}
            Verdict::Relay(response) => {
                self.respond_inner(now, transaction, &response);
                self.cancel_relay(now, transaction);
            }
            Verdict::CancelOthers => self.cancel_relay(now, transaction),
            Verdict::Finish(best) => self.finish_relay(now, transaction, &best),
        }
        self.forget_relay_if_over(transaction);
    }

    fn finish_relay(&mut self, now: Instant, transaction: ServerTransactionId, best: &Answer) {
        match best {
            Answer::Response(response) if upstream_status(response.status()) == response.status() => {
                self.respond_inner(now, transaction, response);
            }
            Answer::Response(_) | Answer::Local(_) => {
                // A local 408 to a non-INVITE request ends as silence there (RFC 4320 4.2).
                self.reject_with(now, transaction, upstream_status(best.status()), |reply| reply);
            }
        }
    }

    /// RFC 3261 16.10 and 16.7 step 10: all branches without a final response are cancelled.
    pub(super) fn cancel_relay(&mut self, now: Instant, transaction: ServerTransactionId) {
        let pending: Vec<ForwardId> = self
            .relays
            .get(&transaction)
            .map(|relay| relay.context.pending().collect())
            .unwrap_or_default();
        for branch in pending {
            self.cancel_forward(now, branch);
        }
    }

    pub(super) fn relay_released(&mut self, transaction: ServerTransactionId, branch: ForwardId) {
        if let Some(relay) = self.relays.get_mut(&transaction) {
            relay.alive.remove(&branch);
        }
        self.forget_relay_if_over(transaction);
    }

    fn forget_relay_if_over(&mut self, transaction: ServerTransactionId) {
        let is_over = self
            .relays
            .get(&transaction)
            .is_some_and(|relay| relay.alive.is_empty() && relay.context.pending().next().is_none());
        if is_over {
            self.relays.remove(&transaction);
        }
    }
}

/// RFC 3261 16.6 steps 1, 2 and 6 for one branch.
fn branch_request(request: &Request, target: &NextHopTarget, breadth: Option<u32>) -> Request {
    let mut edit = request.edit();
    let uri = target.request_uri.as_ref().map(ToString::to_string);
    if let Some(uri) = &uri {
        edit = edit.request_uri(uri);
    }
    for route in target.route.iter().rev() {
        edit = edit.push_front(HeaderName::Route, route);
    }
    if let Some(breadth) = breadth {
        edit = edit.set(HeaderName::MaxBreadth, breadth);
    }
    edit.finish_request()
}

/// Too many branches for the breadth that is left.
struct BreadthExceeded;

/// RFC 5393 5.3.3: "the sum of the values over all parallel branches MUST NOT exceed that of the request". One
/// branch keeps what it has.
fn split_breadth(request: &Request, branches: usize) -> Result<Vec<Option<u32>>, BreadthExceeded> {
    let branches_count = u32::try_from(branches).map_err(|_| BreadthExceeded)?;
    if branches_count <= 1 {
        return Ok(vec![None; branches]);
    }
    let breadth = max_breadth(request).unwrap_or(MAX_BREADTH);
    if branches_count > breadth {
        return Err(BreadthExceeded);
    }
    let share = breadth / branches_count;
    let extra = breadth % branches_count;
    Ok((0..branches_count)
        .map(|at| Some(share + u32::from(at < extra)))
        .collect())
}
