//! Testkit: leaving (TS 24.229 5.1.1.6, 5.2.5.1, 5.4.1.4).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::{UeCommand, UeEvent, shape};

#[test]
fn a_phone_that_leaves_is_gone_everywhere() {
    let mut scene = Scene::new(61);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.world.forget_record();
    let events = scene.tell("UE", UeCommand::Deregister);
    assert_golden("deregister", &scene.ladder());
    assert!(events.contains(&UeEvent::Deregistered), "{events:?}");
    assert!(
        scene.ladder().contains("USER_DEREGISTRATION"),
        "{}",
        scene.ladder()
    );
    scene.assert_empty();
}

#[test]
fn zero_in_the_contact_alone_is_enough_to_leave() {
    let mut scene = Scene::new(62);
    scene.phone_with("UE", 1, |config| config.shape(shape::HUAWEI));
    scene.tell("UE", UeCommand::Register);
    let events = scene.tell("UE", UeCommand::Deregister);
    assert!(events.contains(&UeEvent::Deregistered), "{events:?}");
    scene.assert_empty();
}

#[test]
fn a_star_removes_every_contact_of_the_user() {
    let mut scene = Scene::new(63);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let events = scene.tell("UE", UeCommand::DeregisterAll);
    assert!(events.contains(&UeEvent::Deregistered), "{events:?}");
    scene.assert_empty();
}

#[test]
fn a_user_may_register_again_after_leaving() {
    let mut scene = Scene::new(64);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Deregister);
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
