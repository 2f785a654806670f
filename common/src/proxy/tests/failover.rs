//! Testkit: RFC 3263 next hops and failover over targets (SC-12), long requests (RFC 3261 18.1.1).

use super::*;

fn targets(list: &[(Transport, &str)]) -> Vec<ResolvedTarget> {
    list.iter()
        .map(|(transport, remote)| ResolvedTarget {
            transport: *transport,
            remote: address(remote),
        })
        .collect()
}

fn forward_to_name(bench: &mut Bench, branch: &str) -> ForwardId {
    let (_, received) = bench.receive_new(&request("MESSAGE", branch, &[]));
    bench
        .core
        .forward(bench.now, received, uri("sip:scscf.example"), Interface::Mw)
}

fn resolve(bench: &mut Bench, list: &[(Transport, &str)]) {
    bench.sent();
    let question = bench.resolves.pop().expect("a question to DNS");
    bench.core.handle(
        bench.now,
        SipInput::Resolved {
            id: question.id,
            targets: targets(list),
        },
    );
}

#[test]
fn numeric_hosts_are_used_without_a_question() {
    for (text, transport, remote) in [
        ("sip:192.0.2.9", Transport::Udp, "192.0.2.9:5060"),
        (
            "sip:bob@192.0.2.9:5070;transport=tcp",
            Transport::Tcp,
            "192.0.2.9:5070",
        ),
        ("sip:[2001:db8::9];lr", Transport::Udp, "[2001:db8::9]:5060"),
        (
            "sip:far.example;maddr=192.0.2.9",
            Transport::Udp,
            "192.0.2.9:5060",
        ),
    ] {
        let mut bench = Bench::new();
        let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
        bench.core.forward(bench.now, received, uri(text), Interface::Mw);
        let sent = bench.sent_one();
        assert_eq!(
            (sent.transport(), sent.remote()),
            (transport, address(remote)),
            "{text}"
        );
    }
}

#[test]
fn hosts_table_serves_before_dns_and_the_uri_decides_port_and_transport() {
    let mut bench = Bench::with(|config| {
        config.hosts.0.insert(
            "scscf.example".to_owned(),
            targets(&[(Transport::Udp, "192.0.2.9:5070")]),
        );
    });
    for (at, (text, transport, remote)) in [
        ("sip:SCSCF.example", Transport::Udp, "192.0.2.9:5070"),
        (
            "sip:scscf.example:5080;transport=tcp",
            Transport::Tcp,
            "192.0.2.9:5080",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, received) = bench.receive_new(&request("MESSAGE", &at.to_string(), &[]));
        bench.core.forward(bench.now, received, uri(text), Interface::Mw);
        let sent = bench.sent_one();
        assert_eq!(
            (sent.transport(), sent.remote()),
            (transport, address(remote)),
            "{text}"
        );
    }
    assert!(bench.resolves.is_empty());
}

#[test]
fn names_are_asked_with_port_and_transport_of_the_uri() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.core.forward(
        bench.now,
        received,
        uri("sip:Far.Example:5070;transport=TCP"),
        Interface::Mw,
    );
    assert!(bench.sent().is_empty());
    let question = &bench.resolves[0];
    assert_eq!(
        (question.host.as_str(), question.port),
        ("far.example", Some(5070))
    );
    assert_eq!(question.transport, Some(Transport::Tcp));
}

#[test]
fn next_target_is_tried_on_transport_error_503_and_timeout() {
    let mut bench = Bench::new();
    let forward = forward_to_name(&mut bench, "1");
    let (a, b, c, d) = (
        "192.0.2.11:5060",
        "192.0.2.12:5060",
        "192.0.2.13:5060",
        "192.0.2.14:5060",
    );
    resolve(&mut bench, &[a, b, c, d].map(|remote| (Transport::Udp, remote)));
    let first = bench.sent_one();
    assert_eq!(first.remote(), address(a));
    bench.fail_send(&first);
    let second = bench.sent_one();
    assert_eq!(second.remote(), address(b));
    assert_ne!(
        first.request().values(HeaderName::Via).next(),
        second.request().values(HeaderName::Via).next()
    );
    bench.answer(&second, 503);
    let third = bench.sent_one();
    assert_eq!(third.remote(), address(c));
    bench.advance(millis(32_100));
    let fourth = bench
        .sent()
        .into_iter()
        .find(|sent| sent.remote() == address(d))
        .expect("the fourth target");
    assert!(
        bench.events().is_empty(),
        "no failure is reported while targets are left"
    );
    bench.answer(&fourth, 200);
    assert!(matches!(bench.events().as_slice(), [CoreEvent::Response { forward: of, .. }] if *of == forward));
}

