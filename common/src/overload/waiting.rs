//! Engine: inputs that wait for a node, in two classes, and for how long they may.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Work;

/// New work that is this many times later than it should be is refused though a queue may just be a burst.
const VERY_LATE: u32 = 10;
/// How long a queue must have been late without a break before it counts as standing, in the same measure.
const STANDING: u32 = 2;

/// How much may wait, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaitingLimits {
    /// Inputs at a time.
    pub places: usize,
    /// How long new work may wait in a queue that does not become shorter.
    pub delay: Duration,
}

/// What has no place any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Excess<T> {
    /// New work, the oldest: it is to be refused.
    Refuse(T),
    /// Work in progress, the oldest: it is lost, as on a wire. Its sender has repeated it, or will.
    Drop(T),
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next<T> {
    /// It is its turn.
    Serve(T),
    /// It is new and too late.
    Refuse(T),
}

/// Inputs that wait, by [`Work`]. Generic, so that the shell lets messages wait and a simulation what it likes.
#[derive(Clone, Debug)]
pub struct Waiting<T> {
    limits: WaitingLimits,
    in_progress: VecDeque<(Instant, T)>,
    new: VecDeque<(Instant, T)>,
    /// Since when the first of `new` has been late, each time that one was looked at.
    late_since: Option<Instant>,
    refused_last: bool,
    delay: Duration,
}

impl<T> Waiting<T> {
    /// Nothing waits.
    #[must_use]
    pub const fn new(limits: WaitingLimits) -> Self {
        Self {
            limits,
            in_progress: VecDeque::new(),
            new: VecDeque::new(),
            late_since: None,
            refused_last: false,
            delay: Duration::ZERO,
        }
    }

    /// How many of a class wait.
    #[must_use]
    pub fn len(&self, work: Work) -> usize {
        match work {
            Work::InProgress => self.in_progress.len(),
            Work::New => self.new.len(),
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_progress.is_empty() && self.new.is_empty()
    }

    /// Whether half of all places are taken by work in progress, so that whoever can wait elsewhere should.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.in_progress.len() * 2 >= self.limits.places
    }

    /// How long the last one that was served had waited.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// Adds one at the end of its class. When there are too many, the oldest new one goes, or else the oldest.
    pub fn push(&mut self, now: Instant, work: Work, item: T) -> Option<Excess<T>> {
        match work {
            Work::InProgress => self.in_progress.push_back((now, item)),
            Work::New => self.new.push_back((now, item)),
        }
        if self.in_progress.len() + self.new.len() <= self.limits.places {
            return None;
        }
        if let Some((_, oldest)) = self.new.pop_front() {
            return Some(Excess::Refuse(oldest));
        }
        self.in_progress
            .pop_front()
            .map(|(_, oldest)| Excess::Drop(oldest))
    }

    /// Takes the next one. Refusals come before work in progress, which makes their senders quiet, but each only
    /// after another one of that work, so that no flood of them keeps it waiting.
    pub fn pop(&mut self, now: Instant) -> Option<Next<T>> {
        if self.is_too_late(now) && (!self.refused_last || self.in_progress.is_empty()) {
            self.refused_last = true;
            return self.new.pop_front().map(|(_, item)| Next::Refuse(item));
        }
        self.refused_last = false;
        let (since, item) = self.in_progress.pop_front().or_else(|| self.new.pop_front())?;
        self.delay = now.saturating_duration_since(since);
        Some(Next::Serve(item))
    }

    /// Whether the first of the new ones is to be refused.
    fn is_too_late(&mut self, now: Instant) -> bool {
        let age = self
            .new
            .front()
            .map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since));
        if age <= self.limits.delay {
            self.late_since = None;
            return false;
        }
        let late_since = *self.late_since.get_or_insert(now);
        let is_standing = now.saturating_duration_since(late_since) >= self.limits.delay * STANDING;
        is_standing || age > self.limits.delay * VERY_LATE
    }
}
