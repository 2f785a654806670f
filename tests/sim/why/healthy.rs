//! Testkit: days on which nothing fails, and on which nothing must be found.

use std::time::Duration;

use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::ue::UeCommand;
use ims_tests::ue::fixtures::ALL;
use ims_tests::ue::talk::Text;

use super::{found_by, site};
use crate::handset_fixtures;

fn assert_nothing_is_found(scene: &mut Scene, who: &[&str]) {
    for node in ["P-CSCF", "I-CSCF", "S-CSCF"] {
        assert_eq!(
            found_by(scene, node),
            <Vec<String>>::new(),
            "{node}\n{}",
            scene.ladder()
        );
    }
    for who in who {
        assert_eq!(scene.world.findings(who), [], "{who}\n{}", scene.ladder());
    }
}

#[test]
fn a_good_day_over_ipsec_needs_no_explanation() {
    let mut site = site().with_ipsec();
    site.scscf_more = "  registration: {reauthenticate: always}\n".to_owned();
    let mut scene = Scene::with(6_400, site, vec![subscriber(1), subscriber(2)]);
    scene.world.record_why();
    for (name, number) in [("A", 1), ("B", 2)] {
        scene.phone(name, number);
        scene.register(name);
        scene.tell(name, UeCommand::Subscribe(600_000));
    }
    let (one, two) = (imsi(1), imsi(2));
    let who = [one.as_str(), &two, "+15550001", "+15550002"];
    assert_nothing_is_found(&mut scene, &who);
    for _ in 0..3 {
        scene.world.advance(Duration::from_secs(600));
        for name in ["A", "B"] {
            scene.tell(name, UeCommand::Refresh);
        }
    }
    scene.talk("A", 2);
    scene.world.advance(Duration::from_secs(30));
    scene.tell("A", UeCommand::HangUp);
    let greeting = Text::plain(&ims_tests::scene::calls::tel(2), "hello");
    scene.tell("A", UeCommand::Message(greeting));
    assert_nothing_is_found(&mut scene, &who);
    for name in ["A", "B"] {
        scene.tell(name, UeCommand::Deregister);
    }
    assert_nothing_is_found(&mut scene, &who);
    scene.world.advance(Duration::from_secs(200));
    assert_nothing_is_found(&mut scene, &who);
}

#[test]
fn no_handset_is_taken_for_a_sick_one() {
    for (seed, fixture) in (6_410..).zip(&ALL) {
        let mut scene = handset_fixtures::scene(fixture, seed);
        scene.world.record_why();
        scene.register("UE");
        scene.tell("UE", UeCommand::Subscribe(600_000));
        scene.world.advance(Duration::from_secs(100));
        scene.tell("UE", UeCommand::Refresh);
        scene.world.advance(Duration::from_secs(100));
        scene.tell("UE", UeCommand::Register);
        scene.tell("UE", UeCommand::Subscribe(600_000));
        scene.world.advance(Duration::from_secs(100));
        scene.tell("UE", UeCommand::Deregister);
        assert_nothing_is_found(&mut scene, &[imsi(1).as_str()]);
    }
}
