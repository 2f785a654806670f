//! Testkit: what happened, as a ladder of text, and its comparison with a golden file.
//!
//! ```text
//!  0.000 UE     > P-CSCF REGISTER              CSeq=1 Expires=600000
//!  0.010 I-CSCF > HSS    UAR                   type=registration
//! ```
//! A line shows what the behaviour is about and nothing that chance made: no tags, branches, nonces, and no
//! identity.

mod diameter;
mod golden;
mod sip;

use std::fmt::Write as _;
use std::time::Duration;

pub use self::diameter::origin_host;
pub use self::golden::{assert_golden, assert_golden_file};

use crate::world::record::{Entry, Record, What};

/// The whole record as a ladder, without the watchdogs of Diameter.
#[must_use]
pub fn of(record: &Record) -> String {
    record
        .entries()
        .iter()
        .filter_map(line)
        .fold(String::new(), |mut text, line| {
            text.push_str(&line);
            text.push('\n');
            text
        })
}

/// The last lines of a record, `max` at most.
#[must_use]
pub fn last(record: &Record, max: usize) -> String {
    let mut lines: Vec<_> = record.entries().iter().rev().filter_map(line).take(max).collect();
    lines.reverse();
    lines.join("\n")
}

/// One line, or `None` for what a ladder leaves out.
#[must_use]
pub fn line(entry: &Entry) -> Option<String> {
    let mut text = time(entry.at);
    let (what, details) = match &entry.what {
        What::Note(note) => {
            let _ = write!(text, " -- {note}");
            return Some(text);
        }
        What::Sip { bytes, lost, flow } => sip::summary(bytes, *flow, *lost),
        What::Diameter { bytes } => diameter::summary(bytes)?,
    };
    let _ = write!(text, " {:<6} > {:<6} {what:<21} {details}", entry.from, entry.to);
    Some(text.trim_end().to_owned())
}

fn time(at: Duration) -> String {
    format!("{:>6}.{:03}", at.as_secs(), at.subsec_millis())
}
