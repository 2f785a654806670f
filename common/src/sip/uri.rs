//! Codec: URIs: sip and sips (RFC 3261 19.1), tel (RFC 3966), urn (RFC 8141), and others as they are.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use memchr::{memchr, memchr_iter};

use super::error::UriError;
use super::params::Params;
use super::text::{self, ByteSet, after, cut};

mod compare;
mod owned;

pub use owned::UriBuf;

/// The most parameters, and the most headers, that a URI may have.
const PARTS_MAX: usize = 64;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scheme {
    /// RFC 3261.
    Sip,
    /// RFC 3261, secured.
    Sips,
    /// RFC 3966.
    Tel,
    /// RFC 8141; in IMS mostly `urn:service:` (RFC 5031).
    Urn,
    /// Anything else; see [`Uri::as_bytes`].
    Other,
}

/// The host of a URI or Via.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A domain name as written. Empty for URIs that have no host (tel, urn …).
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if let [b'[', inner @ .., b']'] = bytes {
            return std::str::from_utf8(inner).ok()?.parse().ok().map(Self::V6);
        }
        let name = std::str::from_utf8(bytes).ok()?;
        // RFC 3261 25.1 `hostname`; underscores occur in the field. An all-numeric top label is a broken address.
        match top_label(bytes)? {
            TopLabel::Name => Some(Self::Name(name)),
            TopLabel::Number => name.parse().ok().map(Self::V4),
        }
    }

    /// The address, when it is one.
    #[must_use]
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some((*address).into()),
            Self::V6(address) => Some((*address).into()),
        }
    }
}

/// What the last label of a host name without its final dot is made of.
enum TopLabel {
    Name,
    Number,
}

static LABEL: ByteSet = ByteSet::alphanumeric_and(b"-_");

/// Walks over the labels; `None` when one is empty or holds what no label may.
fn top_label(name: &[u8]) -> Option<TopLabel> {
    let mut rest = name;
    loop {
        let label = cut(rest, 0, LABEL.run(rest));
        if label.is_empty() {
            return None;
        }
        match after(rest, label.len()) {
            [] | [b'.'] => {
                let is_number = label.iter().all(u8::is_ascii_digit);
                return Some(if is_number {
                    TopLabel::Number
                } else {
                    TopLabel::Name
                });
            }
            [b'.', tail @ ..] => rest = tail,
            _ => return None,
        }
    }
}

/// Names are equal in any case, addresses by value.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            (Self::Name(_) | Self::V4(_) | Self::V6(_), _) => false,
        }
    }
}

impl Eq for Host<'_> {}

