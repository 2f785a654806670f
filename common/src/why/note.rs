//! Codec: what a node knows and no wire shows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::facts::{Fact, Facts};

/// Notes that may wait to be read. They are read after each input.
const WAITING_MAX: usize = 256;

/// What a note is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// A request was refused; [`Fact::Words`] is the label.
    Refused,
    /// An application server was chosen by initial filter criteria.
    AppServerChosen,
    /// An application server did not answer, or refused: its default handling is applied.
    DefaultHandling,
    /// A message for an SMS gateway matched no criteria.
    NoCriteriaMatched,
    /// The name of the next hop is neither configured nor in DNS.
    NameServesNothing,
    /// A number was put into another form before it was looked up.
    NumberNormalised,
    /// A called identity has no binding.
    CalleeNotRegistered,
    /// A set of security associations is in the kernel.
    AssociationsReady,
    /// A set of security associations could not be made.
    AssociationsFailed,
    /// A set of security associations is gone.
    AssociationsGone,
    /// No packet came over a new set.
    AssociationsSilent,
    /// A UE registers with a realm that is not served here.
    ForeignRealm,
    /// Requests are refused until there are fewer.
    Throttled,
    /// A source is banned.
    Banned,
    /// A check of this machine has failed.
    CheckFailed,
}

impl NoteKind {
    /// Whether a story with such a note is worth a look.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        !matches!(
            self,
            Self::AppServerChosen | Self::NumberNormalised | Self::AssociationsReady | Self::AssociationsGone
        )
    }
}

/// What a node knows and no wire shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// What.
    pub kind: NoteKind,
    /// In which call; empty when it is in none.
    pub call_id: Box<str>,
    /// Whose identities, or none for what concerns the whole node.
    pub identities: Vec<Box<str>>,
    /// The values.
    pub facts: Facts,
}

impl Note {
    /// About the whole node.
    #[must_use]
    pub fn of_node(kind: NoteKind, facts: Facts) -> Self {
        Self {
            kind,
            call_id: Box::default(),
            identities: Vec::new(),
            facts,
        }
    }

    /// About a call.
    #[must_use]
    pub fn of_call(kind: NoteKind, call_id: &[u8], facts: Facts) -> Self {
        Self {
            kind,
            call_id: String::from_utf8_lossy(call_id).into(),
            identities: Vec::new(),
            facts,
        }
    }

    /// About a subscriber.
    #[must_use]
    pub fn of(kind: NoteKind, identity: &str, facts: Facts) -> Self {
        Self {
            kind,
            call_id: Box::default(),
            identities: vec![identity.into()],
            facts,
        }
    }

    /// The same with words.
    #[must_use]
    pub fn saying(mut self, words: &str) -> Self {
        self.facts.put(Fact::Words, words);
        self
    }
}

/// The notes of a node that nobody has read yet. Where nobody reads them they fill up, and then cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    waiting: VecDeque<Note>,
}

impl Notes {
    /// Makes a note, if there is room.
    pub fn make(&mut self, note: impl FnOnce() -> Note) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(note());
        }
    }

    /// The next one.
    pub fn poll(&mut self) -> Option<Note> {
        self.waiting.pop_front()
    }
}
