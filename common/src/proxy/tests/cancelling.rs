//! Testkit: CANCEL, 487 and the ACK hop by hop (SC-05).

use super::*;

const B: &str = "192.0.2.2:5060";

fn invite_via_relay(bench: &mut Bench) -> Sent {
    let (transaction, received) =
        bench.receive_new(&request("INVITE", "1", &["Route: <sip:hop.example;lr>"]));
    bench.relay_to(transaction, &received, &[B]);
    bench.sent_one()
}

fn cancel() -> String {
    request(
        "CANCEL",
        "1",
        &["Reason: SIP;cause=200;text=\"Call completed elsewhere\""],
    )
}

#[test]
fn cancel_is_answered_at_once_and_waits_for_a_provisional_response() {
    let mut bench = Bench::new();
    let invite = invite_via_relay(&mut bench);
    bench.receive(udp(UPSTREAM), &cancel());
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [200]);
    assert!(methods(&sent).is_empty(), "no provisional response yet");
    bench.answer(&invite, 100);
    let cancel = bench.sent_one();
    assert_eq!(cancel.method(), Method::Cancel);
    assert_eq!(
        cancel.request().request_uri_bytes(),
        invite.request().request_uri_bytes()
    );
    assert_eq!(
        cancel.request().values(HeaderName::Via).collect::<Vec<_>>(),
        invite
            .request()
            .values(HeaderName::Via)
            .take(1)
            .collect::<Vec<_>>()
    );
    assert_eq!(
        cancel.request().header(HeaderName::Route),
        Some(&b"<sip:hop.example;lr>"[..])
    );
    assert_eq!(cancel.request().header(HeaderName::CSeq), Some(&b"1 CANCEL"[..]));
    assert_eq!(
        cancel.request().header(HeaderName::Reason),
        Some(&b"SIP;cause=200;text=\"Call completed elsewhere\""[..])
    );
}

#[test]
fn cancelled_invite_ends_with_487_and_a_hop_by_hop_ack() {
    let mut bench = Bench::new();
    let invite = invite_via_relay(&mut bench);
    bench.answer(&invite, 180);
    bench.receive(udp(UPSTREAM), &cancel());
    let cancel = bench
        .sent()
        .into_iter()
        .find(|sent| sent.transmit.bytes.starts_with(b"CANCEL"))
        .expect("CANCEL");
    bench.answer(&cancel, 200);
    bench.answer(&invite, 487);
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [487]);
    let ack = sent
        .iter()
        .find(|sent| sent.transmit.bytes.starts_with(b"ACK"))
        .expect("ACK");
    assert_eq!(ack.request().header(HeaderName::CSeq), Some(&b"1 ACK"[..]));
    assert_eq!(ack.request().to().expect("To").tag(), Some(&b"b1"[..]));
    assert_eq!(
        ack.request().values(HeaderName::Via).collect::<Vec<_>>(),
        invite
            .request()
            .values(HeaderName::Via)
            .take(1)
            .collect::<Vec<_>>()
    );
    // The ACK from upstream ends the retransmission of the 487 and goes no further.
    bench.receive(udp(UPSTREAM), &request("ACK", "1", &[]));
    assert!(bench.events().is_empty() && bench.sent().is_empty());
    bench.advance(secs(40));
    assert!(bench.sent().is_empty());
    assert!(bench.core.is_idle());
}

#[test]
fn unacknowledged_failure_is_retransmitted_by_timer_g_until_timer_h() {
    let mut bench = Bench::new();
    let (transaction, _) = bench.receive_new(&request("INVITE", "1", &[]));
    bench.core.reject(bench.now, transaction, StatusCode::FORBIDDEN);
    bench.advance(secs(33));
    // At once, then after 0.5, 1.5, 3.5, 7.5 … 31.5 s.
    assert_eq!(statuses(&bench.sent()).len(), 11);
    assert_eq!(bench.count("ims_sip_timeouts_total", "H"), 1);
    assert!(bench.core.is_idle());
}

#[test]
fn cancel_without_a_transaction_gets_481() {
    let mut bench = Bench::new();
    bench.receive(udp(UPSTREAM), &cancel());
    assert_eq!(statuses(&bench.sent()), [481]);
    assert!(bench.events().is_empty());
}

#[test]
fn cancel_from_another_host_gets_no_answer_and_changes_nothing() {
    let mut bench = Bench::new();
    let invite = invite_via_relay(&mut bench);
    bench.answer(&invite, 180);
    bench.sent();
    bench.receive(udp("192.0.2.66:5060"), &cancel());
    assert!(bench.sent().is_empty());
    // An answer to the stranger would be repeated to the one who may cancel.
    bench.receive(udp(UPSTREAM), &cancel());
    let sent = bench.sent();
    assert_eq!((statuses(&sent), methods(&sent).len()), (vec![200], 1));
}

#[test]
fn cancel_of_a_non_invite_request_is_answered_and_has_no_effect() {
    let mut bench = Bench::new();
    let (transaction, _) = bench.receive_new(&request("MESSAGE", "1", &[]));
    bench.receive(udp(UPSTREAM), &cancel());
    assert_eq!(statuses(&bench.sent()), [200]);
    assert!(bench.events().is_empty());
    assert!(bench.core.awaits_final(transaction));
}

#[test]
fn cancel_after_the_final_response_is_answered_and_has_no_effect() {
    let mut bench = Bench::new();
    let invite = invite_via_relay(&mut bench);
    bench.answer(&invite, 200);
    bench.sent();
    bench.receive(udp(UPSTREAM), &cancel());
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [200]);
    assert!(methods(&sent).is_empty() && bench.events().is_empty());
}

#[test]
fn node_learns_of_a_cancel_and_cancels_its_forward() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    let forward = bench.forward_to(&received, B);
    let invite = bench.sent_one();
    bench.answer(&invite, 180);
    bench.events();
    bench.receive(udp(UPSTREAM), &cancel());
    let events = bench.events();
    assert!(matches!(events.as_slice(), [CoreEvent::Cancelled { transaction: of }] if *of == transaction));
    bench.core.cancel(bench.now, forward, None);
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [200]);
    assert_eq!(methods(&sent), ["CANCEL"]);
    bench.answer(&invite, 487);
    let events = bench.events();
    let [CoreEvent::Response { response, .. }] = events.as_slice() else {
        panic!("no 487: {events:?}")
    };
    assert_eq!(response.status(), StatusCode::REQUEST_TERMINATED);
}

#[test]
fn cancelled_invite_that_stays_silent_ends_with_487() {
    let mut bench = Bench::new();
    invite_via_relay(&mut bench);
    bench.receive(udp(UPSTREAM), &cancel());
    bench.sent();
    bench.advance(millis(32_100));
    assert_eq!(statuses(&bench.sent()), [100, 487]);
}

#[test]
fn invite_cancelled_while_its_name_is_being_resolved_ends_with_487() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    let targets = vec![NextHopTarget::unchanged(uri("sip:far.example"))];
    bench
        .core
        .relay(bench.now, transaction, received, targets, Interface::Mw);
    bench.receive(udp(UPSTREAM), &cancel());
    assert_eq!(statuses(&bench.sent()), [200, 487]);
    let id = bench.resolves[0].id;
    bench
        .core
        .handle(bench.now, SipInput::Resolved { id, targets: vec![] });
    assert!(bench.sent().is_empty() && bench.events().is_empty());
}
