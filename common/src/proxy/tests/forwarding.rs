//! Testkit: forwarding of one request and of its responses (SC-03, SC-04, SC-06, SC-07, SC-13, SC-15).

use super::*;

#[test]
fn forwarded_request_has_our_via_on_top_and_one_hop_less() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.forward_to(&received, "192.0.2.2:5060");
    let sent = bench.sent_one();
    let vias: Vec<&[u8]> = sent.request().values(HeaderName::Via).collect();
    assert_eq!(vias.len(), 2);
    assert!(vias[0].starts_with(b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2a"));
    assert_eq!(vias[1], b"SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK1");
    assert_eq!(sent.request().max_forwards(), Some(69));
    assert_eq!(sent.remote(), address("192.0.2.2:5060"));
}

#[test]
fn request_without_max_forwards_leaves_with_70() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &[]).replace("Max-Forwards: 70\r\n", "");
    let (_, received) = bench.receive_new(&text);
    bench.forward_to(&received, "192.0.2.2:5060");
    assert_eq!(bench.sent_one().request().max_forwards(), Some(70));
}

#[test]
fn unknown_methods_headers_and_bodies_pass_byte_exact() {
    let mut bench = Bench::new();
    let odd = "x-ODD :  a , \"b,c\" ;d";
    let text = request("FROBNICATE", "1", &[odd, "Require: nobody-knows"]).replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 4\r\n\r\n\u{0}\r\n\u{1}",
    );
    let (_, received) = bench.receive_new(&text);
    bench.forward_to(&received, "192.0.2.2:5060");
    let sent = bench.sent_one();
    assert!(
        sent.text()
            .starts_with("FROBNICATE sip:bob@home.example SIP/2.0\r\n")
    );
    assert!(sent.text().contains(odd));
    assert!(sent.text().contains("Require: nobody-knows\r\n"));
    assert_eq!(sent.request().body(), b"\0\r\n\x01");
}

#[test]
fn response_comes_back_without_our_via_and_is_owed_upstream_once() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    let forward = bench.forward_to(&received, "192.0.2.2:5060");
    let sent = bench.sent_one();
    bench.answer(&sent, 200);
    let events = bench.events();
    let [
        CoreEvent::Response {
            forward: of,
            response,
        },
    ] = events.as_slice()
    else {
        panic!("not one response: {events:?}");
    };
    assert_eq!(*of, forward);
    assert_eq!(response.values(HeaderName::Via).count(), 1);
    bench.core.respond(bench.now, transaction, response.clone());
    bench.core.respond(bench.now, transaction, response.clone());
    let upstream = bench.sent_one();
    assert_eq!((upstream.status(), upstream.remote()), (200, address(UPSTREAM)));
    assert_eq!(
        bench.count("ims_sip_responses_dropped_total", "final_already_sent"),
        1
    );
}

#[test]
fn retransmitted_request_is_absorbed_and_answered_from_the_transaction() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &[]);
    let (transaction, _) = bench.receive_new(&text);
    bench.receive(udp(UPSTREAM), &text);
    assert!(bench.events().is_empty() && bench.sent().is_empty());
    bench.core.reject(bench.now, transaction, StatusCode::FORBIDDEN);
    let first = bench.sent_one();
    bench.receive(udp(UPSTREAM), &text);
    assert_eq!(bench.sent_one().transmit.bytes, first.transmit.bytes);
    assert_eq!(
        bench.count("ims_sip_retransmissions_total", "request_received"),
        2
    );
    // Timer J over, the same request is a new one.
    bench.advance(secs(33));
    assert!(bench.core.is_idle());
    bench.receive_new(&text);
}

#[test]
fn unanswered_request_is_retransmitted_by_timer_e_and_fails_at_timer_f() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    let forward = bench.forward_to(&received, "192.0.2.2:5060");
    bench.advance(millis(31_900));
    // 0.5, 1.5, 3.5, then every 4 s: RFC 3261 17.1.2.2 gives 11 packets in 32 s.
    assert_eq!(methods(&bench.sent()).len(), 11);
    assert!(bench.events().is_empty());
    bench.advance(millis(200));
    let events = bench.events();
    let [
        CoreEvent::Failed {
            forward: of,
            cause: ForwardFailure::Timeout,
        },
    ] = events.as_slice()
    else {
        panic!("no timeout: {events:?}");
    };
    assert_eq!(*of, forward);
}

#[test]
fn gm_requests_are_retransmitted_with_the_timers_of_gm() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench
        .core
        .forward(bench.now, received, to("192.0.2.50:5060"), Interface::Gm);
    bench.advance(millis(1_900));
    assert_eq!(bench.sent().len(), 1);
    bench.advance(millis(200));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn invite_gets_100_after_200_ms_unless_answered_before() {
    let mut bench = Bench::new();
    bench.receive_new(&request("INVITE", "1", &["Timestamp: 54"]));
    bench.advance(millis(199));
    assert!(bench.sent().is_empty());
    bench.advance(millis(1));
    let trying = bench.sent_one();
    assert_eq!(trying.status(), 100);
    assert_eq!(trying.response().header(HeaderName::Timestamp), Some(&b"54"[..]));
    assert!(trying.response().to().expect("a To").tag().is_none());
}

