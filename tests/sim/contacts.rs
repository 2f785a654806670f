//! Testkit: several phones of one subscriber (RFC 3261 10.3, TS 24.229 5.4.1.2.2F).

use std::time::Duration;

use ims_tests::scene::Scene;
use ims_tests::site::HOME;
use ims_tests::ue::{UeCommand, UeEvent};

fn two_phones_of_two_subscribers(seed: u64) -> Scene {
    let mut scene = Scene::new(seed);
    scene.phone("UE", 1);
    scene.phone("UE2", 2);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE2", UeCommand::Register);
    scene
}

#[test]
fn two_subscribers_register_without_seeing_each_other() {
    let mut scene = two_phones_of_two_subscribers(101);
    assert_eq!(scene.bindings("S-CSCF"), 2);
    assert_eq!(scene.granted("UE").contacts.len(), 1);
    assert_eq!(scene.granted("UE2").contacts.len(), 1);
    scene.assert_quiet();
}

#[test]
fn one_subscriber_leaves_and_the_other_stays() {
    let mut scene = two_phones_of_two_subscribers(102);
    scene.tell("UE", UeCommand::DeregisterAll);
    assert_eq!(scene.bindings("S-CSCF"), 1);
    let events = scene.tell("UE2", UeCommand::Query);
    assert!(
        events
            .iter()
            .any(|e| matches!(e, UeEvent::Bindings(all) if all.len() == 1)),
        "{events:?}"
    );
}

#[test]
fn both_names_of_the_implicit_set_come_and_go_together() {
    let mut scene = Scene::new(103);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let associated = scene.granted("UE").associated;
    assert!(associated.len() >= 2, "{associated:?}");
    scene.ue("UE", |_, ue| {
        ue.config_mut().identity.impu = format!("sip:+15550001@{HOME}")
    });
    scene.tell("UE", UeCommand::Deregister);
    scene.world.advance(Duration::from_secs(60));
    assert_eq!(scene.bindings("S-CSCF"), 0);
}

#[test]
fn a_second_phone_of_one_subscriber_takes_the_place_of_the_first() {
    let mut scene = Scene::new(104);
    scene.phone("UE", 1);
    scene.phone("UE2", 1);
    scene.tell("UE", UeCommand::Register);
    // The second phone has the same card: its counter goes on where the first one's stands.
    scene.tell("UE2", UeCommand::Register);
    assert_eq!(scene.granted("UE2").contacts.len(), 1);
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
