//! Testkit: Cx: every message read as every command; what was read is printed and reads the same.

use bytes::Bytes;
use hss_client::cx::{AuthItem, CxAnswer, CxPush, CxPushAnswer, CxRequest, CxResult, RequestHead};
use ims_common::diameter::Message;
use ims_common::diameter::grammar::avp;

use super::message as generate;
use super::message::{local, refused};
use crate::engine::{Target, Verdict};

static TARGET: Target = Target {
    name: "cx",
    check,
    generate,
    iterations: 15_000,
};

#[test]
fn what_is_read_of_cx_is_printed_and_reads_the_same() {
    fuzz!(TARGET);
}

fn check(bytes: &[u8]) -> Verdict {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return Verdict::Refused;
    };
    let mut accepted = false;
    match CxRequest::decode(&message) {
        Ok(request) => {
            same_request(&message, &request);
            accepted = true;
        }
        Err(refusal) => refused(message.header(), &refusal, bytes.len()),
    }
    match CxPush::decode(&message) {
        Ok(push) => {
            same_push(&message, &push);
            accepted = true;
        }
        Err(refusal) => refused(message.header(), &refusal, bytes.len()),
    }
    if let Ok(answer) = CxAnswer::decode(&message) {
        same_answer(&message, &answer);
        accepted = true;
    }
    if let Ok(answer) = CxPushAnswer::decode(&message) {
        let again = CxPushAnswer::decode(&parsed(answer.encode(&local(), &message))).expect("a push answer");
        assert_eq!(format!("{answer:?}"), format!("{again:?}"));
    }
    Verdict::of(accepted)
}

fn parsed(bytes: Bytes) -> Message {
    Message::parse(bytes).expect("what is printed parses")
}

fn printed(message: &Message, encode: impl FnOnce(&RequestHead<'_>) -> Bytes) -> Message {
    let header = message.header();
    parsed(encode(&RequestHead {
        local: &local(),
        session_id: "s;1;2",
        destination_host: message
            .text(&avp::DESTINATION_HOST)
            .filter(|host| !host.is_empty()),
        destination_realm: "h.example",
        hop_by_hop: header.hop_by_hop,
        end_to_end: header.end_to_end,
    }))
}

fn same_request(message: &Message, request: &CxRequest) {
    let again = printed(message, |head| request.encode(head));
    assert_eq!(again.header().code, request.code());
    match (
        request,
        CxRequest::decode(&again).unwrap_or_else(|e| panic!("{request:?}: {e:?}")),
    ) {
        (CxRequest::Uar(a), CxRequest::Uar(b)) => assert_eq!(*a, b),
        (CxRequest::Sar(a), CxRequest::Sar(b)) => assert_eq!(*a, b),
        (CxRequest::Lir(a), CxRequest::Lir(b)) => assert_eq!(*a, b),
        (CxRequest::Mar(a), CxRequest::Mar(b)) => assert_eq!(*a, b),
        (a, b) => panic!("{a:?} became {b:?}"),
    }
    quiet(&format!("{request:?}"));
}

fn same_push(message: &Message, push: &CxPush) {
    let again = printed(message, |head| push.encode(head));
    match (
        push,
        CxPush::decode(&again).unwrap_or_else(|e| panic!("{push:?}: {e:?}")),
    ) {
        (CxPush::Rtr(a), CxPush::Rtr(b)) => assert_eq!(*a, b),
        (CxPush::Ppr(a), CxPush::Ppr(b)) => assert_eq!(*a, b),
        (a, b) => panic!("{a:?} became {b:?}"),
    }
    quiet(&format!("{push:?}"));
}

fn same_answer(message: &Message, answer: &CxAnswer) {
    quiet(&format!("{answer:?}"));
    assert_ne!(answer.result(), CxResult::Missing);
    let again = parsed(answer.encode(&local(), message));
    let again = CxAnswer::decode(&again).unwrap_or_else(|e| panic!("{answer:?}: {e:?}"));
    let mut answer = answer.clone();
    let ours = local().origin_host;
    match (&mut answer, again) {
        (CxAnswer::Uaa(a), CxAnswer::Uaa(b)) => {
            a.origin_host = ours;
            assert_eq!(*a, b);
        }
        (CxAnswer::Saa(a), CxAnswer::Saa(b)) => {
            a.origin_host = ours;
            assert_eq!(*a, b);
        }
        (CxAnswer::Lia(a), CxAnswer::Lia(b)) => {
            a.origin_host = ours;
            assert_eq!(*a, b);
        }
        (CxAnswer::Maa(a), CxAnswer::Maa(b)) => {
            assert_eq!(
                (a.result, &a.user_name, a.items.len()),
                (b.result, &b.user_name, b.items.len())
            );
            for (one, two) in a.items.iter().zip(&b.items) {
                // Why an item cannot be used is not sent.
                assert!(one == two || matches!((one, two), (AuthItem::Unusable(_), AuthItem::Unusable(_))));
            }
        }
        (a, b) => panic!("{a:?} became {b:?}"),
    }
}

/// The keys of the corpus never stand in what is logged.
fn quiet(shown: &str) {
    for secret in ["0badc0de", "badc0de1", "[11, 173, 192, 222"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
