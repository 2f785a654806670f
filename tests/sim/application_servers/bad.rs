//! Testkit: application servers that do what none should: loops, lost identifiers, 40 Record-Routes, two answers.

use std::time::Duration;

use super::*;

#[test]
fn a_looping_server_ends_its_own_call_and_nothing_stays() {
    let mut scene = originating(6_400, AsBehaviour::Loop);
    let events = scene.call("A", 2);
    assert!(
        matches!(events.last(), Some(CallEvent::Ended(Cause::Refused(_)))),
        "{events:?}\n{}",
        scene.ladder()
    );
    let visits = invites(&mut scene, 1);
    assert!((2..=70).contains(&visits), "{visits}");
    scene.assert_quiet();
}

#[test]
fn a_server_that_loses_its_identifier_is_asked_again_and_the_call_goes_on() {
    let mut scene = originating(6_401, AsBehaviour::DropOdi);
    let events = scene.call("A", 2);
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_call_with_40_record_routes_is_held_and_ended() {
    let mut scene = originating(6_402, AsBehaviour::RecordRoutes(40));
    scene.talk("A", 2);
    let called = scene.world.record().sip("P-CSCF", "B").remove(0);
    assert!(called.matches("Record-Route:").count() >= 40, "{called}");
    scene.tell("A", UeCommand::Hold);
    assert!(
        scene.calls_of("A").contains(&CallEvent::ChangeAnswered(200)),
        "\n{}",
        scene.ladder()
    );
    scene.tell("B", UeCommand::HangUp);
    assert_eq!(
        scene.end_of_call("A"),
        Some(Cause::PeerHungUp(None)),
        "\n{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn a_server_that_answers_twice_makes_two_calls_of_which_one_stays() {
    let mut scene = originating(6_403, AsBehaviour::AnswerTwice);
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    scene.world.advance(Duration::from_secs(5));
    let (acks, byes) = scene.with_app_server(1, |_, server| {
        let byes = server.requests().iter().filter(|r| r.method() == Method::Bye);
        (server.acks(), byes.count())
    });
    assert_eq!((acks, byes), (2, 2), "\n{}", scene.ladder());
    scene.assert_quiet();
}

#[test]
fn a_forking_server_calls_two_and_the_first_that_answers_has_the_call() {
    let uris = ["tel:+15550002", "tel:+15550003"].map(ToOwned::to_owned);
    let mut scene = originating(6_404, AsBehaviour::Fork(uris.to_vec()));
    scene.phone_with("C", 3, |config| config.manner(Manner::SIMPLE));
    scene.register("C");
    let events = scene.call("A", 2);
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    let ends = [scene.calls_of("B"), scene.calls_of("C")];
    let begun = ends.iter().filter(|seen| seen.contains(&CallEvent::Begun));
    assert!(begun.count() >= 1, "{ends:?}");
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

/// The S-CSCF is killed while the call is at the server; the server's answer finds nobody.
#[test]
fn a_call_that_is_at_a_server_when_the_s_cscf_dies_ends_for_the_caller() {
    let mut scene = originating(6_405, AsBehaviour::TryingOnly);
    scene.world.excuse("AS1");
    scene.ring("A", 2, 1);
    scene.restart("S-CSCF");
    scene.world.advance(Duration::from_secs(600));
    let events = scene.calls_of("A");
    assert!(
        matches!(events.last(), Some(CallEvent::Ended(_))),
        "{events:?}\n{}",
        scene.ladder()
    );
}
