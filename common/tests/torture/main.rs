//! Testkit: one message of our own for each case of RFC 4475 and RFC 5118, and what we make of it.

mod application;
mod invalid;
mod ipv6;
mod valid;

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{BadRequest, Message, ParseError, Request, Response, SipMessage};

/// The text with CRLF for each line feed.
fn wire(text: &str) -> Bytes {
    Bytes::from(text.replace('\n', "\r\n"))
}

fn scan(text: &str) -> Result<Message, ParseError> {
    let bytes = wire(text);
    let message = Message::parse(bytes.clone(), &SipLimits::default())?;
    // Whatever is taken leaves as it came.
    assert!(bytes.starts_with(message.bytes()));
    if message.content_length().is_some() {
        let copy = match message.clone().into_parts() {
            SipMessage::Request(request) => request.edit().finish(),
            SipMessage::Response(response) => response.edit().finish(),
        };
        assert_eq!(copy.bytes(), message.bytes());
    }
    Ok(message)
}

fn request(text: &str) -> Request {
    match scan(text).map(Message::into_parts) {
        Ok(SipMessage::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

fn response(text: &str) -> Response {
    match scan(text).map(Message::into_parts) {
        Ok(SipMessage::Response(response)) => response,
        other => panic!("not a response: {other:?}"),
    }
}

/// The reason for which a request that scans is refused.
fn refused(text: &str) -> &'static str {
    match request(text).validate() {
        Err(BadRequest { reason }) => reason,
        Ok(()) => panic!("taken: {text}"),
    }
}

fn valid(text: &str) -> Request {
    let request = request(text);
    assert_eq!(request.validate(), Ok(()));
    request
}