/// As in a URI: IPv6 in brackets.
impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// A URI, borrowed and checked.
#[derive(Clone, Copy)]
pub struct Uri<'a> {
    raw: &'a [u8],
    scheme: Scheme,
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
    headers: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    /// Reads a URI of any scheme; sip, sips, tel and urn are checked by their grammars.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UriError> {
        let colon = text::find(b':', bytes).ok_or(UriError::Scheme)?;
        let name = cut(bytes, 0, colon);
        let scheme = parse_scheme(name).ok_or(UriError::Scheme)?;
        let rest = after(bytes, colon + 1);
        if rest.is_empty() {
            return Err(UriError::Character);
        }
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::parse_sip(bytes, scheme, rest),
            Scheme::Tel => Self::parse_tel(bytes, rest),
            Scheme::Urn | Scheme::Other => {
                Marks::of(rest)?;
                Ok(Self::opaque(bytes, scheme))
            }
        }
    }

    fn opaque(raw: &'a [u8], scheme: Scheme) -> Self {
        Self {
            raw,
            scheme,
            user: None,
            password: None,
            host: Host::Name(""),
            port: None,
            params: Params::default(),
            headers: None,
        }
    }

    /// RFC 3261 25.1: `[user [":" password] "@"] host [":" port] *(";" param) ["?" headers]`
    fn parse_sip(raw: &'a [u8], scheme: Scheme, rest: &'a [u8]) -> Result<Self, UriError> {
        let marks = Marks::of(rest)?;
        marks.check_escapes(rest)?;
        if marks.at_again {
            return Err(UriError::User);
        }
        let (userinfo, hostpart) = match marks.at {
            None => (None, rest),
            Some(at) => (Some(cut(rest, 0, at)), after(rest, at + 1)),
        };
        let (user, password) = match userinfo {
            None => (None, None),
            Some(info) => match text::find(b':', info) {
                None => (Some(info), None),
                Some(at) => (Some(cut(info, 0, at)), Some(after(info, at + 1))),
            },
        };
        if user.is_some_and(<[u8]>::is_empty) {
            return Err(UriError::User);
        }
        let offset = rest.len() - hostpart.len();
        let (before_headers, headers) = match marks.question {
            None => (hostpart, None),
            Some(at) => (cut(rest, offset, at), Some(after(rest, at + 1))),
        };
        if headers.is_some_and(|headers| memchr_iter(b'&', headers).count() >= PARTS_MAX) {
            return Err(UriError::Parameter);
        }
        let (hostport, params) = match marks.semicolon {
            None => (before_headers, None),
            Some(at) => (
                cut(rest, offset, at),
                Some(cut(rest, at + 1, offset + before_headers.len())),
            ),
        };
        let (host, port) = parse_hostport(hostport)?;
        let params = Params::new(params);
        check_params(params)?;
        Ok(Self {
            raw,
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }

    /// RFC 3966 3. A local number without phone-context is taken: dialled numbers come so.
    fn parse_tel(raw: &'a [u8], rest: &'a [u8]) -> Result<Self, UriError> {
        Marks::of(rest)?.check_escapes(rest)?;
        let (number, params) = match text::find(b';', rest) {
            None => (rest, None),
            Some(at) => (cut(rest, 0, at), Some(after(rest, at + 1))),
        };
        let ok = match number {
            [b'+', global @ ..] => {
                global.iter().any(u8::is_ascii_digit)
                    && global
                        .iter()
                        .all(|b| b.is_ascii_digit() || is_visual_separator(*b))
            }
            local => {
                let is_local_digit = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#');
                local.iter().any(is_local_digit)
                    && local.iter().all(|b| is_local_digit(b) || is_visual_separator(*b))
            }
        };
        if !ok {
            return Err(UriError::Number);
        }
        let params = Params::new(params);
        check_params(params)?;
        Ok(Self {
            user: Some(number),
            params,
            ..Self::opaque(raw, Scheme::Tel)
        })
    }

    /// The URI as written.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Is it sip or sips?
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part of a sip URI as written, or the number of a tel URI.
    #[must_use]
    pub fn user(&self) -> Option<&'a [u8]> {
        self.user
    }

    /// The user part, escapes undone.
    #[must_use]
    pub fn user_unescaped(&self) -> Option<Cow<'a, [u8]>> {
        self.user.map(text::unescape)
    }

    /// The password of a sip URI as written.
    #[must_use]
    pub fn password(&self) -> Option<&'a [u8]> {
        self.password
    }

    /// The host of a sip URI; an empty name for other schemes.
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        self.host
    }

    /// The port, if the URI says one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters of a sip or tel URI.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// A parameter's value as written. `Some(None)`: there, without a value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params.get(name)
    }

    /// The headers of a sip URI: name and value as written (RFC 3261 19.1.1).
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers
            .into_iter()
            .flat_map(|headers| headers.split(|b| *b == b'&'))
            .filter(|header| !header.is_empty())
            .map(|header| match memchr(b'=', header) {
                None => (header, &[][..]),
                Some(at) => (cut(header, 0, at), after(header, at + 1)),
            })
    }

    /// Has it a `?`?
    #[must_use]
    pub fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// The number of a tel URI, or of a sip URI with `user=phone` (RFC 3261 19.1.6), without visual separators.
    #[must_use]
    pub fn tel_number(&self) -> Option<String> {
        let number = match self.scheme {
            Scheme::Tel => Cow::Borrowed(self.user?),
            Scheme::Sip | Scheme::Sips => {
                let phone = self.param("user").flatten()?;
                if !phone.eq_ignore_ascii_case(b"phone") {
                    return None;
                }
                // The user part of such a URI is a telephone-subscriber: parameters may follow the number.
                let subscriber = self.user?;
                text::unescape(subscriber.split(|b| *b == b';').next()?)
            }
            Scheme::Urn | Scheme::Other => return None,
        };
        let digits: String = number
            .iter()
            .filter(|b| !is_visual_separator(**b))
            .map(|b| char::from(*b))
            .collect();
        (!digits.is_empty()).then_some(digits)
    }

    /// Is it the same resource? sip and sips by RFC 3261 19.1.4, tel by RFC 3966 4, urn by RFC 8141 3.1.
    #[must_use]
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        compare::equivalent(self, other)
    }
}

