//! Testkit: users that the HSS does not know (TS 29.228 6.1.1, TS 24.229 5.3.1.2).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;

#[test]
fn a_user_unknown_to_the_hss_gets_403_and_no_challenge() {
    let mut scene = Scene::new(31);
    scene.phone("UE", 99);
    scene.tell("UE", UeCommand::Register);
    assert_golden("register_unknown_user", &scene.ladder());
    assert!(scene.is_rejected("UE", 403));
    assert!(scene.world.record().sip("I-CSCF", "S-CSCF").is_empty());
    scene.assert_quiet();
}

#[test]
fn an_identity_of_somebody_else_gets_403() {
    let mut scene = Scene::new(32);
    scene.phone_with("UE", 1, |mut config| {
        config.identity.impu = config.identity.impu.replace("001010000000001", "001010000000002");
        config
    });
    scene.tell("UE", UeCommand::Register);
    assert!(scene.is_rejected("UE", 403));
    scene.assert_quiet();
}
