//! Testkit: Diameter messages: header, AVPs, groups, the base protocol's own commands, and answers to what is wrong.

use bytes::Bytes;
use ims_common::diameter::base::DisconnectCause;
use ims_common::diameter::grammar::{self, avp, opt};
use ims_common::diameter::{
    Application, Avps, Capabilities, Header, LocalPeer, Message, ParseError, Refusal,
};

use super::message as generate;
use crate::engine::{Target, Verdict, assert_linear};

static TARGET: Target = Target {
    name: "diameter",
    check,
    generate,
    iterations: 15_000,
};

#[test]
fn every_diameter_message_is_walked_to_its_end_or_refused_with_an_answer_that_parses() {
    fuzz!(TARGET);
}

pub(super) fn local() -> LocalPeer {
    LocalPeer {
        origin_host: "scscf.h.example".to_owned(),
        origin_realm: "h.example".to_owned(),
        host_ip_addresses: vec!["192.0.2.7".parse().expect("an address")],
        product_name: "ims-core".to_owned(),
        origin_state_id: 7,
        applications: vec![Application::CX],
        supported_vendors: vec![10_415],
    }
}

fn check(bytes: &[u8]) -> Verdict {
    let bytes = Bytes::copy_from_slice(bytes);
    match Message::parse(bytes.clone()) {
        Ok(message) => {
            assert_eq!(message.bytes(), &bytes);
            whole(&message);
            Verdict::Accepted
        }
        Err(ParseError::Avp { header, refusal }) => {
            refused(&header, &refusal, bytes.len());
            Verdict::Refused
        }
        Err(ParseError::Length | ParseError::Version) => Verdict::Refused,
    }
}

fn whole(message: &Message) {
    let header = *message.header();
    let length = u32::try_from(message.bytes().len()).expect("24 bits");
    assert_eq!(header.print(length)[..], message.bytes()[..Header::LEN]);
    let mut walked = 0;
    for avp in message.avps() {
        let avp = avp.expect("a message that parses has AVPs that fit");
        assert!(avp.data.len() < avp.raw.len());
        walked += avp.raw.len().next_multiple_of(4);
    }
    // The last AVP may do without its padding only where nothing is missing: messages are multiples of four.
    assert_eq!(walked, message.bytes().len() - Header::LEN);
    walk(message.avps(), 0);
    base(message);
    for copy in [message.redirection(9), message.retransmission(9)] {
        let copy = Message::parse(copy).expect("a copy parses");
        assert_eq!(copy.header().hop_by_hop, 9);
        assert_eq!(copy.bytes()[Header::LEN..], message.bytes()[Header::LEN..]);
    }
    assert!(format!("{message:?}").len() < 400, "Debug shows no AVP");
}

/// Every AVP as every type, into groups and what only looks like one.
fn walk(avps: Avps<'_>, depth: usize) {
    let mut broken = false;
    for avp in avps {
        assert!(!broken, "a broken AVP is the last");
        let Ok(avp) = avp else {
            broken = true;
            continue;
        };
        let _ = (avp.u32(), avp.text(), avp.address());
        if depth < 12 {
            walk(avp.members(), depth + 1);
        }
    }
}

/// The commands of the base protocol, as each of which every message is read.
fn base(message: &Message) {
    let header = message.header();
    match Capabilities::of_cer(message) {
        Ok(peer) => {
            assert!(!peer.origin_host.is_empty());
            let _ = peer.serves_any_of(&[Application::CX]);
        }
        Err(refusal) => refused(header, &refusal, message.bytes().len()),
    }
    let _ = Capabilities::of_cea(message).map(|peer| assert!(!peer.origin_host.is_empty()));
    let _ = (
        DisconnectCause::of(message),
        message.result_code(),
        message.text(&avp::SESSION_ID),
    );
    let rules = [
        opt(&avp::ORIGIN_HOST),
        opt(&avp::EXPERIMENTAL_RESULT),
        opt(&avp::PROXY_INFO),
    ];
    if let Err(refusal) = grammar::check(message, &rules, &[]) {
        refused(header, &refusal, message.bytes().len());
    }
    for answer in [local().dwa(header), local().dpa(header)] {
        let answer = Message::parse(answer).expect("an answer parses");
        assert!(!answer.is_request() && answer.header().end_to_end == header.end_to_end);
    }
}

/// The answer to a wrong request can be read, and is not much larger than the request.
pub(super) fn refused(header: &Header, refusal: &Refusal, length: usize) {
    let answer = local().refuse(header, Some("session;1;2"), refusal);
    assert!(
        answer.len() < length + 400,
        "{} octets answer {length}",
        answer.len()
    );
    let answer = Message::parse(answer).expect("a refusal parses");
    assert!(!answer.is_request());
    assert_eq!(answer.result_code(), Some(refusal.code));
    assert_eq!(
        answer.header().flags.is_error(),
        (3_000..4_000).contains(&refusal.code)
    );
    assert_eq!(
        answer.find(&avp::FAILED_AVP).is_some(),
        refusal.failed_avp.is_some()
    );
    if let Some(failed) = answer.find(&avp::FAILED_AVP) {
        let inner: Vec<_> = failed.members().collect();
        assert!(
            matches!(inner[..], [Ok(_)]),
            "Failed-AVP holds one AVP: {inner:?}"
        );
    }
}

#[test]
fn a_large_diameter_message_costs_what_its_size_says() {
    let of = |avp: &[u8], size: usize| {
        let mut bytes = vec![0_u8; 20];
        while bytes.len() < size {
            bytes.extend_from_slice(avp);
        }
        let length = super::low24(bytes.len());
        bytes[1..4].copy_from_slice(&length);
        bytes[0] = 1;
        bytes
    };
    let check = |bytes: &[u8]| assert_eq!(check(bytes), Verdict::Accepted);
    assert_linear(
        "small AVPs",
        |size| of(&[0, 0, 0, 1, 0x40, 0, 0, 9, b'a', 0, 0, 0], size),
        check,
    );
    assert_linear(
        "empty groups",
        |size| of(&[0, 0, 1, 4, 0x40, 0, 0, 8], size),
        check,
    );
}