/// Shows the URI as written.
impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({:?})", text::lossy(self.raw))
    }
}

/// The URI as written.
impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::lossy(self.raw))
    }
}

fn parse_scheme(name: &[u8]) -> Option<Scheme> {
    let [first, rest @ ..] = name else {
        return None;
    };
    let scheme_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !first.is_ascii_alphabetic() || !rest.iter().all(scheme_byte) {
        return None;
    }
    Some(match name {
        _ if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
        _ if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
        _ if name.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
        _ if name.eq_ignore_ascii_case(b"urn") => Scheme::Urn,
        _ => Scheme::Other,
    })
}

/// Where the marks are by which the parts of a URI are told, found in one pass.
#[derive(Default)]
struct Marks {
    /// Where the first `@` is.
    at: Option<usize>,
    /// Whether there is another one.
    at_again: bool,
    /// The first `;` after it that does not stand behind a `?`.
    semicolon: Option<usize>,
    /// The first `?` after it.
    question: Option<usize>,
    /// Whether there is a `%`.
    escaped: bool,
}

/// What [`Marks::of`] stops at: the marks, and what no URI holds: white space, controls, quotes, angle brackets, and
/// anything beyond ASCII (RFC 3986 2).
static NOTABLE: ByteSet = ByteSet::others_than(
    b"!#$&'()*+,-./0123456789:=ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
);

impl Marks {
    fn of(rest: &[u8]) -> Result<Self, UriError> {
        let mut marks = Self::default();
        for (at, byte) in rest.iter().enumerate() {
            if !NOTABLE.has(*byte) {
                continue;
            }
            match byte {
                b'@' if marks.at.is_some() => marks.at_again = true,
                b'@' => {
                    marks = Self {
                        at: Some(at),
                        escaped: marks.escaped,
                        ..Self::default()
                    }
                }
                b';' if marks.question.is_none() => {
                    marks.semicolon.get_or_insert(at);
                }
                b'?' => {
                    marks.question.get_or_insert(at);
                }
                b'%' => marks.escaped = true,
                b';' => {}
                _ => return Err(UriError::Character),
            }
        }
        Ok(marks)
    }

    /// Every `%` begins an escape (RFC 3986 2.1).
    fn check_escapes(&self, mut rest: &[u8]) -> Result<(), UriError> {
        if !self.escaped {
            return Ok(());
        }
        while let Some(at) = memchr(b'%', rest) {
            text::escaped_byte(after(rest, at)).ok_or(UriError::Escape)?;
            rest = after(rest, at + 3);
        }
        Ok(())
    }
}

/// RFC 3966 5.1.1
fn is_visual_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')')
}

/// Comparing URIs is quadratic in their parameters, so there is a limit on them.
fn check_params(params: Params<'_>) -> Result<(), UriError> {
    params
        .count_well_formed()
        .filter(|count| *count <= PARTS_MAX)
        .map(drop)
        .ok_or(UriError::Parameter)
}

fn parse_hostport(hostport: &[u8]) -> Result<(Host<'_>, Option<u16>), UriError> {
    let host_len = match hostport {
        [b'[', ..] => memchr(b']', hostport).ok_or(UriError::Host)? + 1,
        _ => text::find(b':', hostport).unwrap_or(hostport.len()),
    };
    let host = Host::parse(cut(hostport, 0, host_len)).ok_or(UriError::Host)?;
    let port = match after(hostport, host_len) {
        [] => None,
        [b':', port @ ..] => Some(text::port(port).ok_or(UriError::Port)?),
        _ => return Err(UriError::Host),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests;
