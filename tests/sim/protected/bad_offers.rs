//! Testkit: offers that cannot be taken as they are (TS 33.203 7.1, Annex H; RFC 4303 2.1).

use ims_common::ipsec::Suite;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;
use ims_tests::ue::security::Dialect;
use ims_tests::ue::shape::{PLAIN, Shape};

use super::{header, in_clear, is_registered, last_sent, register, sent, sets};

const fn shaped(mechanism: &'static str) -> Shape {
    Shape {
        dialect: Dialect {
            mechanism,
            ..PLAIN.dialect
        },
        ..PLAIN
    }
}

/// A phone whose every mechanism is like this.
fn scene(seed: u64, shape: Shape) -> Scene {
    let mut scene = Scene::protected(seed, "never");
    scene.phone_with("UE", 1, |config| config.shape(shape));
    scene
}

#[test]
fn an_offer_of_nothing_usable_gets_494_with_ours_and_nothing_is_made_of_it() {
    for mechanism in [
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c=12;spi-s={spi_s};port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c={spi_c};spi-s=255;port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c={spi_c};spi-s={spi_c};port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c=4294967296;spi-s={spi_s};port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c=0;port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s=65536",
        "ipsec-3gpp;alg={alg};ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_s};port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};prot=ah;spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;alg={alg};ealg={ealg};mod=tun;spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        "ipsec-3gpp;alg=hmac-sha-256;ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        "tls;q=0.5",
        ";;;,,==",
    ] {
        let mut scene = scene(3_001, shaped(mechanism));
        let events = scene.tell("UE", UeCommand::Register);
        assert!(!is_registered(&events), "{mechanism}");
        assert!(
            scene.is_rejected("UE", 494),
            "{mechanism}: {events:?}\n{}",
            scene.ladder()
        );
        let (_, refusal) = last_sent(&scene, "P-CSCF", "UE");
        assert!(header(&refusal, "Security-Server").is_some(), "{refusal}");
        assert!(sent(&scene, "P-CSCF", "I-CSCF").is_empty(), "{mechanism}");
        assert_eq!(sets(&scene), 0);
        scene.assert_empty();
    }
}

#[test]
fn one_usable_mechanism_among_forty_is_found() {
    const MANY: [Suite; 40] = {
        let mut many = [PLAIN.dialect.suites[0]; 40];
        many[39] = PLAIN.dialect.suites[1];
        many
    };
    let shape = Shape {
        dialect: Dialect {
            suites: &MANY,
            // With things between them that are no mechanisms of ours.
            separator: ",tls,ipsec-3gpp;alg=hmac-md5-96;spi-c=1,",
            ..PLAIN.dialect
        },
        ..PLAIN
    };
    let mut scene = scene(3_002, shape);
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    scene.assert_quiet();
}

#[test]
fn a_contact_that_is_nowhere_does_not_lead_the_associations_astray() {
    let shape = Shape {
        contact: "<sip:{user}@0.0.0.0:5060>;+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\"",
        ..PLAIN
    };
    let mut scene = scene(3_003, shape);
    scene.tell("UE", UeCommand::Register);
    let local = scene.ue("UE", |_, ue| ue.config_mut().local);
    let states = scene.world.kernel("P-CSCF").sets().next().map(|set| set.states);
    let states = states.unwrap_or_else(|| panic!("{}", scene.ladder()));
    assert_eq!(states[0].source.ip(), local.ip(), "where the packets come from");
    assert_eq!(in_clear(&scene).len(), 2);
}

#[test]
fn security_client_may_be_cut_into_lines_and_padded() {
    let shape = Shape {
        dialect: Dialect {
            mechanism: "  IPSEC-3GPP ; Alg = {alg} ; EALG = {ealg} ; x-vendor = \"a;b,c\" ; spi-c = {spi_c} ; spi-s = 0{spi_s} ; \
                        Port-C = {port_c} ; port-S = {port_s}",
            separator: "\r\nSecurity-Client: sdes-srtp;mediasec,",
            ..PLAIN.dialect
        },
        ..PLAIN
    };
    // An SPI of ten digits has no room for a zero before it.
    let shape = Shape {
        dialect: Dialect {
            spis: ims_tests::ue::security::Spis::Consecutive(74_618),
            ..shape.dialect
        },
        ..shape
    };
    let mut scene = scene(3_004, shape);
    register(&mut scene, UeCommand::Register);
    scene.assert_quiet();
}
