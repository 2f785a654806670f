//! Codec: addresses with a name and parameters (RFC 3261 20.10, 25.1 `name-addr` / `addr-spec`).

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;

use super::error::HeaderError;
use super::params::Params;
use super::text::{self, after, cut};
use super::uri::Uri;

/// One value of From, To, Contact, Route, Path, P-Asserted-Identity …
#[derive(Clone, Copy)]
pub struct NameAddr<'a> {
    /// The display name as written (quotes kept), empty when there is none.
    pub display: &'a [u8],
    /// The address.
    pub uri: Uri<'a>,
    /// The parameters of the header, not of the URI.
    pub params: Params<'a>,
    raw: &'a [u8],
    brackets: bool,
}

impl<'a> NameAddr<'a> {
    /// Reads `[display-name] <URI> *(;param)` or `URI *(;param)`.
    ///
    /// # Errors
    /// When the display name, the URI or a parameter is malformed.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        let raw = text::trim(value);
        let after_quoted = match raw {
            [] => return Err(HeaderError::new("address_empty")),
            [b'"', ..] => text::quoted_end(raw).ok_or(HeaderError::new("address_quote"))?,
            _ => 0,
        };
        let parsed = match memchr(b'<', after(raw, after_quoted)) {
            Some(at) if after_quoted > 0 || !is_addr_spec(cut(raw, 0, at)) => {
                Self::bracketed(raw, after_quoted, after_quoted + at)?
            }
            _ if after_quoted > 0 => return Err(HeaderError::new("address_quote")),
            _ => Self::bare(raw)?,
        };
        if !parsed.params.is_well_formed() {
            return Err(HeaderError::new("address_parameter"));
        }
        Ok(parsed)
    }

    fn bracketed(raw: &'a [u8], after_quoted: usize, open: usize) -> Result<Self, HeaderError> {
        let display = text::trim(cut(raw, 0, open));
        let unquoted = text::trim(cut(raw, after_quoted, open));
        if after_quoted > 0 && !unquoted.is_empty() || !unquoted.iter().copied().all(is_display_byte) {
            return Err(HeaderError::new("address_display_name"));
        }
        let close = memchr(b'>', after(raw, open)).ok_or(HeaderError::new("address_bracket"))?;
        let uri = Uri::parse(cut(raw, open + 1, open + close))?;
        let params = match text::trim_start(after(raw, open + close + 1)) {
            [] => None,
            [b';', params @ ..] => Some(params),
            _ => return Err(HeaderError::new("address_tail")),
        };
        Ok(Self {
            display,
            uri,
            params: Params::new(params),
            raw,
            brackets: true,
        })
    }

    /// RFC 3261 20: without brackets, what follows `;` belongs to the header, and no `?` may occur.
    fn bare(raw: &'a [u8]) -> Result<Self, HeaderError> {
        let end = memchr(b';', raw).unwrap_or(raw.len());
        let spec = text::trim_end(cut(raw, 0, end));
        if memchr(b'?', spec).is_some() {
            return Err(HeaderError::new("address_needs_brackets"));
        }
        Ok(Self {
            display: &[],
            uri: Uri::parse(spec)?,
            params: Params::new(raw.get(end + 1..)),
            raw,
            brackets: false,
        })
    }

    /// The whole value as written.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Does the URI stand in angle brackets?
    #[must_use]
    pub fn has_brackets(&self) -> bool {
        self.brackets
    }

    /// The display name, quotes undone.
    #[must_use]
    pub fn display_unquoted(&self) -> Cow<'a, [u8]> {
        text::unquote(self.display)
    }

    /// The `tag` (RFC 3261 19.3).
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.get("tag").flatten()
    }

    /// The `expires` of a Contact in seconds, clamped; `None` when absent or malformed.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        text::number_clamped(&self.params.unquoted("expires")?)
    }

    /// The `q` of a Contact in thousandths; `None` when absent or malformed.
    #[must_use]
    pub fn q(&self) -> Option<u16> {
        thousandths(self.params.get("q").flatten()?)
    }

    /// A parameter's value, quotes undone. `Some(None)`: there, without a value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<Cow<'a, [u8]>>> {
        self.params.get(name).map(|value| value.map(text::unquote))
    }
}

