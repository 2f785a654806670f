//! Testkit: requests in dialogs that are not the phone's own, or not as the dialog wants them (TS 24.229 5.2.6.3.5,
//! 5.2.6.3.9; RFC 3261 12.2).

use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::talk::{CallEvent, Twist};
use ims_tests::ue::{UeCommand, UeEvent};

/// Phones `A` and `B` talk; phone `C` is registered too.
fn scene(seed: u64, ipsec: bool) -> Scene {
    let mut site = Site::on_network([192, 0, 2]);
    if ipsec {
        site = site.with_ipsec();
    }
    let subscribers = vec![subscriber(1), subscriber(2), subscriber(3)];
    let mut scene = Scene::talking_with(seed, site, subscribers, |_, config| config);
    scene.phone("C", 3);
    scene.register("C");
    scene.talk("A", 2);
    scene
}

fn status(scene: &mut Scene, name: &str, method: &'static str, twist: Twist) -> u16 {
    let events = scene.tell(name, UeCommand::InDialog(method, twist));
    match events.last() {
        Some(UeEvent::Answered(status)) => *status,
        _ => panic!("{name} saw {events:?}\n{}", scene.ladder()),
    }
}

#[test]
fn a_bye_in_the_dialog_of_others_ends_nothing() {
    for (seed, ipsec) in [(5_120, false), (5_121, true)] {
        let mut scene = scene(seed, ipsec);
        for name in ["A", "B"] {
            let mut dialog = scene.ue(name, |_, ue| ue.dialogs()).remove(0);
            dialog.local_cseq += 10;
            let status = status(&mut scene, "C", "BYE", Twist::Foreign(Box::new(dialog)));
            assert_eq!(status, 403, "\n{}", scene.ladder());
        }
        let in_call = ["A", "B"].map(|name| scene.ue(name, |_, ue| ue.calls_in_progress()));
        assert_eq!(in_call, [1, 1], "\n{}", scene.ladder());
        scene.tell("A", UeCommand::HangUp);
        scene.assert_quiet();
    }
}

#[test]
fn a_bye_in_a_dialog_that_nobody_has_is_answered() {
    let mut scene = scene(5_122, false);
    let mut dialog = scene.ue("A", |_, ue| ue.dialogs()).remove(0);
    dialog.call_id = "of-nobody".to_owned();
    let status = status(&mut scene, "A", "BYE", Twist::Foreign(Box::new(dialog)));
    assert_eq!(status, 481, "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_request_that_leaves_the_route_set_goes_along_it() {
    let mut scene = scene(5_123, false);
    let gm = scene.site.gm;
    let routes = vec![format!("<sip:{gm};lr>"), "<sip:192.0.2.250:5060;lr>".to_owned()];
    let status = status(&mut scene, "A", "INFO", Twist::Routes(routes));
    assert_eq!(status, 200, "\n{}", scene.ladder());
    assert!(scene.calls_of("B").contains(&CallEvent::Info));
    scene.tell("B", UeCommand::HangUp);
    scene.assert_quiet();
}
