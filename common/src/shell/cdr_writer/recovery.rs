//! Shell: what the last process left open in its files of charging data records.
//!
//! A record that was opened and not closed is of a session that was in progress when the process died. It is closed with
//! the last moment at which the process is known to have lived: the last line of its files.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use super::files::{Files, Head, Listed, Mark};
use crate::cdr::{Book, CdrLine};

/// Octets of one line; a longer one is none of ours.
const LINE_MAX: u64 = 1 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The last lines of records that were open.
    pub(super) closed: Vec<CdrLine>,
    /// Lines that could not be read: torn by the death of the machine.
    pub(super) torn: u64,
    /// The number of the next file.
    pub(super) next: u64,
    /// The first file that holds an open record.
    pub(super) open_since: u64,
    /// Files that were not finished, and how many octets of them are whole lines.
    unfinished: Vec<(Listed, u64)>,
}

impl Found {
    /// Gives files their last names, once the lines of `closed` are written elsewhere.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.unfinished
            .iter()
            .try_for_each(|(file, octets)| file.done_after(*octets))
    }
}

/// Reads what there is.
pub(super) fn read(files: &Files) -> io::Result<Found> {
    let own = files.list()?;
    let mut found = Found {
        next: own.last().map_or(1, |last| last.number + 1),
        ..Found::default()
    };
    found.open_since = found.next;
    if let Some(since) = found.read_stream(&own)? {
        found.open_since = since;
    }
    for gone in files.list_of_gone_shards()? {
        found.read_stream(&gone)?;
    }
    Ok(found)
}

impl Found {
    /// The files of one shard. Says in which file the first one is that is still of use.
    fn read_stream(&mut self, files: &[Listed]) -> io::Result<Option<u64>> {
        let head = files.iter().rev().find_map(Listed::head);
        let Some(Head { open_since, .. }) = head else {
            return Ok(None);
        };
        let mut book = Book::default();
        for file in files {
            if file.number >= open_since || !file.is_done {
                let octets = self.read_file(file, &mut book)?;
                if !file.is_done {
                    self.unfinished.push((file.clone(), octets));
                }
            }
        }
        let closed = book.close_all();
        let has_open = !closed.is_empty();
        self.closed.extend(closed);
        Ok(has_open.then_some(open_since))
    }

    /// Says how many octets are whole lines.
    fn read_file(&mut self, file: &Listed, book: &mut Book) -> io::Result<u64> {
        let mut reader = BufReader::new(File::open(&file.path)?);
        let (mut whole, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(whole);
            }
            if line.last() != Some(&b'\n') {
                self.torn += 1;
                return Ok(whole);
            }
            whole += u64::try_from(read).unwrap_or(u64::MAX);
            if let Ok(record) = serde_json::from_slice::<CdrLine>(&line) {
                book.read(record);
            } else if let Ok(Mark { at, .. }) = serde_json::from_slice(&line) {
                book.alive(at);
            } else {
                self.torn += 1;
            }
        }
    }
}
