//! Codec: what came of reading the configuration again.

use serde::{Deserialize, Serialize};

/// How a reload ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ReloadResult {
    /// The new values count.
    Applied,
    /// The file says what it said before.
    Unchanged,
    /// A key has changed that needs a restart: nothing has changed.
    Refused,
    /// The file is no configuration: nothing has changed.
    Broken,
}

impl ReloadResult {
    /// A label for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

/// One key with another value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct ConfigChange {
    /// With the name of the daemon before it.
    pub key: String,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

/// One key that cannot change while the node serves.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct RestartKey {
    /// With the name of the daemon before it.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct ReloadReport {
    /// How it ended.
    pub result: ReloadResult,
    /// How often another configuration was taken since the start.
    pub generation: u64,
    /// What has changed.
    #[serde(default)]
    pub changes: Vec<ConfigChange>,
    /// What would have needed a restart.
    #[serde(default)]
    pub needs_restart: Vec<RestartKey>,
    /// Why nothing has changed: file, line, column, key, and what is wrong.
    #[serde(default)]
    pub error: Option<String>,
}

impl ReloadReport {
    /// Without details.
    #[must_use]
    pub const fn of(result: ReloadResult) -> Self {
        Self {
            result,
            generation: 0,
            changes: Vec::new(),
            needs_restart: Vec::new(),
            error: None,
        }
    }
}
