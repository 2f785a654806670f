//! Testkit: what the kernel does with security associations: the facts that the product is built on.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};

use crate::esp::{Four, PCSCF_REQID, PROTECTIONS, Protection, UE_REQID, clear, protect};
use crate::space::{Net, PATIENCE, SILENCE};

const SHA1: Protection = PROTECTIONS[0];

/// Protected ports on both sides, for these UEs.
fn protected(ues: &[Four]) -> Net {
    let net = Net::new();
    let [first, ..] = ues else { panic!("no UE") };
    net.pcscf
        .batch(&protect(first.pcscf, &[first.ps, first.pc], PCSCF_REQID));
    for four in ues {
        net.ue.batch(&protect(four.ue, &[four.uc, four.us], UE_REQID));
    }
    net
}

/// SPIs whose counters moved on both sides while `act` ran; the two sides have to agree.
fn used(net: &Net, act: impl FnOnce()) -> Vec<u32> {
    let counters = || {
        [&net.pcscf, &net.ue].map(|space| {
            let states = space.states().into_iter();
            states
                .map(|state| (state.spi, state.bytes))
                .collect::<BTreeMap<_, _>>()
        })
    };
    let before = counters();
    act();
    let after = counters();
    let [pcscf, ue] = [0, 1].map(|side| {
        let moved = after[side]
            .iter()
            .filter(|(spi, bytes)| before[side][spi] < **bytes);
        moved.map(|(spi, _)| *spi).collect::<Vec<_>>()
    });
    assert_eq!(pcscf, ue, "one side only has used them");
    pcscf
}

/// Packets that each state has carried, in the order of their SPIs; the receiver of each has counted no more than its
/// sender.
fn packets(net: &Net) -> [u64; 4] {
    let [pcscf, ue] = [&net.pcscf, &net.ue].map(|space| {
        let mut states = space.states();
        states.sort_by_key(|state| state.spi);
        let packets: Vec<u64> = states.iter().map(|state| state.packets).collect();
        assert!(
            states
                .iter()
                .all(|state| (state.bytes > 0) == (state.packets > 0))
        );
        <[u64; 4]>::try_from(packets).expect("four states")
    });
    let sent = [ue[0], pcscf[1], pcscf[2], ue[3]];
    let received = [pcscf[0], ue[1], ue[2], pcscf[3]];
    assert!(
        received
            .iter()
            .zip(sent)
            .all(|(received, sent)| *received <= sent)
    );
    received
}

/// Sends a text and wants it at the other end, from where it was sent.
fn pass(from: &UdpSocket, to: &UdpSocket, text: &str) {
    let target = to.local_addr().expect("bound");
    from.send_to(text.as_bytes(), target).expect("sent");
    let mut buffer = [0_u8; 4096];
    let (length, source) = to.recv_from(&mut buffer).expect("a datagram");
    assert_eq!(
        (&buffer[..length], source),
        (text.as_bytes(), from.local_addr().expect("bound"))
    );
}

/// That nothing arrives.
fn silent(socket: &UdpSocket) {
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let mut buffer = [0_u8; 4096];
    let heard = socket.recv_from(&mut buffer);
    assert!(heard.is_err(), "heard {heard:?}");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
}

/// Opens a connection from exactly `from`, and sends a text each way.
fn converse(client: &crate::space::Space, server: &crate::space::Space, from: SocketAddr, to: SocketAddr) {
    let listener = server.listener(to);
    let mut near = client.connect(from, to, PATIENCE).expect("a connection");
    let (mut far, source) = listener.accept().expect("a connection");
    assert_eq!(source, from);
    let mut buffer = [0_u8; 4];
    near.write_all(b"ping").expect("sent");
    far.read_exact(&mut buffer).expect("a text");
    far.write_all(b"pong").expect("sent");
    near.read_exact(&mut buffer).expect("a text");
    assert_eq!(&buffer, b"pong");
}

