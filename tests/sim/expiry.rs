//! Testkit: registrations that nobody refreshes (TS 24.229 5.4.1.4, TS 29.229 6.3.15).

use std::time::Duration;

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;

#[test]
fn an_expired_registration_is_gone_everywhere_and_the_hss_is_told() {
    let mut scene = Scene::new(51);
    scene.phone_with("UE", 1, |config| config.expires(600));
    scene.tell("UE", UeCommand::Register);
    scene.world.forget_record();
    scene.world.advance(Duration::from_secs(700));
    assert_golden("registration_expires", &scene.ladder());
    assert!(
        scene.ladder().contains("TIMEOUT_DEREGISTRATION"),
        "{}",
        scene.ladder()
    );
    assert_eq!(scene.bindings("S-CSCF"), 0);
    scene.assert_empty();
}

#[test]
fn a_user_may_register_again_after_expiry() {
    let mut scene = Scene::new(52);
    scene.phone_with("UE", 1, |config| config.expires(600));
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(700));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").expires, 600);
    assert_eq!(scene.bindings("S-CSCF"), 1);
}
