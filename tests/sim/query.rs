//! Testkit: REGISTER without Contact asks for the bindings (RFC 3261 10.3).

use ims_tests::scene::Scene;
use ims_tests::ue::{UeCommand, UeEvent};

#[test]
fn a_query_lists_the_contact_and_changes_nothing() {
    let mut scene = Scene::new(81);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let events = scene.tell("UE", UeCommand::Query);
    let listed = events.iter().find_map(|event| match event {
        UeEvent::Bindings(contacts) => Some(contacts.len()),
        _ => None,
    });
    assert_eq!(listed, Some(1), "{events:?}");
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
