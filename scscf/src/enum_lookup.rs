//! Engine: from a number to the URI that serves it: ENUM (RFC 6116, RFC 3402 3.2, RFC 3764, RFC 4769).
//!
//! Of several records the best that can be used counts: flag `u`, service `E2U+sip` or `E2U+pstn`, a substitution that
//! matches and makes a URI. Records that point to further ones are left out.

use std::time::Duration;

use ims_common::net::Naptr;
use ims_common::sip::{Scheme, UriBuf};
use regex::{Regex, RegexBuilder};

use crate::ere::{Groups, to_regex};
use crate::numbers::GlobalNumber;

/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 16;
/// Octets of one substitution: a character-string of DNS (RFC 1035 3.3).
const SUBSTITUTION_MAX: usize = 255;
/// Octets that a compiled expression may take.
const SIZE_MAX: usize = 64 * 1024;
/// Octets of the URI that comes out.
const URI_MAX: usize = 512;

/// Where numbers are looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EnumLookup {
    suffix: String,
    timeout: Duration,
}

/// What DNS knows of a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum EnumAnswer {
    /// It is served there: a SIP URI.
    Sip(UriBuf),
    /// It is in the telephone network, perhaps ported: a tel URI with `npdi` and `rn` (RFC 4769).
    Tel(UriBuf),
    /// Nothing of use.
    None,
}

impl EnumLookup {
    pub(crate) fn new(suffix: &str, timeout: Duration) -> Self {
        Self {
            suffix: suffix.trim_end_matches('.').to_owned(),
            timeout,
        }
    }

    /// How long an answer is awaited.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The name to ask NAPTR records of: the digits backwards (RFC 6116 3.2).
    pub(crate) fn name(&self, number: &GlobalNumber) -> String {
        let mut name = String::new();
        for digit in number.digits().chars().rev() {
            name.push(digit);
            name.push('.');
        }
        name + &self.suffix
    }
}

impl EnumAnswer {
    /// What the records of a number say.
    pub(crate) fn of(number: &GlobalNumber, records: &[Naptr]) -> Self {
        let subject = format!("+{}", number.digits());
        let mut usable: Vec<&Naptr> = records
            .iter()
            .take(RECORDS_MAX)
            .filter(|r| is_usable(r))
            .collect();
        usable.sort_by_key(|record| (record.order, record.preference));
        let mut uris = usable
            .into_iter()
            .filter_map(|record| substitute(&record.regexp, &subject)?.parse::<UriBuf>().ok());
        let found = uris.find_map(|uri| match uri.as_uri().scheme() {
            Scheme::Sip if !uri.as_uri().has_headers() => Some(Self::Sip(uri)),
            Scheme::Tel => Some(Self::Tel(uri)),
            Scheme::Sip | Scheme::Sips | Scheme::Urn | Scheme::Other => None,
        });
        found.unwrap_or(Self::None)
    }
}

/// `u`, and `E2U+…` with sip or pstn among the services, also in the order of RFC 2916: `sip+E2U`.
fn is_usable(record: &Naptr) -> bool {
    let mut services = record.service.split('+').map(|service| {
        let (kind, _) = service.split_once(':').unwrap_or((service, ""));
        kind.to_ascii_lowercase()
    });
    let (mut is_enum, mut is_wanted) = (false, false);
    services.by_ref().for_each(|kind| {
        is_enum |= kind == "e2u";
        is_wanted |= kind == "sip" || kind == "pstn";
    });
    is_enum && is_wanted && record.flags.eq_ignore_ascii_case("u")
}

/// RFC 3402 3.2: `!expression!replacement!flags`, the delimiter being any character that is no digit and no flag.
/// `None` when it is no such thing or does not match.
fn substitute(text: &str, subject: &str) -> Option<String> {
    if text.len() > SUBSTITUTION_MAX {
        return None;
    }
    let mut characters = text.chars();
    let delimiter = characters
        .next()
        .filter(|c| !c.is_ascii_digit() && !matches!(c, 'i' | '\\'))?;
    let (expression, rest) = until(characters.as_str(), delimiter)?;
    let (replacement, flags) = until(rest, delimiter)?;
    let is_blind = match flags {
        "" => false,
        "i" => true,
        _ => return None,
    };
    let regex = compiled(&expression, is_blind)?;
    let captures = regex.captures(subject)?;
    let whole = captures.get(0)?;
    let mut result = subject.get(..whole.start())?.to_owned();
    let mut characters = replacement.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next()? {
                digit @ '1'..='9' => {
                    let number = usize::try_from(digit.to_digit(10)?).ok()?;
                    result.push_str(captures.get(number)?.as_str());
                }
                escaped => result.push(escaped),
            },
            c => result.push(c),
        }
        if result.len() > URI_MAX {
            return None;
        }
    }
    result.push_str(subject.get(whole.end()..)?);
    (result.len() <= URI_MAX).then_some(result)
}

