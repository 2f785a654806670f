//! Codec: the configuration of what subscribers may ask for: media and services (TS 24.229 5.4.3.2, 6.3).

use std::collections::BTreeMap;

use ims_common::config::ConfigError;
use serde::{Deserialize, Serialize};

use ims_common::media_policy::{MediaPolicy, MediaProfile};

/// One media profile: `{id: 1, media: {audio: [AMR, AMR-WB], message: []}}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MediaProfileConfig {
    /// `SubscribedMediaProfileId`; without one, it is for users who have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// The types of media that may be offered, and of each the codecs, as AMR or AMR/8000; an empty list is all.
    pub media: BTreeMap<String, Vec<String>>,
}

/// What happens with services that a user has not subscribed to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceIdsConfig {
    /// What happens with a request that prefers one.
    pub not_subscribed: NotSubscribed,
    /// Whether a call that fits is said to be multimedia telephony when the UE says nothing.
    pub assert_mmtel: bool,
}

/// What happens with a request for a service that is not subscribed to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NotSubscribed {
    /// It goes on without naming the service.
    #[default]
    Remove,
    /// It gets 403.
    Refuse,
}

/// Reads the profiles.
pub(super) fn media_policy(profiles: &[MediaProfileConfig]) -> Result<MediaPolicy, ConfigError> {
    let bad = |problem: String, expected: &str| {
        Err(ConfigError::invalid("scscf.media_profiles", problem, expected))
    };
    let mut policy = MediaPolicy::default();
    for profile in profiles {
        let names = profile
            .media
            .iter()
            .flat_map(|(kind, codecs)| std::iter::once(kind).chain(codecs));
        for name in names {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+' | b'_' | b'/');
            if name.is_empty() || !name.bytes().all(is_name) {
                return bad(
                    format!("`{name}` is no medium and no codec"),
                    "as audio, or AMR/8000",
                );
            }
        }
        if !policy.insert(profile.id, MediaProfile::new(&profile.media)) {
            return bad(format!("{:?} twice", profile.id), "one profile of each id");
        }
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(id: Option<u32>, kind: &str, codec: &str) -> MediaProfileConfig {
        MediaProfileConfig {
            id,
            media: BTreeMap::from([(kind.to_owned(), vec![codec.to_owned()])]),
        }
    }

    #[test]
    fn profiles_have_names_and_one_id_each() {
        assert!(
            media_policy(&[
                profile(None, "audio", "AMR"),
                profile(Some(0), "video", "H264/90000")
            ])
            .is_ok()
        );
        for bad in [
            [
                profile(Some(1), "audio", "AMR"),
                profile(Some(1), "video", "H264"),
            ],
            [profile(Some(1), "", "AMR"), profile(Some(2), "audio", "AMR")],
            [
                profile(Some(1), "audio", "A\r\nm=x"),
                profile(Some(2), "audio", "AMR"),
            ],
        ] {
            assert_eq!(
                media_policy(&bad).unwrap_err().key,
                "scscf.media_profiles",
                "{bad:?}"
            );
        }
    }
}
