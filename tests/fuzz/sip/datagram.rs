//! Testkit: SIP datagrams: read, looked at from every side, changed, printed, read again.

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{Contacts, HeaderName, Message, Request, Response, SipMessage, StatusCode, refuse};

use super::memchr_free::find;
use crate::engine::{Target, Verdict, assert_linear};
use crate::sip::message;

static TARGET: Target = Target {
    name: "sip_datagram",
    check,
    generate: message,
    iterations: 6_000,
};

#[test]
fn every_sip_datagram_is_refused_or_sent_on_with_its_untouched_lines_as_they_came() {
    fuzz!(TARGET);
}

/// What leaves may be larger than what came.
pub(crate) const WIDE: SipLimits = SipLimits {
    message_bytes_max: 1 << 22,
    headers_max: 1 << 12,
    header_bytes_max: 1 << 20,
    uri_bytes_max: 1 << 20,
    vias_max: 1 << 12,
};

pub(crate) fn check(bytes: &[u8]) -> Verdict {
    let limits = SipLimits::default();
    let bytes = Bytes::copy_from_slice(bytes);
    match Message::parse(bytes.clone(), &limits) {
        Ok(message) => {
            assert!(
                refuse(&bytes, &limits, "t").is_none(),
                "what parses is not refused"
            );
            within_limits(&message, &limits);
            read(&message);
            change(message);
            Verdict::Accepted
        }
        Err(error) => {
            assert!(!error.reason().is_empty());
            if let Some(response) = refuse(&bytes, &limits, "t") {
                assert!(!response.status().is_provisional());
                read(&response);
                same_again(&response.into_message());
            }
            Verdict::Refused
        }
    }
}

fn within_limits(message: &Message, limits: &SipLimits) {
    assert!(message.bytes().len() <= limits.message_bytes_max);
    assert!(message.header_lines().count() <= limits.headers_max);
    assert!(message.values(HeaderName::Via).count() <= limits.vias_max);
    for (name, value) in message.header_lines() {
        assert!(name.len() + value.len() <= limits.header_bytes_max);
    }
}

/// Every view of every header.
pub(crate) fn read(message: &Message) {
    for (name, value) in message.header_lines() {
        let name = String::from_utf8_lossy(name);
        assert!(
            message.headers_named(&name).any(|v| v == value),
            "{name} is not found by its name"
        );
        let (first, last) = (value.first(), value.last());
        assert!(![first, last].contains(&Some(&b' ')), "{name} is not trimmed");
    }
    let _ = (
        message.top_via(),
        message.cseq(),
        message.call_id(),
        message.to(),
        message.from(),
    );
    let _ = (message.expires(), message.max_forwards());
    if let Some(length) = message.content_length() {
        assert_eq!(length, message.body().len());
    }
    match message.contacts() {
        Ok(Contacts::List(list)) => assert!(!list.is_empty()),
        Ok(Contacts::None | Contacts::Star) => {}
        Err(error) => assert_eq!(error.header, HeaderName::Contact),
    }
    if let Ok(Some(credentials)) = message.authorization() {
        super::values::credentials(&credentials);
    }
    if let Ok(Some(challenge)) = message.www_authenticate() {
        super::values::challenge(&challenge);
    }
    for name in [
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::Path,
        HeaderName::ServiceRoute,
        HeaderName::Contact,
        HeaderName::From,
        HeaderName::PAssociatedUri,
        HeaderName::PAssertedIdentity,
    ] {
        message
            .name_addrs(name)
            .into_iter()
            .flatten()
            .for_each(|address| super::values::address(&address));
    }
    for name in [HeaderName::SecurityClient, HeaderName::SecurityVerify] {
        message
            .security_mechanisms(name)
            .for_each(|mechanism| super::values::mechanism(&mechanism));
    }
    let _ = message.has_token(HeaderName::Require, "path");
    assert!(format!("{message:?}").len() < 4 * message.bytes().len() + 100);
}

