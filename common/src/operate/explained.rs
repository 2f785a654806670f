//! Codec: what nodes know of a subscriber or call, and what they found out.

use serde::{Deserialize, Serialize};

use super::Unanswered;
use crate::why::{Case, Finding};

/// The answer of `why`: what happened, and what it means.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Explained {
    /// The timeline.
    #[serde(flatten)]
    pub case: Case,
    /// What it means, the best explanation first.
    #[serde(default)]
    pub findings: Vec<FindingRow>,
    /// Nodes that were asked too and did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Unanswered>,
}

/// The answer of `findings`: what nodes found out by themselves, newest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Findings {
    /// The findings.
    pub findings: Vec<FindingRow>,
    /// How many more there are.
    #[serde(default)]
    pub left_off: u64,
    /// Nodes that were asked too and did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Unanswered>,
}

/// A finding, and the sentence that it comes to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FindingRow {
    /// A name of the subscriber.
    pub subscriber: String,
    /// Cause, values and remedy in one sentence.
    pub sentence: String,
    /// What it is made of.
    #[serde(flatten)]
    pub finding: Finding,
}

impl FindingRow {
    /// A finding about a subscriber.
    #[must_use]
    pub fn new(subscriber: String, finding: Finding) -> Self {
        Self {
            subscriber,
            sentence: finding.sentence(),
            finding,
        }
    }
}

impl Findings {
    /// Adds those of another shard or node; no more than `limit` stay.
    pub fn join(&mut self, other: Self, limit: usize) {
        self.findings.extend(other.findings);
        self.findings.sort_by_key(|row| std::cmp::Reverse(row.finding.at));
        let excess = self.findings.len().saturating_sub(limit);
        self.findings.truncate(limit);
        let excess = u64::try_from(excess).unwrap_or(u64::MAX);
        self.left_off = self
            .left_off
            .saturating_add(other.left_off)
            .saturating_add(excess);
        self.unanswered.extend(other.unanswered);
    }
}
