//! Codec: IMS identities, canonical and redacting (TS 23.003 13).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;

use crate::sip::{Credentials, Uri};
use crate::telemetry::redact::Redacted;

/// Longest identity that is accepted, in octets.
pub const IDENTITY_LEN_MAX: usize = 512;

/// Why a text is no identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing is there.
    #[error("identity is empty")]
    Empty,
    /// More than [`IDENTITY_LEN_MAX`] octets.
    #[error("identity is too long")]
    TooLong,
    /// White space, control or quoting characters, or no UTF-8.
    #[error("identity has a character that is not allowed")]
    BadCharacter,
    /// A public identity is a SIP or tel URI (TS 23.003 13.4).
    #[error("public identity is neither a SIP nor a tel URI")]
    UnknownScheme,
    /// The host or the port of a SIP URI, or a realm, is missing or no host.
    #[error("identity has no valid host")]
    BadHost,
    /// A tel URI without digits.
    #[error("tel URI has no valid number")]
    BadNumber,
}

/// A private user identity, IMPI: a network access identifier (TS 23.003 13.3).
///
/// Compared octet by octet, as the HSS and the digest do. A clone shares the text. `Display` and `Debug` are redacted; the text
/// for the wire is [`Impi::as_str`].
#[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Impi(Arc<str>);

impl Impi {
    /// Checks and keeps the text as it is, without white space around it.
    ///
    /// # Errors
    /// When the text is empty, too long, or has characters that no NAI has.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        checked(text).map(|text| Self(text.into()))
    }

    /// The identity of a REGISTER: the username of its Authorization; where there is none, or an empty one, the
    /// one derived from the public identity (TS 24.229 5.3.1.2, 5.4.1.2.1).
    ///
    /// # Errors
    /// When the username is no UTF-8, too long, or has characters that no NAI has.
    pub fn of_register(credentials: Option<&Credentials<'_>>, impu: &Impu) -> Result<Self, IdentityError> {
        let username = credentials.and_then(Credentials::username);
        match username.filter(|username| !username.is_empty()) {
            Some(username) => {
                let text = std::str::from_utf8(&username).map_err(|_| IdentityError::BadCharacter)?;
                Self::parse(text)
            }
            None => Ok(impu.to_impi()),
        }
    }

    /// The full text, for the wire only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the last `@`: the IMSI, for an IMPI derived from one.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.rsplit_once('@').map_or(&*self.0, |(user, _)| user)
    }

    /// The part after the last `@`.
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.0.rsplit_once('@').map(|(_, realm)| realm)
    }
}

/// A public user identity, IMPU, in canonical form: SIP or tel URI (TS 23.003 13.4).
///
/// Canonical means: scheme and host in lower case, user part unescaped where that is safe, no password,
/// no parameters, no headers, no display name; a tel number without visual separators. Two identities
/// are the same when their canonical texts are. A local tel number keeps its `phone-context`, without
/// which it would be another number. A clone shares the text. `Display` and `Debug` are redacted; the text for the wire is
/// [`Impu::as_str`].
#[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Impu(Arc<str>);

impl Impu {
    /// Makes the canonical identity of a URI's text; white space around it is dropped.
    ///
    /// # Errors
    /// When the text is no SIP or tel URI.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let text = checked(text)?;
        let (scheme, rest) = text.split_once(':').ok_or(IdentityError::UnknownScheme)?;
        if scheme.eq_ignore_ascii_case("tel") {
            canonical_tel(rest).map(|text| Self(text.into()))
        } else if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            // TS 23.003 13.4 knows only SIP and tel URIs: sips names the same user by a safer way.
            canonical_sip(rest).map(|text| Self(text.into()))
        } else {
            Err(IdentityError::UnknownScheme)
        }
    }

    /// As [`Impu::parse`], of octets that came from the network.
    ///
    /// # Errors
    /// When the octets are no UTF-8 or no SIP or tel URI.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::BadCharacter)?;
        Self::parse(text)
    }

    /// The canonical identity of a URI.
    ///
    /// # Errors
    /// When it is no SIP or tel URI, or no UTF-8.
    pub fn from_uri(uri: &Uri<'_>) -> Result<Self, IdentityError> {
        Self::from_bytes(uri.as_bytes())
    }

    /// The full canonical text, for the wire only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a tel URI.
    #[must_use]
    pub fn is_tel(&self) -> bool {
        self.0.starts_with("tel:")
    }

    /// The user part of a SIP URI, or the number of a tel URI.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self.0.strip_prefix("tel:") {
            Some(number) => number.split(';').next(),
            None => self.without_scheme().rsplit_once('@').map(|(user, _)| user),
        }
    }

    /// The host of a SIP URI, without the port.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        if self.is_tel() {
            return None;
        }
        let rest = self.without_scheme();
        let host_port = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        Some(split_port(host_port).0)
    }

    /// The IMPI of a user that did not say it: the IMPU without scheme, port and parameters
    /// (TS 24.229 5.4.1.2.1).
    #[must_use]
    pub fn to_impi(&self) -> Impi {
        match (self.user(), self.host()) {
            (Some(user), Some(host)) => Impi(format!("{user}@{host}").into()),
            (None, Some(host)) => Impi(host.into()),
            (user, None) => Impi(user.unwrap_or_default().into()),
        }
    }

    fn without_scheme(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, rest)| rest)
    }
}

