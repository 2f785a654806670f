//! Machine: the end of a forwarded INVITE that is not wanted any more (RFC 3261 9.1, 16.8, 16.10).

use std::time::Instant;

use bytes::Bytes;

use crate::sip::StatusCode;
use crate::transaction::ClientTransactionId;

use super::core::{CoreTimer, ProxyCore};
use super::forward::{Cancel, Forward, Stage};
use super::{ForwardFailure, ForwardId};

impl ProxyCore {
    /// RFC 3261 16.8: "If the client transaction has received a provisional response, the proxy MUST generate a
    /// CANCEL request matching that transaction. If not, the proxy MUST behave as if the transaction received a
    /// 408".
    pub(super) fn timer_c_fired(&mut self, now: Instant, id: ForwardId) {
        self.counters.count("ims_sip_timeouts_total", "C");
        let Some(forward) = self.forwards.get(&id) else {
            return;
        };
        let Stage::Trying { client, .. } = forward.stage else {
            return;
        };
        if !self.layer.is_proceeding(client) {
            self.give_up(id, client);
        } else if forward.cancel != Cancel::Sent {
            self.send_cancel(now, id, client);
        }
    }

    pub(super) fn cancel_forward(&mut self, now: Instant, id: ForwardId, reason: Option<&str>) {
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        if !forward.is_invite || forward.cancel != Cancel::No {
            return;
        }
        forward.cancel_reason = reason.map(Box::from);
        match forward.stage {
            Stage::Resolving(question) => {
                self.resolving.remove(&question);
                self.timers.cancel(&CoreTimer::Resolve(question));
                self.answer_locally(id, StatusCode::REQUEST_TERMINATED);
            }
            Stage::Trying { client, .. } if self.layer.is_proceeding(client) => {
                self.send_cancel(now, id, client)
            }
            Stage::Trying { .. } => forward.cancel = Cancel::Wanted,
            Stage::Accepted | Stage::Over => {}
        }
    }

    pub(super) fn send_cancel(&mut self, now: Instant, id: ForwardId, client: ClientTransactionId) {
        let Some(forward) = self.forwards.get_mut(&id) else {
            return;
        };
        forward.cancel = Cancel::Sent;
        let (parent, interface) = (forward.parent, forward.interface);
        let own = forward.cancel_reason.take();
        let mut reasons = parent
            .map(|parent| self.layer.cancel_reasons(parent))
            .unwrap_or_default();
        if reasons.is_empty() {
            reasons.extend(own.map(|reason| Bytes::from(reason.into_string())));
        }
        let wait = self.wire(interface, true).timers.t1_times_64();
        self.timers.set(CoreTimer::CancelUnanswered(id), now + wait);
        self.timers.cancel(&CoreTimer::C(id));
        self.layer.send_cancel(now, client, &reasons);
    }

    /// RFC 3261 9.1: without a final response 64*T1 after the CANCEL, the request is "considered cancelled".
    pub(super) fn cancel_unanswered(&mut self, id: ForwardId) {
        let Some(Forward {
            stage: Stage::Trying { client, .. },
            ..
        }) = self.forwards.get(&id)
        else {
            return;
        };
        let client = *client;
        self.counters.count("ims_sip_timeouts_total", "cancel");
        self.give_up(id, client);
    }

    fn give_up(&mut self, id: ForwardId, client: ClientTransactionId) {
        self.layer.drop_client(client);
        self.by_client.remove(&client);
        self.fail(id, ForwardFailure::Timeout);
    }
}
