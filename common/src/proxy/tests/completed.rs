//! Testkit: what is kept of requests that have their answer, and how much of it.

use super::*;

/// A MESSAGE with a branch and a body of its own.
fn message(number: usize, body: usize) -> String {
    let body = "x".repeat(body);
    request("MESSAGE", "1", &[])
        .replace("z9hG4bK", &format!("z9hG4bK{number}x"))
        .replace(
            "Content-Length: 0\r\n\r\n",
            &format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        )
}

fn octets(bench: &Bench, state: &str) -> u64 {
    let mut metrics = Metrics::default();
    bench.core.export_metrics(&mut metrics);
    metrics.sum("ims_sip_transaction_bytes", &[("state", state)])
}

fn answered(bench: &mut Bench, text: &str) -> Sent {
    let (transaction, _) = bench.receive_new(text);
    bench.core.reject(bench.now, transaction, StatusCode::FORBIDDEN);
    bench.sent_one()
}

#[test]
fn answered_request_of_64_kib_leaves_nothing_but_its_answer() {
    let mut bench = Bench::new();
    let (transaction, _) = bench.receive_new(&message(1, 60_000));
    assert!(octets(&bench, "running") > 60_000);
    bench.core.reject(bench.now, transaction, StatusCode::FORBIDDEN);
    let answer = bench.sent_one();
    assert_eq!(octets(&bench, "running"), 0);
    assert!(
        octets(&bench, "completed") < 1_000,
        "{}",
        octets(&bench, "completed")
    );
    bench.receive(udp(UPSTREAM), &message(1, 60_000));
    assert_eq!(bench.sent_one().transmit.bytes, answer.transmit.bytes);
    bench.advance(Duration::from_secs(33));
    assert_eq!(octets(&bench, "completed"), 0);
    assert!(bench.core.is_idle() && bench.core.poll_timeout().is_none());
}

#[test]
fn oldest_answers_give_way_when_all_together_have_too_many_octets() {
    let mut bench = Bench::with(|config| config.limits.completed_bytes_max = 5_000);
    for number in 0..50 {
        answered(&mut bench, &message(number, 0));
        assert!(octets(&bench, "completed") <= 5_000);
    }
    let evicted = bench.count("ims_sip_transactions_evicted_total", "completed_bytes");
    assert!((30..50).contains(&evicted), "{evicted}");
    // The latest is still repeated, the first is served like a new one.
    bench.receive(udp(UPSTREAM), &message(49, 0));
    assert_eq!(bench.sent_one().status(), 403);
    assert!(bench.events().is_empty());
    bench.receive_new(&message(0, 0));
}

#[test]
fn flood_of_large_requests_cannot_take_more_than_its_octets() {
    let mut bench = Bench::with(|config| config.limits.transaction_bytes_max = 200_000);
    for number in 0..10 {
        bench.receive(udp(UPSTREAM), &message(number, 60_000));
    }
    assert_eq!(bench.events().len(), 3);
    assert!(bench.sent().iter().all(|sent| sent.status() == 503));
    assert!(octets(&bench, "running") <= 200_000);
    assert_eq!(bench.count("ims_sip_refusals_total", "transaction_bytes_max"), 7);
}

#[test]
fn answered_requests_take_no_place_from_new_ones() {
    let mut bench = Bench::with(|config| config.limits.transactions_max = 1);
    for number in 0..3 {
        assert_eq!(answered(&mut bench, &message(number, 0)).status(), 403);
    }
}

#[test]
fn answer_that_could_not_be_sent_again_is_forgotten() {
    let mut bench = Bench::new();
    let answer = answered(&mut bench, &message(1, 0));
    bench.fail_send(&answer);
    assert!(bench.core.is_idle() && bench.core.poll_timeout().is_none());
}

#[test]
fn repeated_request_from_elsewhere_is_answered_to_where_the_first_one_came_from() {
    let mut bench = Bench::new();
    let answer = answered(&mut bench, &message(1, 0));
    bench.receive(udp("203.0.113.9:5060"), &message(1, 0));
    assert_eq!(bench.sent_one().remote(), answer.remote());
}

#[test]
fn answered_calls_take_no_place_from_new_ones_while_further_2xx_may_come() {
    let mut bench = Bench::with(|config| config.limits.transaction_bytes_max = 100_000);
    for number in 0..3 {
        let text = message(number, 60_000).replace("MESSAGE", "INVITE");
        let (transaction, received) = bench.receive_new(&text);
        assert!(octets(&bench, "running") > 60_000);
        bench.relay_to(transaction, &received, &["192.0.2.2:5060"]);
        let invite = bench.sent_one();
        for tag in ["b1", "b2"] {
            bench.answer_tagged(&invite, 200, tag, &[]);
            assert_eq!(bench.sent_one().status(), 200);
        }
        assert_eq!(octets(&bench, "running"), 0);
    }
    assert_eq!(bench.count("ims_sip_refusals_total", "transaction_bytes_max"), 0);
}
