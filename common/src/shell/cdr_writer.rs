//! Shell: writes charging data records to files, each line before the message that it belongs to is sent.
//!
//! Each shard has files of its own, so that no shard waits for another one: `NODE-SHARD-NUMBER.jsonl.part` is written,
//! `NODE-SHARD-NUMBER.jsonl` is done and nobody writes it any more. A line reaches the kernel (write(2)) before the driver
//! goes on, so that the death of the process loses none; a thread forces lines to the disk each second, or the driver
//! does with each (`sync: each`).
//!
//! * `files`: names, heads and ages of files; `recovery`: what the last process left open is closed at the start
//! * `ledger`: lines on their way to the disk, and what becomes of them while it takes none

mod files;
mod ledger;
mod recovery;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::files::Files;
use self::ledger::{Ledger, Pen};
use crate::cdr::{CdrEvent, UtcMillis, WallClock};
use crate::config::{CdrConfig, CdrSync, OnDiskFull};
use crate::node::Metrics;
use crate::sip::Message;
use crate::steering::ShardPlace;

/// The time between two visits of the thread: what was written since is forced to the disk.
const VISIT: Duration = Duration::from_secs(1);

/// The records of one shard.
pub(super) struct CdrWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    syncs_each: bool,
}

struct Shared {
    ledger: Mutex<Ledger>,
    /// New records are to be refused.
    refuses: AtomicBool,
    end: Mutex<bool>,
    ending: Condvar,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both clocks, now.
fn clock() -> WallClock {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let utc = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    WallClock {
        now: Instant::now(),
        utc: UtcMillis(utc),
    }
}

impl CdrWriter {
    /// Closes what an earlier process left open, and begins a file.
    ///
    /// # Errors
    /// A sentence with a remedy, when the directory is of no use.
    pub(super) fn open(config: &CdrConfig, name: &str, place: ShardPlace) -> Result<Self, String> {
        Self::open_with(config, name, place, Pen::default())
    }

    fn open_with(config: &CdrConfig, name: &str, place: ShardPlace, pen: Pen) -> Result<Self, String> {
        let directory = config.directory.clone().unwrap_or_default();
        let shown = directory.display().to_string();
        let refused = |error: std::io::Error| {
            format!(
                "{name}.cdr.directory {shown}: {error}; it must be a directory of this node alone that the daemon may \
                 write to"
            )
        };
        let files = Files::take(directory, name, place).map_err(refused)?;
        let ledger = Ledger::begin(files, config, pen, clock()).map_err(refused)?;
        let refuses_when_full = config.on_disk_full == OnDiskFull::Refuse;
        let shared = Arc::new(Shared {
            ledger: Mutex::new(ledger),
            refuses: AtomicBool::new(false),
            end: Mutex::new(false),
            ending: Condvar::new(),
        });
        let visited = Arc::clone(&shared);
        let visit = move || visited.visit_until_the_end(refuses_when_full);
        let thread = thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(visit)
            .map_err(refused)?;
        Ok(Self {
            shared,
            thread: Some(thread),
            syncs_each: config.sync == CdrSync::Each,
        })
    }

    /// Writes an event. What the disk does not take waits.
    pub(super) fn write(&self, event: &CdrEvent) {
        let clock = clock();
        let mut ledger = self.shared.ledger();
        ledger.write(&event.line(clock), clock);
        if self.syncs_each {
            ledger.sync_now();
        }
    }

    /// Whether a request would make a record that the disk does not take, and that is not wanted.
    pub(super) fn refuses(&self, message: &Message) -> bool {
        self.shared.refuses.load(Relaxed) && matches!(message.request_method(), Some(b"INVITE" | b"MESSAGE"))
    }

    /// Copies what is counted to `out`.
    pub(super) fn export(&self, out: &mut Metrics) {
        self.shared.ledger().export(out);
        let refuses = self.shared.refuses.load(Relaxed);
        out.gauge("ims_cdr_refusing", &[], u64::from(refuses));
    }
}

impl Shared {
    fn visit_until_the_end(&self, refuses_when_full: bool) {
        loop {
            let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.ending.wait_timeout_while(end, VISIT, |end| !*end);
            let is_end = *waited.unwrap_or_else(PoisonError::into_inner).0;
            let (dirty, is_failing) = {
                let mut ledger = self.ledger();
                (ledger.visit(clock()), ledger.is_failing())
            };
            self.refuses.store(is_failing && refuses_when_full, Relaxed);
            // Not under the lock: it may take long, and the driver writes meanwhile.
            let failed = dirty.iter().filter(|file| file.sync_data().is_err()).count();
            if failed > 0 {
                self.ledger().sync_failed();
            }
            if is_end {
                return;
            }
        }
    }
}

impl Drop for CdrWriter {
    fn drop(&mut self) {
        *self.shared.end.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.ending.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