#[test]
fn non_invite_gets_100_only_when_timer_e_of_the_client_has_reached_t2() {
    let mut bench = Bench::new();
    bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.advance(millis(3_499));
    assert!(bench.sent().is_empty());
    bench.advance(millis(1));
    assert_eq!(bench.sent_one().status(), 100);
}

#[test]
fn proxy_sends_no_408_to_a_non_invite_request() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &[]);
    let (transaction, received) = bench.receive_new(&text);
    bench.relay_to(transaction, &received, &["192.0.2.2:5060"]);
    bench.advance(secs(40));
    assert_eq!(statuses(&bench.sent()), [100]);
    assert!(bench.events().is_empty());
    assert_eq!(
        bench.count("ims_sip_responses_dropped_total", "408_to_non_invite"),
        1
    );
}

/// Each copy that a phone sent after that, for 128 s, was a new request, and went through the whole network again.
#[test]
fn copies_of_a_request_that_timed_out_are_nothing_new() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &[]);
    let (transaction, received) = bench.receive_new(&text);
    bench.relay_to(transaction, &received, &["192.0.2.2:5060"]);
    bench.advance(secs(40));
    bench.sent();
    bench.receive(udp(UPSTREAM), &text);
    assert!(bench.events().is_empty() && bench.sent().is_empty());
    bench.advance(secs(129));
    assert!(bench.core.is_idle());
}

#[test]
fn every_2xx_of_an_invite_passes_upstream_until_timer_m() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    bench.relay_to(transaction, &received, &["192.0.2.2:5060"]);
    let invite = bench.sent_one();
    for tag in ["b1", "b1", "b2"] {
        bench.answer_tagged(&invite, 200, tag, &[]);
    }
    assert_eq!(statuses(&bench.sent()), [200, 200, 200]);
    bench.advance(secs(33));
    bench.answer(&invite, 200);
    assert!(
        bench.sent().is_empty(),
        "RFC 6026: without a transaction a 2xx goes nowhere"
    );
    assert_eq!(
        bench.count("ims_sip_responses_unmatched_total", "no_transaction"),
        1
    );
    assert!(bench.core.is_idle());
}

#[test]
fn repeated_2xx_of_a_forwarded_invite_comes_as_an_event_each() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    bench.forward_to(&received, "192.0.2.2:5060");
    let invite = bench.sent_one();
    bench.answer(&invite, 180);
    bench.answer(&invite, 200);
    bench.answer(&invite, 200);
    let events = bench.events();
    assert_eq!(events.len(), 3);
    for event in events {
        let CoreEvent::Response { response, .. } = event else {
            panic!("not a response: {event:?}")
        };
        bench.core.respond(bench.now, transaction, response);
    }
    assert_eq!(statuses(&bench.sent()), [180, 200, 200]);
    bench.receive(udp(UPSTREAM), &request("INVITE", "1", &[]));
    assert!(
        bench.sent().is_empty(),
        "RFC 6026: an INVITE is absorbed in Accepted"
    );
}

#[test]
fn ack_to_a_2xx_comes_as_an_event_and_is_forwarded_without_a_transaction() {
    let mut bench = Bench::new();
    bench.receive(udp(UPSTREAM), &request("ACK", "9", &[]));
    let events = bench.events();
    let [CoreEvent::Ack { request: ack, .. }] = events.as_slice() else {
        panic!("no ACK: {events:?}");
    };
    bench
        .core
        .forward_ack(bench.now, ack.clone(), to("192.0.2.2:5060"), Interface::Mw);
    let sent = bench.sent_one();
    assert_eq!(sent.method(), Method::Ack);
    assert_eq!(sent.request().values(HeaderName::Via).count(), 2);
    assert_eq!(sent.request().max_forwards(), Some(69));
    assert!(bench.core.is_idle());
}

#[test]
fn originated_request_carries_only_our_via() {
    let mut bench = Bench::new();
    let notify = Request::build(Method::Notify, "sip:bob@home.example")
        .header(HeaderName::MaxForwards, 70)
        .header(HeaderName::From, "<sip:scscf.home.example>;tag=s1")
        .header(HeaderName::To, "<sip:bob@home.example>;tag=b1")
        .header(HeaderName::CallId, "notify-1")
        .header(HeaderName::CSeq, "1 NOTIFY")
        .finish_request();
    bench
        .core
        .originate(bench.now, notify, to("192.0.2.2:5060"), Interface::Mw);
    let sent = bench.sent_one();
    assert_eq!(sent.request().values(HeaderName::Via).count(), 1);
    assert_eq!(sent.request().max_forwards(), Some(70));
    bench.answer(&sent, 200);
    assert!(matches!(bench.events().as_slice(), [CoreEvent::Response { .. }]));
}

