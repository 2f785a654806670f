//! Codec: tests of [`super`].

use bytes::Bytes;

use super::*;
use crate::limits::SipLimits;

fn parse(text: &str) -> SipMessage {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    Message::parse(bytes, &SipLimits::default()).unwrap().into_parts()
}

fn built() -> Builder {
    Request::build(Method::Register, "sip:h.example")
        .header(HeaderName::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
        .header(HeaderName::From, "<sip:a@h.example>;tag=1")
        .header(HeaderName::To, "<sip:a@h.example>")
        .header(HeaderName::CallId, "c")
        .header(HeaderName::CSeq, "1 REGISTER")
}

#[test]
fn a_built_request_is_what_a_scan_of_it_says() {
    let request = built()
        .header(HeaderName::ContentLength, 77)
        .header_named("X-Extra", "1\r\n2")
        .header_named("bad name", "left out")
        .body("application/x", &b"\x00\xff"[..])
        .finish_request();
    assert_eq!(request.validate(), Ok(()));
    assert_eq!(
        (request.method(), request.body()),
        (Method::Register, &b"\x00\xff"[..])
    );
    let SipMessage::Request(again) = Message::parse(request.bytes().clone(), &SipLimits::default())
        .unwrap()
        .into_parts()
    else {
        panic!("a request");
    };
    assert!(again.header_lines().eq(request.header_lines()));
    assert_eq!(again.content_length(), Some(2));
    assert_eq!(again.header_named("x-extra"), Some(&b"1  2"[..]));
    assert_eq!(again, request);
}

#[test]
fn a_request_uri_cannot_break_the_start_line() {
    let request = Request::build(Method::Options, "sip:h SIP/2.0\r\nEvil: 1").finish_request();
    assert_eq!(request.request_uri_bytes(), b"sip:hSIP/2.0Evil:1");
    assert_eq!(request.header_lines().count(), 1);
}

#[test]
fn every_fault_has_its_reason() {
    let reason = |builder: Builder| builder.finish_request().validate().map_err(|bad| bad.reason);
    let with = |name, value: &str| reason(built().header(name, value));
    assert_eq!(reason(built()), Ok(()));
    for name in [
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        assert_eq!(with(name, "x"), Err("repeated_header"));
    }
    assert_eq!(with(HeaderName::MaxForwards, "256"), Err("max_forwards"));
    assert_eq!(with(HeaderName::Via, "SIP/2.0/UDP"), Err("via_sent_by"));
    assert_eq!(with(HeaderName::Via, ""), Err("via_protocol"));
    assert_eq!(with(HeaderName::Route, "<sip:a>,"), Err("address_empty"));
    assert_eq!(with(HeaderName::Path, "<sip:a@>"), Err("uri_host"));
    assert_eq!(with(HeaderName::Contact, "<sip:a>, *"), Err("uri_scheme"));
    assert_eq!(with(HeaderName::Expires, "soon"), Ok(()));
    assert_eq!(with(HeaderName::Require, "anything"), Ok(()));
    let edited = |edit: Edit<'_>| edit.finish_request().validate().map_err(|bad| bad.reason);
    let request = built().finish_request();
    assert_eq!(
        edited(request.edit().set(HeaderName::CSeq, "1 INVITE")),
        Err("cseq_method")
    );
    assert_eq!(
        edited(request.edit().set(HeaderName::CallId, "a b")),
        Err("call_id")
    );
    assert_eq!(edited(request.edit().set(HeaderName::CallId, "")), Err("call_id"));
    assert_eq!(edited(request.edit().remove(HeaderName::Via)), Err("missing_via"));
    assert_eq!(
        edited(request.edit().request_uri("sip:a@b?c=d")),
        Err("request_uri_headers")
    );
    assert_eq!(edited(request.edit().request_uri("sip:a@")), Err("uri_host"));
    assert_eq!(request.validate().map_err(|bad| bad.status()), Ok(()));
}

#[test]
fn contacts_are_checked_where_they_are_acted_upon() {
    let broken = |method: Method| {
        Request::build(method.clone(), "sip:h.example")
            .header(HeaderName::Via, "SIP/2.0/UDP 192.0.2.1")
            .header(HeaderName::From, "<sip:a@h.example>;tag=1")
            .header(HeaderName::To, "<sip:a@h.example>")
            .header(HeaderName::CallId, "c")
            .header(HeaderName::CSeq, format_args!("1 {method}"))
            .header(HeaderName::Contact, "<sip:a")
            .finish_request()
            .validate()
            .is_err()
    };
    assert!(broken(Method::Register));
    assert!(!broken(Method::Invite));
}

#[test]
fn responses_have_a_status_and_a_reason() {
    let SipMessage::Response(response) = parse("SIP/2.0 404 Nobody Here\r\nVia: x\r\n\r\n") else {
        panic!("a response");
    };
    assert_eq!(
        (response.status(), response.reason()),
        (StatusCode::NOT_FOUND, &b"Nobody Here"[..])
    );
    let edited = response.edit().pop_first_value(HeaderName::Via).finish_response();
    assert_eq!(
        edited.bytes().as_ref(),
        b"SIP/2.0 404 Nobody Here\r\nContent-Length: 0\r\n\r\n"
    );
    let built = Response::build(StatusCode::RINGING)
        .header(HeaderName::Via, "x")
        .finish_response();
    assert_eq!(built.reason(), b"Ringing");
    assert!(matches!(
        parse("OPTIONS sip:h SIP/2.0\r\n\r\n"),
        SipMessage::Request(_)
    ));
}
