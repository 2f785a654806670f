//! Codec: the `guard` section of a P-CSCF's configuration.

use ims_common::config::{Cidr, ConfigError, DurationText};
use ims_common::overload::StormLimits;
use ims_common::steering::ShardPlace;
use serde::{Deserialize, Serialize};

use crate::guard::{GuardPolicy, PerSource, Terms};

/// The file's `pcscf.guard` section: limits of sources on Gm.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Whether there are any.
    pub enabled: bool,
    /// Messages a second of one source in clear.
    pub messages_per_second: u32,
    /// Messages at once.
    pub burst: u32,
    /// More of both for each contact that is registered behind it.
    pub messages_per_contact: u32,
    /// Failures a minute of one source.
    pub failures_per_minute: u32,
    /// More for each contact.
    pub failures_per_contact: u32,
    /// Messages a second of one subscriber over security associations.
    pub subscriber_messages_per_second: u32,
    /// Messages at once.
    pub subscriber_burst: u32,
    /// How long the first ban lasts.
    pub ban: DurationText,
    /// The longest.
    pub ban_max: DurationText,
    /// The quiet after which one earlier ban is forgiven.
    pub forgive: DurationText,
    /// What who is banned gets.
    pub banned: Banned,
    /// Parts of User-Agent by which scanners are known.
    pub scanners: Vec<String>,
    /// Blocks of addresses that are never banned.
    pub exempt: Vec<Cidr>,
    /// Sources that are watched at a time.
    pub sources: usize,
    /// Sources that are banned, or were lately.
    pub bans: usize,
}

/// The file's `pcscf.register_storm` section: phones that come all at once.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegisterStormConfig {
    /// REGISTERs a second that begin a registration; none: as many as this node and the home network can do.
    pub per_second: Option<u32>,
    /// The longest Retry-After of one that is refused.
    pub retry_after_max: DurationText,
}

impl Default for RegisterStormConfig {
    fn default() -> Self {
        Self {
            per_second: None,
            retry_after_max: DurationText::secs(600),
        }
    }
}

impl RegisterStormConfig {
    /// For one shard.
    pub(crate) fn limits(&self, place: ShardPlace) -> StormLimits {
        let part = |rate: u32| (rate / u32::from(place.of.max(1))).max(1);
        StormLimits {
            per_second: self.per_second.map(part),
            retry_after_max: self.retry_after_max.get(),
        }
    }
}

/// What who is banned gets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Banned {
    /// Nothing at all.
    #[default]
    Drop,
    /// 403 (Forbidden), a few a second.
    Reject,
}

/// Whole names, where a part would be one of other programs too.
const SCANNERS: [&str; 9] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli/",
    "sundayddr",
    "sip-scan",
    "siparmyknife",
    "VaxSIPUserAgent",
    "pplsip",
];

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            messages_per_second: 300,
            burst: 3_000,
            messages_per_contact: 5,
            failures_per_minute: 60,
            failures_per_contact: 6,
            subscriber_messages_per_second: 20,
            subscriber_burst: 100,
            ban: DurationText::secs(60),
            ban_max: DurationText::secs(86_400),
            forgive: DurationText::secs(3_600),
            banned: Banned::default(),
            scanners: SCANNERS.map(str::to_owned).to_vec(),
            exempt: Vec::new(),
            sources: 65_536,
            bans: 16_384,
        }
    }
}

impl GuardConfig {
    /// What the section becomes for one shard; `None`: no guard. UE addresses are never banned.
    pub(crate) fn policy(
        &self,
        ue_pool: &[Cidr],
        place: ShardPlace,
    ) -> Result<Option<GuardPolicy>, ConfigError> {
        if let Some(short) = self.scanners.iter().find(|pattern| pattern.len() < 3) {
            return Err(ConfigError::invalid(
                "pcscf.guard.scanners",
                format!("`{short}` is part of too many names"),
                "three characters or more",
            ));
        }
        let limit = |count, burst, per_contact| PerSource {
            count,
            burst,
            per_contact,
        };
        let failures = self.failures_per_minute;
        Ok(self.enabled.then(|| GuardPolicy {
            messages: limit(self.messages_per_second, self.burst, self.messages_per_contact),
            failures: limit(failures, failures, self.failures_per_contact),
            subscriber: limit(self.subscriber_messages_per_second, self.subscriber_burst, 0),
            terms: Terms {
                first: self.ban.get(),
                longest: self.ban_max.get().max(self.ban.get()),
                forgive: self.forgive.get(),
                places: place.part_of(self.bans),
            },
            answers_banned: self.banned == Banned::Reject,
            scanners: self.scanners.iter().map(|text| text.as_str().into()).collect(),
            exempt: ue_pool.iter().chain(&self.exempt).copied().collect(),
            sources: place.part_of(self.sources),
        }))
    }
}