fn change(message: Message) {
    match message.into_parts() {
        SipMessage::Request(request) => change_request(&request),
        SipMessage::Response(response) => change_response(&response),
    }
}

fn change_request(request: &Request) {
    let _ = (request.method(), request.request_uri());
    let valid = request.validate().is_ok();
    unchanged(request, &request.edit().finish());
    let hop = request
        .edit()
        .push_front(HeaderName::Via, "SIP/2.0/UDP p.example;branch=z9hG4bKhop")
        .pop_first_value(HeaderName::Route)
        .set(HeaderName::MaxForwards, 7)
        .remove(HeaderName::PAssertedIdentity)
        .append_named("X-Hop", "1")
        .finish();
    same_again(&hop);
    let touched = [
        HeaderName::Route,
        HeaderName::MaxForwards,
        HeaderName::PAssertedIdentity,
    ];
    untouched_lines_stay(request, &hop, &touched);
    assert_eq!(hop.body(), request.body());
    if valid {
        // What was fit to be acted upon still is after a hop.
        let SipMessage::Request(hop) = hop.into_parts() else {
            panic!("still a request")
        };
        assert_eq!(hop.validate(), Ok(()));
    }
    any_edit(request);
    let other_body = request
        .edit()
        .request_uri("sip:other.example")
        .body("text/plain", &b"changed"[..])
        .finish();
    same_again(&other_body);
    assert_eq!(other_body.body(), b"changed");
    let reply = request.reply(StatusCode::OK).to_tag("t").finish();
    same_again(&reply);
    let vias = |message: &Message| {
        let vias = message.values(HeaderName::Via);
        vias.map(unfolded).collect::<Vec<_>>()
    };
    assert_eq!(vias(&reply), vias(request));
}

/// Some edits, which follow from the octets.
fn any_edit(request: &Request) {
    const NAMES: [HeaderName; 10] = [
        HeaderName::Via,
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::To,
        HeaderName::Contact,
        HeaderName::Supported,
        HeaderName::Authorization,
        HeaderName::PAssertedIdentity,
        HeaderName::Path,
        HeaderName::Expires,
    ];
    let octets = request.bytes().iter();
    let mut state = octets.fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap_or_default() % n
    };
    let (mut edit, mut touched) = (request.edit(), Vec::new());
    for _ in 0..=next(5) {
        let (name, nth) = (NAMES[next(NAMES.len())], next(3));
        edit = match next(9) {
            0 => edit.push_front(name, "<sip:new.example>"),
            1 => edit.append(name, "a\r\n b\0c"),
            2 => edit.remove(name),
            3 => edit.remove_named(name.as_str()),
            4 => edit.set(name, "<sip:set.example>;x=\u{e9}"),
            5 => edit.pop_first_value(name),
            6 => edit.replace_line(name, nth, "<sip:replaced.example>, <sip:two.example>"),
            7 => edit.remove_line(name, nth),
            _ => edit.remove_all(&[name, HeaderName::MaxForwards]),
        };
        touched.extend([name, HeaderName::MaxForwards]);
    }
    let edited = edit.finish();
    same_again(&edited);
    untouched_lines_stay(request, &edited, &touched);
}

/// Line ends of folds as spaces, which mean the same (RFC 3261 7.3.1).
fn unfolded(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace(['\r', '\n'], " ")
}

fn change_response(response: &Response) {
    assert!((100..700).contains(&response.status().as_u16()));
    unchanged(response, &response.edit().finish());
    let vias = |message: &Message| {
        let vias = message.values(HeaderName::Via).map(<[u8]>::to_vec);
        vias.collect::<Vec<_>>()
    };
    let popped = response.edit().pop_first_value(HeaderName::Via).finish();
    same_again(&popped);
    // Where nothing stands between commas nothing is lost.
    let said = |vias: &[Vec<u8>]| {
        vias.iter()
            .filter(|via| !via.is_empty())
            .cloned()
            .collect::<Vec<_>>()
    };
    let before = vias(response);
    assert_eq!(said(&vias(&popped)), said(before.get(1..).unwrap_or_default()));
    untouched_lines_stay(response, &popped, &[HeaderName::Via]);
}

