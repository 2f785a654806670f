//! Testkit: calls inside security associations (TS 33.203 7.1, TS 24.229 5.2.6): the way of every request, by both
//! transports, and phones that mix them.

use std::collections::BTreeSet;

use ims_common::net::{Interface, Transport};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::calls::tel;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::shape::{self, Shape};
use ims_tests::ue::talk::{CallEvent, Cause, Offer, Plan, Text};
use ims_tests::ue::{UeCommand, UeConfig, UeEvent};
use ims_tests::world::record::What;

fn scene(seed: u64, change: impl Fn(&str, UeConfig) -> UeConfig) -> Scene {
    let site = Site::on_network([192, 0, 2]).with_ipsec();
    Scene::talking_with(seed, site, vec![subscriber(1), subscriber(2)], change)
}

/// A whole call, held and resumed; each hangs up one.
fn live(scene: &mut Scene) {
    for who in ["A", "B"] {
        scene.talk("A", 2);
        scene.tell("A", UeCommand::Hold);
        scene.tell("B", UeCommand::Update);
        scene.tell("B", UeCommand::Info("text/plain", b"1".to_vec()));
        scene.tell(who, UeCommand::HangUp);
        scene.world.run_until_idle();
        let (a, b) = (scene.end_of_call("A"), scene.end_of_call("B"));
        let ends = match who {
            "A" => (Some(Cause::HungUp), Some(Cause::PeerHungUp(None))),
            _ => (Some(Cause::PeerHungUp(None)), Some(Cause::HungUp)),
        };
        assert_eq!((a, b), ends, "\n{}", scene.ladder());
    }
}

/// Everything on Gm was inside, between the ports of TS 33.203 7.1.
fn assert_inside(scene: &mut Scene) {
    for name in ["A", "B"] {
        let misled = scene.ue(name, |_, ue| {
            let mut events = ue.events().iter();
            events.any(|event| matches!(event, UeEvent::Misled(_) | UeEvent::SaFailed(_)))
        });
        assert!(!misled, "{name} was sent elsewhere\n{}", scene.ladder());
    }
    for entry in scene.world.record().entries() {
        let is_gm = ["A", "B"]
            .iter()
            .any(|name| entry.from == *name || entry.to == *name);
        if let What::Sip { flow, .. } = &entry.what {
            assert!(
                !is_gm || flow.interface == Interface::GmProtected,
                "\n{}",
                scene.ladder()
            );
        }
    }
}

#[test]
fn a_call_goes_from_client_ports_to_server_ports_all_the_way() {
    let mut scene = scene(5_070, |_, config| config);
    live(&mut scene);
    assert_inside(&mut scene);
    scene.assert_quiet();
}

#[test]
fn a_protected_call_looks_like_this() {
    let mut scene = scene(5_071, |_, config| config);
    scene.talk("A", 2);
    scene.tell("B", UeCommand::HangUp);
    assert_golden("call_protected", &scene.ladder());
}

#[test]
fn every_family_calls_every_way() {
    let all: [(Shape, Transport, Shape, Transport); 4] = [
        (shape::SAMSUNG, Transport::Tcp, shape::QUALCOMM, Transport::Udp),
        (shape::HUAWEI, Transport::Udp, shape::IPHONE, Transport::Tcp),
        (
            shape::IPHONE,
            Transport::Tcp,
            shape::QUALCOMM_COMPACT,
            Transport::Tcp,
        ),
        (shape::QUALCOMM, Transport::Udp, shape::SAMSUNG, Transport::Udp),
    ];
    for (index, (first, one, second, other)) in all.into_iter().enumerate() {
        let mut scene = scene(5_072 + index as u64, |name, config| match name {
            "A" => config.shape(first).transport(one),
            _ => config.shape(second).transport(other),
        });
        live(&mut scene);
        assert_inside(&mut scene);
        scene.assert_quiet();
    }
}