#[test]
fn failed_target_is_tried_last_for_a_while() {
    let mut bench = Bench::new();
    let list = [
        (Transport::Udp, "192.0.2.11:5060"),
        (Transport::Udp, "192.0.2.12:5060"),
    ];
    forward_to_name(&mut bench, "1");
    resolve(&mut bench, &list);
    let first = bench.sent_one();
    bench.fail_send(&first);
    bench.sent();
    forward_to_name(&mut bench, "2");
    resolve(&mut bench, &list);
    assert_eq!(bench.sent_one().remote(), address("192.0.2.12:5060"));
    bench.advance(secs(31));
    bench.sent();
    forward_to_name(&mut bench, "3");
    resolve(&mut bench, &list);
    assert_eq!(bench.sent_one().remote(), address("192.0.2.11:5060"));
}

#[test]
fn last_503_is_reported_as_a_response() {
    let mut bench = Bench::new();
    forward_to_name(&mut bench, "1");
    resolve(&mut bench, &[(Transport::Udp, "192.0.2.11:5060")]);
    let sent = bench.sent_one();
    bench.answer(&sent, 503);
    let events = bench.events();
    let [CoreEvent::Response { response, .. }] = events.as_slice() else {
        panic!("no 503: {events:?}")
    };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn all_targets_refused_is_unreachable() {
    let mut bench = Bench::new();
    forward_to_name(&mut bench, "1");
    resolve(&mut bench, &[(Transport::Tcp, "192.0.2.11:5060")]);
    let sent = bench.sent_one();
    bench.fail_send(&sent);
    let events = bench.events();
    assert!(matches!(
        events.as_slice(),
        [CoreEvent::Failed {
            cause: ForwardFailure::Unreachable,
            ..
        }]
    ));
    bench.advance(secs(40));
    assert!(bench.events().is_empty(), "reported once");
}

#[test]
fn empty_or_missing_answer_of_dns_is_unresolvable() {
    for silent in [false, true] {
        let mut bench = Bench::new();
        forward_to_name(&mut bench, "1");
        if silent {
            bench.advance(secs(10));
        } else {
            resolve(&mut bench, &[]);
        }
        let events = bench.events();
        assert!(matches!(
            events.as_slice(),
            [CoreEvent::Failed {
                cause: ForwardFailure::Unresolvable,
                ..
            }]
        ));
    }
}

#[test]
fn schemes_that_are_not_ours_are_unresolvable() {
    for text in [
        "tel:+15550100",
        "sips:bob@192.0.2.9",
        "sip:bob@192.0.2.9;transport=sctp",
    ] {
        let mut bench = Bench::new();
        let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
        bench.core.forward(bench.now, received, uri(text), Interface::Mw);
        let events = bench.events();
        assert!(
            matches!(
                events.as_slice(),
                [CoreEvent::Failed {
                    cause: ForwardFailure::Unresolvable,
                    ..
                }]
            ),
            "{text}"
        );
    }
}

fn long_request(branch: &str) -> String {
    request("MESSAGE", branch, &[&format!("Subject: {}", "x".repeat(1_200))])
}

#[test]
fn long_request_goes_over_tcp_and_falls_back_to_udp_when_refused() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&long_request("1"));
    bench.forward_to(&received, "192.0.2.2:5060");
    let sent = bench.sent_one();
    assert_eq!(sent.transport(), Transport::Tcp);
    assert!(sent.text().contains("Via: SIP/2.0/TCP 192.0.2.1:5060;branch="));
    bench.fail_send(&sent);
    let again = bench.sent_one();
    assert_eq!(
        (again.transport(), again.remote()),
        (Transport::Udp, address("192.0.2.2:5060"))
    );
    assert!(again.text().contains("Via: SIP/2.0/UDP 192.0.2.1:5060;branch="));
    // The next one does not knock again at once.
    let (_, received) = bench.receive_new(&long_request("2"));
    bench.forward_to(&received, "192.0.2.2:5060");
    assert_eq!(bench.sent_one().transport(), Transport::Udp);
}

#[test]
fn long_request_that_tcp_took_is_not_sent_again_over_udp() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&long_request("1"));
    bench.forward_to(&received, "192.0.2.2:5060");
    bench.sent();
    bench.advance(millis(32_100));
    assert!(methods(&bench.sent()).is_empty());
    let events = bench.events();
    assert!(matches!(
        events.as_slice(),
        [CoreEvent::Failed {
            cause: ForwardFailure::Timeout,
            ..
        }]
    ));
}

#[test]
fn flow_is_used_as_it_is_even_for_long_requests() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&long_request("1"));
    let flow = udp("192.0.2.50:40000");
    bench
        .core
        .forward(bench.now, received, NextHop::Flow(flow), Interface::Mw);
    let sent = bench.sent_one();
    assert_eq!(sent.transmit.destination, Destination::Flow(flow));
}

#[test]
fn ack_waits_for_dns_too() {
    let mut bench = Bench::new();
    bench.receive(udp(UPSTREAM), &request("ACK", "9", &[]));
    let events = bench.events();
    let [CoreEvent::Ack { request: ack, .. }] = events.as_slice() else {
        panic!("no ACK")
    };
    bench
        .core
        .forward_ack(bench.now, ack.clone(), uri("sip:far.example"), Interface::Mw);
    resolve(&mut bench, &[(Transport::Udp, "192.0.2.11:5060")]);
    assert_eq!(bench.sent_one().remote(), address("192.0.2.11:5060"));
    assert!(bench.core.is_idle());
}

