//! Table: timers by key, stopped lazily.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::time::Instant;

use super::give_back;

/// Stopped timers that may stay in the queue whatever their share of it is.
const STALE_MIN: usize = 64;

/// Timers by key: at most one instant per key, popped in order of time, then key.
///
/// Most timers of a protocol are stopped before they fire. So stopping one, or setting it anew, leaves its old place
/// in the queue behind; such places go when they come to the front, and all at once when they are more than those
/// that are meant. The front is always meant: [`TimerTable::next`] is exact.
#[derive(Clone, Debug)]
pub struct TimerTable<K, S = RandomState> {
    queue: BinaryHeap<Reverse<(Instant, K)>>,
    by_key: HashMap<K, Instant, S>,
}

impl<K: Ord, S: Default> Default for TimerTable<K, S> {
    fn default() -> Self {
        Self {
            queue: BinaryHeap::new(),
            by_key: HashMap::default(),
        }
    }
}

impl<K: Clone + Hash + Ord, S: BuildHasher + Default> TimerTable<K, S> {
    /// Arms or re-arms the timer of `key`.
    pub fn set(&mut self, key: K, at: Instant) {
        if self.by_key.insert(key.clone(), at) == Some(at) {
            return;
        }
        self.queue.push(Reverse((at, key)));
        self.tidy();
    }

    /// Stops the timer of `key`; no effect when there is none.
    pub fn cancel(&mut self, key: &K) {
        if self.by_key.remove(key).is_some() {
            self.tidy();
        }
    }

    /// Takes the earliest timer that is due at `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<K> {
        let Reverse((at, _)) = self.queue.peek()?;
        if *at > now {
            return None;
        }
        let Reverse((_, key)) = self.queue.pop()?;
        self.by_key.remove(&key);
        self.tidy();
        Some(key)
    }

    /// When the earliest timer is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// When the timer of `key` is due.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Instant> {
        self.by_key.get(key).copied()
    }

    /// How many timers run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no timer runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Drops what was stopped: from the front always, from everywhere when it is the larger part.
    fn tidy(&mut self) {
        let by_key = &self.by_key;
        let is_meant = |Reverse((at, key)): &Reverse<(Instant, K)>| by_key.get(key) == Some(at);
        while self.queue.peek().is_some_and(|first| !is_meant(first)) {
            self.queue.pop();
        }
        if self.queue.len() > by_key.len() * 2 + STALE_MIN {
            self.queue.retain(is_meant);
        }
        if self.queue.len() < self.queue.capacity() / 8 {
            self.queue.shrink_to(self.queue.len() * 2 + STALE_MIN);
        }
        give_back(&mut self.by_key);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[allow(
        clippy::disallowed_methods,
        reason = "any instant serves as the origin of virtual time"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn timers_fire_in_order_of_time_then_key() {
        let (mut table, start) = (TimerTable::<u32>::default(), origin());
        let at = |secs| start + Duration::from_secs(secs);
        table.set(7, at(2));
        table.set(3, at(2));
        table.set(9, at(1));
        assert_eq!(table.pop_expired(at(0)), None);
        let fired: Vec<_> = std::iter::from_fn(|| table.pop_expired(at(2))).collect();
        assert_eq!(fired, [9, 3, 7]);
    }

    #[test]
    fn a_timer_that_went_away_and_came_back_at_the_same_instant_fires_once() {
        let (mut table, start) = (TimerTable::<u32>::default(), origin());
        let late = start + Duration::from_secs(9);
        table.set(1, start);
        table.set(1, late);
        table.set(1, start);
        assert_eq!(table.pop_expired(late), Some(1));
        assert_eq!(table.pop_expired(late), None);
        assert_eq!(table.next(), None);
    }

    #[test]
    fn stopped_timers_do_not_fill_the_queue() {
        let (mut table, start) = (TimerTable::<u32>::default(), origin());
        table.set(0, start);
        for number in 1..10_000 {
            table.set(number, start + Duration::from_secs(32));
            table.cancel(&number);
        }
        assert!(table.queue.len() <= 2 + STALE_MIN, "{}", table.queue.len());
    }

    proptest! {
        #[test]
        fn table_does_what_a_plain_map_does(steps in prop::collection::vec((0_u8..3, 0_u8..8, 0_u64..6), 1..200)) {
            let start = origin();
            let at = |secs| start + Duration::from_secs(secs);
            let (mut table, mut model) = (TimerTable::<u8>::default(), BTreeMap::<u8, Instant>::new());
            for (what, key, secs) in steps {
                match what {
                    0 => {
                        table.set(key, at(secs));
                        model.insert(key, at(secs));
                    }
                    1 => {
                        table.cancel(&key);
                        model.remove(&key);
                    }
                    _ => {
                        let first = model.iter().map(|(key, at)| (*at, *key)).min();
                        let due = first.filter(|(due, _)| *due <= at(secs)).map(|(_, key)| key);
                        prop_assert_eq!(table.pop_expired(at(secs)), due);
                        if let Some(key) = due {
                            model.remove(&key);
                        }
                    }
                }
                prop_assert_eq!(table.next(), model.values().min().copied());
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.get(&key), model.get(&key).copied());
            }
        }
    }
}
