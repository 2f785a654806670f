//! Shell: lines of charging data records on their way to the disk.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use super::files::{Files, Head, Mark};
use super::recovery::{self, Found};
use crate::cdr::{CdrKind, CdrLine, UtcMillis, WallClock};
use crate::config::CdrConfig;
use crate::node::{Counters, Metrics};

/// Of the layout of files.
const VERSION: u32 = 1;
/// While a record is open, the files say at least so often that the node is alive: when it dies, that is how exactly the
/// end of the record is known.
const MARK_EVERY: u64 = 10_000;
/// The shortest time between two lines of the log about one trouble.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What writes to a file; another one in tests.
pub(super) struct Pen(pub(super) Box<Write>);

type Write = dyn FnMut(&mut File, &[u8]) -> io::Result<()> + Send;

impl Default for Pen {
    fn default() -> Self {
        Self(Box::new(|file, line| file.write_all(line)))
    }
}

/// See the module.
pub(super) struct Ledger {
    files: Files,
    config: CdrConfig,
    pen: Pen,
    current: Current,
    /// In which file each open record begins.
    open: BTreeMap<String, u64>,
    /// Lines that the disk has not taken, in order.
    waiting: VecDeque<Line>,
    waiting_octets: usize,
    /// What an earlier process left, until the lines that close it are written.
    earlier: Option<Found>,
    complained: Option<Instant>,
    is_failing: bool,
    /// Files with lines that are not on the disk for certain.
    dirty: Vec<File>,
    counters: Counters,
}

/// A line, and what it does to the record that it is of.
struct Line {
    text: Vec<u8>,
    of: Option<(String, CdrKind)>,
}

/// The file that is written.
struct Current {
    file: File,
    number: u64,
    begun: Instant,
    /// Whole lines.
    octets: u64,
    /// Anything beside the head.
    has_lines: bool,
    is_dirty: bool,
    last_line: UtcMillis,
}

impl Current {
    fn of(file: File, number: u64, clock: WallClock) -> Self {
        Self {
            file,
            number,
            begun: clock.now,
            octets: 0,
            has_lines: false,
            is_dirty: true,
            last_line: clock.utc,
        }
    }
}

impl Ledger {
    /// Closes what was left open, and begins a file. A crash between may lead to a second start like this one, never to a
    /// lost record. On a full disk all of this waits, and the node serves.
    pub(super) fn begin(files: Files, config: &CdrConfig, pen: Pen, clock: WallClock) -> io::Result<Self> {
        let mut found = recovery::read(&files)?;
        let file = files.create(found.next)?;
        let (closed, torn, since) = (std::mem::take(&mut found.closed), found.torn, found.open_since);
        let mut ledger = Self {
            current: Current::of(file, found.next, clock),
            files,
            config: config.clone(),
            pen,
            open: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_octets: 0,
            earlier: Some(found),
            complained: None,
            is_failing: false,
            dirty: Vec::new(),
            counters: Counters::default(),
        };
        ledger.put_or_hold(head_line(clock, since), clock.now)?;
        for line in &closed {
            ledger.put_or_hold(Line::of(line), clock.now)?;
            ledger.counters.count("ims_cdr_recovered_total", "node restarted");
        }
        if ledger.waiting.is_empty() {
            ledger.finish_earlier()?;
        }
        if !closed.is_empty() || torn > 0 {
            tracing::warn!(
                closed = closed.len(),
                torn,
                "charging data records of an earlier process"
            );
        }
        Ok(ledger)
    }

