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

#[test]
fn answered_transactions_do_not_hold_up_the_end() {
    let mut scene = Scene::new(303);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    for name in ["P-CSCF", "I-CSCF", "S-CSCF"] {
        scene.world.command(name, Command::Drain);
        scene.world.advance(Duration::from_secs(1));
        assert!(scene.world.is_drained(name), "{name}");
    }
}

#[test]
fn a_registration_under_way_is_finished_before_the_end() {
    let mut scene = Scene::new(304);
    scene.phone("UE", 1);
    scene.ue("UE", |now, ue| ue.command(now, UeCommand::Register));
    scene.world.advance(Duration::from_millis(12));
    scene.world.command("I-CSCF", Command::Drain);
    assert!(!scene.world.is_drained("I-CSCF"));
    scene.world.advance(Duration::from_secs(1));
    assert!(scene.world.is_drained("I-CSCF"));
    assert!(!scene.world.record().start_lines("I-CSCF", "P-CSCF").is_empty());
}
