//! Table: requests that were refused without a transaction, so that their copies are refused too (RFC 3261 8.2.7).
//!
//! Whether there is too much to do is asked anew for each message. Without this table a copy of a request could be
//! taken that was refused half a second ago, and one request would have two answers.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::transaction::key::ServerKey;

/// Requests at a time, about 60 octets each. The oldest is forgotten for a new one.
const REQUESTS_MAX: usize = 65_536;

/// What was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refused {
    keys: HashSet<ServerKey>,
    until: VecDeque<(Instant, ServerKey)>,
}

impl Refused {
    /// Notes a refusal for as long as copies may come; says whether an older one was forgotten for it.
    pub(super) fn add(&mut self, now: Instant, key: ServerKey, linger: Duration) -> bool {
        self.expire(now);
        if !self.keys.insert(key) {
            return false;
        }
        self.until.push_back((now + linger, key));
        let is_full = self.until.len() > REQUESTS_MAX;
        if is_full {
            self.forget_first();
        }
        is_full
    }

    /// Whether a request was refused lately.
    pub(super) fn contains(&mut self, now: Instant, key: ServerKey) -> bool {
        self.expire(now);
        self.keys.contains(&key)
    }

    fn expire(&mut self, now: Instant) {
        while self.until.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.until.pop_front() {
            self.keys.remove(&key);
        }
    }
}