    /// A line of the start: of all that can be wrong with a disk only that it is full passes by itself.
    fn put_or_hold(&mut self, line: Line, now: Instant) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.hold(line);
            return Ok(());
        }
        match self.put(line) {
            Err((error, line)) if is_full(&error) => {
                self.fail(&error, now);
                self.hold(line);
                Ok(())
            }
            put => put.map_err(|(error, _)| error),
        }
    }

    /// Gives the files of an earlier process their last names: what closes their records is written here.
    fn finish_earlier(&mut self) -> io::Result<()> {
        let Some(earlier) = &self.earlier else {
            return Ok(());
        };
        self.current.file.sync_data()?;
        earlier.finish()?;
        self.earlier = None;
        Ok(())
    }

    /// Writes a line, or lets it wait.
    pub(super) fn write(&mut self, line: &CdrLine, clock: WallClock) {
        self.counters.count("ims_cdr_lines_total", line.kind.label());
        self.take(Line::of(line), clock);
    }

    fn take(&mut self, line: Line, clock: WallClock) {
        if self.waiting.is_empty() {
            if self.current.octets >= self.config.rotate_bytes {
                self.rotate(clock);
            }
            match self.put(line) {
                Ok(()) => self.current.last_line = clock.utc,
                Err((error, line)) => {
                    self.fail(&error, clock.now);
                    self.wait(line);
                }
            }
        } else {
            self.wait(line);
        }
    }

    fn wait(&mut self, line: Line) {
        if self.waiting_octets + line.text.len() > self.config.buffer_bytes {
            // Whoever reads the files is told by the counter that some are missing.
            return self.counters.count("ims_cdr_lost_total", "buffer full");
        }
        self.hold(line);
    }

    fn hold(&mut self, line: Line) {
        self.waiting_octets += line.text.len();
        self.waiting.push_back(line);
    }

    /// One line to the file, whole or not at all.
    fn put(&mut self, line: Line) -> Result<(), (io::Error, Line)> {
        let Pen(pen) = &mut self.pen;
        if let Err(error) = pen(&mut self.current.file, &line.text) {
            // What was written of it goes again.
            let octets = self.current.octets;
            let _ = self.current.file.set_len(octets);
            let _ = self.current.file.seek(SeekFrom::Start(octets));
            return Err((error, line));
        }
        let current = &mut self.current;
        current.octets += u64::try_from(line.text.len()).unwrap_or(u64::MAX);
        current.is_dirty = true;
        current.has_lines |= line.of.is_some();
        match line.of {
            Some((id, CdrKind::Start | CdrKind::Interim)) => {
                self.open.entry(id).or_insert(current.number);
            }
            Some((id, CdrKind::Stop | CdrKind::Event)) => drop(self.open.remove(&id)),
            None => {}
        }
        Ok(())
    }

    fn fail(&mut self, error: &io::Error, now: Instant) {
        self.is_failing = true;
        self.counters.count("ims_cdr_write_errors_total", "write");
        let is_time = |last: Instant| now.saturating_duration_since(last) >= COMPLAIN_EVERY;
        if self.complained.is_none_or(is_time) {
            self.complained = Some(now);
            tracing::error!(%error, waiting = self.waiting.len(), "the disk takes no charging data records");
        }
    }

    /// The next file.
    fn rotate(&mut self, clock: WallClock) {
        let number = self.current.number + 1;
        let file = match self.files.create(number) {
            Ok(file) => file,
            // This one does for now.
            Err(error) => return self.fail(&error, clock.now),
        };
        let old = std::mem::replace(&mut self.current, Current::of(file, number, clock));
        let since = self.open.values().min().copied().unwrap_or(number);
        if let Err((error, head)) = self.put(head_line(clock, since)) {
            self.fail(&error, clock.now);
            self.waiting_octets += head.text.len();
            self.waiting.push_front(head);
        }
        if old.is_dirty {
            self.dirty.push(old.file);
        }
        self.counters.count("ims_cdr_files_total", "done");
        let finished = self.files.finish(old.number);
        let removed = finished.and_then(|()| self.files.remove_old(self.config.keep, since));
        if let Err(error) = removed {
            tracing::warn!(%error, "a file of charging data records cannot be finished or removed");
        }
    }

    /// Each second: what waits, what is too old, and that the node is alive. Gives the files to be forced to the disk.
    pub(super) fn visit(&mut self, clock: WallClock) -> Vec<File> {
        self.try_again(clock);
        let age = clock.now.saturating_duration_since(self.current.begun);
        if self.waiting.is_empty() && self.current.has_lines && age >= self.config.rotate_every.get() {
            self.rotate(clock);
        }
        let is_silent = clock.utc.since(self.current.last_line) >= MARK_EVERY;
        if is_silent && !self.open.is_empty() && self.waiting.is_empty() {
            self.take(mark_line(clock), clock);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.current.is_dirty) {
            dirty.extend(self.current.file.try_clone());
        }
        dirty
    }

    fn try_again(&mut self, clock: WallClock) {
        let was_waiting = !self.waiting.is_empty();
        while let Some(line) = self.waiting.pop_front() {
            let octets = line.text.len();
            if let Err((error, line)) = self.put(line) {
                self.waiting.push_front(line);
                return self.fail(&error, clock.now);
            }
            self.waiting_octets -= octets;
            self.current.last_line = clock.utc;
        }
        if let Err(error) = self.finish_earlier() {
            return self.fail(&error, clock.now);
        }
        if was_waiting || self.is_failing {
            self.is_failing = false;
            self.complained = None;
            tracing::info!("the disk takes charging data records again");
        }
    }

    /// Whether the disk took no line the last time.
    pub(super) const fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Forces what was written to the disk at once.
    pub(super) fn sync_now(&mut self) {
        match self.current.file.sync_data() {
            Ok(()) => self.current.is_dirty = false,
            Err(_) => self.sync_failed(),
        }
    }

    pub(super) fn sync_failed(&mut self) {
        self.counters.count("ims_cdr_write_errors_total", "sync");
    }

    pub(super) fn export(&self, out: &mut Metrics) {
        self.counters.export(out);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        out.gauge("ims_cdr_open", &[], count(self.open.len()));
        out.gauge("ims_cdr_waiting_lines", &[], count(self.waiting.len()));
        out.gauge("ims_cdr_waiting_bytes", &[], count(self.waiting_octets));
    }
}

/// ENOSPC, EDQUOT.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl Line {
    fn of(line: &CdrLine) -> Self {
        Self {
            of: Some((line.record.id.clone(), line.kind)),
            ..Self::plain(line)
        }
    }

    fn plain(value: &impl serde::Serialize) -> Self {
        // A value of ours can be expressed.
        let mut text = serde_json::to_vec(value).unwrap_or_default();
        text.push(b'\n');
        Self { text, of: None }
    }
}

fn head_line(clock: WallClock, open_since: u64) -> Line {
    Line::plain(&Head {
        kind: "file".to_owned(),
        version: VERSION,
        at: clock.utc,
        open_since,
    })
}

fn mark_line(clock: WallClock) -> Line {
    Line::plain(&Mark {
        kind: "mark".to_owned(),
        at: clock.utc,
    })
}
