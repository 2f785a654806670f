//! Testkit: ladders of a first registration as three nodes tell it.

use super::*;
use crate::why::entry::{ConnectionStep, NoteStep};
use crate::why::{Case, Facts};

/// 2026-11-21 14:13:07.120 UTC.
pub(in crate::imsctl) const BEGAN: u64 = 1_795_270_387_120_000;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(in crate::imsctl) fn places() -> Places {
    [
        ("192.0.2.2:5060", "pcscf"),
        ("192.0.2.3:5060", "icscf"),
        ("192.0.2.4:5060", "scscf"),
    ]
    .into_iter()
    .map(|(at, node)| (address(at), Cow::Borrowed(node)))
    .collect()
}

pub(in crate::imsctl) fn entry(millis: u64, node: &'static str, what: What, facts: Facts) -> Entry {
    Entry {
        at: BEGAN + millis * 1_000,
        node: Cow::Borrowed(node),
        call_id: "call".to_owned(),
        icid: None,
        what,
        facts,
    }
}

fn sip(way: Way, side: Interface, peer: &str, method: &'static str, status: Option<u16>) -> What {
    What::Sip(SipStep {
        way,
        side,
        transport: Transport::Udp,
        peer: address(peer),
        method: Cow::Borrowed(method),
        status,
        cseq: 1,
        octets: 900,
        again: 0,
    })
}

fn diameter(way: Way, command: &'static str, result: Option<u32>) -> What {
    What::Diameter(DiameterStep {
        way,
        command: Cow::Borrowed(command),
        result,
    })
}

/// A REGISTER of somebody whom the HSS does not know, as P-CSCF and I-CSCF saw it.
pub(in crate::imsctl) fn refused() -> Case {
    let (ue, p, i) = ("198.51.100.7:5060", "192.0.2.2:5060", "192.0.2.3:5060");
    let register = |way, side, peer| sip(way, side, peer, "REGISTER", None);
    let answer = |way, side, peer| sip(way, side, peer, "REGISTER", Some(403));
    let facts = || {
        Facts::new()
            .with(Fact::ContactHost, "198.51.100.7")
            .with(Fact::Expires, "600000")
    };
    let phrase = || Facts::new().with(Fact::Phrase, "Forbidden");
    let impu = "sip:001010000000009@ims.mnc001.mcc001.3gppnetwork.org";
    let uar = Facts::new().with(Fact::Impu, impu);
    let entries = vec![
        entry(0, "pcscf", register(Way::Heard, Interface::Gm, ue), facts()),
        entry(1, "pcscf", register(Way::Said, Interface::Mw, i), facts()),
        entry(2, "icscf", register(Way::Heard, Interface::Mw, p), facts()),
        entry(3, "icscf", diameter(Way::Said, "UAR", None), uar),
        entry(5, "icscf", diameter(Way::Heard, "UAA", Some(5_001)), Facts::new()),
        entry(6, "icscf", answer(Way::Said, Interface::Mw, p), phrase()),
        entry(7, "pcscf", answer(Way::Heard, Interface::Mw, i), phrase()),
        entry(8, "pcscf", answer(Way::Said, Interface::Gm, ue), phrase()),
    ];
    Case {
        who: "001010000000009".to_owned(),
        names: ["001010000000009".to_owned()].into(),
        now: BEGAN + 20_000_000,
        entries,
        site: vec![Entry {
            call_id: String::new(),
            ..entry(
                0,
                "icscf",
                What::Connection(ConnectionStep { is_up: true }),
                Facts::new(),
            )
        }],
        places: places(),
        nodes: ["pcscf", "icscf"].map(Cow::Borrowed).into(),
    }
}

fn printed(case: &Case) -> String {
    let rungs = rungs(&case.entries, &case.places, &case.nodes);
    let names = name_width(&rungs);
    let lines: Vec<String> = rungs.iter().map(|rung| line(rung, BEGAN, names)).collect();
    lines.join("\n")
}

#[test]
fn what_two_nodes_saw_stands_in_the_ladder_once() {
    assert_eq!(
        printed(&refused()),
        [
            "     0.000 UE     > P-CSCF REGISTER              CSeq=1 Contact=198.51.100.7 Expires=600000",
            "     0.001 P-CSCF > I-CSCF REGISTER              CSeq=1 Contact=198.51.100.7 Expires=600000",
            "     0.003 I-CSCF > HSS    UAR                   sip:001010000000009@ims.mnc001.mcc001.3gppnetwork.org",
            "     0.005 HSS    > I-CSCF UAA 5001",
            "     0.006 I-CSCF > P-CSCF 403 Forbidden         CSeq=1 REGISTER",
            "     0.008 P-CSCF > UE     403 Forbidden         CSeq=1 REGISTER",
        ]
        .join("\n")
    );
}

