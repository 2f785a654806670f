//! Testkit: far more registrations than the network can do (RFC 3261 21.5.4, RFC 6357).

use std::collections::BTreeSet;
use std::time::Duration;

use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::{UeCommand, UeEvent};

/// What one message takes a CSCF; a registration is four of them for P- and I-CSCF.
const SERVICE: Duration = Duration::from_millis(10);
const CAPACITY_PER_SECOND: usize = 25;
const PHONES: u8 = 200;

/// Phones that all begin within `storm`, evenly, and come again soon when they are refused.
fn storm(seed: u64, site: Site, storm: Duration) -> Scene {
    let mut site = site;
    site.pcscf_more = "  limits: {retry_after_min: 1s, retry_after_max: 4s}\n".to_owned();
    site.icscf_more.clone_from(&site.pcscf_more);
    let mut scene = Scene::busy(seed, site, (1..=PHONES).map(subscriber).collect(), SERVICE);
    for number in 1..=PHONES {
        scene.phone_with(&name(number), number, |mut config| {
            config.comes_again = true;
            config
        });
    }
    scene.world.forget_record();
    for number in 1..=PHONES {
        scene.ue(&name(number), |now, ue| ue.command(now, UeCommand::Register));
        scene.world.advance(storm / u32::from(PHONES));
    }
    scene
}

fn name(number: u8) -> String {
    format!("UE{number}")
}

fn registered(scene: &mut Scene) -> usize {
    (1..=PHONES)
        .filter(|number| scene.ue(&name(*number), |_, ue| ue.is_registered()))
        .count()
}

/// At ten times of what they can do, the CSCFs do all that they can.
#[test]
fn goodput_of_ten_times_the_capacity_is_the_capacity() {
    let mut scene = storm(1_201, Site::on_network([192, 0, 2]), Duration::from_millis(800));
    scene.world.advance(Duration::from_millis(4_200));
    let count = registered(&mut scene);
    // 5 s, the last registrations still under way.
    let least = CAPACITY_PER_SECOND * 5 * 9 / 10 - 10;
    assert!(count >= least, "{count} registered, not {least}");
    assert!(count < usize::from(PHONES), "it was no storm");
    scene.world.advance(Duration::from_secs(60));
    assert_eq!(
        registered(&mut scene),
        usize::from(PHONES),
        "all came again and were served"
    );
    scene.assert_quiet();
}

#[test]
fn what_is_in_progress_does_not_suffer_from_a_storm_and_refusals_are_spread() {
    let mut scene = storm(1_202, Site::on_network([192, 0, 2]), Duration::from_millis(800));
    scene.world.advance(Duration::from_secs(60));
    let mut waits = BTreeSet::new();
    let mut refusals = 0;
    for number in 1..=PHONES {
        let events = scene.ue(&name(number), |_, ue| ue.take_events());
        let challenges = events.iter().filter(|e| matches!(e, UeEvent::Challenged { .. }));
        assert_eq!(challenges.count(), 1, "one vector is enough: {events:?}");
        assert!(
            matches!(events.last(), Some(UeEvent::Registered(_))),
            "{events:?}"
        );
        for event in events {
            match event {
                UeEvent::Rejected {
                    status: 503,
                    retry_after: Some(seconds),
                    ..
                } => {
                    refusals += 1;
                    waits.insert(seconds);
                }
                UeEvent::Rejected { .. } | UeEvent::NoAnswer | UeEvent::GaveUp => panic!("{event:?}"),
                _ => {}
            }
        }
    }
    assert!(refusals > 100, "{refusals} were refused");
    assert_eq!(Vec::from_iter(waits), [1, 2, 3, 4]);
    // Most of it at the first of the three, where it costs least.
    let at = |node| {
        let metrics = scene.world.metrics(node);
        metrics.sum("ims_sip_refusals_total", &[])
    };
    assert!(
        at("P-CSCF") > 4 * (at("I-CSCF") + at("S-CSCF")),
        "{} {} {}",
        at("P-CSCF"),
        at("I-CSCF"),
        at("S-CSCF")
    );
}

/// Each challenge makes four states, and each phone that was refused after it comes with another offer.
#[test]
fn a_storm_on_protected_gm_leaves_one_set_for_each_phone() {
    let site = Site::on_network([192, 0, 2]).with_ipsec();
    let mut scene = storm(1_203, site, Duration::from_millis(800));
    scene.world.advance(Duration::from_secs(60));
    assert_eq!(registered(&mut scene), usize::from(PHONES));
    assert_eq!(scene.world.kernel("P-CSCF").states(), 4 * usize::from(PHONES));
    let refused = scene.world.metrics("P-CSCF").sum("ims_sip_refusals_total", &[]);
    assert!(refused > 100, "it was no storm: {refused}");
    scene.assert_quiet();
    assert_eq!(scene.world.kernel("P-CSCF").states(), 4 * usize::from(PHONES));
}
