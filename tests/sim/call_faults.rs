//! Testkit: what breaks in the middle of a call (TS 24.229 5.1.5, 5.2.8, 5.4.5; RFC 3261 12.2, RFC 4028).

use std::time::Duration;

use ims_tests::ladder::assert_golden;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;
use ims_tests::ue::UeEvent;
use ims_tests::ue::talk::{Answer, CallEvent, Cause, Twist};

#[test]
fn an_s_cscf_that_was_restarted_passes_what_is_said_in_a_call() {
    let mut scene = Scene::talking(5_100);
    scene.talk("A", 2);
    scene.world.crash("S-CSCF");
    scene.restart("S-CSCF");
    scene.world.advance(Duration::from_secs(2));
    scene.world.forget_record();
    scene.tell("A", UeCommand::Hold);
    scene.tell("B", UeCommand::HangUp);
    assert_golden("call_over_a_restarted_s_cscf", &scene.ladder());
    assert_eq!(
        scene.end_of_call("A"),
        Some(Cause::PeerHungUp(None)),
        "\n{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn an_s_cscf_that_is_dead_ends_the_call_for_who_says_something() {
    let mut scene = Scene::talking(5_101);
    scene.talk("A", 2);
    scene.world.darken("S-CSCF");
    scene.world.forget_record();
    scene.tell("A", UeCommand::Hold);
    assert_golden("call_with_a_dead_s_cscf", &scene.ladder());
    // RFC 3261 14.1: nobody answers, and the call is over at this end; at the other when nobody refreshes it.
    assert_eq!(
        scene.end_of_call("A"),
        Some(Cause::Expired),
        "\n{}",
        scene.ladder()
    );
    scene.world.advance(Duration::from_secs(1_900));
    assert_eq!(
        scene.end_of_call("B"),
        Some(Cause::Expired),
        "\n{}",
        scene.ladder()
    );
}

#[test]
fn a_phone_that_is_dead_is_missed_when_the_session_is_refreshed() {
    let mut scene = Scene::talking(5_102);
    scene.talk("A", 2);
    scene.world.darken("B");
    scene.world.forget_record();
    scene.world.advance(Duration::from_secs(1_300));
    assert_eq!(
        scene.end_of_call("A"),
        Some(Cause::Expired),
        "\n{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn a_phone_that_dies_while_it_rings_is_given_up() {
    let site = Site::on_network([192, 0, 2]);
    let subscribers = vec![subscriber(1), subscriber(2)];
    let mut scene = Scene::talking_with(5_103, site, subscribers, |_, config| {
        config.answer(Answer::RingForEver)
    });
    scene.ring("A", 2, 2);
    scene.world.darken("B");
    scene.world.advance(Duration::from_secs(400));
    assert!(
        matches!(scene.end_of_call("A"), Some(Cause::Refused(408 | 480 | 487))),
        "\n{}",
        scene.ladder()
    );
    scene.world.excuse("B");
    scene.assert_quiet();
}

#[test]
fn a_phone_that_vanishes_after_it_answered_does_not_keep_the_caller() {
    let mut scene = Scene::talking(5_104);
    scene.ue("B", |_, ue| {
        ue.config_mut().manner.answer = Answer::AnswerAndVanish(Duration::from_secs(1));
    });
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_eq!(scene.end_of_call("A"), Some(Cause::HungUp));
    assert!(scene.ue("A", |_, ue| ue.dialogs()).is_empty());
    scene.assert_quiet();
}

#[test]
fn a_caller_that_dies_while_it_rings_leaves_nothing() {
    let site = Site::on_network([192, 0, 2]);
    let subscribers = vec![subscriber(1), subscriber(2)];
    let mut scene = Scene::talking_with(5_105, site, subscribers, |_, config| {
        config.answer(Answer::Ring(Duration::from_secs(10)))
    });
    scene.ring("A", 2, 2);
    scene.world.darken("A");
    scene.world.advance(Duration::from_secs(400));
    // Nobody acknowledged the answer.
    assert_eq!(
        scene.end_of_call("B"),
        Some(Cause::Expired),
        "\n{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn a_request_with_the_cseq_of_another_is_refused() {
    let mut scene = Scene::talking(5_106);
    scene.talk("A", 2);
    let events = scene.tell("A", UeCommand::InDialog("INFO", Twist::OldCseq));
    assert!(
        matches!(events.last(), Some(UeEvent::Answered(403 | 500))),
        "{events:?}\n{}",
        scene.ladder()
    );
    let events = scene.tell("A", UeCommand::InDialog("INFO", Twist::None));
    assert_eq!(events.last(), Some(&UeEvent::Answered(200)));
    assert!(scene.calls_of("B").contains(&CallEvent::Info));
}
