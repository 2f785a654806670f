//! Codec: the configuration of what happens to requests other than REGISTER (TS 24.229 5.4.3).

use std::borrow::Cow;

use ims_common::config::{ConfigError, DomainName, DurationText, TrustedPeers, sip_uri};
use ims_common::sip::UriBuf;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where requests to users of the home network go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum EntryPointConfig {
    /// What DNS says of the home realm (RFC 3263).
    #[default]
    Dns,
    /// This SIP URI.
    Uri(String),
}

impl EntryPointConfig {
    pub(super) fn uri(&self, home_realm: &DomainName) -> Result<UriBuf, ConfigError> {
        match self {
            Self::Dns => sip_uri("scscf.home_realm", &format!("sip:{}", home_realm.as_str())),
            Self::Uri(text) => sip_uri("scscf.icscf", text),
        }
    }
}

impl Serialize for EntryPointConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dns => serializer.serialize_str("dns"),
            Self::Uri(uri) => serializer.serialize_str(uri),
        }
    }
}

impl<'de> Deserialize<'de> for EntryPointConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(match &*text {
            "dns" => Self::Dns,
            uri => Self::Uri(uri.to_owned()),
        })
    }
}

/// Application servers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IscConfig {
    /// How long an AS may be silent before its default handling applies.
    pub response_timeout: DurationText,
    /// Who may originate requests for users.
    pub trusted: TrustedPeers,
    /// Requests that an AS may send back, at a time.
    pub dialog_ids: usize,
}

impl Default for IscConfig {
    fn default() -> Self {
        Self {
            response_timeout: DurationText::secs(4),
            trusted: TrustedPeers::Any,
            dialog_ids: 200_000,
        }
    }
}

/// Calls, messages and subscriptions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// How long the profile of a user who is not registered is kept.
    pub unregistered_profile: DurationText,
    /// Profiles of such users at a time.
    pub unregistered_profiles: usize,
    /// What happens with a redirection of a UE.
    pub redirects: RedirectPolicy,
    /// How long contacts of one preference may go unanswered before those of the next one are alerted.
    pub contact_time: DurationText,
    /// Domains besides the home network that belong to the trust domain.
    pub trusted_domains: Vec<DomainName>,
    /// Calls that are known at a time, to be released with the registration.
    pub dialogs: usize,
    /// Where emergency calls go.
    pub ecscf: Option<String>,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            unregistered_profile: DurationText::secs(600),
            unregistered_profiles: 50_000,
            redirects: RedirectPolicy::Relay,
            contact_time: DurationText::secs(20),
            trusted_domains: Vec::new(),
            dialogs: 200_000,
            ecscf: None,
        }
    }
}

/// What happens with a 3xx (RFC 3261 16.7 step 4).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectPolicy {
    /// The caller gets it.
    #[default]
    Relay,
    /// Its contacts are called.
    Follow,
}

#[cfg(test)]
mod tests {
    use crate::config::ScscfConfig;
    use ims_common::config::{ConfigError, DaemonConfig, parse};

    fn config(more: &str) -> Result<ScscfConfig, ConfigError> {
        parse("scscf", &format!("{}{more}", ScscfConfig::DEFAULTS))
    }

    #[test]
    fn an_entry_point_is_dns_or_a_uri() {
        let uri = |more: &str| {
            let config = config(more)?;
            config.icscf.uri(&config.home_realm).map(|uri| uri.to_string())
        };
        assert_eq!(uri("").unwrap(), "sip:ims.mnc001.mcc001.3gppnetwork.org");
        assert_eq!(uri("  icscf: \"sip:192.0.2.6\"\n").unwrap(), "sip:192.0.2.6");
        let error = uri("  icscf: \"tel:1\"\n").unwrap_err();
        assert_eq!(error.key, "scscf.icscf");
    }

    #[test]
    fn trusted_application_servers_are_any_or_blocks() {
        let trusted = |text: &str| config(&format!("  isc: {{trusted: {text}}}\n")).map(|c| c.isc.trusted);
        let address = "192.0.2.80".parse().unwrap();
        assert!(trusted("any").unwrap().contains(address));
        assert!(trusted("[192.0.2.0/24]").unwrap().contains(address));
        assert!(!trusted("[198.51.100.0/24]").unwrap().contains(address));
        assert!(trusted("[some]").is_err());
    }
}
