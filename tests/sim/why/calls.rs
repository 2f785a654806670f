//! Testkit: calls and messages that fail, and the sentence that says why.

use std::time::Duration;

use ims_common::net::Transport;
use ims_common::why::{Entry, NoteKind};
use ims_tests::app_server::AsBehaviour;
use ims_tests::hss::{Ifc, Subscriber};
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::talk::{Answer, Offer, Plan, Text};
use ims_tests::ue::{UeCommand, UeConfig};
use ims_tests::world::links::Link;

use super::site;

/// Only phone `A`, and these subscribers.
fn alone(seed: u64, others: Vec<Subscriber>) -> Scene {
    let subscribers = std::iter::once(subscriber(1)).chain(others).collect();
    let mut scene = Scene::with(seed, site(), subscribers);
    scene.world.record_why();
    scene.phone("A", 1);
    scene.register("A");
    scene
}

/// Phones `A` and `B`, changed so.
fn talking(seed: u64, site: Site, change: impl Fn(&str, UeConfig) -> UeConfig) -> Scene {
    served(seed, site, vec![subscriber(1), subscriber(2)], change)
}

/// The same with these subscribers.
fn served(
    seed: u64,
    site: Site,
    subscribers: Vec<Subscriber>,
    change: impl Fn(&str, UeConfig) -> UeConfig,
) -> Scene {
    let mut scene = Scene::with(seed, site, subscribers);
    scene.world.record_why();
    for (name, number) in [("A", 1), ("B", 2)] {
        scene.phone_with(name, number, |config| change(name, config));
        scene.register(name);
    }
    scene
}

fn callee(answer: Answer) -> impl Fn(&str, UeConfig) -> UeConfig {
    move |name, config| match name {
        "B" => config.answer(answer),
        _ => config,
    }
}

#[test]
fn a_call_that_goes_well_needs_no_explanation() {
    let mut scene = talking(6_000, site(), |_, config| config);
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    for node in ["P-CSCF", "I-CSCF", "S-CSCF"] {
        assert_eq!(scene.world.found_by(node), []);
    }
    assert_eq!(scene.world.findings(&imsi(1)), []);
    assert_eq!(scene.world.findings("+15550002"), []);
    assert!(scene.world.case(&imsi(1)).entries.len() > 20);
}

#[test]
fn a_callee_that_nobody_knows_is_named() {
    let mut scene = alone(6_001, Vec::new());
    scene.call("A", 9);
    scene.world.assert_explained(&imsi(1), "callee-unknown");
}

#[test]
fn a_callee_that_is_not_registered_is_named() {
    let mut scene = alone(6_002, vec![subscriber(2)]);
    scene.call("A", 2);
    assert_eq!(
        scene.world.why(&imsi(1)),
        "tel:+15550002 is known and not registered (5003 to the LIR); the phone has to register first; look at its own \
         registrations."
    );
    let found = scene.world.found_by("I-CSCF");
    assert_eq!(
        found.iter().map(|it| &*it.1.detector).collect::<Vec<_>>(),
        ["callee-unknown"; 2]
    );
}

#[test]
fn a_phone_that_gets_no_bearer_is_believed() {
    let mut scene = talking(6_003, site(), callee(Answer::Refuse(580)));
    scene.call("A", 2);
    scene.world.assert_explained(&imsi(1), "voice-bearer-refused");
    scene.world.assert_explained("+15550002", "voice-bearer-refused");
}

#[test]
fn a_busy_callee_is_no_lost_bearer() {
    let mut scene = talking(6_004, site(), callee(Answer::Refuse(486)));
    scene.call("A", 2);
    assert_eq!(scene.world.findings(&imsi(1)), []);
}