/// A domain name that names a network: the home realm, a digest realm.
///
/// In lower case, without the trailing dot.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Realm(String);

impl Realm {
    /// Makes a realm of a domain name.
    ///
    /// # Errors
    /// When the text is no domain name.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let text = checked(text)?;
        if text.contains(':') {
            return Err(IdentityError::BadHost);
        }
        canonical_host(text).map(Self)
    }

    /// The text for the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = IdentityError;
            fn from_str(text: &str) -> Result<Self, IdentityError> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdentityError;
            fn try_from(text: String) -> Result<Self, IdentityError> {
                Self::parse(&text)
            }
        }
    };
}

macro_rules! redacted_text_type {
    ($name:ident) => {
        text_type!($name);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Redacted(&*self.0), f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), Redacted(&*self.0))
            }
        }
    };
}

redacted_text_type!(Impi);
redacted_text_type!(Impu);
text_type!(Realm);

fn checked(text: &str) -> Result<&str, IdentityError> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    if text.is_empty() {
        return Err(IdentityError::Empty);
    }
    if text.len() > IDENTITY_LEN_MAX {
        return Err(IdentityError::TooLong);
    }
    // Nearly all are plain ASCII; only others are looked at letter by letter.
    if text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>'))
    {
        return Ok(text);
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>');
    if text.contains(bad) {
        return Err(IdentityError::BadCharacter);
    }
    Ok(text)
}

fn canonical_tel(rest: &str) -> Result<String, IdentityError> {
    let (number, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    // A wildcarded identity has a regular expression between exclamation marks (TS 23.003 13.4A).
    let wildcarded = number.contains('!');
    let number: String = number
        .chars()
        .filter(|c| wildcarded || !matches!(c, '-' | '.' | '(' | ')'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let (global, digits) = match number.strip_prefix('+') {
        Some(digits) => (true, digits),
        None => (false, &*number),
    };
    let is_digit = |c: char| c.is_ascii_digit() || (!global && matches!(c, 'a'..='f' | '*' | '#'));
    if digits.is_empty() || !(wildcarded || digits.chars().all(is_digit)) {
        return Err(IdentityError::BadNumber);
    }
    let context = parameters
        .split(';')
        .filter_map(|p| p.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("phone-context"))
        .filter(|_| !global);
    let Some((_, context)) = context else {
        return Ok(format!("tel:{number}"));
    };
    let mut canonical = format!("tel:{number};phone-context=");
    let is_number = context.starts_with('+');
    let context: String = context
        .chars()
        .filter(|c| !is_number || !matches!(c, '-' | '.' | '(' | ')'))
        .collect();
    let mut plain = String::new();
    unescape_into(&mut plain, &context)?;
    canonical.push_str(&plain.to_ascii_lowercase());
    Ok(canonical)
}

fn canonical_sip(rest: &str) -> Result<String, IdentityError> {
    let (user, tail) = match rest.rsplit_once('@') {
        Some((user, tail)) => (Some(user), tail),
        None => (None, rest),
    };
    let host_port = tail.split([';', '?']).next().unwrap_or_default();
    let (host, port) = split_port(host_port);
    let host = canonical_host(host)?;
    let mut canonical = String::from("sip:");
    if let Some(user) = user {
        let user = user.split(':').next().unwrap_or_default();
        if user.is_empty() {
            return Err(IdentityError::Empty);
        }
        unescape_into(&mut canonical, user)?;
        canonical.push('@');
    }
    canonical.push_str(&host);
    if let Some(port) = port {
        let port: u16 = port.parse().map_err(|_| IdentityError::BadHost)?;
        canonical.push(':');
        canonical.push_str(&port.to_string());
    }
    Ok(canonical)
}

/// Splits `host[:port]`; the colons of a bracketed IPv6 address stay with the host.
fn split_port(host_port: &str) -> (&str, Option<&str>) {
    match host_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host_port, None),
    }
}

/// A name in lower case without the dot of the root, or an address in its shortest spelling: one host, one text.
fn canonical_host(host: &str) -> Result<String, IdentityError> {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| IdentityError::BadHost)?;
        return Ok(format!("[{address}]"));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if name
        .as_bytes()
        .split(|b| *b == b'.')
        .all(|label| !label.is_empty() && label.iter().all(is_label_byte))
    {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(IdentityError::BadHost)
    }
}

