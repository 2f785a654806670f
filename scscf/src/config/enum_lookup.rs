//! Codec: the configuration of ENUM (RFC 6116).

use ims_common::config::{ConfigError, DomainName, DurationText};
use serde::{Deserialize, Serialize};

use crate::enum_lookup::EnumLookup;

/// Whether and where numbers are looked up in DNS.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnumConfig {
    /// The domain below which numbers are names; without one, nothing is looked up.
    pub suffix: Option<DomainName>,
    /// How long an answer is awaited; after it, the number has none.
    pub timeout: DurationText,
}

impl Default for EnumConfig {
    fn default() -> Self {
        Self {
            suffix: None,
            timeout: DurationText::secs(2),
        }
    }
}

impl EnumConfig {
    pub(super) fn lookup(&self) -> Result<Option<EnumLookup>, ConfigError> {
        if self.timeout.get().is_zero() {
            return Err(ConfigError::invalid(
                "scscf.enum.timeout",
                "no answer comes at once",
                "a duration as 2s",
            ));
        }
        let suffix = self.suffix.as_ref();
        Ok(suffix.map(|suffix| EnumLookup::new(suffix.as_str(), self.timeout.get())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_without_a_suffix_and_needs_patience() {
        assert!(EnumConfig::default().lookup().unwrap().is_none());
        let on = EnumConfig {
            suffix: Some("e164.arpa".parse().unwrap()),
            ..EnumConfig::default()
        };
        assert!(on.lookup().unwrap().is_some());
        let hasty = EnumConfig {
            timeout: DurationText::secs(0),
            ..on
        };
        assert_eq!(hasty.lookup().unwrap_err().key, "scscf.enum.timeout");
    }
}
