//! Table: values that very many users have in common, each kept once.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// Values below this number are not worth a search for those that nobody holds any more.
const SWEEP_MIN: usize = 64;

/// One place for each value that is held somewhere.
#[derive(Debug)]
pub(super) struct Shared<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// When there are this many, those that nobody holds go.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<T: Eq + Hash + ?Sized> Shared<T> {
    /// The one that equals `value`, or `value` itself if it is the first.
    pub(super) fn of(&mut self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        if let Some(known) = self.known.get(value.borrow()) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.known.shrink_to_fit();
            self.sweep_at = (self.known.len() * 2).max(SWEEP_MIN);
        }
        let value: Arc<T> = value.into();
        self.known.insert(value.clone());
        value
    }
}

/// One place for each value that is made of another one and held somewhere.
#[derive(Debug)]
pub(super) struct Derived<K, V> {
    known: HashMap<Arc<K>, Arc<V>>,
    /// When there are this many, those that nobody holds go.
    sweep_at: usize,
}

impl<K, V> Default for Derived<K, V> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<K: Eq + Hash, V> Derived<K, V> {
    /// What was made of an equal `key`, or what `make` makes of it now.
    pub(super) fn of(&mut self, key: K, make: impl FnOnce(Arc<K>) -> V) -> Arc<V> {
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, made| Arc::strong_count(made) > 1);
            self.known.shrink_to_fit();
            self.sweep_at = (self.known.len() * 2).max(SWEEP_MIN);
        }
        let key = Arc::new(key);
        let made = Arc::new(make(key.clone()));
        self.known.insert(key, made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_equal_values_is_made_once_and_goes_with_its_last_holder() {
        let mut derived = Derived::<String, usize>::default();
        let held = derived.of("held".to_owned(), |key| key.len());
        let again = derived.of("held".to_owned(), |_| unreachable!("it is known"));
        assert!(Arc::ptr_eq(&held, &again));
        for number in 0..10_000 {
            derived.of(number.to_string(), |key| key.len());
        }
        assert!(derived.known.len() <= SWEEP_MIN, "{}", derived.known.len());
        assert!(Arc::ptr_eq(&held, &derived.of("held".to_owned(), |_| 0)));
    }

    #[test]
    fn equal_values_are_kept_once() {
        let mut shared = Shared::<str>::default();
        let first = shared.of("hss1.example");
        assert!(Arc::ptr_eq(&first, &shared.of("hss1.example".to_owned())));
        assert!(!Arc::ptr_eq(&first, &shared.of("hss2.example")));
    }

    #[test]
    fn values_that_nobody_holds_do_not_pile_up() {
        let mut shared = Shared::<str>::default();
        let held = shared.of("held");
        for number in 0..10_000 {
            shared.of(number.to_string());
        }
        assert!(shared.known.len() <= SWEEP_MIN, "{}", shared.known.len());
        assert!(Arc::ptr_eq(&held, &shared.of("held")));
    }
}
