//! Codec: requests and responses, and what makes a request fit to act upon (RFC 3261 8.1.1, 16.3).

use std::ops::Deref;
use std::sync::Arc;

use super::build::Builder;
use super::edit::Edit;
use super::error::{BadRequest, HeaderError, UriError};
use super::message::Message;
use super::method::Method;
use super::name::{HeaderName, Shape};
use super::name_addr::NameAddr;
use super::reply::Reply;
use super::scan::StartLine;
use super::status::StatusCode;
use super::text;
use super::uri::Uri;
use super::via::Via;

/// A message as what it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SipMessage {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A SIP request (RFC 3261 7.1). A clone shares all, so that tables can hold it for the price of a pointer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request(Arc<Message>);

/// A SIP response (RFC 3261 7.2). A clone shares all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response(Arc<Message>);

impl Request {
    /// Only for messages whose start line is a request line.
    pub(crate) fn new(message: Message) -> Self {
        debug_assert!(message.is_request());
        Self(Arc::new(message))
    }

    /// Begins a new request.
    #[must_use]
    pub fn build(method: Method, uri: &str) -> Builder {
        Builder::request(&method, uri)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.0.start_line() {
            StartLine::Request { method_len, .. } => {
                Method::of_start_line(self.0.bytes(), method_len as usize)
            }
            StartLine::Response { .. } => unreachable!("a Request is made of a request line"),
        }
    }

    /// The Request-URI as written.
    #[must_use]
    pub fn request_uri_bytes(&self) -> &[u8] {
        match self.0.start_line() {
            StartLine::Request {
                uri_start, uri_end, ..
            } => self.0.part(uri_start, uri_end),
            StartLine::Response { .. } => unreachable!("a Request is made of a request line"),
        }
    }

    /// The Request-URI.
    ///
    /// # Errors
    /// When it is not a URI. A scheme that we do not know is not an error here.
    pub fn request_uri(&self) -> Result<Uri<'_>, UriError> {
        Uri::parse(self.request_uri_bytes())
    }

    /// Checks what a proxy or registrar relies on (RFC 3261 16.3 step 1): Via, From, To, Call-ID and CSeq are there,
    /// what may occur once does, and what routing reads can be read. A missing Max-Forwards is not an error.
    ///
    /// # Errors
    /// With the label of the first thing that is wrong.
    pub fn validate(&self) -> Result<(), BadRequest> {
        self.check_repetitions()?;
        let uri = self.request_uri().map_err(|error| bad(error.reason()))?;
        // RFC 3261 19.1.1, table 1: a Request-URI has no headers.
        if uri.has_headers() {
            return Err(bad("request_uri_headers"));
        }
        self.check_vias()?;
        self.from().map_err(|error| in_header(error, "missing_from"))?;
        self.to().map_err(|error| in_header(error, "missing_to"))?;
        let call_id = self.call_id().ok_or_else(|| bad("missing_call_id"))?;
        if call_id.is_empty() || call_id.iter().copied().any(text::is_lws) {
            return Err(bad("call_id"));
        }
        let cseq = self.cseq().map_err(|error| in_header(error, "missing_cseq"))?;
        if cseq.method != self.method() {
            return Err(bad("cseq_method"));
        }
        if self.header(HeaderName::MaxForwards).is_some() && self.max_forwards().is_none() {
            return Err(bad("max_forwards"));
        }
        for name in [HeaderName::Route, HeaderName::RecordRoute, HeaderName::Path] {
            self.check_addresses(name)?;
        }
        if self.method() == Method::Register {
            self.contacts().map_err(|error| in_header(error, "contact"))?;
        }
        Ok(())
    }

    fn check_repetitions(&self) -> Result<(), BadRequest> {
        let mut seen = 0_u128;
        for span in self
            .spans()
            .iter()
            .filter(|span| span.name.shape() == Shape::Single)
        {
            let bit = 1_u128 << (span.name as u32);
            if seen & bit != 0 {
                return Err(bad("repeated_header"));
            }
            seen |= bit;
        }
        Ok(())
    }

    fn check_vias(&self) -> Result<(), BadRequest> {
        let mut vias = 0;
        for value in self.values(HeaderName::Via) {
            Via::parse(value).map_err(|error| in_header(error, "via"))?;
            vias += 1;
        }
        (vias > 0).then_some(()).ok_or_else(|| bad("missing_via"))
    }

    fn check_addresses(&self, name: HeaderName) -> Result<(), BadRequest> {
        self.values(name)
            .try_for_each(|value| NameAddr::parse(value).map(drop))
            .map_err(|error| in_header(error, "route"))
    }

    /// Begins a changed copy.
    pub fn edit(&self) -> Edit<'_> {
        Edit::new(&self.0)
    }

    /// Begins an answer: Via, From, To, Call-ID and CSeq are copied (RFC 3261 8.2.6).
    #[must_use]
    pub fn reply(&self, status: StatusCode) -> Reply<'_> {
        Reply::new(self, status)
    }

    /// The message.
    #[must_use]
    pub fn into_message(self) -> Message {
        Arc::unwrap_or_clone(self.0)
    }
}

fn bad(reason: &'static str) -> BadRequest {
    BadRequest { reason }
}

fn in_header(error: HeaderError, missing: &'static str) -> BadRequest {
    bad(if error.is_missing() { missing } else { error.reason })
}

impl Response {
    /// Only for messages whose start line is a status line.
    pub(crate) fn new(message: Message) -> Self {
        debug_assert!(!message.is_request());
        Self(Arc::new(message))
    }

    /// Begins a new response that answers no request at hand; see [`Request::reply`] for those that do.
    #[must_use]
    pub fn build(status: StatusCode) -> Builder {
        Builder::response(status, status.default_reason())
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.0.start_line() {
            StartLine::Response { code, .. } => {
                StatusCode::new(code).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)
            }
            StartLine::Request { .. } => unreachable!("a Response is made of a status line"),
        }
    }

    /// The reason phrase as written, perhaps empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        match self.0.start_line() {
            StartLine::Response {
                reason_start,
                reason_end,
                ..
            } => self.0.part(reason_start, reason_end),
            StartLine::Request { .. } => unreachable!("a Response is made of a status line"),
        }
    }

    /// Begins a changed copy.
    pub fn edit(&self) -> Edit<'_> {
        Edit::new(&self.0)
    }

    /// The message.
    #[must_use]
    pub fn into_message(self) -> Message {
        Arc::unwrap_or_clone(self.0)
    }
}

impl Deref for Request {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}

impl Deref for Response {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}

#[cfg(test)]
mod tests;
