//! Testkit: the HSS takes users away (RTR, TS 29.228 6.1.3, TS 24.229 5.4.1.5).

use std::time::Duration;

use hss_client::cx::{CxPushAnswer, ReasonCode};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::{Scene, impi};
use ims_tests::ue::UeCommand;

#[test]
fn each_reason_ends_the_registration_and_is_answered_with_success() {
    let reasons = [
        ReasonCode::PermanentTermination,
        ReasonCode::NewServerAssigned,
        ReasonCode::ServerChange,
    ];
    for (seed, reason) in (601..).zip(reasons) {
        let mut scene = Scene::new(seed);
        scene.phone("UE", 1);
        scene.tell("UE", UeCommand::Register);
        scene.world.forget_record();
        assert!(
            scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], reason)),
            "sent"
        );
        scene.world.advance(Duration::from_secs(10));
        let answers = scene.hss(|_, hss| hss.push_answers().to_vec());
        let success = matches!(answers.as_slice(), [CxPushAnswer::Rta(rta)] if rta.result.is_success());
        assert!(success, "{reason:?} {answers:?}");
        assert_eq!(scene.bindings("S-CSCF"), 0, "{reason:?}\n{}", scene.ladder());
        if reason == ReasonCode::PermanentTermination {
            assert_golden("permanent_termination", &scene.ladder());
        }
    }
}

/// REMOVE_S-CSCF concerns data kept for unregistered users only (TS 29.228 6.1.3).
#[test]
fn remove_scscf_leaves_a_registered_user_alone() {
    let mut scene = Scene::new(610);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], ReasonCode::RemoveScscf));
    scene.world.advance(Duration::from_secs(10));
    let answers = scene.hss(|_, hss| hss.push_answers().to_vec());
    assert!(
        matches!(answers.as_slice(), [CxPushAnswer::Rta(rta)] if rta.result.is_success()),
        "{answers:?}"
    );
    assert_eq!(scene.bindings("S-CSCF"), 1);
}

#[test]
fn a_user_that_was_taken_away_may_register_again() {
    let mut scene = Scene::new(611);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], ReasonCode::ServerChange));
    scene.world.advance(Duration::from_secs(10));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.bindings("S-CSCF"), 1);
}

#[test]
fn only_the_named_user_goes() {
    let mut scene = Scene::new(612);
    for (name, number) in [("UE", 1), ("UE2", 2)] {
        scene.phone(name, number);
        scene.tell(name, UeCommand::Register);
    }
    scene.hss(|now, hss| hss.send_rtr(now, &impi(2), &[], ReasonCode::PermanentTermination));
    scene.world.advance(Duration::from_secs(10));
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
