//! Testkit: the P-CSCF knows what the home network does to registrations (TS 24.229 5.2.3, 5.2.5.2).

use std::time::Duration;

use hss_client::cx::ReasonCode;
use ims_tests::scene::{Scene, impi, impu, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::UeCommand;

fn site() -> Site {
    Site::on_network([192, 0, 2]).with_reg_event()
}

fn scene(seed: u64, site: Site) -> Scene {
    let mut scene = Scene::with(seed, site, vec![subscriber(1), subscriber(2)]);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(5));
    scene
}

fn gauge(scene: &Scene, name: &str) -> u64 {
    scene.world.metrics("P-CSCF").sum(name, &[])
}

fn count(scene: &Scene, reason: &str) -> u64 {
    let metrics = scene.world.metrics("P-CSCF");
    metrics.sum("ims_pcscf_reg_event_total", &[("reason", reason)])
}

fn contacts_and_subscriptions(scene: &Scene) -> (u64, u64) {
    (
        gauge(scene, "ims_pcscf_contacts"),
        gauge(scene, "ims_pcscf_subscriptions"),
    )
}

#[test]
fn a_registration_that_the_hss_ends_is_gone_at_the_p_cscf_too() {
    let protected = |site: Site| {
        let mut site = site.with_ipsec();
        site.scscf_more = "  registration: {reauthenticate: never}\n".to_owned();
        site
    };
    for (seed, site) in [(1_801, site()), (1_802, protected(site()))] {
        let mut scene = scene(seed, site);
        assert_eq!(contacts_and_subscriptions(&scene), (1, 1), "\n{}", scene.ladder());
        assert!(count(&scene, "notified") >= 1, "\n{}", scene.ladder());
        scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], ReasonCode::PermanentTermination));
        scene.world.advance(Duration::from_secs(10));
        assert_eq!(count(&scene, "registration-ended"), 1, "\n{}", scene.ladder());
        assert_eq!(gauge(&scene, "ims_pcscf_contacts"), 1, "the UE may still be told");
        scene.world.advance(Duration::from_secs(120));
        assert_eq!(contacts_and_subscriptions(&scene), (0, 0), "\n{}", scene.ladder());
        scene.assert_quiet();
        assert_eq!(scene.world.kernel("P-CSCF").states(), 0);
    }
}

#[test]
fn a_user_that_was_taken_away_and_comes_back_at_once_is_watched_again() {
    let mut scene = scene(1_803, site());
    scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], ReasonCode::ServerChange));
    scene.world.advance(Duration::from_secs(2));
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(120));
    assert_eq!(scene.bindings("S-CSCF"), 1);
    assert_eq!(contacts_and_subscriptions(&scene), (1, 1), "\n{}", scene.ladder());
    assert_eq!(count(&scene, "subscribed"), 2, "\n{}", scene.ladder());
}

#[test]
fn a_profile_with_a_further_identity_is_known_at_the_p_cscf() {
    let mut scene = scene(1_804, site());
    let new = format!("sip:alice@{HOME}");
    scene.hss(|now, hss| {
        hss.subscribers
            .update(&impi(1), |subscriber| subscriber.impu(&new))
            && hss.send_ppr(now, &impi(1), &impu("tel:+15550001"))
    });
    scene.world.advance(Duration::from_secs(5));
    assert_eq!(count(&scene, "registration-changed"), 1, "\n{}", scene.ladder());
    assert_eq!(contacts_and_subscriptions(&scene), (1, 1));
}

#[test]
fn a_phone_that_leaves_ends_the_subscription() {
    let mut scene = scene(1_805, site());
    scene.tell("UE", UeCommand::Deregister);
    scene.world.advance(Duration::from_secs(120));
    assert_eq!(contacts_and_subscriptions(&scene), (0, 0), "\n{}", scene.ladder());
    scene.assert_empty();
}

#[test]
fn after_a_restart_of_the_s_cscf_a_new_registration_is_watched_anew() {
    let mut scene = scene(1_806, site());
    scene.world.crash("S-CSCF");
    scene.world.advance(Duration::from_secs(5));
    scene.restart("S-CSCF");
    scene.world.advance(Duration::from_secs(5));
    scene.tell("UE", UeCommand::Refresh);
    scene.world.advance(Duration::from_secs(60));
    assert_eq!(scene.bindings("S-CSCF"), 1, "\n{}", scene.ladder());
    let before = count(&scene, "notified");
    scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], ReasonCode::PermanentTermination));
    scene.world.advance(Duration::from_secs(120));
    assert!(count(&scene, "notified") > before, "\n{}", scene.ladder());
    assert_eq!(gauge(&scene, "ims_pcscf_contacts"), 0, "\n{}", scene.ladder());
}
