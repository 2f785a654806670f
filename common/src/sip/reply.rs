//! Codec: answering a request (RFC 3261 8.2.6).

use std::fmt::Display;

use bytes::Bytes;

use super::build::Builder;
use super::name::HeaderName;
use super::request::{Request, Response};
use super::status::StatusCode;
use super::text;

/// A response in the making. Via lines, From, To, Call-ID and CSeq are those of the request.
#[derive(Debug)]
pub struct Reply<'a> {
    request: &'a Request,
    status: StatusCode,
    reason: Option<String>,
    to_tag: Option<String>,
    first_via_line: Option<Vec<u8>>,
    headers: Vec<(HeaderLine, String)>,
    body: Option<(String, Bytes)>,
}

#[derive(Debug)]
enum HeaderLine {
    Known(HeaderName),
    Named(String),
}

impl<'a> Reply<'a> {
    pub(crate) fn new(request: &'a Request, status: StatusCode) -> Self {
        Self {
            request,
            status,
            reason: None,
            to_tag: None,
            first_via_line: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// The tag to add to To, unless it has one or the status is 100 (RFC 3261 8.2.6.2).
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Self {
        self.to_tag = Some(tag.to_owned());
        self
    }

    /// Another first Via line than that of the request.
    #[must_use]
    pub(crate) fn first_via_line(mut self, line: Option<Vec<u8>>) -> Self {
        self.first_via_line = line;
        self
    }

    /// Another reason phrase than the usual.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Display) -> Self {
        self.headers.push((HeaderLine::Known(name), value.to_string()));
        self
    }

    /// Adds a header line of any name.
    #[must_use]
    pub fn header_named(mut self, name: &str, value: impl Display) -> Self {
        self.headers
            .push((HeaderLine::Named(name.to_owned()), value.to_string()));
        self
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    /// The response.
    #[must_use]
    pub fn finish(self) -> Response {
        let reason = self
            .reason
            .as_deref()
            .unwrap_or_else(|| self.status.default_reason());
        let mut builder = Builder::response(self.status, reason);
        let tag = self.tag_to_add();
        for name in [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
        ] {
            for (place, line) in self.request.headers(name).enumerate() {
                let line = match &self.first_via_line {
                    Some(first) if place == 0 && name == HeaderName::Via => first,
                    _ => line,
                };
                match tag {
                    Some(tag) if name == HeaderName::To => {
                        let mut value = [line, b";tag="].concat();
                        text::put_display(&mut value, tag);
                        builder.put_header_bytes(name, &value);
                    }
                    _ => builder.put_header_bytes(name, line),
                }
            }
        }
        // RFC 3261 8.2.6.1: Timestamp is copied into a 100.
        if self.status == StatusCode::TRYING
            && let Some(timestamp) = self.request.header(HeaderName::Timestamp)
        {
            builder.put_header_bytes(HeaderName::Timestamp, timestamp);
        }
        for (name, value) in self.headers {
            builder = match name {
                HeaderLine::Known(name) => builder.header(name, value),
                HeaderLine::Named(name) => builder.header_named(&name, value),
            };
        }
        if let Some((content_type, body)) = self.body {
            builder = builder.body(&content_type, body);
        }
        builder.finish_response()
    }

    fn tag_to_add(&self) -> Option<&str> {
        let has_tag = || self.request.to().is_ok_and(|to| to.params.has("tag"));
        let tag = self.to_tag.as_deref()?;
        (self.status != StatusCode::TRYING && !has_tag()).then_some(tag)
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::SipLimits;
    use crate::sip::{Message, SipMessage};

    use super::*;

    fn request() -> Request {
        let text = "OPTIONS sip:h.example SIP/2.0\r\nv: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b.example\r\n\
                    f: <sip:a@h.example>;tag=1\r\nt: <sip:b@h.example>\r\ni: c\r\nCSeq: 1 OPTIONS\r\nTimestamp: 5\r\n\r\n";
        match Message::parse(text.into(), &SipLimits::default())
            .unwrap()
            .into_parts()
        {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => panic!("a request"),
        }
    }

    #[test]
    fn a_reply_has_all_vias_and_the_transaction_headers() {
        let response = request()
            .reply(StatusCode::FORBIDDEN)
            .to_tag("xyz")
            .reason("Not here")
            .header(HeaderName::RetryAfter, 5)
            .header_named("X-Why", "a\r\nb")
            .body("text/plain", "hello")
            .finish();
        let expected = "SIP/2.0 403 Not here\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b.example\r\n\
                        From: <sip:a@h.example>;tag=1\r\nTo: <sip:b@h.example>;tag=xyz\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\
                        Retry-After: 5\r\nX-Why: a  b\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(text::lossy(response.bytes()), expected);
        let again = Message::parse(response.bytes().clone(), &SipLimits::default()).unwrap();
        assert!(again.header_lines().eq(response.header_lines()));
        assert_eq!(again.body(), response.body());
    }

    #[test]
    fn a_quoted_nul_comes_back_as_it_was() {
        let text = "OPTIONS sip:h.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n\
                    From: \"NUL:\\\0\" <sip:a@h.example>;tag=1\r\nTo: \"\\\0\"\n <sip:b@h.example>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n";
        let message = Message::parse(text.into(), &SipLimits::default()).unwrap();
        let SipMessage::Request(request) = message.into_parts() else {
            panic!("a request")
        };
        let response = request.reply(StatusCode::OK).to_tag("t").finish();
        let value = |name| text::lossy(response.header(name).unwrap()).into_owned();
        assert_eq!(value(HeaderName::From), "\"NUL:\\\0\" <sip:a@h.example>;tag=1");
        assert_eq!(value(HeaderName::To), "\"\\\0\"  <sip:b@h.example>;tag=t");
    }

    #[test]
    fn a_100_has_the_timestamp_and_no_tag() {
        let response = request().reply(StatusCode::TRYING).to_tag("xyz").finish();
        assert_eq!(response.to().unwrap().tag(), None);
        assert_eq!(response.header(HeaderName::Timestamp), Some(&b"5"[..]));
    }
}
