//! Testkit: what is wrong with a card, by itself and for a core, as a table of sentences with their remedies.
//!
//! Each rule is a pure function of what was read from the card and of what is known of the core. A new one is one more row of
//! the [`CATALOGUE`], a test that produces its example and one in which it says nothing; the manual is made of the table.

mod applications;
mod files;
mod home;
mod names;
mod pin;
pub mod samples;
mod services;
mod subscription;

use std::fmt;

use serde::Serialize;

pub(super) use self::services::mode;
use super::contents::CardContents;
use super::core::Core;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// With this a phone does not register, or is not what its owner thinks.
    Wrong,
    /// Some phones or some services do not work.
    Doubtful,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Doubtful => "doubtful",
            Self::Note => "note",
        }
    }
}

/// What was found: `{sentence}; {remedy}.`
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Which rule found it.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is so, with the values that prove it; begins with a capital and has no full stop.
    pub sentence: String,
    /// What to do; begins small and has no full stop.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}.", self.sentence, self.remedy)
    }
}

/// What a rule says: sentence and remedy.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Said {
    sentence: String,
    remedy: String,
}

impl Said {
    fn new(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            remedy: remedy.into(),
        }
    }
}

/// A row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, which does not change.
    pub id: &'static str,
    /// How bad it is what it finds.
    pub severity: Severity,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// A finding as a test has produced it.
    pub example: &'static str,
    find: fn(&CardContents, Option<&Core>) -> Vec<Said>,
}

impl Rule {
    fn findings(&self, card: &CardContents, core: Option<&Core>) -> impl Iterator<Item = Finding> {
        let (id, severity) = (self.id, self.severity);
        (self.find)(card, core).into_iter().map(move |said| Finding {
            id,
            severity,
            sentence: said.sentence,
            remedy: said.remedy,
        })
    }
}

/// All rules.
pub const CATALOGUE: &[&Rule] = &[
    &pin::BLOCKED,
    &applications::NO_APPLICATION,
    &files::REFUSED,
    &files::MALFORMED,
    &applications::ISIM_EMPTY,
    &applications::NO_IMSI,
    &names::IMPI_MALFORMED,
    &names::IMPU_MALFORMED,
    &names::NO_SIP_IMPU,
    &home::NO_NAME,
    &home::NOT_SERVED,
    &home::MNC_LENGTH,
    &names::IMPU_NOT_SERVED,
    &subscription::IMPI_UNKNOWN,
    &subscription::NO_KEYS,
    &subscription::IMPU_UNKNOWN,
    &subscription::BARRED,
    &home::IMPI_REALM,
    &home::MNC_LENGTH_UNSAID,
    &names::FIRST_IMPU_IS_NUMBER,
    &names::TEMPORARY_ONLY,
    &subscription::NO_NUMBER,
    &files::OTHERS_REFUSED,
    &services::OTHER_PCSCF,
    &services::PCSCF_SERVICE,
    &services::NO_SERVICE_CENTRE,
    &services::TEST_MODE,
    &pin::LAST_TRY,
    &applications::NO_ISIM,
    &home::FORM,
    &names::OTHER_IMSI,
    &services::NO_SMS_OVER_IP,
    &pin::WANTED,
];

/// What does not fit, the worst first.
#[must_use]
pub fn findings(card: &CardContents, core: Option<&Core>) -> Vec<Finding> {
    let mut all: Vec<_> = CATALOGUE
        .iter()
        .flat_map(|rule| rule.findings(card, core))
        .collect();
    // A stable sort: what is equally bad stays in the order of the catalogue.
    all.sort_by_key(|finding| finding.severity);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_card_of_a_core_that_knows_it_has_no_findings() {
        let found = findings(&samples::card(), Some(&samples::core()));
        assert_eq!(found, []);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut card = samples::usim_only();
        card.pin = samples::pin(0);
        let found: Vec<_> = findings(&card, None).iter().map(|it| it.severity).collect();
        assert_eq!(found, [Severity::Wrong, Severity::Note]);
    }
}
