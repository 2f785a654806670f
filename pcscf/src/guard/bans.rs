//! Table: who is banned, until when, and who was lately.
//!
//! A place for a new ban comes from one that is over, else from the one that ends first. So a ban that still has a time T
//! to run is driven out only by as many others as the table holds, each with more than T to run, that is, each of
//! sources that were banned as often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ims_common::node::{TimerTable, earliest};

use super::source::Source;

/// How long bans last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The first.
    pub(crate) first: Duration,
    /// Each is twice as long as the one before, up to this.
    pub(crate) longest: Duration,
    /// One earlier ban is forgiven for each such time of quiet after the end of the last.
    pub(crate) forgive: Duration,
    /// Banned and lately banned sources.
    pub(crate) places: usize,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    since: Instant,
    until: Instant,
    /// Bans that count.
    times: u32,
    reason: &'static str,
    dropped: u64,
}

/// A ban, for the operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ban {
    pub(crate) source: Source,
    pub(crate) reason: &'static str,
    pub(crate) times: u32,
    /// How long it has been in force.
    pub(crate) age: Duration,
    pub(crate) left: Duration,
    pub(crate) dropped: u64,
}

/// Bans in force and bans that are over but not forgiven.
#[derive(Debug)]
pub(crate) struct Bans {
    terms: Terms,
    records: HashMap<Source, Record>,
    in_force: TimerTable<Source>,
    remembered: TimerTable<Source>,
}

impl Bans {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms: Terms {
                places: terms.places.max(1),
                ..terms
            },
            records: HashMap::new(),
            in_force: TimerTable::default(),
            remembered: TimerTable::default(),
        }
    }

    /// How many are in force.
    pub(crate) fn len(&self) -> usize {
        self.in_force.len()
    }

    /// Whether a source is banned.
    pub(crate) fn is_in_force(&self, now: Instant, source: Source) -> bool {
        self.records.get(&source).is_some_and(|record| now < record.until)
    }

    /// Whether a source is banned; if so, one message more was dropped.
    pub(crate) fn holds(&mut self, now: Instant, source: Source) -> bool {
        if self.in_force.is_empty() {
            return false;
        }
        let banned = self.records.get_mut(&source).filter(|record| now < record.until);
        let Some(record) = banned else {
            return false;
        };
        record.dropped = record.dropped.saturating_add(1);
        true
    }

    /// Bans a source; says for how long. One that does not grow lasts the first term and counts as no further one.
    pub(crate) fn ban(
        &mut self,
        now: Instant,
        source: Source,
        reason: &'static str,
        grows: bool,
    ) -> Duration {
        let before = self
            .records
            .get(&source)
            .map(|record| (record.times, record.dropped));
        let (times, dropped) = before.unwrap_or_default();
        let times = if grows {
            times.saturating_add(1)
        } else {
            times.max(1)
        };
        let doubled = if grows { times - 1 } else { 0 };
        let factor = 1_u32.checked_shl(doubled).unwrap_or(u32::MAX);
        let lasts = self.terms.first.saturating_mul(factor).min(self.terms.longest);
        if before.is_none() && self.records.len() >= self.terms.places {
            self.make_room();
        }
        self.records.insert(
            source,
            Record {
                since: now,
                until: now + lasts,
                times,
                reason,
                dropped,
            },
        );
        self.remembered.cancel(&source);
        self.in_force.set(source, now + lasts);
        lasts
    }

    /// Lifts a ban, and forgets that there was one.
    pub(crate) fn lift(&mut self, source: Source) -> bool {
        self.in_force.cancel(&source);
        self.remembered.cancel(&source);
        self.records.remove(&source).is_some()
    }

    fn make_room(&mut self) {
        let far = |table: &TimerTable<Source>| table.next();
        let first = match far(&self.remembered) {
            Some(at) => self.remembered.pop_expired(at),
            None => far(&self.in_force).and_then(|at| self.in_force.pop_expired(at)),
        };
        if let Some(source) = first {
            self.records.remove(&source);
        }
    }

    /// A source whose ban has just ended.
    pub(crate) fn poll_ended(&mut self, now: Instant) -> Option<Source> {
        while let Some(source) = self.remembered.pop_expired(now) {
            let Some(record) = self.records.get_mut(&source) else {
                continue;
            };
            record.times = record.times.saturating_sub(1);
            if record.times == 0 {
                self.records.remove(&source);
            } else {
                self.remembered.set(source, now + self.terms.forgive);
            }
        }
        let source = self.in_force.pop_expired(now)?;
        self.remembered.set(source, now + self.terms.forgive);
        Some(source)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.in_force.next(), self.remembered.next())
    }

    /// Those in force, in the order of sources.
    pub(crate) fn list(&self, now: Instant) -> Vec<Ban> {
        let mut sources: Vec<Source> = self.records.keys().copied().collect();
        sources.sort_unstable();
        let ban = |source: Source| {
            let record = self.records.get(&source).filter(|record| now < record.until)?;
            Some(Ban {
                source,
                reason: record.reason,
                times: record.times,
                age: now.saturating_duration_since(record.since),
                left: record.until.saturating_duration_since(now),
                dropped: record.dropped,
            })
        };
        sources.into_iter().filter_map(ban).collect()
    }
}
