//! Testkit: forking, best response, challenges, timer C, breadth (SC-09, SC-11, SC-16, SC-21).

use super::*;

const B: &str = "192.0.2.2:5060";
const C: &str = "192.0.2.3:5060";
const D: &str = "192.0.2.4:5060";

/// An INVITE or another request relayed to several places; the requests that left.
fn relayed(bench: &mut Bench, method: &str, remotes: &[&str]) -> Vec<Sent> {
    let (transaction, received) = bench.receive_new(&request(method, "1", &[]));
    bench.relay_to(transaction, &received, remotes);
    let sent = bench.sent();
    assert_eq!(sent.len(), remotes.len());
    sent
}

/// What went upstream, without 100.
fn upstream(sent: Vec<Sent>) -> Vec<Sent> {
    sent.into_iter()
        .filter(|sent| matches!(&sent.message, SipMessage::Response(r) if r.status() != StatusCode::TRYING))
        .collect()
}

fn best_of(method: &str, answers: &[u16]) -> u16 {
    let mut bench = Bench::new();
    let remotes: Vec<&str> = [B, C, D].into_iter().take(answers.len()).collect();
    let branches = relayed(&mut bench, method, &remotes);
    for (branch, status) in branches.iter().zip(answers) {
        bench.answer(branch, *status);
    }
    let sent = upstream(bench.sent());
    assert_eq!(sent.len(), 1, "{answers:?}");
    sent[0].status()
}

#[test]
fn best_response_is_the_lowest_class_and_6xx_wins() {
    assert_eq!(best_of("INVITE", &[404, 302, 500]), 302);
    assert_eq!(best_of("INVITE", &[404, 500]), 404);
    assert_eq!(best_of("INVITE", &[404, 401, 486]), 401);
    assert_eq!(best_of("INVITE", &[486, 484]), 484);
    assert_eq!(best_of("INVITE", &[404, 603, 302]), 603);
    assert_eq!(best_of("MESSAGE", &[500, 404, 200]), 200);
}

#[test]
fn a_503_goes_upstream_as_500() {
    assert_eq!(best_of("MESSAGE", &[503]), 500);
    assert_eq!(best_of("MESSAGE", &[503, 504]), 504);
    assert_eq!(best_of("INVITE", &[503, 480]), 480);
}

#[test]
fn challenges_of_all_branches_are_collected() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B, C]);
    bench.answer_with(
        &branches[0],
        401,
        &[(HeaderName::WwwAuthenticate, "Digest realm=\"one\"")],
    );
    bench.answer_with(
        &branches[1],
        407,
        &[(HeaderName::ProxyAuthenticate, "Digest realm=\"two\"")],
    );
    let sent = upstream(bench.sent());
    let best = sent[0].response();
    assert_eq!(best.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        best.headers(HeaderName::WwwAuthenticate).collect::<Vec<_>>(),
        [b"Digest realm=\"one\""]
    );
    assert_eq!(
        best.headers(HeaderName::ProxyAuthenticate).collect::<Vec<_>>(),
        [b"Digest realm=\"two\""]
    );
}

#[test]
fn a_2xx_goes_upstream_at_once_and_cancels_the_other_branches() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B, C]);
    bench.answer(&branches[0], 180);
    bench.answer(&branches[1], 183);
    bench.sent();
    bench.answer(&branches[0], 200);
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [200]);
    assert_eq!(methods(&sent), ["CANCEL"]);
    assert!(sent.iter().any(|sent| sent.remote() == address(C)));
    bench.answer(&branches[1], 487);
    assert_eq!(
        methods(&bench.sent()),
        ["ACK"],
        "the 487 is acknowledged and goes no further"
    );
}

#[test]
fn a_6xx_cancels_the_other_branches_and_waits_for_them() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B, C]);
    bench.answer(&branches[1], 180);
    bench.sent();
    bench.answer(&branches[0], 603);
    let sent = bench.sent();
    assert_eq!(methods(&sent), ["ACK", "CANCEL"]);
    assert!(statuses(&sent).is_empty());
    bench.answer(&branches[1], 487);
    assert_eq!(statuses(&bench.sent()), [603]);
}

