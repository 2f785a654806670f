//! Codec: how an operator asks for a subscriber or a call, and the names under which one is known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Octets of what is asked for.
const OCTETS_MAX: usize = 256;

/// A subscriber or a call: IMSI, MSISDN, IMPI, IMPU or Call-ID, as an operator types it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Who(String);

impl Who {
    /// What was typed.
    ///
    /// # Errors
    /// Empty, too long, or with control characters.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > OCTETS_MAX || text.chars().any(char::is_control) {
            return Err(format!(
                "expected an IMSI, an MSISDN, an IMPI, an IMPU or a Call-ID, of at most {OCTETS_MAX} octets without control characters"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which the subscriber would be known.
    pub(super) fn name(&self) -> Option<String> {
        name_of(&self.0)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Who {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Who> for String {
    fn from(who: Who) -> Self {
        who.0
    }
}

/// The name of a subscriber in any of his identities: the user part, or the digits of a number. An IMSI is the user part
/// of the IMPI and of the derived IMPU, and a number that of a tel URI and of its SIP form, so that they meet.
pub(super) fn name_of(identity: &str) -> Option<String> {
    let rest = ["sip:", "sips:", "tel:"]
        .iter()
        .find_map(|scheme| {
            let head = identity.get(..scheme.len())?;
            head.eq_ignore_ascii_case(scheme)
                .then(|| identity.get(scheme.len()..))?
        })
        .unwrap_or(identity);
    let user = match rest.split_once('@') {
        Some((user, _)) => user,
        // A SIP URI without a user part is a host.
        None if rest.len() == identity.len()
            || identity.get(..3).is_some_and(|it| it.eq_ignore_ascii_case("tel")) =>
        {
            rest
        }
        None => return None,
    };
    let user = user.split([';', ':', '?', '>']).next()?;
    let is_number = user.bytes().any(|it| it.is_ascii_digit())
        && user
            .bytes()
            .all(|it| it.is_ascii_digit() || b"+-.() ".contains(&it));
    let name = match is_number {
        true => user.bytes().filter(u8::is_ascii_digit).map(char::from).collect(),
        false => user.to_ascii_lowercase(),
    };
    (!name.is_empty() && name.len() <= OCTETS_MAX && name != "anonymous").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_of_one_subscriber_meet_in_a_name() {
        for identity in [
            "001010000000001",
            "001010000000001@ims.test",
            "sip:001010000000001@ims.test;user=phone",
        ] {
            assert_eq!(
                name_of(identity).as_deref(),
                Some("001010000000001"),
                "{identity}"
            );
        }
        for identity in [
            "+1 (555) 0100",
            "tel:+1-555-0100",
            "sip:+15550100@ims.test;user=phone",
            "15550100",
        ] {
            assert_eq!(name_of(identity).as_deref(), Some("15550100"), "{identity}");
        }
        assert_eq!(name_of("SIP:Alice@ims.test").as_deref(), Some("alice"));
        assert_eq!(name_of("sip:ims.test"), None);
        assert_eq!(name_of("sip:anonymous@anonymous.invalid"), None);
    }

    #[test]
    fn hostile_questions_are_refused() {
        for text in ["", "  ", "a\nb", "\u{1b}[2J", &"9".repeat(300)] {
            assert!(Who::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Who::parse(" +15550100 ").unwrap().as_str(), "+15550100");
    }
}
