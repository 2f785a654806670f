//! Codec: the one pass over a message's head (RFC 3261 7). No allocation, no recursion, constant work per octet.

use memchr::memchr;
use smallvec::SmallVec;

use super::error::ParseError;
use super::name::HeaderName;
use super::text::{self, after, cut};
use crate::limits::SipLimits;

/// Header lines that fit without an allocation.
pub(crate) const INLINE_HEADERS: usize = 40;

/// Where the header lines are.
pub(crate) type HeaderIndex = SmallVec<[HeaderSpan; INLINE_HEADERS]>;

/// Where one header line is, its folds included. It ends where the next begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HeaderSpan {
    pub(crate) start: u32,
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
    pub(crate) name_len: u16,
    pub(crate) name: HeaderName,
}

impl HeaderSpan {
    /// A span of nothing.
    pub(crate) const NONE: Self = Self {
        start: 0,
        value_start: 0,
        value_end: 0,
        name_len: 0,
        name: HeaderName::Other,
    };

    /// The name as written.
    pub(crate) fn written(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        cut(bytes, start, start + usize::from(self.name_len))
    }

    /// The value, trimmed.
    pub(crate) fn value(self, bytes: &[u8]) -> &[u8] {
        cut(bytes, self.value_start as usize, self.value_end as usize)
    }
}

/// What the first line says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StartLine {
    /// `Method SP Request-URI SP SIP/2.0`: the method begins at 0.
    Request {
        method_len: u32,
        uri_start: u32,
        uri_end: u32,
    },
    /// `SIP/2.0 SP 3DIGIT SP Reason-Phrase`.
    Response {
        code: u16,
        reason_start: u32,
        reason_end: u32,
    },
}

/// What one pass finds out.
pub(crate) struct Scanned {
    pub(crate) start_line: StartLine,
    pub(crate) headers: HeaderIndex,
    /// Where the empty line begins.
    pub(crate) headers_end: u32,
    pub(crate) body_start: u32,
    /// Some line ends with a bare LF.
    pub(crate) bare_lf: bool,
    pub(crate) content_length: Option<usize>,
}

/// Offsets are 32 bits wide: [`check_size`] has refused anything longer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "messages are shorter than 4 GiB, checked first"
)]
pub(crate) fn narrow(offset: usize) -> u32 {
    offset as u32
}

/// Refuses what is over the limit, or over what offsets can hold.
pub(crate) fn check_size(length: usize, limits: &SipLimits) -> Result<(), ParseError> {
    let max = limits.message_bytes_max.min(u32::MAX as usize - 2);
    (length <= max).then_some(()).ok_or(ParseError::TooLarge)
}

/// How many octets of line ends stand before the message (RFC 3261 7.5).
pub(crate) fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// One line: where its text ends, where the next begins.
struct Line {
    end: usize,
    next: usize,
}

fn line_at(bytes: &[u8], at: usize) -> Option<Line> {
    let rest = bytes.get(at..)?;
    let lf = memchr(b'\n', rest)?;
    let has_cr = lf > 0 && rest.get(lf - 1) == Some(&b'\r');
    Some(Line {
        end: at + lf - usize::from(has_cr),
        next: at + lf + 1,
    })
}

/// Scans the head of a message that begins at `bytes[0]`.
pub(crate) fn scan(bytes: &[u8], limits: &SipLimits) -> Result<Scanned, ParseError> {
    let first = line_at(bytes, 0).ok_or(ParseError::Unterminated)?;
    let start_line = start_line(cut(bytes, 0, first.end), limits)?;
    let mut headers = HeaderIndex::new();
    let mut line_ends = LineEnds::default();
    line_ends.count(&first);
    let mut at = first.next;
    let empty = loop {
        let line = line_at(bytes, at).ok_or(ParseError::Unterminated)?;
        line_ends.count(&line);
        if line.end == at {
            break line;
        }
        if matches!(bytes.get(at), Some(b' ' | b'\t')) {
            extend_fold(bytes, &mut headers, at, line.end, limits)?;
        } else {
            let span = header_line(bytes, at, line.end, limits)?;
            if headers.len() >= limits.headers_max {
                return Err(ParseError::TooManyHeaders);
            }
            headers.push(span);
        }
        at = line.next;
    };
    if !is_clean(cut(bytes, 0, empty.next), line_ends.crlf) {
        check_controls(bytes, first.end, &headers, at)?;
    }
    check_vias(bytes, &headers, limits)?;
    Ok(Scanned {
        start_line,
        content_length: content_length(bytes, &headers)?,
        headers,
        headers_end: narrow(at),
        body_start: narrow(empty.next),
        bare_lf: line_ends.bare > 0,
    })
}

#[derive(Default)]
struct LineEnds {
    crlf: usize,
    bare: usize,
}

