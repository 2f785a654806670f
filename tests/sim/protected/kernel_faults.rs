//! Testkit: a kernel that refuses, is full, slow or silent, and one that loses what it had (TS 24.229 5.2.2.2).

use std::time::Duration;

use ims_common::ipsec::XfrmFailure;
use ims_tests::kernel::{Dropped, Fault};
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;

use super::{is_registered, register, sent, sets};

#[test]
fn without_states_there_is_no_challenge_but_500_and_nothing_is_left() {
    for fault in [
        Fault::ThirdOfFour,
        Fault::Refuse(XfrmFailure::KernelFull),
        Fault::Refuse(XfrmFailure::NotPermitted),
        Fault::Refuse(XfrmFailure::Unsupported),
        Fault::Silence,
    ] {
        let mut scene = Scene::protected(2_401, "never");
        scene.phone("UE", 1);
        scene.world.kernel_mut("P-CSCF").fail_next([fault]);
        scene.tell("UE", UeCommand::Register);
        assert!(scene.is_rejected("UE", 500), "{fault:?}\n{}", scene.ladder());
        assert_eq!(scene.world.kernel("P-CSCF").states(), 0, "{fault:?}");
        register(&mut scene, UeCommand::Register);
        scene.assert_quiet();
    }
}

#[test]
fn other_spis_are_tried_when_the_kernel_has_one_already() {
    let mut scene = Scene::protected(2_402, "never");
    scene.phone("UE", 1);
    scene
        .world
        .kernel_mut("P-CSCF")
        .fail_next([Fault::Refuse(XfrmFailure::Exists)]);
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    scene.assert_quiet();
}

#[test]
fn a_kernel_failure_at_a_registration_again_leaves_the_set_that_is_there() {
    let mut scene = Scene::protected(2_403, "always");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    scene.world.kernel_mut("P-CSCF").fail_next([Fault::ThirdOfFour]);
    scene.tell("UE", UeCommand::Refresh);
    assert!(scene.is_rejected("UE", 500), "{}", scene.ladder());
    assert_eq!(sets(&scene), 1);
    register(&mut scene, UeCommand::Refresh);
    scene.assert_quiet();
}

#[test]
fn a_full_kernel_serves_those_who_are_in_it() {
    let mut scene = Scene::protected(2_404, "never");
    scene.world.kernel_mut("P-CSCF").set_states_max(Some(4));
    scene.phone("UE", 1);
    scene.phone("UE2", 2);
    register(&mut scene, UeCommand::Register);
    scene.tell("UE2", UeCommand::Register);
    assert!(scene.is_rejected("UE2", 500), "{}", scene.ladder());
    register(&mut scene, UeCommand::Refresh);
    scene.world.kernel_mut("P-CSCF").set_states_max(None);
    let events = scene.tell("UE2", UeCommand::Register);
    assert!(is_registered(&events), "{events:?}");
    scene.assert_quiet();
}

#[test]
fn a_set_that_vanished_is_forgotten_and_nothing_goes_in_clear_instead() {
    let mut scene = Scene::protected(2_405, "never");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    let id = scene.world.kernel("P-CSCF").sets().next().unwrap().id;
    scene.world.delete_states("P-CSCF", id);
    scene.world.run_until_idle();
    scene.world.forget_record();
    scene.send_to_phone("UE", "OPTIONS");
    scene.world.advance(Duration::from_secs(1));
    assert!(sent(&scene, "P-CSCF", "UE").is_empty(), "{}", scene.ladder());
    // The phone's REGISTER finds no state; it begins anew, unprotected.
    scene.tell("UE", UeCommand::Refresh);
    assert!(scene.world.kernel("P-CSCF").dropped(Dropped::NoState) > 0);
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    scene.assert_quiet();
}
