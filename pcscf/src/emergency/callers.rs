//! Table: UEs without a registration that are in an emergency call: the way to them within that call, and no longer
//! (TS 24.229 5.2.10.2; TS 23.167 7.4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::net::Flow;
use ims_common::node::TimerTable;
use ims_common::sip::{Message, Method, Request, Response};

use crate::contacts::FlowToken;

/// Calls at a time.
const CALLERS_MAX: usize = 4_096;
/// How long a call may go without an answer: timer C is above three minutes (RFC 3261 16.6 step 11).
const UNANSWERED: Duration = Duration::from_secs(240);
/// How long an answered call may go on.
const ANSWERED: Duration = Duration::from_secs(12 * 3_600);
/// How long a call that has ended is remembered, for what is still on its way: 64*T1 towards UEs.
const ENDED: Duration = Duration::from_secs(128);

/// One of them.
#[derive(Clone, Debug)]
struct Caller {
    flow: Flow,
    call_id: Arc<[u8]>,
    answered: bool,
}

/// All of them, by the token in our Record-Route.
#[derive(Debug, Default)]
pub(crate) struct EmergencyCallers {
    by_token: BTreeMap<FlowToken, Caller>,
    by_call: BTreeMap<Arc<[u8]>, FlowToken>,
    timers: TimerTable<FlowToken>,
}

impl EmergencyCallers {
    /// A call begins. `false`: there is no place for it, and no call that nobody has answered could give way.
    pub(crate) fn admit(&mut self, now: Instant, token: FlowToken, flow: Flow, call_id: &[u8]) -> bool {
        if self.by_token.len() >= CALLERS_MAX {
            let unanswered = self.by_token.iter().filter(|(_, caller)| !caller.answered);
            let oldest = unanswered.min_by_key(|(token, _)| self.timers.get(*token));
            let Some(oldest) = oldest.map(|(token, _)| token.clone()) else {
                return false;
            };
            self.timers.cancel(&oldest);
            self.forget(&oldest);
        }
        let call_id: Arc<[u8]> = call_id.into();
        self.by_call.insert(call_id.clone(), token.clone());
        let caller = Caller {
            flow,
            call_id,
            answered: false,
        };
        self.timers.set(token.clone(), now + UNANSWERED);
        self.by_token.insert(token, caller);
        true
    }

    /// The way to a caller, for a request of its call.
    pub(crate) fn way_of(&self, token: &str, request: &Request) -> Option<Flow> {
        let caller = self.by_token.get(token)?;
        is_of(caller, request).then_some(caller.flow)
    }

    /// Whether a request from a UE is of the call with this token.
    pub(crate) fn speaks(&self, token: &str, request: &Request, flow: &Flow) -> bool {
        let caller = self.by_token.get(token);
        caller.is_some_and(|caller| is_of(caller, request) && caller.flow.remote.ip() == flow.remote.ip())
    }

    /// An answer passes by.
    pub(crate) fn heard(&mut self, now: Instant, response: &Response) {
        let call_id = response.call_id().unwrap_or_default();
        let Some(token) = self.by_call.get(call_id).cloned() else {
            return;
        };
        let (Some(caller), Ok(cseq)) = (self.by_token.get_mut(&token), response.cseq()) else {
            return;
        };
        let status = response.status();
        let is_over = match cseq.method {
            Method::Bye => status.is_final(),
            Method::Invite => !caller.answered && status.is_final() && !status.is_success(),
            _ => false,
        };
        if is_over {
            self.timers.set(token, now + ENDED);
        } else if cseq.method == Method::Invite && status.is_success() {
            caller.answered = true;
            self.timers.set(token, now + ANSWERED);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    /// When the next one is forgotten.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Forgets calls that have ended.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(token) = self.timers.pop_expired(now) {
            self.forget(&token);
        }
    }

    fn forget(&mut self, token: &FlowToken) {
        let Some(caller) = self.by_token.remove(token) else {
            return;
        };
        if self.by_call.get(&caller.call_id) == Some(token) {
            self.by_call.remove(&caller.call_id);
        }
    }
}

fn is_of(caller: &Caller, message: &Message) -> bool {
    message.call_id() == Some(&*caller.call_id)
}
