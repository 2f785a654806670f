//! Engine: when phones that were refused in a storm of registrations come again: one after the other.
//!
//! Read first: RFC 3261 21.5.4, TS 24.229 5.1.1.2.1 (a UE waits as long as Retry-After says).
//!
//! Each REGISTER that is refused gets the next of equal slots, as many a second as the operator lets begin. So the phones of a storm come back evenly and find room. Past
//! the longest Retry-After the slots begin again at the shortest: no moment is that of all who are left over.

use std::time::{Duration, Instant};

use super::RetryAfter;

/// How often an operator is told of a storm.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// Fewer refusals than these are not worth telling.
const REFUSED_MIN: u64 = 10;

/// What the operator wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StormLimits {
    /// REGISTERs a second that begin a registration; `None`: no such limit, and no slots.
    pub per_second: Option<u32>,
    /// The longest Retry-After.
    pub retry_after_max: Duration,
}

/// What a storm looks like just now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StormState {
    /// REGISTERs a second that may begin.
    pub per_second: u64,
    /// Refused since the storm began.
    pub refused: u64,
    /// The shortest and the longest Retry-After, in seconds.
    pub retry_after: (u64, u64),
}

/// REGISTERs that begin a registration, and those that are put off.
#[derive(Clone, Debug)]
pub struct Storm {
    limits: StormLimits,
    /// When the bucket of the configured rate will be dry.
    dry: Option<Instant>,
    /// The slot that was given last.
    slot: Option<Instant>,
    refused: u64,
    shortest: u64,
    longest: u64,
    told: Option<Instant>,
}

impl Storm {
    /// No storm.
    #[must_use]
    pub const fn new(limits: StormLimits) -> Self {
        Self {
            limits,
            dry: None,
            slot: None,
            refused: 0,
            shortest: u64::MAX,
            longest: 0,
            told: None,
        }
    }

    /// Whether a rate is configured.
    #[must_use]
    pub const fn has_rate(&self) -> bool {
        self.limits.per_second.is_some()
    }

    /// Whether one more is above the configured rate. A second's worth may come at once.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let Some(rate) = self.limits.per_second else {
            return false;
        };
        let dry = self.dry.map_or(now, |dry| dry.max(now)) + Duration::from_secs(1) / rate.max(1);
        if dry.saturating_duration_since(now) > Duration::from_secs(1) {
            return true;
        }
        self.dry = Some(dry);
        false
    }

    /// One is refused: the seconds after which it may come again.
    pub fn put_off(&mut self, now: Instant, spread: RetryAfter) -> u64 {
        let first = now + spread.min.max(Duration::from_secs(1));
        let last = now + self.limits.retry_after_max.max(spread.min);
        if self.slot.is_none_or(|slot| slot < now) {
            (self.refused, self.shortest, self.longest) = (0, u64::MAX, 0);
        }
        let gap = Duration::from_secs(1) / self.rate();
        let next = self.slot.map_or(first, |slot| (slot + gap).max(first));
        let slot = if next > last { first } else { next };
        self.slot = Some(slot);
        self.refused = self.refused.saturating_add(1);
        let seconds = slot.saturating_duration_since(now).as_secs();
        self.shortest = self.shortest.min(seconds);
        self.longest = self.longest.max(seconds);
        seconds
    }

    /// What to tell the operator, at most every five seconds while there is a storm.
    pub fn poll_state(&mut self, now: Instant) -> Option<StormState> {
        let is_due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if !is_due || self.refused < REFUSED_MIN || self.slot.is_none_or(|slot| slot < now) {
            return None;
        }
        self.told = Some(now);
        Some(StormState {
            per_second: u64::from(self.rate()),
            refused: self.refused,
            retry_after: (self.shortest, self.longest),
        })
    }

    /// How many a second may begin.
    fn rate(&self) -> u32 {
        self.limits.per_second.unwrap_or(1).max(1)
    }
}
