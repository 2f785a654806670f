//! Shell: how long it takes until all phones are back after something was restarted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::run::{Load, listen, phase};
use super::watched::Watched;
use super::{Plan, Scenario};

/// How often those who failed try again.
const ROUNDS_MAX: u32 = 20;

/// What a restart cost.
#[derive(Clone, Debug, Serialize)]
pub struct Comeback {
    pub(super) users: u32,
    /// Registrations a second that the phones began, at most.
    pub(super) rate: f64,
    /// From the kill to the last registration.
    pub(super) seconds: f64,
    pub(super) is_complete: bool,
    /// Registrations that were begun, the second tries of some phones among them.
    attempts: u64,
    failures: BTreeMap<String, u64>,
    /// Bytes of each process for each registered user, before the restart.
    pub(super) memory: BTreeMap<String, Grown>,
}

/// The growth of a process for each user.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Grown {
    /// Right after the last registration.
    pub(super) at_once: u64,
    /// After the rest of `--settle`.
    pub(super) settled: u64,
}

/// Registers all phones, lets `restart` kill something, and registers all phones again.
///
/// # Errors
/// When a socket or a watched process is not there, or `restart` fails.
pub(super) fn comeback(plan: &Plan, restart: &mut dyn FnMut() -> Result<()>) -> Result<Comeback> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, all(plan, restart))
}

async fn all(plan: &Plan, restart: &mut dyn FnMut() -> Result<()>) -> Result<Comeback> {
    let load = Rc::new(RefCell::new(Load::new(plan).await?));
    listen(&load);
    let watched: Vec<Watched> = plan
        .watch
        .iter()
        .map(|text| Watched::parse(text))
        .collect::<Result<_>>()?;
    let sizes = || -> Result<Vec<u64>> {
        let size = |process: &Watched| Ok(process.usage()?.memory_bytes);
        watched.iter().map(size).collect()
    };
    let idle = sizes()?;
    let first = rounds(&load, plan.prepare_rate, Scenario::Register).await;
    let at_once = sizes()?;
    tokio::time::sleep(Duration::from_secs(plan.settle)).await;
    let settled = sizes()?;
    let users = u64::from(plan.users);
    let grown = |now: u64, before: u64| now.saturating_sub(before) / users.max(1);
    let memory = (watched.iter().zip(idle))
        .zip(at_once.into_iter().zip(settled))
        .map(|((process, idle), (at_once, settled))| {
            let grown = Grown {
                at_once: grown(at_once, idle),
                settled: grown(settled, idle),
            };
            (process.name.clone(), grown)
        })
        .collect();
    anyhow::ensure!(
        first.is_complete,
        "not all phones could register beforehand: {:?}",
        first.failures
    );
    let began = Instant::now();
    restart()?;
    let back = rounds(&load, plan.rate, Scenario::Reregister).await;
    Ok(Comeback {
        users: plan.users,
        rate: plan.rate,
        seconds: back.last_end.saturating_duration_since(began).as_secs_f64(),
        is_complete: back.is_complete,
        attempts: back.attempts,
        failures: back.failures,
        memory,
    })
}

struct Rounds {
    last_end: Instant,
    is_complete: bool,
    attempts: u64,
    failures: BTreeMap<String, u64>,
}

/// Every phone once, then those that failed, until all have succeeded.
async fn rounds(load: &Rc<RefCell<Load>>, rate: f64, scenario: Scenario) -> Rounds {
    let mut sum = Rounds {
        last_end: Instant::now(),
        is_complete: false,
        attempts: 0,
        failures: BTreeMap::new(),
    };
    load.borrow_mut().everybody_is_due();
    for _ in 0..ROUNDS_MAX {
        let due = load.borrow_mut().take_turns_of_those_due();
        if due == 0 {
            sum.is_complete = true;
            break;
        }
        let began = Instant::now();
        let tally = phase(load, due, rate, scenario).await;
        sum.attempts += tally.attempted;
        if !tally.latencies.is_empty() {
            sum.last_end = began + tally.last_success;
        }
        for (kind, count) in tally.failures {
            *sum.failures.entry(kind).or_default() += count;
        }
    }
    sum
}

impl fmt::Display for Comeback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} users were back after {:.1} s, at no more than {:.0}/s ({} attempts, failures {:?})",
            if self.is_complete { "all" } else { "NOT all" },
            self.users,
            self.seconds,
            self.rate,
            self.attempts,
            self.failures
        )?;
        for (name, grown) in &self.memory {
            writeln!(
                f,
                "{name}: {} bytes per user at once, {} after the rest",
                grown.at_once, grown.settled
            )?;
        }
        Ok(())
    }
}
