//! Shell: whom to call, as people write it.

use std::str::FromStr;

use ims_common::sip::UriBuf;

/// Who is called or written to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// A URI, as it is.
    Uri(String),
    /// A number.
    Number(String),
    /// A user of this network, or of another one.
    User(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let checked = |uri: &str| UriBuf::parse(uri.as_bytes()).map_err(|error| error.to_string());
        let (scheme, _) = text.split_once(':').unwrap_or_default();
        let is_uri = |known: &&str| scheme.eq_ignore_ascii_case(known);
        if ["sip", "sips", "tel", "urn"].iter().any(is_uri) {
            checked(text)?;
            return Ok(Self::Uri(text.to_owned()));
        }
        // RFC 3966 3: what only makes a number easier to read.
        let digits: String = text.chars().filter(|c| !"-.() ".contains(*c)).collect();
        let bare = digits.strip_prefix('+').unwrap_or(&digits);
        let is_number = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit() || c == '*' || c == '#');
        if is_number {
            return Ok(Self::Number(digits));
        }
        let user = Self::User(text.to_owned());
        checked(&user.uri("home.invalid"))?;
        Ok(user)
    }
}

impl Target {
    /// The Request-URI for a phone of this home network: an international number is a tel URI, another one belongs to the
    /// home network's numbering plan (TS 24.229 5.1.2A.1.5).
    pub(crate) fn uri(&self, home: &str) -> String {
        match self {
            Self::Uri(uri) => uri.clone(),
            Self::Number(number) if number.starts_with('+') => format!("tel:{number}"),
            Self::Number(number) => format!(
                "sip:{};phone-context={home}@{home};user=phone",
                number.replace('#', "%23")
            ),
            Self::User(user) if user.contains('@') => format!("sip:{user}"),
            Self::User(user) => format!("sip:{user}@{home}"),
        }
    }
}

impl Target {
    /// The international number that it is, or of which it is a tel URI: with `+`.
    pub(crate) fn international(&self) -> Option<&str> {
        let number = match self {
            Self::Number(number) => number.as_str(),
            Self::Uri(uri) => uri.strip_prefix("tel:")?,
            Self::User(_) => return None,
        };
        let digits = number.strip_prefix('+')?;
        digits
            .bytes()
            .all(|digit| digit.is_ascii_digit())
            .then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_international_number_is_one_in_a_tel_uri_too() {
        let number = |text: &str| {
            text.parse::<Target>()
                .unwrap()
                .international()
                .map(ToOwned::to_owned)
        };
        assert_eq!(number("+1 555-0002").as_deref(), Some("+15550002"));
        assert_eq!(number("tel:+15550002").as_deref(), Some("+15550002"));
        for other in [
            "5550002",
            "*21#",
            "bob",
            "sip:+15550002@h.example",
            "tel:5550002;phone-context=+1",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn people_write_numbers_names_and_uris() {
        let uri = |text: &str| text.parse::<Target>().unwrap().uri("h.example");
        assert_eq!(uri("+1 (555) 000-2"), "tel:+15550002");
        assert_eq!(
            uri("5550002"),
            "sip:5550002;phone-context=h.example@h.example;user=phone"
        );
        assert_eq!(
            uri("*21#"),
            "sip:*21%23;phone-context=h.example@h.example;user=phone"
        );
        assert_eq!(uri("bob"), "sip:bob@h.example");
        assert_eq!(uri("bob@other.example"), "sip:bob@other.example");
        for wrong in [
            "",
            "bob smith",
            "sip:bob smith@h.example",
            "sip:b\r\nX: y",
            "bob>",
            "sip:",
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong:?}");
        }
        for whole in ["sip:bob@h.example", "tel:+15550002", "urn:service:sos"] {
            assert_eq!(uri(whole), whole);
        }
    }
}
