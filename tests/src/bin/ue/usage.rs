//! Shell: what is wrong with a command line, beyond what clap sees.

/// The command line asks for what cannot be. Its text has no value of an option: some are secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

impl Usage {
    /// With these words.
    pub(crate) fn error(words: impl Into<String>) -> anyhow::Error {
        Self(words.into()).into()
    }
}
