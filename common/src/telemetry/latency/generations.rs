//! Table: what was begun and may end, for a while.

use std::time::{Duration, Instant};

use crate::node::NumberMap;

/// Nothing that is measured takes longer than this (Timer C is of a little more than three minutes).
const LIFE: Duration = Duration::from_secs(200);

/// Two maps by keyed hashes: what is not taken out of one for a whole life goes with all of it, without a timer for each.
#[derive(Debug)]
pub(super) struct Generations<V> {
    young: NumberMap<u64, V>,
    old: NumberMap<u64, V>,
    since: Option<Instant>,
    room: usize,
}

impl<V> Generations<V> {
    /// With room for so many in each life.
    pub(super) fn new(room: usize) -> Self {
        Self {
            young: NumberMap::default(),
            old: NumberMap::default(),
            since: None,
            room,
        }
    }

    /// Begins something, unless it has begun already. Says whether there was room.
    pub(super) fn begin(&mut self, now: Instant, key: u64, value: V) -> bool {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= LIFE {
            self.since = Some(now);
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.contains_key(&key) || self.old.contains_key(&key) {
            return true;
        }
        let has_room = self.young.len() < self.room;
        if has_room {
            self.young.insert(key, value);
        }
        has_room
    }

    /// What was begun.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        self.young.get_mut(&key).or_else(|| self.old.get_mut(&key))
    }

    /// Ends something.
    pub(super) fn end(&mut self, key: u64) -> Option<V> {
        self.young.remove(&key).or_else(|| self.old.remove(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn what_never_ends_is_forgotten_and_what_is_too_much_is_refused() {
        let now = Instant::now();
        let mut begun = Generations::new(2);
        assert!(begun.begin(now, 1, 'a') && begun.begin(now, 2, 'b') && begun.begin(now, 1, 'x'));
        assert!(!begun.begin(now, 3, 'c'));
        assert_eq!(begun.end(1), Some('a'), "the first one counts");
        let later = now + LIFE;
        assert!(begun.begin(later, 4, 'd'));
        assert_eq!(begun.get_mut(2).copied(), Some('b'), "of the life before");
        assert!(begun.begin(later + LIFE, 5, 'e'));
        assert_eq!(begun.end(2), None);
        assert_eq!(begun.end(4), Some('d'));
    }
}
