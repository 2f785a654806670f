//! Testkit: what the owner of a card reads: what is on it, what a phone will do with it, and what does not fit.
//!
//! A [`Report`] is made of what was read, and of nothing else. Its `Display` is the text, at most [`COLUMNS`] wide, and
//! [`Report::json`] the same for programs.

mod files;
mod json;
mod phone;
mod services;

use std::fmt;

use serde::Serialize;

use super::contents::{CardContents, Pin, PinState};
use super::core::Core;
use super::findings::{Finding, Severity, findings};
use super::wording::{and, printable, wrapped};

/// How wide the text is, except where one word is longer.
pub const COLUMNS: usize = 100;

/// All that is said of a card.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    reader: &'a str,
    card: &'a CardContents,
    core: Option<&'a Core>,
    findings: Vec<Finding>,
}

impl<'a> Report<'a> {
    /// Of what was read in this reader, for this core.
    #[must_use]
    pub fn new(reader: &'a str, card: &'a CardContents, core: Option<&'a Core>) -> Self {
        Self {
            reader,
            card,
            core,
            findings: findings(card, core),
        }
    }

    /// What does not fit, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Something is wrong, and not only doubtful.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.findings.iter().any(|it| it.severity == Severity::Wrong)
    }

    /// The same as JSON. The names stay.
    #[must_use]
    pub fn json(&self) -> impl Serialize + '_ {
        json::Card::new(self)
    }

    /// What was compared and what was not, in one sentence.
    fn compared(&self) -> String {
        let Some(core) = self.core else {
            return "Only the card was looked at: no file of a core was given (--core FILE).".to_owned();
        };
        let files = and(core.files());
        match core.subscribers() {
            Some(_) => format!("Compared with {files}."),
            None => format!(
                "Compared with {files}. No file of an HSS is among them: whether the HSS knows these names was not looked at."
            ),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = |name, text: &str| wrapped(&format!("{name:<14}"), text, COLUMNS);
        f.write_str(&heading("Reader", &printable(self.reader)))?;
        f.write_str(&heading("ATR", &super::wording::hex(&self.card.atr)))?;
        f.write_str(&heading(
            "ICCID",
            &files::in_words(&self.card.iccid, |iccid| printable(iccid)),
        ))?;
        f.write_str(&heading("PIN", &pin_in_words(self.card.pin)))?;
        files::write(f, self.card)?;
        writeln!(f, "\nA phone with this card will:")?;
        for sentence in phone::sentences(self.card, self.core) {
            f.write_str(&wrapped("  - ", &sentence, COLUMNS))?;
        }
        f.write_str("\n")?;
        f.write_str(&wrapped("", &self.compared(), COLUMNS))?;
        self.write_findings(f)
    }
}

impl Report<'_> {
    fn write_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return writeln!(f, "\nNothing was found that does not fit.");
        }
        writeln!(f, "\nWhat does not fit ({}):", self.counted())?;
        for finding in &self.findings {
            let sentence = format!("{} [{}]", finding.sentence, finding.id);
            let severity = finding.severity.word();
            f.write_str(&wrapped(&format!("  {severity:<10}"), &sentence, COLUMNS))?;
            f.write_str(&wrapped("            -> ", &finding.remedy, COLUMNS))?;
        }
        Ok(())
    }

    /// `2 wrong, 1 note`
    fn counted(&self) -> String {
        let count = |severity: Severity| {
            let count = self.findings.iter().filter(|it| it.severity == severity).count();
            let plural = if severity == Severity::Note && count > 1 {
                "s"
            } else {
                ""
            };
            (count > 0).then(|| format!("{count} {}{plural}", severity.word()))
        };
        let counts = [Severity::Wrong, Severity::Doubtful, Severity::Note].map(count);
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn pin_in_words(pin: Option<Pin>) -> String {
    let Some(pin) = pin else {
        return "not known".to_owned();
    };
    match pin.state {
        PinState::Disabled => "disabled".to_owned(),
        PinState::Verified => "enabled; it was said".to_owned(),
        PinState::Wanted { tries: 1 } => "enabled and not said; 1 try remains".to_owned(),
        PinState::Wanted { tries } => format!("enabled and not said; {tries} tries remain"),
        PinState::Blocked => "blocked".to_owned(),
        PinState::Unknown(status) => format!("the card says {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::samples::{card, card_with_isim, core, pin, text, without_hss};
    use super::*;

    #[test]
    fn a_card_without_faults_is_told_so() {
        let (card, core) = (card(), core());
        let report = Report::new("Reader 0", &card, Some(&core));
        assert!(!report.is_wrong());
        let text = report.to_string();
        assert!(
            text.ends_with(
                "\nCompared with pcscf.yaml and hss.yaml.\n\nNothing was found that does not fit.\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_was_not_compared_is_said() {
        let card = card();
        let alone = Report::new("Reader 0", &card, None).to_string();
        assert!(alone.contains("\nOnly the card was looked at"), "{alone}");
        let core = without_hss();
        let foreign = Report::new("Reader 0", &card, Some(&core)).to_string();
        assert!(foreign.contains("No file of an HSS is among them"), "{foreign}");
    }

    #[test]
    fn lines_are_narrow_and_wrong_things_counted() {
        let mut card = card_with_isim(|isim| isim.domain = text("ims.example"));
        card.pin = pin(1);
        let core = core();
        let report = Report::new("Reader 0", &card, Some(&core));
        assert!(report.is_wrong());
        let text = report.to_string();
        assert!(
            text.contains("\nWhat does not fit (1 wrong, 1 doubtful, 2 notes):\n"),
            "{text}"
        );
        let wide = text.lines().find(|line| line.chars().count() > COLUMNS);
        assert_eq!(wide, None);
    }

    #[test]
    fn what_a_reader_is_called_is_not_obeyed_by_the_terminal() {
        let card = card();
        let text = Report::new("Evil\u{1b}[2J", &card, None).to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
