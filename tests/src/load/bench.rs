//! Shell: a site of its own on loopback (HSS and three CSCFs), loaded, measured, and stopped.

use anyhow::{Context as _, Result};

use super::comeback::{Comeback, comeback};
use super::system::{Running, System};
use super::{FIRST_IMSI, Plan, Report, Scenario, maximum, run};

/// Users that the HSS knows in short loads; a system that has met them all is started anew.
pub(super) const USERS: u32 = 100_000;

/// Runs a plan against a fresh site; the plan's P-CSCF is not asked.
///
/// # Errors
/// When a process does not start or end well.
pub fn bench(system: System, plan: &Plan) -> Result<Report> {
    let running = Running::start(system, plan)?;
    let report = run(&running.plan(plan)).with_context(|| running.tails())?;
    running.stop()?;
    Ok(report)
}

/// Looks for the highest rate that a system bears, from the rate of the plan on.
///
/// # Errors
/// When a process does not start.
pub fn find_maximum(system: System, plan: &Plan) -> Result<f64> {
    maximum::search(&mut Bench::new(system, plan, USERS), plan.rate)
}

/// Registers all users of a plan, kills the S-CSCF, starts it again, and waits until all are back.
///
/// # Errors
/// When a process does not start.
pub fn restart(system: System, plan: &Plan) -> Result<Comeback> {
    let mut running = Running::start(system, plan)?;
    let plan = running.plan(plan);
    comeback(&plan, &mut || running.restart_scscf())
}

/// One system for many short loads of users that it has not seen; a fresh one when these are used up.
pub(super) struct Bench {
    system: System,
    plan: Plan,
    running: Option<Running>,
    next: u32,
}

impl Bench {
    /// With this many users at a time; calls and messages are always among those of the plan.
    pub(super) fn new(system: System, plan: &Plan, users: u32) -> Self {
        let is_talk = plan.scenario.talk().is_some();
        let plan = Plan {
            first_imsi: FIRST_IMSI,
            users: if is_talk { plan.users } else { users },
            scenario: if is_talk {
                plan.scenario
            } else {
                Scenario::Register
            },
            ..plan.clone()
        };
        Self {
            system,
            plan,
            running: None,
            next: 0,
        }
    }

    /// Lets the next load have a fresh system.
    pub(super) fn renew(&mut self) {
        self.running = None;
        self.next = 0;
    }

    /// The processes of the system that runs, by name.
    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        let plan = self.running.as_ref().map(|running| running.plan(&self.plan));
        let watched = plan.into_iter().flat_map(|plan| plan.watch);
        let process = |text: String| {
            let (name, pid) = text.split_once('=')?;
            Some((name.to_owned(), pid.parse().ok()?))
        };
        watched.filter_map(process).collect()
    }

    /// Registers new users at a rate for some seconds; or lets the users of the plan talk to each other.
    pub(super) fn load(&mut self, rate: f64, seconds: f64) -> Result<Report> {
        // A rate is far below 2^32.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        let operations = (rate * seconds) as u32;
        let is_talk = self.plan.scenario.talk().is_some();
        let users = if is_talk { 0 } else { operations };
        if self.next + users > self.plan.users {
            self.renew();
        }
        self.plan.users = self.plan.users.max(users);
        let running = match self.running.take() {
            Some(running) => running,
            None => Running::start(self.system, &self.plan)?,
        };
        let plan = Plan {
            first_imsi: self.plan.first_imsi + u64::from(self.next),
            users: if is_talk { self.plan.users } else { users },
            rate,
            operations: Some(u64::from(operations)),
            ..running.plan(&self.plan)
        };
        self.next += users;
        let report = run(&plan).with_context(|| running.tails())?;
        self.running = Some(running);
        eprint!("{:?} {report}", self.system);
        Ok(report)
    }
}
