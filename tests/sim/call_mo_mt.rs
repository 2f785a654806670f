//! Testkit: a call between two registered phones (TS 24.229 5.1.3, 5.1.4, 5.2.6, 5.2.7, 5.4.3.2, 5.4.3.3).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;
use ims_tests::ue::sdp::Direction;
use ims_tests::ue::talk::{CallEvent, Cause};

#[test]
fn a_call_with_preconditions_is_held_resumed_and_ended() {
    let mut scene = Scene::talking(5_000);
    let events = scene.call("A", 2);
    assert_eq!(
        events,
        [CallEvent::Progress(183), CallEvent::Ringing, CallEvent::Begun],
        "\n{}",
        scene.ladder()
    );
    scene.tell("A", UeCommand::Hold);
    scene.tell("A", UeCommand::Resume);
    scene.tell("B", UeCommand::HangUp);
    assert_golden("call_mo_mt", &scene.ladder());
    let bob = scene.calls_of("B");
    let changes = [
        CallEvent::Changed(Direction::SendOnly),
        CallEvent::Changed(Direction::SendRecv),
    ];
    assert!(bob.windows(2).any(|pair| pair == changes), "{bob:?}");
    assert_eq!(scene.end_of_call("A"), Some(Cause::PeerHungUp(None)));
    scene.assert_quiet();
}
