//! Testkit: the first registration (TS 24.229 5.1.1.2, 5.2.2, 5.3.1, 5.4.1).

use ims_common::net::Transport;
use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::site::HOME;
use ims_tests::ue::{UeCommand, UeEvent};

#[test]
fn a_first_registration_is_challenged_once_and_answered_with_the_identities_of_the_set() {
    let mut scene = Scene::new(1);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    assert_golden("register_first", &scene.ladder());
    let granted = scene.granted("UE");
    assert_eq!(granted.expires, 600_000);
    assert_eq!(granted.service_route.len(), 1, "{granted:?}");
    assert!(
        granted.associated.iter().any(|uri| uri.contains("<tel:+")),
        "{granted:?}"
    );
    assert!(
        granted
            .associated
            .iter()
            .all(|uri| !uri.contains("001010000000001@")),
        "barred: {granted:?}"
    );
    scene.assert_quiet();
}

#[test]
fn the_challenge_has_realm_nonce_and_algorithm_and_keys_for_the_p_cscf_only() {
    let mut scene = Scene::new(2);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let in_core = scene.world.record().sip("I-CSCF", "P-CSCF");
    assert!(
        in_core.iter().any(|m| m.contains("ck=\"") && m.contains("ik=\"")),
        "{in_core:?}"
    );
    let to_ue = scene.world.record().sip("P-CSCF", "UE");
    let challenge = to_ue.iter().find(|m| m.starts_with("SIP/2.0 401")).unwrap();
    assert!(challenge.contains(&format!("realm=\"{HOME}\"")), "{challenge}");
    assert!(challenge.contains("algorithm=AKAv1-MD5"), "{challenge}");
    assert!(
        !challenge.contains("ck=\"") && !challenge.contains("ik=\""),
        "{challenge}"
    );
}

#[test]
fn a_phone_may_register_over_tcp() {
    let mut scene = Scene::new(3);
    scene.phone_with("UE", 1, |config| config.transport(Transport::Tcp));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").expires, 600_000);
    scene.assert_quiet();
}

#[test]
fn the_network_grants_less_than_was_asked_when_it_must() {
    let mut scene = Scene::new(4);
    scene.phone_with("UE", 1, |config| config.expires(4_000_000));
    scene.tell("UE", UeCommand::Register);
    assert_eq!(scene.granted("UE").expires, 600_000);
}

#[test]
fn a_too_brief_interval_gets_423_and_the_phone_asks_for_the_minimum() {
    let mut scene = Scene::new(5);
    scene.phone_with("UE", 1, |config| config.expires(5));
    let events = scene.tell("UE", UeCommand::Register);
    let brief = UeEvent::Rejected {
        status: 423,
        retry_after: None,
        min_expires: Some(60),
    };
    assert!(events.contains(&brief), "{events:?}");
    assert_eq!(scene.granted("UE").expires, 60);
}

#[test]
fn what_reaches_the_core_names_path_and_visited_network() {
    let mut scene = Scene::new(6);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    for register in scene.world.record().sip("P-CSCF", "I-CSCF") {
        for header in [
            "Path: <sip:",
            "Require: path",
            "P-Visited-Network-ID: ",
            "P-Charging-Vector: icid-value=",
        ] {
            assert!(register.contains(header), "no {header} in {register}");
        }
        assert!(
            !register.contains("Security-Client") && !register.contains("sec-agree"),
            "{register}"
        );
    }
}
