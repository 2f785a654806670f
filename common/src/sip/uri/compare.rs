//! Engine: when two URIs are the same (RFC 3261 19.1.4, RFC 3966 4, RFC 8141 3.1, RFC 5031 4).

use super::{Scheme, Uri, is_visual_separator};
use crate::sip::params::Params;
use crate::sip::text;

/// Parameters that must be equal, or absent, in both (RFC 3261 19.1.4).
const SIGNIFICANT: [&str; 5] = ["transport", "user", "ttl", "method", "maddr"];

pub(super) fn equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a.scheme(), b.scheme()) {
        (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => sip(a, b),
        (Scheme::Tel, Scheme::Tel) => tel(a, b),
        (Scheme::Urn, Scheme::Urn) => urn(a.as_bytes(), b.as_bytes()),
        (Scheme::Other, Scheme::Other) => a.as_bytes() == b.as_bytes(),
        (Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Urn | Scheme::Other, _) => false,
    }
}

/// RFC 3261 19.1.4. User part and password count case, everything else does not.
fn sip(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    optional_eq(a.user(), b.user(), |x, y| Units(x).eq(Units(y)))
        && optional_eq(a.password(), b.password(), |x, y| Units(x).eq(Units(y)))
        && a.host() == b.host()
        && a.port() == b.port()
        && params_agree(a.params(), b.params())
        && params_agree(b.params(), a.params())
        && headers_eq(a, b)
}

fn optional_eq(a: Option<&[u8]>, b: Option<&[u8]>, eq: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => eq(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn params_agree(a: Params<'_>, b: Params<'_>) -> bool {
    a.iter().all(|(name, value)| {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        match b.get(name) {
            Some(other) => optional_eq(value, other, eq_folded),
            None => !SIGNIFICANT.iter().any(|s| s.eq_ignore_ascii_case(name)),
        }
    })
}

fn eq_folded(a: &[u8], b: &[u8]) -> bool {
    let fold = |unit: u16| match u8::try_from(unit) {
        Ok(byte) => u16::from(byte.to_ascii_lowercase()),
        Err(_) => unit,
    };
    Units(a).map(fold).eq(Units(b).map(fold))
}

/// RFC 3261 19.1.4: "URI header components are never ignored": the same set, in any order.
fn headers_eq(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let one_in_other = |a: &Uri<'_>, b: &Uri<'_>| {
        a.headers().all(|(name, value)| {
            b.headers()
                .any(|(n, v)| eq_folded(name, n) && Units(value).eq(Units(v)))
        })
    };
    a.headers().count() == b.headers().count() && one_in_other(a, b) && one_in_other(b, a)
}

/// The characters of a URI part. An escape is the same as its character, unless that is reserved (RFC 3261
/// 19.1.4): then it is told apart by a high bit.
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let [first, rest @ ..] = self.0 else {
            return None;
        };
        if let Some(byte) = text::escaped_byte(self.0) {
            self.0 = text::after(self.0, 3);
            let reserved = b";/?:@&=+$,%".contains(&byte);
            return Some(u16::from(byte) | if reserved { 0x100 } else { 0 });
        }
        self.0 = rest;
        Some(u16::from(*first))
    }
}

/// RFC 3966 4: both global or both local, the same digits, the same parameters in any order.
fn tel(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let numbers = optional_eq(a.user(), b.user(), number_eq);
    numbers && tel_params_agree(a.params(), b.params()) && tel_params_agree(b.params(), a.params())
}

fn number_eq(a: &[u8], b: &[u8]) -> bool {
    fn digits(number: &[u8]) -> impl Iterator<Item = u8> + '_ {
        number
            .iter()
            .filter(|b| !is_visual_separator(**b))
            .map(u8::to_ascii_lowercase)
    }
    digits(a).eq(digits(b))
}

fn tel_params_agree(a: Params<'_>, b: Params<'_>) -> bool {
    a.iter().all(|(name, value)| {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        let number = name.eq_ignore_ascii_case("ext")
            || (name.eq_ignore_ascii_case("phone-context") && value.is_some_and(|v| v.starts_with(b"+")));
        b.get(name)
            .is_some_and(|other| optional_eq(value, other, if number { number_eq } else { eq_folded }))
    })
}

/// RFC 8141 3.1: `urn` and the namespace in any case. RFC 5031 4: service URNs in any case throughout.
fn urn(a: &[u8], b: &[u8]) -> bool {
    fn parts(urn: &[u8]) -> (&[u8], &[u8]) {
        let rest = text::after(urn, 4);
        let end = memchr::memchr(b':', rest).unwrap_or(rest.len());
        (text::cut(rest, 0, end), text::after(rest, end))
    }
    let ((a_space, a_rest), (b_space, b_rest)) = (parts(a), parts(b));
    let service = a_space.eq_ignore_ascii_case(b"service");
    a_space.eq_ignore_ascii_case(b_space)
        && (a_rest == b_rest || (service && a_rest.eq_ignore_ascii_case(b_rest)))
}