#[test]
fn acks_that_wait_for_dns_are_limited() {
    let mut bench = Bench::with(|config| config.limits.transactions_max = 2);
    for number in 0..5 {
        bench.receive(udp(UPSTREAM), &request("ACK", &format!("a{number}"), &[]));
        let events = bench.events();
        let [CoreEvent::Ack { request: ack, .. }] = events.as_slice() else {
            panic!("no ACK")
        };
        bench
            .core
            .forward_ack(bench.now, ack.clone(), uri("sip:far.example"), Interface::Mw);
    }
    bench.sent();
    assert_eq!(bench.resolves.len(), 2);
    assert_eq!(bench.count("ims_sip_acks_dropped_total", "too_many"), 3);
}

#[test]
fn request_to_a_peer_that_has_lost_the_connection_is_written_once_more() {
    let mut bench = Bench::new();
    let (_, message) = bench.receive_new(&request("MESSAGE", "1", &[]));
    let peer = address("192.0.2.50:5060");
    let hop = NextHop::Address {
        transport: Transport::Tcp,
        remote: peer,
    };
    bench.core.forward(bench.now, message, hop, Interface::Mw);
    let first = bench.sent_one();
    let lost = |number, peer| SipInput::ConnectionClosed(ConnectionId(number), peer);
    bench
        .core
        .handle(bench.now, lost(1, Some(address("192.0.2.51:5060"))));
    bench.core.handle(bench.now, lost(2, None));
    assert!(bench.sent().is_empty(), "another peer, and one that dialled us");
    bench.core.handle(bench.now, lost(3, Some(peer)));
    let again = bench.sent_one();
    assert_eq!(
        again.text(),
        first.text(),
        "the same branch: it cannot be served twice"
    );
    bench.core.handle(bench.now, lost(4, Some(peer)));
    assert!(bench.sent().is_empty(), "once");
    bench.answer(&again, 200);
    assert_eq!(bench.events().len(), 1);
    bench.core.handle(bench.now, lost(5, Some(peer)));
    assert!(bench.sent().is_empty(), "answered");
}

#[test]
fn request_that_may_have_been_served_long_ago_is_not_written_again() {
    let mut bench = Bench::new();
    let (_, message) = bench.receive_new(&request("MESSAGE", "1", &[]));
    let remote = address("192.0.2.50:5060");
    let transport = Transport::Tcp;
    let hop = NextHop::Address { transport, remote };
    bench.core.forward(bench.now, message, hop, Interface::Mw);
    bench.sent_one();
    bench.advance(secs(5));
    bench.sent();
    let lost = SipInput::ConnectionClosed(ConnectionId(1), Some(remote));
    bench.core.handle(bench.now, lost);
    assert!(bench.sent().is_empty());
}

#[test]
fn request_along_a_flow_fails_when_its_connection_is_lost_before_any_response() {
    let mut bench = Bench::new();
    let flow = tcp("192.0.2.50:5060");
    let closed = SipInput::ConnectionClosed(flow.connection.expect("a stream"), None);
    let (_, silent) = bench.receive_new(&request("MESSAGE", "silent", &[]));
    let silent = bench
        .core
        .forward(bench.now, silent, NextHop::Flow(flow), Interface::Mw);
    bench.sent();
    let (_, ringing) = bench.receive_new(&request("INVITE", "ringing", &[]));
    let ringing = bench
        .core
        .forward(bench.now, ringing, NextHop::Flow(flow), Interface::Mw);
    let leg = bench.sent_one();
    bench.answer(&leg, 180);
    bench.events();
    bench.core.handle(bench.now, closed);
    match bench.events().as_slice() {
        [CoreEvent::Failed { forward, cause }] => {
            assert_eq!((*forward, *cause), (silent, ForwardFailure::Unreachable));
        }
        other => panic!("{other:?}"),
    }
    // The one that rings may be answered over another connection (RFC 3261 18.2.2).
    bench.answer(&leg, 200);
    assert!(matches!(
        bench.events().as_slice(),
        [CoreEvent::Response { forward, .. }] if *forward == ringing
    ));
}

/// A target that sheds load with Retry-After was passed over for 30 s, so that all of it fell on the next one.
#[test]
fn a_target_that_is_busy_is_asked_first_again() {
    let mut bench = Bench::new();
    let list = [
        (Transport::Udp, "192.0.2.11:5060"),
        (Transport::Udp, "192.0.2.12:5060"),
    ];
    forward_to_name(&mut bench, "1");
    resolve(&mut bench, &list);
    let sent = bench.sent_one();
    bench.answer_with(&sent, 503, &[(HeaderName::RetryAfter, "30")]);
    assert_eq!(
        bench.sent_one().remote(),
        address("192.0.2.12:5060"),
        "this one may have room"
    );
    forward_to_name(&mut bench, "2");
    resolve(&mut bench, &list);
    assert_eq!(bench.sent_one().remote(), address("192.0.2.11:5060"));
}
