//! Testkit: the HSSs of the field: every one of them is lived with.

use std::time::Duration;

use ims_tests::hss::Personality;
use ims_tests::milenage::Sqn;
use ims_tests::scene::{Scene, impi};
use ims_tests::site::Site;
use ims_tests::ue::identity::Secret;
use ims_tests::ue::{UeCommand, UeEvent};

fn scenes(seed: u64) -> impl Iterator<Item = (Personality, Scene)> {
    let all = Personality::ALL.into_iter().zip(seed..);
    all.map(|(personality, seed)| (personality, Scene::personal(seed, personality)))
}

fn registrations(events: &[UeEvent]) -> usize {
    let registered = |e: &&UeEvent| matches!(e, UeEvent::Registered(_));
    events.iter().filter(registered).count()
}

#[test]
fn every_personality_registers_and_registers_again() {
    for (personality, mut scene) in scenes(2_000) {
        scene.phone("UE", 1);
        let events = scene.tell("UE", UeCommand::Register);
        assert_eq!(
            registrations(&events),
            1,
            "{personality:?} {events:?}\n{}",
            scene.ladder()
        );
        assert!(!events.contains(&UeEvent::SyncFailure), "{personality:?}");
        assert_eq!(scene.granted("UE").expires, 600_000);
        let name = scene.hss(|_, hss| hss.subscribers.server_name(&impi(1)).map(str::to_owned));
        assert_eq!(name, Some(Site::server_name(0)), "{personality:?}");
        scene.world.advance(Duration::from_secs(1_000));
        let events = scene.tell("UE", UeCommand::Refresh);
        assert_eq!(
            registrations(&events),
            1,
            "{personality:?} {events:?}\n{}",
            scene.ladder()
        );
        assert_eq!(scene.bindings("S-CSCF"), 1, "{personality:?}");
        scene.assert_quiet();
    }
}

#[test]
fn every_personality_resynchronises() {
    for (personality, mut scene) in scenes(2_010) {
        scene.phone_with("UE", 1, |mut config| {
            if let Secret::Aka(usim) = &mut config.secret {
                *usim = usim.clone().with_sqn(Sqn::of(1 << 20, 0));
            }
            config
        });
        let events = scene.tell("UE", UeCommand::Register);
        let failures = events.iter().filter(|e| **e == UeEvent::SyncFailure).count();
        assert_eq!(
            (failures, registrations(&events)),
            (1, 1),
            "{personality:?} {events:?}\n{}",
            scene.ladder()
        );
        scene.assert_quiet();
    }
}

#[test]
fn every_personality_lets_a_phone_leave_and_come_back() {
    for (personality, mut scene) in scenes(2_020) {
        scene.phone("UE", 1);
        scene.tell("UE", UeCommand::Register);
        let events = scene.tell("UE", UeCommand::Deregister);
        assert!(
            events.contains(&UeEvent::Deregistered),
            "{personality:?} {events:?}\n{}",
            scene.ladder()
        );
        scene.assert_empty();
        let events = scene.tell("UE", UeCommand::Register);
        assert_eq!(
            registrations(&events),
            1,
            "{personality:?} {events:?}\n{}",
            scene.ladder()
        );
        scene.assert_quiet();
    }
}
