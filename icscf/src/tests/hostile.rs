//! Testkit: bytes that no CSCF sends: nothing panics, and every request that was taken is answered.

use std::time::Duration;

use bytes::Bytes;
use hss_client::cx::CxResult;
use hss_client::with_hss::CscfInput;
use ims_common::limits::SipLimits;
use ims_common::net::{Flow, Interface, SipInput, Transport};
use ims_common::node::{Node, Seed};
use ims_common::sip::Message;
use rand::Rng;
use rand::rngs::StdRng;

use super::{Bench, PCSCF, REALM, S1, first_register, lia, request_text, uaa};

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
fn spoiled_requests_do_no_harm_and_leave_nothing_behind() {
    let flow = Flow {
        interface: Interface::Mw,
        transport: Transport::Udp,
        local: "127.0.1.3:5060".parse().unwrap(),
        remote: PCSCF.parse().unwrap(),
        connection: None,
    };
    let routes = format!("Route: <sip:127.0.1.3;lr;orig>\r\nP-Served-User: <sip:served@{REALM}>\r\n");
    let texts = [
        first_register(),
        request_text("INVITE", "sip:+15550002@h.test;user=phone", &routes),
        request_text("MESSAGE", "tel:+15550002", ""),
    ];
    let mut rng = Seed::from_number(52).rng(0);
    let mut asked = 0;
    for round in 0..600 {
        let mut bench = Bench::new();
        let Some(message) = spoiled(&texts[round % texts.len()], &mut rng) else {
            continue;
        };
        bench
            .node
            .handle(bench.now, CscfInput::Sip(SipInput::Received { flow, message }));
        bench.collect();
        while let Some((id, request)) = bench.asked.pop_front() {
            asked += 1;
            match request {
                hss_client::cx::CxRequest::Uar(_) => bench.hss_answers(id, uaa(CxResult::SUCCESS, Some(S1))),
                _ => bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1))),
            }
        }
        bench.advance(Duration::from_secs(11));
        while let Some((id, _)) = bench.asked.pop_front() {
            bench.hss_answers(id, uaa(CxResult::SUCCESS, None));
        }
        bench.advance(Duration::from_secs(600));
        assert!(bench.node.registers.is_empty(), "{round}");
        assert!(bench.asked.is_empty(), "{round}");
    }
    assert!(asked > 50, "{asked}");
}
