//! Testkit: the files of charging data records that nodes have, and what must hold of them.
//!
//! * No record is closed twice, and nothing is said of a record that is closed.
//! * A record ends when it has begun or later, and is answered between.

use std::collections::BTreeSet;

use ims_common::cdr::{Book, CdrEvent, CdrKind, CdrLine, UtcMillis, WallClock};
use ims_common::node::Seed;

use super::{NodeId, World};

/// The lines of one node, in all its lives.
#[derive(Debug, Default)]
pub(super) struct Charged {
    lines: Vec<CdrLine>,
    book: Book,
    closed: BTreeSet<String>,
}

impl Charged {
    fn write(&mut self, line: CdrLine) -> Result<(), String> {
        if self.closed.contains(&line.record.id) {
            return Err(format!("a closed record is written again: {line:?}"));
        }
        let times = line.times;
        let order = [Some(times.start), times.ring, times.answer, times.end];
        let known: Vec<_> = order.into_iter().flatten().collect();
        if !known.is_sorted() {
            return Err(format!("the times of a record are out of order: {line:?}"));
        }
        if matches!(line.kind, CdrKind::Stop | CdrKind::Event) {
            self.closed.insert(line.record.id.clone());
        }
        self.book.read(line.clone());
        self.lines.push(line);
        Ok(())
    }

    /// As the shell does when it starts: what is open was left so by a process that is gone.
    pub(super) fn begin_again(&mut self) {
        for line in self.book.close_all() {
            self.closed.insert(line.record.id.clone());
            self.lines.push(line);
        }
    }
}

impl World {
    pub(super) fn write_record(&mut self, id: NodeId, event: &CdrEvent) {
        let clock = self.wall_clock();
        let charged = &mut self.slots[id.0].charged;
        if let Err(wrong) = charged.write(event.line(clock)) {
            self.fail(&wrong);
        }
    }

    /// The time of day, where the world began when the seeds say so.
    fn wall_clock(&self) -> WallClock {
        let began = Seed::from_number(0).boot_unix_secs * 1_000;
        WallClock {
            now: self.epoch,
            utc: UtcMillis(began),
        }
    }

    /// All that a node wrote of charging data records.
    #[must_use]
    pub fn record_lines(&self, name: &str) -> &[CdrLine] {
        &self.slots[self.id(name).0].charged.lines
    }

    /// The whole records among them.
    #[must_use]
    pub fn records(&self, name: &str) -> Vec<CdrLine> {
        let lines = self.record_lines(name).iter();
        let whole = lines.filter(|line| matches!(line.kind, CdrKind::Stop | CdrKind::Event));
        whole.cloned().collect()
    }

    /// Sessions that are answered and lie open in the files of a node.
    #[must_use]
    pub fn open_records(&self, name: &str) -> usize {
        self.slots[self.id(name).0].charged.book.open()
    }
}
