//! Machine: one request towards several next hops, with all that happens in between (RFC 3261 16.6 to 16.10).

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::net::Interface;
use crate::sip::{HeaderName, Request, StatusCode};
use crate::transaction::ServerTransactionId;

use super::core::{CoreTimer, ProxyCore};
use super::forward::Outcome;
use super::receive::max_breadth;
use super::response_context::{Answer, ResponseContext, Verdict, upstream_status};
use super::{CoreEvent, ForkAnswer, ForkPlan, ForwardFailure, ForwardId, NextHopTarget};

/// RFC 5393 5.3.3: "If a proxy receives a request without Max-Breadth, it SHOULD be treated as 60".
const MAX_BREADTH: u32 = 60;

/// RFC 3326 2, TS 24.229 5.4.3.3: why the branches are cancelled that another one was faster than.
const COMPLETED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Who passes the answers on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    /// The core.
    Carried,
    /// The node, which is told of each.
    Told,
}

/// A request that goes to several next hops.
#[derive(Debug)]
pub(super) struct Relay {
    answers: Answers,
    /// What each branch is made from; `None`: answered, there will be no further ones.
    request: Option<Box<Request>>,
    interface: Interface,
    /// Groups that have not begun.
    later: VecDeque<Vec<NextHopTarget>>,
    group_time: Option<Duration>,
    /// Branches with a lower number are of an earlier fork of the same request, which was given up.
    since: ForwardId,
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
        let plan = ForkPlan::at_once(targets);
        self.start_relay(now, transaction, request, plan, interface, Answers::Carried);
        self.pump(now);
    }

    /// Sends a request to several next hops as [`Self::relay`] does, one group after the other, but each answer comes
    /// to the node as [`CoreEvent::Forked`].
    ///
    /// A request may be forked again, when the fork before it has ended or is not wanted any more: what is left of
    /// that one is cancelled, and its answers are dropped.
    pub fn fork(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: Request,
        plan: ForkPlan,
        interface: Interface,
    ) {
        self.start_relay(now, transaction, request, plan, interface, Answers::Told);
        self.pump(now);
    }

    /// Cancels what is left of a fork. Its best answer still comes. The Reason of the CANCEL that came from upstream
    /// goes along, else `reason`, the value of a Reason header.
    pub fn cancel_fork(&mut self, now: Instant, transaction: ServerTransactionId, reason: Option<&str>) {
        self.cancel_relay(now, transaction, reason);
        self.pump(now);
    }

    fn start_relay(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: Request,
        plan: ForkPlan,
        interface: Interface,
        answers: Answers,
    ) {
        let is_carried = |relay: &Relay| relay.answers == Answers::Carried;
        if !self.layer.awaits_final(transaction) || self.relays.get(&transaction).is_some_and(is_carried) {
            self.counters
                .count("ims_sip_responses_dropped_total", "relay_after_final");
            return;
        }
        self.cancel_relay(now, transaction, None);
        let mut groups: VecDeque<_> = plan
            .groups
            .into_iter()
            .filter(|group| !group.is_empty())
            .collect();
        let Some(first) = groups.pop_front() else {
            self.reject(now, transaction, StatusCode::TEMPORARILY_UNAVAILABLE);
            return;
        };
        let relay = Relay {
            answers,
            request: Some(Box::new(request)),
            interface,
            later: groups,
            group_time: plan.group_time,
            since: self.fresh_forward_id(),
            context: ResponseContext::default(),
            alive: BTreeSet::new(),
        };
        self.relays.insert(transaction, relay);
        self.begin_group(now, transaction, first);
    }

    fn begin_group(&mut self, now: Instant, transaction: ServerTransactionId, targets: Vec<NextHopTarget>) {
        let ids: Vec<ForwardId> = targets.iter().map(|_| self.fresh_forward_id()).collect();
        let Some(relay) = self.relays.get_mut(&transaction) else {
            return;
        };
        let Some(request) = relay.request.as_deref().cloned() else {
            return;
        };
        let Ok(breadth) = split_breadth(&request, targets.len()) else {
            self.counters.count("ims_sip_refusals_total", "max_breadth");
            let relay = self.relays.remove(&transaction);
            self.reject(now, transaction, StatusCode::MAX_BREADTH_EXCEEDED);
            if relay.is_some_and(|relay| relay.answers == Answers::Told) {
                // The answer was given; the node is told that no other comes.
                let answer = ForkAnswer::Failed(ForwardFailure::Unreachable);
                self.events.push_back(CoreEvent::Forked { transaction, answer });
            }
            return;
        };
        let has_more = !relay.later.is_empty();
        relay.context.begin(ids.iter().copied(), has_more);
        relay.alive.extend(&ids);
        let interface = relay.interface;
        let group_time = relay.group_time.filter(|_| has_more);
        match group_time {
            Some(time) => self.timers.set(CoreTimer::Group(transaction), now + time),
            None => {
                self.timers.cancel(&CoreTimer::Group(transaction));
            }
        }
        for ((id, target), breadth) in ids.into_iter().zip(targets).zip(breadth) {
            let request = branch_request(&request, &target, breadth);
            self.start_forward(now, id, Some(transaction), request, target.hop, interface);
        }
    }

    /// The branches of a group have had their time.
    pub(super) fn group_overdue(&mut self, now: Instant, transaction: ServerTransactionId) {
        self.counters.count("ims_sip_timeouts_total", "group");
        self.cancel_branches(now, transaction, None);
        self.begin_next_group(now, transaction);
    }

    fn begin_next_group(&mut self, now: Instant, transaction: ServerTransactionId) {
        let relay = self.relays.get_mut(&transaction);
        if let Some(targets) = relay.and_then(|relay| relay.later.pop_front()) {
            self.begin_group(now, transaction, targets);
        }
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
        if branch < relay.since {
            self.counters
                .count("ims_sip_responses_dropped_total", "of_an_earlier_fork");
            return;
        }
        let answer = match outcome {
            Outcome::Response(response) if response.status().is_provisional() => {
                if relay.context.passes_provisional() {
                    self.relayed(now, transaction, Answer::Response(response));
                }
                return;
            }
            Outcome::Response(response) => Answer::Response(response),
            Outcome::Failed(failure) => Answer::Failed(failure),
        };
        match relay.context.on_answer(branch, answer) {
            Verdict::Wait | Verdict::Ignore => {}
            Verdict::Relay(response) => {
                self.relayed(now, transaction, Answer::Response(response));
                self.cancel_relay(now, transaction, Some(COMPLETED_ELSEWHERE));
            }
            Verdict::CancelOthers(status) => {
                let reason = format!("SIP;cause={}", status.as_u16());
                self.cancel_relay(now, transaction, Some(&reason));
            }
            Verdict::NextGroup => self.begin_next_group(now, transaction),
            Verdict::Finish(best) => {
                self.timers.cancel(&CoreTimer::Group(transaction));
                self.relayed(now, transaction, best);
            }
        }
        self.forget_relay_if_over(transaction);
    }

    /// A branch has reached somebody: of interest to the node alone.
    pub(super) fn tell_trying(&mut self, branch: ForwardId) {
        let Some(transaction) = self.forwards.get(&branch).and_then(|forward| forward.relay) else {
            return;
        };
        let relay = self.relays.get(&transaction);
        if relay.is_some_and(|relay| relay.answers == Answers::Told && branch >= relay.since) {
            let answer = ForkAnswer::Trying;
            self.events.push_back(CoreEvent::Forked { transaction, answer });
        }
    }

    /// Passes an answer on, or tells the node of it.
    fn relayed(&mut self, now: Instant, transaction: ServerTransactionId, answer: Answer) {
        let answers = self.relays.get(&transaction).map(|relay| relay.answers);
        match (answers, answer) {
            (Some(Answers::Told), answer) => {
                let answer = match answer {
                    Answer::Response(response) => ForkAnswer::Response(response),
                    Answer::Failed(failure) => ForkAnswer::Failed(failure),
                };
                self.events.push_back(CoreEvent::Forked { transaction, answer });
            }
            (_, Answer::Response(response)) if upstream_status(response.status()) == response.status() => {
                self.respond_inner(now, transaction, &response);
            }
            (_, best) => {
                // A local 408 to a non-INVITE request ends as silence there (RFC 4320 4.2).
                self.reject_with(now, transaction, upstream_status(best.status()), |reply| reply);
            }
        }
    }

    /// The INVITE was cancelled from upstream; whether the node has to be told.
    pub(super) fn cancelled_upstream(&mut self, now: Instant, transaction: ServerTransactionId) -> bool {
        self.cancel_relay(now, transaction, None);
        let relay = self.relays.get(&transaction);
        relay.is_none_or(|relay| relay.answers == Answers::Told)
    }

    /// RFC 3261 16.10 and 16.7 step 10: all branches without a final response are cancelled, and no further ones
    /// begin.
    fn cancel_relay(&mut self, now: Instant, transaction: ServerTransactionId, reason: Option<&str>) {
        let Some(relay) = self.relays.get_mut(&transaction) else {
            return;
        };
        relay.later.clear();
        relay.context.no_more();
        self.timers.cancel(&CoreTimer::Group(transaction));
        self.cancel_branches(now, transaction, reason);
    }

    fn cancel_branches(&mut self, now: Instant, transaction: ServerTransactionId, reason: Option<&str>) {
        let pending: Vec<ForwardId> = self
            .relays
            .get(&transaction)
            .map(|relay| relay.context.pending().collect())
            .unwrap_or_default();
        for branch in pending {
            self.cancel_forward(now, branch, reason);
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
            .is_some_and(|relay| relay.alive.is_empty() && relay.context.is_answered());
        if is_over {
            self.relays.remove(&transaction);
        } else if let Some(relay) = self.relays.get_mut(&transaction)
            && relay.context.is_answered()
        {
            relay.request = None;
        }
    }
}

/// RFC 3261 16.6 steps 1, 2 and 6 for one branch.
fn branch_request(request: &Request, target: &NextHopTarget, breadth: Option<u32>) -> Request {
    if target.request_uri.is_none() && target.route.is_empty() && breadth.is_none() {
        return request.clone();
    }
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
