//! Codec: the `sessions` section of a P-CSCF's configuration.

use std::time::Duration;

use ims_common::config::DurationText;
use ims_common::dialog::DialogLimits;
use ims_common::steering::ShardPlace;
use serde::{Deserialize, Serialize};

use crate::trust_boundary::EarlyMediaOfUe;

/// The file's `pcscf.sessions` section.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// Dialogs at a time.
    pub dialogs: usize,
    /// How long a call without a session timer may be silent.
    pub idle: DurationText,
    /// What a UE says in P-Early-Media.
    pub early_media: EarlyMedia,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            dialogs: 200_000,
            idle: DurationText::secs(12 * 3600),
            early_media: EarlyMedia::default(),
        }
    }
}

impl SessionsConfig {
    /// The part of one shard.
    pub(crate) fn limits(&self, place: ShardPlace) -> DialogLimits {
        DialogLimits {
            dialogs_max: place.part_of(self.dialogs),
            idle_max: self.idle.get().max(Duration::from_secs(60)),
            ..DialogLimits::default()
        }
    }
}

/// What a UE says in P-Early-Media (RFC 5009 8).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlyMedia {
    /// Its authorisations are removed; `supported` passes.
    #[default]
    Ignore,
    /// It passes.
    Trust,
}

impl EarlyMedia {
    pub(crate) fn policy(self) -> EarlyMediaOfUe {
        match self {
            Self::Ignore => EarlyMediaOfUe::Ignored,
            Self::Trust => EarlyMediaOfUe::Trusted,
        }
    }
}
