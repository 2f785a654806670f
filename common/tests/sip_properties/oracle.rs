//! Testkit: a second opinion. The `rsip` package reads the same messages, on the subset that it can: no folds, no
//! compact forms, no lists, no IPv6, no tel URIs.

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{HeaderName, Host, Message, NameAddr, Request, SipMessage};
use proptest::prelude::*;
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9.-]{0,11}[a-zA-Z0-9]"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{2,8}(\\.[a-z]{2,5}){1,2}", Just("192.0.2.33".to_owned())]
}

fn uri() -> impl Strategy<Value = String> {
    ("[a-z0-9]{1,10}", host(), prop::option::of(1024_u16..)).prop_map(|(user, host, port)| {
        format!(
            "sip:{user}@{host}{}",
            port.map_or(String::new(), |p| format!(":{p}"))
        )
    })
}

fn address() -> impl Strategy<Value = String> {
    (
        prop::option::of("\"[a-zA-Z ]{1,10}\" "),
        uri(),
        prop::option::of(token()),
    )
        .prop_map(|(name, uri, tag)| {
            format!(
                "{}<{uri}>{}",
                name.unwrap_or_default(),
                tag.map_or(String::new(), |t| format!(";tag={t}"))
            )
        })
}

fn via() -> impl Strategy<Value = String> {
    (
        prop_oneof![Just("UDP"), Just("TCP"), Just("TLS")],
        host(),
        1024_u16..,
        token(),
    )
        .prop_map(|(transport, host, port, branch)| {
            format!("SIP/2.0/{transport} {host}:{port};branch=z9hG4bK{branch}")
        })
}

fn method() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("REGISTER"),
        Just("INVITE"),
        Just("OPTIONS"),
        Just("BYE"),
        Just("MESSAGE"),
        Just("SUBSCRIBE")
    ]
}

fn ours(bytes: &Bytes) -> Request {
    match Message::parse(bytes.clone(), &SipLimits::default()).map(Message::into_parts) {
        Ok(SipMessage::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn same_address(
    ours: &NameAddr<'_>,
    uri: &rsip::Uri,
    display: Option<&str>,
    tag: Option<String>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(text(ours.uri.as_bytes()), uri.to_string());
    prop_assert_eq!(ours.uri.user().map(text), uri.user().map(ToOwned::to_owned));
    prop_assert_eq!(ours.uri.port(), uri.port().map(|port| *port.value()));
    prop_assert_eq!(ours.tag().map(text), tag);
    let display = display
        .unwrap_or_default()
        .trim()
        .trim_matches('"')
        .trim()
        .to_owned();
    let our_display = text(&ours.display_unquoted());
    prop_assert_eq!(our_display.trim(), display);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_parsers_read_the_same_request(
        method in method(),
        target in uri(),
        vias in prop::collection::vec(via(), 1..4),
        from in address(),
        to in address(),
        call_id in token(),
        cseq in 0_u32..(1 << 31),
        hops in any::<u8>(),
        others in prop::collection::vec(("X-[A-Z][a-z]{1,8}", "[!-9;-~]([ -~]{0,30}[!-~])?"), 0..6),
        body in "[ -~]{0,40}",
    ) {
        let mut wire = format!("{method} {target} SIP/2.0\r\n");
        for via in &vias {
            wire.push_str(&format!("Via: {via}\r\n"));
        }
        wire.push_str(&format!("From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: {hops}\r\n"));
        for (name, value) in &others {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let bytes = Bytes::from(wire);
        let theirs = rsip::Request::try_from(bytes.as_ref()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let ours = ours(&bytes);

        prop_assert_eq!(ours.validate(), Ok(()));
        prop_assert_eq!(ours.method().to_string(), theirs.method.to_string());
        prop_assert_eq!(text(ours.request_uri_bytes()), theirs.uri.to_string());
        prop_assert_eq!(ours.body(), theirs.body.as_slice());
        let lines: Vec<_> = ours.header_lines().map(|(n, v)| format!("{}: {}", text(n), text(v))).collect();
        let their_lines: Vec<_> = theirs.headers.iter().map(ToString::to_string).collect();
        prop_assert_eq!(lines, their_lines);

        let from = theirs.from_header().and_then(|h| h.typed()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        same_address(&ours.from().unwrap(), &from.uri, from.display_name.as_deref(), from.tag().map(|t| t.value().to_owned()))?;
        let to = theirs.to_header().and_then(|h| h.typed()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        same_address(&ours.to().unwrap(), &to.uri, to.display_name.as_deref(), to.tag().map(|t| t.value().to_owned()))?;
        let their_cseq = theirs.cseq_header().and_then(|h| h.typed()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(ours.cseq().unwrap().number, their_cseq.seq);
        prop_assert_eq!(ours.call_id().map(text), theirs.call_id_header().ok().map(|h| h.value().to_owned()));
        prop_assert_eq!(ours.max_forwards().map(u32::from), theirs.max_forwards_header().ok().and_then(|h| h.num().ok()));

        let their_via = theirs.via_header().and_then(|h| h.typed()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let via = ours.top_via().unwrap();
        prop_assert_eq!(text(via.transport()), their_via.transport.to_string());
        prop_assert_eq!(via.branch().map(text), their_via.branch().map(|b| b.value().to_owned()));
        prop_assert_eq!(via.host().to_string(), their_via.uri.host().to_string());
        prop_assert_eq!(via.port(), their_via.uri.port().map(|p| *p.value()));
        prop_assert!(!matches!(via.host(), Host::V6(_)));
        prop_assert_eq!(ours.headers(HeaderName::Via).count(), vias.len());
    }

    #[test]
    fn two_parsers_read_the_same_response(code in 100_u16..700, reason in "[A-Za-z]{1,9}( [A-Za-z]{1,9}){0,2}", via in via(), cseq in 0_u32..(1 << 31)) {
        let wire = format!("SIP/2.0 {code} {reason}\r\nVia: {via}\r\nCSeq: {cseq} INVITE\r\nContent-Length: 0\r\n\r\n");
        let theirs = rsip::Response::try_from(wire.as_str()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let Ok(SipMessage::Response(ours)) = Message::parse(Bytes::from(wire), &SipLimits::default()).map(Message::into_parts) else {
            return Err(TestCaseError::fail("not a response"));
        };
        prop_assert_eq!(ours.status().as_u16(), theirs.status_code.code());
        prop_assert_eq!(text(ours.reason()), reason);
        prop_assert_eq!(ours.header_lines().count(), theirs.headers.iter().count());
    }
}
