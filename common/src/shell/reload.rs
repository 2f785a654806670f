//! Shell: the configuration is read again while the node serves: all of it counts from now on, or nothing.
//!
//! SIGHUP or POST /api/v1/reload. What has changed is looked for key by key in what the file comes to, defaults filled
//! in. With one key that is not [live](DaemonConfig::LIVE) among the changes, or with a file that is no configuration,
//! everything stays as it was. All shards have room for the news before the first one is told.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Event;
use crate::config::{ConfigError, DaemonConfig, parse, read};
use crate::node::{Counters, Metrics, Seed};
use crate::operate::{ConfigChange, ReloadReport, ReloadResult, RestartKey};
use crate::steering::ShardPlace;
use crate::telemetry::log::LogControl;

/// How long a driver may take to make room, and then to answer.
const DRIVER_PATIENCE: Duration = Duration::from_secs(5);
/// Characters of a value in a report.
const VALUE_MAX: usize = 400;

/// A configuration that is right, on its way to the shards.
pub(super) struct NewConfig {
    config: Box<dyn Any + Send + Sync>,
    pub(super) drain_timeout: Duration,
}

impl std::fmt::Debug for NewConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewConfig").finish_non_exhaustive()
    }
}

/// How one shard takes it.
pub(super) type Apply<N> = fn(&mut N, &NewConfig, ShardPlace);

/// [`Apply`] for the node of a configuration.
pub(super) fn apply<C: DaemonConfig>(node: &mut C::Node, new: &NewConfig, place: ShardPlace) {
    let config = new.config.downcast_ref::<C>();
    if let Some(Err(error)) = config.map(|config| config.reconfigure(node, place)) {
        // The same configuration has made a node a moment ago.
        tracing::error!(%error, "the new configuration was not taken");
    }
}

/// What a driver needs to take another configuration.
pub(super) struct Reloading<N> {
    pub(super) apply: Apply<N>,
    /// In the first shard.
    pub(super) reader: Option<Arc<dyn Reader>>,
}

/// The file, and what was read from it.
pub(super) trait Reader: Send + Sync {
    /// One reload after the other.
    fn turn(&self) -> &tokio::sync::Mutex<()>;
    /// Reads the file: the news, or why there are none.
    fn read(&self) -> Result<Reading, ReloadReport>;
    /// The shards have the news.
    fn take(&self, reading: Reading) -> ReloadReport;
    /// This came of it.
    fn told(&self, report: ReloadReport) -> ReloadReport;
    /// How often another configuration was taken, and what came of the last reload.
    fn status(&self) -> (u64, Option<ReloadResult>);
    fn export(&self, out: &mut Metrics);
}

/// A file that may be taken.
pub(super) struct Reading {
    news: Arc<NewConfig>,
    /// The same once more, to compare the next one with.
    next: Box<dyn Any + Send + Sync>,
    changes: Vec<ConfigChange>,
}

/// The file of a daemon.
pub(super) struct ConfigFile<C> {
    path: PathBuf,
    log: LogControl,
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State<C>>,
}

struct State<C> {
    current: C,
    generation: u64,
    last: Option<ReloadResult>,
    counters: Counters,
}

