//! Codec: changing a message on its way (RFC 3261 16.6, 16.7): a list of lines, kept or new, printed once.

use std::fmt::Display;
use std::ops::Deref;

use bytes::Bytes;

use super::build::{AddedLines, Printer};
use super::message::Message;
use super::name::HeaderName;
use super::request::{Request, Response};
use super::scan::{HeaderSpan, StartLine, narrow};
use super::text;
use crate::limits::SipLimits;

/// A changed copy of a message in the making. Lines that are not touched stay byte for byte as they came (line
/// ends excepted: a bare LF leaves as CRLF), and so does the body. CR, LF and NUL in new values become spaces.
#[derive(Debug)]
#[must_use]
pub struct Edit<'a> {
    message: Original<'a>,
    request_uri: Option<String>,
    lines: Vec<Line>,
    added: AddedLines,
    body: Option<(String, Bytes)>,
}

/// What is changed. Small: an edit is handed from one change to the next by value.
#[derive(Debug)]
enum Original<'a> {
    AsItCame(&'a Message),
    /// With every line ended as it must be.
    Mended(Box<Message>),
}

impl Deref for Original<'_> {
    type Target = Message;

    fn deref(&self) -> &Message {
        match self {
            Self::AsItCame(message) => message,
            Self::Mended(message) => message,
        }
    }
}

/// A line of the result: which one, of the original or of those added. Small, since every change walks over them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Line {
    index: u32,
    name: HeaderName,
    source: Source,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Kept,
    Added,
}

impl Line {
    fn at(self) -> usize {
        self.index as usize
    }

    /// Does this line follow `first`, `count` lines later, in the original?
    fn continues(self, first: Self, count: usize) -> bool {
        self.source == Source::Kept && self.at() == first.at() + count
    }
}

impl<'a> Edit<'a> {
    pub(crate) fn new(message: &'a Message) -> Self {
        let message = if message.has_bare_lf() {
            Original::Mended(Box::new(with_crlf(message)))
        } else {
            Original::AsItCame(message)
        };
        Self {
            lines: message
                .spans()
                .iter()
                .zip(0..)
                .map(|(span, index)| Line {
                    index,
                    name: span.name,
                    source: Source::Kept,
                })
                .collect(),
            message,
            request_uri: None,
            added: AddedLines::default(),
            body: None,
        }
    }

    /// Replaces the Request-URI. Nothing happens to a response.
    pub fn request_uri(mut self, uri: &str) -> Self {
        self.request_uri = Some(uri.to_owned());
        self
    }

    /// Adds a line above the first of that name. When there is none: a Via above everything, others below the Vias.
    pub fn push_front(mut self, name: HeaderName, value: impl Display) -> Self {
        let at = match self.position(name, 0) {
            Some(at) => at,
            None if name == HeaderName::Via => 0,
            None => self.after_vias(),
        };
        let line = self.add(name, name.as_str(), value);
        self.lines.insert(at, line);
        self
    }

    /// Adds a line below all others.
    pub fn append(mut self, name: HeaderName, value: impl Display) -> Self {
        let line = self.add(name, name.as_str(), value);
        self.lines.push(line);
        self
    }

    /// Like [`Edit::append`], of any name. A name that is not a token is left out.
    pub fn append_named(mut self, name: &str, value: impl Display) -> Self {
        if text::is_token(name.as_bytes()) {
            let line = self.add(HeaderName::from_bytes(name.as_bytes()), name, value);
            self.lines.push(line);
        }
        self
    }

    /// Removes every line of that name.
    pub fn remove(mut self, name: HeaderName) -> Self {
        self.lines.retain(|line| line.name != name);
        self
    }

    /// Removes every line of any of these names.
    pub fn remove_all(mut self, names: &[HeaderName]) -> Self {
        self.lines.retain(|line| !names.contains(&line.name));
        self
    }

    /// Like [`Edit::remove`], of any name.
    pub fn remove_named(mut self, name: &str) -> Self {
        let class = HeaderName::from_bytes(name.as_bytes());
        let mut lines = std::mem::take(&mut self.lines);
        lines.retain(|line| {
            let is_other_name = || {
                let (bytes, span) = self.source(*line);
                !span.written(bytes).eq_ignore_ascii_case(name.as_bytes())
            };
            line.name != class || (class == HeaderName::Other && is_other_name())
        });
        self.lines = lines;
        self
    }

    /// Replaces the first line of that name and removes the others; adds one at the end when there is none.
    pub fn set(mut self, name: HeaderName, value: impl Display) -> Self {
        let new = self.add(name, name.as_str(), value);
        match self.position(name, 0) {
            None => self.lines.push(new),
            Some(at) => {
                self.put(at, new);
                self.lines.retain(|line| *line == new || line.name != name);
            }
        }
        self
    }

    /// Removes the first comma-separated value of that name; its line, when that was the only one.
    pub fn pop_first_value(mut self, name: HeaderName) -> Self {
        let Some(at) = self.position(name, 0) else {
            return self;
        };
        let rest = self.lines.get(at).and_then(|line| {
            let (bytes, span) = self.source(*line);
            let value = span.value(bytes);
            let comma = text::find_outside(value, b',')?;
            Some(text::trim(text::after(value, comma + 1)).to_vec())
        });
        match rest.filter(|rest| !rest.is_empty()) {
            None => drop(self.lines.remove(at)),
            Some(rest) => {
                let index = self.added.raw_line(name, name.as_str(), &rest);
                self.put(at, Self::added(name, index));
            }
        }
        self
    }

