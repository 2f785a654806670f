//! Testkit: what holds for every SIP message: made at random, broken at random, and read by a second parser.

mod mutation;
mod oracle;
mod round_trip;

use ims_common::limits::SipLimits;
use ims_common::sip::{HeaderName, Message, Request, SipMessage};

/// Calls every accessor; whatever they say, none may panic.
fn read_everything(message: &Message) {
    for (name, value) in message.header_lines() {
        let name = String::from_utf8_lossy(name);
        assert!(message.headers_named(&name).any(|v| v == value));
    }
    let _ = (
        message.top_via(),
        message.from(),
        message.to(),
        message.cseq(),
        message.call_id(),
    );
    let _ = (
        message.expires(),
        message.max_forwards(),
        message.content_length(),
    );
    let _ = message.contacts();
    let _ = message
        .authorization()
        .map(|c| c.map(|c| c.with_integrity_protected("no")));
    let _ = message.www_authenticate().map(|c| c.map(|c| c.without_keys()));
    for name in [
        HeaderName::Route,
        HeaderName::Path,
        HeaderName::Contact,
        HeaderName::From,
        HeaderName::PAssociatedUri,
    ] {
        for address in message.name_addrs(name).into_iter().flatten() {
            let _ = (
                address.tag(),
                address.q(),
                address.expires(),
                address.display_unquoted(),
            );
            let _ = (
                address.uri.tel_number(),
                address.uri.user_unescaped(),
                address.uri.headers().count(),
            );
            assert!(address.uri.equivalent(&address.uri), "{address:?}");
        }
    }
    for mechanism in message.security_mechanisms(HeaderName::SecurityClient) {
        let _ = (
            mechanism.spi_c(),
            mechanism.port_s(),
            mechanism.alg(),
            mechanism.q(),
        );
    }
    let _ = format!("{message:?}");
}

fn assert_scans_to_itself(message: &Message) {
    let limits = SipLimits {
        message_bytes_max: 1 << 20,
        header_bytes_max: 1 << 16,
        uri_bytes_max: 1 << 16,
        ..SipLimits::default()
    };
    let again = Message::parse(message.bytes().clone(), &limits).expect("what was printed scans");
    assert!(again.header_lines().eq(message.header_lines()));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.is_request(), message.is_request());
    let head = &message.bytes()[..message.bytes().len() - message.body().len()];
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(head.get(at + 1), Some(&b'\n'), "a bare CR would be sent"),
            b'\n' => assert_eq!(
                head.get(at.wrapping_sub(1)),
                Some(&b'\r'),
                "a bare LF would be sent"
            ),
            _ => {}
        }
    }
}

fn edit_everything(message: Message) {
    match message.into_parts() {
        SipMessage::Request(request) => {
            let _ = request.validate();
            assert_scans_to_itself(&request.edit().finish());
            assert_scans_to_itself(&hop(&request));
            assert_scans_to_itself(
                &request
                    .reply(ims_common::sip::StatusCode::OK)
                    .to_tag("t")
                    .finish(),
            );
        }
        SipMessage::Response(response) => {
            let _ = (response.status(), response.reason());
            assert_scans_to_itself(&response.edit().pop_first_value(HeaderName::Via).finish());
        }
    }
}

fn hop(request: &Request) -> Message {
    request
        .edit()
        .push_front(HeaderName::Via, "SIP/2.0/UDP p.example;branch=z9hG4bKhop")
        .pop_first_value(HeaderName::Route)
        .set(HeaderName::MaxForwards, 7)
        .remove(HeaderName::PAssertedIdentity)
        .remove_named("X-Unknown")
        .append_named("X-Hop", "1")
        .body("text/plain", &b"changed"[..])
        .finish()
}
