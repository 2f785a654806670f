//! Testkit: security associations over which nothing comes, and the sentence that says why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ims_tests::kernel::Envelope;
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::HOME;
use ims_tests::ue::UeCommand;
use ims_tests::ue::security::Misdeed;

use super::{found_by, site};

fn scene(seed: u64) -> Scene {
    let mut scene = Scene::with(seed, site().with_ipsec(), vec![subscriber(1)]);
    scene.world.record_why();
    scene
}

/// A REGISTER from behind a NAT: nothing comes back to who sent it.
fn from_behind_a_nat() -> Bytes {
    let user = imsi(1);
    let text = format!(
        "REGISTER sip:{HOME} SIP/2.0\r\nVia: SIP/2.0/UDP 10.45.0.7:5060;branch=z9hG4bKnat;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{user}@{HOME}>;tag=1\r\nTo: <sip:{user}@{HOME}>\r\nCall-ID: nat\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:{user}@10.45.0.7:5060>\r\nExpires: 600000\r\nSupported: path\r\nRequire: sec-agree\r\n\
         Proxy-Require: sec-agree\r\nSecurity-Client: ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;\
         spi-c=11111;spi-s=11112;port-c=45061;port-s=45062\r\nAuthorization: Digest username=\"{user}@{HOME}\",\
         realm=\"{HOME}\",nonce=\"\",uri=\"sip:{HOME}\",response=\"\"\r\nContent-Length: 0\r\n\r\n"
    );
    text.into()
}

#[test]
fn a_nat_between_the_phones_and_us_is_named() {
    let mut scene = scene(6_300);
    let outside: SocketAddr = "192.0.2.14:5060".parse().expect("an address");
    let gm = scene.site.gm;
    scene.world.inject(outside, gm, from_behind_a_nat());
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["nat-before-us"]);
    scene.world.assert_explained(&imsi(1), "nat-before-us");
}

#[test]
fn esp_that_fails_its_check_is_told_from_silence() {
    let mut scene = scene(6_301);
    scene.misdoer("UE", 1, Misdeed::WrongKey);
    scene.tell_for("UE", UeCommand::Register, 1);
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["esp-fails-authentication"]);
    scene.world.assert_explained(&imsi(1), "esp-fails-authentication");
}

#[test]
fn answers_in_clear_are_told_from_silence() {
    let mut scene = scene(6_302);
    scene.misdoer("UE", 1, Misdeed::InClear);
    scene.tell_for("UE", UeCommand::Register, 1);
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["selector-forbids"]);
    scene.world.assert_explained(&imsi(1), "selector-forbids");
}

#[test]
fn esp_from_another_port_than_agreed_is_told_from_silence() {
    let mut scene = scene(6_303);
    scene.misdoer("UE", 1, Misdeed::NeverAnswers);
    scene.tell_for("UE", UeCommand::Register, 1);
    let set = scene.world.kernel("P-CSCF").sets().next().map(Arc::clone);
    let set = set.expect("the set of the challenge");
    let envelope = Envelope {
        spi: set.states[0].spi,
        suite: set.suite,
        keys: Arc::clone(&set.keys),
        sequence: 1,
    };
    let (us, ps) = (set.states[3].source, set.states[0].destination);
    scene
        .world
        .inject_sealed(us, ps, Bytes::from_static(b"REGISTER"), envelope);
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["selector-forbids"]);
    let told = scene.world.why(&imsi(1));
    assert!(
        told.contains("1 packet came over a security association from or to another address or port"),
        "{told}"
    );
}

#[test]
fn associations_that_a_restart_lost_are_told() {
    let mut scene = scene(6_304);
    scene.phone("UE", 1);
    scene.register("UE");
    scene.restart("P-CSCF");
    scene.tell_for("UE", UeCommand::Refresh, 20);
    scene.world.assert_explained(&imsi(1), "unknown-spi");
}

#[test]
fn associations_that_somebody_deleted_are_told() {
    let mut scene = scene(6_305);
    scene.phone("UE", 1);
    scene.register("UE");
    scene.tell("UE", UeCommand::Subscribe(600_000));
    let set = scene.world.kernel("P-CSCF").sets().next().map(|set| set.id);
    scene
        .world
        .delete_states("P-CSCF", set.expect("the set of the phone"));
    scene.tell_for("UE", UeCommand::Refresh, 20);
    scene.world.advance(Duration::from_secs(1));
    let told = scene.world.why(&imsi(1));
    assert!(
        told.starts_with(
            "The security associations of IMSI 001010000000001 are gone (deleted), and ESP comes"
        ),
        "{told}"
    );
}
