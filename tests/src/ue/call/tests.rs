//! Two phones, each of which is the other's network: calls, messages, and what is wrong on purpose.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::dialog::Dialog;
use super::super::identity::{Secret, UeIdentity};
use super::super::message::{Rp, SMS};
use super::super::sdp::Direction;
use super::super::talk::{Answer, CallEvent, Cause, Manner, Offer, Plan, Text, Twist};
use super::super::{Ue, UeCommand, UeConfig, UeEvent};
use crate::ladder;
use crate::scene::phone_spec;
use crate::world::World;

const BOB: &str = "sip:bob@192.0.2.11:5060";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn world(alice: Manner, bob: Manner) -> World {
    let mut world = World::seeded(1);
    let (a, b) = (at("192.0.2.10:5060"), at("192.0.2.11:5060"));
    for (name, own, other, manner) in [("A", a, b, alice), ("B", b, a, bob)] {
        let identity = UeIdentity::isim("x@h.test", &format!("sip:{name}@h.test"), "h.test");
        let config = UeConfig::new(identity, Secret::Digest("x".to_owned()), own, other).manner(manner);
        let seed = world.next_seed();
        world.add(phone_spec(name, &config), Ue::new(config, &seed));
    }
    world
}

fn volte(answer: Answer) -> Manner {
    Manner {
        answer,
        ..Manner::VOLTE
    }
}

fn tell(world: &mut World, name: &str, command: UeCommand) {
    world.with(name, |now, ue: &mut Ue| ue.command(now, command));
    let done = world.run_until(Duration::from_secs(1_000), |world| {
        world.with(name, |_, ue: &mut Ue| ue.is_idle())
    });
    assert!(done, "{}", ladder::of(world.record()));
    world.run_until_idle();
}

fn seen(world: &mut World, name: &str) -> Vec<CallEvent> {
    let events = world.with(name, |_, ue: &mut Ue| ue.take_events());
    let calls = events.into_iter().filter_map(|event| match event {
        UeEvent::Call { what, .. } => Some(what),
        _ => None,
    });
    calls.collect()
}

/// What was sent, as `A INVITE`, `B 183`.
fn steps(world: &World) -> Vec<String> {
    let ladder = ladder::of(world.record());
    let step = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (from, what) = (words.next().unwrap(), words.nth(2).unwrap());
        format!("{from} {what}")
    };
    ladder.lines().map(step).collect()
}

#[test]
fn a_call_with_preconditions_rings_when_both_have_resources() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    tell(&mut world, "A", UeCommand::call(BOB));
    assert_eq!(
        seen(&mut world, "A"),
        [CallEvent::Progress(183), CallEvent::Ringing, CallEvent::Begun]
    );
    let bob = seen(&mut world, "B");
    assert!(
        matches!(&bob[..], [CallEvent::Incoming { from, .. }, CallEvent::Begun] if from.starts_with("<sip:A@h.test>")),
        "{bob:?}"
    );
    tell(&mut world, "A", UeCommand::Hold);
    tell(&mut world, "A", UeCommand::Resume);
    assert_eq!(
        seen(&mut world, "B"),
        [
            CallEvent::Changed(Direction::SendOnly),
            CallEvent::Changed(Direction::SendRecv)
        ]
    );
    tell(&mut world, "B", UeCommand::Update);
    tell(&mut world, "B", UeCommand::Info("text/plain", b"1".to_vec()));
    tell(&mut world, "B", UeCommand::HangUp);
    assert!(seen(&mut world, "A").contains(&CallEvent::Ended(Cause::PeerHungUp(None))));
    let expected = "A INVITE, B 183, A PRACK, B 200, A UPDATE, B 200, B 180, B 200, A ACK, A INVITE, B 200, A ACK, \
                    A INVITE, B 200, A ACK, B UPDATE, A 200, B INFO, A 200, B BYE, A 200";
    assert_eq!(steps(&world).join(", "), expected);
    world.advance(Duration::from_secs(300));
    assert_eq!(world.unanswered(), Vec::<String>::new());
}

