//! Testkit: registering again (TS 24.229 5.1.1.4, 5.4.1.2.2).

use std::time::Duration;

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::{UeCommand, UeEvent};

#[test]
fn a_second_registration_keeps_call_id_and_extends_the_binding() {
    let mut scene = Scene::new(41);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(1_000));
    scene.world.forget_record();
    let events = scene.tell("UE", UeCommand::Refresh);
    assert_golden("reregister", &scene.ladder());
    assert!(
        events.iter().any(|e| matches!(e, UeEvent::Registered(_))),
        "{events:?}"
    );
    assert_eq!(scene.bindings("S-CSCF"), 1);
    assert!(scene.ladder().contains("RE_REGISTRATION"), "{}", scene.ladder());
}

#[test]
fn a_phone_refreshes_by_itself_before_the_end_of_its_registration() {
    let mut scene = Scene::new(42);
    scene.phone_with("UE", 1, |mut config| {
        config.refreshes = true;
        config.expires(3_600)
    });
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(20_000));
    let registrations = scene
        .ue("UE", |_, ue| ue.take_events())
        .into_iter()
        .filter(|e| matches!(e, UeEvent::Registered(_)))
        .count();
    assert!((6..=7).contains(&registrations), "{registrations}");
    assert_eq!(scene.bindings("S-CSCF"), 1);
}

#[test]
fn a_phone_that_was_switched_off_and_on_replaces_its_binding() {
    let mut scene = Scene::new(43);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").contacts.len(), 1);
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
