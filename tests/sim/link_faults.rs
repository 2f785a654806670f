//! Testkit: links that lose and double datagrams (RFC 3261 17).

use std::time::Duration;

use ims_tests::scene::Scene;
use ims_tests::ue::{UeCommand, UeEvent};
use ims_tests::world::links::Link;

#[test]
fn registrations_come_through_a_link_that_loses_and_doubles_datagrams() {
    for seed in 200..220 {
        let mut scene = Scene::new(seed);
        scene.phone_with("UE", 1, |config| config.expires(3_600));
        scene.world.links.set_default(Link {
            loss: 200,
            duplicates: 100,
            ..Link::default()
        });
        let events = scene.tell("UE", UeCommand::Register);
        let ended = events.iter().any(|e| {
            matches!(
                e,
                UeEvent::Registered(_) | UeEvent::Rejected { .. } | UeEvent::NoAnswer
            )
        });
        assert!(ended, "SEED={seed} {events:?}\n{}", scene.ladder());
        scene.world.links.set_default(Link::default());
        scene.tell("UE", UeCommand::Register);
        scene.tell("UE", UeCommand::Deregister);
        scene.world.advance(Duration::from_secs(300));
        scene.assert_empty();
    }
}

#[test]
fn a_phone_without_a_p_cscf_learns_it_from_its_own_timer() {
    let mut scene = Scene::new(221);
    scene.phone("UE", 1);
    scene.world.links.set(
        "UE",
        "P-CSCF",
        Link {
            cut: true,
            ..Link::default()
        },
    );
    let events = scene.tell("UE", UeCommand::Register);
    assert_eq!(events, [UeEvent::NoAnswer]);
}

#[test]
fn a_dead_i_cscf_is_reported_to_the_phone_before_its_own_timer() {
    let mut scene = Scene::new(222);
    scene.phone("UE", 1);
    scene.world.crash("I-CSCF");
    let events = scene.tell("UE", UeCommand::Register);
    assert!(scene.is_rejected("UE", 504), "{events:?}\n{}", scene.ladder());
}
