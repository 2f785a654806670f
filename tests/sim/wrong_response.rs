//! Testkit: challenges that are answered wrongly (TS 24.229 5.4.1.2.3A).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::{Behaviour, UeCommand, UeEvent};

#[test]
fn a_wrong_response_gets_403_and_the_hss_learns_of_the_failure() {
    let mut scene = Scene::new(21);
    scene.phone_with("UE", 1, |config| config.behaviour(Behaviour::WrongResponse));
    scene.tell("UE", UeCommand::Register);
    assert_golden("register_wrong_response", &scene.ladder());
    assert!(scene.is_rejected("UE", 403));
    assert!(scene.ladder().contains("AUTHENTICATION_FAILURE"));
    scene.assert_quiet();
}

#[test]
fn a_wrong_response_leaves_an_existing_registration_as_it_was() {
    let mut scene = Scene::new(22);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.ue("UE", |_, ue| ue.config_mut().behaviour = Behaviour::WrongResponse);
    scene.tell("UE", UeCommand::Refresh);
    assert!(scene.is_rejected("UE", 403));
    assert_eq!(scene.bindings("S-CSCF"), 1);
}

#[test]
fn an_empty_response_is_challenged_again_at_most_twice() {
    let mut scene = Scene::new(23);
    scene.phone_with("UE", 1, |config| config.behaviour(Behaviour::MacFailure));
    let events = scene.tell("UE", UeCommand::Register);
    let challenges = events
        .iter()
        .filter(|e| matches!(e, UeEvent::Challenged { .. }))
        .count();
    assert!((2..=3).contains(&challenges), "{events:?}");
    assert!(
        scene.is_rejected("UE", 403) || events.contains(&UeEvent::GaveUp),
        "{events:?}"
    );
    assert_eq!(scene.bindings("S-CSCF"), 0);
    scene.assert_quiet();
}

#[test]
fn a_right_response_in_another_call_id_is_no_answer() {
    let mut scene = Scene::new(24);
    scene.phone_with("UE", 1, |config| config.behaviour(Behaviour::NewCallId));
    let events = scene.tell_for("UE", UeCommand::Register, 5);
    assert!(
        !events.iter().any(|e| matches!(e, UeEvent::Registered(_))),
        "{events:?}"
    );
    assert_eq!(scene.bindings("S-CSCF"), 0);
}
