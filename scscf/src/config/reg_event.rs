//! Codec: the configuration of the reg event package and of what the network does to registrations by itself.

use ims_common::config::DurationText;
use ims_common::steering::ShardPlace;
use serde::{Deserialize, Serialize};

/// Policy of the notifier (TS 24.229 5.4.2).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegEventConfig {
    /// Shortest subscription; a shorter wish gets 423.
    pub expires_min: DurationText,
    /// Longest subscription; a longer wish is shortened.
    pub expires_max: DurationText,
    /// Subscriptions in all; above: 503.
    pub subscriptions: usize,
    /// Subscriptions to one implicit registration set; above: 503.
    pub subscriptions_per_set: usize,
    /// Hosts that may subscribe to anybody, besides the application servers of the user's filter criteria.
    pub trusted: Vec<String>,
    /// How long a registration lasts that the network wants to be authenticated anew (TS 24.229 5.4.1.6).
    pub reauthenticate_within: DurationText,
}

impl Default for RegEventConfig {
    fn default() -> Self {
        Self {
            expires_min: DurationText::secs(60),
            expires_max: DurationText::secs(600_000),
            subscriptions: 800_000,
            subscriptions_per_set: 32,
            trusted: Vec::new(),
            reauthenticate_within: DurationText::secs(600),
        }
    }
}

impl RegEventConfig {
    /// What one shard of the node may hold.
    #[must_use]
    pub(super) fn part_of(mut self, place: ShardPlace) -> Self {
        self.subscriptions = place.part_of(self.subscriptions);
        self
    }
}
