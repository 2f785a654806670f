//! Codec: what can be wrong with a SIP message, with a label for the metrics and the status to answer with.

use thiserror::Error;

use super::name::HeaderName;
use super::status::StatusCode;

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ParseError {
    /// Nothing but line ends: a keep-alive, not a message.
    #[error("no message in it")]
    Empty,
    /// Over `message_bytes_max`.
    #[error("message too large")]
    TooLarge,
    /// Neither a request line nor a status line (RFC 3261 7.1, 7.2).
    #[error("malformed start line")]
    StartLine,
    /// A version that is not SIP/2.0.
    #[error("unknown SIP version")]
    Version,
    /// Request-URI over `uri_bytes_max`.
    #[error("Request-URI too long")]
    UriTooLong,
    /// No empty line after the headers.
    #[error("head without an end")]
    Unterminated,
    /// A header line without a colon, or with a name that is not a token.
    #[error("malformed header name")]
    HeaderName,
    /// A header, all its folds counted, over `header_bytes_max`.
    #[error("header too long")]
    HeaderTooLong,
    /// More header lines than `headers_max`.
    #[error("too many headers")]
    TooManyHeaders,
    /// More Via values than `vias_max` (RFC 5393).
    #[error("too many Via values")]
    TooManyVias,
    /// A continuation line without a header before it.
    #[error("fold before the first header")]
    Folding,
    /// A control character outside a quoted pair, or a CR without LF.
    #[error("control character in the head")]
    ControlCharacter,
    /// A Content-Length that is not a number.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Two Content-Length headers that differ.
    #[error("conflicting Content-Length")]
    ContentLengthConflict,
    /// Fewer octets than Content-Length says (RFC 3261 18.3).
    #[error("body shorter than its Content-Length")]
    Truncated,
}

impl ParseError {
    /// A label for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "message_too_large",
            Self::StartLine => "start_line",
            Self::Version => "version",
            Self::UriTooLong => "uri_too_long",
            Self::Unterminated => "head_unterminated",
            Self::HeaderName => "header_name",
            Self::HeaderTooLong => "header_too_long",
            Self::TooManyHeaders => "too_many_headers",
            Self::TooManyVias => "too_many_vias",
            Self::Folding => "folding",
            Self::ControlCharacter => "control_character",
            Self::ContentLength => "content_length",
            Self::ContentLengthConflict => "content_length_conflict",
            Self::Truncated => "body_truncated",
        }
    }

    /// What to answer, if it was a request and its Via can be used (RFC 3261 8.2, 16.3, 21.4, 21.5).
    #[must_use]
    pub fn status(self) -> Option<StatusCode> {
        match self {
            Self::Empty => None,
            Self::TooLarge => Some(StatusCode::MESSAGE_TOO_LARGE),
            Self::Version => Some(StatusCode::VERSION_NOT_SUPPORTED),
            Self::UriTooLong => Some(StatusCode::REQUEST_URI_TOO_LONG),
            Self::StartLine
            | Self::Unterminated
            | Self::HeaderName
            | Self::HeaderTooLong
            | Self::TooManyHeaders
            | Self::TooManyVias
            | Self::Folding
            | Self::ControlCharacter
            | Self::ContentLength
            | Self::ContentLengthConflict
            | Self::Truncated => Some(StatusCode::BAD_REQUEST),
        }
    }
}

/// Why a header's value cannot be read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{header}: {reason}")]
pub struct HeaderError {
    /// Which header; [`HeaderName::Other`] when a value was parsed by itself.
    pub header: HeaderName,
    /// A label for metrics and logs.
    pub reason: &'static str,
}

impl HeaderError {
    pub(crate) const fn new(reason: &'static str) -> Self {
        Self {
            header: HeaderName::Other,
            reason,
        }
    }

    pub(crate) const fn missing(header: HeaderName) -> Self {
        Self {
            header,
            reason: "missing_header",
        }
    }

    pub(crate) const fn of(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }

    /// Is the header not there at all?
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.reason == "missing_header"
    }

    /// What to answer when the header stood in a request.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

impl From<UriError> for HeaderError {
    fn from(error: UriError) -> Self {
        Self::new(error.reason())
    }
}

/// Why bytes are not a URI.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum UriError {
    /// No scheme, or a malformed one.
    #[error("malformed scheme")]
    Scheme,
    /// A character that no URI may have.
    #[error("character not allowed in a URI")]
    Character,
    /// `%` without two hex digits after it.
    #[error("malformed escape")]
    Escape,
    /// Empty user part, or more than one `@`.
    #[error("malformed user part")]
    User,
    /// Neither a name nor an address.
    #[error("malformed host")]
    Host,
    /// Not 1 to 65535.
    #[error("malformed port")]
    Port,
    /// An empty or malformed parameter, or too many of them.
    #[error("malformed parameter")]
    Parameter,
    /// A tel URI without a number (RFC 3966 3).
    #[error("malformed telephone number")]
    Number,
}

impl UriError {
    /// A label for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Scheme => "uri_scheme",
            Self::Character => "uri_character",
            Self::Escape => "uri_escape",
            Self::User => "uri_user",
            Self::Host => "uri_host",
            Self::Port => "uri_port",
            Self::Parameter => "uri_parameter",
            Self::Number => "uri_number",
        }
    }
}

/// Why a scanned request is not one to act upon (RFC 3261 8.2, 16.3).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("bad request: {reason}")]
pub struct BadRequest {
    /// A label for metrics and logs.
    pub reason: &'static str,
}

impl BadRequest {
    /// What to answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// Why a stream cannot be cut into messages any more. The connection is to be closed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FramingError {
    /// Over `message_bytes_max`.
    #[error("message too large")]
    TooLarge,
    /// A Content-Length that is not a number.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Two Content-Length headers that differ.
    #[error("conflicting Content-Length")]
    ContentLengthConflict,
}

impl FramingError {
    /// A label for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "message_too_large",
            Self::ContentLength => "content_length",
            Self::ContentLengthConflict => "content_length_conflict",
        }
    }
}
