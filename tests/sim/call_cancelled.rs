//! Testkit: calls that are given up, and requests that cross (RFC 3261 9, 15; TS 24.229 5.2.8).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::talk::{Answer, CallEvent, Cause};
use ims_tests::ue::{UeCommand, UeConfig};

/// Phone `B` does this when it is called.
fn callee(seed: u64, answer: Answer) -> Scene {
    let site = Site::on_network([192, 0, 2]);
    let change = |name: &str, config: UeConfig| match name {
        "B" => config.answer(answer),
        _ => config,
    };
    Scene::talking_with(seed, site, vec![subscriber(1), subscriber(2)], change)
}

#[test]
fn a_caller_gives_up_while_it_rings() {
    let mut scene = callee(5_030, Answer::RingForEver);
    scene.ring("A", 2, 3);
    scene.tell("A", UeCommand::HangUp);
    assert_golden("call_cancelled", &scene.ladder());
    assert_eq!(scene.end_of_call("A"), Some(Cause::Cancelled));
    assert_eq!(scene.end_of_call("B"), Some(Cause::Cancelled));
    scene.assert_quiet();
}

#[test]
fn a_caller_gives_up_before_anybody_has_said_anything() {
    let mut scene = callee(5_031, Answer::RingForEver);
    scene.ue("A", |now, ue| {
        ue.command(now, UeCommand::call("tel:+15550002"));
        ue.command(now, UeCommand::HangUp);
    });
    scene.world.advance(std::time::Duration::from_secs(30));
    assert_eq!(
        scene.end_of_call("A"),
        Some(Cause::Cancelled),
        "\n{}",
        scene.ladder()
    );
    assert_eq!(
        scene.end_of_call("B"),
        Some(Cause::Cancelled),
        "\n{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn an_answer_that_crosses_a_cancel_is_acknowledged_and_the_call_ended() {
    let mut scene = callee(5_032, Answer::AnswerWhenCancelled);
    scene.ring("A", 2, 3);
    scene.tell("A", UeCommand::HangUp);
    scene.world.run_until_idle();
    assert_golden("call_cancel_glare", &scene.ladder());
    assert_eq!(scene.end_of_call("A"), Some(Cause::Cancelled));
    assert_eq!(scene.end_of_call("B"), Some(Cause::PeerHungUp(None)));
    scene.assert_quiet();
}

#[test]
fn both_hang_up_at_once_and_both_are_told_that_it_is_over() {
    let mut scene = callee(5_033, Answer::AtOnce);
    scene.talk("A", 2);
    scene.world.run_until_idle();
    for name in ["A", "B"] {
        scene.ue(name, |now, ue| ue.command(now, UeCommand::HangUp));
    }
    scene.world.run_until_idle();
    assert_golden("call_bye_glare", &scene.ladder());
    for name in ["A", "B"] {
        assert_eq!(scene.end_of_call(name), Some(Cause::HungUp));
        let finals = scene.world.record().sip("P-CSCF", name);
        let bye = finals
            .iter()
            .rev()
            .find(|text| text.contains(" BYE\r\n") && text.starts_with("SIP/2.0"));
        assert!(bye.is_some(), "{name} was never answered\n{}", scene.ladder());
        assert!(scene.ue(name, |_, ue| ue.dialogs()).is_empty());
    }
    scene.assert_quiet();
}

#[test]
fn both_change_the_call_at_once_and_one_of_them_waits() {
    let mut scene = callee(5_034, Answer::AtOnce);
    scene.talk("A", 2);
    scene.world.run_until_idle();
    for name in ["A", "B"] {
        scene.ue(name, |now, ue| ue.command(now, UeCommand::Hold));
    }
    scene.world.run_until_idle();
    for name in ["A", "B"] {
        let events = scene.calls_of(name);
        assert_eq!(events.last(), Some(&CallEvent::ChangeAnswered(491)), "{name}");
    }
    scene.tell("B", UeCommand::HangUp);
    scene.assert_quiet();
}
