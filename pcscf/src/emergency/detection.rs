//! Engine: whether a request calls for help, and for which (TS 24.229 5.2.10; RFC 5031 4.2; TS 22.101 10.1).

use std::collections::BTreeMap;

use ims_common::sip::{Host, Scheme, Uri};

/// RFC 5031 4.2: the service of all emergencies.
const SOS: &str = "urn:service:sos";

/// Longest service that is passed on; the longest of TS 24.229 7.11 has 40 octets.
const URN_MAX: usize = 128;

/// An emergency, and the service that was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Emergency {
    /// `urn:service:sos`, or one below it.
    pub(crate) service: String,
    /// It was dialled as a number: the Request-URI is not the service yet.
    pub(crate) dialled: bool,
}

impl Emergency {
    /// Whether the caller wants a certain service, such as the police.
    pub(crate) fn is_typed(&self) -> bool {
        self.service.len() > SOS.len()
    }
}

/// Numbers that call for help, and the hosts whose users they are not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detection {
    /// Digits, and what they stand for below `sos`, or nothing.
    pub(crate) numbers: BTreeMap<String, String>,
    /// Domains in which such a number is never a user's name.
    pub(crate) home_realm: String,
}

impl Detection {
    /// The emergency that a Request-URI calls for.
    ///
    /// A number counts in whichever URI it stands: tel, SIP with `user=phone` or `user=dialstring`, whatever its
    /// `phone-context`; in the home domain also without `user`, as some phones write it.
    pub(crate) fn of(&self, request_uri: &Uri<'_>) -> Option<Emergency> {
        match request_uri.scheme() {
            Scheme::Urn => service_of(request_uri).map(|service| Emergency {
                service,
                dialled: false,
            }),
            Scheme::Tel | Scheme::Sip | Scheme::Sips => {
                let number = self.dialled_number(request_uri)?;
                let kind = self.numbers.get(&number)?;
                let service = match kind.is_empty() {
                    true => SOS.to_owned(),
                    false => format!("{SOS}.{kind}"),
                };
                Some(Emergency {
                    service,
                    dialled: true,
                })
            }
            Scheme::Other => None,
        }
    }

    /// The digits without visual separators (RFC 3966 5.1.1) and parameters.
    fn dialled_number(&self, uri: &Uri<'_>) -> Option<String> {
        if uri.is_sip() && !self.may_be_dialled(uri) {
            return None;
        }
        let user = uri.user_unescaped()?;
        let number = user.split(|byte| *byte == b';').next()?;
        let digits = number
            .iter()
            .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')' | b' '));
        let digits: String = digits.map(|byte| char::from(*byte)).collect();
        (!digits.is_empty() && digits.len() <= NUMBER_MAX).then_some(digits)
    }

    fn may_be_dialled(&self, uri: &Uri<'_>) -> bool {
        match uri.param("user") {
            Some(Some(kind)) => {
                kind.eq_ignore_ascii_case(b"phone") || kind.eq_ignore_ascii_case(b"dialstring")
            }
            Some(None) | None => match uri.host() {
                host @ Host::Name(_) => host == Host::Name(&self.home_realm),
                Host::V4(_) | Host::V6(_) => true,
            },
        }
    }
}

/// No emergency number is longer (TS 22.101 10.1.1 knows two or three digits; private networks have longer ones).
pub(crate) const NUMBER_MAX: usize = 15;

/// `urn:service:sos` or a service below it, in small letters (RFC 5031 4.1: case does not matter).
fn service_of(uri: &Uri<'_>) -> Option<String> {
    let text = std::str::from_utf8(uri.as_bytes()).ok()?;
    // RFC 8141 2.3: what follows the name is no part of it.
    let name = text.split(['?', '#']).next()?.to_ascii_lowercase();
    let below = name.strip_prefix(SOS)?;
    let known = below.is_empty() || below.strip_prefix('.').is_some_and(is_service_labels);
    (known && name.len() <= URN_MAX).then_some(name)
}

/// RFC 5031 4.1: labels of letters, digits and hyphens, between dots.
pub(crate) fn is_service_labels(text: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection() -> Detection {
        let numbers = [("112", ""), ("911", ""), ("110", "police")];
        Detection {
            numbers: numbers.map(|(n, s)| (n.to_owned(), s.to_owned())).into(),
            home_realm: "home.test".to_owned(),
        }
    }

    fn service(uri: &str) -> Option<String> {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        detection().of(&uri).map(|emergency| emergency.service)
    }

    #[test]
    fn every_spelling_of_an_emergency_number_is_an_emergency() {
        for uri in [
            "tel:112",
            "tel:1-1.2",
            "tel:(112)",
            "tel:112;phone-context=home.test",
            "tel:112;phone-context=+1",
            "TEL:911",
            "sip:112@home.test;user=phone",
            "sip:112;phone-context=home.test@home.test;user=phone",
            "sip:1-12;phone-context=home.test@elsewhere.test;user=PHONE",
            "sip:112;phone-context=home.test@home.test;user=dialstring",
            "sip:911@elsewhere.test;user=dialstring",
            "sips:112@home.test;user=phone",
            "sip:%3112@home.test;user=phone",
            "sip:112@HOME.test",
            "sip:112@192.0.2.1",
            "urn:service:sos",
            "URN:Service:SOS",
            "urn:service:sos?+x",
        ] {
            assert_eq!(service(uri).as_deref(), Some("urn:service:sos"), "{uri}");
        }
    }

    #[test]
    fn the_kind_of_help_is_kept() {
        for (uri, expected) in [
            ("tel:110", "urn:service:sos.police"),
            ("urn:service:sos.fire", "urn:service:sos.fire"),
            (
                "urn:service:sos.ecall.automatic",
                "urn:service:sos.ecall.automatic",
            ),
            (
                "urn:service:sos.country-specific.xy.17",
                "urn:service:sos.country-specific.xy.17",
            ),
            ("urn:service:SOS.Police", "urn:service:sos.police"),
        ] {
            assert_eq!(service(uri).as_deref(), Some(expected), "{uri}");
        }
    }

    #[test]
    fn what_only_looks_like_an_emergency_is_none() {
        for uri in [
            "tel:1120",
            "tel:+112",
            "tel:*112",
            "tel:12",
            "sip:112@elsewhere.test",
            "sip:112@elsewhere.test;user=ip",
            "sip:a112@home.test",
            "sip:home.test;user=phone",
            "urn:service:sosx",
            "urn:service:sos.",
            "urn:service:sos..fire",
            "urn:service:sos.<x>",
            "urn:service:counseling",
            "mailto:112@home.test",
        ] {
            let Ok(parsed) = Uri::parse(uri.as_bytes()) else {
                continue;
            };
            assert_eq!(detection().of(&parsed), None, "{uri}");
        }
        let long = format!("urn:service:sos.{}", "a".repeat(200));
        assert_eq!(service(&long), None);
    }
}
