//! Codec: about whom an operator asks.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Octets of a filter at most.
pub const FILTER_OCTETS_MAX: usize = 256;

/// The digits of an IMSI or MSISDN, a public or private identity, or a Call-ID.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter(String);

impl Filter {
    /// As it was asked.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this identity, address or Call-ID is meant: the whole of it in any case of letters, with or without
    /// `sip:` or `tel:`; or what stands before its `@`, with or without `+`.
    #[must_use]
    pub fn names(&self, identity: &str) -> bool {
        let wanted = without_scheme(&self.0);
        let identity = without_scheme(identity);
        if wanted.eq_ignore_ascii_case(identity) {
            return true;
        }
        let bare = without_parameters(identity);
        if wanted.contains('@') {
            return wanted.eq_ignore_ascii_case(bare);
        }
        let user = bare.split('@').next().unwrap_or(bare);
        without_plus(wanted).eq_ignore_ascii_case(without_plus(user))
    }
}

fn without_scheme(identity: &str) -> &str {
    ["sip:", "sips:", "tel:"]
        .iter()
        .find_map(|scheme| {
            let head = identity.get(..scheme.len())?;
            head.eq_ignore_ascii_case(scheme)
                .then(|| identity.get(scheme.len()..))?
        })
        .unwrap_or(identity)
}

fn without_parameters(identity: &str) -> &str {
    identity.split([';', '?']).next().unwrap_or(identity)
}

fn without_plus(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

impl FromStr for Filter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("says nothing; expected an IMSI, a number, an identity or a Call-ID");
        }
        if text.len() > FILTER_OCTETS_MAX {
            return Err("is too long; expected at most 256 octets");
        }
        // U+FFFD: what stood there was not UTF-8.
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == char::REPLACEMENT_CHARACTER)
        {
            return Err(
                "has characters that no identity has; expected an IMSI, a number, an identity or a Call-ID",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        text.parse().unwrap()
    }

    #[test]
    fn digits_name_an_imsi_and_a_number_in_each_spelling() {
        let imsi = filter("001010000000001");
        for identity in [
            "001010000000001@ims.mnc001.mcc001.3gppnetwork.org",
            "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org",
        ] {
            assert!(imsi.names(identity), "{identity}");
        }
        for number in ["+15550001", "15550001", "tel:+15550001"] {
            for identity in ["tel:+15550001", "sip:+15550001@h.test;user=phone", "TEL:15550001"] {
                assert!(filter(number).names(identity), "{number} {identity}");
            }
            assert!(!filter(number).names("tel:+155500012"), "{number}");
        }
    }

    #[test]
    fn an_identity_or_a_call_id_is_meant_as_a_whole() {
        assert!(filter("sip:alice@h.test").names("sip:Alice@H.test"));
        assert!(filter("alice@h.test").names("sip:alice@h.test;gr"));
        assert!(!filter("alice@h.test").names("sip:alice@other.test"));
        assert!(filter("a84b4c76e66710@pc33").names("a84b4c76e66710@pc33"));
        assert!(!filter("a84b4c76e6671").names("a84b4c76e66710@pc33"));
    }

    #[test]
    fn what_no_identity_can_be_is_refused() {
        let long = "1".repeat(FILTER_OCTETS_MAX + 1);
        for hostile in [
            "",
            "  ",
            "a\r\nX: y",
            "\0",
            "a\u{7f}",
            "\u{fffd}",
            long.as_str(),
            "a b",
        ] {
            assert!(hostile.parse::<Filter>().is_err(), "{hostile:?}");
        }
        assert!(filter("é@h.test").names("sip:é@h.test"));
    }
}
