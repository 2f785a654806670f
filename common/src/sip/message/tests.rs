//! Codec: tests of [`super`].

use super::*;

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &SipLimits::default()).unwrap()
}

const REGISTER: &[u8] = include_bytes!("../../../benches/register_volte.sip");

#[test]
fn a_volte_register_is_read_whole() {
    let message = Message::parse(Bytes::from_static(REGISTER), &SipLimits::default()).unwrap();
    assert_eq!(message.bytes().as_ref(), REGISTER);
    assert!(message.is_request());
    assert_eq!(message.expires(), Some(600_000));
    assert_eq!(message.max_forwards(), Some(70));
    assert_eq!(message.content_length(), Some(0));
    assert!(message.has_token(HeaderName::Supported, "Path"));
    assert!(!message.has_token(HeaderName::Supported, "outbound"));
    assert_eq!(message.cseq().unwrap().to_string(), "2 REGISTER");
    assert_eq!(
        message.top_via().unwrap().branch(),
        Some(&b"z9hG4bK-524287-1---7d3f7cf1be8b4f2a"[..])
    );
    assert_eq!(message.from().unwrap().tag(), Some(&b"8f3a1c55"[..]));
    assert_eq!(message.to().unwrap().tag(), None);
    let credentials = message.authorization().unwrap().unwrap();
    assert_eq!(
        credentials.response().unwrap().as_ref(),
        b"6629fae49393a05397450978507c4ef1"
    );
    let offers: Vec<_> = message.security_mechanisms(HeaderName::SecurityClient).collect();
    assert_eq!(offers.len(), 2);
    assert!(
        offers
            .iter()
            .all(|offer| offer.is_ipsec_3gpp() && offer.port_s() == Some(45_062))
    );
    let Contacts::List(contacts) = message.contacts().unwrap() else {
        panic!("a list");
    };
    assert_eq!(contacts.len(), 1);
    assert!(contacts[0].param("+g.3gpp.smsip").is_some());
}

#[test]
fn values_of_several_lines_are_one_list() {
    let message = parse(
        "SIP/2.0 200 OK\r\nService-Route: <sip:a;x=\"1,2\">,<sip:b,c@d>\r\nX: 1\r\nService-Route: <sip:e>\r\nSupported:\r\nSupported: path,,gruu\r\n\r\n",
    );
    let routes = message.name_addrs(HeaderName::ServiceRoute);
    assert!(routes.is_err(), "a quote is no part of a URI");
    let values: Vec<_> = message.values(HeaderName::ServiceRoute).collect();
    assert_eq!(values, [&b"<sip:a;x=\"1,2\">"[..], b"<sip:b,c@d>", b"<sip:e>"]);
    let tokens: Vec<_> = message.tokens(HeaderName::Supported).collect();
    assert_eq!(tokens, [&b"path"[..], b"gruu"]);
}

#[test]
fn credentials_and_dates_are_not_cut_at_commas() {
    let message = parse(
        "SIP/2.0 401 X\r\nWWW-Authenticate: Basic a\r\nWWW-Authenticate: Digest a=b,c=d\r\nDate: Sat, 21 Nov 2026 03:00:00 GMT\r\n\r\n",
    );
    assert_eq!(message.values(HeaderName::WwwAuthenticate).count(), 2);
    assert_eq!(message.values(HeaderName::Date).count(), 1);
    assert_eq!(
        message
            .www_authenticate()
            .unwrap()
            .unwrap()
            .param("c")
            .unwrap()
            .as_ref(),
        b"d"
    );
    assert!(message.authorization().unwrap().is_none());
}

#[test]
fn unknown_headers_are_found_by_name_only() {
    let message = parse("OPTIONS sip:h SIP/2.0\r\nX-One: 1\r\nx-two: 2\r\nX-ONE: 3\r\nVia: v\r\n\r\n");
    assert_eq!(message.headers_named("x-one").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(message.header_named("V"), Some(&b"v"[..]));
    assert_eq!(message.header(HeaderName::Other), None);
    assert_eq!(message.header_named("X"), None);
    assert_eq!(message.header_lines().count(), 4);
}

#[test]
fn errors_name_their_header() {
    let message = parse(
        "OPTIONS sip:h SIP/2.0\r\nFrom: <sip:a\r\nContact: *\r\nContact: <sip:a>\r\nExpires: soon\r\nMax-Forwards: 256\r\n\r\n",
    );
    assert_eq!(message.from().unwrap_err().header, HeaderName::From);
    assert_eq!(message.from().unwrap_err().to_string(), "From: address_bracket");
    assert!(message.to().unwrap_err().is_missing());
    assert_eq!(message.contacts().unwrap_err().reason, "contact_star_and_more");
    assert_eq!((message.expires(), message.max_forwards()), (None, None));
    assert!(matches!(
        parse("OPTIONS sip:h SIP/2.0\r\n\r\n").contacts().unwrap(),
        Contacts::None
    ));
}

#[test]
fn bodies_end_where_content_length_says() {
    let text = "OPTIONS sip:h SIP/2.0\r\nContent-Length: 4\r\n\r\nbodyTAIL";
    let message = parse(text);
    assert_eq!(message.body(), b"body");
    assert_eq!(message.body_bytes().as_ref(), b"body");
    assert_eq!(
        parse("\r\n\r\nOPTIONS sip:h SIP/2.0\r\n\r\nall of it").body(),
        b"all of it"
    );
    let short = Bytes::from_static(b"OPTIONS sip:h SIP/2.0\r\nl: 5\r\n\r\nbody");
    assert_eq!(
        Message::parse(short, &SipLimits::default()),
        Err(ParseError::Truncated)
    );
}

#[test]
fn the_debug_text_has_no_headers() {
    let message = parse("OPTIONS sip:h SIP/2.0\r\nAuthorization: Digest ck=\"0011\"\r\n\r\nsecret");
    let text = format!("{message:?}");
    assert_eq!(text, "Message(\"OPTIONS sip:h SIP/2.0\", 64 octets)");
    assert_eq!(message.clone(), message);
}
