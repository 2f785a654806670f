//! Testkit: what is refused on sight (SC-08, SC-09, SC-10, SC-21, SC-22), and malformed input.

use super::*;
use crate::net::Malformed;

/// The one response to a request that the node never sees.
fn refused(bench: &mut Bench, text: &str) -> Sent {
    bench.receive(udp(UPSTREAM), text);
    assert!(bench.events().is_empty());
    bench.sent_one()
}

#[test]
fn max_forwards_0_gets_483() {
    let text = request("MESSAGE", "1", &[]).replace("Max-Forwards: 70", "Max-Forwards: 0");
    let sent = refused(&mut Bench::new(), &text);
    assert_eq!(sent.status(), 483);
    assert!(sent.response().to().expect("To").tag().is_some());
}

#[test]
fn options_with_max_forwards_0_is_for_the_node_but_travels_no_further() {
    let mut bench = Bench::new();
    let text = request("OPTIONS", "1", &[]).replace("Max-Forwards: 70", "Max-Forwards: 0");
    let (_, received) = bench.receive_new(&text);
    bench.forward_to(&received, "192.0.2.2:5060");
    assert!(bench.sent().is_empty());
    let events = bench.events();
    let [CoreEvent::Response { response, .. }] = events.as_slice() else {
        panic!("no 483: {events:?}")
    };
    assert_eq!(response.status(), StatusCode::TOO_MANY_HOPS);
}

#[test]
fn unknown_proxy_require_gets_420_with_unsupported() {
    let text = request(
        "MESSAGE",
        "1",
        &["Proxy-Require: sec-agree, x-what", "Require: x-else"],
    );
    let sent = refused(&mut Bench::new(), &text);
    assert_eq!(sent.status(), 420);
    assert_eq!(
        sent.response().header(HeaderName::Unsupported),
        Some(&b"x-what"[..])
    );
}

#[test]
fn supported_proxy_require_and_unknown_require_pass() {
    let mut bench = Bench::new();
    bench.core.support("privacy");
    bench.receive_new(&request(
        "MESSAGE",
        "1",
        &["Proxy-Require: sec-agree, Privacy", "Require: x-else"],
    ));
}

#[test]
fn request_with_broken_mandatory_headers_gets_400() {
    let text = request("MESSAGE", "1", &[]).replace("CSeq: 1 MESSAGE", "CSeq: 1 INVITE");
    let mut bench = Bench::new();
    assert_eq!(refused(&mut bench, &text).status(), 400);
    assert_eq!(bench.count("ims_sip_refusals_total", "cseq_method"), 1);
}

#[test]
fn request_that_comes_back_unchanged_gets_482_and_a_spiral_passes() {
    let mut bench = Bench::new();
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.forward_to(&received, "192.0.2.2:5060");
    let out = bench.sent_one().text();
    let beyond = |text: &str| {
        text.replacen(
            "Via:",
            "Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKbeyond\r\nVia:",
            1,
        )
    };
    assert_eq!(refused(&mut bench, &beyond(&out)).status(), 482);
    // RFC 3261 16.3: the same request with another Request-URI is a spiral.
    let spiral = beyond(&out)
        .replace("sip:bob@home.example SIP", "sip:carol@home.example SIP")
        .replace("beyond", "other");
    bench.receive_new(&spiral);
}

#[test]
fn max_breadth_0_gets_440() {
    assert_eq!(
        refused(&mut Bench::new(), &request("INVITE", "1", &["Max-Breadth: 0"])).status(),
        440
    );
}

#[test]
fn full_table_gets_503_with_retry_after_without_a_transaction() {
    let mut bench = Bench::with(|config| config.limits.transactions_max = 1);
    bench.receive_new(&request("INVITE", "1", &[]));
    let second = request("INVITE", "2", &[]).replace("call-1", "call-2");
    let refusal = refused(&mut bench, &second);
    assert_eq!(refusal.status(), 503);
    assert!(refusal.response().header(HeaderName::RetryAfter).is_some());
    assert_eq!(
        refused(&mut bench, &second).transmit.bytes,
        refusal.transmit.bytes
    );
    // Its ACK is recognised by the To tag and goes no further.
    let to = String::from_utf8_lossy(refusal.response().header(HeaderName::To).expect("To")).into_owned();
    let ack = request("ACK", "2", &[])
        .replace("call-1", "call-2")
        .replace("To: <sip:bob@home.example>", &format!("To: {to}"));
    bench.receive(udp(UPSTREAM), &ack);
    assert!(bench.events().is_empty() && bench.sent().is_empty());
    assert_eq!(bench.count("ims_sip_refusals_total", "transactions_max"), 1);
    assert_eq!(bench.count("ims_sip_refusals_total", "repeated"), 1);
}

