//! Shell: what an operator is told who gets no answer: `{"error": …, "hint": …}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Characters of a complaint; more would only repeat what was asked.
const COMPLAINT_MAX: usize = 300;

/// Why a request is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// More requests a second than are served.
    TooFast,
    /// More requests at a time than are served.
    TooMany,
    /// The Host header is a name that is not ours.
    OtherHost,
    /// A token is needed and there is none.
    TokenNeeded,
    /// No token is like this one.
    WrongToken,
    /// After many wrong tokens another one.
    TooManyWrongTokens,
    /// The token lets read only.
    ReadOnlyToken,
    /// There is no token, and who asks is elsewhere.
    NotFromHere,
    /// A page in somebody's browser could have sent it.
    MayBeForged,
    /// The driver is busy or has ended.
    NoAnswer,
}

impl Refusal {
    /// The label of its counter.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::TooFast => "too fast",
            Self::TooMany => "too many",
            Self::OtherHost => "other host",
            Self::TokenNeeded => "no token",
            Self::WrongToken => "wrong token",
            Self::TooManyWrongTokens => "too many wrong tokens",
            Self::ReadOnlyToken => "read only token",
            Self::NotFromHere => "not from here",
            Self::MayBeForged => "may be forged",
            Self::NoAnswer => "no answer",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::TooFast | Self::TooManyWrongTokens => StatusCode::TOO_MANY_REQUESTS,
            Self::TooMany | Self::NoAnswer => StatusCode::SERVICE_UNAVAILABLE,
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::TokenNeeded | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::ReadOnlyToken | Self::NotFromHere | Self::MayBeForged => StatusCode::FORBIDDEN,
        }
    }

    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::TooFast => ("more requests a second than are served", "ask again in a second"),
            Self::TooMany => ("too many requests at a time", "ask again in a second"),
            Self::OtherHost => (
                "the Host header is no name of this node",
                "use its address, or add the name to admin.names",
            ),
            Self::TokenNeeded => (
                "a token is needed",
                "send `Authorization: Bearer TOKEN` with the token of admin.read_token_file or admin.write_token_file, or use the Unix socket",
            ),
            Self::WrongToken => ("the token is wrong", "compare it with the files that admin names"),
            Self::TooManyWrongTokens => ("too many wrong tokens came from this address", "wait a minute"),
            Self::ReadOnlyToken => (
                "this token lets read only",
                "send the token of admin.write_token_file",
            ),
            Self::NotFromHere => (
                "only who is on this machine may ask without a token",
                "set admin.read_token_file and admin.write_token_file, or ask on the machine",
            ),
            Self::MayBeForged => (
                "a page in a browser could have sent this",
                "send a header `X-Ims-Admin: 1`, or a token",
            ),
            Self::NoAnswer => ("the node is busy or ending", "ask again in a second"),
        }
    }

    const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::TooFast | Self::TooMany | Self::NoAnswer => Some("1"),
            Self::TooManyWrongTokens => Some("60"),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (error, hint) = self.told();
        let mut response = refused(self.status(), error, hint);
        if let Some(seconds) = self.retry_after() {
            let value = HeaderValue::from_static(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

/// The body of every refusal.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Told {
    /// What is wrong.
    error: String,
    /// What may help.
    hint: String,
}

/// A refusal in these words.
pub(super) fn refused(status: StatusCode, error: &str, hint: &str) -> Response {
    let error = error.chars().take(COMPLAINT_MAX).collect();
    let told = Told {
        error,
        hint: hint.to_owned(),
    };
    (status, Json(told)).into_response()
}
