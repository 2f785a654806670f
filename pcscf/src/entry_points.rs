//! Engine: which entry point of the home network gets a REGISTER, and which one is next (TS 24.229 5.2.2.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ims_common::sip::{Response, StatusCode, UriBuf};

/// How long one REGISTER may look for an entry point that takes it. The UE's own timer F on Gm is 128 s
/// (TS 24.229 table 7.7.1); an answer after that reaches nobody.
const BUDGET: Duration = Duration::from_secs(100);

/// The journey of one REGISTER over the configured entry points.
#[derive(Clone, Debug)]
pub(crate) struct EntryPointSearch {
    untried: VecDeque<UriBuf>,
    give_up_at: Instant,
    unavailable: Option<Response>,
}

/// What an answer of an entry point means for the search.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It is the answer to the UE.
    Answer(Response),
    /// The entry point cannot serve; ask the next.
    Next,
}

impl EntryPointSearch {
    /// Starts at the first of the list.
    pub(crate) fn new(now: Instant, entry_points: &[UriBuf]) -> Self {
        Self {
            untried: entry_points.iter().cloned().collect(),
            give_up_at: now + BUDGET,
            unavailable: None,
        }
    }

    /// The entry point to try now; `None` when all were tried or the time is over.
    pub(crate) fn next(&mut self, now: Instant) -> Option<UriBuf> {
        if now >= self.give_up_at {
            return None;
        }
        self.untried.pop_front()
    }

    /// TS 24.229 5.2.2.1: 3xx and 480 send the REGISTER to another entry point; all else is for the UE.
    pub(crate) fn on_final(&mut self, response: Response) -> Verdict {
        let code = response.status().as_u16();
        if code == StatusCode::TEMPORARILY_UNAVAILABLE.as_u16() {
            self.unavailable = Some(response);
            Verdict::Next
        } else if (300..400).contains(&code) {
            Verdict::Next
        } else {
            Verdict::Answer(response)
        }
    }

    /// The 480 that was heard on the way, when the search ends without another answer: the home network is
    /// there and said why. `None` means 504.
    pub(crate) fn into_last_word(self) -> Option<Response> {
        self.unavailable
    }
}