#[test]
fn client_transactions_are_limited_too() {
    let mut bench = Bench::with(|config| config.limits.transactions_max = 1);
    let (_, received) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.forward_to(&received, "192.0.2.2:5060");
    bench.forward_to(&received, "192.0.2.3:5060");
    assert_eq!(bench.sent().len(), 1);
    let events = bench.events();
    assert!(matches!(
        events.as_slice(),
        [CoreEvent::Failed {
            cause: ForwardFailure::Unreachable,
            ..
        }]
    ));
}

#[test]
fn draining_core_finishes_what_is_in_progress_and_refuses_what_is_new() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    bench.relay_to(transaction, &received, &["192.0.2.2:5060"]);
    let invite = bench.sent_one();
    bench.core.drain();
    let refusal = refused(&mut bench, &request("MESSAGE", "2", &[]));
    assert_eq!(refusal.status(), 503);
    assert!(refusal.response().header(HeaderName::RetryAfter).is_some());
    // A PRACK belongs to the INVITE that is in progress.
    let prack =
        request("PRACK", "3", &[]).replace("To: <sip:bob@home.example>", "To: <sip:bob@home.example>;tag=b1");
    let (prack, _) = bench.receive_new(&prack);
    bench.core.reject(bench.now, prack, StatusCode::OK);
    bench.answer(&invite, 200);
    assert_eq!(statuses(&bench.sent()), [200, 200]);
    assert!(!bench.core.is_idle());
    bench.advance(secs(40));
    assert!(bench.core.is_idle());
}

#[test]
fn request_that_the_node_forgets_does_not_stay_for_ever() {
    let mut bench = Bench::new();
    bench.receive_new(&request("INVITE", "forgotten1", &[]));
    bench.receive_new(&request("MESSAGE", "forgotten2", &[]));
    bench.advance(secs(210));
    assert!(!bench.core.is_settled());
    assert_eq!(statuses(&bench.sent()), [100, 100]);
    bench.advance(secs(20));
    // The INVITE is answered, its ACK never comes; the client of the MESSAGE has given up long ago.
    assert_eq!(statuses(&bench.sent()).first(), Some(&500));
    assert!(bench.core.is_settled());
    bench.advance(secs(64));
    assert!(bench.core.is_idle());
    assert_eq!(
        bench.count("ims_sip_transactions_overdue_total", "no_final_response"),
        2
    );
}

#[test]
fn invite_that_rings_for_long_is_not_overdue() {
    let mut bench = Bench::new();
    let (transaction, invite) = bench.receive_new(&request("INVITE", "rings", &[]));
    bench.relay_to(transaction, &invite, &["192.0.2.200:5060"]);
    let leg = bench.sent_one();
    for _ in 0..10 {
        bench.answer(&leg, 180);
        bench.advance(secs(60));
    }
    bench.sent();
    bench.answer(&leg, 200);
    assert_eq!(statuses(&bench.sent()), [200]);
}

#[test]
fn what_we_originate_may_come_back_along_its_route() {
    let mut bench = Bench::new();
    let bye = Message::parse(Bytes::from(request("BYE", "x", &[])), &SipLimits::default());
    let SipMessage::Request(bye) = bye.unwrap().into_parts() else {
        panic!("a request");
    };
    let bye = bye.edit().remove(HeaderName::Via).finish_request();
    bench.core.originate(bench.now, bye, to(HERE), Interface::Mw);
    let sent = bench.sent_one();
    let (transaction, again) = bench.receive_new(&sent.text());
    // Whoever sends the very same on is a loop.
    bench.relay_to(transaction, &again, &[HERE]);
    let looping = bench.sent_one();
    bench.receive(udp(HERE), &looping.text());
    assert_eq!(statuses(&bench.sent()), [482]);
}

#[test]
fn one_branch_does_not_serve_any_number_of_methods() {
    let mut bench = Bench::new();
    for number in 0..100 {
        bench.receive(udp(UPSTREAM), &request(&format!("X{number}"), "same-branch", &[]));
    }
    assert_eq!(bench.events().len(), 8);
    assert_eq!(bench.count("ims_sip_refusals_total", "branch_reused"), 92);
}

