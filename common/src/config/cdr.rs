//! Codec: the configuration of charging data records.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, DurationText};

/// Where charging data records go: `cdr: {directory: /var/lib/ims/cdr}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CdrConfig {
    /// The directory of the files; without one there are no records.
    pub directory: Option<PathBuf>,
    /// A file is done when it has so many octets.
    pub rotate_bytes: u64,
    /// A file is done when it is so old, if anything is in it.
    pub rotate_every: DurationText,
    /// Files that are done and stay; older ones are removed.
    pub keep: usize,
    /// When lines are forced to the disk.
    pub sync: CdrSync,
    /// What happens while the disk takes no lines.
    pub on_disk_full: OnDiskFull,
    /// Octets that wait in memory while the disk takes no lines; above, lines are lost and counted.
    pub buffer_bytes: usize,
}

impl Default for CdrConfig {
    fn default() -> Self {
        Self {
            directory: None,
            rotate_bytes: 67_108_864,
            rotate_every: DurationText::secs(3_600),
            keep: 1_000,
            sync: CdrSync::Second,
            on_disk_full: OnDiskFull::Serve,
            buffer_bytes: 16_777_216,
        }
    }
}

/// When lines are forced to the disk (fdatasync). Before that they survive the death of the process, not that of the
/// machine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CdrSync {
    /// All of a second together; nobody waits.
    #[default]
    Second,
    /// Each before the message that it belongs to; all calls wait for the disk.
    Each,
}

/// What happens while the disk takes no lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDiskFull {
    /// Calls go on.
    #[default]
    Serve,
    /// What would make a new record is refused with 503.
    Refuse,
}

impl CdrConfig {
    /// What must hold for a file to be of use. `key` is where this section stands.
    ///
    /// # Errors
    /// A complaint about one of the keys.
    pub fn check(&self, key: &str) -> Result<(), ConfigError> {
        if self.rotate_bytes < 4_096 {
            let problem = format!("{} octets hold no file", self.rotate_bytes);
            return Err(ConfigError::invalid(
                &format!("{key}.rotate_bytes"),
                problem,
                "at least 4096",
            ));
        }
        if self.rotate_every.get().is_zero() || self.keep == 0 {
            let problem = "rotate_every and keep cannot be 0";
            return Err(ConfigError::invalid(key, problem, "at least 1s and 1"));
        }
        if self.directory.as_ref().is_some_and(|path| !path.is_absolute()) {
            let problem = "is relative to wherever the daemon is started";
            return Err(ConfigError::invalid(
                &format!("{key}.directory"),
                problem,
                "an absolute path",
            ));
        }
        Ok(())
    }

    /// This section when there are to be records.
    #[must_use]
    pub fn when_on(&self) -> Option<Self> {
        self.directory.is_some().then(|| self.clone())
    }
}