/// What is printed scans as what it is, and no line end of it is broken.
pub(crate) fn same_again(message: &Message) {
    let again = Message::parse(message.bytes().clone(), &WIDE).expect("what is printed scans");
    assert_eq!(again.bytes(), message.bytes());
    assert!(again.header_lines().eq(message.header_lines()));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.is_request(), message.is_request());
    assert!(message.content_length().is_some(), "no Content-Length is sent");
    let head = &message.bytes()[..message.bytes().len() - message.body().len()];
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(head.get(at + 1), Some(&b'\n'), "a bare CR is sent"),
            b'\n' => assert_eq!(head[at - 1], b'\r', "a bare LF is sent"),
            _ => {}
        }
    }
}

/// An edit that changes nothing.
fn unchanged(before: &Message, after: &Message) {
    same_again(after);
    if has_bare_lf(before) {
        return;
    }
    if before.content_length().is_some() {
        assert_eq!(before.bytes(), after.bytes());
    } else {
        untouched_lines_stay(before, after, &[]);
    }
}

fn has_bare_lf(message: &Message) -> bool {
    let bytes = message.bytes();
    (0..bytes.len()).any(|at| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

/// Header lines with their folds, cut without the code under test.
fn blocks(message: &Message) -> Vec<&[u8]> {
    let head_end = message.bytes().len() - message.body().len() - 2;
    let head = &message.bytes()[..head_end];
    let mut starts = vec![];
    let mut at = find(head, b"\r\n").expect("a start line") + 2;
    while at < head.len() {
        if !matches!(head[at], b' ' | b'\t') {
            starts.push(at);
        }
        at += find(&head[at..], b"\r\n").expect("a line end") + 2;
    }
    let ends = starts.iter().skip(1).copied().chain([head.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &head[*start..end])
        .collect()
}

fn untouched_lines_stay(before: &Message, after: &Message, touched: &[HeaderName]) {
    if has_bare_lf(before) {
        return;
    }
    let is_touched = |line: &[u8]| {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
        touched.contains(&HeaderName::from_bytes(name.as_bytes()))
    };
    let kept: Vec<_> = blocks(before)
        .into_iter()
        .filter(|line| !is_touched(line))
        .collect();
    let mut there = blocks(after).into_iter();
    for line in kept {
        assert!(
            there.any(|l| l == line),
            "lost or changed: {:?}",
            String::from_utf8_lossy(line)
        );
    }
    assert_eq!(before.body(), after.body());
}

#[test]
fn a_large_sip_message_costs_what_its_size_says() {
    let check = |bytes: &[u8]| _ = check(bytes);
    let fill = |head: &'static str, part: &'static str, tail: &'static str| {
        move |size: usize| {
            let mut text = String::from(
                "OPTIONS sip:h.example SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n",
            );
            // The limit of one line is 8192 octets, so there are as many as it takes.
            while text.len() < size {
                text.push_str(head);
                text.push_str(&part.repeat(1_400 / part.len()));
                text.push_str(tail);
            }
            text.push_str("\r\n");
            text.into_bytes()
        }
    };
    assert_linear("quotes", fill("X-A: ", "\"", "\r\n"), check);
    assert_linear("commas", fill("Route: ", "<sip:a>,", "<sip:b>\r\n"), check);
    assert_linear("brackets", fill("Contact: ", "<", "\r\n"), check);
    assert_linear("folds", fill("Supported: a", "\r\n ", "b\r\n"), check);
    assert_linear("parameters", fill("Security-Client: a", ";b=c", "\r\n"), check);
    assert_linear(
        "credentials",
        fill("Authorization: Digest a=b", ",c=d", "\r\n"),
        check,
    );
    assert_linear(
        "escapes",
        fill("P-Asserted-Identity: <sip:", "%41", "@h>\r\n"),
        check,
    );
}
