//! Engine: whether the process and the machine are large enough: open files, cores, memory; and what the clock says.

use super::check::Check;
use crate::config::{LimitsConfig, ShellConfig};

/// Descriptors for all but the connections of SIP: listeners, Diameter, DNS, HTTP, the log.
const DESCRIPTORS_RESERVED: usize = 256;
/// What a node with empty tables takes.
const PROGRAM_BYTES: u64 = 64 << 20;
/// 2026-01-01: no clock of a machine that runs this is right before it.
const EARLIEST_UNIX_SECS: u64 = 1_767_225_600;
/// 2100-01-01: nor after this.
const LATEST_UNIX_SECS: u64 = 4_102_444_800;

/// What process and machine have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Room {
    /// The soft limit of open files; `None`: there is none, or it is not told.
    pub(super) descriptors: Option<usize>,
    /// Threads that may run at a time.
    pub(super) cores: usize,
    /// Octets that may still be had, of the machine or of the control group.
    pub(super) memory: Option<u64>,
    pub(super) unix_secs: u64,
    /// Whether somebody keeps the clock right; `None`: nobody says.
    pub(super) synchronised: Option<bool>,
}

/// Looks at all of it.
pub(super) fn judge(config: &ShellConfig, shards: u8, room: &Room) -> Vec<Check> {
    vec![
        files(&config.limits, room.descriptors),
        cores(config.name, shards, room.cores),
        memory(&config.limits, room.memory),
        clock(room.unix_secs, room.synchronised),
    ]
}

fn files(limits: &LimitsConfig, descriptors: Option<usize>) -> Check {
    const NAME: &str = "files";
    let wanted = limits.connections;
    let Some(descriptors) = descriptors else {
        return Check::ok(NAME, "the number of open files is not limited");
    };
    let possible = within(wanted, descriptors);
    if possible < wanted {
        return Check::warn(
            NAME,
            format!(
                "{descriptors} open files are allowed, so limits.connections is lowered from {wanted} to {possible}"
            ),
            "raise the limit of open files (ulimit -n, LimitNOFILE=)",
        );
    }
    Check::ok(
        NAME,
        format!("{descriptors} open files are allowed, enough for {wanted} connections"),
    )
}

fn cores(name: &str, shards: u8, cores: usize) -> Check {
    const NAME: &str = "cores";
    let shards = usize::from(shards);
    if shards > cores {
        return Check::warn(
            NAME,
            format!("{shards} shards share {cores} cores"),
            format!("more shards than cores cost and bring nothing: set {name}.shards to {cores} or less"),
        );
    }
    Check::ok(NAME, format!("{shards} shards on {cores} cores"))
}

fn memory(limits: &LimitsConfig, available: Option<u64>) -> Check {
    const NAME: &str = "memory";
    let Some(available) = available else {
        return Check::skipped(NAME, "this machine does not say how much memory is left");
    };
    let octets = limits.transaction_bytes.saturating_add(limits.completed_bytes);
    let wanted = u64::try_from(octets)
        .unwrap_or(u64::MAX)
        .saturating_add(PROGRAM_BYTES);
    let mib = |octets: u64| octets >> 20;
    if available < wanted {
        return Check::warn(
            NAME,
            format!(
                "{} MiB are left, and transactions alone may take {} MiB",
                mib(available),
                mib(wanted)
            ),
            "give the machine or the container more memory, or lower limits.transaction_bytes and limits.completed_bytes",
        );
    }
    Check::ok(NAME, format!("{} MiB are left", mib(available)))
}

fn clock(unix_secs: u64, synchronised: Option<bool>) -> Check {
    const NAME: &str = "clock";
    const REMEDY: &str = "have it kept right (timedatectl set-ntp true, or chrony): charging records, logs and traces of \
                          several nodes are joined by time";
    if !(EARLIEST_UNIX_SECS..LATEST_UNIX_SECS).contains(&unix_secs) {
        // A year in the mean is near enough to be seen as wrong.
        let year = 1970 + unix_secs / 31_556_952;
        return Check::fail(
            NAME,
            format!("the clock says it is the year {year}"),
            "set it (timedatectl set-time, or NTP): Diameter sessions, charging records and logs carry it",
        );
    }
    match synchronised {
        Some(true) => Check::ok(NAME, "the clock is synchronised"),
        Some(false) => Check::warn(NAME, "nothing synchronises the clock", REMEDY),
        None => Check::skipped(
            NAME,
            "the clock is plausible; nothing here says whether it is synchronised",
        ),
    }
}

/// How many of the wanted connections this process may have descriptors for. Without descriptors left, a flood of
/// connections would also end what needs one for a moment: DNS, a dial to the HSS.
pub(crate) fn within(wanted: usize, descriptors: usize) -> usize {
    wanted.min(descriptors - DESCRIPTORS_RESERVED.min(descriptors / 2))
}

/// The soft limit of open files in /proc/PID/limits; `None` when there is none, or it is not told.
pub(crate) fn descriptors(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Octets that /proc/meminfo calls available.
pub(super) fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        descriptors: Some(65_536),
        cores: 4,
        memory: Some(8 << 30),
        unix_secs: 1_795_000_000,
        synchronised: Some(true),
    };

    fn verdicts(shards: u8, room: &Room) -> String {
        let config = ShellConfig::new("pcscf", Vec::new());
        let checks = judge(&config, shards, room);
        let words: Vec<_> = checks.iter().map(|check| check.verdict.word()).collect();
        words.join(" ")
    }

    #[test]
    fn a_machine_that_is_large_enough_and_on_time_is_ok() {
        assert_eq!(verdicts(4, &ROOM), "ok ok ok ok");
    }

    #[test]
    fn each_want_of_room_is_told_with_its_numbers_and_the_key() {
        let room = Room {
            descriptors: Some(1_024),
            cores: 2,
            memory: Some(20 << 20),
            unix_secs: 7_200,
            synchronised: None,
        };
        assert_eq!(verdicts(4, &room), "warn warn warn FAIL");
        let config = ShellConfig::new("pcscf", Vec::new());
        let said: Vec<_> = judge(&config, 4, &room).iter().map(Check::sentence).collect();
        let [files, cores, memory, clock] = said.as_slice() else {
            panic!("{said:?}")
        };
        assert_eq!(
            files,
            "1024 open files are allowed, so limits.connections is lowered from 20000 to 768; raise the limit of open files \
             (ulimit -n, LimitNOFILE=)"
        );
        assert!(
            cores.contains("4 shards share 2 cores") && cores.contains("pcscf.shards to 2"),
            "{cores}"
        );
        assert!(memory.starts_with("20 MiB are left"), "{memory}");
        assert!(clock.starts_with("the clock says it is the year 1970"), "{clock}");
    }

    #[test]
    fn a_clock_that_nobody_keeps_right_is_a_warning() {
        let room = Room {
            synchronised: Some(false),
            ..ROOM
        };
        assert_eq!(verdicts(1, &room), "ok ok ok warn");
    }

    #[test]
    fn connections_fit_into_the_descriptors_of_the_process() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             62797                62797                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(descriptors(limits), Some(1_024));
        assert_eq!(descriptors(&limits.replace("1024 ", "unlimited ")), None);
        assert_eq!(within(20_000, 1_024), 768);
        assert_eq!(within(20_000, 65_536), 20_000);
        assert_eq!(within(20_000, 64), 32);
    }

    #[test]
    fn the_memory_that_is_left_is_read_from_meminfo() {
        let text = "MemTotal:       24000000 kB\nMemFree:          100000 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available(text), Some(2 << 20));
        assert_eq!(available("nonsense"), None);
    }
}
