//! Machine: tests of the limits: requests on one connection, and in all.

use super::*;

fn narrow(in_flight_max: usize) -> World {
    World::new(HssClientConfig {
        in_flight_max,
        ..config()
    })
}

fn gauge(world: &World, name: &str, labels: &[(&str, &str)]) -> u64 {
    let mut metrics = Metrics::default();
    world.client.metrics(&mut metrics);
    metrics.sum(name, labels)
}

#[test]
fn requests_of_a_lost_peer_wait_until_the_other_has_room_and_go_before_new_ones() {
    let mut world = narrow(1);
    world.request(1, sar(Some("hss2")));
    world.request(2, uar());
    world.cut(0);
    world.request(3, sar(Some("hss2")));
    let sent = |world: &World| world.requests.iter().map(|(n, _, _)| *n).collect::<Vec<_>>();
    assert_eq!(sent(&world), [1, 0], "the second peer has its one request");
    let saa = CxAnswer::Saa(Saa {
        result: CxResult::SUCCESS,
        ..Saa::default()
    });
    world.answer(&saa);
    assert_eq!(sent(&world), [0, 1]);
    let (first, again) = (&world.requests[0].2, &world.requests[1].2);
    assert_eq!(again.header().code, 300);
    assert_eq!(again.header().end_to_end, first.header().end_to_end);
    assert!(again.header().flags.is_retransmitted());
    world.requests.remove(0);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    assert_eq!(world.requests[0].2.header().code, 301);
    world.answer(&saa);
    assert_eq!(world.cx.len(), 3);
    assert_eq!(gauge(&world, "ims_cx_requests_pending", &[]), 0);
}

#[test]
fn request_that_waits_to_be_sent_again_fails_when_the_last_peer_goes() {
    let mut world = narrow(1);
    world.request(1, sar(Some("hss2")));
    world.request(2, uar());
    world.cut(0);
    world.refusing = vec![0, 1];
    world.cut(1);
    let answers: Vec<_> = world
        .cx
        .iter()
        .map(|input| match input {
            CxInput::Answer { id, answer } => (id.0, answer.as_ref().unwrap_err()),
            CxInput::Push { .. } => panic!("a push"),
        })
        .collect();
    assert_eq!(answers, [(1, &CxError::NoPeer), (2, &CxError::NoPeer)]);
}

#[test]
fn every_request_has_its_answer_within_three_request_timeouts_however_many_wait() {
    let mut world = narrow(2);
    for id in 0..20 {
        world.request(id, uar());
    }
    world.advance(15);
    assert_eq!(world.cx.len(), 20);
    assert_eq!(gauge(&world, "ims_cx_requests_pending", &[]), 0);
    assert_eq!(world.count(ANSWERS, "timeout"), 20);
    assert_eq!(world.client.line.len(), 0);
}

#[test]
fn gauges_tell_what_waits_for_each_peer_and_for_its_turn() {
    let mut world = narrow(2);
    for id in 0..3 {
        world.request(id, uar());
    }
    world.request(3, sar(Some("hss2")));
    let on = |peer| gauge(&world, "ims_cx_peer_requests_pending", &[("peer", peer)]);
    // The line is one: the SAR stands behind a UAR that has no room.
    assert_eq!((on("hss1"), on("hss2")), (2, 0));
    assert_eq!(gauge(&world, "ims_cx_requests_waiting", &[]), 2);
    assert_eq!(gauge(&world, "ims_cx_requests_pending", &[]), 4);
    assert_eq!(world.count(REQUESTS, "waited"), 2);
}

#[test]
fn limit_in_all_counts_the_line_too_and_the_refusal_is_counted() {
    let mut world = World::new(HssClientConfig {
        in_flight_max: 1,
        outstanding_max: 3,
        ..config()
    });
    for id in 0..5 {
        world.request(id, uar());
    }
    assert_eq!(world.cx.len(), 2);
    assert_eq!(world.count(ANSWERS, "overloaded"), 2);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    world.request(6, uar());
    assert_eq!(world.count(ANSWERS, "overloaded"), 2);
}