#[test]
fn a_simple_call_rings_and_is_answered() {
    let mut world = world(Manner::SIMPLE, Manner::VOLTE);
    tell(&mut world, "A", UeCommand::call(BOB));
    tell(&mut world, "A", UeCommand::HangUp);
    let expected = "A INVITE, B 180, B 200, A ACK, A BYE, B 200";
    assert_eq!(steps(&world).join(", "), expected);
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut world = world(Manner::SIMPLE, Manner::SIMPLE);
    let plan = Plan::to(BOB).offer(Offer::Late);
    tell(&mut world, "A", UeCommand::Call(plan));
    let ack = world.record().sip("A", "B").pop().unwrap();
    assert!(
        ack.starts_with("ACK ") && ack.contains("\r\nm=audio 50010"),
        "{ack}"
    );
}

#[test]
fn a_phone_refuses_as_it_is_told_to() {
    for (answer, status) in [
        (Answer::Refuse(486), 486),
        (Answer::RingThenRefuse(Duration::from_secs(5), 603), 603),
        (Answer::Redirect("sip:carol@192.0.2.12"), 302),
    ] {
        let mut world = world(Manner::VOLTE, volte(answer));
        tell(&mut world, "A", UeCommand::call(BOB));
        let last = seen(&mut world, "A").pop();
        assert_eq!(last, Some(CallEvent::Ended(Cause::Refused(status))), "{answer:?}");
        world.advance(Duration::from_secs(300));
        assert_eq!(world.unanswered(), Vec::<String>::new());
    }
}

#[test]
fn a_malformed_offer_is_refused_and_leaves_no_call() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    let plan = Plan::to(BOB).offer(Offer::Malformed);
    tell(&mut world, "A", UeCommand::Call(plan));
    assert_eq!(seen(&mut world, "A"), [CallEvent::Ended(Cause::Refused(488))]);
    assert!(world.with("B", |_, ue: &mut Ue| ue.dialogs()).is_empty());
}

#[test]
fn a_silent_phone_is_waited_for_until_timer_b() {
    let mut world = world(Manner::VOLTE, volte(Answer::Silent));
    tell(&mut world, "A", UeCommand::call(BOB));
    assert_eq!(seen(&mut world, "A"), [CallEvent::Ended(Cause::NoAnswer)]);
    assert_eq!(world.elapsed().as_secs(), 128);
}

fn ring(world: &mut World) {
    world.with("A", |now, ue: &mut Ue| ue.command(now, UeCommand::call(BOB)));
    world.advance(Duration::from_secs(3));
}

#[test]
fn a_call_that_rings_is_cancelled() {
    let mut world = world(Manner::VOLTE, volte(Answer::RingForEver));
    ring(&mut world);
    tell(&mut world, "A", UeCommand::HangUp);
    assert_eq!(
        seen(&mut world, "A").pop(),
        Some(CallEvent::Ended(Cause::Cancelled))
    );
    assert_eq!(
        seen(&mut world, "B").pop(),
        Some(CallEvent::Ended(Cause::Cancelled))
    );
}

#[test]
fn an_answer_that_meets_a_cancel_is_acknowledged_and_ended() {
    let mut world = world(Manner::VOLTE, volte(Answer::AnswerWhenCancelled));
    ring(&mut world);
    tell(&mut world, "A", UeCommand::HangUp);
    world.run_until_idle();
    let steps = steps(&world).join(", ");
    assert!(
        steps.contains("A CANCEL, B 200, B 200, A ACK, A BYE, B 200"),
        "{steps}"
    );
    assert_eq!(world.with("B", |_, ue: &mut Ue| ue.calls_in_progress()), 0);
}

#[test]
fn somebody_picks_up() {
    let mut world = world(Manner::VOLTE, volte(Answer::RingForEver));
    ring(&mut world);
    tell(&mut world, "B", UeCommand::PickUp);
    assert_eq!(seen(&mut world, "A").pop(), Some(CallEvent::Begun));
}

#[test]
fn both_hang_up_at_once() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    tell(&mut world, "A", UeCommand::call(BOB));
    for name in ["A", "B"] {
        world.with(name, |now, ue: &mut Ue| ue.command(now, UeCommand::HangUp));
    }
    world.advance(Duration::from_secs(10));
    for name in ["A", "B"] {
        assert_eq!(
            seen(&mut world, name).pop(),
            Some(CallEvent::Ended(Cause::HungUp))
        );
        assert_eq!(
            world.with(name, |_, ue: &mut Ue| ue.dialogs()),
            Vec::<Dialog>::new()
        );
    }
}

