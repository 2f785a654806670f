//! Testkit: stories are bounded, joined and told again as they are.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::limits::SipLimits;
use crate::net::{
    Destination, Flow, Interface, NetInput, NetOutput, SendTag, SipInput, SipOutput, Transmit, Transport,
};
use crate::node::Metrics;
use crate::sip::Message;

#[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn now() -> Instant {
    Instant::now()
}

fn recorder(now: Instant, stories: usize) -> Recorder {
    Recorder::new(RecorderSettings {
        node: "pcscf",
        addresses: vec![SocketAddr::from(([192, 0, 2, 1], 5060))],
        stories,
        calendar: (now, 1_000_000),
    })
}

fn heard(start_line: &str, call_id: &str, lines: &str) -> NetInput {
    let method = match start_line.split_once(' ') {
        Some(("SIP/2.0", _)) | None => "REGISTER",
        Some((method, _)) => method,
    };
    let text =
        format!("{start_line}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n{lines}Content-Length: 0\r\n\r\n");
    let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
    let flow = Flow {
        interface: Interface::Gm,
        transport: Transport::Udp,
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([192, 0, 2, 101], 5060)),
        connection: None,
    };
    NetInput::Sip(SipInput::Received { flow, message })
}

fn register(number: usize) -> NetInput {
    let to = format!("To: <sip:{:015}@ims.test>\r\n", 1_010_000_000_000 + number);
    heard("REGISTER sip:ims.test SIP/2.0", &format!("call-{number}"), &to)
}

fn case(recorder: &Recorder, who: &str, now: Instant) -> Case {
    recorder.case(&Who::parse(who).unwrap(), now)
}

fn gauge(recorder: &Recorder, name: &str) -> u64 {
    let mut metrics = Metrics::default();
    recorder.metrics(&mut metrics);
    metrics.sum(name, &[])
}

/// The node answers what it has heard.
fn said(input: &NetInput) -> NetOutput {
    let NetInput::Sip(SipInput::Received { flow, message }) = input else {
        panic!("not a message");
    };
    let call_id = String::from_utf8_lossy(message.call_id().unwrap()).into_owned();
    let text = format!(
        "SIP/2.0 404 Not Found\r\nCall-ID: {call_id}\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    NetOutput::Sip(SipOutput::Transmit(Transmit {
        bytes: Bytes::from(text),
        destination: Destination::Flow(*flow),
        tag: SendTag(0),
    }))
}

#[test]
fn a_flood_that_is_not_answered_leaves_the_stories_of_others_alone() {
    let now = now();
    let mut recorder = recorder(now, 100);
    for number in 0..80 {
        recorder.heard(now, &register(number));
        recorder.said(now, &said(&register(number)));
    }
    for number in 1_000..100_000 {
        recorder.heard(now, &register(number));
    }
    assert_eq!(gauge(&recorder, "ims_why_stories"), 80 + 12);
    assert_eq!(case(&recorder, "001010000000000", now).entries.len(), 2);
    assert_eq!(case(&recorder, "001010000099999", now).entries.len(), 1);
}

#[test]
fn more_calls_than_are_kept_make_room_and_their_names_go_with_them() {
    let now = now();
    let mut recorder = recorder(now, 100);
    for number in 0..1_000 {
        recorder.heard(now, &register(number));
        recorder.said(now, &said(&register(number)));
    }
    assert_eq!(gauge(&recorder, "ims_why_stories"), 100);
    assert_eq!(gauge(&recorder, "ims_why_names"), 100);
    assert_eq!(gauge(&recorder, "ims_why_stories_evicted_total"), 900);
    assert!(case(&recorder, "001010000000899", now).is_unknown());
    assert_eq!(case(&recorder, "001010000000900", now).entries.len(), 2);
}

#[test]
fn a_long_story_keeps_its_beginning_and_its_end() {
    let now = now();
    let mut recorder = recorder(now, 10);
    for number in 0..500_u64 {
        let options = heard(
            "OPTIONS sip:ims.test SIP/2.0",
            "long",
            &format!(
                "To: <sip:alice@ims.test>\r\nX: {}\r\n",
                "x".repeat(usize::try_from(number).unwrap())
            ),
        );
        recorder.heard(now + Duration::from_secs(number), &options);
    }
    let case = case(&recorder, "long", now);
    let seconds: Vec<u64> = case
        .entries
        .iter()
        .map(|entry| entry.at / 1_000_000 - 1)
        .collect();
    assert_eq!(seconds.len(), 64);
    assert_eq!((seconds[0], seconds[15], seconds[63]), (0, 15, 499));
}