impl LineEnds {
    fn count(&mut self, line: &Line) {
        let is_crlf = usize::from(line.next - line.end == 2);
        self.crlf += is_crlf;
        self.bare += 1 - is_crlf;
    }
}

fn start_line(line: &[u8], limits: &SipLimits) -> Result<StartLine, ParseError> {
    if line
        .get(..4)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"))
    {
        return status_line(line);
    }
    let method_len = memchr(b' ', line).ok_or(ParseError::StartLine)?;
    if !text::is_token(cut(line, 0, method_len)) {
        return Err(ParseError::StartLine);
    }
    let uri_start = method_len + 1;
    let uri_len = memchr(b' ', after(line, uri_start)).ok_or(ParseError::StartLine)?;
    let uri_end = uri_start + uri_len;
    if uri_len > limits.uri_bytes_max {
        return Err(ParseError::UriTooLong);
    }
    check_version(after(line, uri_end + 1))?;
    // RFC 3261 7.1: no angle brackets around the Request-URI, no white space in it.
    let uri = cut(line, uri_start, uri_end);
    if uri.is_empty()
        || uri
            .iter()
            .any(|b| *b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f))
    {
        return Err(ParseError::StartLine);
    }
    Ok(StartLine::Request {
        method_len: narrow(method_len),
        uri_start: narrow(uri_start),
        uri_end: narrow(uri_end),
    })
}

/// RFC 3261 7.1: SIP-Version is case-insensitive.
fn check_version(version: &[u8]) -> Result<(), ParseError> {
    if version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let (head, number) = (cut(version, 0, 4), after(version, 4));
    let numeric = !number.is_empty() && number.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    if head.eq_ignore_ascii_case(b"SIP/") && numeric {
        Err(ParseError::Version)
    } else {
        Err(ParseError::StartLine)
    }
}

fn status_line(line: &[u8]) -> Result<StartLine, ParseError> {
    let version_len = memchr(b' ', line).ok_or(ParseError::StartLine)?;
    check_version(cut(line, 0, version_len))?;
    let digits = cut(line, version_len + 1, version_len + 4);
    let code = text::number(digits)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| (100..700).contains(n))
        .ok_or(ParseError::StartLine)?;
    // The space before an empty reason phrase is often forgotten.
    let reason_start = match line.get(version_len + 4) {
        None => line.len(),
        Some(b' ') => version_len + 5,
        Some(_) => return Err(ParseError::StartLine),
    };
    Ok(StartLine::Response {
        code,
        reason_start: narrow(reason_start),
        reason_end: narrow(line.len()),
    })
}

fn header_line(bytes: &[u8], at: usize, end: usize, limits: &SipLimits) -> Result<HeaderSpan, ParseError> {
    let line = cut(bytes, at, end);
    if line.len() > limits.header_bytes_max {
        return Err(ParseError::HeaderTooLong);
    }
    let colon = memchr(b':', line).ok_or(ParseError::HeaderName)?;
    // RFC 3261 7.3.1: HCOLON allows white space before the colon.
    let written = text::trim_end(cut(line, 0, colon));
    let name = HeaderName::from_bytes(written);
    if name == HeaderName::Other && !text::is_token(written) {
        return Err(ParseError::HeaderName);
    }
    let value = after(line, colon + 1);
    let left = value.len() - text::trim_start(value).len();
    let value_start = at + colon + 1 + left;
    let value_end = value_start + text::trim(value).len();
    Ok(HeaderSpan {
        start: narrow(at),
        value_start: narrow(value_start),
        value_end: narrow(value_end),
        name_len: u16::try_from(written.len()).map_err(|_| ParseError::HeaderTooLong)?,
        name,
    })
}

/// RFC 3261 7.3.1: a line that begins with white space continues the one before.
fn extend_fold(
    bytes: &[u8],
    headers: &mut HeaderIndex,
    at: usize,
    end: usize,
    limits: &SipLimits,
) -> Result<(), ParseError> {
    let span = headers.last_mut().ok_or(ParseError::Folding)?;
    if end - span.start as usize > limits.header_bytes_max {
        return Err(ParseError::HeaderTooLong);
    }
    let added = cut(bytes, at, end);
    let trimmed = text::trim_start(added);
    if trimmed.is_empty() {
        return Ok(());
    }
    if span.value_start == span.value_end {
        span.value_start = narrow(end - trimmed.len());
    }
    span.value_end = narrow(at + text::trim_end(added).len());
    Ok(())
}

