//! Testkit: everything that was sent, in order.

use std::time::Duration;

use bytes::Bytes;
use ims_common::net::Flow;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Time since the world began.
    pub at: Duration,
    /// Who sent it; empty for a note.
    pub from: String,
    /// Who was to get it; empty for a note.
    pub to: String,
    /// What it was.
    pub what: What,
}

/// What an [`Entry`] is about.
#[derive(Clone, Debug)]
pub enum What {
    /// A SIP message.
    Sip {
        /// As the receiver sees it.
        flow: Flow,
        /// The message.
        bytes: Bytes,
        /// The link lost it.
        lost: bool,
    },
    /// A Diameter message.
    Diameter {
        /// The message.
        bytes: Bytes,
    },
    /// A sentence of the test.
    Note(String),
}

impl Entry {
    /// A SIP message from the first to the second.
    #[must_use]
    pub fn sip(at: Duration, (from, to): (&str, &str), flow: Flow, bytes: Bytes, lost: bool) -> Self {
        Self {
            at,
            from: from.to_owned(),
            to: to.to_owned(),
            what: What::Sip { flow, bytes, lost },
        }
    }

    /// A Diameter message from the first to the second.
    #[must_use]
    pub fn diameter(at: Duration, (from, to): (&str, &str), bytes: Bytes) -> Self {
        Self {
            at,
            from: from.to_owned(),
            to: to.to_owned(),
            what: What::Diameter { bytes },
        }
    }

    /// A sentence.
    #[must_use]
    pub fn note(at: Duration, text: &str) -> Self {
        Self {
            at,
            from: String::new(),
            to: String::new(),
            what: What::Note(text.to_owned()),
        }
    }
}

/// All entries.
#[derive(Clone, Debug, Default)]
pub struct Record {
    entries: Vec<Entry>,
}

impl Record {
    /// Adds one at the end.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// All, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The SIP messages sent from one node to another, as text.
    #[must_use]
    pub fn sip(&self, from: &str, to: &str) -> Vec<String> {
        self.entries
            .iter()
            .filter(|entry| entry.from == from && entry.to == to)
            .filter_map(|entry| match &entry.what {
                What::Sip { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
                What::Diameter { .. } | What::Note(_) => None,
            })
            .collect()
    }

    /// The start lines of the SIP messages sent from one node to another.
    #[must_use]
    pub fn start_lines(&self, from: &str, to: &str) -> Vec<String> {
        self.sip(from, to)
            .iter()
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
            .collect()
    }
}