fn malformed(bytes: &str, reason: &'static str) -> SipInput {
    SipInput::Malformed(Malformed {
        flow: udp(UPSTREAM),
        reason,
        bytes: Bytes::copy_from_slice(bytes.as_bytes()),
    })
}

#[test]
fn malformed_request_with_a_usable_via_gets_400() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &["no colon here"]);
    bench.core.handle(bench.now, malformed(&text, "header_name"));
    let sent = bench.sent_one();
    assert_eq!((sent.status(), sent.remote()), (400, address(UPSTREAM)));
    assert_eq!(sent.response().header(HeaderName::CSeq), Some(&b"1 MESSAGE"[..]));
    assert_eq!(bench.count("ims_sip_malformed_total", "header_name"), 1);
}

#[test]
fn malformed_messages_that_cannot_be_answered_are_dropped() {
    let without_via = request("MESSAGE", "1", &["no colon here"]).replace("Via", "Not-Via");
    let ack = request("ACK", "1", &["no colon here"]);
    for text in [
        "",
        "\r\n\r\n",
        "\u{0}\u{1}\u{2}",
        "SIP/2.0 200 OK\r\nVia: x\r\n\r\n",
        &without_via,
        &ack,
    ] {
        let mut bench = Bench::new();
        bench.core.handle(bench.now, malformed(text, "start_line"));
        assert!(bench.sent().is_empty() && bench.events().is_empty(), "{text:?}");
        assert_eq!(bench.count("ims_sip_malformed_total", "start_line"), 1);
    }
}

#[test]
fn answers_to_malformed_requests_are_limited_per_second() {
    let mut bench = Bench::new();
    let text = request("MESSAGE", "1", &["no colon here"]);
    for _ in 0..100 {
        bench.core.handle(bench.now, malformed(&text, "header_name"));
    }
    assert_eq!(bench.sent().len(), 20);
    assert_eq!(bench.count("ims_sip_refusals_total", "malformed_rate"), 80);
    bench.advance(secs(1));
    bench.core.handle(bench.now, malformed(&text, "header_name"));
    assert_eq!(bench.sent().len(), 1);
}

/// A REGISTER of alice; with `response`, one that answers a challenge.
fn register(branch: &str, response: &str) -> String {
    let digest = format!(
        "Authorization: Digest username=\"alice@home.example\",realm=\"home.example\",uri=\"sip:home.example\",\
         nonce=\"bm9uY2U=\",response=\"{response}\""
    );
    request("REGISTER", branch, &[&digest]).replace("call-1", &format!("call-{branch}"))
}

impl Bench {
    fn receive_excess(&mut self, text: &str) {
        let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()), &SipLimits::default());
        let (flow, message) = (udp(UPSTREAM), message.expect("a test sends what scans"));
        self.core.handle(self.now, SipInput::Excess { flow, message });
    }
}

#[test]
fn excess_is_refused_only_if_it_begins_something() {
    let mut bench = Bench::new();
    bench.receive_excess(&register("1", ""));
    let refusal = bench.sent_one();
    assert_eq!(refusal.status(), 503);
    assert!(refusal.response().header(HeaderName::RetryAfter).is_some());
    assert!(bench.core.is_idle(), "no transaction was made for it");
    bench.receive_excess(&register("2", "6629fae49393a05397450978507c4ef1"));
    assert_eq!(bench.events().len(), 1, "it answers a challenge");
    assert_eq!(bench.count("ims_sip_refusals_total", "overload"), 1);
}

/// Found by the swarm: a copy of a refused request was taken once there was room again, and had a second answer.
#[test]
fn a_copy_of_what_was_refused_is_refused_too_and_a_new_request_is_taken() {
    let mut bench = Bench::new();
    bench.receive_excess(&register("1", ""));
    let first = bench.sent_one();
    bench.advance(millis(500));
    bench.receive(udp(UPSTREAM), &register("1", ""));
    assert!(bench.events().is_empty(), "the copy is not taken");
    assert_eq!(bench.sent_one().response().bytes(), first.response().bytes());
    assert_eq!(bench.count("ims_sip_refusals_total", "repeated"), 1);
    bench.receive_new(&register("2", ""));
    // No copy comes after 64*T1 and T4.
    bench.advance(secs(32) + secs(5));
    bench.receive_new(&register("1", ""));
}

