//! Codec: tests of [`super`].

use super::*;
use crate::sip::SipMessage;

const INVITE: &str = "INVITE sip:b@h.example SIP/2.0\r\nVIA : SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n\
    X-odd:  kept   \r\nv: SIP/2.0/UDP c.example, SIP/2.0/UDP d.example\r\nRoute: <sip:r1;lr>,<sip:r2;lr>\r\n\
    route: <sip:r3;lr>\r\nSubject: folded\r\n\there\r\nl: 4\r\n\r\n\u{0}\u{1}\r\n";

fn parse(text: &str) -> Request {
    match Message::parse(Bytes::copy_from_slice(text.as_bytes()), &SipLimits::default())
        .unwrap()
        .into_parts()
    {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => panic!("a request"),
    }
}

/// What the edit says it printed must be what a scan of it says.
fn printed(message: &Message) -> String {
    let again = Message::parse(message.bytes().clone(), &SipLimits::default()).unwrap();
    assert!(again.header_lines().eq(message.header_lines()));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.start_line(), message.start_line());
    assert_eq!(again.headers_end(), message.headers_end());
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

#[test]
fn an_edit_without_changes_is_byte_exact() {
    assert_eq!(printed(&parse(INVITE).edit().finish()), INVITE);
}

#[test]
fn a_proxy_hop_touches_only_its_own_lines() {
    let invite = parse(INVITE);
    let hop = invite
        .edit()
        .request_uri("sip:b@[2001:db8::1]:5060")
        .push_front(HeaderName::Via, "SIP/2.0/TCP p.example;branch=z9hG4bK2")
        .push_front(HeaderName::RecordRoute, "<sip:p.example;lr>")
        .pop_first_value(HeaderName::Route)
        .set(HeaderName::MaxForwards, 69)
        .finish_request();
    let expected = INVITE
        .replace("sip:b@h.example", "sip:b@[2001:db8::1]:5060")
        .replace("VIA :", "Via: SIP/2.0/TCP p.example;branch=z9hG4bK2\r\nVIA :")
        .replace(
            "Route: <sip:r1;lr>,<sip:r2;lr>",
            "Record-Route: <sip:p.example;lr>\r\nRoute: <sip:r2;lr>",
        )
        .replace("l: 4\r\n", "l: 4\r\nMax-Forwards: 69\r\n");
    assert_eq!(printed(&hop), expected);
    assert_eq!(hop.request_uri().unwrap().port(), Some(5060));
}

#[test]
fn the_second_pop_takes_the_line_and_the_third_the_next() {
    let invite = parse(INVITE);
    let routes = |edit: Edit<'_>| -> Vec<String> {
        let message = edit.finish();
        message
            .values(HeaderName::Route)
            .map(|v| text::lossy(v).into_owned())
            .collect()
    };
    let pop = |n: usize| (0..n).fold(invite.edit(), |edit, _| edit.pop_first_value(HeaderName::Route));
    assert_eq!(routes(pop(1)), ["<sip:r2;lr>", "<sip:r3;lr>"]);
    assert_eq!(routes(pop(2)), ["<sip:r3;lr>"]);
    assert_eq!(routes(pop(3)), [""; 0]);
    assert_eq!(routes(pop(4)), [""; 0]);
}

#[test]
fn set_leaves_one_line_and_remove_none() {
    let invite = parse(INVITE);
    let set = printed(&invite.edit().set(HeaderName::Route, "<sip:only;lr>").finish());
    assert_eq!(set.matches("oute:").count(), 1);
    assert!(set.contains("d.example\r\nRoute: <sip:only;lr>\r\nSubject"));
    let removed = printed(
        &invite
            .edit()
            .remove(HeaderName::Route)
            .remove_named("x-ODD")
            .remove_named("via")
            .finish(),
    );
    assert!(!removed.contains("oute:") && !removed.contains("X-odd") && !removed.contains("SIP/2.0/UDP"));
}

#[test]
fn single_lines_are_replaced_and_removed_by_number() {
    let invite = parse(INVITE);
    let edited = invite
        .edit()
        .replace_line(HeaderName::Via, 1, "SIP/2.0/UDP e.example")
        .remove_line(HeaderName::Route, 1)
        .replace_line(HeaderName::Path, 0, "nowhere")
        .finish();
    let expected = INVITE
        .replace(
            "v: SIP/2.0/UDP c.example, SIP/2.0/UDP d.example",
            "Via: SIP/2.0/UDP e.example",
        )
        .replace("route: <sip:r3;lr>\r\n", "");
    assert_eq!(printed(&edited), expected);
}

#[test]
fn a_first_route_goes_below_the_vias() {
    let request =
        parse("OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\nTo: <sip:h>\r\n\r\n");
    let edited = printed(
        &request
            .edit()
            .push_front(HeaderName::Route, "<sip:r;lr>")
            .finish(),
    );
    assert!(edited.contains("UDP b\r\nRoute: <sip:r;lr>\r\nTo"));
    assert!(edited.ends_with("\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn a_new_body_brings_its_headers() {
    let invite = parse(INVITE);
    let edited = invite.edit().body("application/x", &b"12345"[..]).finish();
    assert_eq!(edited.body(), b"12345");
    assert_eq!(edited.content_length(), Some(5));
    assert_eq!(
        edited.header(HeaderName::ContentType),
        Some(&b"application/x"[..])
    );
    printed(&edited);
}

#[test]
fn new_values_cannot_split_the_message() {
    let invite = parse(INVITE);
    let edited = invite
        .edit()
        .request_uri("sip:b@h.example SIP/2.0\r\nEvil: 1")
        .append(HeaderName::Reason, "x\r\nEvil: 2\r\n\r\nbody")
        .append_named("Evil\r\nX", "3")
        .append_named("X-New", " trimmed ")
        .finish();
    assert!(edited.header_named("Evil").is_none());
    assert_eq!(edited.header_named("x-new"), Some(&b"trimmed"[..]));
    printed(&edited);
}

#[test]
fn bare_line_feeds_leave_as_crlf() {
    let request = parse("OPTIONS sip:h SIP/2.0\nVia: SIP/2.0/UDP a\nSubject: a\n b\r\nl: 3\n\na\nb");
    let edited = printed(&request.edit().finish());
    assert_eq!(
        edited,
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nSubject: a\r\n b\r\nl: 3\r\n\r\na\nb"
    );
}