#[test]
fn a_prack_by_the_other_transport_is_a_prack() {
    for (index, own, other) in [
        (0, Transport::Udp, Transport::Tcp),
        (1, Transport::Tcp, Transport::Udp),
    ] {
        let mut scene = scene(5_080 + index, |name, mut config| {
            config = config.shape(shape::QUALCOMM).transport(own);
            if name == "A" {
                config.manner.prack_transport = Some(Transport::Tcp);
            }
            config
        });
        scene.talk("A", 2);
        let pracks = transports(&scene, "A", "PRACK ");
        assert_eq!(pracks, BTreeSet::from([other]), "\n{}", scene.ladder());
        if index == 0 {
            assert_golden("call_prack_by_the_other_transport", &scene.ladder());
        }
        scene.tell("A", UeCommand::HangUp);
        assert_inside(&mut scene);
        scene.assert_quiet();
    }
}

/// By which transports requests of this method left a node.
fn transports(scene: &Scene, from: &str, method: &str) -> BTreeSet<Transport> {
    let entries = scene.world.record().entries().iter();
    let flows = entries
        .filter(|entry| entry.from == from)
        .filter_map(|entry| match &entry.what {
            What::Sip { flow, bytes, .. } => bytes.starts_with(method.as_bytes()).then_some(flow.transport),
            _ => None,
        });
    flows.collect()
}

#[test]
fn an_invite_that_no_datagram_carries_goes_over_tcp_to_a_phone_that_registered_over_udp() {
    let mut scene = scene(5_090, |name, config| match name {
        "A" => config.transport(Transport::Tcp),
        _ => config,
    });
    let plan = Plan::to(&tel(2)).offer(Offer::Long);
    let events = scene.tell_of_calls("A", UeCommand::Call(plan));
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    let entries = scene.world.record().entries().iter();
    let mut to_bob = entries.filter(|entry| entry.to == "B");
    let invite = to_bob.find_map(|entry| match &entry.what {
        What::Sip { flow, bytes, .. } if bytes.starts_with(b"INVITE ") => Some((*flow, bytes.len())),
        _ => None,
    });
    let (flow, octets) = invite.unwrap();
    assert!(octets > 2_000, "{octets}");
    assert_eq!(
        (flow.transport, flow.interface),
        (Transport::Tcp, Interface::GmProtected)
    );
    assert_golden("call_large_invite", &scene.ladder());
    scene.tell("B", UeCommand::HangUp);
    assert_inside(&mut scene);
    scene.assert_quiet();
}

#[test]
fn a_large_invite_of_a_phone_that_knows_only_datagrams_gets_through() {
    let mut scene = scene(5_091, |_, config| config);
    let plan = Plan::to(&tel(2)).offer(Offer::Long);
    let events = scene.tell_of_calls("A", UeCommand::Call(plan));
    assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_call_goes_on_over_the_new_set_when_a_phone_registers_again_in_it() {
    let mut scene = scene(5_092, |_, config| config);
    scene.talk("A", 2);
    for name in ["A", "B"] {
        let events = scene.tell(name, UeCommand::Refresh);
        assert!(events.iter().any(|event| matches!(event, UeEvent::Registered(_))));
    }
    scene.tell("A", UeCommand::Hold);
    scene.tell("B", UeCommand::HangUp);
    assert_eq!(
        scene.end_of_call("A"),
        Some(Cause::PeerHungUp(None)),
        "\n{}",
        scene.ladder()
    );
    assert_inside(&mut scene);
    scene.assert_quiet();
}

#[test]
fn what_a_phone_says_of_its_security_association_stays_at_the_p_cscf() {
    let mut scene = scene(5_093, |_, config| config);
    scene.talk("A", 2);
    scene.tell("A", UeCommand::Message(Text::plain(&tel(2), "Hello")));
    let sent = scene.world.record().sip("A", "P-CSCF");
    let with_verify = sent.iter().filter(|text| text.contains("\r\nSecurity-Verify: "));
    assert!(with_verify.count() >= 4, "\n{}", scene.ladder());
    for (from, to) in [("P-CSCF", "S-CSCF"), ("P-CSCF", "B")] {
        for text in scene.world.record().sip(from, to) {
            assert!(
                !text.contains("Security-Verify") && !text.contains("sec-agree"),
                "{to} got\n{text}"
            );
        }
    }
}
