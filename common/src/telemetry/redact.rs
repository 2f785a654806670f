//! Engine: identities as the log may show them.

use std::fmt::{self, Write};

/// An identity, URI or number whose `Display` and `Debug` show only enough to tell two users apart.
///
/// Of the user part at most the first five characters (for an IMSI: MCC and MNC) and the last two are
/// printed, never more than about half of it; of the host only the first label.
///
/// ```
/// use ims_common::telemetry::redact::Redacted;
/// let impi = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
/// assert_eq!(Redacted(impi).to_string(), "00101…01@ims…");
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Redacted<T>(pub T);

const HEAD_MAX: usize = 5;
const TAIL_MAX: usize = 2;

impl<T: AsRef<[u8]>> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0.as_ref());
        let (scheme, rest) = split_scheme(&text);
        f.write_str(scheme)?;
        // Parameters and headers may carry identities of their own.
        let rest = rest.split(['?', '>']).next().unwrap_or_default();
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (user, Some(host)),
            None => (rest, None),
        };
        write_user(f, user)?;
        match host {
            Some(host) => write_host(f, host),
            None => Ok(()),
        }
    }
}

impl<T: AsRef<[u8]>> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Splits off `sip:`, `tel:` and the like, but not a user part that has a password or only looks like a scheme.
fn split_scheme(text: &str) -> (&str, &str) {
    const SCHEMES: [&str; 5] = ["sip", "sips", "tel", "urn", "im"];
    match text.split_once(':') {
        Some((scheme, rest)) if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) => {
            (&text[..=scheme.len()], rest)
        }
        _ => ("", text),
    }
}

fn write_user(f: &mut fmt::Formatter<'_>, user: &str) -> fmt::Result {
    let user = user.split([';', ':']).next().unwrap_or_default();
    let printable = || user.chars().filter(|c| !c.is_control());
    let count = printable().count();
    let head = HEAD_MAX.min(count / 3);
    let tail = TAIL_MAX.min(count / 5);
    printable().take(head).try_for_each(|c| f.write_char(c))?;
    f.write_str("…")?;
    printable().skip(count - tail).try_for_each(|c| f.write_char(c))
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    let label = host.split(['.', ':', ';']).next().unwrap_or_default();
    f.write_str("@")?;
    label
        .chars()
        .take(16)
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .try_for_each(|c| f.write_char(c))?;
    f.write_str("…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Redacted(text).to_string()
    }

    #[test]
    fn an_imsi_shows_its_network_and_two_digits() {
        assert_eq!(
            shown("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org"),
            "sip:00101…01@ims…"
        );
    }

    #[test]
    fn a_short_user_part_shows_less_than_half() {
        assert_eq!(shown("sip:alice@home.example"), "sip:a…e@home…");
        assert_eq!(shown("tel:+15550001"), "tel:+15…1");
        assert_eq!(shown("al"), "…");
        assert_eq!(shown(""), "…");
    }

    #[test]
    fn parameters_passwords_and_headers_are_not_shown() {
        let text = shown("sip:+1555000199:secret@h.example;x=+1555000199?To=sip:+1555000199@h");
        assert!(!text.contains("secret"), "{text}");
        assert!(!text.contains("1555000199"), "{text}");
    }

    #[test]
    fn a_user_part_before_a_colon_is_no_scheme() {
        assert_eq!(shown("alice:secret@h.example"), "a…e@h…");
        assert_eq!(shown("SIPS:alice@h.example"), "SIPS:a…e@h…");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_break_the_log() {
        assert_eq!(
            Redacted(&b"sip:\xff\xfe\r\n@\x1b[0m"[..]).to_string(),
            "sip:…@0m…"
        );
    }

    #[test]
    fn debug_is_display() {
        assert_eq!(format!("{:?}", Redacted("alice")), "a…e");
    }
}
