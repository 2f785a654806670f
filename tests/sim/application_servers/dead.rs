//! Testkit: application servers that do not answer, and default handling (TS 24.229 5.4.3.2, TS 23.218 5.2.6).

use super::*;

/// A criterion for a server whose name serves nothing, as stock PyHSS has them.
fn ask_nobody() -> Ifc {
    ask(9, 1).originating()
}

#[test]
fn a_host_that_does_not_resolve_is_skipped_at_once() {
    let mut scene = scene(6_100, [vec![ask_nobody()], Vec::new()], &[]);
    let events = scene.call("A", 2);
    assert_golden("call_as_dead_continues", &scene.ladder());
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    let rings = scene
        .world
        .record()
        .entries()
        .iter()
        .find(|entry| entry.to == "B")
        .map(|entry| entry.at.as_millis());
    assert!(rings.is_some_and(|at| at < 500), "{rings:?}");
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_dead_server_ends_the_session_when_the_criterion_says_so() {
    let mut scene = scene(6_101, [vec![ask_nobody().terminates()], Vec::new()], &[]);
    let events = scene.call("A", 2);
    assert_golden("call_as_dead_terminates", &scene.ladder());
    assert!(
        matches!(
            events.last(),
            Some(CallEvent::Ended(Cause::Refused(408 | 500..=599)))
        ),
        "{events:?}\n{}",
        scene.ladder()
    );
    assert_eq!(scene.calls_of("B"), []);
    scene.assert_quiet();
}

#[test]
fn a_silent_server_is_given_up_after_isc_response_timeout() {
    let mut scene = originating(6_102, AsBehaviour::Silent);
    scene.world.excuse("AS1");
    let events = scene.call("A", 2);
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    let rings = scene
        .world
        .record()
        .entries()
        .iter()
        .find(|entry| entry.to == "B")
        .map(|entry| entry.at.as_secs());
    assert_eq!(rings, Some(4), "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_server_that_says_100_and_nothing_more_is_given_up_too() {
    let mut scene = originating(6_103, AsBehaviour::TryingOnly);
    scene.world.excuse("AS1");
    let events = scene.call("A", 2);
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_500_is_a_failure_and_a_403_is_a_decision() {
    for (seed, status, is_through) in [
        (6_104, 500, true),
        (6_105, 503, true),
        (6_106, 403, false),
        (6_107, 603, false),
    ] {
        let mut scene = originating(seed, AsBehaviour::Refuse(status));
        let events = scene.call("A", 2);
        if is_through {
            assert_eq!(
                events.last(),
                Some(&CallEvent::Begun),
                "{status}\n{}",
                scene.ladder()
            );
            scene.tell("A", UeCommand::HangUp);
        } else {
            assert_refused(&scene, &events, status);
        }
        scene.assert_quiet();
    }
}

/// TS 24.229 5.4.3.2: default handling is for servers that have said nothing but 100.
#[test]
fn a_server_that_has_taken_the_call_on_may_refuse_it_with_500() {
    let mut scene = originating(6_108, AsBehaviour::ProgressThenRefuse(500));
    let events = scene.call("A", 2);
    assert_refused(&scene, &events, 500);
    assert_eq!(scene.calls_of("B"), []);
    scene.assert_quiet();
}

#[test]
fn a_dead_first_server_leaves_the_second_its_turn() {
    let of_a = vec![ask_nobody(), ask(1, 2).originating()];
    let pass = AsBehaviour::Continue { record_route: false };
    let mut scene = scene(6_109, [of_a, Vec::new()], &[pass]);
    scene.talk("A", 2);
    assert_eq!(invites(&mut scene, 1), 1);
    let invite = initial(&mut scene, 1, &Method::Invite).remove(0);
    assert_eq!(
        invite.values(HeaderName::Route).count(),
        2,
        "no Route of the dead server"
    );
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}
