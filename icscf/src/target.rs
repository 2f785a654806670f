//! Engine: whom a Request-URI means, as the HSS is asked for it (TS 24.229 5.3.2.1; RFC 3261 19.1.6, RFC 3966).
//!
//! A number has four spellings, `tel:+E164` and `sip:+E164@home`, each with and without the plus, and many an HSS knows
//! one of them only. The one that the standard names is asked for first; the others in turn, when nobody knows the
//! first (deviates: TS 29.228 knows no second question).

use ims_common::identity::Impu;
use ims_common::sip::{Host, Scheme, Uri};

use crate::reject::Reject;

/// Fewer digits are a service or an emergency, and mean the same number nowhere else.
const NUMBER_MIN: usize = 7;

/// What the HSS is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// The question.
    pub(crate) identity: Impu,
    /// The Request-URI where it had to be written anew.
    pub(crate) rewritten: Option<String>,
    /// The other spellings of the same number, the likeliest last.
    pub(crate) others: Vec<OtherSpelling>,
}

/// The same number once more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OtherSpelling {
    /// The question.
    pub(crate) identity: Impu,
    /// The Request-URI that goes with it.
    pub(crate) request_uri: String,
}

impl Target {
    /// TS 24.229 5.3.2.1: a SIP URI with `user=phone` is asked for as tel URI, `pres:` and `im:` as SIP URI. Parameters
    /// (`gr` of a GRUU among them), visual separators and escapes are no part of an identity (TS 23.003 13.4).
    pub(crate) fn of(uri: &Uri<'_>, home_realm: &str) -> Result<Self, Reject> {
        let text = std::str::from_utf8(uri.as_bytes()).map_err(|_| Reject::Malformed)?;
        let rewritten = match uri.scheme() {
            Scheme::Sip | Scheme::Sips => tel_of(uri),
            Scheme::Tel => None,
            Scheme::Urn => return Err(Reject::ServiceUrn),
            Scheme::Other => Some(sip_of(text).ok_or(Reject::UnsupportedScheme)?),
        };
        let identity = Impu::parse(rewritten.as_deref().unwrap_or(text)).map_err(|_| Reject::Malformed)?;
        let others = other_spellings(&identity, home_realm);
        Ok(Self {
            identity,
            rewritten,
            others,
        })
    }
}

/// Whether the host of a SIP URI is one of these domains, whatever the port.
pub(crate) fn is_in(uri: &Uri<'_>, domains: &[String]) -> bool {
    let host = uri.host();
    uri.is_sip() && domains.iter().any(|domain| host == Host::Name(domain))
}

/// The tel URI inside `sip:+E164@domain;user=phone`; number parameters go along (RFC 3261 19.1.6).
fn tel_of(uri: &Uri<'_>) -> Option<String> {
    let phone = uri.param("user")??;
    let user = uri.user_unescaped()?;
    let user = std::str::from_utf8(&user).ok()?;
    let global = user.starts_with('+');
    let digit = user.get(1..2)?.bytes().all(|b| b.is_ascii_digit());
    (global && digit && phone.eq_ignore_ascii_case(b"phone")).then(|| format!("tel:{user}"))
}

fn sip_of(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let known = scheme.eq_ignore_ascii_case("pres") || scheme.eq_ignore_ascii_case("im");
    (known && rest.contains('@')).then(|| format!("sip:{rest}"))
}

/// Of a number in our own domain.
fn other_spellings(identity: &Impu, home_realm: &str) -> Vec<OtherSpelling> {
    let is_ours = |host: &str| host.eq_ignore_ascii_case(home_realm);
    let number = identity.user().and_then(digits_of);
    let Some(digits) = number.filter(|_| identity.is_tel() || identity.host().is_some_and(is_ours)) else {
        return Vec::new();
    };
    let mut spellings = [
        format!("sip:{digits}@{home_realm}"),
        format!("tel:{digits}"),
        format!("sip:+{digits}@{home_realm};user=phone"),
        format!("tel:+{digits}"),
    ]
    .map(|request_uri| OtherSpelling {
        identity: Impu::parse(&request_uri).unwrap_or_else(|_| identity.clone()),
        request_uri,
    })
    .to_vec();
    spellings.retain(|spelling| spelling.identity != *identity);
    spellings
}

/// The digits of a user part that is a number, not of a short one.
fn digits_of(user: &str) -> Option<&str> {
    let digits = user.strip_prefix('+').unwrap_or(user);
    let is_number = digits.len() >= NUMBER_MIN && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Result<Target, Reject> {
        Target::of(&Uri::parse(uri.as_bytes()).unwrap(), "home.test")
    }

    fn asked(uri: &str) -> String {
        target(uri).unwrap().identity.as_str().to_owned()
    }

    #[test]
    fn what_is_asked_has_no_parameters_no_separators_and_no_escapes() {
        for (uri, expected) in [
            ("tel:+1-555.(000)2", "tel:+15550002"),
            ("sip:+1-555-0002@home.test;user=phone", "tel:+15550002"),
            ("sip:%2B15550002@HOME.test;user=PHONE", "tel:+15550002"),
            ("sip:alice@home.test;gr=urn:uuid:1", "sip:alice@home.test"),
            (
                "sip:alice@home.test;transport=tcp?Subject=x",
                "sip:alice@home.test",
            ),
            ("sip:1234@home.test;user=phone", "sip:1234@home.test"),
            ("tel:5550002;phone-context=+1", "tel:5550002;phone-context=+1"),
            ("im:alice@home.test", "sip:alice@home.test"),
            ("sip:conference.home.test", "sip:conference.home.test"),
        ] {
            assert_eq!(asked(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_number_of_the_home_network_has_three_other_spellings() {
        let bare_sip = "sip:15550002@home.test";
        let sip = "sip:+15550002@home.test;user=phone";
        let (bare_tel, tel) = ("tel:15550002", "tel:+15550002");
        for (uri, expected) in [
            ("tel:+15550002", vec![bare_sip, bare_tel, sip]),
            ("sip:+15550002@home.test", vec![bare_sip, bare_tel, tel]),
            // Asked for as tel URI.
            (
                "sip:+15550002@home.test;user=phone",
                vec![bare_sip, bare_tel, sip],
            ),
            ("sip:15550002@home.test", vec![bare_tel, sip, tel]),
            ("sip:+15550002@elsewhere.test", vec![]),
            ("sip:alice@home.test", vec![]),
            ("sip:1234@home.test", vec![]),
            ("tel:112;phone-context=home.test", vec![]),
        ] {
            let target = target(uri).unwrap();
            let others: Vec<&str> = target.others.iter().map(|other| &*other.request_uri).collect();
            assert_eq!(others, expected, "{uri}");
        }
    }

    #[test]
    fn a_service_urn_and_a_foreign_scheme_are_nobody() {
        assert_eq!(target("urn:service:sos"), Err(Reject::ServiceUrn));
        assert_eq!(target("mailto:a@b.test"), Err(Reject::UnsupportedScheme));
        assert_eq!(target("pres:nobody"), Err(Reject::UnsupportedScheme));
    }

    #[test]
    fn a_domain_of_services_is_met_whatever_its_case_and_nothing_below_it() {
        let domains = ["conference.home.test".to_owned()];
        let of = |uri: &str| is_in(&Uri::parse(uri.as_bytes()).unwrap(), &domains);
        assert!(of("sip:room1@Conference.home.test"));
        assert!(of("sip:conference.home.test:5070;transport=tcp"));
        assert!(!of("sip:room1@home.test"));
        assert!(!of("sip:room1@a.conference.home.test"));
        assert!(!of("tel:+15550002"));
    }
}