#[test]
fn request_uri_of_a_strict_router_upstream_is_restored() {
    let mut bench = Bench::new();
    let text = request(
        "BYE",
        "1",
        &["Route: <sip:other.example;lr>, <sip:bob@192.0.2.9>"],
    )
    .replace("BYE sip:bob@home.example ", "BYE sip:192.0.2.1;lr;token=x ");
    let (_, received) = bench.receive_new(&text);
    let routed = route::preprocess(&received, |uri| uri.host().to_string() == "192.0.2.1");
    assert_eq!(routed.request.request_uri_bytes(), b"sip:bob@192.0.2.9");
    assert_eq!(
        routed.own.expect("our value").to_string(),
        "sip:192.0.2.1;lr;token=x"
    );
    let routes: Vec<&[u8]> = routed.request.values(HeaderName::Route).collect();
    assert_eq!(routes, [b"<sip:other.example;lr>"]);
}

#[test]
fn own_top_route_is_removed_and_reported() {
    let mut bench = Bench::new();
    let text = request(
        "BYE",
        "1",
        &["Route: <sip:odi@192.0.2.1;lr>,<sip:other.example;lr>"],
    );
    let (_, received) = bench.receive_new(&text);
    let is_own = |uri: &crate::sip::Uri<'_>| uri.host().to_string() == "192.0.2.1";
    let routed = route::preprocess(&received, is_own);
    assert_eq!(routed.own.expect("our value").to_string(), "sip:odi@192.0.2.1;lr");
    assert_eq!(
        route::next_hop(&routed.request).expect("a hop").to_string(),
        "sip:other.example;lr"
    );
    let again = route::preprocess(&routed.request, is_own);
    assert!(again.own.is_none());
    assert_eq!(again.request.bytes(), routed.request.bytes());
}

#[test]
fn strict_router_downstream_gets_its_uri_in_the_request_line() {
    let mut bench = Bench::new();
    let text = request(
        "BYE",
        "1",
        &["Route: <sip:strict.example>", "Route: <sip:loose.example;lr>"],
    );
    let (_, received) = bench.receive_new(&text);
    bench.forward_to(&received, "192.0.2.2:5060");
    let sent = bench.sent_one();
    assert_eq!(sent.request().request_uri_bytes(), b"sip:strict.example");
    let routes: Vec<&[u8]> = sent.request().values(HeaderName::Route).collect();
    assert_eq!(
        routes,
        [&b"<sip:loose.example;lr>"[..], b"<sip:bob@home.example>"]
    );
}

#[test]
fn metrics_tell_requests_by_method() {
    let mut bench = Bench::new();
    bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.receive_new(&request("FROBNICATE", "2", &[]));
    let mut metrics = Metrics::default();
    bench.core.export_metrics(&mut metrics);
    assert_eq!(metrics.sum("ims_sip_requests_total", &[("method", "MESSAGE")]), 1);
    assert_eq!(metrics.sum("ims_sip_requests_total", &[("method", "other")]), 1);
    assert_eq!(metrics.sum("ims_sip_transactions", &[("side", "server")]), 2);
}

/// The same request as an element of RFC 2543 would send it: no magic cookie.
fn old(method: &str, to_tag: &str) -> String {
    request(method, "1", &[]).replace("z9hG4bK1", "1").replace(
        "To: <sip:bob@home.example>",
        &format!("To: <sip:bob@home.example>{to_tag}"),
    )
}

#[test]
fn requests_without_the_magic_cookie_are_matched_by_the_rules_of_rfc_2543() {
    let mut bench = Bench::new();
    let (transaction, _) = bench.receive_new(&old("INVITE", ""));
    bench.receive(udp(UPSTREAM), &old("INVITE", ""));
    assert!(bench.events().is_empty(), "a retransmission");
    bench.core.reject(bench.now, transaction, StatusCode::FORBIDDEN);
    bench.sent();
    bench.receive(udp(UPSTREAM), &old("ACK", ";tag=whatever"));
    assert!(bench.events().is_empty(), "the ACK is hop by hop");
    bench.advance(secs(6));
    assert!(bench.core.is_idle());
    bench.receive_new(&old("INVITE", "").replace("CSeq: 1", "CSeq: 2"));
}

#[test]
fn same_branch_of_another_sent_by_is_another_transaction() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &[]).replace("192.0.2.100:5060", "UE.example:5060");
    bench.receive_new(&text);
    bench.receive(udp(UPSTREAM), &text.replace("UE.example", "ue.EXAMPLE"));
    assert!(bench.events().is_empty(), "hosts have no case");
    bench.receive_new(&text.replace("UE.example:5060", "ue.example:5061"));
}