#[test]
fn unreachable_branches_count_as_503_and_silent_ones_as_408() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B]);
    bench.fail_send(&branches[0]);
    assert_eq!(statuses(&bench.sent()), [500]);

    let mut bench = Bench::new();
    relayed(&mut bench, "INVITE", &[B]);
    bench.advance(millis(32_100));
    assert_eq!(statuses(&bench.sent()), [100, 408]);
}

#[test]
fn timer_c_is_reset_by_provisional_responses_and_cancels_on_expiry() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B]);
    bench.answer(&branches[0], 180);
    bench.advance(secs(184));
    bench.answer(&branches[0], 183);
    bench.advance(secs(184));
    // A 100 does not count.
    bench.answer(&branches[0], 100);
    let before = bench.sent();
    assert!(!methods(&before).contains(&"CANCEL".to_owned()));
    bench.advance(secs(1));
    let cancel = bench.sent_one();
    assert_eq!(cancel.method(), Method::Cancel);
    bench.answer(&branches[0], 487);
    assert_eq!(statuses(&bench.sent()), [487]);
    assert_eq!(bench.count("ims_sip_timeouts_total", "C"), 1);
}

#[test]
fn a_branch_that_ignores_the_cancel_of_timer_c_counts_as_408() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B]);
    bench.answer(&branches[0], 180);
    bench.advance(secs(185));
    assert_eq!(methods(&bench.sent()).last().map(String::as_str), Some("CANCEL"));
    bench.advance(millis(32_100));
    assert_eq!(statuses(&bench.sent()), [408]);
}

#[test]
fn timer_c_without_a_provisional_response_counts_as_408() {
    let mut bench = Bench::with(|config| {
        for side in &mut config.interfaces {
            // Shorter than timer B, which would otherwise come first.
            side.timers.timer_c = secs(10);
        }
    });
    relayed(&mut bench, "INVITE", &[B]);
    bench.advance(secs(10));
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [100, 408]);
    assert!(!methods(&sent).contains(&"CANCEL".to_owned()));
}

#[test]
fn branches_have_their_own_request_uri_and_route() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    let target = NextHopTarget {
        request_uri: Some("sip:bob@192.0.2.77:5061".parse().expect("a URI")),
        route: vec![
            "<sip:term@pcscf.example;lr>".to_owned(),
            "<sip:ibcf.example;lr>".to_owned(),
        ],
        hop: to(B),
    };
    bench
        .core
        .relay(bench.now, transaction, received, vec![target], Interface::Mw);
    let sent = bench.sent_one();
    assert_eq!(sent.request().request_uri_bytes(), b"sip:bob@192.0.2.77:5061");
    let routes: Vec<&[u8]> = sent.request().values(HeaderName::Route).collect();
    assert_eq!(
        routes,
        [&b"<sip:term@pcscf.example;lr>"[..], b"<sip:ibcf.example;lr>"]
    );
}

#[test]
fn max_breadth_is_divided_among_branches() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &["Max-Breadth: 5"]));
    bench.relay_to(transaction, &received, &[B, C]);
    let breadths: Vec<Vec<u8>> = bench
        .sent()
        .iter()
        .map(|sent| {
            sent.request()
                .header(HeaderName::MaxBreadth)
                .expect("Max-Breadth")
                .to_vec()
        })
        .collect();
    assert_eq!(breadths, [b"3".to_vec(), b"2".to_vec()]);
}

#[test]
fn more_branches_than_max_breadth_get_440() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &["Max-Breadth: 1"]));
    bench.relay_to(transaction, &received, &[B, C]);
    let sent = bench.sent();
    assert_eq!(statuses(&sent), [440]);
    assert!(methods(&sent).is_empty());
}

#[test]
fn relay_without_targets_gets_480() {
    let mut bench = Bench::new();
    let (transaction, received) = bench.receive_new(&request("INVITE", "1", &[]));
    bench.relay_to(transaction, &received, &[]);
    assert_eq!(statuses(&bench.sent()), [480]);
}

#[test]
fn nothing_is_left_of_a_relay_when_its_transactions_are_over() {
    let mut bench = Bench::new();
    let branches = relayed(&mut bench, "INVITE", &[B, C]);
    bench.answer(&branches[0], 200);
    bench.answer(&branches[1], 404);
    bench.advance(secs(40));
    assert!(bench.core.is_idle());
    let mut metrics = Metrics::default();
    bench.core.export_metrics(&mut metrics);
    assert_eq!(metrics.sum("ims_sip_response_contexts", &[]), 0);
}