/// The text before the next delimiter and what comes after it; an escaped delimiter stands for itself.
fn until(text: &str, delimiter: char) -> Option<(String, &str)> {
    let mut before = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            c if c == delimiter => return Some((before, characters.as_str())),
            '\\' => match characters.next()? {
                escaped if escaped == delimiter => before.push(escaped),
                escaped => before.extend(['\\', escaped]),
            },
            c => before.push(c),
        }
    }
    None
}

fn compiled(expression: &str, is_blind: bool) -> Option<Regex> {
    let text = to_regex(expression, Groups::Capturing).ok()?;
    RegexBuilder::new(&text)
        .case_insensitive(is_blind)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SIZE_MAX)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NumbersConfig;
    use crate::numbers::{Normaliser, Number};
    use ims_common::sip::Uri;

    fn number() -> GlobalNumber {
        let uri = Uri::parse(b"tel:+12025550101").unwrap();
        match Normaliser::new(&NumbersConfig::default(), "home.example").read(&uri) {
            Number::Global(number) => number,
            other => panic!("{other:?}"),
        }
    }

    fn record(order: u16, preference: u16, service: &str, regexp: &str) -> Naptr {
        Naptr {
            order,
            preference,
            flags: "u".to_owned(),
            service: service.to_owned(),
            regexp: regexp.to_owned(),
            replacement: ".".to_owned(),
        }
    }

    fn answer(records: &[Naptr]) -> String {
        match EnumAnswer::of(&number(), records) {
            EnumAnswer::Sip(uri) | EnumAnswer::Tel(uri) => uri.to_string(),
            EnumAnswer::None => String::new(),
        }
    }

    #[test]
    fn a_number_is_a_name_backwards() {
        let lookup = EnumLookup::new("e164.arpa.", Duration::from_secs(2));
        assert_eq!(lookup.name(&number()), "1.0.1.0.5.5.5.2.0.2.1.e164.arpa");
    }

    #[test]
    fn a_substitution_makes_the_uri() {
        for (regexp, uri) in [
            ("!^.*$!sip:bob@b.example!", "sip:bob@b.example"),
            (r"!^\+1(.*)$!sip:\1@b.example!", "sip:2025550101@b.example"),
            (
                r"!^(\+1)(202)(.*)$!sip:\1-\3@\2.example!",
                "sip:+1-5550101@202.example",
            ),
            (r"/^.*$/sip:a\/b@b.example/", "sip:a/b@b.example"),
            (r"!(.+)!sip:\1@b.example!i", "sip:+12025550101@b.example"),
            (r"!^\+!tel:+!", "tel:+12025550101"),
            (
                "!^.*$!tel:+12025550101;npdi;rn=+1202555!",
                "tel:+12025550101;npdi;rn=+1202555",
            ),
        ] {
            assert_eq!(answer(&[record(1, 1, "E2U+sip", regexp)]), uri, "{regexp}");
        }
    }

    #[test]
    fn what_is_no_substitution_or_makes_no_uri_is_nothing() {
        let long = format!("!^.*$!sip:{}@b.example!", "a".repeat(SUBSTITUTION_MAX));
        let captures = format!(r"!(.*)!sip:{}@b.example!", r"\1".repeat(60));
        for regexp in [
            "",
            "!",
            "!^.*$!",
            "!^.*$!sip:b@b.example",
            "!^.*$!sip:b@b.example!x",
            "1^.*$1sip:b@b.example1",
            r"!^\+49.*$!sip:b@b.example!",
            r"!^.*$!sip:\1@b.example!",
            r"!^.*$!sip:b@b.example\!",
            "!*!sip:b@b.example!",
            "!^.*$!sip:b@b.example?Route=x!",
            "!^.*$!sips:b@b.example!",
            "!^.*$!mailto:b@b.example!",
            "!^.*$!no uri!",
            &long,
            &captures,
        ] {
            assert_eq!(answer(&[record(1, 1, "E2U+sip", regexp)]), "", "{regexp}");
        }
    }

    #[test]
    fn the_best_usable_record_counts() {
        let to = |name: &str| format!("!^.*$!sip:{name}@b.example!");
        let mail = record(1, 1, "E2U+email:mailto", "!^.*$!mailto:b@b.example!");
        let further = Naptr {
            flags: String::new(),
            ..record(1, 1, "E2U+sip", "")
        };
        let records = [
            record(20, 1, "E2U+sip", &to("later")),
            record(10, 2, "E2U+sip", &to("second")),
            record(10, 1, "e2u+SIP", &to("first")),
            mail.clone(),
            further,
        ];
        assert_eq!(answer(&records), "sip:first@b.example");
        assert_eq!(answer(&[mail]), "");
        assert_eq!(answer(&[]), "");
        for service in ["sip+E2U", "E2U+voice:tel+sip", "E2U+pstn:sip"] {
            assert_eq!(
                answer(&[record(1, 1, service, &to("b"))]),
                "sip:b@b.example",
                "{service}"
            );
        }
        for service in ["E2U+sipx", "sip", "SIP+D2U"] {
            assert_eq!(answer(&[record(1, 1, service, &to("b"))]), "", "{service}");
        }
    }
}
