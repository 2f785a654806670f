//! Testkit: what is too long for one packet goes over TCP inside the same set (RFC 3261 18.1.1; TS 33.203 7.1).

use std::time::Duration;

use ims_common::net::{Flow, Interface, Transport};
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;
use ims_tests::ue::security::UeSecurity;

use super::{last_sent, register, sent, sets};

/// The ways of the requests of this method that went to the phone.
fn ways(scene: &Scene, method: &str) -> Vec<Flow> {
    let all = sent(scene, "P-CSCF", "UE").into_iter();
    all.filter(|(_, text)| text.starts_with(method))
        .map(|(flow, _)| flow)
        .collect()
}

#[test]
fn a_long_request_goes_over_a_connection_of_the_p_cscf_between_the_ports_of_the_set() {
    let mut scene = Scene::protected(2_901, "never");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    let set = scene.world.kernel("UE").sets().next().unwrap().states;
    scene.send_octets_to_phone("UE", "MESSAGE", 2_000);
    let [flow] = ways(&scene, "MESSAGE")[..] else {
        panic!("{}", scene.ladder())
    };
    assert_eq!(
        (flow.transport, flow.interface),
        (Transport::Tcp, Interface::GmProtected)
    );
    assert_eq!((flow.remote, flow.local), (set[2].source, set[2].destination));
    let (flow, answer) = last_sent(&scene, "UE", "P-CSCF");
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert_eq!(
        (flow.remote, flow.local),
        (set[3].source, set[3].destination),
        "on that connection"
    );
    let id = scene.world.kernel("P-CSCF").sets().next().unwrap().id;
    let packets = scene
        .world
        .kernel("P-CSCF")
        .traffic(id)
        .unwrap()
        .map(|state| state.packets > 0);
    assert_eq!(packets, [true, false, true, true], "one set for UDP and TCP");
    scene.assert_quiet();
}

#[test]
fn a_phone_that_accepts_no_connections_gets_a_long_request_in_a_datagram() {
    let mut scene = Scene::protected(2_902, "never");
    scene.phone_with("UE", 1, |config| {
        config.security(UeSecurity {
            no_tcp: true,
            ..UeSecurity::default()
        })
    });
    register(&mut scene, UeCommand::Register);
    scene.send_octets_to_phone("UE", "MESSAGE", 2_000);
    scene.world.advance(Duration::from_secs(10));
    let [flow] = ways(&scene, "MESSAGE")[..] else {
        panic!("{}", scene.ladder())
    };
    assert_eq!(
        (flow.transport, flow.interface),
        (Transport::Udp, Interface::GmProtected)
    );
    assert!(
        last_sent(&scene, "UE", "P-CSCF").1.starts_with("SIP/2.0 200"),
        "{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn connections_end_with_their_set() {
    let mut scene = Scene::protected(2_903, "always");
    scene.phone_with("UE", 1, |config| config.transport(Transport::Tcp));
    register(&mut scene, UeCommand::Register);
    scene.send_to_phone("UE", "OPTIONS");
    for _ in 0..3 {
        register(&mut scene, UeCommand::Refresh);
        scene.send_to_phone("UE", "OPTIONS");
        assert!(
            last_sent(&scene, "UE", "P-CSCF").1.starts_with("SIP/2.0 200"),
            "{}",
            scene.ladder()
        );
    }
    scene.world.advance(Duration::from_secs(200));
    let open = scene.world.protected_connections("P-CSCF");
    let live: Vec<_> = scene
        .world
        .kernel("P-CSCF")
        .sets()
        .map(|set| set.states)
        .collect();
    for (local, remote) in &open {
        let is_live = live
            .iter()
            .flatten()
            .any(|state| state.source == *local && state.destination == *remote);
        assert!(is_live, "{local} to {remote} is open and no set of it is left");
    }
    assert!(!open.is_empty());
    scene.tell("UE", UeCommand::Deregister);
    scene.world.advance(Duration::from_secs(200));
    assert_eq!(sets(&scene), 0);
    assert_eq!(scene.world.protected_connections("P-CSCF"), Vec::new());
    scene.assert_empty();
}
