//! Codec: a SIP message: the bytes that came and where its headers are (RFC 3261 7).

use std::fmt;
use std::iter;

use bytes::Bytes;
use memchr::memchr;
use smallvec::SmallVec;

use super::build::Lines;
use super::cseq::CSeq;
use super::digest::{Challenge, Credentials};
use super::error::{HeaderError, ParseError};
use super::name::{HeaderName, Shape};
use super::name_addr::NameAddr;
use super::request::{Request, Response, SipMessage};
use super::scan::{self, HeaderIndex, HeaderSpan, Scanned, StartLine};
use super::sec_agree::SecurityMechanism;
use super::text::{self, Split, cut};
use super::via::Via;
use crate::limits::SipLimits;

/// One SIP message, scanned once over the bytes that came. A clone shares the bytes.
pub struct Message {
    bytes: Bytes,
    start_line: StartLine,
    headers: HeaderIndex,
    headers_end: u32,
    body_start: u32,
    bare_lf: bool,
}

/// The Contact values of a message (RFC 3261 20.10).
#[derive(Clone, Debug)]
pub enum Contacts<'a> {
    /// No Contact header.
    None,
    /// `Contact: *`.
    Star,
    /// One or more addresses.
    List(SmallVec<[NameAddr<'a>; 2]>),
}

impl Message {
    /// Scans one datagram, or one frame of a stream. What comes after the Content-Length is left out (RFC 3261
    /// 18.3), and so are line ends before the start line (RFC 3261 7.5).
    ///
    /// # Errors
    /// When it is not a SIP message, or over a limit.
    pub fn parse(bytes: Bytes, limits: &SipLimits) -> Result<Self, ParseError> {
        scan::check_size(bytes.len(), limits)?;
        let leading = scan::leading_line_ends(&bytes);
        if leading == bytes.len() {
            return Err(ParseError::Empty);
        }
        let bytes = bytes.slice(leading..);
        let scanned = scan::scan(&bytes, limits)?;
        let end = match scanned.content_length {
            None => bytes.len(),
            Some(length) => (scanned.body_start as usize)
                .checked_add(length)
                .filter(|end| *end <= bytes.len())
                .ok_or(ParseError::Truncated)?,
        };
        let bytes = if end < bytes.len() {
            bytes.slice(..end)
        } else {
            bytes
        };
        Ok(Self::from_scan(bytes, scanned))
    }

    pub(crate) fn from_scan(bytes: Bytes, scanned: Scanned) -> Self {
        Self {
            bytes,
            start_line: scanned.start_line,
            headers: scanned.headers,
            headers_end: scanned.headers_end,
            body_start: scanned.body_start,
            bare_lf: scanned.bare_lf,
        }
    }

    /// Is it a request?
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.start_line, StartLine::Request { .. })
    }

    /// As what it is. Nothing is checked here; see [`Request::validate`].
    #[must_use]
    pub fn into_parts(self) -> SipMessage {
        match self.start_line {
            StartLine::Request { .. } => SipMessage::Request(Request::new(self)),
            StartLine::Response { .. } => SipMessage::Response(Response::new(self)),
        }
    }

    /// The message exactly as it came, from start line to end of body.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The method as written; `None` for a response.
    pub(crate) fn request_method(&self) -> Option<&[u8]> {
        match self.start_line {
            StartLine::Request { method_len, .. } => Some(self.part(0, method_len)),
            StartLine::Response { .. } => None,
        }
    }

    /// The Request-URI as written; empty for a response.
    pub(crate) fn request_uri_octets(&self) -> &[u8] {
        match self.start_line {
            StartLine::Request {
                uri_start, uri_end, ..
            } => self.part(uri_start, uri_end),
            StartLine::Response { .. } => b"",
        }
    }

    pub(crate) fn start_line(&self) -> StartLine {
        self.start_line
    }

    /// The status code; `None` for a request.
    pub(crate) fn status_code(&self) -> Option<u16> {
        match self.start_line {
            StartLine::Response { code, .. } => Some(code),
            StartLine::Request { .. } => None,
        }
    }

    /// The reason phrase as written; `None` for a request.
    pub(crate) fn reason_phrase(&self) -> Option<&[u8]> {
        match self.start_line {
            StartLine::Response {
                reason_start,
                reason_end,
                ..
            } => Some(self.part(reason_start, reason_end)),
            StartLine::Request { .. } => None,
        }
    }

    pub(crate) fn spans(&self) -> &[HeaderSpan] {
        &self.headers
    }

    /// Where the empty line after the headers begins.
    pub(crate) fn headers_end(&self) -> usize {
        self.headers_end as usize
    }

    pub(crate) fn has_bare_lf(&self) -> bool {
        self.bare_lf
    }

    pub(crate) fn part(&self, from: u32, to: u32) -> &[u8] {
        cut(&self.bytes, from as usize, to as usize)
    }

    /// The header lines as a source to copy from.
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines {
            bytes: &self.bytes,
            spans: &self.headers,
            end: self.headers_end(),
        }
    }

    /// The value of the first line of that name, trimmed. [`HeaderName::Other`] finds nothing.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// The value of each line of that name, trimmed.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers
            .iter()
            .filter(move |span| span.name == name && name != HeaderName::Other)
            .map(|span| span.value(&self.bytes))
    }

    /// Each comma-separated value of all lines of that name, quotes and angle brackets respected. Headers that
    /// are not lists (credentials, dates) give one value per line.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        let mut lines = self.headers(name);
        let is_list = name.shape() == Shape::List;
        let mut current = Split::none();
        iter::from_fn(move || {
            loop {
                if let Some(value) = current.next() {
                    return Some(value);
                }
                let line = lines.next()?;
                // Most lines of a list hold one value, and a comma is found faster than a separator.
                current = if is_list && memchr(b',', line).is_some() {
                    Split::new(line, b',')
                } else {
                    Split::whole(line)
                };
            }
        })
    }

    /// Like [`Message::header`], for any name, in its long or compact form.
    #[must_use]
    pub fn header_named(&self, name: &str) -> Option<&[u8]> {
        self.headers_named(name).next()
    }

    /// Like [`Message::headers`], for any name.
    pub fn headers_named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let class = HeaderName::from_bytes(name.as_bytes());
        self.headers
            .iter()
            .filter(move |span| {
                let other = class == HeaderName::Other;
                span.name == class
                    && (!other || span.written(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            })
            .map(|span| span.value(&self.bytes))
    }

    /// Every header line: name as written, value trimmed.
    pub fn header_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers
            .iter()
            .map(|span| (span.written(&self.bytes), span.value(&self.bytes)))
    }

    /// The body, of Content-Length octets.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        text::after(&self.bytes, self.body_start as usize)
    }

    /// The body, sharing the message's bytes.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.bytes
            .slice((self.body_start as usize).min(self.bytes.len())..)
    }

    /// Call-ID (RFC 3261 20.8).
    #[must_use]
    pub fn call_id(&self) -> Option<&[u8]> {
        self.header(HeaderName::CallId)
    }

    /// CSeq (RFC 3261 20.16).
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.typed(HeaderName::CSeq, CSeq::parse)
    }

    /// The topmost Via value (RFC 3261 20.42).
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderError> {
        self.typed(HeaderName::Via, Via::parse)
    }

    /// From (RFC 3261 20.20).
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.typed(HeaderName::From, NameAddr::parse)
    }

    /// To (RFC 3261 20.39).
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.typed(HeaderName::To, NameAddr::parse)
    }

    fn typed<'a, T>(
        &'a self,
        name: HeaderName,
        parse: impl Fn(&'a [u8]) -> Result<T, HeaderError>,
    ) -> Result<T, HeaderError> {
        let value = self
            .values(name)
            .next()
            .ok_or_else(|| HeaderError::missing(name))?;
        parse(value).map_err(|error| error.of(name))
    }

    /// The Contact values (RFC 3261 20.10).
    ///
    /// # Errors
    /// When one is malformed, or `*` stands beside others.
    pub fn contacts(&self) -> Result<Contacts<'_>, HeaderError> {
        let name = HeaderName::Contact;
        let mut values = self.values(name);
        let Some(first) = values.next() else {
            return Ok(Contacts::None);
        };
        match (first, values.next()) {
            (b"*", None) => return Ok(Contacts::Star),
            (b"*", Some(_)) => return Err(HeaderError::new("contact_star_and_more").of(name)),
            _ => {}
        }
        self.values(name)
            .map(|value| NameAddr::parse(value).map_err(|error| error.of(name)))
            .collect::<Result<_, _>>()
            .map(Contacts::List)
    }

    /// All addresses of a header that is a list of them: Route, Path, Service-Route, P-Associated-URI …
    ///
    /// # Errors
    /// When one is malformed.
    pub fn name_addrs(&self, name: HeaderName) -> Result<SmallVec<[NameAddr<'_>; 4]>, HeaderError> {
        self.values(name)
            .map(|value| NameAddr::parse(value).map_err(|error| error.of(name)))
            .collect()
    }

    /// All tokens of a header that is a list of them: Require, Supported, Allow … Empty elements are skipped.
    pub fn tokens(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.values(name).filter(|token| !token.is_empty())
    }

    /// Is `token` among [`Message::tokens`]? Blind to case.
    #[must_use]
    pub fn has_token(&self, name: HeaderName, token: &str) -> bool {
        self.tokens(name)
            .any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Expires in seconds, clamped to 32 bits; `None` when absent or malformed (RFC 3261 20.19).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        text::number_clamped(self.header(HeaderName::Expires)?)
    }

    /// Max-Forwards; `None` when absent, malformed or over 255 (RFC 3261 20.22).
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        u8::try_from(text::number(self.header(HeaderName::MaxForwards)?)?).ok()
    }

    /// Content-Length as written; the scan has checked it against the body.
    #[must_use]
    pub fn content_length(&self) -> Option<usize> {
        usize::try_from(text::number(self.header(HeaderName::ContentLength)?)?).ok()
    }

    /// The first Authorization with the Digest scheme (RFC 3261 20.7, RFC 7616).
    ///
    /// # Errors
    /// When it is malformed.
    pub fn authorization(&self) -> Result<Option<Credentials<'_>>, HeaderError> {
        self.digest(HeaderName::Authorization, Credentials::parse_digest)
    }

    /// The first WWW-Authenticate with the Digest scheme (RFC 3261 20.44).
    ///
    /// # Errors
    /// When it is malformed.
    pub fn www_authenticate(&self) -> Result<Option<Challenge<'_>>, HeaderError> {
        self.digest(HeaderName::WwwAuthenticate, Challenge::parse_digest)
    }

    fn digest<'a, T>(
        &'a self,
        name: HeaderName,
        parse: impl Fn(&'a [u8]) -> Result<Option<T>, HeaderError>,
    ) -> Result<Option<T>, HeaderError> {
        for line in self.headers(name) {
            if let Some(found) = parse(line).map_err(|error| error.of(name))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The mechanisms of Security-Client, Security-Server or Security-Verify, in the order written (RFC 3329 2.2).
    /// What is not a mechanism is skipped.
    pub fn security_mechanisms(&self, name: HeaderName) -> impl Iterator<Item = SecurityMechanism<'_>> {
        self.values(name).filter_map(SecurityMechanism::parse)
    }
}

impl Clone for Message {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            start_line: self.start_line,
            headers: HeaderIndex::from_slice(&self.headers),
            headers_end: self.headers_end,
            body_start: self.body_start,
            bare_lf: self.bare_lf,
        }
    }
}

/// Two messages are equal when their bytes are.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.bytes.split(|b| matches!(b, b'\r' | b'\n')).next();
        let line = text::lossy(line.unwrap_or_default());
        write!(f, "Message({line:?}, {} octets)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests;
