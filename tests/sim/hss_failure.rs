//! Testkit: an HSS that is silent, late, broken or gone (TS 24.229 5.3.1.2, RFC 6733 2.1, RFC 3539).

use std::time::Duration;

use bytes::Bytes;
use ims_tests::hss::{Fault, Faulty};
use ims_tests::scene::{Scene, hss, subscriber};
use ims_tests::ue::{UeCommand, UeEvent};

/// What a phone may hear when the HSS fails.
const FAILURES: [u16; 4] = [480, 500, 503, 504];

fn is_failure(events: &[UeEvent]) -> bool {
    matches!(events.last(), Some(UeEvent::Rejected { status, .. }) if FAILURES.contains(status))
}

#[test]
fn a_silent_hss_is_reported_long_before_the_phone_and_the_p_cscf_lose_patience() {
    for (seed, which) in (501..).zip([Faulty::Uar, Faulty::Mar, Faulty::Sar, Faulty::All]) {
        let mut scene = Scene::new(seed);
        scene.phone("UE", 1);
        scene.hss(|_, hss| hss.set_fault(which, Fault::Silent));
        let events = scene.tell_for("UE", UeCommand::Register, 15);
        assert!(is_failure(&events), "{which:?} {events:?}\n{}", scene.ladder());
        assert_eq!(scene.bindings("S-CSCF"), 0);
        scene.assert_empty();
    }
}

#[test]
fn a_late_hss_is_waited_for() {
    let mut scene = Scene::new(511);
    scene.phone("UE", 1);
    scene.hss(|_, hss| hss.set_fault(Faulty::All, Fault::Delay(Duration::from_secs(2))));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").expires, 600_000);
    scene.assert_quiet();
}

#[test]
fn a_broken_hss_breaks_nothing_else() {
    for (seed, which) in (521..).zip([Faulty::Uar, Faulty::Mar, Faulty::Sar]) {
        let mut scene = Scene::new(seed);
        scene.phone("UE", 1);
        scene.hss(|_, hss| hss.set_fault(which, Fault::Garbage(Bytes::new())));
        let events = scene.tell_for("UE", UeCommand::Register, 15);
        assert!(is_failure(&events), "{which:?} {events:?}\n{}", scene.ladder());
        scene.hss(|_, hss| hss.clear_faults());
        scene.tell("UE", UeCommand::Register);
        assert_eq!(scene.granted("UE").expires, 600_000);
        scene.assert_quiet();
    }
}

#[test]
fn a_hss_that_comes_back_is_dialled_again_and_serves() {
    let mut scene = Scene::new(531);
    scene.phone("UE", 1);
    scene.world.crash("HSS");
    let events = scene.tell_for("UE", UeCommand::Register, 15);
    assert!(is_failure(&events), "{events:?}\n{}", scene.ladder());
    let reborn = hss(vec![subscriber(1)], scene.world.next_seed());
    scene.world.restart("HSS", reborn);
    // Tc is 30 s (RFC 6733 2.1).
    scene.world.advance(Duration::from_secs(35));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").expires, 600_000);
    scene.assert_quiet();
}

#[test]
fn a_hss_that_no_longer_answers_watchdogs_is_left_and_found_again() {
    let mut scene = Scene::new(532);
    scene.phone("UE", 1);
    scene.world.deafen("HSS");
    scene.world.advance(Duration::from_secs(150));
    scene.world.undeafen("HSS");
    scene.world.advance(Duration::from_secs(150));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").expires, 600_000);
}
