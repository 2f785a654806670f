//! Table: the sets that are in the kernel, by number and by state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::message::StateKey;
use crate::ipsec::{SaSetId, SaState};

/// One set without its keys.
struct Installed {
    states: [SaState; 4],
    /// Its lifetime counts from here, also when it is extended.
    since: Instant,
}

/// All sets of a node.
#[derive(Default)]
pub(super) struct Sets {
    installed: BTreeMap<SaSetId, Installed>,
    by_state: BTreeMap<StateKey, SaSetId>,
}

/// What a list of the kernel's states shows against this table.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Difference {
    /// Sets of which a state is missing.
    pub(super) broken: Vec<SaSetId>,
    /// States that bear our mark and that no set knows.
    pub(super) strays: Vec<StateKey>,
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.installed.len()
    }

    pub(super) fn insert(&mut self, now: Instant, id: SaSetId, states: [SaState; 4]) {
        for state in &states {
            self.by_state.insert(state.into(), id);
        }
        self.installed.insert(id, Installed { states, since: now });
    }

    pub(super) fn remove(&mut self, id: SaSetId) -> Option<[SaState; 4]> {
        let installed = self.installed.remove(&id)?;
        for state in &installed.states {
            self.by_state.remove(&state.into());
        }
        Some(installed.states)
    }

    pub(super) fn since(&self, id: SaSetId) -> Option<Instant> {
        self.installed.get(&id).map(|set| set.since)
    }

    pub(super) fn by_state(&self, key: &StateKey) -> Option<SaSetId> {
        self.by_state.get(key).copied()
    }

    /// All sets, the last numbers first.
    pub(super) fn latest(&self) -> impl Iterator<Item = (SaSetId, &[SaState; 4])> {
        self.installed.iter().rev().map(|(id, set)| (*id, &set.states))
    }

    /// Compares with all states of the kernel that bear our mark.
    pub(super) fn compare(&self, seen: &BTreeSet<StateKey>) -> Difference {
        let is_whole = |set: &Installed| set.states.iter().all(|state| seen.contains(&state.into()));
        let broken = self.installed.iter().filter(|(_, set)| !is_whole(set));
        let strays = seen.iter().filter(|key| !self.by_state.contains_key(key));
        Difference {
            broken: broken.map(|(id, _)| *id).collect(),
            strays: strays.copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(number: u32) -> [SaState; 4] {
        [0, 1, 2, 3].map(|row| SaState {
            spi: number * 4 + row,
            source: "192.0.2.1:5061".parse().unwrap(),
            destination: "192.0.2.2:6101".parse().unwrap(),
        })
    }

    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn two_sets() -> Sets {
        let mut sets = Sets::default();
        sets.insert(Instant::now(), SaSetId(1), states(1));
        sets.insert(Instant::now(), SaSetId(2), states(2));
        sets
    }

    #[test]
    fn after_lost_notices_broken_sets_and_strays_are_found_by_comparing() {
        let sets = two_sets();
        let mut seen: BTreeSet<StateKey> = states(1).iter().map(Into::into).collect();
        seen.extend(states(2).iter().skip(1).map(StateKey::from));
        seen.insert((&states(3)[0]).into());
        let expected = Difference {
            broken: vec![SaSetId(2)],
            strays: vec![(&states(3)[0]).into()],
        };
        assert_eq!(sets.compare(&seen), expected);
    }

    #[test]
    fn removed_set_is_known_no_more_by_any_of_its_states() {
        let mut sets = two_sets();
        assert_eq!(sets.by_state(&(&states(2)[3]).into()), Some(SaSetId(2)));
        assert_eq!(sets.remove(SaSetId(2)), Some(states(2)));
        assert_eq!(sets.remove(SaSetId(2)), None);
        assert!(
            states(2)
                .iter()
                .all(|state| sets.by_state(&state.into()).is_none())
        );
        assert_eq!(sets.len(), 1);
    }
}
