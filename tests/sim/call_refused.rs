//! Testkit: calls that come to nothing (TS 24.229 5.3.2, 5.4.3.2, 5.4.3.3; RFC 3261 13.3.1, 16.7).

use std::time::Duration;

use ims_tests::hss::Subscriber;
use ims_tests::ladder::assert_golden;
use ims_tests::scene::calls::tel;
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::talk::{Answer, CallEvent, Cause, Offer, Plan, Preferred};
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

fn assert_refused(scene: &mut Scene, events: &[CallEvent], status: u16) {
    let last = Some(&CallEvent::Ended(Cause::Refused(status)));
    assert_eq!(events.last(), last, "\n{}", scene.ladder());
    scene.assert_quiet();
}

/// Only phone `A`, and these subscribers.
fn alone(seed: u64, others: Vec<Subscriber>) -> Scene {
    let subscribers = std::iter::once(subscriber(1)).chain(others).collect();
    let mut scene = Scene::with(seed, Site::on_network([192, 0, 2]), subscribers);
    scene.phone("A", 1);
    scene.register("A");
    scene.world.forget_record();
    scene
}

#[test]
fn who_is_not_registered_is_not_available() {
    let mut scene = alone(5_010, vec![subscriber(2)]);
    let events = scene.call("A", 2);
    assert_golden("call_unregistered", &scene.ladder());
    assert_refused(&mut scene, &events, 480);
}

#[test]
fn who_left_is_not_available() {
    let mut scene = Scene::talking(5_011);
    scene.tell("B", UeCommand::Deregister);
    let events = scene.call("A", 2);
    assert_refused(&mut scene, &events, 480);
}

#[test]
fn nobody_has_that_number() {
    let mut scene = alone(5_012, Vec::new());
    let events = scene.tell_of_calls("A", UeCommand::call(&format!("sip:nobody@{HOME}")));
    assert_golden("call_unknown", &scene.ladder());
    assert_refused(&mut scene, &events, 404);
}

#[test]
fn a_barred_identity_is_not_found() {
    let mut scene = Scene::talking(5_013);
    let barred = format!("sip:{}@{HOME}", imsi(2));
    let events = scene.tell_of_calls("A", UeCommand::call(&barred));
    assert_golden("call_barred", &scene.ladder());
    assert_refused(&mut scene, &events, 404);
}

#[test]
fn a_caller_that_prefers_its_barred_identity_calls_with_its_default_one() {
    let mut scene = Scene::talking(5_014);
    scene.ue("A", |_, ue| {
        let words = "<sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>";
        ue.config_mut().manner.preferred = Preferred::Words(words);
    });
    scene.talk("A", 2);
    let invite = scene.world.record().sip("P-CSCF", "B").remove(0);
    assert!(
        invite.contains(&format!("P-Asserted-Identity: <sip:+15550001@{HOME}>")),
        "{invite}"
    );
}

#[test]
fn who_is_busy_says_so() {
    let mut scene = callee(5_015, Answer::Refuse(486));
    let events = scene.call("A", 2);
    assert_golden("call_busy", &scene.ladder());
    assert_refused(&mut scene, &events, 486);
}

#[test]
fn who_declines_after_a_while_says_so() {
    let mut scene = callee(5_016, Answer::RingThenRefuse(Duration::from_secs(8), 603));
    let events = scene.call("A", 2);
    assert!(events.contains(&CallEvent::Ringing), "{events:?}");
    assert_refused(&mut scene, &events, 603);
}

#[test]
fn nobody_answers_and_the_network_gives_up() {
    let mut scene = callee(5_017, Answer::RingForEver);
    let events = scene.call("A", 2);
    assert_golden("call_no_answer", &scene.ladder());
    assert!(
        matches!(
            events.last(),
            Some(CallEvent::Ended(Cause::Refused(408 | 480 | 487)))
        ),
        "{events:?}\n{}",
        scene.ladder()
    );
    assert_eq!(scene.end_of_call("B"), Some(Cause::Cancelled));
    scene.assert_quiet();
}

#[test]
fn a_phone_that_says_nothing_at_all_is_given_up_after_timer_b() {
    let mut scene = callee(5_018, Answer::Silent);
    let events = scene.call("A", 2);
    assert!(
        matches!(events.last(), Some(CallEvent::Ended(Cause::Refused(408 | 480)))),
        "{events:?}\n{}",
        scene.ladder()
    );
    // 64*T1 on Gm (TS 24.229 table 7.8).
    let ladder = scene.ladder();
    assert!(ladder.contains("   128.035 P-CSCF > S-CSCF 408"), "\n{ladder}");
    scene.world.excuse("B");
    scene.assert_quiet();
}

#[test]
fn a_malformed_offer_is_passed_as_it_is_and_refused_by_the_callee() {
    let mut scene = Scene::talking(5_019);
    let plan = Plan::to(&tel(2)).offer(Offer::Malformed);
    let events = scene.tell_of_calls("A", UeCommand::Call(plan));
    let record = scene.world.record();
    let (sent, got) = (
        record.sip("A", "P-CSCF").remove(0),
        record.sip("P-CSCF", "B").remove(0),
    );
    let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    assert_eq!(body(&sent), body(&got));
    assert_refused(&mut scene, &events, 488);
}

#[test]
fn where_somebody_may_be_instead_is_told_to_the_caller() {
    let mut scene = callee(5_020, Answer::Redirect("sip:elsewhere@192.0.2.77"));
    let events = scene.call("A", 2);
    assert_refused(&mut scene, &events, 302);
}
