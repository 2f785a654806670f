//! Codec: the configuration of who may call whom, and how many calls there may be.

use std::collections::BTreeMap;

use ims_common::config::{ConfigError, sip_uri};
use ims_common::identity::Impu;
use ims_common::sip::StatusCode;
use ims_common::steering::ShardPlace;
use serde::{Deserialize, Serialize};

use crate::blocking::{BlockedPrefix, Blocking};
use crate::call_limits::Maxima;

/// The file's `scscf.call_limits` section: calls at a time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallLimitsConfig {
    /// Of one subscriber; none: any number.
    pub per_subscriber: Option<usize>,
    /// What a call above that gets.
    pub subscriber_status: u16,
    /// Of each of these next hops.
    pub trunks: BTreeMap<String, usize>,
    /// What a call gets that no trunk has room for.
    pub trunk_status: u16,
}

impl Default for CallLimitsConfig {
    fn default() -> Self {
        Self {
            per_subscriber: None,
            subscriber_status: 486,
            trunks: BTreeMap::new(),
            trunk_status: 503,
        }
    }
}

impl CallLimitsConfig {
    /// For one shard; `calls` is how many are known at a time.
    pub(crate) fn maxima(&self, place: ShardPlace, calls: usize) -> Result<Maxima, ConfigError> {
        for (key, status) in [
            ("subscriber_status", self.subscriber_status),
            ("trunk_status", self.trunk_status),
        ] {
            refusal(&format!("scscf.call_limits.{key}"), status)?;
        }
        let trunk = |(uri, calls): (&String, &usize)| {
            let uri = sip_uri("scscf.call_limits.trunks", uri)?;
            Ok((uri, place.part_of(*calls)))
        };
        let trunks: Result<Vec<_>, ConfigError> = self.trunks.iter().map(trunk).collect();
        Ok(Maxima {
            per_subscriber: self.per_subscriber,
            trunks: trunks?,
            calls,
        })
    }
}

/// The file's `scscf.blocking` section: who may not call whom.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlockingConfig {
    /// Numbers that users may not call.
    pub called: Vec<BlockedPrefixConfig>,
    /// Numbers that may not call users.
    pub calling: Vec<BlockedPrefixConfig>,
    /// Whether nobody is called by callers who do not say who they are.
    pub anonymous: bool,
    /// Users who are not.
    pub anonymous_to: Vec<String>,
}

/// One blocked prefix: `{prefix: "+1900", status: 603, reason: "Premium numbers are blocked"}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BlockedPrefixConfig {
    /// `+` and digits, or the digits of a local number.
    pub prefix: String,
    /// What the caller gets.
    #[serde(default = "default_status")]
    pub status: u16,
    /// What the caller is told.
    #[serde(default = "default_reason")]
    pub reason: String,
}

fn default_status() -> u16 {
    603
}

fn default_reason() -> String {
    "Number is blocked".to_owned()
}

impl BlockingConfig {
    /// What the section becomes.
    pub(crate) fn read(&self) -> Result<Blocking, ConfigError> {
        let rules = |key: &str, rules: &[BlockedPrefixConfig]| -> Result<Vec<BlockedPrefix>, ConfigError> {
            rules.iter().map(|rule| blocked(key, rule)).collect()
        };
        let impu = |text: &String| {
            Impu::parse(text).map_err(|_| {
                let problem = format!("`{text}` is no public identity");
                ConfigError::invalid("scscf.blocking.anonymous_to", problem, "a SIP or tel URI")
            })
        };
        let anonymous_to: Result<Vec<Impu>, _> = self.anonymous_to.iter().map(impu).collect();
        Ok(Blocking {
            called: rules("scscf.blocking.called", &self.called)?,
            calling: rules("scscf.blocking.calling", &self.calling)?,
            anonymous: self.anonymous,
            anonymous_to: anonymous_to?,
        }
        .numbered())
    }
}

fn blocked(key: &str, rule: &BlockedPrefixConfig) -> Result<BlockedPrefix, ConfigError> {
    let digits = rule.prefix.strip_prefix('+').unwrap_or(&rule.prefix);
    let is_digit = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
    if rule.prefix.is_empty() || !digits.bytes().all(is_digit) {
        let problem = format!("`{}` is no prefix of numbers", rule.prefix);
        return Err(ConfigError::invalid(key, problem, "+ and digits, or digits"));
    }
    let stands = |c: char| c.is_ascii() && !c.is_ascii_control() && !matches!(c, '"' | '\\');
    if rule.reason.is_empty() || !rule.reason.chars().all(stands) {
        let problem = format!("`{}` cannot stand in a status line", rule.reason);
        return Err(ConfigError::invalid(key, problem, "a short text without quotes"));
    }
    Ok(BlockedPrefix {
        prefix: rule.prefix.clone(),
        status: refusal(key, rule.status)?,
        reason: rule.reason.clone(),
        number: 0,
    })
}

/// A status code that refuses.
pub(super) fn refusal(key: &str, status: u16) -> Result<StatusCode, ConfigError> {
    let code = StatusCode::new(status).filter(|_| (400..700).contains(&status));
    code.ok_or_else(|| {
        let problem = format!("{status} refuses nothing");
        ConfigError::invalid(key, problem, "a status code from 400 to 699, as 603")
    })
}

#[cfg(test)]
mod tests {
    use crate::config::ScscfConfig;
    use ims_common::config::{ConfigError, DaemonConfig, parse};
    use ims_common::steering::ShardPlace;

    fn config(more: &str) -> Result<ScscfConfig, ConfigError> {
        parse("scscf", &format!("{}{more}", ScscfConfig::DEFAULTS))
    }

    #[test]
    fn prefixes_are_digits_and_refusals_refuse() {
        let read = |text: &str| {
            let config = config(&format!("  blocking: {{called: [{text}]}}\n"))?;
            config.blocking.read()
        };
        let rules = read("{prefix: \"+1900\"}, {prefix: \"118\", status: 403, reason: \"No\"}").unwrap();
        let told: Vec<_> = rules
            .called
            .iter()
            .map(|rule| (rule.status.as_u16(), rule.reason.as_str()))
            .collect();
        assert_eq!(told, [(603, "Number is blocked"), (403, "No")]);
        for bad in [
            "{prefix: \"\"}",
            "{prefix: \"+1x\"}",
            "{prefix: \"1\", status: 200}",
            "{prefix: \"1\", reason: \"a\\nb\"}",
        ] {
            assert_eq!(read(bad).unwrap_err().key, "scscf.blocking.called", "{bad}");
        }
    }

    #[test]
    fn trunks_are_sip_uris_and_statuses_refuse() {
        let read = |text: &str| {
            let config = config(&format!("  call_limits: {{{text}}}\n"))?;
            config.call_limits.maxima(ShardPlace::ALONE, 10)
        };
        let maxima = read("trunks: {\"sip:mgcf.example\": 30}").unwrap();
        assert_eq!(maxima.trunks[0].1, 30);
        for bad in [
            "trunks: {\"tel:1\": 30}",
            "trunk_status: 183",
            "subscriber_status: 0",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
