//! Table: the records that are open in a stream of lines, and how they are closed when their node died.

use std::collections::BTreeMap;

use super::{Cause, CdrEnding, CdrKind, CdrLine, CdrParty, UtcMillis};

/// Follows lines in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Book {
    open: BTreeMap<String, CdrLine>,
    last: UtcMillis,
}

impl Book {
    /// The next line.
    pub fn read(&mut self, line: CdrLine) {
        let times = &line.times;
        for at in [Some(times.start), times.ring, times.answer, times.end] {
            self.alive(at.unwrap_or_default());
        }
        match line.kind {
            CdrKind::Start | CdrKind::Interim => {
                self.open.insert(line.record.id.clone(), line);
            }
            CdrKind::Stop | CdrKind::Event => {
                self.open.remove(&line.record.id);
            }
        }
    }

    /// The node was alive at this moment.
    pub fn alive(&mut self, at: UtcMillis) {
        self.last = self.last.max(at);
    }

    /// How many records are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The last lines of records that the node left open when it died: it was alive at the last moment that is known, and
    /// these sessions lasted then.
    #[must_use]
    pub fn close_all(&mut self) -> Vec<CdrLine> {
        let last = self.last;
        let open = std::mem::take(&mut self.open);
        let closed = open.into_values().map(|mut line| {
            let answer = line.times.answer.unwrap_or(line.times.start);
            let end = last.max(answer);
            line.kind = CdrKind::Stop;
            line.times.end = Some(end);
            line.duration_ms = Some(end.since(answer));
            line.record.cause = Some(Cause {
                ending: CdrEnding::NodeRestarted,
                by: CdrParty::Network,
                status: None,
                reason: None,
            });
            line
        });
        closed.collect()
    }
}