#[test]
fn what_a_node_that_was_asked_has_not_seen_is_lost() {
    let mut case = refused();
    case.entries.retain(|entry| entry.node == "pcscf");
    let text = printed(&case);
    assert!(
        text.contains("P-CSCF > I-CSCF REGISTER") && text.contains("Expires=600000 (not seen there)"),
        "{text}"
    );
    // A node that nobody asked may have seen it.
    case.nodes.remove("icscf");
    assert!(!printed(&case).contains("not seen"));
}

#[test]
fn a_stream_that_a_node_opened_is_known_by_its_address() {
    let mut case = refused();
    for entry in &mut case.entries {
        if entry.node == "icscf"
            && let What::Sip(sip) = &mut entry.what
        {
            sip.peer.set_port(41_234);
        }
    }
    assert_eq!(printed(&case).lines().count(), 6, "{}", printed(&case));
    // Two nodes at one address: whoever sent it says which it was.
    case.places
        .insert(address("192.0.2.2:6060"), Cow::Borrowed("scscf"));
    assert!(printed(&case).contains("P-CSCF > I-CSCF REGISTER"));
    assert_eq!(printed(&case).lines().count(), 6, "{}", printed(&case));
}

#[test]
fn clocks_that_differ_do_not_make_two_lines_of_one_message() {
    let mut case = refused();
    for entry in case.entries.iter_mut().filter(|entry| entry.node == "icscf") {
        entry.at -= 400_000;
    }
    case.entries.sort_by_key(|entry| entry.at);
    let text = printed(&case);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(
        text.contains("P-CSCF > I-CSCF REGISTER") && text.contains("I-CSCF > P-CSCF 403 Forbidden"),
        "{text}"
    );
}

#[test]
fn notes_repetitions_and_protection_are_told() {
    let mut protected = entry(
        0,
        "pcscf",
        sip(
            Way::Heard,
            Interface::GmProtected,
            "198.51.100.7:5060",
            "INVITE",
            None,
        ),
        Facts::new().with(Fact::RequestUri, "tel:+15550002"),
    );
    if let What::Sip(sip) = &mut protected.what {
        sip.again = 2;
    }
    let note = |kind, facts| entry(9, "scscf", What::Note(NoteStep { kind }), facts);
    let server = Facts::new().with(Fact::AppServer, "sip:tas.home.example");
    for (entry, text, is_trouble) in [
        (
            protected,
            "UE     > P-CSCF INVITE                ESP CSeq=1 tel:+15550002 (sent 3 times)",
            false,
        ),
        (
            note(NoteKind::AppServerChosen, server),
            "-- S-CSCF: app server chosen: sip:tas.home.example",
            false,
        ),
        (
            note(NoteKind::CalleeNotRegistered, Facts::new()),
            "-- S-CSCF: callee not registered",
            true,
        ),
        (
            entry(
                9,
                "icscf",
                What::Connection(ConnectionStep { is_up: false }),
                Facts::new().with(Fact::Words, "refused"),
            ),
            "-- I-CSCF: Diameter connection is down: refused",
            true,
        ),
    ] {
        let rung = rung(&entry, &places());
        let line = line(&rung, entry.at, 6);
        assert_eq!(line.trim_start().strip_prefix("0.000 "), Some(text));
        assert_eq!(rung.is_trouble, is_trouble, "{text}");
    }
}

#[test]
fn nothing_that_a_stranger_wrote_moves_the_cursor() {
    let hostile = What::Sip(SipStep {
        way: Way::Heard,
        side: Interface::Mw,
        transport: Transport::Tcp,
        peer: address("203.0.113.9:5060"),
        method: Cow::Borrowed("\u{1b}[2J"),
        status: None,
        cseq: 1,
        octets: 1,
        again: 0,
    });
    let line = line(
        &rung(&entry(0, "icscf", hostile, Facts::new()), &places()),
        BEGAN,
        6,
    );
    assert_eq!(
        line,
        "     0.000 203.0.113.9 > I-CSCF \u{fffd}[2J                  TCP CSeq=1"
    );
}
