//! Codec: what is known of one subscriber or call, at one node or at all of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::facts::Fact;
use super::note::NoteKind;

/// Entries of one case; of more the oldest are left out.
const ENTRIES_MAX: usize = 2_000;

/// What is known of one subscriber or call.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Case {
    /// What was asked for.
    pub who: String,
    /// Names under which the subscriber is known: user parts and digits of his identities.
    pub names: BTreeSet<String>,
    /// When it was asked, in microseconds since 1970 UTC.
    pub now: u64,
    /// What happened in his stories, in the order of time.
    pub entries: Vec<Entry>,
    /// What happened to whole nodes, in the order of time: peers, kernel, storms.
    pub site: Vec<Entry>,
    /// Where nodes speak SIP, by address: `pcscf` …
    pub places: BTreeMap<SocketAddr, Cow<'static, str>>,
    /// Nodes that were asked and have told what they know.
    pub nodes: BTreeSet<Cow<'static, str>>,
}

impl Case {
    /// Joins what another node, or another shard, knows of the same one.
    pub fn merge(&mut self, other: Self) {
        self.names.extend(other.names);
        self.now = self.now.max(other.now);
        self.entries.extend(other.entries);
        self.site.extend(other.site);
        self.places.extend(other.places);
        self.nodes.extend(other.nodes);
        self.in_order();
    }

    pub(super) fn in_order(&mut self) {
        for list in [&mut self.entries, &mut self.site] {
            // Stable: at one instant, what a node has heard stands before what it says.
            list.sort_by_key(|entry| entry.at);
            let excess = list.len().saturating_sub(ENTRIES_MAX);
            list.drain(..excess);
        }
    }

    /// Whether nobody knows anything of it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries that `wanted` says, newest first.
    pub fn newest<'a>(&'a self, wanted: impl Fn(&Entry) -> bool + 'a) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().rev().filter(move |entry| wanted(entry))
    }

    /// The entries after this instant, oldest first.
    pub fn after(&self, at: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.at > at)
    }

    /// The entries of one story, B2BUAs' other legs among them, oldest first.
    pub fn story<'a>(&'a self, of: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.call_id == of.call_id || (of.icid.is_some() && entry.icid == of.icid))
    }

    /// Why a node refused with an answer of its own, by the label that it noted.
    #[must_use]
    pub fn reason_of_refusal<'a>(&'a self, answer: &'a Entry) -> Option<&'a str> {
        let noted = |entry: &&Entry| entry.node == answer.node && entry.note() == Some(NoteKind::Refused);
        let newest = self.story(answer).filter(noted).last()?;
        newest.get(Fact::Words)
    }

    /// How the subscriber is called in a sentence: the IMSI if it is known, else what was asked for.
    #[must_use]
    pub fn subscriber(&self) -> String {
        let is_imsi =
            |name: &&String| matches!(name.len(), 14..=15) && name.bytes().all(|it| it.is_ascii_digit());
        match self.names.iter().find(is_imsi) {
            Some(imsi) => format!("IMSI {imsi}"),
            None => self.who.clone(),
        }
    }

    /// The newest value of this name.
    #[must_use]
    pub fn newest_value(&self, name: Fact) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| entry.get(name))
    }
}
