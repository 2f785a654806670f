//! Codec: the `sessions` section of a P-CSCF's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use ims_common::config::{ConfigError, DurationText};
use ims_common::dialog::DialogLimits;
use ims_common::media_policy::MediaProfile;
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
    /// Media that calls may have, with their codecs; none of them: all.
    pub media: BTreeMap<String, Vec<String>>,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            dialogs: 200_000,
            idle: DurationText::secs(12 * 3600),
            early_media: EarlyMedia::default(),
            media: BTreeMap::new(),
        }
    }
}

impl SessionsConfig {
    /// What offers are measured by, where the operator says anything.
    pub(crate) fn media_profile(&self) -> Result<Option<MediaProfile>, ConfigError> {
        let names = self
            .media
            .iter()
            .flat_map(|(kind, codecs)| std::iter::once(kind).chain(codecs));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+' | b'_' | b'/');
        let mut bad = names.filter(|name| name.is_empty() || !name.bytes().all(is_name));
        match bad.next() {
            Some(name) => Err(ConfigError::invalid(
                "pcscf.sessions.media",
                format!("`{name}` is no medium and no codec"),
                "as {audio: [AMR, AMR-WB/16000, telephone-event], video: []}",
            )),
            None => Ok((!self.media.is_empty()).then(|| MediaProfile::new(&self.media))),
        }
    }

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
