//! Testkit: what is wrong with the network or with where a phone is, and the sentence that says so.

use std::time::Duration;

use ims_common::net::Command;
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::ue::{Ue, UeCommand};

use super::site;

#[test]
fn an_hss_that_is_gone_is_named() {
    let mut scene = Scene::with(6_100, site(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone("UE", 1);
    scene.world.crash("HSS");
    scene.world.advance(Duration::from_secs(60));
    scene.tell("UE", UeCommand::Register);
    scene.world.assert_explained(&imsi(1), "diameter-peer-down");
}

#[test]
fn a_phone_of_another_network_is_told_from_an_unknown_one() {
    let mut scene = Scene::with(6_101, site(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone_with("UE", 1, |mut config| {
        let identity = &mut config.identity;
        for name in [&mut identity.impi, &mut identity.impu, &mut identity.home] {
            *name = name.replace("mnc001", "mnc009");
        }
        config
    });
    scene.tell("UE", UeCommand::Register);
    scene.world.assert_explained(&imsi(1), "foreign-realm");
}

#[test]
fn a_phone_that_moved_is_told_as_such() {
    let mut scene = Scene::with(6_102, site().with_ipsec(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone("UE", 1);
    scene.register("UE");
    let mut config = scene.ue("UE", |_, ue| ue.config_mut().clone());
    scene.world.darken("UE");
    config.local = scene.site.ue(40);
    scene.world.relocate("UE", config.local);
    let seed = scene.world.next_seed();
    scene.world.restart("UE", Ue::new(config, &seed));
    scene.register("UE");
    scene.world.assert_explained(&imsi(1), "access-changed");
}

#[test]
fn a_storm_is_told_from_a_failure() {
    let mut site = site();
    site.pcscf_more =
        "  limits: {retry_after_min: 3s, retry_after_max: 4s}\n  register_storm: {per_second: 20}\n"
            .to_owned();
    let subscribers = (1..=100).map(subscriber).collect();
    let mut scene = Scene::busy(6_103, site, subscribers, Duration::from_millis(20));
    scene.world.record_why();
    for number in 1..=100 {
        scene.phone(&format!("UE{number}"), number);
    }
    for number in 1..=100 {
        scene.ue(&format!("UE{number}"), |now, ue| {
            ue.command(now, UeCommand::Register)
        });
    }
    scene.world.advance(Duration::from_secs(5));
    let refused = (1..=100).find(|number| scene.is_rejected(&format!("UE{number}"), 503));
    let refused = refused.expect("a phone that was refused");
    scene.world.assert_explained(&imsi(refused), "registration-storm");
}

#[test]
fn a_node_that_is_drained_is_told_from_a_storm() {
    let mut scene = Scene::with(6_104, site(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone("UE", 1);
    scene.world.command("P-CSCF", Command::Drain);
    scene.tell("UE", UeCommand::Register);
    scene.world.assert_explained(&imsi(1), "node-refuses");
}

#[test]
fn a_node_without_room_names_the_limit() {
    let mut site = site();
    site.pcscf_more = "  limits: {transactions: 1}\n".to_owned();
    let mut scene = Scene::busy(
        6_105,
        site,
        vec![subscriber(1), subscriber(2)],
        Duration::from_millis(20),
    );
    scene.world.record_why();
    for number in 1..=2 {
        scene.phone(&format!("UE{number}"), number);
        scene.ue(&format!("UE{number}"), |now, ue| {
            ue.command(now, UeCommand::Register)
        });
    }
    scene.world.advance(Duration::from_secs(5));
    let findings = scene.world.findings(&imsi(2));
    let cause = findings
        .iter()
        .find(|it| it.detector == "node-refuses")
        .map(|it| it.cause.as_str());
    let expected = "P-CSCF refused the REGISTER with 503: it has as many requests under way as limits.transactions allows";
    assert_eq!(cause, Some(expected), "{findings:?}");
}
