//! Shell: processor time and memory of other processes, as Linux tells them.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};

/// Clock ticks a second in `/proc`, the same on all Linux machines that we know.
const TICKS: f64 = 100.0;

/// A process that is watched.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pid: u32,
}

/// What it has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) memory_bytes: u64,
}

impl Watched {
    /// Of `name=pid`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (name, pid) = text.split_once('=').context("--watch: expected name=pid")?;
        let pid = pid.parse().context("--watch: expected a number after `=`")?;
        Ok(Self {
            name: name.to_owned(),
            pid,
        })
    }

    /// What it and its children have used until now.
    pub(super) fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        for pid in family(self.pid) {
            let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}"));
            let (stat, rollup) = match (read("stat"), read("smaps_rollup")) {
                (Ok(stat), Ok(rollup)) => (stat, rollup),
                // A child that has just ended.
                _ if pid != self.pid => continue,
                _ => bail!(
                    "cannot read stat and smaps_rollup of {} ({pid}) in /proc",
                    self.name
                ),
            };
            sum.cpu_seconds += cpu_seconds(&stat).context("/proc/PID/stat is not as expected")?;
            sum.memory_bytes += memory_bytes(&rollup).context("/proc/PID/smaps_rollup is not as expected")?;
        }
        Ok(sum)
    }
}

/// The processor time of each thread of a process until now, by thread.
pub(super) fn threads(pid: u32) -> BTreeMap<String, f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let usage = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        Some((
            task.file_name().to_string_lossy().into_owned(),
            cpu_seconds(&stat)?,
        ))
    };
    tasks.flatten().filter_map(usage).collect()
}

/// A process, its children, their children.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        // Children belong to the thread that made them.
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    all
}

/// utime and stime, the 14th and 15th field; the 2nd one may hold spaces and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

/// Pss: what is shared counts once among all who share it.
fn memory_bytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_past_a_name_with_brackets() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(
            memory_bytes("7f-8f [rollup]\nRss:  9 kB\nPss:\t    2 kB\nPss_Dirty: 1 kB\n"),
            Some(2048)
        );
        assert!(family(std::process::id()).contains(&std::process::id()));
        assert!(Watched::parse("x").is_err() && Watched::parse("x=y").is_err());
    }
}
