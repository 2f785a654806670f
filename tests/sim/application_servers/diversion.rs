//! Testkit: calls that a server sends elsewhere (TS 24.229 5.4.3.3 step 3, RFC 8498).

use super::*;

/// `B` has its calls sent to `C`; requests that `B` diverts are served by AS2.
fn diverting(seed: u64, diverts: bool) -> Scene {
    let of_b = vec![
        ask(1, 1).terminating(),
        ask(2, 2).diverting(),
        ask(3, 3).terminating(),
    ];
    let retarget = AsBehaviour::Retarget {
        uri: "tel:+15550003".to_owned(),
        diverts,
    };
    let pass = AsBehaviour::Continue { record_route: false };
    let mut scene = scene(seed, [Vec::new(), of_b], &[retarget, pass.clone(), pass]);
    scene.phone_with("C", 3, |config| config.manner(Manner::SIMPLE));
    scene.register("C");
    scene.world.forget_record();
    scene
}

#[test]
fn a_diverted_call_is_served_for_who_diverts_and_rings_elsewhere() {
    let mut scene = diverting(6_200, true);
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_golden("call_diverted", &scene.ladder());
    assert_eq!(scene.calls_of("B"), []);
    assert!(scene.calls_of("C").contains(&CallEvent::Begun));
    assert_eq!(invites(&mut scene, 2), 1, "\n{}", scene.ladder());
    let invite = initial(&mut scene, 2, &Method::Invite).remove(0);
    let served = text(&invite, HeaderName::PServedUser);
    assert!(
        served.contains("+15550002") && served.ends_with(";orig-cdiv"),
        "{served}"
    );
    assert_eq!(invites(&mut scene, 3), 0, "no further criteria of the callee");
    scene.assert_quiet();
}

#[test]
fn a_changed_target_ends_the_callees_criteria() {
    let mut scene = diverting(6_201, false);
    scene.talk("A", 2);
    assert!(
        scene.calls_of("C").contains(&CallEvent::Begun),
        "\n{}",
        scene.ladder()
    );
    assert_eq!(scene.calls_of("B"), []);
    assert_eq!(invites(&mut scene, 3), 0, "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

/// On the caller's side another target is the server's right, and the chain goes on.
#[test]
fn a_server_of_the_caller_may_choose_another_callee() {
    let of_a = vec![ask(1, 1).originating(), ask(2, 2).originating()];
    let retarget = AsBehaviour::Retarget {
        uri: "tel:+15550002".to_owned(),
        diverts: false,
    };
    let pass = AsBehaviour::Continue { record_route: false };
    let mut scene = scene(6_202, [of_a, Vec::new()], &[retarget, pass]);
    scene.talk("A", 3);
    assert!(scene.calls_of("B").contains(&CallEvent::Begun));
    assert_eq!(invites(&mut scene, 2), 1);
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}
