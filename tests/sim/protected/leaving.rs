//! Testkit: leaving with security associations (TS 24.229 5.1.1.6.1, 5.2.5.1).

use std::time::Duration;

use ims_common::net::{Interface, Transport};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::{UeCommand, UeEvent};

use super::{last_sent, register, sets};

#[test]
fn the_last_200_still_goes_inside_and_64_t1_later_nothing_is_left() {
    for (reauthenticate, sets_then) in [("never", 1), ("always", 2)] {
        for transport in [Transport::Udp, Transport::Tcp] {
            for command in [UeCommand::Deregister, UeCommand::DeregisterAll] {
                let mut scene = Scene::protected(2_201, reauthenticate);
                scene.phone_with("UE", 1, |config| config.transport(transport));
                register(&mut scene, UeCommand::Register);
                let events = scene.tell("UE", command);
                assert!(
                    events.contains(&UeEvent::Deregistered),
                    "{events:?}\n{}",
                    scene.ladder()
                );
                let (flow, ok) = last_sent(&scene, "P-CSCF", "UE");
                assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
                assert_eq!(flow.interface, Interface::GmProtected);
                assert_eq!(scene.world.kernel("UE").states(), 0);
                assert_eq!(sets(&scene), sets_then, "{reauthenticate} {transport:?}");
                scene.world.advance(Duration::from_secs(120));
                assert!(sets(&scene) > 0, "until the transactions have ended");
                scene.world.advance(Duration::from_secs(15));
                assert_eq!(sets(&scene), 0, "{reauthenticate} {transport:?}");
                scene.assert_empty();
            }
        }
    }
}

#[test]
fn a_farewell_inside_looks_like_this() {
    let mut scene = Scene::protected(2_202, "never");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    scene.world.forget_record();
    scene.tell("UE", UeCommand::Deregister);
    assert_golden("protected_deregister", &scene.ladder());
    register(&mut scene, UeCommand::Register);
    scene.assert_quiet();
    assert_eq!(sets(&scene), 1);
}

#[test]
fn a_phone_that_vanished_is_forgotten_with_its_registration() {
    let mut scene = Scene::protected(2_203, "never");
    scene.phone_with("UE", 1, |config| config.expires(600));
    register(&mut scene, UeCommand::Register);
    scene.world.darken("UE");
    scene.world.advance(Duration::from_secs(610));
    assert_eq!(sets(&scene), 1);
    scene.world.advance(Duration::from_secs(30));
    assert_eq!(sets(&scene), 0);
    scene.assert_empty();
}
