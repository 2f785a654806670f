//! Testkit: which S-CSCF serves (TS 24.229 5.3.1.2, TS 29.228 6.7).

use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;

fn two_servers(seed: u64, capabilities: &[u32]) -> Scene {
    let site = Site::on_network([192, 0, 2]).with_second_scscf();
    let user = subscriber(1).capabilities(capabilities, &[]);
    let mut scene = Scene::with(seed, site, vec![user]);
    scene.phone("UE", 1);
    scene
}

#[test]
fn the_server_with_the_mandatory_capabilities_is_chosen() {
    for (seed, capability, chosen) in [(801, 1, "S-CSCF"), (802, 2, "S-CSCF2")] {
        let mut scene = two_servers(seed, &[capability]);
        scene.tell("UE", UeCommand::Register);
        assert_eq!(scene.bindings(chosen), 1, "{}", scene.ladder());
    }
}

#[test]
fn a_user_whom_no_server_can_serve_gets_600() {
    let mut scene = two_servers(803, &[1, 2, 9]);
    scene.tell("UE", UeCommand::Register);
    assert!(scene.is_rejected("UE", 600), "{}", scene.ladder());
    scene.assert_empty();
}

#[test]
fn another_server_is_tried_when_the_chosen_one_is_dead() {
    let mut scene = two_servers(804, &[]);
    scene.world.crash("S-CSCF");
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.bindings("S-CSCF2"), 1, "{}", scene.ladder());
}

#[test]
fn the_server_of_the_first_registration_keeps_the_user() {
    let mut scene = two_servers(805, &[2]);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Refresh);
    assert_eq!(scene.bindings("S-CSCF2"), 1);
    assert!(scene.world.record().sip("I-CSCF", "S-CSCF").is_empty());
}
