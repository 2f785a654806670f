//! Shell: processor time and memory of other processes, as Linux tells them.

use std::fs;

use anyhow::{Context as _, Result};

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
    pub(super) rss_bytes: u64,
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

    /// What it has used until now.
    pub(super) fn usage(&self) -> Result<Usage> {
        let read = |file| {
            let path = format!("/proc/{}/{file}", self.pid);
            fs::read_to_string(&path).with_context(|| format!("cannot read {path} of {}", self.name))
        };
        Ok(Usage {
            cpu_seconds: cpu_seconds(&read("stat")?).context("/proc/PID/stat is not as expected")?,
            rss_bytes: rss_bytes(&read("status")?).context("/proc/PID/status is not as expected")?,
        })
    }
}

/// utime and stime, the 14th and 15th field; the 2nd one may hold spaces and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
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
        assert_eq!(rss_bytes("Name:\tx\nVmRSS:\t    2 kB\n"), Some(2048));
        assert!(Watched::parse("x").is_err() && Watched::parse("x=y").is_err());
    }
}
