//! Engine: which answer of several branches goes upstream (RFC 3261 16.7).

use std::collections::BTreeSet;

use crate::sip::{HeaderName, Response, StatusCode};

use super::{ForwardFailure, ForwardId};

/// The final answer of one branch.
#[derive(Debug)]
pub(super) enum Answer {
    /// From downstream.
    Response(Response),
    /// None will come.
    Failed(ForwardFailure),
}

impl Answer {
    /// RFC 3261 16.8 and 16.9: time-outs count as 408, transport errors as 503.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Response(response) => response.status(),
            Self::Failed(failure) => failure.status(),
        }
    }
}

/// What to do about a final answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Other branches may do better.
    Wait,
    /// A 2xx goes upstream at once; the other branches are cancelled.
    Relay(Response),
    /// A 6xx: the other branches are cancelled, it goes upstream when they have ended.
    CancelOthers(StatusCode),
    /// The branches of this group have ended without success: the next group has its turn.
    NextGroup,
    /// All branches have ended; this is the best.
    Finish(Answer),
    /// The question was answered before.
    Ignore,
}

/// The answers to one request that was sent to several next hops.
#[derive(Debug, Default)]
pub(super) struct ResponseContext {
    pending: BTreeSet<ForwardId>,
    best: Option<Answer>,
    /// Branches are to come yet.
    has_more: bool,
    /// Every WWW-Authenticate and Proxy-Authenticate of a 401 or 407 so far.
    challenges: Vec<(HeaderName, Vec<u8>)>,
    is_answered: bool,
}

impl ResponseContext {
    /// Branches begin; `has_more` says whether others come after them.
    pub(super) fn begin(&mut self, branches: impl IntoIterator<Item = ForwardId>, has_more: bool) {
        self.pending.extend(branches);
        self.has_more = has_more;
    }

    /// No other branches will come.
    pub(super) fn no_more(&mut self) {
        self.has_more = false;
    }

    /// Whether the answer is known.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The branches without a final answer.
    pub(super) fn pending(&self) -> impl Iterator<Item = ForwardId> {
        self.pending.iter().copied()
    }

    /// RFC 3261 16.7 step 5: "any provisional response other than 100" goes upstream at once, as long as no final
    /// one went.
    pub(super) fn passes_provisional(&self) -> bool {
        !self.is_answered
    }

    pub(super) fn on_answer(&mut self, branch: ForwardId, answer: Answer) -> Verdict {
        self.pending.remove(&branch);
        if let Answer::Response(response) = &answer
            && response.status().is_success()
        {
            self.is_answered = true;
            return Verdict::Relay(response.clone());
        }
        if self.is_answered {
            return Verdict::Ignore;
        }
        self.collect_challenges(&answer);
        let status = answer.status();
        let is_global = status.class() == 6;
        let is_better = self
            .best
            .as_ref()
            .is_none_or(|best| rank(answer.status()) < rank(best.status()));
        if is_better {
            self.best = Some(answer);
        }
        if self.pending.is_empty() && self.has_more && !is_global {
            return Verdict::NextGroup;
        }
        if self.pending.is_empty() {
            self.is_answered = true;
            return self.best.take().map_or(Verdict::Ignore, |best| {
                Verdict::Finish(self.with_challenges(best))
            });
        }
        if is_global {
            Verdict::CancelOthers(status)
        } else {
            Verdict::Wait
        }
    }

    fn collect_challenges(&mut self, answer: &Answer) {
        let Answer::Response(response) = answer else {
            return;
        };
        if !is_challenge(response.status()) {
            return;
        }
        for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
            self.challenges
                .extend(response.headers(name).map(|value| (name, value.to_vec())));
        }
    }

    /// RFC 3261 16.7 step 7: "If the selected response is a 401 or 407, the proxy MUST collect any WWW-Authenticate
    /// and Proxy-Authenticate header field values from all other 401 and 407 responses received so far".
    fn with_challenges(&self, best: Answer) -> Answer {
        let Answer::Response(response) = best else {
            return best;
        };
        if !is_challenge(response.status()) {
            return Answer::Response(response);
        }
        let mut edit = response.edit();
        for (name, value) in &self.challenges {
            if !response.headers(*name).any(|own| own == value.as_slice()) {
                edit = edit.append(*name, String::from_utf8_lossy(value));
            }
        }
        Answer::Response(edit.finish_response())
    }
}

/// RFC 3261 16.7 step 6: the status under which the best answer goes upstream. "A proxy which receives a 503
/// SHOULD NOT forward it upstream unless it can determine that any subsequent requests it might proxy will also
/// generate a 503": a 500 instead.
pub(super) fn upstream_status(best: StatusCode) -> StatusCode {
    if best == StatusCode::SERVICE_UNAVAILABLE {
        StatusCode::SERVER_INTERNAL_ERROR
    } else {
        best
    }
}

fn is_challenge(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

/// RFC 3261 16.7 step 6: 6xx first, then the lowest class; within 4xx those that tell how to resubmit (401, 407,
/// 415, 420, 484); a 503 only if there is no other 5xx. Lower is better.
fn rank(status: StatusCode) -> (u16, u16) {
    let class = if status.class() == 6 { 0 } else { status.class() };
    let within = match status.as_u16() {
        401 | 407 | 415 | 420 | 484 => 0,
        // A branch that was silent or cancelled says less than one that answered.
        408 | 487 => 2,
        503 => 3,
        _ => 1,
    };
    (class, within)
}
