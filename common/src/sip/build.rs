//! Codec: printing a message from nothing. The header index is made while printing, so nothing is scanned again.

use std::fmt::Display;

use bytes::Bytes;
use smallvec::SmallVec;

use super::message::Message;
use super::method::Method;
use super::name::HeaderName;
use super::request::{Request, Response};
use super::scan::{HeaderIndex, HeaderSpan, Scanned, StartLine, narrow, scrub};
use super::status::StatusCode;
use super::text::{self, put_bytes, put_display};

/// A message in the making, printed as it goes. CR, LF and NUL in values become spaces.
#[derive(Debug)]
pub struct Builder {
    /// Boxed, since a builder is handed on by value from line to line.
    printer: Box<Printer>,
    content_type: Option<String>,
    body: Bytes,
}

impl Builder {
    pub(crate) fn request(method: &Method, uri: &str) -> Self {
        Self::new(Printer::request(method.as_bytes(), uri.as_bytes(), 512))
    }

    pub(crate) fn response(status: StatusCode, reason: &str) -> Self {
        Self::new(Printer::response(status, reason.as_bytes()))
    }

    fn new(printer: Printer) -> Self {
        Self {
            printer: Box::new(printer),
            content_type: None,
            body: Bytes::new(),
        }
    }

    /// Adds a header line. Content-Length is left out: it follows from the body.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Display) -> Self {
        if name != HeaderName::ContentLength {
            self.printer.line(name, name.as_str(), value);
        }
        self
    }

    /// Adds a header line of any name. A name that is not a token is left out.
    #[must_use]
    pub fn header_named(mut self, name: &str, value: impl Display) -> Self {
        let class = HeaderName::from_bytes(name.as_bytes());
        if class != HeaderName::ContentLength && text::is_token(name.as_bytes()) {
            self.printer.line(class, name, value);
        }
        self
    }

    /// Adds a header line whose value may be anything but text.
    pub(crate) fn put_header_bytes(&mut self, name: HeaderName, value: &[u8]) {
        self.printer.raw_line(name, name.as_str(), value);
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.body = body.into();
        self
    }

    fn finish(mut self) -> Message {
        if let Some(content_type) = self.content_type {
            self.printer.line(
                HeaderName::ContentType,
                HeaderName::ContentType.as_str(),
                content_type,
            );
        }
        self.printer.content_length(self.body.len());
        self.printer.finish(&self.body)
    }

    /// The request. For a builder that [`Request::build`] made.
    #[must_use]
    pub fn finish_request(self) -> Request {
        Request::new(self.finish())
    }

    /// The response. For a builder that [`Response::build`] made.
    #[must_use]
    pub fn finish_response(self) -> Response {
        Response::new(self.finish())
    }
}

/// Header lines to copy from: each ends where the next begins, the last at `end`.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) spans: &'a [HeaderSpan],
    pub(crate) end: usize,
}

/// Header lines that are to go into a message.
#[derive(Debug, Default)]
pub(crate) struct AddedLines {
    out: Vec<u8>,
    spans: Vec<HeaderSpan>,
}

impl AddedLines {
    /// Prints one line and says which it is.
    pub(crate) fn line(&mut self, name: HeaderName, written: &str, value: impl Display) -> usize {
        self.make_room();
        self.spans.push(print_line(&mut self.out, name, written, value));
        self.spans.len() - 1
    }

    /// Like [`AddedLines::line`], of bytes.
    pub(crate) fn raw_line(&mut self, name: HeaderName, written: &str, value: &[u8]) -> usize {
        self.make_room();
        self.spans
            .push(print_raw_line(&mut self.out, name, written, value));
        self.spans.len() - 1
    }

    /// For what an edit adds as a rule, so that the first lines do not grow the buffer one after the other.
    fn make_room(&mut self) {
        if self.spans.is_empty() {
            self.out.reserve(512);
            self.spans.reserve(8);
        }
    }

    /// How many octets have been printed.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// What has been printed, as a source of lines.
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines {
            bytes: &self.out,
            spans: &self.spans,
            end: self.out.len(),
        }
    }
}

fn print_line(out: &mut Vec<u8>, name: HeaderName, written: &str, value: impl Display) -> HeaderSpan {
    let span = begin_line(out, name, written);
    put_display(out, value);
    end_line(out, span)
}

fn print_raw_line(out: &mut Vec<u8>, name: HeaderName, written: &str, value: &[u8]) -> HeaderSpan {
    let span = begin_line(out, name, written);
    // A fold becomes spaces; what else may not stand here is judged at the line's end: a quoted pair may hold NUL.
    let unfolded = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    out.extend(value.iter().map(unfolded));
    end_line(out, span)
}