/// Is the head free of control characters, and every CR the first half of a line end? One pass that the
/// compiler turns into vector instructions.
fn is_clean(head: &[u8], crlf_lines: usize) -> bool {
    let mut bad = 0_u8;
    let mut returns = 0_usize;
    for chunk in head.chunks(128) {
        let mut returns_here = 0_u8;
        for byte in chunk {
            let control = (*byte < b' ') & (*byte != b'\t') & (*byte != b'\n') & (*byte != b'\r');
            bad |= u8::from(control | (*byte == 0x7f));
            returns_here = returns_here.wrapping_add(u8::from(*byte == b'\r'));
        }
        returns += usize::from(returns_here);
    }
    bad == 0 && returns == crlf_lines
}

/// The slow way, for heads that have some: control characters are allowed as `quoted-pair` only (RFC 3261 25.1).
/// Whole lines are looked at, since a CR at the edge of a value is no part of it.
fn check_controls(
    bytes: &[u8],
    start_line_end: usize,
    headers: &HeaderIndex,
    end: usize,
) -> Result<(), ParseError> {
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    let start_line_ok = !cut(bytes, 0, start_line_end).iter().copied().any(is_control);
    let ends = headers
        .iter()
        .skip(1)
        .map(|span| span.start as usize)
        .chain([end]);
    let lines_ok = headers
        .iter()
        .zip(ends)
        .all(|(span, end)| value_is_clean(cut(bytes, span.start as usize, end)));
    (start_line_ok && lines_ok)
        .then_some(())
        .ok_or(ParseError::ControlCharacter)
}

/// Makes spaces of the control characters of a value, unless all are where they may be.
pub(crate) fn scrub(value: &mut [u8]) {
    if is_clean(value, 0) || value_is_clean(value) {
        return;
    }
    for byte in value.iter_mut().filter(|b| b.is_ascii_control() && **b != b'\t') {
        *byte = b' ';
    }
}

fn value_is_clean(value: &[u8]) -> bool {
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = value.get(at).copied() {
        match (byte, value.get(at + 1)) {
            (b'"', _) => quoted = !quoted,
            (b'\\', Some(next)) if quoted && !matches!(next, b'\r' | b'\n') => at += 1,
            // A fold: every LF inside a value is one, and so is the CR before it.
            (b'\r', Some(b'\n')) | (b'\n' | b'\t', _) => {}
            (0..b' ' | 0x7f, _) => return false,
            _ => {}
        }
        at += 1;
    }
    true
}

fn check_vias(bytes: &[u8], headers: &HeaderIndex, limits: &SipLimits) -> Result<(), ParseError> {
    let mut vias = 0;
    for span in headers.iter().filter(|span| span.name == HeaderName::Via) {
        let value = span.value(bytes);
        vias += match memchr(b',', value) {
            None => 1,
            Some(_) => text::Split::new(value, b',').count(),
        };
    }
    (vias <= limits.vias_max)
        .then_some(())
        .ok_or(ParseError::TooManyVias)
}

/// RFC 3261 20.14; several that agree are taken as one.
fn content_length(bytes: &[u8], headers: &HeaderIndex) -> Result<Option<usize>, ParseError> {
    let mut found = None;
    for span in headers
        .iter()
        .filter(|span| span.name == HeaderName::ContentLength)
    {
        let value = span.value(bytes);
        let length = text::number(value).ok_or(ParseError::ContentLength)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if found.is_some_and(|earlier| earlier != length) {
            return Err(ParseError::ContentLengthConflict);
        }
        found = Some(length);
    }
    Ok(found)
}

/// Scans what can be scanned of a broken request, so that it can be refused: bad lines are left out, nothing
/// is checked but the method, and there is no body. Limits cut the list short.
pub(crate) fn salvage(bytes: &[u8], limits: &SipLimits) -> Option<Scanned> {
    let first = line_at(bytes, 0)?;
    let line = cut(bytes, 0, first.end);
    let method_len = memchr(b' ', line)?;
    if !text::is_token(cut(line, 0, method_len)) {
        return None;
    }
    let mut headers = HeaderIndex::new();
    let mut at = first.next;
    while let Some(line) = line_at(bytes, at) {
        if line.end == at || headers.len() >= limits.headers_max {
            break;
        }
        if matches!(bytes.get(at), Some(b' ' | b'\t')) {
            // A fold after a line that was left out would join the wrong header: the value then does not parse.
            let _ = extend_fold(bytes, &mut headers, at, line.end, limits);
        } else if let Ok(span) = header_line(bytes, at, line.end, limits) {
            headers.push(span);
        }
        at = line.next;
    }
    Some(Scanned {
        start_line: StartLine::Request {
            method_len: narrow(method_len),
            uri_start: narrow(method_len),
            uri_end: narrow(method_len),
        },
        headers,
        headers_end: narrow(at),
        body_start: narrow(at),
        bare_lf: false,
        content_length: None,
    })
}

#[cfg(test)]
mod tests;
