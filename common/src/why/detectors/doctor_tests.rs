//! Testkit: what the doctor of a node notes, and the sentences that come of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::limits::SipLimits;
use crate::net::{Flow, Interface, NetInput, NetOutput, SipInput, SipOutput, Transport};
use crate::sip::Message;
use crate::why::detectors::CATALOGUE;
use crate::why::{Fact, Facts, Note, NoteKind, Recorder, RecorderSettings, Who, explain};

const IMSI: &str = "001010000000001";

#[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn now() -> Instant {
    Instant::now()
}

fn recorder(now: Instant) -> Recorder {
    Recorder::new(RecorderSettings {
        node: "pcscf",
        addresses: vec!["192.0.2.5:5060".parse().unwrap()],
        stories: 10,
        calendar: (now, 1_000_000_000),
    })
}

fn register() -> NetInput {
    let text = format!(
        "REGISTER sip:ims.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.45.0.7:5060;branch=z9hG4bK1\r\nFrom: <sip:{IMSI}@ims.test>;tag=1\r\n\
         To: <sip:{IMSI}@ims.test>\r\nContact: <sip:{IMSI}@10.45.0.7:5060>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
    let flow = Flow {
        interface: Interface::Gm,
        transport: Transport::Udp,
        local: "192.0.2.5:5060".parse().unwrap(),
        remote: "10.45.0.7:5060".parse().unwrap(),
        connection: None,
    };
    NetInput::Sip(SipInput::Received { flow, message })
}

fn check(name: &str, words: &str) -> Note {
    let facts = Facts::new().with(Fact::Check, name).with(Fact::Words, words);
    Note::of_node(NoteKind::CheckFailed, facts)
}

fn failed(label: &str) -> Note {
    Note::of(NoteKind::AssociationsFailed, IMSI, Facts::new()).saying(label)
}

/// Name and sentence of the findings after these notes, made around a REGISTER.
fn sentences(before: Vec<Note>, after: Vec<Note>, later: Duration) -> Vec<(String, String)> {
    let begin = now();
    let mut recorder = recorder(begin);
    for note in before {
        recorder.noted(begin, note);
    }
    let at = begin + later;
    recorder.heard(at, &register());
    for note in after {
        recorder.noted(at, note);
    }
    let case = recorder.case(&Who::parse(IMSI).unwrap(), at);
    let ours = ["no-route-to-ues", "kernel-refuses", "another-ipsec-user"];
    let found = explain(&case)
        .into_iter()
        .filter(|finding| ours.contains(&finding.detector.as_str()));
    found
        .map(|finding| (finding.detector.clone(), finding.sentence()))
        .collect()
}

#[track_caller]
fn assert_example(found: &[(String, String)], name: &str) {
    let example = CATALOGUE.iter().find(|it| it.name == name).unwrap().example;
    assert!(
        found.contains(&(name.to_owned(), example.to_owned())),
        "{example}\n{found:#?}"
    );
}

fn without_route(pool: &str) -> Note {
    let mut note = check("route", "ue_pool has no route from this machine");
    note.facts.put(Fact::Address, pool);
    note
}

#[test]
fn a_ue_in_a_pool_without_a_route_is_told_so_and_one_elsewhere_is_not() {
    let soon = Duration::from_secs(20);
    let found = sentences(vec![without_route("10.45.0.0/16")], Vec::new(), soon);
    assert_example(&found, "no-route-to-ues");
    let elsewhere = sentences(vec![without_route("10.46.0.0/16")], Vec::new(), soon);
    assert_eq!(elsewhere, []);
    let mended = sentences(
        vec![without_route("10.45.0.0/16")],
        Vec::new(),
        Duration::from_secs(120),
    );
    assert_eq!(mended, [], "what is not said again holds no more");
}

#[test]
fn each_refusal_of_the_kernel_has_its_sentence() {
    let of = |label: &str| sentences(Vec::new(), vec![failed(label)], Duration::ZERO);
    assert_example(&of("not_permitted"), "kernel-refuses");
    for (label, words) in [
        ("unsupported", "The kernel lacks ESP or an algorithm"),
        (
            "exists",
            "Another program has a security association with our SPI",
        ),
        ("kernel_full", "no room for more security associations"),
        ("no_ipsec", "no way to the kernel's IPsec"),
    ] {
        let found = of(label);
        assert!(found.iter().any(|(_, said)| said.contains(words)), "{found:?}");
    }
    assert_eq!(of("silent"), [], "is not the kernel's doing");
}

#[test]
fn another_ike_daemon_is_told_only_where_security_associations_fail() {
    let ike = || vec![check("ike", "another IKE daemon is here: charon (pid 812)")];
    let found = sentences(ike(), vec![failed("exists")], Duration::from_secs(5));
    assert_example(&found, "another-ipsec-user");
    assert_eq!(sentences(ike(), Vec::new(), Duration::from_secs(5)), []);
    let silent = Note::of(NoteKind::AssociationsSilent, IMSI, Facts::new());
    assert_eq!(
        sentences(ike(), vec![silent], Duration::from_secs(5)),
        [],
        "a phone out of coverage is silent too"
    );
}

#[test]
fn stale_associations_of_a_previous_run_explain_a_refusal_after_the_start() {
    let begin = now();
    let mut recorder = recorder(begin);
    let mut note = check("stale", "cleaned");
    note.facts.put(Fact::Count, "19");
    recorder.noted(begin, note);
    let at = begin + Duration::from_secs(60);
    recorder.heard(at, &register());
    let NetInput::Sip(SipInput::Received { flow, message }) = register() else {
        unreachable!("a message");
    };
    let answer = String::from_utf8(message.bytes().to_vec()).unwrap();
    let answer = answer.replace("REGISTER sip:ims.test SIP/2.0", "SIP/2.0 403 Forbidden");
    let transmit = crate::net::Transmit {
        bytes: answer.into_bytes().into(),
        destination: crate::net::Destination::Flow(flow),
        tag: crate::net::SendTag(1),
    };
    recorder.said(at, &NetOutput::Sip(SipOutput::Transmit(transmit)));
    let found = explain(&recorder.case(&Who::parse(IMSI).unwrap(), at));
    let said: Vec<String> = found.iter().map(|finding| finding.sentence()).collect();
    let expected =
        "Stale SA from a previous run: 19 states and policies were cleaned when the P-CSCF started";
    assert!(said.iter().any(|it| it.starts_with(expected)), "{said:?}");
}
