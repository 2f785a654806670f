//! Codec: what the doctor says: checks with a verdict, what was found, and the remedy; snippets to paste.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// There was nothing to look at, or no way to look.
    Skipped,
    /// The node serves, but something will surprise.
    Warn,
    /// The node cannot do its work so.
    Fail,
}

impl Verdict {
    /// The word in a list of checks: failures stand out.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One check as a value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at: `route`, `ipsec`, `diameter`.
    pub name: Cow<'static, str>,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, with the values.
    pub found: String,
    /// What to do; empty where nothing has to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Check {
    pub(crate) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found, "")
    }

    pub(crate) fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, found, "")
    }

    pub(crate) fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, found, remedy)
    }

    pub(crate) fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, found, remedy)
    }

    fn new(
        name: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            verdict,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    /// Whether its remedy is among the snippets.
    pub(crate) fn asks_for_a_snippet(&self) -> bool {
        self.remedy.contains("the lines below") || self.remedy.contains("--snippets")
    }

    /// One sentence: what was found, and the remedy.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.remedy.is_empty() {
            true => self.found.clone(),
            false => format!("{}; {}", self.found, self.remedy),
        }
    }
}

/// Text to paste into a file of a neighbour.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Snippet {
    /// Whose file: `Open5GS smf.yaml, on the machine of the SMF`.
    pub file: String,
    /// The lines.
    pub text: String,
}

/// All checks of one node.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The daemon.
    pub node: String,
    /// Its version.
    pub version: String,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// What to paste elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snippets: Vec<Snippet>,
}

impl Diagnosis {
    pub(crate) fn new(node: &str, checks: Vec<Check>) -> Self {
        Self {
            node: node.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checks,
            snippets: Vec::new(),
        }
    }

    /// Whether no check failed; warnings do not count.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Fail)
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    }
}

/// For a terminal: a line for each check, its remedy below it, the sum, then the snippets.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.node, self.version)?;
        for check in &self.checks {
            writeln!(f, "{:<8}{:<11}{}", check.verdict.word(), check.name, check.found)?;
            if !check.remedy.is_empty() {
                writeln!(f, "{:<19}-> {}", "", check.remedy)?;
            }
        }
        let count = |verdict| self.count(verdict);
        writeln!(
            f,
            "{} ok, {} warn, {} fail, {} skipped",
            count(Verdict::Ok),
            count(Verdict::Warn),
            count(Verdict::Fail),
            count(Verdict::Skipped)
        )?;
        for snippet in &self.snippets {
            writeln!(f, "\n# {}\n{}", snippet.file, snippet.text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis() -> Diagnosis {
        let checks = vec![
            Check::ok("address", "gm.address 192.0.2.5 is on eth0"),
            Check::fail("route", "ue_pool 10.45.0.0/16 has no route", "add it"),
        ];
        Diagnosis::new("pcscf", checks)
    }

    #[test]
    fn a_diagnosis_reads_as_one_line_for_each_check_with_its_remedy_below() {
        let mut diagnosis = diagnosis();
        diagnosis.snippets.push(Snippet {
            file: "smf.yaml".to_owned(),
            text: "smf:\n".to_owned(),
        });
        let expected = format!(
            "pcscf {}\nok      address    gm.address 192.0.2.5 is on eth0\nFAIL    route      ue_pool 10.45.0.0/16 has no \
             route\n                   -> add it\n1 ok, 0 warn, 1 fail, 0 skipped\n\n# smf.yaml\nsmf:\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(diagnosis.to_string(), expected);
        assert!(!diagnosis.is_healthy());
    }

    #[test]
    fn a_diagnosis_is_read_back_as_it_was_written() {
        let text = serde_json::to_string(&diagnosis()).unwrap();
        assert!(text.contains(r#""verdict":"fail""#), "{text}");
        assert_eq!(serde_json::from_str::<Diagnosis>(&text).unwrap(), diagnosis());
    }

    #[test]
    fn a_sentence_joins_what_was_found_with_the_remedy() {
        assert_eq!(
            Check::warn("clock", "it is 1970", "set it").sentence(),
            "it is 1970; set it"
        );
        assert_eq!(Check::ok("clock", "it is 2026").sentence(), "it is 2026");
    }
}
