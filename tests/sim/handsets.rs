//! Testkit: the REGISTERs of phone families, byte by byte theirs.

use ims_common::net::Transport;
use ims_tests::scene::Scene;
use ims_tests::ue::{UeCommand, UeEvent, shape};

#[test]
fn every_family_registers_registers_again_and_leaves_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for (number, shape) in (1..).zip(shape::ALL) {
            let mut scene = Scene::new(90 + number);
            scene.phone_with("UE", 1, |config| config.shape(shape).transport(transport));
            for command in [UeCommand::Register, UeCommand::Refresh, UeCommand::Deregister] {
                let events = scene.tell("UE", command.clone());
                let done = events
                    .iter()
                    .any(|e| matches!(e, UeEvent::Registered(_) | UeEvent::Deregistered));
                assert!(
                    done,
                    "{} {transport:?} {command:?}: {events:?}\n{}",
                    shape.name,
                    scene.ladder()
                );
            }
            scene.assert_empty();
        }
    }
}
