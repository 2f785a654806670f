//! Testkit: registrations over ESP through the whole network.

use ims_common::ipsec::Suite;
use ims_common::net::Transport;
use ims_tests::ue::sas::SaView;
use ims_tests::ue::{UeCommand, UeEvent};

use crate::esp::State;
use crate::network::Network;
use crate::wire::{Capture, contains};

const ALL_SUITES: &str = "    algorithms: [hmac-sha-1-96/null, hmac-sha-1-96/aes-cbc, hmac-sha-1-96/des-ede3-cbc, \
                          hmac-md5-96/null, hmac-md5-96/aes-cbc, hmac-md5-96/des-ede3-cbc, null/aes-gcm, aes-gmac/null]\n";
/// A message that is no REGISTER; what the network says to it does not matter here, but that it says something.
pub(crate) const MESSAGE: &str = "MESSAGE sip:+15550009@{home} SIP/2.0\nMax-Forwards: 70\nFrom: <{impu}>;tag={tag}\n\
                       To: <sip:+15550009@{home}>\nCall-ID: m-{call_id}\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n";

/// The set that a phone installed last.
pub(crate) fn installed(events: &[UeEvent]) -> SaView {
    let views = events.iter().rev().find_map(|event| match event {
        UeEvent::SaInstalled(view) => Some(*view),
        _ => None,
    });
    views.unwrap_or_else(|| panic!("no set was installed: {events:?}"))
}

/// The four states of a set at one side, in the order of TS 33.203 7.1.
pub(crate) fn four(states: &[State], view: &SaView) -> [State; 4] {
    view.states.map(|wanted| {
        let found = states
            .iter()
            .find(|state| state.spi == wanted.spi && state.to == wanted.destination.ip().to_string());
        found
            .unwrap_or_else(|| panic!("no state {wanted:?} in {states:?}"))
            .clone()
    })
}

/// That both kernels hold the set with the same keys, which each side has computed by itself, and which of the states
/// have carried something.
fn carried(network: &Network, view: &SaView) -> [bool; 4] {
    let (pcscf, ue) = (
        four(&network.states(), view),
        four(&network.net.ue.states(), view),
    );
    for (ours, theirs) in pcscf.iter().zip(&ue) {
        assert_eq!(ours.algorithms, theirs.algorithms, "the keys of {:#x}", ours.spi);
        assert_eq!(
            ours.bytes > 0,
            theirs.bytes > 0,
            "{:#x}: {ours:?} {theirs:?}",
            ours.spi
        );
    }
    pcscf.map(|state| state.bytes > 0)
}

fn every_suite(v4: bool) {
    let network = Network::start(v4, ALL_SUITES);
    let udp = network.phone(1, |config| config);
    let tcp = network.phone(2, |config| config.transport(Transport::Tcp));
    for suite in Suite::ALL {
        let only: &'static [Suite] = Box::leak(Box::new([suite]));
        // UDP goes to the UE from our client port to its server port, over TCP the answer comes back on the connection.
        for (handset, expected) in [
            (&udp, [true, false, true, false]),
            (&tcp, [true, true, false, false]),
        ] {
            let offer = move |_, ue: &mut ims_tests::ue::Ue| ue.config_mut().shape.dialect.suites = only;
            handset.phone.with(offer).expect("a phone");
            let view = installed(&network.must(handset, UeCommand::Register));
            assert_eq!(view.suite, suite);
            assert_eq!(carried(&network, &view), expected, "{suite}");
            network.must(handset, UeCommand::Deregister);
        }
    }
    network.wait_for_sets(0);
    assert_eq!(network.net.ue.states(), [], "the phones keep nothing");
    // The last words of a connection may find its associations gone.
    let drops = network.net.pcscf.drops();
    assert!(drops.keys().all(|name| name == "XfrmOutNoStates"), "{drops:?}");
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn phones_register_and_leave_over_esp_with_every_suite_over_ipv4() {
    every_suite(true);
}

#[test]
#[ignore = "cargo ci ipsec"]
fn phones_register_and_leave_over_esp_with_every_suite_over_ipv6() {
    every_suite(false);
}

/// IP protocol and what it carries.
pub(crate) fn of_ip(packet: &[u8]) -> Option<(u8, &[u8])> {
    match packet.get(12..14)? {
        [0x08, 0x00] => Some((*packet.get(23)?, packet.get(34..)?)),
        [0x86, 0xdd] => Some((*packet.get(20)?, packet.get(54..)?)),
        _ => None,
    }
}

#[test]
#[ignore = "cargo ci ipsec"]
fn nothing_but_the_first_register_and_its_challenge_can_be_read_on_the_wire() {
    for (v4, transport) in [(true, Transport::Udp), (false, Transport::Tcp)] {
        let network = Network::start(v4, "    algorithms: [hmac-sha-1-96/aes-cbc]\n");
        let capture = Capture::start(&network.net.ue);
        let phone = network.phone(1, |config| config.transport(transport));
        for command in [
            UeCommand::Register,
            UeCommand::Refresh,
            UeCommand::Request(MESSAGE),
            UeCommand::Deregister,
        ] {
            network.tell(&phone, command);
        }
        let packets = capture.stop();
        let mut clear = Vec::new();
        let mut esp = 0;
        for packet in &packets {
            match of_ip(packet) {
                Some((50, _)) => esp += 1,
                Some((6 | 17, rest)) => clear.push(String::from_utf8_lossy(rest).into_owned()),
                _ => {}
            }
            let is_esp = of_ip(packet).is_some_and(|(protocol, _)| protocol == 50);
            assert!(!(is_esp && contains(packet, "SIP/2.0")), "ESP that can be read");
        }
        let readable: Vec<&String> = clear.iter().filter(|text| text.contains("SIP/2.0")).collect();
        let [register, challenge] = readable.as_slice() else {
            panic!("{} messages can be read: {readable:#?}", readable.len());
        };
        assert!(
            register.contains("REGISTER sip:") && register.contains("nonce=\"\""),
            "{register}"
        );
        assert!(challenge.contains("SIP/2.0 401 "), "{challenge}");
        for secret in ["ck=", "ik="] {
            assert!(!challenge.contains(secret), "{secret} on the wire: {challenge}");
        }
        assert!(esp >= 8, "{esp} packets of ESP");
        network.wait_for_sets(0);
        network.stop();
    }
}
