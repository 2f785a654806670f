//! Testkit: a node that is told to drain finishes and refuses (SC-22).

use std::time::Duration;

use ims_common::net::Command;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;

#[test]
fn an_idle_node_is_drained_at_once() {
    let mut scene = Scene::new(301);
    for name in ["P-CSCF", "I-CSCF", "S-CSCF"] {
        scene.world.command(name, Command::Drain);
        scene.world.advance(Duration::from_secs(40));
        assert!(scene.world.is_drained(name), "{name}");
    }
}

#[test]
fn a_draining_p_cscf_refuses_with_503() {
    let mut scene = Scene::new(302);
    scene.phone("UE", 1);
    scene.world.command("P-CSCF", Command::Drain);
    scene.tell("UE", UeCommand::Register);
    assert!(scene.is_rejected("UE", 503), "{}", scene.ladder());
}
