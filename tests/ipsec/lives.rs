//! Testkit: long lives over ESP: re-registrations, restarts, lost associations, refusals of the kernel.

use ims_common::net::Transport;
use ims_tests::ue::{UeCommand, UeEvent, shape};

use crate::chain::{MESSAGE, installed};
use crate::esp::{Four, PROTECTIONS};
use crate::network::{Network, REQID};
use crate::space::ue_address;

/// What the network said to each MESSAGE.
fn answers(events: &[UeEvent]) -> usize {
    let is_answer = |event: &&UeEvent| matches!(event, UeEvent::Answered(_));
    events.iter().filter(is_answer).count()
}

#[test]
#[ignore = "cargo ci ipsec"]
fn fifty_registrations_again_leave_exactly_one_set() {
    let network = Network::start(true, "");
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    let mut last = None;
    for _ in 0..50 {
        last = Some(installed(&network.must(&phone, UeCommand::Refresh)));
    }
    // The old one goes when 64*T1 (here 1 s) have passed since the new one was used (TS 24.229 5.2.2.1).
    network.tell(&phone, UeCommand::Request(MESSAGE));
    network.wait_for_sets(1);
    let mut spis: Vec<u32> = network.states().iter().map(|state| state.spi).collect();
    let mut expected = last.expect("a set").states.map(|state| state.spi);
    spis.sort_unstable();
    expected.sort_unstable();
    assert_eq!(spis, expected, "the newest set is the one that is left");
    assert_eq!(network.metric("ims_pcscf_sa_spis").values().sum::<u64>(), 2);
    network.must(&phone, UeCommand::Deregister);
    network.wait_for_sets(0);
    assert_eq!(network.net.pcscf.drops(), [].into());
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn registering_again_under_traffic_loses_no_message() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let network = Network::start(false, "");
        let phone = network.phone(1, |config| config.transport(transport));
        network.must(&phone, UeCommand::Register);
        let before = phone.passed();
        let mut commands = 0;
        for _ in 0..10 {
            for command in [
                UeCommand::Request(MESSAGE),
                UeCommand::Refresh,
                UeCommand::Request(MESSAGE),
            ] {
                phone.phone.tell(command);
                commands += 1;
            }
        }
        let events = network.tell(&phone, UeCommand::Request(MESSAGE));
        commands += 1;
        assert_eq!(answers(&events), 21, "{events:?}\n{}", network.about());
        let renewed = events
            .iter()
            .filter(|event| matches!(event, UeEvent::Registered(_)))
            .count();
        assert_eq!(renewed, 10, "{events:?}\n{}", network.about());
        // Each REGISTER is challenged. Nothing was sent twice, which is what a lost message leads to, and everything
        // was answered.
        let after = phone.passed();
        let (sent, received) = (after.sent - before.sent, after.received - before.received);
        assert_eq!(
            (sent, received),
            (commands + 10, commands + 10),
            "{transport:?}\n{}",
            network.about()
        );
        for (side, drops) in [
            ("P-CSCF", network.net.pcscf.drops()),
            ("UE", network.net.ue.drops()),
        ] {
            let inbound = drops
                .keys()
                .filter(|name| name.starts_with("XfrmIn") && *name != "XfrmInNoStates");
            assert_eq!(inbound.count(), 0, "{transport:?} {side}: {drops:?}");
        }
        network.must(&phone, UeCommand::Deregister);
        network.wait_for_sets(0);
        network.stop();
    }
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_pcscf_that_was_killed_with_a_thousand_ues_starts_clean_and_serves_them_again() {
    let mut network = Network::start(true, "");
    let phones = [1, 2].map(|number| network.phone(number, |config| config));
    for phone in &phones {
        network.must(phone, UeCommand::Register);
    }
    // The states of 998 others, as it would have installed them.
    let mut others = String::new();
    for number in 0..998_u16 {
        let mut one = Four::new(true, 0, PROTECTIONS[0]);
        one.ue = ue_address(true, 15);
        one.spis = [0, 1, 2, 3].map(|row| 0x10_0000 + 4 * u32::from(number) + row);
        one.uc = 10_000 + number;
        others += &one.add(REQID);
    }
    network.net.pcscf.batch(&others);
    let stranger = Four::new(true, 9, PROTECTIONS[0]);
    network.net.pcscf.batch(&stranger.add(77));
    assert_eq!(network.states().len(), 4_000);
    let Network { net, daemons, .. } = &mut network;
    let pcscf = daemons.get("pcscf");
    net.pcscf.inside(|| pcscf.restart()).expect("a start");
    crate::space::eventually("it serves for the second time", || {
        pcscf.log().matches(" ready ").count() == 2
    });
    let cleaned = "stale security associations and policies of a previous run: cleaned";
    assert!(
        network.daemons.get("pcscf").log().contains(cleaned),
        "{}",
        network.about()
    );
    assert_eq!(network.states().len(), 0);
    assert_eq!(network.net.pcscf.states().len(), 4, "the stranger's are there");
    for phone in &phones {
        network.must(phone, UeCommand::Register);
        network.must(phone, UeCommand::Refresh);
    }
    for phone in &phones {
        network.must(phone, UeCommand::Deregister);
    }
    network.wait_for_sets(0);
    network.net.pcscf.ip("xfrm state deleteall reqid 77");
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_ue_whose_associations_an_operator_flushed_registers_anew() {
    let network = Network::start(true, "");
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    network.net.pcscf.ip("xfrm state flush");
    network.wait_for_sets(0);
    crate::space::eventually("the loss is counted", || {
        network
            .metric("ims_xfrm_sets_vanished_total{cause=\"deleted\"}")
            .values()
            .sum::<u64>()
            == 1
    });
    network.must(&phone, UeCommand::Register);
    network.wait_for_sets(1);
    network.must(&phone, UeCommand::Deregister);
    network.wait_for_sets(0);
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_set_that_the_kernel_refuses_is_answered_at_once_and_leaves_nothing() {
    let network = Network::start(true, "");
    // This family counts its SPIs up: another program has the first one towards the UE's address already.
    let phone = network.phone(1, |config| config.shape(shape::SAMSUNG));
    let taken = Four {
        spis: [0x7001, 12_001, 12_002, 0x7004],
        ..Four::new(true, 1, PROTECTIONS[0])
    };
    network.net.pcscf.batch(&taken.add(77));
    let events = network.tell(&phone, UeCommand::Register);
    let refused = events
        .iter()
        .any(|event| matches!(event, UeEvent::Rejected { status: 500, .. }));
    assert!(refused, "{events:?}\n{}", network.about());
    assert_eq!(network.states(), []);
    assert_eq!(network.net.pcscf.states().len(), 4, "the other's are whole");
    // With the next numbers it goes.
    network.must(&phone, UeCommand::Register);
    network.must(&phone, UeCommand::Deregister);
    network.wait_for_sets(0);
    network.net.pcscf.ip("xfrm state deleteall reqid 77");
    network.stop();
}