/// Does what stands before a `<` already read as `scheme:…;`? Then the `<` belongs to a parameter's value.
fn is_addr_spec(before: &[u8]) -> bool {
    memchr(b':', before).is_some_and(|colon| {
        text::is_token(cut(before, 0, colon)) && memchr(b';', after(before, colon)).is_some()
    })
}

/// Tokens and white space; other printable characters occur in the field and are harmless here.
fn is_display_byte(byte: u8) -> bool {
    !matches!(byte, b'"' | b'<' | b'>' | b';' | b'\\')
}

/// RFC 3261 25.1 `qvalue`: 0 to 1 with up to three decimals.
pub(crate) fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole] => (*whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (*whole, decimals),
        _ => return None,
    };
    let mut sum = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut unit = 100;
    for digit in decimals {
        sum += u16::try_from(char::from(*digit).to_digit(10)?).ok()? * unit;
        unit /= 10;
    }
    (sum <= 1000).then_some(sum)
}

/// Shows the whole value as written.
impl fmt::Debug for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameAddr({:?})", text::lossy(self.raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> NameAddr<'_> {
        NameAddr::parse(value.as_bytes()).unwrap_or_else(|e| panic!("{value}: {e}"))
    }

    #[test]
    fn brackets_tell_uri_parameters_from_header_parameters() {
        let inside = parse("<sip:a@example.com;x=1>;y=2");
        assert!(inside.uri.param("x").is_some() && inside.params.has("y") && !inside.params.has("x"));
        let bare = parse("sip:a@example.com;x=1");
        assert!(bare.uri.param("x").is_none() && bare.params.has("x") && !bare.has_brackets());
    }

    #[test]
    fn display_names_are_tokens_or_quoted() {
        assert_eq!(parse("Alice von A <sip:a@example.com>").display, b"Alice von A");
        let quoted = parse(r#""A \"<x>\" B" <sip:a@example.com>;tag=1"#);
        assert_eq!(quoted.display_unquoted().as_ref(), br#"A "<x>" B"#);
        assert_eq!(quoted.tag(), Some(&b"1"[..]));
        assert_eq!(parse("\"\"<sip:a@example.com>").display, b"\"\"");
    }

    #[test]
    fn a_volte_contact_is_read_whole() {
        let contact = parse(
            "<sip:001010000000001@[2001:db8::10]:5060>;+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\";\
             +g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\";+g.3gpp.smsip;q=0.25;expires=\"7200\"",
        );
        assert_eq!(
            contact.param("+sip.instance").flatten().unwrap().as_ref(),
            b"<urn:gsma:imei:35622410-483840-0>"
        );
        assert_eq!(contact.param("+g.3gpp.smsip"), Some(None));
        assert_eq!((contact.q(), contact.expires()), (Some(250), Some(7200)));
    }

    #[test]
    fn a_bare_address_with_a_bracket_in_a_parameter_is_bare() {
        let contact = parse("sip:a@example.com;+sip.instance=\"<urn:x:y>\"");
        assert_eq!(contact.uri.as_bytes(), b"sip:a@example.com");
        assert_eq!(
            contact.param("+sip.instance").flatten().unwrap().as_ref(),
            b"<urn:x:y>"
        );
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for value in [
            "",
            "<>",
            "<sip:a@example.com",
            "\"A <sip:a@example.com>",
            "\"A\" sip:a@example.com",
            "A \"B\" <sip:a@b>",
            "<sip:a@example.com>tag=1",
            "<sip:a@example.com>;;tag=1",
            "<sip:a@example.com>;tag=\"",
            "Alice",
            "sip:a@example.com?Route=%3Csip:b%3E",
            "<sip:a@example.com>>",
            "\"A\"B <sip:a@example.com>",
        ] {
            assert!(NameAddr::parse(value.as_bytes()).is_err(), "{value}");
        }
    }

    #[test]
    fn q_values_are_thousandths() {
        for (value, q) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.5", Some(500)),
            ("1.000", Some(1000)),
            ("0.333", Some(333)),
        ] {
            assert_eq!(thousandths(value.as_bytes()), q, "{value}");
        }
        for value in ["", "1.1", "2", "0.1234", ".5", "-1", "0.x"] {
            assert_eq!(thousandths(value.as_bytes()), None, "{value}");
        }
    }
}