#[test]
fn the_same_message_again_is_counted_and_not_kept() {
    let now = now();
    let mut recorder = recorder(now, 10);
    for _ in 0..7 {
        recorder.heard(now, &register(1));
    }
    let case = case(&recorder, "001010000000001", now);
    assert_eq!(case.entries.len(), 1);
    assert_eq!(case.entries[0].sip().unwrap().again, 6);
}

#[test]
fn names_that_one_answer_joins_lead_to_one_subscriber() {
    let now = now();
    let mut recorder = recorder(now, 100);
    let call = "To: <tel:+15550001>\r\nFrom: <sip:bob@ims.test>;tag=1\r\n";
    recorder.heard(now, &heard("INVITE tel:+15550001 SIP/2.0", "call", call));
    recorder.heard(now, &register(1));
    assert_eq!(case(&recorder, "001010000000001", now).entries.len(), 1);
    let lines = "To: <sip:001010000000001@ims.test>;tag=2\r\nP-Associated-URI: <sip:001010000000001@ims.test>, <tel:+15550001>\r\n";
    recorder.heard(now, &heard("SIP/2.0 200 OK", "call-1", lines));
    for who in [
        "001010000000001",
        "+1 555 0001",
        "sip:+15550001@ims.test",
        "call-1",
    ] {
        let expected = if who == "call-1" { 2 } else { 3 };
        assert_eq!(case(&recorder, who, now).entries.len(), expected, "{who}");
    }
    assert_eq!(case(&recorder, "bob", now).entries.len(), 1);
}

#[test]
fn a_case_is_the_same_after_it_was_told_and_read_and_two_cases_join_by_time() {
    let now = now();
    let (mut one, mut other) = (recorder(now, 10), recorder(now, 10));
    one.heard(now, &register(1));
    other.heard(now + Duration::from_millis(5), &register(1));
    let (mut joined, late) = (
        case(&other, "001010000000001", now),
        case(&one, "001010000000001", now),
    );
    joined.merge(late);
    let times: Vec<u64> = joined.entries.iter().map(|entry| entry.at).collect();
    assert_eq!(times, [1_000_000, 1_005_000]);
}

#[test]
fn who_is_followed_is_told_live_until_he_is_not() {
    let now = now();
    let mut recorder = recorder(now, 10);
    let followed = recorder
        .follow(Some(Who::parse("001010000000001").unwrap()))
        .unwrap();
    recorder.heard(now, &register(2));
    assert_eq!(recorder.poll_followed(), None);
    recorder.heard(now, &register(1));
    let (of, entry) = recorder.poll_followed().unwrap();
    assert_eq!((of, &*entry.call_id), (followed, "call-1"));
    recorder.unfollow(followed);
    recorder.heard(now, &register(1));
    assert_eq!(recorder.poll_followed(), None);
    for _ in 0..16 {
        assert!(recorder.follow(None).is_some());
    }
    assert!(recorder.follow(None).is_none(), "there is a limit");
}

#[test]
fn what_a_stranger_writes_is_kept_without_control_characters_and_cut() {
    let mut facts = Facts::new();
    facts.put(Fact::Reason, &format!("a\r\n\u{1b}[2J{}", "é".repeat(500)));
    let value = facts.get(Fact::Reason).unwrap();
    assert!(
        value.len() <= 160 && !value.chars().any(char::is_control),
        "{value:?}"
    );
    assert!(value.starts_with("a   [2Jé"), "{value:?}");
}

#[test]
fn one_call_id_with_many_names_is_not_many_subscribers() {
    let now = now();
    let mut recorder = recorder(now, 100);
    for number in 0..10_000 {
        let to = format!("To: <sip:{number}@ims.test>\r\n");
        recorder.heard(now, &heard("REGISTER sip:ims.test SIP/2.0", "one", &to));
    }
    assert!(gauge(&recorder, "ims_why_names") <= 8);
}

#[test]
fn what_a_stranger_claims_joins_nobody_and_what_the_network_grants_does() {
    let now = now();
    let mut recorder = recorder(now, 100);
    recorder.heard(now, &register(2));
    let claim = |call_id: &str| {
        let lines = "To: <sip:alice@ims.test>\r\n\
                     Authorization: Digest username=\"001010000000002@ims.test\", realm=\"ims.test\", nonce=\"\", \
                     uri=\"sip:ims.test\", response=\"\"\r\n";
        heard("REGISTER sip:ims.test SIP/2.0", call_id, lines)
    };
    recorder.heard(now, &claim("claim"));
    assert_eq!(case(&recorder, "alice", now).entries.len(), 1);
    assert_eq!(case(&recorder, "001010000000002", now).entries.len(), 2);
    let granted = "To: <sip:alice@ims.test>;tag=2\r\n";
    recorder.heard(now, &heard("SIP/2.0 200 OK", "claim", granted));
    assert_eq!(case(&recorder, "alice", now).entries.len(), 3);
}