fn every_protection_carries_udp_and_tcp(v4: bool) {
    let first = Four::new(v4, 0, SHA1);
    let net = protected(&[first]);
    let [(uc, ps), _, (pc, us), _] = first.flows();
    let sockets = [
        net.ue.udp(uc),
        net.pcscf.udp(ps),
        net.pcscf.udp(pc),
        net.ue.udp(us),
    ];
    let [at_uc, at_ps, at_pc, at_us] = &sockets;
    for protection in PROTECTIONS {
        let four = Four::new(v4, 0, protection);
        four.install(&net);
        let name = protection.name;
        // So many datagrams each way that a count tells the association.
        pass(at_uc, at_ps, "request");
        (0..2).for_each(|_| pass(at_pc, at_us, "request"));
        (0..3).for_each(|_| pass(at_us, at_pc, "answer"));
        assert_eq!(packets(&net), [1, 0, 2, 3], "{name}");
        converse(&net.ue, &net.pcscf, uc, ps);
        let [at_least_4, back, unchanged @ ..] = packets(&net);
        assert!(
            at_least_4 >= 4 && back >= 2 && unchanged == [2, 3],
            "{name}: {at_least_4} {back} {unchanged:?}"
        );
        converse(&net.pcscf, &net.ue, pc, us);
        let [.., called, answered] = packets(&net);
        assert!(called >= 5 && answered >= 5, "{name}: {called} {answered}");
        for space in [&net.pcscf, &net.ue] {
            space.ip("xfrm state deleteall");
        }
    }
    clear(&net);
    net.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn every_protection_carries_udp_and_tcp_over_ipv4_on_the_right_association() {
    every_protection_carries_udp_and_tcp(true);
}

#[test]
#[ignore = "cargo ci ipsec"]
fn every_protection_carries_udp_and_tcp_over_ipv6_on_the_right_association() {
    every_protection_carries_udp_and_tcp(false);
}

#[test]
#[ignore = "cargo ci ipsec"]
fn the_kernel_drops_clear_text_to_a_protected_port_whoever_sends_it() {
    for v4 in [true, false] {
        let four = Four::new(v4, 0, SHA1);
        // The UEs' side has no policies: it sends in clear.
        let net = Net::new();
        net.pcscf
            .batch(&protect(four.pcscf, &[four.ps, four.pc], PCSCF_REQID));
        net.pcscf.batch(&four.add(PCSCF_REQID));
        let [(uc, ps), _, (pc, us), _] = four.flows();
        let stranger = SocketAddr::new(crate::space::ue_address(v4, 5), 5060);
        let (at_ps, at_pc) = (net.pcscf.udp(ps), net.pcscf.udp(pc));
        let mut dropped = 0;
        for (from, to, socket) in [
            (uc, ps, &at_ps),
            (us, pc, &at_pc),
            (stranger, ps, &at_ps),
            (stranger, pc, &at_pc),
        ] {
            let clear = net.ue.udp(from);
            clear.send_to(b"REGISTER sip:x SIP/2.0", to).expect("sent");
            silent(socket);
            dropped += 1;
            assert_eq!(
                net.pcscf.xfrm_stat("XfrmInTmplMismatch"),
                dropped,
                "{from} to {to}"
            );
        }
        // An unprotected port of the same address is as open as ever.
        let open = net.pcscf.udp(SocketAddr::new(four.pcscf, 5060));
        pass(&net.ue.udp(uc), &open, "REGISTER");
        let listener = net.pcscf.listener(ps);
        let refused = net.ue.connect(stranger, ps, SILENCE);
        assert!(refused.is_err(), "a connection in clear: {refused:?}");
        drop(listener);
        clear(&net);
        net.assert_no_xfrm();
    }
}

#[test]
#[ignore = "cargo ci ipsec"]
fn the_kernel_drops_what_a_ue_sends_in_the_name_of_another_with_its_own_keys() {
    let (alice, mallory) = (Four::new(true, 0, SHA1), Four::new(true, 1, SHA1));
    let net = protected(&[alice, mallory]);
    net.pcscf
        .batch(&(alice.add(PCSCF_REQID) + &mallory.add(PCSCF_REQID)));
    net.ue.batch(&mallory.add(UE_REQID));
    // Mallory's SPI and keys, but Alice's address; beyond the numbers that the true one has used, or the replay check
    // would drop it for another reason.
    let forged = Four {
        ue: alice.ue,
        ..mallory
    };
    let first = forged.add(UE_REQID).lines().next().expect("a state").to_owned();
    let [(from, ps), ..] = forged.flows();
    let at_ps = net.pcscf.udp(ps);
    let [(own, _), ..] = mallory.flows();
    pass(&net.ue.udp(own), &at_ps, "as myself");
    net.ue.ip("xfrm state deleteall");
    net.ue.batch(&format!("{first} replay-oseq 0x1000\n"));
    net.ue.udp(from).send_to(b"as Alice", ps).expect("sent");
    silent(&at_ps);
    assert_eq!(net.pcscf.xfrm_stat("XfrmInStateMismatch"), 1);
    for other in [
        "XfrmInStateSeqError",
        "XfrmInNoStates",
        "XfrmInTmplMismatch",
        "XfrmInStateProtoError",
    ] {
        assert_eq!(net.pcscf.xfrm_stat(other), 0, "{other}");
    }
    clear(&net);
    net.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn sending_to_a_ue_without_an_association_says_success_and_sends_nothing() {
    let four = Four::new(true, 0, SHA1);
    let net = protected(&[four]);
    let [_, _, (pc, us), _] = four.flows();
    let (from, to) = (net.pcscf.udp(pc), net.ue.udp(us));
    from.send_to(b"INVITE", us).expect("the socket knows of nothing");
    silent(&to);
    assert_eq!(net.pcscf.xfrm_stat("XfrmOutNoStates"), 1);
    clear(&net);
    net.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn two_sets_of_one_ue_live_side_by_side_when_the_client_ports_differ() {
    let old = Four::new(true, 0, SHA1);
    let new = Four {
        uc: 40_002,
        pc: 6103,
        spis: [0x9001, 0x9002, 0x9003, 0x9004],
        seed: 99,
        ..old
    };
    let net = protected(&[old]);
    net.pcscf.batch(&protect(new.pcscf, &[new.pc], PCSCF_REQID));
    net.ue.batch(&protect(new.ue, &[new.uc], UE_REQID));
    old.install(&net);
    new.install(&net);
    let [(old_uc, ps), _, (old_pc, us), _] = old.flows();
    let [(new_uc, _), _, (new_pc, _), _] = new.flows();
    let (at_ps, at_us) = (net.pcscf.udp(ps), net.ue.udp(us));
    for (set, uc, pc) in [
        (&old, old_uc, old_pc),
        (&new, new_uc, new_pc),
        (&old, old_uc, old_pc),
    ] {
        let up = used(&net, || pass(&net.ue.udp(uc), &at_ps, "up"));
        let down = used(&net, || pass(&net.pcscf.udp(pc), &at_us, "down"));
        assert_eq!((up, down), (vec![set.spis[0]], vec![set.spis[2]]));
    }
    clear(&net);
    net.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn the_hard_lifetime_removes_a_state_that_nobody_deletes() {
    let four = Four::new(true, 0, SHA1);
    let net = protected(&[four]);
    net.pcscf
        .batch(&four.add(PCSCF_REQID).replace("time-hard 600", "time-hard 1"));
    let end = std::time::Instant::now() + PATIENCE;
    while !net.pcscf.states().is_empty() {
        assert!(std::time::Instant::now() < end, "{:?}", net.pcscf.states());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    clear(&net);
    net.assert_no_xfrm();
}
