//! Codec: the lexical ground of SIP: white space, tokens, quoted strings, numbers, separators (RFC 3261 25.1).

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

use memchr::{memchr, memchr2, memchr3};

/// Linear white space. CR and LF only occur here as part of a fold (RFC 3261 7.3.1).
pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The part of `bytes` from `from` to `to`, empty when out of range.
pub(crate) fn cut(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

/// What comes after `from`, empty when out of range.
pub(crate) fn after(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_lws(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        if !is_lws(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// A set of octets, looked up without branches.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Letters, digits and `others`.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < set.len() {
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            let octet = byte as u8;
            set[byte] = octet.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            set[others[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    /// These octets and no others.
    pub(crate) const fn of(octets: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut at = 0;
        while at < octets.len() {
            set[octets[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    /// All octets but these.
    pub(crate) const fn others_than(octets: &[u8]) -> Self {
        let Self(mut set) = Self::of(octets);
        let mut at = 0;
        while at < set.len() {
            set[at] = !set[at];
            at += 1;
        }
        Self(set)
    }

    pub(crate) const fn has(&self, byte: u8) -> bool {
        // Every octet has a place in the array, so the compiler leaves the check out.
        self.0[byte as usize]
    }

    /// How many octets from the start on are in the set.
    pub(crate) fn run(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|b| !self.has(*b)).unwrap_or(bytes.len())
    }

    /// How many octets from the start on are not in the set.
    pub(crate) fn gap(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|b| self.has(*b)).unwrap_or(bytes.len())
    }

    /// Are all octets of it in the set, and is there one?
    pub(crate) fn spans(&self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.iter().all(|b| self.has(*b))
    }
}

/// Where the first `wanted` is. For values of some dozens of octets, for which vector instructions do not pay.
pub(crate) fn find(wanted: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == wanted)
}

/// RFC 3261 25.1: `token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "\`" / "'" / "~")`
static TOKEN: ByteSet = ByteSet::alphanumeric_and(b"-.!%*_+`'~");

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    TOKEN.spans(bytes)
}

/// How long the token at the start is.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    TOKEN.run(bytes)
}

/// A run of digits as a number that saturates; `None` for anything else.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// A number of 32 bits, larger ones clamped.
pub(crate) fn number_clamped(bytes: &[u8]) -> Option<u32> {
    number(bytes).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// A port: 1 to 65535.
pub(crate) fn port(bytes: &[u8]) -> Option<u16> {
    number(bytes)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n != 0)
}

/// Where the quoted string that starts at `bytes[0]` ends (after the closing quote).
pub(crate) fn quoted_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(found)? {
            b'"' => return Some(found + 1),
            _ => at = found + 2,
        }
    }
}

/// Where the first `wanted` byte outside quotes and angle brackets is. An unterminated quote or bracket
/// swallows the rest, so that whoever parses the value sees it and refuses it.
pub(crate) fn find_outside(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr3(wanted, b'"', b'<', bytes.get(at..)?)?;
        match bytes.get(found)? {
            b'"' => at = found + quoted_end(after(bytes, found))?,
            b'<' if wanted != b'<' => at = found + memchr(b'>', after(bytes, found))?,
            _ => return Some(found),
        }
    }
}

/// The first part of a value, trimmed, and what comes after its separator; quotes and angle brackets respected.
pub(crate) fn next_part(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match find_outside(bytes, separator) {
        None => (trim(bytes), None),
        Some(at) => (trim(cut(bytes, 0, at)), Some(after(bytes, at + 1))),
    }
}

/// Iterator over the parts of a value between separators, quotes and angle brackets respected, trimmed.
#[derive(Clone, Debug)]
pub(crate) struct Split<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Split<'a> {
    pub(crate) fn new(bytes: &'a [u8], separator: u8) -> Self {
        Self {
            rest: Some(bytes),
            separator,
        }
    }

    /// No part at all.
    pub(crate) fn none() -> Self {
        Self {
            rest: None,
            separator: b',',
        }
    }

    /// The whole value as one part.
    pub(crate) fn whole(bytes: &'a [u8]) -> Self {
        // No value holds a line feed outside a fold, and folds are white space: trimmed at the ends only.
        Self {
            rest: Some(bytes),
            separator: 0,
        }
    }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        if self.separator == 0 {
            return Some(trim(rest));
        }
        let (part, tail) = next_part(rest, self.separator);
        self.rest = tail;
        Some(part)
    }
}

/// The content of a quoted string, escapes undone; a bare value as it is (RFC 3261 25.1 `quoted-string`).
pub(crate) fn unquote(bytes: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = bytes else {
        return Cow::Borrowed(bytes);
    };
    if memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            plain.push(*byte);
            escaped = false;
        }
    }
    Cow::Owned(plain)
}

/// Undoes `%HH`; a stray `%` stays.
pub(crate) fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        if let Some(byte) = escaped_byte(rest) {
            plain.push(byte);
            rest = after(rest, 3);
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(plain)
}

/// The octet that `%HH` at the start of `bytes` stands for.
pub(crate) fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Bytes for a log line or an error text.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Prints `value` into `out`. CR, LF and NUL become spaces: no value of ours splits a message.
pub(crate) fn put_display(out: &mut Vec<u8>, value: impl Display) {
    let mut clean = Clean(out);
    // Writing to a Vec does not fail; a Display that fails leaves what it wrote.
    let _ = write!(clean, "{value}");
}

/// Copies bytes into `out`, cleaned like [`put_display`].
pub(crate) fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    let from = out.len();
    out.extend_from_slice(value);
    clean_from(out, from);
}

fn clean_from(out: &mut [u8], from: usize) {
    for byte in out.iter_mut().skip(from) {
        if matches!(*byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
}

struct Clean<'a>(&'a mut Vec<u8>);

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put_bytes(self.0, text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_separate() {
        let parts: Vec<_> = Split::new(br#" "a,\"b" <sip:x,y@z> , c "#, b',').collect();
        assert_eq!(parts, [&br#""a,\"b" <sip:x,y@z>"#[..], b"c"]);
    }

    #[test]
    fn an_unterminated_quote_swallows_the_rest() {
        let parts: Vec<_> = Split::new(br#"a,"b,c"#, b',').collect();
        assert_eq!(parts, [&b"a"[..], br#""b,c"#]);
    }

    #[test]
    fn numbers_saturate_and_ports_are_checked() {
        assert_eq!(number(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(number_clamped(b"4294967296"), Some(u32::MAX));
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
        assert_eq!(port(b"65535"), Some(65_535));
        assert_eq!(port(b"65536"), None);
        assert_eq!(port(b"0"), None);
    }

    #[test]
    fn quoted_strings_are_unescaped() {
        assert_eq!(unquote(br#""a\"b\\""#).as_ref(), br#"a"b\"#);
        assert_eq!(unquote(b"token").as_ref(), b"token");
        assert_eq!(quoted_end(br#""a\"b" rest"#), Some(6));
        assert_eq!(quoted_end(br#""a\"#), None);
    }

    #[test]
    fn escapes_are_undone_and_stray_percents_stay() {
        assert_eq!(unescape(b"%61b%2").as_ref(), b"ab%2");
        assert_eq!(unescape(b"%00").as_ref(), b"\0");
    }

    #[test]
    fn printed_values_cannot_split_a_message() {
        let mut out = Vec::new();
        put_display(&mut out, "a\r\nVia: x\0");
        assert_eq!(out, b"a  Via: x ");
    }
}
