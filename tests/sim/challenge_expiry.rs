//! Testkit: challenges that nobody answers (reg-await-auth, TS 24.229 5.4.1.2.3, 7.8).

use std::time::Duration;

use ims_tests::scene::Scene;
use ims_tests::ue::{Behaviour, UeCommand};

#[test]
fn an_unanswered_challenge_ends_after_four_minutes_and_the_hss_is_told() {
    let mut scene = Scene::new(71);
    scene.phone_with("UE", 1, |config| config.behaviour(Behaviour::IgnoreChallenge));
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(239));
    assert!(!scene.ladder().contains("AUTHENTICATION_TIMEOUT"), "too early");
    scene.world.advance(Duration::from_secs(2));
    assert!(
        scene.ladder().contains("AUTHENTICATION_TIMEOUT"),
        "{}",
        scene.ladder()
    );
    scene.assert_empty();
}

#[test]
fn an_unanswered_challenge_to_a_registered_user_leaves_the_registration() {
    let mut scene = Scene::new(72);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.ue("UE", |_, ue| {
        ue.config_mut().behaviour = Behaviour::IgnoreChallenge
    });
    scene.tell("UE", UeCommand::Refresh);
    scene.world.advance(Duration::from_secs(300));
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
