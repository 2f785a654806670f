//! Shell: the doctor in a daemon that runs: what its start has found, and routes to UEs that go and come back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::addresses::no_route;
use super::check::{Check, Verdict};
use super::machine::Machine;
use crate::config::{Cidr, ShellConfig};
use crate::shell::Event;
use crate::shell::xfrm::Trial;
use crate::why::{Fact, Facts, Note, NoteKind};

/// How often the routes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often a route that is still missing is noted.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// What the warnings of a start are to whoever explains failures later.
pub(super) fn notes_of(checks: &[Check]) -> Vec<Note> {
    let warnings = checks.iter().filter(|check| check.verdict == Verdict::Warn);
    warnings
        .map(|check| note(&check.name, &check.found, None))
        .collect()
}

/// States and policies with our mark before a start are stale.
pub(super) fn stale(trial: &Trial) -> Option<Note> {
    let count = trial.own_states + trial.own_policies;
    let mut note = note("stale", "of a previous run: cleaned", None);
    note.facts.put(Fact::Count, &count.to_string());
    (count > 0).then_some(note)
}

fn note(check: &str, words: &str, about: Option<Cidr>) -> Note {
    let mut facts = Facts::new().with(Fact::Check, check).with(Fact::Words, words);
    if let Some(about) = about {
        facts.put(Fact::Address, &about.to_string());
    }
    Note::of_node(NoteKind::CheckFailed, facts)
}

/// Tells the driver what the start has found, then looks at the routes for as long as there is a driver.
pub(in crate::shell) async fn watch(config: ShellConfig, found: Vec<Note>, events: mpsc::Sender<Event>) {
    for note in found {
        if events.send(Event::Noted(note)).await.is_err() {
            return;
        }
    }
    if config.ue_pools.is_empty() {
        return;
    }
    let mut missing = Missing::default();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Ok(machine) = Machine::gather(&config).await else {
            continue;
        };
        for (pool, news) in missing.look(Instant::now(), &config.ue_pools, &machine) {
            let check = no_route(config.name, pool);
            match news {
                News::Lost => tracing::warn!(check = "route", "{}", check.sentence()),
                News::StillMissing => {}
                News::Back => {
                    tracing::info!(check = "route", %pool, "there is a route to these UEs again");
                    continue;
                }
            }
            let note = note("route", &check.found, Some(pool));
            if events.send(Event::Noted(note)).await.is_err() {
                return;
            }
        }
    }
}

/// Blocks of UEs without a route, and when that was noted last.
#[derive(Debug, Default)]
struct Missing(BTreeMap<Cidr, Instant>);

/// What is to be told of a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum News {
    Lost,
    StillMissing,
    Back,
}

impl Missing {
    fn look(&mut self, now: Instant, pools: &[Cidr], machine: &Machine) -> Vec<(Cidr, News)> {
        let mut told = Vec::new();
        for pool in pools {
            let has_route = machine.routes.get(pool).is_some_and(Option::is_some);
            let news = match self.0.get(pool) {
                None if has_route => continue,
                None => News::Lost,
                Some(_) if has_route => News::Back,
                Some(noted) if now.duration_since(*noted) >= NOTE_EVERY => News::StillMissing,
                Some(_) => continue,
            };
            match news {
                News::Back => drop(self.0.remove(pool)),
                News::Lost | News::StillMissing => drop(self.0.insert(*pool, now)),
            }
            told.push((*pool, news));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::doctor::machine::Route;

    #[test]
    fn a_route_that_goes_is_told_once_then_each_minute_and_when_it_is_back() {
        let pool: Cidr = "10.45.0.0/16".parse().unwrap();
        let mut missing = Missing::default();
        let begin = Instant::now();
        let mut look = |secs: u64, has_route: bool| {
            let mut machine = Machine::default();
            machine.routes.insert(pool, has_route.then(Route::default));
            let told = missing.look(begin + Duration::from_secs(secs), &[pool], &machine);
            told.first().map(|(_, news)| *news)
        };
        assert_eq!(look(0, true), None);
        assert_eq!(look(10, false), Some(News::Lost));
        assert_eq!(look(20, false), None);
        assert_eq!(look(70, false), Some(News::StillMissing));
        assert_eq!(look(80, true), Some(News::Back));
        assert_eq!(look(90, true), None);
    }

    #[test]
    fn warnings_and_stale_states_become_notes() {
        let checks = [
            Check::ok("route", "fine"),
            Check::warn("ike", "another IKE daemon is here", "stop it"),
        ];
        let notes = notes_of(&checks);
        assert_eq!(notes.len(), 1);
        assert_eq!(
            notes[0].facts.get(Fact::Words),
            Some("another IKE daemon is here")
        );
        assert_eq!(stale(&Trial::default()), None);
        let left = Trial {
            own_states: 8,
            own_policies: 11,
            ..Trial::default()
        };
        assert_eq!(stale(&left).unwrap().facts.get(Fact::Count), Some("19"));
    }
}
