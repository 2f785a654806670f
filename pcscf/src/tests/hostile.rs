//! Testkit: bytes that no phone sends: nothing panics, and nothing is left behind.

use std::time::Duration;

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::net::{NetInput, SipInput};
use ims_common::node::{Node, Seed};
use ims_common::sip::{Message, SipMessage};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Bench, Register, UE, answer, credentials, gm_flow, grant, mw_flow};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";

/// The text with some octets overwritten, removed or doubled; `None` when it no longer scans as SIP.
fn spoiled(text: &str, rng: &mut StdRng) -> Option<Message> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..4) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = b"<>\";,=:@ *"[rng.random_range(0..10)],
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at]),
        }
    }
    Message::parse(Bytes::from(bytes), &SipLimits::default()).ok()
}

#[test]
fn spoiled_registers_and_spoiled_answers_do_no_harm() {
    let mut rng = Seed::from_number(51).rng(0);
    let mut taken = 0;
    for round in 0..400 {
        let mut bench = Bench::new();
        let register = Register {
            authorization: Some(credentials("00ff", ",algorithm=MD5,integrity-protected=yes")),
            further: "P-Access-Network-Info: x;network-provided, y\r\nRequire: sec-agree\r\n".to_owned(),
            ..Register::nth(round)
        };
        if let Some(message) = spoiled(&register.text(), &mut rng) {
            let flow = gm_flow(UE);
            let input = NetInput::Sip(SipInput::Received { flow, message });
            bench.node.handle(bench.now, input);
            bench.collect();
        }
        while !bench.is_quiet() {
            let (_, SipMessage::Request(request)) = bench.next() else {
                continue;
            };
            taken += 1;
            if let Ok(Some(seen)) = request.authorization() {
                assert_ne!(seen.integrity_protected().as_deref(), Some(&b"yes"[..]));
            }
            let granted = answer(&request, 200, &grant(CONTACT, 60, "sip:s.home.test;lr"));
            if let Some(message) = spoiled(&granted, &mut rng) {
                let flow = mw_flow(super::ICSCF);
                let input = NetInput::Sip(SipInput::Received { flow, message });
                bench.node.handle(bench.now, input);
            }
            break;
        }
        bench.collect();
        bench.advance(Duration::from_secs(7_200));
        assert!(bench.node.registers.is_empty());
    }
    assert!(taken > 100, "{taken}");
}