#[test]
fn a_session_is_refreshed_half_way_and_ends_when_it_is_not() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    tell(&mut world, "A", UeCommand::call(BOB));
    world.advance(Duration::from_secs(3_000));
    let updates = steps(&world).iter().filter(|step| *step == "A UPDATE").count();
    assert_eq!(updates, 4, "one for the resources, three refreshes");
    assert_eq!(world.with("B", |_, ue: &mut Ue| ue.calls_in_progress()), 1);
    world.links.partition("A", "B");
    world.advance(Duration::from_secs(3_000));
    for name in ["A", "B"] {
        assert_eq!(
            seen(&mut world, name).pop(),
            Some(CallEvent::Ended(Cause::Expired)),
            "{name}"
        );
    }
}

#[test]
fn lost_answers_are_repeated_until_they_are_acknowledged() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    world.with("A", |now, ue: &mut Ue| ue.command(now, UeCommand::call(BOB)));
    world.advance(Duration::from_millis(3));
    world.links.partition_from("B", "A");
    world.advance(Duration::from_millis(2_500));
    world.links.heal();
    world.advance(Duration::from_secs(30));
    assert_eq!(seen(&mut world, "A").pop(), Some(CallEvent::Begun));
    let reliable = steps(&world).iter().filter(|step| *step == "B 183").count();
    assert!(reliable >= 2, "{:?}", steps(&world));
}

#[test]
fn a_request_with_an_old_cseq_or_in_a_strange_dialog_is_refused() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    tell(&mut world, "A", UeCommand::call(BOB));
    let mut foreign = world.with("A", |_, ue: &mut Ue| ue.dialogs()).remove(0);
    foreign.call_id = "another".to_owned();
    for (twist, status) in [
        (Twist::OldCseq, 500),
        (Twist::Foreign(Box::new(foreign)), 481),
        (Twist::None, 200),
    ] {
        tell(&mut world, "A", UeCommand::InDialog("INFO", twist));
        let events = world.with("A", |_, ue: &mut Ue| ue.take_events());
        assert_eq!(events.last(), Some(&UeEvent::Answered(status)));
    }
}

#[test]
fn a_phone_that_vanished_says_nothing_any_more() {
    let mut world = world(
        Manner::VOLTE,
        volte(Answer::AnswerAndVanish(Duration::from_secs(1))),
    );
    tell(&mut world, "A", UeCommand::call(BOB));
    tell(&mut world, "A", UeCommand::HangUp);
    let last = steps(&world).pop();
    assert_eq!(last.as_deref(), Some("A BYE"));
}

#[test]
fn a_short_message_is_octets_and_its_report_names_it() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    let sms = Text::sms(BOB, "15550009", "15550002", 7, &[0, 13, 10, 13, 10, 0xff]);
    let octets = sms.body.clone();
    tell(&mut world, "A", UeCommand::Message(sms));
    world.run_until_idle();
    let received = |world: &mut World, name: &str| {
        let events = world.with(name, |_, ue: &mut Ue| ue.take_events());
        let mut all = events.into_iter().filter_map(|event| match event {
            UeEvent::MessageReceived(received) => Some(received),
            _ => None,
        });
        all.next().unwrap()
    };
    let at_bob = received(&mut world, "B");
    assert_eq!((at_bob.body.clone(), at_bob.content_type.as_str()), (octets, SMS));
    let report = received(&mut world, "A");
    assert_eq!(report.rp(), Some(Rp::Ack(7)));
    assert_eq!(report.in_reply_to, Some(at_bob.call_id));
}

#[test]
fn a_subscription_to_one_who_has_no_such_event_ends() {
    let mut world = world(Manner::VOLTE, Manner::VOLTE);
    tell(&mut world, "A", UeCommand::Subscribe(3_600));
    world.run_until_idle();
    let events = world.with("A", |_, ue: &mut Ue| ue.take_events());
    assert_eq!(events, [UeEvent::Answered(405)]);
}