impl<C: DaemonConfig> ConfigFile<C> {
    pub(super) fn new(path: PathBuf, current: C, log: LogControl) -> Self {
        Self {
            path,
            log,
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                current,
                generation: 0,
                last: None,
                counters: Counters::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The new configuration, with which a node can be made, and its end of a drain.
    fn parse(&self) -> Result<(C, Duration), ConfigError> {
        let text = read(&self.path)?;
        let place = |error: ConfigError| error.located(&self.path.display().to_string(), &text);
        let config: C = parse(C::NAME, &text).map_err(place)?;
        let (_, shell) = config.clone().build(Seed::from_number(0)).map_err(place)?;
        Ok((config, shell.drain_timeout))
    }
}

impl<C: DaemonConfig> Reader for ConfigFile<C> {
    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    fn read(&self) -> Result<Reading, ReloadReport> {
        let parsed = self.parse();
        let (config, drain_timeout) = parsed.map_err(|error| ReloadReport {
            error: Some(error.to_string()),
            ..ReloadReport::of(ReloadResult::Broken)
        })?;
        let changes = changes(C::NAME, &self.state().current, &config);
        if changes.is_empty() {
            return Err(ReloadReport::of(ReloadResult::Unchanged));
        }
        let needs_restart = changes.iter().filter(|change| !is_live::<C>(&change.key));
        let needs_restart: Vec<_> = needs_restart
            .map(|change| RestartKey {
                key: change.key.clone(),
                reason: reason_of(C::NAME, &change.key).to_owned(),
            })
            .collect();
        if let Some(first) = needs_restart.first() {
            return Err(ReloadReport {
                error: Some(format!("{} needs a restart: {}", first.key, first.reason)),
                needs_restart,
                ..ReloadReport::of(ReloadResult::Refused)
            });
        }
        Ok(Reading {
            next: Box::new(config.clone()),
            news: Arc::new(NewConfig {
                config: Box::new(config),
                drain_timeout,
            }),
            changes,
        })
    }

    fn take(&self, reading: Reading) -> ReloadReport {
        if let Ok(config) = reading.next.downcast::<C>() {
            let level = serde_json::to_value(&*config).ok().and_then(|all| level_of(&all));
            if let Some(level) = level {
                self.log.set_level(level);
            }
            let mut state = self.state();
            state.current = *config;
            state.generation += 1;
        }
        self.told(ReloadReport {
            changes: reading.changes,
            ..ReloadReport::of(ReloadResult::Applied)
        })
    }

    fn told(&self, mut report: ReloadReport) -> ReloadReport {
        let mut state = self.state();
        state.last = Some(report.result);
        state
            .counters
            .count("ims_config_reloads_total", report.result.label());
        report.generation = state.generation;
        drop(state);
        let keys: Vec<&str> = report.changes.iter().map(|change| change.key.as_str()).collect();
        let result = report.result.label();
        match &report.error {
            None => tracing::info!(
                result,
                generation = report.generation,
                ?keys,
                "configuration read again"
            ),
            Some(error) => tracing::error!(
                result,
                generation = report.generation,
                error,
                "configuration read again; the old one stays"
            ),
        }
        report
    }

    fn status(&self) -> (u64, Option<ReloadResult>) {
        let state = self.state();
        (state.generation, state.last)
    }

    fn export(&self, out: &mut Metrics) {
        let state = self.state();
        out.gauge("ims_config_generation", &[], state.generation);
        state.counters.export(out);
    }
}

/// Reads the file and tells all shards.
pub(super) async fn run(reader: Arc<dyn Reader>, drivers: Vec<mpsc::Sender<Event>>) -> ReloadReport {
    let _turn = reader.turn().lock().await;
    let file = Arc::clone(&reader);
    let read = tokio::task::spawn_blocking(move || file.read()).await;
    let busy = |error: &str| ReloadReport {
        error: Some(error.to_owned()),
        ..ReloadReport::of(ReloadResult::Refused)
    };
    let reading = match read {
        Ok(Ok(reading)) => reading,
        Ok(Err(report)) => return reader.told(report),
        Err(_) => return reader.told(busy("the file could not be read to its end")),
    };
    let rooms = join_all(drivers.iter().map(mpsc::Sender::reserve));
    let Ok(rooms) = timeout(DRIVER_PATIENCE, rooms).await else {
        return reader.told(busy("the node has too much to do; try again"));
    };
    let Ok(rooms) = rooms.into_iter().collect::<Result<Vec<_>, _>>() else {
        return reader.told(busy("the node ends"));
    };
    let mut answers = Vec::with_capacity(rooms.len());
    for room in rooms {
        let (sender, answer) = oneshot::channel();
        room.send(Event::Reconfigure(Arc::clone(&reading.news), sender));
        answers.push(answer);
    }
    // They have it, whether they say so in time or not.
    let _ = timeout(DRIVER_PATIENCE, join_all(answers)).await;
    reader.take(reading)
}

fn level_of(all: &Value) -> Option<crate::config::LogLevel> {
    serde_json::from_value(all.pointer("/log/level")?.clone()).ok()
}

/// What is different, leaf by leaf.
fn changes<C: DaemonConfig>(name: &str, old: &C, new: &C) -> Vec<ConfigChange> {
    let leaves = |config: &C| {
        let mut all = BTreeMap::new();
        // What was read from text can be written as text.
        let value = serde_json::to_value(config).unwrap_or_default();
        flatten(name, &value, &mut all);
        all
    };
    let (old, new) = (leaves(old), leaves(new));
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let shown = |key: &str, value: Option<&String>| match value {
        None => "(nothing)".to_owned(),
        Some(_) if is_secret(key) => "(not shown)".to_owned(),
        Some(value) => value.chars().take(VALUE_MAX).collect(),
    };
    let change = |key: &String| ConfigChange {
        old: shown(key, old.get(key)),
        new: shown(key, new.get(key)),
        key: key.clone(),
    };
    changed.map(change).collect()
}

fn flatten(path: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, below) in map {
                flatten(&format!("{path}.{key}"), below, all);
            }
        }
        Value::String(text) => drop(all.insert(path.to_owned(), text.clone())),
        other => drop(all.insert(path.to_owned(), other.to_string())),
    }
}

fn is_secret(key: &str) -> bool {
    ["token", "secret", "password"]
        .iter()
        .any(|word| key.contains(word))
}

fn is_live<C: DaemonConfig>(key: &str) -> bool {
    let own = key.strip_prefix(C::NAME).and_then(|key| key.strip_prefix('.'));
    own.is_some_and(|own| C::LIVE.iter().any(|live| is_at_or_below(own, live)))
}

fn is_at_or_below(key: &str, above: &str) -> bool {
    let rest = key.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Why a key cannot change while the node serves.
fn reason_of(name: &str, key: &str) -> &'static str {
    let own = key.strip_prefix(name).unwrap_or(key).trim_start_matches('.');
    let is_any_of = |keys: &[&str]| keys.iter().any(|above| is_at_or_below(own, above));
    if is_any_of(&["mw", "gm", "admin", "ipsec", "hss.listen"]) {
        "sockets are made when the node starts"
    } else if is_any_of(&["home_realm", "server_name", "names", "visited_network"]) {
        "registrations and calls in progress have this name"
    } else if is_any_of(&["hss", "cx", "hosts", "shared_ifc_sets"]) {
        "peers were told so when their connections were made"
    } else if is_any_of(&["shards", "why", "log", "harden", "cdr", "export"]) {
        "threads and files are made when the node starts"
    } else {
        "tables are made with it when the node starts"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_live_with_all_below_them_and_not_by_their_first_letters() {
        assert!(is_at_or_below("isc.trusted", "isc.trusted"));
        assert!(is_at_or_below("numbers.country", "numbers"));
        assert!(!is_at_or_below("numbers_more", "numbers"));
        assert!(!is_at_or_below("isc", "isc.trusted"));
    }

    #[test]
    fn values_of_secret_keys_are_not_shown() {
        assert!(is_secret("scscf.admin.write_token_file"));
        assert!(!is_secret("scscf.log.level"));
    }
}
