//! Engine: a finding, and how the findings of a case are found.

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::detectors::CATALOGUE;
use super::entry::Entry;

/// One cause of failures that can be seen from what nodes saw: a row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// Its name, for metrics and the API: words with hyphens.
    pub name: &'static str,
    /// One line: what an operator would call it.
    pub title: &'static str,
    /// What it looks at, for the manual.
    pub signal: &'static str,
    /// An example of the sentence, for the manual; a test produces it.
    pub example: &'static str,
    /// How sure it is, and how much it explains: of several findings the heaviest is told first.
    pub weight: u8,
    /// Looks.
    pub detect: fn(&Case) -> Vec<Finding>,
}

/// What a detector has found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Name of the detector.
    pub detector: String,
    /// When it happened, in microseconds since 1970 UTC.
    pub at: u64,
    /// The cause, with the values that prove it. Without a full stop.
    pub cause: String,
    /// What to do about it; empty when nothing is to be done. Without a full stop.
    pub remedy: String,
    /// Name, node and time of the entries that prove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<Proof>,
    /// See [`Detector::weight`].
    pub weight: u8,
}

/// An entry that proves a finding.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Proof {
    /// When.
    pub at: u64,
    /// At which node.
    pub node: String,
}

impl Finding {
    /// Something that an entry proves. Detector and weight are filled in by [`explain`].
    #[must_use]
    pub fn new(proof: &Entry, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            detector: String::new(),
            at: proof.at,
            cause: cause.into(),
            remedy: remedy.into(),
            proof: vec![Proof {
                at: proof.at,
                node: proof.node.to_string(),
            }],
            weight: 0,
        }
    }

    /// The same, proved by another entry too.
    #[must_use]
    pub fn and(mut self, proof: &Entry) -> Self {
        self.proof.push(Proof {
            at: proof.at,
            node: proof.node.to_string(),
        });
        self
    }

    /// The sentence: cause and remedy.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.remedy.is_empty() {
            true => format!("{}.", self.cause),
            false => format!("{}; {}.", self.cause, self.remedy),
        }
    }
}

/// All findings of a case, the heaviest first, of equal ones the newest.
#[must_use]
pub fn explain(case: &Case) -> Vec<Finding> {
    let mut all = Vec::new();
    for detector in CATALOGUE {
        for mut finding in (detector.detect)(case) {
            detector.name.clone_into(&mut finding.detector);
            finding.weight = detector.weight;
            all.push(finding);
        }
    }
    all.sort_by_key(|finding| std::cmp::Reverse((finding.weight, finding.at)));
    all
}
