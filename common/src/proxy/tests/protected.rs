//! Testkit: the ways inside security associations (TS 33.203 7.1): one way back, and TCP or UDP by size on the way out.

use super::*;

const CLIENT_PORT: &str = "192.0.2.1:6100";
const UE: &str = "192.0.2.10:45062";

fn bench() -> Bench {
    Bench::with(|config| {
        config.interfaces.push(InterfaceConfig {
            interface: Interface::GmProtected,
            sent_by: "192.0.2.1:6101".to_owned(),
            local_v: address("192.0.2.1:6101"),
            timers: SipTimers::gm(),
            tcp_above_bytes: 1_200,
        });
    })
}

fn to_the_ue(transport: Transport) -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport,
        local: address(CLIENT_PORT),
        remote: address(UE),
        connection: None,
    }
}

fn forwarded(bench: &mut Bench, transport: Transport, body: usize) {
    let long = format!("Subject: {}", "x".repeat(body));
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[&long]));
    let hop = NextHop::Flow(to_the_ue(transport));
    bench
        .core
        .forward(bench.now, received, hop, Interface::GmProtected);
}

#[test]
fn a_response_goes_back_along_its_flow_whatever_the_via_says() {
    for via in [
        "SIP/2.0/UDP 192.0.2.10:45062;rport;branch=z9hG4bK1",
        "SIP/2.0/UDP 192.0.2.99:5070;branch=z9hG4bK1",
        "SIP/2.0/UDP 192.0.2.10:5060;maddr=192.0.2.66;branch=z9hG4bK1",
    ] {
        let mut bench = bench();
        let text = request("MESSAGE", "1", &[]).replace("SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK1", via);
        bench.receive(to_the_ue(Transport::Udp), &text);
        let events = bench.events();
        let [CoreEvent::Request { transaction, .. }] = events.as_slice() else {
            panic!("no request: {events:?}")
        };
        bench.core.reject(bench.now, *transaction, StatusCode::FORBIDDEN);
        let sent = bench.sent_one();
        assert_eq!(
            sent.transmit.destination,
            Destination::Flow(to_the_ue(Transport::Udp))
        );
    }
}

#[test]
fn a_response_whose_connection_is_gone_is_lost_rather_than_sent_elsewhere() {
    let mut bench = bench();
    let flow = Flow {
        connection: Some(ConnectionId(3)),
        ..to_the_ue(Transport::Tcp)
    };
    bench.receive(flow, &request("MESSAGE", "1", &[]).replace("/UDP", "/TCP"));
    let events = bench.events();
    let [CoreEvent::Request { transaction, .. }] = events.as_slice() else {
        panic!("no request: {events:?}")
    };
    bench.core.reject(bench.now, *transaction, StatusCode::FORBIDDEN);
    let sent = bench.sent_one();
    assert_eq!(sent.transmit.destination, Destination::Flow(flow));
    bench.fail_send(&sent);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_request_that_fits_a_datagram_is_one_and_its_via_names_the_server_port() {
    let mut bench = bench();
    forwarded(&mut bench, Transport::Udp, 10);
    let sent = bench.sent_one();
    assert_eq!(
        sent.transmit.destination,
        Destination::Flow(to_the_ue(Transport::Udp))
    );
    assert!(
        sent.text().contains("\r\nVia: SIP/2.0/UDP 192.0.2.1:6101;"),
        "{}",
        sent.text()
    );
}

#[test]
fn a_long_request_goes_over_tcp_between_the_same_ports_and_over_udp_where_that_is_refused() {
    let mut bench = bench();
    forwarded(&mut bench, Transport::Udp, 1_000);
    let first = bench.sent_one();
    assert_eq!(
        first.transmit.destination,
        Destination::Flow(to_the_ue(Transport::Tcp))
    );
    assert!(first.text().contains("SIP/2.0/TCP 192.0.2.1:6101"));
    bench.fail_send(&first);
    let second = bench.sent_one();
    assert_eq!(
        second.transmit.destination,
        Destination::Flow(to_the_ue(Transport::Udp))
    );
}

#[test]
fn a_ue_that_registered_over_tcp_gets_a_connection_of_ours_and_udp_when_it_takes_none() {
    let mut bench = bench();
    forwarded(&mut bench, Transport::Tcp, 10);
    let first = bench.sent_one();
    assert_eq!(first.transport(), Transport::Tcp);
    bench.fail_send(&first);
    assert_eq!(bench.sent_one().transport(), Transport::Udp);
    // For a while no other request waits for a connection that is refused.
    let (_, received) = bench.receive_new(&request("MESSAGE", "2", &[]).replace("call-1", "call-2"));
    let hop = NextHop::Flow(to_the_ue(Transport::Tcp));
    bench
        .core
        .forward(bench.now, received, hop, Interface::GmProtected);
    assert_eq!(bench.sent_one().transport(), Transport::Udp);
}

#[test]
fn in_clear_a_flow_is_used_as_it_is_however_long_the_request() {
    let mut bench = bench();
    let flow = Flow {
        interface: Interface::Gm,
        ..udp("192.0.2.10:5060")
    };
    let long = format!("Subject: {}", "x".repeat(2_000));
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[&long]));
    bench
        .core
        .forward(bench.now, received, NextHop::Flow(flow), Interface::Gm);
    assert_eq!(bench.sent_one().transmit.destination, Destination::Flow(flow));
}

#[test]
fn a_response_of_another_ue_is_discarded() {
    let mut bench = bench();
    forwarded(&mut bench, Transport::Udp, 10);
    let sent = bench.sent_one();
    let response = sent.request().reply(StatusCode::OK).to_tag("b1").finish();
    let mine = to_the_ue(Transport::Udp);
    let of_another = Flow {
        remote: address("192.0.2.11:45062"),
        ..mine
    };
    let in_clear = Flow {
        interface: Interface::Gm,
        ..mine
    };
    for flow in [of_another, in_clear] {
        bench.receive_bytes(flow, response.bytes().clone());
        assert!(bench.events().is_empty());
    }
    bench.receive_bytes(mine, response.bytes().clone());
    assert!(matches!(bench.events().as_slice(), [CoreEvent::Response { .. }]));
}