    /// Replaces the `nth` line (from 0) of that name. Nothing happens when there are fewer.
    pub fn replace_line(mut self, name: HeaderName, nth: usize, value: impl Display) -> Self {
        if let Some(at) = self.position(name, nth) {
            let new = self.add(name, name.as_str(), value);
            self.put(at, new);
        }
        self
    }

    /// Like [`Edit::replace_line`], of a value that may be anything but text.
    pub(crate) fn replace_line_bytes(mut self, name: HeaderName, nth: usize, value: &[u8]) -> Self {
        if let Some(at) = self.position(name, nth) {
            let index = self.added.raw_line(name, name.as_str(), value);
            self.put(at, Self::added(name, index));
        }
        self
    }

    /// Removes the `nth` line (from 0) of that name. Nothing happens when there are fewer.
    pub fn remove_line(mut self, name: HeaderName, nth: usize) -> Self {
        if let Some(at) = self.position(name, nth) {
            self.lines.remove(at);
        }
        self
    }

    /// Replaces the body, with Content-Type and Content-Length.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    /// The changed message. It always has a Content-Length: the next hop may be a stream (RFC 3261 18.3).
    #[must_use]
    pub fn finish(mut self) -> Message {
        if let Some((content_type, _)) = &self.body {
            let content_type = content_type.clone();
            self = self.set(HeaderName::ContentType, content_type);
        }
        let kept_body = self.body.is_none();
        self.lines.retain(|line| {
            line.name != HeaderName::ContentLength || (kept_body && line.source == Source::Kept)
        });
        let has_length = self.position(HeaderName::ContentLength, 0).is_some();
        let body = match &self.body {
            None => self.message.body(),
            Some((_, body)) => body,
        };
        let mut printer = self.printer(body.len());
        self.print_lines(&mut printer);
        if !has_length {
            printer.content_length(body.len());
        }
        printer.finish(body)
    }

    /// The changed request. For an edit that [`Request::edit`] began.
    #[must_use]
    pub fn finish_request(self) -> Request {
        Request::new(self.finish())
    }

    /// The changed response. For an edit that [`Response::edit`] began.
    #[must_use]
    pub fn finish_response(self) -> Response {
        Response::new(self.finish())
    }

    fn printer(&self, body_len: usize) -> Printer {
        let head = self.message.headers_end() + self.added.len();
        let capacity = head + body_len + self.request_uri.as_ref().map_or(0, String::len) + 32;
        match (self.message.start_line(), &self.request_uri) {
            (StartLine::Request { method_len, .. }, Some(uri)) => {
                Printer::request(self.message.part(0, method_len), uri.as_bytes(), capacity)
            }
            (StartLine::Request { .. } | StartLine::Response { .. }, _) => {
                Printer::like(&self.message, capacity)
            }
        }
    }

    /// Runs of kept neighbours are copied at once.
    fn print_lines(&self, printer: &mut Printer) {
        let mut at = 0;
        while let Some(first) = self.lines.get(at).copied() {
            let mut count = 1;
            match first.source {
                Source::Added => printer.copy_lines(self.added.lines(), first.at(), 1),
                Source::Kept => {
                    let rest = self.lines.get(at..).unwrap_or_default();
                    while rest.get(count).is_some_and(|line| line.continues(first, count)) {
                        count += 1;
                    }
                    printer.copy_lines(self.message.lines(), first.at(), count);
                }
            }
            at += count;
        }
    }

    fn add(&mut self, name: HeaderName, written: &str, value: impl Display) -> Line {
        let index = self.added.line(name, written, value);
        Self::added(name, index)
    }

    fn added(name: HeaderName, index: usize) -> Line {
        Line {
            index: narrow(index),
            name,
            source: Source::Added,
        }
    }

    fn put(&mut self, at: usize, line: Line) {
        if let Some(slot) = self.lines.get_mut(at) {
            *slot = line;
        }
    }

    fn source(&self, line: Line) -> (&[u8], HeaderSpan) {
        let lines = match line.source {
            Source::Kept => self.message.lines(),
            Source::Added => self.added.lines(),
        };
        (
            lines.bytes,
            lines.spans.get(line.at()).copied().unwrap_or(HeaderSpan::NONE),
        )
    }

    /// Where the `nth` line of that name is in the result.
    fn position(&self, name: HeaderName, nth: usize) -> Option<usize> {
        let named = |line: &Line| name != HeaderName::Other && line.name == name;
        let mut places = self.lines.iter().enumerate().filter(|(_, line)| named(line));
        places.nth(nth).map(|(at, _)| at)
    }

    fn after_vias(&self) -> usize {
        let last_via = self.lines.iter().rposition(|line| line.name == HeaderName::Via);
        last_via.map_or(0, |at| at + 1)
    }
}

/// The same message with every line of its head ended by CRLF (RFC 3261 7: nothing else is ever sent).
fn with_crlf(message: &Message) -> Message {
    let head_len = message.bytes().len() - message.body().len();
    let mut out = Vec::with_capacity(message.bytes().len() + message.spans().len() + 2);
    for byte in text::cut(message.bytes(), 0, head_len) {
        if *byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out.extend_from_slice(message.body());
    let limits = SipLimits {
        message_bytes_max: usize::MAX,
        headers_max: usize::MAX,
        header_bytes_max: usize::MAX,
        uri_bytes_max: usize::MAX,
        vias_max: usize::MAX,
    };
    Message::parse(Bytes::from(out), &limits).unwrap_or_else(|_| message.clone())
}

#[cfg(test)]
mod tests;
