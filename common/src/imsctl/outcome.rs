//! Codec: how a command ends: what is printed, and the exit status.

use std::process::ExitCode;

/// Why a command has no result: one sentence with its remedy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Problem {
    /// It was asked for and could not be done.
    #[error("{0}")]
    Failed(String),
    /// The command line, or a file that it names, is wrong.
    #[error("{0}")]
    Usage(String),
    /// No node was reached.
    #[error("{0}")]
    NoNode(String),
}

impl Problem {
    /// 1, 2 or 3.
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoNode(_) => 3,
        }
    }
}

/// What a command has to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Outcome {
    /// For standard output.
    pub(super) text: String,
    /// For standard error, a line each: nodes that did not answer.
    pub(super) complaints: Vec<String>,
    /// Whether something was found that an operator has to look at.
    pub(super) has_findings: bool,
}

impl Outcome {
    /// All is well.
    pub(super) fn fine(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// 0, or 1 when there is something to look at.
    pub(super) fn status(&self) -> ExitCode {
        match self.has_findings || !self.complaints.is_empty() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
}
