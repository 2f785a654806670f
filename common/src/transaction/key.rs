//! Codec: what makes two messages belong to one transaction (RFC 3261 17.1.3, 17.2.3).

use crate::sip::{Message, Method, Request, Response};

/// The start of every branch made by an element of RFC 3261 (8.1.1.7).
pub(crate) const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// Branch and sent-by of the top Via, or what RFC 2543 had instead; without the method.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ServerKey(Box<[u8]>);

impl ServerKey {
    /// The key of a request; `None` when it has no usable Via.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let via = request.top_via().ok()?;
        match via.branch() {
            Some(branch) if is_cookie(branch) => Some(Self::of_branch(branch, via.sent_by())),
            _ => Self::of_rfc2543(request, via.raw()),
        }
    }

    /// RFC 3261 17.2.3: the branch and the sent-by are the same.
    fn of_branch(branch: &[u8], sent_by: &[u8]) -> Self {
        let mut key = branch.to_vec();
        key.push(0);
        key.extend(
            sent_by
                .iter()
                .filter(|b| !b.is_ascii_whitespace())
                .map(u8::to_ascii_lowercase),
        );
        Self(key.into_boxed_slice())
    }

    /// RFC 3261 17.2.3, older elements: Request-URI, From tag, Call-ID, CSeq number and top Via are the same.
    /// The To tag is left out, so that the ACK to a response of ours has the key of its INVITE.
    fn of_rfc2543(request: &Request, via: &[u8]) -> Option<Self> {
        let mut key = b"2543\0".to_vec();
        key.extend_from_slice(request.request_uri_bytes());
        for part in [from_tag(request)?, request.call_id()?, via] {
            key.push(0);
            key.extend_from_slice(part);
        }
        key.push(0);
        key.extend_from_slice(&request.cseq().ok()?.number.to_be_bytes());
        Some(Self(key.into_boxed_slice()))
    }
}

/// The method under which a request is filed: an ACK belongs to its INVITE.
pub(crate) fn filed_method(method: Method) -> Method {
    match method {
        Method::Ack => Method::Invite,
        other => other,
    }
}

/// RFC 3261 17.1.3: the branch that we made, and the CSeq method (a CANCEL shares the branch of its INVITE).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientKey {
    branch: Box<[u8]>,
    method: Method,
}

impl ClientKey {
    pub(crate) fn new(branch: &[u8], method: Method) -> Self {
        Self {
            branch: branch.into(),
            method,
        }
    }

    pub(crate) fn of(response: &Response) -> Option<Self> {
        let via = response.top_via().ok()?;
        let branch = via.branch()?;
        is_cookie(branch).then_some(())?;
        Some(Self::new(branch, response.cseq().ok()?.method))
    }
}

fn is_cookie(branch: &[u8]) -> bool {
    branch
        .get(..MAGIC_COOKIE.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(MAGIC_COOKIE))
        && branch.len() > MAGIC_COOKIE.len()
}

/// The From tag, empty when there is none.
pub(crate) fn from_tag(message: &Message) -> Option<&[u8]> {
    message.from().ok().map(|from| from.tag().unwrap_or(b""))
}

/// The To tag, empty when there is none.
pub(crate) fn to_tag(message: &Message) -> Option<&[u8]> {
    message.to().ok().map(|to| to.tag().unwrap_or(b""))
}
