//! Testkit: SIP messages read by `rsip` too, where it is right. It is wrong about folds, white space before colons, bare line
//! feeds, compact names, lists, IPv6, other schemes than sip, octets beyond ASCII, and it does not look at Content-Length:
//! messages with any of these are read by us alone.

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{Message, Request, SipMessage};
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};

use super::memchr_free::find;
use crate::dice::Dice;
use crate::engine::{Target, Verdict};
use crate::sip::message;

static TARGET: Target = Target {
    name: "sip_against_rsip",
    check,
    generate,
    iterations: 4_000,
};

#[test]
fn rsip_reads_the_same_in_what_both_can_read() {
    fuzz!(TARGET);
}

/// More often than not the change keeps the message in the subset.
fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = message(dice, seeds);
    for _ in 0..6 {
        if in_subset(&bytes) {
            break;
        }
        bytes = message(dice, seeds);
    }
    bytes
}

/// Whether `rsip` can be believed about it.
fn in_subset(bytes: &[u8]) -> bool {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return false;
    };
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else {
        return false;
    };
    let plain = head.is_ascii()
        && !head
            .bytes()
            .any(|b| (b < b' ' && b != b'\r' && b != b'\n') || b == 0x7f);
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let known = ["REGISTER", "INVITE", "OPTIONS", "BYE", "MESSAGE", "SUBSCRIBE"];
    let starts = known
        .iter()
        .any(|method| start.starts_with(&format!("{method} sip:")));
    plain && starts && !start.contains(['[', '"', '%', '?', ';']) && lines.all(is_plain_line)
}

fn is_plain_line(line: &str) -> bool {
    let Some((name, value)) = line.split_once(": ") else {
        return false;
    };
    let lower = name.to_ascii_lowercase();
    let address = matches!(
        lower.as_str(),
        "via" | "from" | "to" | "contact" | "route" | "record-route"
    );
    let plain_value = !value.is_empty() && value.trim() == value && !value.contains(['\r', '\n']);
    let odd = ['[', ']', '%', '?', ',', '"', '\\', '*', '\'', '(', ')'];
    name.len() > 1
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && plain_value
        && !(address && value.contains(odd))
}

fn check(bytes: &[u8]) -> Verdict {
    let ours = Message::parse(Bytes::copy_from_slice(bytes), &SipLimits::default()).map(Message::into_parts);
    let Ok(SipMessage::Request(ours)) = ours else {
        return Verdict::Refused;
    };
    if !in_subset(bytes) || ours.validate().is_err() {
        return Verdict::Refused;
    }
    // What is fit to be acted upon, and within the subset, both can read.
    let Ok(theirs) = rsip::Request::try_from(ours.bytes().as_ref()) else {
        return Verdict::Refused;
    };
    same_request(&ours, &theirs);
    Verdict::Accepted
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn same_request(ours: &Request, theirs: &rsip::Request) {
    assert_eq!(ours.method().to_string(), theirs.method.to_string());
    assert_eq!(ours.body(), theirs.body.as_slice());
    let line =
        |(name, value): (&[u8], &[u8])| format!("{}: {}", text(name), text(value)).to_ascii_lowercase();
    let lines: Vec<_> = ours.header_lines().map(line).collect();
    let their_lines: Vec<_> = theirs
        .headers
        .iter()
        .map(|h| h.to_string().trim().to_ascii_lowercase())
        .collect();
    assert_eq!(lines, their_lines);
    if let Ok(cseq) = theirs.cseq_header().and_then(|h| h.typed()) {
        assert_eq!(ours.cseq().expect("valid").number, cseq.seq);
    }
    if let Ok(call_id) = theirs.call_id_header() {
        assert_eq!(ours.call_id().map(text).as_deref(), Some(call_id.value()));
    }
    if let Ok(via) = theirs.via_header().and_then(|h| h.typed()) {
        let top = ours.top_via().expect("valid");
        assert_eq!(
            text(top.transport()).to_ascii_uppercase(),
            via.transport.to_string().to_ascii_uppercase()
        );
        assert_eq!(top.port(), via.uri.port().map(|p| *p.value()));
        assert_eq!(
            top.host().to_string().to_ascii_lowercase(),
            via.uri.host().to_string().to_ascii_lowercase()
        );
    }
    if let Ok(from) = theirs.from_header().and_then(|h| h.typed()) {
        let our_from = ours.from().expect("valid");
        // A tag without a value before the one that has it: which of them counts is anybody's guess.
        if our_from.params.get("tag") != Some(None) {
            assert_eq!(our_from.tag().map(text), from.tag().map(|t| t.value().to_owned()));
        }
        assert_eq!(our_from.uri.port(), from.uri.port().map(|p| *p.value()));
    }
}