fn begin_line(out: &mut Vec<u8>, name: HeaderName, written: &str) -> HeaderSpan {
    let start = narrow(out.len());
    out.extend_from_slice(written.as_bytes());
    out.extend_from_slice(b": ");
    HeaderSpan {
        start,
        value_start: narrow(out.len()),
        value_end: 0,
        name_len: u16::try_from(written.len()).unwrap_or(u16::MAX),
        name,
    }
}

/// Trims and cleans what was printed, so that a scan takes it, and ends the line.
fn end_line(out: &mut Vec<u8>, mut span: HeaderSpan) -> HeaderSpan {
    if let Some(printed) = out.get_mut(span.value_start as usize..) {
        scrub(printed);
    }
    let value = text::after(out, span.value_start as usize);
    let left = value.len() - text::trim_start(value).len();
    let length = text::trim(value).len();
    span.value_start += narrow(left);
    span.value_end = span.value_start + narrow(length);
    out.extend_from_slice(b"\r\n");
    span
}

/// Prints start line, header lines and body, and notes where they are.
#[derive(Debug)]
pub(crate) struct Printer {
    out: Vec<u8>,
    start_line: StartLine,
    headers: HeaderIndex,
}

impl Printer {
    pub(crate) fn request(method: &[u8], uri: &[u8], capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(method);
        let method_len = narrow(out.len());
        out.push(b' ');
        let uri_start = narrow(out.len());
        // White space and controls would make another start line of it.
        out.extend(uri.iter().filter(|b| **b > b' ' && **b != 0x7f));
        let uri_end = narrow(out.len());
        out.extend_from_slice(b" SIP/2.0\r\n");
        Self {
            out,
            start_line: StartLine::Request {
                method_len,
                uri_start,
                uri_end,
            },
            headers: SmallVec::new(),
        }
    }

    pub(crate) fn response(status: StatusCode, reason: &[u8]) -> Self {
        let mut out = Vec::with_capacity(512);
        put_display(&mut out, format_args!("SIP/2.0 {status} "));
        let reason_start = narrow(out.len());
        put_bytes(&mut out, reason);
        let reason_end = narrow(out.len());
        out.extend_from_slice(b"\r\n");
        Self {
            out,
            start_line: StartLine::Response {
                code: status.as_u16(),
                reason_start,
                reason_end,
            },
            headers: SmallVec::new(),
        }
    }

    /// A printer whose start line is that of `message`.
    pub(crate) fn like(message: &Message, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        let end = message
            .spans()
            .first()
            .map_or_else(|| message.headers_end(), |span| span.start as usize);
        out.extend_from_slice(text::cut(message.bytes(), 0, end));
        Self {
            out,
            start_line: message.start_line(),
            headers: SmallVec::new(),
        }
    }

    /// Prints one line.
    pub(crate) fn line(&mut self, name: HeaderName, written: &str, value: impl Display) {
        self.headers.push(print_line(&mut self.out, name, written, value));
    }

    /// Like [`Printer::line`], of bytes.
    pub(crate) fn raw_line(&mut self, name: HeaderName, written: &str, value: &[u8]) {
        self.headers
            .push(print_raw_line(&mut self.out, name, written, value));
    }

    pub(crate) fn content_length(&mut self, length: usize) {
        self.line(
            HeaderName::ContentLength,
            HeaderName::ContentLength.as_str(),
            length,
        );
    }

    /// Copies `count` whole lines from `first` on, byte for byte.
    pub(crate) fn copy_lines(&mut self, lines: Lines<'_>, first: usize, count: usize) {
        let spans = lines.spans.get(first..first + count).unwrap_or_default();
        let Some(from) = spans.first().map(|span| span.start) else {
            return;
        };
        let next = lines.spans.get(first + count);
        let to = next.map_or(lines.end, |span| span.start as usize);
        let here = narrow(self.out.len());
        self.out
            .extend_from_slice(text::cut(lines.bytes, from as usize, to));
        self.headers.extend(spans.iter().map(|span| HeaderSpan {
            start: span.start - from + here,
            value_start: span.value_start - from + here,
            value_end: span.value_end - from + here,
            ..*span
        }));
    }

    pub(crate) fn finish(mut self, body: &[u8]) -> Message {
        let headers_end = narrow(self.out.len());
        self.out.extend_from_slice(b"\r\n");
        let body_start = narrow(self.out.len());
        self.out.extend_from_slice(body);
        let scanned = Scanned {
            start_line: self.start_line,
            headers: self.headers,
            headers_end,
            body_start,
            bare_lf: false,
            content_length: Some(body.len()),
        };
        Message::from_scan(Bytes::from(self.out), scanned)
    }
}
