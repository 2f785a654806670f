//! Table: requests that wait for their turn on a connection.

use std::collections::BTreeMap;
use std::time::Instant;

use ims_common::node::TimerTable;

/// Who goes first: what another peer failed to answer has waited longest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Rank {
    /// Sent to another peer before.
    Again,
    /// Not sent yet.
    New,
}

/// A place in the line.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    rank: Rank,
    number: u64,
}

/// Requests that wait, first come, first served in each rank. Nobody waits for ever.
#[derive(Debug)]
pub(super) struct Line<T> {
    waiting: BTreeMap<Place, T>,
    timers: TimerTable<Place>,
    last: u64,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            timers: TimerTable::default(),
            last: 0,
        }
    }
}

impl<T> Line<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody of this rank waits.
    pub(super) fn is_empty(&self, rank: Rank) -> bool {
        self.first(rank).is_none()
    }

    /// Adds one at the end of its rank.
    pub(super) fn push(&mut self, rank: Rank, expires_at: Instant, request: T) {
        self.last += 1;
        let place = Place {
            rank,
            number: self.last,
        };
        self.timers.set(place, expires_at);
        self.waiting.insert(place, request);
    }

    /// The first of a rank.
    pub(super) fn first(&self, rank: Rank) -> Option<(Place, &T)> {
        let from = Place { rank, number: 0 };
        let (place, request) = self.waiting.range(from..).next()?;
        (place.rank == rank).then_some((*place, request))
    }

    /// Takes one out.
    pub(super) fn take(&mut self, place: Place) -> Option<T> {
        self.timers.cancel(&place);
        self.waiting.remove(&place)
    }

    /// Takes the next one who waited too long.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<T> {
        let place = self.timers.pop_expired(now)?;
        self.waiting.remove(&place)
    }

    /// When the next one has waited too long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}