#[test]
fn the_last_copy_of_what_was_refused_may_be_late() {
    let mut bench = Bench::new();
    bench.receive_excess(&register("1", ""));
    let first = bench.sent_one();
    // It left after 31.5 s, and the way takes longer than that of the first did.
    bench.advance(millis(32_250));
    bench.receive(udp(UPSTREAM), &register("1", ""));
    assert!(bench.events().is_empty(), "the copy is not taken");
    assert_eq!(bench.sent_one().response().bytes(), first.response().bytes());
}

/// A 503 to a request that was repeated because its answer takes long would end what is in progress.
#[test]
fn a_retransmission_of_what_is_in_progress_is_never_refused() {
    let mut bench = Bench::new();
    let (transaction, _) = bench.receive_new(&register("1", ""));
    bench.receive_excess(&register("1", ""));
    assert!(bench.sent().is_empty() && bench.events().is_empty());
    bench
        .core
        .reject(bench.now, transaction, StatusCode::UNAUTHORIZED);
    bench.receive_excess(&register("1", ""));
    assert_eq!(statuses(&bench.sent()), [401, 401]);
}

#[test]
fn those_who_are_refused_together_are_not_asked_back_together() {
    let mut bench = Bench::new();
    let mut asked_back = std::collections::BTreeSet::new();
    for number in 0..200 {
        bench.receive_excess(&register(&number.to_string(), ""));
        let refusal = bench.sent_one();
        let value = refusal
            .response()
            .header(HeaderName::RetryAfter)
            .expect("Retry-After");
        let secs: u64 = String::from_utf8_lossy(value).parse().expect("a number");
        assert!((5..=60).contains(&secs), "{secs}");
        asked_back.insert(secs);
    }
    assert!(asked_back.len() > 40, "{asked_back:?}");
}

#[test]
fn a_table_that_is_almost_full_keeps_its_rest_for_what_is_in_progress() {
    let mut bench = Bench::with(|config| config.limits.transactions_max = 8);
    for number in 0..7 {
        bench.receive_new(&register(&number.to_string(), ""));
    }
    assert_eq!(refused(&mut bench, &register("7", "")).status(), 503);
    bench.receive_new(&register("8", "6629fae49393a05397450978507c4ef1"));
}

#[test]
fn registers_are_refused_here_in_the_measure_in_which_the_next_hop_refuses_them() {
    let mut bench = Bench::new();
    bench.core.throttle_registers();
    let mut passed_on = 0;
    for number in 0..400 {
        bench.receive(udp(UPSTREAM), &register(&number.to_string(), ""));
        let events = bench.events();
        if let [CoreEvent::Request { request, .. }] = events.as_slice() {
            passed_on += 1;
            bench.forward_to(request, "192.0.2.2:5060");
            let sent = bench.sent_one();
            bench.answer_with(&sent, 503, &[(HeaderName::RetryAfter, "9")]);
            bench.events();
        } else {
            assert_eq!(bench.sent_one().status(), 503);
        }
    }
    assert!((20..60).contains(&passed_on), "{passed_on}");
    // What answers a challenge is not refused for that.
    bench.receive_new(&register("x", "6629fae49393a05397450978507c4ef1"));
}

#[test]
fn a_refusal_without_a_transaction_goes_where_the_request_came_from() {
    let mut bench = Bench::new();
    let text = register("1", "").replace(
        "branch=z9hG4bK1\r\n",
        "branch=z9hG4bK1;rport, SIP/2.0/UDP far.example\r\nVia: SIP/2.0/UDP 192.0.2.77\r\n",
    );
    let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()), &SipLimits::default());
    let (flow, message) = (udp("192.0.2.5:40000"), message.expect("a test sends what scans"));
    bench.core.handle(bench.now, SipInput::Excess { flow, message });
    let refusal = bench.sent_one();
    assert_eq!(refusal.remote(), address("192.0.2.5:40000"));
    let vias: Vec<_> = refusal
        .response()
        .headers(HeaderName::Via)
        .map(String::from_utf8_lossy)
        .collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK1;rport=40000;received=192.0.2.5, SIP/2.0/UDP far.example",
            "SIP/2.0/UDP 192.0.2.77"
        ]
    );
}
