//! Testkit: SIP Digest instead of AKA (TS 33.203 Annex N, TS 24.229 5.4.1.2.1B).

use std::time::Duration;

use ims_tests::hss::Subscriber;
use ims_tests::scene::{Scene, imsi};
use ims_tests::site::Site;
use ims_tests::ue::identity::Secret;
use ims_tests::ue::{UeCommand, UeEvent};

fn scene(seed: u64, password: &str) -> Scene {
    let user = Subscriber::new(&imsi(1))
        .digest_password("swordfish")
        .msisdn("15550001");
    let mut scene = Scene::with(seed, Site::on_network([192, 0, 2]), vec![user]);
    scene.phone_with("UE", 1, |mut config| {
        config.secret = Secret::Digest(password.to_owned());
        config
    });
    scene
}

#[test]
fn a_password_registers_registers_again_and_leaves() {
    let mut scene = scene(851, "swordfish");
    let events = scene.tell("UE", UeCommand::Register);
    assert!(
        events.contains(&UeEvent::Challenged {
            algorithm: "MD5".to_owned()
        }),
        "{events:?}\n{}",
        scene.ladder()
    );
    assert_eq!(scene.granted("UE").expires, 600_000);
    let events = scene.tell("UE", UeCommand::Refresh);
    assert!(
        events.iter().any(|e| matches!(e, UeEvent::Registered(_))),
        "{events:?}\n{}",
        scene.ladder()
    );
    let events = scene.tell("UE", UeCommand::Deregister);
    assert!(
        events.contains(&UeEvent::Deregistered),
        "{events:?}\n{}",
        scene.ladder()
    );
    // A nonce is used for an hour, and known as stale for another.
    scene.world.advance(Duration::from_secs(7_200));
    scene.assert_empty();
}

#[test]
fn a_wrong_password_does_not_register() {
    let mut scene = scene(852, "herring");
    scene.tell_for("UE", UeCommand::Register, 60);
    assert!(scene.is_rejected("UE", 403), "{}", scene.ladder());
    assert_eq!(scene.bindings("S-CSCF"), 0);
    scene.world.advance(Duration::from_secs(7_200));
    scene.assert_quiet();
}
