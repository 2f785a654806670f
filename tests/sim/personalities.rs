//! Testkit: the HSSs of the field: every one of them is lived with.

use std::time::Duration;

use ims_tests::hss::{Hss, Personality};
use ims_tests::milenage::Sqn;
use ims_tests::scene::{Scene, impi, personal_config};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::identity::Secret;
use ims_tests::ue::{UeCommand, UeEvent};

fn site() -> Site {
    Site::on_network([192, 0, 2])
}

fn scenes(seed: u64) -> impl Iterator<Item = (Personality, Scene)> {
    let all = Personality::ALL.into_iter().zip(seed..);
    all.map(|(personality, seed)| (personality, Scene::personal(seed, site(), personality)))
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

#[test]
fn every_personality_refuses_a_stranger() {
    for (personality, mut scene) in scenes(2_030) {
        scene.phone("UE", 99);
        scene.tell("UE", UeCommand::Register);
        assert!(
            scene.is_rejected("UE", 403),
            "{personality:?}\n{}",
            scene.ladder()
        );
        scene.assert_empty();
    }
}

/// How many of two phones that register at the same instant succeed.
fn registered_together(seed: u64, site: Site) -> u64 {
    let mut scene = Scene::personal(seed, site, Personality::PyHss1);
    for (name, number) in [("UE1", 1), ("UE2", 2)] {
        scene.phone(name, number);
    }
    for name in ["UE1", "UE2"] {
        scene.ue(name, |now, ue| ue.command(now, UeCommand::Register));
    }
    scene.world.advance(Duration::from_secs(20));
    scene.world.metrics("S-CSCF").sum("ims_scscf_bindings", &[])
}

#[test]
fn one_request_in_flight_saves_what_pyhss_1_0_would_lose() {
    assert_eq!(
        registered_together(2_040, site()),
        1,
        "the second of two messages is lost"
    );
    let mut one_by_one = site();
    one_by_one.icscf_more += "  cx: {in_flight: 1}\n";
    one_by_one.scscf_more += "  cx: {in_flight: 1}\n";
    assert_eq!(registered_together(2_041, one_by_one), 2);
}

#[test]
fn a_phone_learns_the_identities_that_each_personality_has() {
    let number = format!("<sip:15550001@{HOME}>");
    let imsi = format!("<sip:001010000000001@{HOME}>");
    for personality in [Personality::PyHss1, Personality::PyHss2, Personality::Open5gs] {
        let mut scene = Scene::personal(2_050, site(), personality);
        scene.phone("UE", 1);
        scene.tell("UE", UeCommand::Register);
        let associated = scene.granted("UE").associated;
        // The number comes first; only where it is barred the IMSI is not said.
        assert_eq!(associated.first(), Some(&number), "{personality:?}");
        let says_imsi = personality != Personality::Open5gs;
        assert_eq!(
            associated.contains(&imsi),
            says_imsi,
            "{personality:?} {associated:?}"
        );
    }
}

#[test]
fn open5gs_dials_both_cscfs_and_serves_over_its_own_connections() {
    let mut scene = Scene::personal(2_060, site(), Personality::Open5gs);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.world.crash("HSS");
    scene.world.advance(Duration::from_millis(100));
    let config = personal_config(&scene.site, Personality::Open5gs);
    let hss = Hss::new(config, scene.world.next_seed());
    scene.world.restart("HSS", hss);
    // Before a CSCF dials again by itself.
    scene.world.advance(Duration::from_millis(300));
    for name in ["I-CSCF", "S-CSCF"] {
        assert_eq!(
            scene.world.metrics(name).sum("ims_diameter_peers_open", &[]),
            1,
            "{name}"
        );
    }
    // Its memory is new: the phone's next registration fills it.
    let events = scene.tell("UE", UeCommand::Refresh);
    assert_eq!(registrations(&events), 1, "{events:?}\n{}", scene.ladder());
    scene.world.advance(Duration::from_secs(120));
    assert_eq!(scene.world.metrics("HSS").sum("ims_diameter_peers_open", &[]), 2);
}

#[test]
fn an_open5gs_that_lost_its_memory_keeps_no_user_from_expiring() {
    let mut scene = Scene::personal(2_070, site(), Personality::Open5gs);
    scene.phone_with("UE", 1, |config| config.expires(3_600));
    scene.tell("UE", UeCommand::Register);
    scene.hss(|_, hss| hss.lose_memory());
    scene.world.advance(Duration::from_secs(10_000));
    scene.assert_empty();
    let events = scene.tell("UE", UeCommand::Register);
    assert_eq!(registrations(&events), 1, "{events:?}");
}

#[test]
fn open5gs_and_the_cscfs_dial_at_the_same_instant_and_one_connection_is_left() {
    let mut scene = Scene::personal(2_080, site(), Personality::Open5gs);
    scene.world.advance(Duration::from_secs(300));
    let sum = |scene: &Scene, name: &str, metric, labels: &[_]| scene.world.metrics(name).sum(metric, labels);
    for (name, peers) in [("HSS", 2), ("I-CSCF", 1), ("S-CSCF", 1)] {
        assert_eq!(sum(&scene, name, "ims_diameter_peers_open", &[]), peers, "{name}");
        let ups = sum(&scene, name, "ims_diameter_events_total", &[("reason", "up")]);
        let downs = sum(&scene, name, "ims_diameter_events_total", &[("reason", "down")]);
        assert_eq!((ups, downs), (peers, 0), "{name}: nothing was opened twice");
    }
    scene.phone("UE", 1);
    let events = scene.tell("UE", UeCommand::Register);
    assert_eq!(registrations(&events), 1, "{events:?}\n{}", scene.ladder());
}