/// RFC 3261 19.1.4: an escaped character equals itself, unless it is reserved. So `%2B` and `+` stay
/// two things, `%61` and `a` become one.
fn unescape_into(canonical: &mut String, user: &str) -> Result<(), IdentityError> {
    let mut rest = user;
    while let Some((before, after)) = rest.split_once('%') {
        canonical.push_str(before);
        let hex = after.get(..2).ok_or(IdentityError::BadCharacter)?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(IdentityError::BadCharacter);
        }
        let octet = u8::from_str_radix(hex, 16).map_err(|_| IdentityError::BadCharacter)?;
        let c = char::from(octet);
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '!' | '~' | '*' | '\'' | '(' | ')') {
            canonical.push(c);
        } else {
            canonical.push('%');
            canonical.push_str(&hex.to_ascii_uppercase());
        }
        rest = after.get(2..).unwrap_or_default();
    }
    canonical.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impu(text: &str) -> String {
        Impu::parse(text).map_or_else(|e| format!("{e:?}"), |i| i.as_str().to_owned())
    }

    #[test]
    fn a_sip_identity_is_scheme_user_and_lower_case_host() {
        assert_eq!(
            impu("SIP:Alice@Home.Example;user=phone?x=y"),
            "sip:Alice@home.example"
        );
        assert_eq!(impu(" sip:alice@home.example\n"), "sip:alice@home.example");
        assert_eq!(
            impu("sips:alice@home.example:5061"),
            "sip:alice@home.example:5061"
        );
        assert_eq!(impu("sip:alice:secret@home.example"), "sip:alice@home.example");
        assert_eq!(impu("sip:conference.home.example"), "sip:conference.home.example");
        assert_eq!(
            impu("sip:alice@[2001:DB8::1]:5070"),
            "sip:alice@[2001:db8::1]:5070"
        );
    }

    #[test]
    fn two_spellings_of_one_host_are_one_identity() {
        assert_eq!(impu("sip:a@[2001:DB8:0:0::1]"), impu("sip:a@[2001:db8::1]"));
        assert_eq!(impu("sip:a@Home.Example."), "sip:a@home.example");
    }

    #[test]
    fn two_spellings_of_one_phone_context_are_one_identity() {
        let context = |text: &str| impu(&format!("tel:7042;phone-context={text}"));
        assert_eq!(context("ex%41mple.com"), context("EXAMPLE.com"));
        assert_eq!(context("+1-(2)"), context("+12"));
        assert_eq!(context("a%2Bb"), "tel:7042;phone-context=a%2bb");
    }

    #[test]
    fn a_host_of_nothing_but_dots_is_none() {
        for text in ["sip:a@..", "sip:a@.", "sip:a@h..example", "sip:a@.h"] {
            assert_eq!(impu(text), "BadHost", "{text}");
        }
        assert_eq!(Realm::parse(".."), Err(IdentityError::BadHost));
        assert_eq!(Realm::parse("h.example.."), Err(IdentityError::BadHost));
        assert_eq!(Realm::parse("H.example.").unwrap().as_str(), "h.example");
    }

    #[test]
    fn a_parsed_uri_and_its_text_are_the_same_identity() {
        let text = "sip:Alice@Home.Example:5060;user=phone";
        let uri = Uri::parse(text.as_bytes()).unwrap();
        assert_eq!(Impu::from_uri(&uri), Impu::parse(text));
    }

    #[test]
    fn user_parameters_belong_to_the_user() {
        assert_eq!(
            impu("sip:123;phone-context=x.example@home.example;user=phone"),
            "sip:123;phone-context=x.example@home.example"
        );
    }

    #[test]
    fn escapes_of_unreserved_characters_are_undone_and_others_kept() {
        assert_eq!(impu("sip:%61l%2bice@h.example"), "sip:al%2Bice@h.example");
        assert_eq!(impu("sip:al%2@h.example"), "BadCharacter");
        assert_eq!(impu("sip:al%+1@h.example"), "BadCharacter");
        assert_eq!(impu("sip:%é1@h.example"), "BadCharacter");
    }

    #[test]
    fn a_tel_identity_loses_separators_and_parameters() {
        assert_eq!(impu("TEL:+1-(202)-555.0101;isub=1"), "tel:+12025550101");
        assert_eq!(impu("tel:12025550101"), "tel:12025550101");
        assert_eq!(impu("tel:+1;phone-context=x.example"), "tel:+1");
        assert_eq!(
            impu("tel:911;phone-context=Home.Example"),
            "tel:911;phone-context=home.example"
        );
        assert_eq!(impu("tel:*31#"), "tel:*31#");
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for (text, error) in [
            ("", "Empty"),
            ("  ", "Empty"),
            ("alice@home.example", "UnknownScheme"),
            ("urn:service:sos", "UnknownScheme"),
            ("sip:", "BadHost"),
            ("sip:alice@", "BadHost"),
            ("sip:@home.example", "Empty"),
            ("sip:alice@home example", "BadCharacter"),
            ("sip:alice@home\r\nX: y", "BadCharacter"),
            ("\"A\" <sip:alice@home.example>", "BadCharacter"),
            ("sip:alice@home.example:99999", "BadHost"),
            ("sip:alice@[::zz]", "BadHost"),
            ("tel:", "BadNumber"),
            ("tel:+", "BadNumber"),
            ("tel:+12a", "BadNumber"),
        ] {
            assert_eq!(impu(text), error, "{text:?}");
        }
        assert_eq!(impu(&format!("sip:{}@h", "a".repeat(600))), "TooLong");
        assert_eq!(Impu::from_bytes(b"sip:\xff@h"), Err(IdentityError::BadCharacter));
    }

    #[test]
    fn a_wildcarded_identity_keeps_its_expression() {
        assert_eq!(impu("sip:chat!.*!@home.example"), "sip:chat!.*!@home.example");
        assert_eq!(impu("tel:+4917!.*!"), "tel:+4917!.*!");
    }

    #[test]
    fn the_impi_of_a_silent_user_is_its_impu_without_scheme_port_and_parameters() {
        let impi = |text: &str| Impu::parse(text).unwrap().to_impi().as_str().to_owned();
        assert_eq!(
            impi("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org:5060;x=y"),
            "001010000000001@ims.mnc001.mcc001.3gppnetwork.org"
        );
        assert_eq!(impi("tel:+15550001"), "+15550001");
        assert_eq!(impi("sip:psi.example"), "psi.example");
    }

    #[test]
    fn parts_are_found() {
        let id = Impu::parse("sip:alice@home.example:5070").unwrap();
        assert_eq!(
            (id.user(), id.host(), id.is_tel()),
            (Some("alice"), Some("home.example"), false)
        );
        let id = Impu::parse("tel:911;phone-context=x").unwrap();
        assert_eq!((id.user(), id.host(), id.is_tel()), (Some("911"), None, true));
        let id = Impi::parse("001010000000001@ims.example").unwrap();
        assert_eq!((id.user(), id.realm()), ("001010000000001", Some("ims.example")));
    }

    #[test]
    fn canonical_is_a_fixed_point() {
        for text in [
            "sip:%61%20b@H.example:05060;lr",
            "tel:1-2;phone-context=+1",
            "sip:[::1]",
        ] {
            let once = impu(text);
            assert_eq!(impu(&once), once, "{text}");
        }
    }

    #[test]
    fn identities_are_redacted_in_display_and_debug() {
        let impi = Impi::parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap();
        assert_eq!(impi.to_string(), "00101…01@ims…");
        assert_eq!(format!("{impi:?}"), "Impi(00101…01@ims…)");
        let impu = Impu::parse("tel:+12025550101").unwrap();
        assert_eq!(format!("{impu} {impu:?}"), "tel:+120…01 Impu(tel:+120…01)");
    }

    #[test]
    fn realm_is_a_lower_case_domain() {
        assert_eq!(Realm::parse("IMS.Example.").unwrap().to_string(), "ims.example");
        assert_eq!(Realm::parse("a:b"), Err(IdentityError::BadHost));
        assert_eq!(Realm::parse("a/b"), Err(IdentityError::BadHost));
    }
}
