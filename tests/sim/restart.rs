//! Testkit: nodes that die and come back with nothing (TS 23.380, RG-23).

use std::time::Duration;

use ims_common::config::DaemonConfig as _;
use ims_tests::scene::Scene;
use ims_tests::site;
use ims_tests::ue::{UeCommand, UeEvent};
use pcscf::PcscfConfig;
use scscf::ScscfConfig;

#[test]
fn a_phone_registers_again_after_the_s_cscf_forgot_it() {
    let mut scene = Scene::new(861);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.world.crash("S-CSCF");
    scene.world.advance(Duration::from_secs(5));
    let (node, _) = site::read::<ScscfConfig>(&scene.site.scscf_file(0))
        .build(scene.world.next_seed())
        .unwrap();
    scene.world.restart("S-CSCF", node);
    scene.world.advance(Duration::from_secs(5));
    let events = scene.tell("UE", UeCommand::Refresh);
    assert!(
        events.iter().any(|e| matches!(e, UeEvent::Registered(_))),
        "{events:?}\n{}",
        scene.ladder()
    );
    assert_eq!(scene.bindings("S-CSCF"), 1);
}

#[test]
fn a_phone_registers_again_after_the_p_cscf_forgot_it() {
    let mut scene = Scene::new(862);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.world.crash("P-CSCF");
    let (node, _) = site::read::<PcscfConfig>(&scene.site.pcscf_file())
        .build(scene.world.next_seed())
        .unwrap();
    scene.world.restart("P-CSCF", node);
    let events = scene.tell("UE", UeCommand::Refresh);
    assert!(
        events.iter().any(|e| matches!(e, UeEvent::Registered(_))),
        "{events:?}\n{}",
        scene.ladder()
    );
    assert_eq!(scene.bindings("S-CSCF"), 1);
    assert_eq!(scene.bindings("P-CSCF"), 1);
}

#[test]
fn a_dead_s_cscf_is_replaced_and_the_dead_one_owns_nobody() {
    let site = site::Site::on_network([192, 0, 2]).with_second_scscf();
    let mut scene = Scene::with(863, site, vec![ims_tests::scene::subscriber(1)]);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let (dead, other) = if scene.bindings("S-CSCF") == 1 {
        ("S-CSCF", "S-CSCF2")
    } else {
        ("S-CSCF2", "S-CSCF")
    };
    scene.world.crash(dead);
    // The first attempt may fail; a phone that tries again as the specification says is served.
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.bindings(other), 1, "{}", scene.ladder());
}
