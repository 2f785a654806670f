//! Testkit: what comes to protected ports from whom no set is (TS 33.203 7.1, RFC 4301 5.2, RFC 4303 3.4.3).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use ims_tests::kernel::{Dropped, Envelope};
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;
use ims_tests::world::links::Link;

use super::{register, sent};

const REGISTER: &str = "REGISTER sip:ims.mnc001.mcc001.3gppnetwork.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.14:45062;branch=z9hG4bKx\r\n\
    Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";

fn bytes() -> Bytes {
    Bytes::from_static(REGISTER.as_bytes())
}

fn registered(seed: u64) -> Scene {
    let mut scene = Scene::protected(seed, "never");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    scene.world.forget_record();
    scene
}

#[test]
fn clear_text_to_a_protected_port_never_reaches_sip_whatever_its_source() {
    let mut scene = registered(2_601);
    let set = Arc::clone(scene.world.kernel("P-CSCF").sets().next().unwrap());
    let [uc, _, _, us] = set.states.map(|state| state.source);
    let (ps, pc) = (set.states[0].destination, set.states[3].destination);
    let stranger: SocketAddr = "192.0.2.250:5060".parse().unwrap();
    let sources = [
        uc,
        us,
        SocketAddr::new(uc.ip(), 5_060),
        SocketAddr::new(uc.ip(), 40_000),
        stranger,
    ];
    for source in sources {
        for port in [ps, pc] {
            scene.world.inject(source, port, bytes());
        }
    }
    scene.world.run_until_idle();
    assert_eq!(scene.world.kernel("P-CSCF").dropped(Dropped::Clear), 10);
    assert_eq!(sent(&scene, "P-CSCF", "I-CSCF").len(), 0, "{}", scene.ladder());
    assert_eq!(scene.world.record().entries().len(), 0, "{}", scene.ladder());
    scene.assert_quiet();
}

#[test]
fn esp_with_a_valid_spi_is_dropped_when_its_ports_or_its_key_are_not_those_of_the_set() {
    let mut scene = registered(2_602);
    let set = Arc::clone(scene.world.kernel("P-CSCF").sets().next().unwrap());
    let [uc, _, _, us] = set.states.map(|state| state.source);
    let ps = set.states[0].destination;
    let envelope = |sequence| Envelope {
        spi: set.states[0].spi,
        suite: set.suite,
        keys: Arc::clone(&set.keys),
        sequence,
    };
    scene.world.inject_sealed(us, ps, bytes(), envelope(50));
    scene
        .world
        .inject_sealed(uc, SocketAddr::new(ps.ip(), 5_060), bytes(), envelope(51));
    let mut foreign = envelope(52);
    foreign.spi ^= 1;
    scene.world.inject_sealed(uc, ps, bytes(), foreign);
    scene.world.run_until_idle();
    let kernel = scene.world.kernel("P-CSCF");
    assert_eq!(
        (
            kernel.dropped(Dropped::Selector),
            kernel.dropped(Dropped::NoState)
        ),
        (2, 1)
    );
    assert_eq!(sent(&scene, "P-CSCF", "I-CSCF").len(), 0, "{}", scene.ladder());
}

#[test]
fn packets_that_come_twice_are_seen_once() {
    let mut scene = Scene::protected(2_603, "always");
    scene.phone("UE", 1);
    scene.world.links.set(
        "UE",
        "P-CSCF",
        Link {
            duplicates: 1_000,
            ..Link::default()
        },
    );
    register(&mut scene, UeCommand::Register);
    register(&mut scene, UeCommand::Refresh);
    assert!(scene.world.kernel("P-CSCF").dropped(Dropped::Replay) >= 2);
    assert!(scene.world.kernel("UE").dropped(Dropped::Replay) >= 2);
    scene.assert_quiet();
}

#[test]
fn phones_get_registered_on_a_link_that_loses_every_third_packet() {
    for seed in 2_610..2_620 {
        let mut scene = Scene::protected(seed, "always");
        scene.phone("UE", 1);
        scene.world.links.set(
            "UE",
            "P-CSCF",
            Link {
                loss: 333,
                ..Link::default()
            },
        );
        for command in [UeCommand::Register, UeCommand::Refresh, UeCommand::Refresh] {
            register(&mut scene, command);
        }
        scene.world.links.set("UE", "P-CSCF", Link::default());
        scene.assert_quiet();
    }
}
