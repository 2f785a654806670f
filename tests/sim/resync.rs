//! Testkit: a USIM whose sequence number is ahead of the HSS (TS 33.203 6.1.3, TS 24.229 5.4.1.2.3A).

use ims_tests::ladder::assert_golden;
use ims_tests::milenage::Sqn;
use ims_tests::scene::Scene;
use ims_tests::ue::identity::Secret;
use ims_tests::ue::{Behaviour, UeCommand, UeEvent};

#[test]
fn auts_goes_to_the_hss_and_the_next_challenge_is_in_order() {
    let mut scene = Scene::new(11);
    scene.phone_with("UE", 1, |mut config| {
        if let Secret::Aka(usim) = &mut config.secret {
            *usim = usim.clone().with_sqn(Sqn::of(1 << 20, 0));
        }
        config
    });
    let events = scene.tell("UE", UeCommand::Register);
    assert_golden("register_resync", &scene.ladder());
    assert!(events.contains(&UeEvent::SyncFailure), "{events:?}");
    assert_eq!(scene.granted("UE").expires, 600_000);
    assert!(scene.ladder().contains("rand|auts"), "AUTS reaches the HSS");
    scene.assert_quiet();
}

#[test]
fn endless_resynchronisation_ends_with_403_or_with_a_phone_that_gives_up() {
    let mut scene = Scene::new(12);
    scene.phone_with("UE", 1, |config| config.behaviour(Behaviour::AlwaysResync));
    let events = scene.tell("UE", UeCommand::Register);
    let failures = events.iter().filter(|e| **e == UeEvent::SyncFailure).count();
    assert!(failures <= 3, "{events:?}");
    assert!(
        scene.is_rejected("UE", 403) || events.contains(&UeEvent::GaveUp),
        "{events:?}"
    );
    scene.assert_quiet();
}
