//! Testkit: the families of phones over real ESP, a phone with a wrong key, and a message of many packets.

use ims_common::net::Transport;
use ims_tests::ue::security::{Misdeed, UeSecurity};
use ims_tests::ue::{UeCommand, UeEvent, shape};

use crate::network::Network;
use crate::space::eventually;

#[test]
#[ignore = "cargo ci ipsec"]
fn every_family_of_phones_registers_registers_again_and_leaves_over_esp() {
    let network = Network::start(true, "");
    for (number, shape) in (1..).zip(shape::ALL) {
        let transport = if number % 2 == 0 {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let phone = network.phone(number, |config| config.shape(shape).transport(transport));
        for command in [UeCommand::Register, UeCommand::Refresh] {
            let events = network.must(&phone, command.clone());
            // Each time a set of its own, for each REGISTER is challenged.
            let installed = events
                .iter()
                .any(|event| matches!(event, UeEvent::SaInstalled(_)));
            assert!(installed, "{} {command:?}: {events:?}", shape.name);
        }
        network.must(&phone, UeCommand::Deregister);
    }
    network.wait_for_sets(0);
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_phone_with_a_wrong_key_is_dropped_by_the_kernel_which_counts_it() {
    let network = Network::start(true, "    reg_await_auth: 5s\n");
    let wrong = UeSecurity {
        misdeed: Misdeed::WrongKey,
        ..UeSecurity::default()
    };
    let phone = network.phone(1, |config| config.security(wrong));
    phone.phone.tell(UeCommand::Register);
    eventually("the kernel has found a wrong ICV", || {
        network.net.pcscf.xfrm_stat("XfrmInStateProtoError") > 0
    });
    assert_eq!(network.states().len(), 4, "the set waits for the right answer");
    // reg-await-auth (TS 24.229 7.8): the temporary set goes.
    network.wait_for_sets(0);
    let drops = network.net.pcscf.drops();
    assert!(
        drops
            .keys()
            .all(|name| name == "XfrmInStateProtoError" || name == "XfrmInNoStates"),
        "{drops:?}"
    );
    network.stop();
}

/// A request in several fragments, whatever the path takes in one packet.
fn large() -> &'static str {
    let subject = "x".repeat(6_000);
    let text = format!(
        "MESSAGE sip:+15550009@{{home}} SIP/2.0\nMax-Forwards: 70\nFrom: <{{impu}}>;tag={{tag}}\n\
         To: <sip:+15550009@{{home}}>\nCall-ID: l-{{call_id}}\nCSeq: 1 MESSAGE\nSubject: {subject}\nContent-Length: 0\n\n"
    );
    Box::leak(text.into_boxed_str())
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_request_of_several_ip_fragments_arrives_whole_inside_esp() {
    for v4 in [true, false] {
        let network = Network::start(v4, "");
        let phone = network.phone(1, |config| config);
        network.must(&phone, UeCommand::Register);
        let before = phone.passed();
        let events = network.tell(&phone, UeCommand::Request(large()));
        assert!(
            matches!(events.as_slice(), [UeEvent::Answered(_)]),
            "{events:?}\n{}",
            network.about()
        );
        let after = phone.passed();
        assert_eq!(
            (after.sent - before.sent, after.received - before.received),
            (1, 1),
            "once each way"
        );
        let counters = network.net.pcscf.inside(|| {
            std::fs::read_to_string(if v4 {
                "/proc/thread-self/net/snmp"
            } else {
                "/proc/thread-self/net/snmp6"
            })
        });
        let counters = counters.expect("the counters of IP");
        assert!(
            reassembled(&counters, v4) >= 1,
            "it came in one piece:\n{counters}"
        );
        network.must(&phone, UeCommand::Deregister);
        network.wait_for_sets(0);
        network.stop();
    }
}

/// Datagrams that were put together of fragments.
fn reassembled(counters: &str, v4: bool) -> u64 {
    let found = if v4 {
        let mut lines = counters.lines().filter(|line| line.starts_with("Ip:"));
        let names = lines.next().unwrap_or_default().split_whitespace();
        let values = lines.next().unwrap_or_default().split_whitespace();
        names
            .zip(values)
            .find(|(name, _)| *name == "ReasmOKs")
            .map(|(_, value)| value)
    } else {
        let mut lines = counters.lines();
        lines
            .find_map(|line| line.strip_prefix("Ip6ReasmOKs"))
            .map(str::trim)
    };
    found.and_then(|value| value.parse().ok()).unwrap_or(0)
}
