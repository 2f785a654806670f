//! Codec: answering what does not even scan (RFC 3261 8.2, 18.3, 21.4), when its Via can be used.

use bytes::Bytes;

use super::message::Message;
use super::method::Method;
use super::name::HeaderName;
use super::request::{Request, Response};
use super::scan;
use crate::limits::SipLimits;

/// The response to a datagram or frame that [`Message::parse`] refuses: 400, 414, 505 or 513. `None` when nothing may
/// be answered: a response, an ACK, a keep-alive, or a request without the headers that an answer needs.
#[must_use]
pub fn refuse(bytes: &Bytes, limits: &SipLimits, to_tag: &str) -> Option<Response> {
    let error = Message::parse(bytes.clone(), limits).err()?;
    let status = error.status()?;
    let request = salvage(bytes, limits)?;
    Some(request.reply(status).to_tag(to_tag).finish())
}

fn salvage(bytes: &Bytes, limits: &SipLimits) -> Option<Request> {
    scan::check_size(bytes.len().min(limits.message_bytes_max), limits).ok()?;
    let leading = scan::leading_line_ends(bytes);
    let end = bytes.len().min(leading.saturating_add(limits.message_bytes_max));
    let bytes = bytes.slice(leading..end);
    let scanned = scan::salvage(&bytes, limits)?;
    let body_start = (scanned.body_start as usize).min(bytes.len());
    let request = Request::new(Message::from_scan(bytes.slice(..body_start), scanned));
    let single = |name| request.headers(name).count() == 1;
    let answerable = request.method() != Method::Ack
        && request.top_via().is_ok()
        && request.headers(HeaderName::Via).count() <= limits.vias_max
        && single(HeaderName::From)
        && single(HeaderName::To)
        && single(HeaderName::CallId)
        && single(HeaderName::CSeq);
    answerable.then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::StatusCode;

    fn refused(text: &str) -> Option<Response> {
        refuse(
            &Bytes::copy_from_slice(text.as_bytes()),
            &SipLimits::default(),
            "tag1",
        )
    }

    const HEADERS: &str = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@h.example>;tag=1\r\n\
                           To: <sip:b@h.example>\r\nCall-ID: c\r\n";

    #[test]
    fn broken_requests_get_the_status_of_what_is_wrong() {
        let text = format!("OPTIONS sip:h.example SIP/7.0\r\n{HEADERS}CSeq: 1 OPTIONS\r\n\r\n");
        assert_eq!(
            refused(&text).unwrap().status(),
            StatusCode::VERSION_NOT_SUPPORTED
        );
        let text = format!(
            "OPTIONS sip:{} SIP/2.0\r\n{HEADERS}CSeq: 1 OPTIONS\r\n\r\n",
            "a".repeat(3000)
        );
        assert_eq!(refused(&text).unwrap().status(), StatusCode::REQUEST_URI_TOO_LONG);
        let text = format!("OPTIONS sip:h.example  SIP/2.0\r\nno colon\r\n{HEADERS}CSeq: 1 OPTIONS\r\n\r\n");
        let response = refused(&text).unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.to().unwrap().tag(), Some(&b"tag1"[..]));
        let text = format!(
            "OPTIONS sip:h.example SIP/2.0\r\n{HEADERS}CSeq: 1 OPTIONS\r\nContent-Length: 9\r\n\r\nshort"
        );
        assert_eq!(refused(&text).unwrap().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn what_may_not_or_cannot_be_answered_is_not() {
        assert!(refused("\r\n\r\n").is_none());
        assert!(refused("\u{1}\u{2}\u{3}").is_none());
        assert!(refused(&format!("SIP/2.0 99 X\r\n{HEADERS}CSeq: 1 OPTIONS\r\n\r\n")).is_none());
        assert!(
            refused(&format!(
                "ACK sip:h.example SIP/7.0\r\n{HEADERS}CSeq: 1 ACK\r\n\r\n"
            ))
            .is_none()
        );
        assert!(refused(&format!("OPTIONS sip:h.example SIP/7.0\r\n{HEADERS}\r\n")).is_none());
        let fine = format!("OPTIONS sip:h.example SIP/2.0\r\n{HEADERS}CSeq: 1 OPTIONS\r\n\r\n");
        assert!(refused(&fine).is_none());
    }
}
