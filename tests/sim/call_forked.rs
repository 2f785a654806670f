//! Testkit: calls to somebody with two phones (TS 24.229 5.4.3.3, RFC 3261 16.7, RFC 3326).

use std::time::Duration;

use ims_tests::hss::Subscriber;
use ims_tests::ladder::assert_golden;
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;
use ims_tests::ue::talk::{Answer, CallEvent, Cause};

const fn after(seconds: u64) -> Answer {
    Answer::Ring(Duration::from_secs(seconds))
}

/// Phones `B` and `C` have cards of their own and one number, 2; phone `A` has number 1.
fn scene(seed: u64, bob: Answer, carol: Answer) -> Scene {
    let third = Subscriber::new(&imsi(3)).msisdn("15550002");
    let subscribers = vec![subscriber(1), subscriber(2), third];
    let mut scene = Scene::with(seed, Site::on_network([192, 0, 2]), subscribers);
    for (name, number, answer) in [("A", 1, after(1)), ("B", 2, bob), ("C", 3, carol)] {
        scene.phone_with(name, number, |config| config.answer(answer));
        scene.register(name);
    }
    scene.world.forget_record();
    scene
}

#[test]
fn both_phones_ring_and_the_first_that_answers_has_the_call() {
    let mut scene = scene(5_040, after(2), after(20));
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_golden("call_forked", &scene.ladder());
    assert_eq!(scene.end_of_call("C"), Some(Cause::Cancelled));
    let cancel = scene.world.record().sip("P-CSCF", "C");
    let cancel = cancel.iter().find(|text| text.starts_with("CANCEL ")).unwrap();
    assert!(
        cancel.contains("Reason: SIP;cause=200;text=\"Call completed elsewhere\""),
        "{cancel}"
    );
    assert_eq!(scene.end_of_call("B"), Some(Cause::PeerHungUp(None)));
    scene.assert_quiet();
}

#[test]
fn a_caller_has_an_early_dialog_with_each() {
    let mut scene = scene(5_041, after(5), after(2));
    scene.talk("A", 2);
    let pracks = scene.world.record().sip("A", "P-CSCF");
    let pracks = pracks.iter().filter(|text| text.starts_with("PRACK ")).count();
    assert_eq!(pracks, 2, "\n{}", scene.ladder());
    assert_eq!(scene.end_of_call("B"), Some(Cause::Cancelled));
    scene.tell("C", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn one_is_busy_and_the_other_answers() {
    let mut scene = scene(5_042, Answer::Refuse(486), after(2));
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_eq!(scene.end_of_call("C"), Some(Cause::PeerHungUp(None)));
    scene.assert_quiet();
}

#[test]
fn who_declines_declines_for_both() {
    let declines = Answer::RingThenRefuse(Duration::from_secs(2), 603);
    let mut scene = scene(5_043, declines, after(20));
    let events = scene.call("A", 2);
    assert_eq!(events.last(), Some(&CallEvent::Ended(Cause::Refused(603))));
    assert_eq!(scene.end_of_call("C"), Some(Cause::Cancelled));
    scene.assert_quiet();
}

#[test]
fn both_refuse_and_the_better_answer_comes_back() {
    let mut scene = scene(5_044, Answer::Refuse(480), Answer::Refuse(486));
    let events = scene.call("A", 2);
    assert!(
        matches!(events.last(), Some(CallEvent::Ended(Cause::Refused(480 | 486)))),
        "{events:?}"
    );
    scene.assert_quiet();
}

#[test]
fn both_are_cancelled_when_the_caller_gives_up() {
    let mut scene = scene(5_045, Answer::RingForEver, Answer::RingForEver);
    scene.ring("A", 2, 3);
    scene.tell("A", UeCommand::HangUp);
    scene.world.run_until_idle();
    for name in ["A", "B", "C"] {
        assert_eq!(scene.end_of_call(name), Some(Cause::Cancelled), "{name}");
    }
    scene.assert_quiet();
}

#[test]
fn both_answer_at_once_and_the_caller_ends_one_of_the_two_calls() {
    let mut scene = scene(5_046, after(2), after(2));
    scene.talk("A", 2);
    scene.world.run_until_idle();
    let in_call = ["B", "C"].map(|name| scene.ue(name, |_, ue| ue.calls_in_progress()));
    assert_eq!(in_call.iter().sum::<usize>(), 1, "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}
