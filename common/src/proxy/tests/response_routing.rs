//! Testkit: where responses go (SC-20: RFC 3261 18.2.2, RFC 3581).

use super::*;

fn with_via(via: &str) -> String {
    request("MESSAGE", "1", &[]).replace("SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK1", via)
}

/// The destination of a response to a request with this Via, and the Via that the response carries.
fn answered(flow: Flow, via: &str) -> (Sent, String) {
    let mut bench = Bench::new();
    bench.receive(flow, &with_via(via));
    let events = bench.events();
    let [CoreEvent::Request { transaction, .. }] = events.as_slice() else {
        panic!("no request: {events:?}")
    };
    bench.core.reject(bench.now, *transaction, StatusCode::FORBIDDEN);
    let sent = bench.sent_one();
    let via = String::from_utf8_lossy(sent.response().header(HeaderName::Via).expect("a Via")).into_owned();
    (sent, via)
}

#[test]
fn response_goes_to_the_source_address_and_the_port_of_sent_by() {
    let (sent, via) = answered(
        udp("192.0.2.100:40000"),
        "SIP/2.0/UDP ue.example:5070;branch=z9hG4bK1",
    );
    assert_eq!(sent.remote(), address("192.0.2.100:5070"));
    assert_eq!(
        via,
        "SIP/2.0/UDP ue.example:5070;branch=z9hG4bK1;received=192.0.2.100"
    );
}

#[test]
fn response_without_a_port_in_sent_by_goes_to_5060() {
    let (sent, via) = answered(
        udp("192.0.2.100:40000"),
        "SIP/2.0/UDP 192.0.2.100;branch=z9hG4bK1",
    );
    assert_eq!(sent.remote(), address("192.0.2.100:5060"));
    assert_eq!(via, "SIP/2.0/UDP 192.0.2.100;branch=z9hG4bK1");
}

#[test]
fn response_with_rport_goes_to_the_source_port() {
    let (sent, via) = answered(
        udp("192.0.2.100:40000"),
        "SIP/2.0/UDP 192.0.2.100:5060;rport;branch=z9hG4bK1",
    );
    assert_eq!(sent.remote(), address("192.0.2.100:40000"));
    assert_eq!(
        via,
        "SIP/2.0/UDP 192.0.2.100:5060;rport=40000;branch=z9hG4bK1;received=192.0.2.100"
    );
}

#[test]
fn response_with_maddr_goes_there() {
    let via = "SIP/2.0/UDP 192.0.2.100:5070;maddr=192.0.2.200;branch=z9hG4bK1";
    assert_eq!(
        answered(udp("192.0.2.100:40000"), via).0.remote(),
        address("192.0.2.200:5070")
    );
}

#[test]
fn received_that_the_sender_claims_is_not_believed() {
    let via = "SIP/2.0/UDP 192.0.2.100:5070;received=192.0.2.66;branch=z9hG4bK1";
    let (sent, via) = answered(udp("192.0.2.100:40000"), via);
    assert_eq!(sent.remote(), address("192.0.2.100:5070"));
    assert!(!via.contains("192.0.2.66"));
}

#[test]
fn ipv6_responses_are_routed_with_and_without_brackets() {
    let flow = Flow {
        local: address("[2001:db8::1]:5060"),
        ..udp("[2001:db8::9]:40000")
    };
    let (sent, via) = answered(flow, "SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bK1;rport");
    assert_eq!(sent.remote(), address("[2001:db8::9]:40000"));
    assert!(via.ends_with(";rport=40000;received=2001:db8::9"));
    let (sent, _) = answered(flow, "SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bK1");
    assert_eq!(sent.remote(), address("[2001:db8::9]:5070"));
}

#[test]
fn a_via_that_is_no_text_comes_back_as_it_was_but_for_its_source() {
    let text = with_via("SIP/2.0/UDP ue.example;branch=z9hG4bK1;x=BYTE").into_bytes();
    let at = text.windows(4).position(|w| w == b"BYTE").expect("the place");
    let bytes = [&text[..at], &b"\xff"[..], &text[at + 4..]].concat();
    let message = Message::parse(bytes.into(), &SipLimits::default()).expect("a message");
    let mut bench = Bench::new();
    let flow = udp("192.0.2.100:5060");
    bench.core.handle(bench.now, SipInput::Received { flow, message });
    let events = bench.events();
    let [CoreEvent::Request { transaction, .. }] = events.as_slice() else {
        panic!("no request: {events:?}")
    };
    bench.core.reject(bench.now, *transaction, StatusCode::FORBIDDEN);
    let sent = bench.sent_one();
    assert_eq!(
        sent.response().header(HeaderName::Via),
        Some(&b"SIP/2.0/UDP ue.example;branch=z9hG4bK1;x=\xff;received=192.0.2.100"[..])
    );
}

#[test]
fn only_the_top_via_is_marked() {
    let via = "SIP/2.0/UDP a.example;branch=z9hG4bK1, SIP/2.0/UDP b.example;branch=z9hG4bK0";
    let (_, marked) = answered(udp("192.0.2.100:5060"), via);
    assert!(
        marked.starts_with("SIP/2.0/UDP a.example;branch=z9hG4bK1;received=192.0.2.100"),
        "{marked}"
    );
    assert!(!marked.contains("b.example;branch=z9hG4bK0;received"));
}

#[test]
fn response_over_a_stream_uses_its_connection_and_else_the_port_of_sent_by() {
    let mut bench = Bench::new();
    let flow = tcp("192.0.2.100:40000");
    bench.receive(
        flow,
        &with_via("SIP/2.0/TCP ue.example:5070;branch=z9hG4bK1").replace("MESSAGE", "INVITE"),
    );
    let events = bench.events();
    let [CoreEvent::Request { transaction, .. }] = events.as_slice() else {
        panic!("no request")
    };
    bench.core.reject(bench.now, *transaction, StatusCode::FORBIDDEN);
    let sent = bench.sent_one();
    assert_eq!(sent.transmit.destination, Destination::Flow(flow));
    bench.fail_send(&sent);
    let again = bench.sent_one();
    assert_eq!(again.transmit.bytes, sent.transmit.bytes);
    assert_eq!(
        again.transmit.destination,
        Destination::Address {
            interface: Interface::Mw,
            transport: Transport::Tcp,
            remote: address("192.0.2.100:5070")
        }
    );
    bench.fail_send(&again);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.count("ims_sip_send_failures_total", "response"), 1);
}

#[test]
fn response_on_another_interface_than_its_request_is_dropped() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.forward_to(&received, "192.0.2.2:5060");
    let sent = bench.sent_one();
    let forged = sent
        .request()
        .reply(StatusCode::OK)
        .to_tag("x")
        .finish()
        .bytes()
        .clone();
    bench.receive_bytes(
        Flow {
            interface: Interface::Gm,
            ..udp("192.0.2.50:5060")
        },
        forged,
    );
    assert!(bench.events().is_empty());
    assert_eq!(
        bench.count("ims_sip_responses_unmatched_total", "no_transaction"),
        1
    );
}