#[test]
fn an_invite_that_no_path_carries_in_one_piece_is_measured() {
    let mut scene = talking(6_005, site(), |_, config| config);
    let narrow = Link {
        octets_max: Some(1_400),
        ..Link::default()
    };
    scene.world.links.set("P-CSCF", "B", narrow);
    let plan = Plan::to(&ims_tests::scene::calls::tel(2)).offer(Offer::Long);
    scene.tell_of_calls("A", UeCommand::Call(plan));
    scene.world.assert_explained(&imsi(2), "large-datagram-lost");
    // Who knows only the caller cannot tell it from a phone that is switched off.
    let told = scene.world.why(&imsi(1));
    assert!(
        told.contains("out of coverage, or the datagram was lost"),
        "{told}"
    );
}

#[test]
fn a_prack_by_another_transport_is_told_as_such() {
    let mut scene = talking(6_006, site().with_ipsec(), |name, mut config| {
        if name == "A" {
            config.manner.prack_transport = Some(Transport::Tcp);
        }
        config
    });
    scene.talk("A", 2);
    scene.world.assert_explained(&imsi(1), "transport-flip");
}

#[test]
fn an_application_server_that_is_silent_is_named() {
    let server = Ifc::to(&site().app_server_uri(1), 1)
        .method(&["INVITE"])
        .originating();
    let subscribers = vec![subscriber(1).ifc(server.terminates()), subscriber(2)];
    let mut scene = served(6_007, site(), subscribers, |_, config| config);
    scene.app_server(1, AsBehaviour::Silent);
    scene.call("A", 2);
    scene.world.assert_explained(&imsi(1), "app-server-failed");
}

#[test]
fn a_short_message_without_a_gateway_is_told_what_it_lacks() {
    let mut scene = talking(6_008, site(), |_, config| config);
    let psi = format!("sip:+15550100@{HOME};user=phone");
    let message = Text::sms(&psi, "15550100", "15550002", 1, b"\0octets");
    scene.tell("A", UeCommand::Message(message));
    scene.world.advance(Duration::from_secs(1));
    scene.world.assert_explained(&imsi(1), "sms-without-gateway");
}

#[test]
fn a_short_message_that_reaches_somebody_without_a_criterion_lacks_nothing() {
    let mut scene = talking(6_009, site(), |_, config| config);
    let other_phone = format!("sip:+15550002@{HOME};user=phone");
    let message = Text::sms(&other_phone, "15550100", "15550002", 1, b"\0octets");
    scene.tell("A", UeCommand::Message(message));
    scene.world.advance(Duration::from_secs(1));
    let ladder = scene.ladder();
    let noted = |it: &Entry| it.note() == Some(NoteKind::NoCriteriaMatched);
    assert!(scene.world.case(&imsi(1)).entries.iter().any(noted), "{ladder}");
    assert_eq!(scene.world.findings(&imsi(1)), [], "{ladder}");
}

#[test]
fn an_application_server_that_nobody_knows_is_not_why_the_other_is_busy() {
    let server = Ifc::to("sip:as.nowhere.example", 1)
        .method(&["INVITE"])
        .originating();
    let subscribers = vec![subscriber(1).ifc(server), subscriber(2)];
    let mut scene = served(6_011, site(), subscribers, callee(Answer::Refuse(486)));
    scene.call("A", 2);
    let entries = scene.world.case(&imsi(1)).entries;
    let noted = |it: &Entry| it.note() == Some(NoteKind::NameServesNothing);
    assert!(entries.iter().any(noted), "{}", scene.ladder());
    let findings = scene.world.findings(&imsi(1));
    assert!(
        findings.iter().all(|it| it.detector != "next-hop-unknown"),
        "{findings:?}"
    );
}

#[test]
fn a_domain_that_nobody_serves_is_named_with_the_node_that_asked_for_it() {
    let mut scene = alone(6_010, Vec::new());
    scene.tell("A", UeCommand::call("sip:bob@nowhere.example"));
    scene.world.advance(Duration::from_secs(40));
    scene.world.assert_explained(&imsi(1), "next-hop-unknown");
}
