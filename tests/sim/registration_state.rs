//! Testkit: registration state: who watches it, who is told, and what the network does to it (TS 24.229 5.4.1.5 to
//! 5.4.1.7, 5.4.2; RFC 3680).

use std::time::Duration;

use hss_client::cx::ReasonCode;
use ims_common::net::{Command, RegistrationCommand};
use ims_tests::app_server::AsBehaviour;
use ims_tests::hss::{Ifc, Subscriber};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::{Scene, impi, impu, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::talk::Cause;
use ims_tests::ue::{UeCommand, UeEvent};

/// Each identity that a NOTIFY tells, with the events of its contacts.
fn told(events: &[UeEvent]) -> Vec<Vec<String>> {
    let notified = events.iter().filter_map(|event| match event {
        UeEvent::Notified(info) => Some(info),
        _ => None,
    });
    notified
        .map(|info| {
            let events = info
                .registrations
                .iter()
                .flat_map(|registration| &registration.contacts);
            events.map(|contact| contact.event.clone()).collect()
        })
        .collect()
}

fn site() -> Site {
    Site::on_network([192, 0, 2]).with_reg_event()
}

fn watched(seed: u64) -> Scene {
    Scene::with(seed, site(), vec![subscriber(1), subscriber(2)])
}

#[test]
fn phone_and_its_p_cscf_watch_a_registration_from_its_beginning_to_its_end() {
    let mut scene = watched(8_000);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let events = scene.tell("UE", UeCommand::Subscribe(600_000));
    assert!(
        events.contains(&UeEvent::Subscribed(600_000)),
        "{events:?}\n{}",
        scene.ladder()
    );
    assert_eq!(told(&events).len(), 1, "{events:?}\n{}", scene.ladder());
    let gauge = |scene: &Scene| {
        scene
            .world
            .metrics("S-CSCF")
            .sum("ims_scscf_reg_subscriptions", &[])
    };
    assert_eq!(gauge(&scene), 2);
    let events = scene.tell("UE", UeCommand::Refresh);
    assert_eq!(told(&events), [["refreshed", "refreshed"]], "{events:?}");
    let events = scene.tell("UE", UeCommand::Deregister);
    assert_eq!(told(&events), [["unregistered", "unregistered"]], "{events:?}");
    assert_golden("reg_event_life", &scene.ladder());
    assert_eq!(gauge(&scene), 0);
    scene.assert_quiet();
}

#[test]
fn network_ends_a_registration_in_a_call() {
    let mut scene = Scene::talking_with(8_001, site(), vec![subscriber(1), subscriber(2)], |_, config| {
        config
    });
    scene.talk("A", 2);
    scene.world.forget_record();
    assert!(scene.hss(|now, hss| hss.send_rtr(now, &impi(1), &[], ReasonCode::PermanentTermination)));
    scene.world.advance(Duration::from_secs(10));
    assert_golden("network_deregistration_in_a_call", &scene.ladder());
    for name in ["A", "B"] {
        let end = scene.end_of_call(name);
        assert!(
            matches!(end, Some(Cause::PeerHungUp(Some(_)))),
            "{name}: {end:?}\n{}",
            scene.ladder()
        );
    }
    assert_eq!(scene.bindings("S-CSCF"), 1);
    // The P-CSCF has heard of it, and lets what is under way end.
    scene.world.advance(Duration::from_secs(300));
    assert_eq!(scene.world.metrics("P-CSCF").sum("ims_pcscf_contacts", &[]), 1);
    scene.tell("B", UeCommand::Deregister);
    scene.assert_quiet();
}

#[test]
fn operator_ends_a_registration_and_the_phone_comes_back() {
    let mut scene = watched(8_002);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Subscribe(600_000));
    let impu = impu("tel:+15550001");
    let command = RegistrationCommand::Deregister { impu, again: true };
    scene.world.command("S-CSCF", Command::Registration(command));
    scene.world.advance(Duration::from_secs(60));
    assert_eq!(scene.bindings("S-CSCF"), 1, "\n{}", scene.ladder());
    assert_eq!(scene.world.metrics("P-CSCF").sum("ims_pcscf_contacts", &[]), 1);
    scene.tell("UE", UeCommand::Deregister);
    scene.assert_quiet();
}

#[test]
fn network_wants_a_phone_to_prove_itself_anew() {
    let mut scene = watched(8_003);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Subscribe(600_000));
    scene.world.forget_record();
    let impu = impu("tel:+15550001");
    let command = RegistrationCommand::Reauthenticate { impu };
    scene.world.command("S-CSCF", Command::Registration(command));
    scene.world.advance(Duration::from_secs(60));
    assert_golden("network_reauthentication", &scene.ladder());
    assert_eq!(scene.bindings("S-CSCF"), 1);
    scene.world.advance(Duration::from_secs(1_200));
    assert_eq!(scene.bindings("S-CSCF"), 1, "\n{}", scene.ladder());
    scene.tell("UE", UeCommand::Deregister);
    scene.assert_quiet();
}

#[test]
fn server_hears_who_registers_and_who_leaves() {
    let ifc = Ifc::to(&site().app_server_uri(1), 1).method(&["REGISTER"]);
    let subscribers: Vec<Subscriber> = vec![subscriber(1).ifc(ifc)];
    let mut scene = Scene::with(8_004, Site::on_network([192, 0, 2]), subscribers);
    scene.app_server(1, AsBehaviour::Answer);
    scene.phone("UE", 1);
    scene.world.forget_record();
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Deregister);
    assert_golden("third_party_register", &scene.ladder());
    assert_eq!(scene.third_party(1).len(), 2);
    scene.assert_quiet();
}
