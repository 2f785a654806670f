//! Testkit: what strangers and other subscribers send to protected ports reaches nobody.

use std::net::SocketAddr;

use ims_tests::ue::UeCommand;
use socket2::{Domain, Protocol, Socket, Type};

use crate::chain::{four, installed};
use crate::network::Network;
use crate::space::{SILENCE, ue_address};
use crate::wire::Capture;

const REGISTER: &[u8] = b"REGISTER sip:ims.mnc001.mcc001.3gppnetwork.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.120:5060;branch=z9hG4bKforged\r\nMax-Forwards: 70\r\n\
    From: <sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>;tag=f\r\n\
    To: <sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>\r\nCall-ID: forged\r\nCSeq: 1 REGISTER\r\n\
    Contact: <sip:192.0.2.120:5060>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n";

/// Messages that the P-CSCF has looked at, on all sides.
fn looked_at(network: &Network) -> u64 {
    let count = network.metric("ims_sip_received_total").values().sum::<u64>();
    assert!(count > 0, "no such counter");
    count
}

#[test]
#[ignore = "cargo ci ipsec"]
fn clear_text_to_the_protected_ports_of_a_pcscf_is_dropped_whoever_sends_it() {
    for v4 in [true, false] {
        let network = Network::start(v4, "");
        let phone = network.phone(1, |config| config);
        let view = installed(&network.must(&phone, UeCommand::Register));
        let before = looked_at(&network);
        let stranger = network.net.ue.udp(SocketAddr::new(ue_address(v4, 19), 5060));
        for (count, state) in (1..).zip([view.states[0], view.states[3]]) {
            stranger.send_to(REGISTER, state.destination).expect("sent");
            std::thread::sleep(SILENCE);
            assert_eq!(network.net.pcscf.xfrm_stat("XfrmInTmplMismatch"), count);
        }
        let refused = network.net.ue.connect(
            SocketAddr::new(ue_address(v4, 19), 5070),
            view.states[0].destination,
            SILENCE,
        );
        assert!(refused.is_err(), "a connection in clear: {refused:?}");
        assert_eq!(
            looked_at(&network),
            before,
            "the P-CSCF has seen what its kernel dropped"
        );
        network.must(&phone, UeCommand::Deregister);
        network.wait_for_sets(0);
        network.stop();
    }
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_subscriber_who_sends_in_the_name_of_another_is_dropped() {
    let network = Network::start(true, "    algorithms: [hmac-sha-1-96/null]\n");
    let (alice, mallory) = (
        network.phone(1, |config| config),
        network.phone(2, |config| config),
    );
    let hers = installed(&network.must(&alice, UeCommand::Register));
    let his = installed(&network.must(&mallory, UeCommand::Register));
    // His SPI and keys, her address and ports; beyond the numbers that he has used, or the replay check would drop it
    // for another reason.
    let own = four(&network.net.ue.states(), &his);
    let [key, _] = own[0].algorithms.as_slice() else {
        panic!("{own:?}")
    };
    let (from, to) = (hers.states[0].source, hers.states[0].destination);
    network.net.ue.ip("xfrm state deleteall");
    network.net.ue.batch(&format!(
        "xfrm state add src {} dst {} proto esp spi {:#x} reqid {} mode transport auth-trunc {key} 96 enc ecb(cipher_null) \
         \"\" sel src {} dst {} sport 0 dport {} replay-oseq 0x1000\n\
         xfrm policy add src {}/32 dst {}/32 sport 7777 dir out priority 1 tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid {} mode transport\n",
        from.ip(), to.ip(), his.states[0].spi, own[0].reqid, from.ip(), to.ip(), to.port(), from.ip(), to.ip(), own[0].reqid
    ));
    let before = looked_at(&network);
    // Alice's own socket has her port; the selector of the state is what counts, and her address is not his.
    let forger = network.net.ue.udp(SocketAddr::new(from.ip(), 7777));
    forger.send_to(REGISTER, to).expect("sent");
    std::thread::sleep(SILENCE);
    assert_eq!(
        network.net.pcscf.drops(),
        [("XfrmInStateMismatch".to_owned(), 1)].into(),
        "{}",
        network.about()
    );
    assert_eq!(
        looked_at(&network),
        before,
        "the P-CSCF has seen a forged message"
    );
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_packet_that_comes_a_second_time_is_dropped_by_its_number() {
    let network = Network::start(true, "");
    let capture = Capture::start(&network.net.ue);
    let phone = network.phone(1, |config| config);
    let view = installed(&network.must(&phone, UeCommand::Register));
    let spi = view.states[0].spi.to_be_bytes();
    // Behind the headers of Ethernet and IPv4: the one packet that the UE has sent over the new association.
    let is_ours = |packet: &Vec<u8>| packet.get(23) == Some(&50) && packet.get(34..38) == Some(&spi[..]);
    let packets = capture.stop();
    let Some(packet) = packets.iter().find(|packet| is_ours(packet)) else {
        panic!("no packet of the UE among {}", packets.len());
    };
    let before = looked_at(&network);
    let (from, to) = (view.states[0].source.ip(), view.states[0].destination.ip());
    network.net.ue.inside(|| {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(50))).expect("a raw socket");
        raw.bind(&SocketAddr::new(from, 0).into())
            .expect("the UE's address");
        raw.send_to(&packet[34..], &SocketAddr::new(to, 0).into())
            .expect("sent");
    });
    std::thread::sleep(SILENCE);
    assert_eq!(
        network.net.pcscf.drops(),
        [("XfrmInStateSeqError".to_owned(), 1)].into(),
        "{}",
        network.about()
    );
    assert_eq!(looked_at(&network), before, "the P-CSCF has seen a packet twice");
    network.must(&phone, UeCommand::Deregister);
    network.wait_for_sets(0);
    network.stop();
}
