//! Testkit: a handset with a card over ESP: the phone is the program `ue` in a network namespace, its card a virtual one
//! behind the real PC/SC service, and the network the three real daemons.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ims_common::ipsec::{Encryption, Integrity};
use ims_tests::card::apdu::instruction;
use ims_tests::card::pcscd::Pcscd;
use ims_tests::card::virtual_card::{CardProfile, VirtualCard};
use ims_tests::card::vpcd::Attached;
use ims_tests::child::Talker;
use ims_tests::daemons::binaries;
use ims_tests::hss::{TEST_K, TEST_OPC};
use ims_tests::milenage::{Milenage, Sqn};
use ims_tests::scene::imsi;
use ims_tests::text::{SipText, param_of};
use ims_tests::ue::esp_keys::esp_keys;
use ims_tests::ue::security::suite;
use ims_tests::ue::{UeCommand, UeEvent};
use serde_json::Value;

use crate::chain::of_ip;
use crate::esp::State;
use crate::network::Network;
use crate::space::{PCSCF, eventually};
use crate::wire::{Capture, contains};

/// How long the program may take for a step, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program `ue`.
struct Program(Talker);

impl Program {
    /// Runs it in the UEs' namespace with the card of this service.
    fn start(network: &Network, pcscd: &Pcscd, arguments: &[&str]) -> Self {
        let mut command = Command::new(binaries().expect("our own directory").join("ue"));
        command
            .args(arguments)
            .args(["--card", "--netns", network.net.ue.name(), "--json"])
            .env(Pcscd::VARIABLE, pcscd.socket());
        Self(Talker::start(&mut command).expect("the program ue: build the workspace first"))
    }

    /// Waits until it says an event of this name: the object.
    fn until(&mut self, network: &Network, event: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is_event = |line: &str| {
            let object = object(line);
            object["event"] == event && is_it(&object)
        };
        let line = self.0.until(PATIENCE, is_event);
        let line = line.unwrap_or_else(|| {
            panic!(
                "ue does not come to {event}: {:#?}\n{}",
                self.0.said(),
                network.about()
            )
        });
        object(&line)
    }

    /// Until it ends: all that it has said.
    fn end(self) -> (ExitStatus, Vec<Value>) {
        let (status, said) = self.0.end(PATIENCE).expect("an end");
        (status, said.iter().map(|line| object(line)).collect())
    }
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).expect("an object in each line")
}

/// A set as the program has told it: SPI and destination of each state, in the order of TS 33.203 7.1.
fn told(installed: &Value) -> Vec<(u64, String)> {
    let states = installed["states"].as_array().expect("states");
    let end = |state: &Value| {
        let address: std::net::SocketAddr = state["destination"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address");
        address.ip().to_string()
    };
    states
        .iter()
        .map(|state| (state["spi"].as_u64().expect("an SPI"), end(state)))
        .collect()
}

/// Those states in one kernel.
fn in_kernel(states: &[State], told: &[(u64, String)]) -> Vec<State> {
    let found = |(spi, to): &(u64, String)| {
        let state = states
            .iter()
            .find(|state| u64::from(state.spi) == *spi && state.to == *to);
        state
            .unwrap_or_else(|| panic!("no state {spi} to {to} in {states:?}"))
            .clone()
    };
    told.iter().map(found).collect()
}

/// The algorithms as the kernel shows them, with the keys that the card's K and OPc give for this RAND.
fn expected_keys(rand: &[u8; 16]) -> Vec<String> {
    let keys = Milenage::new(&TEST_K, &TEST_OPC).f2345(rand);
    let keys = esp_keys(
        suite(Integrity::HmacSha1_96, Encryption::AesCbc),
        &keys.ck,
        &keys.ik,
    );
    let hex = |key: &[u8]| -> String { key.iter().map(|octet| format!("{octet:02x}")).collect() };
    vec![
        format!("hmac(sha1) 0x{}", hex(keys.integrity.expose())),
        format!("cbc(aes) 0x{}", hex(keys.encryption.expose())),
    ]
}

/// What could be read of SIP on the wire, after it was seen that ESP cannot.
fn readable(packets: &[Vec<u8>]) -> Vec<String> {
    let is_esp = |packet: &&Vec<u8>| of_ip(packet).is_some_and(|(protocol, _)| protocol == 50);
    for packet in packets.iter().filter(is_esp) {
        assert!(!contains(packet, "SIP/2.0"), "ESP that can be read");
    }
    let clear = packets.iter().filter_map(|packet| match of_ip(packet)? {
        (6 | 17, rest) => Some(String::from_utf8_lossy(rest).into_owned()),
        _ => None,
    });
    clear.filter(|text| text.contains("SIP/2.0")).collect()
}

/// RAND of a challenge.
fn rand_of(challenge: &str) -> [u8; 16] {
    let from = challenge.find("SIP/2.0 401").expect("a challenge");
    let text = SipText::new(&challenge.as_bytes()[from..]).expect("SIP");
    let nonce = text
        .header("WWW-Authenticate")
        .and_then(|value| param_of(value, "nonce"))
        .expect("a nonce");
    let nonce = STANDARD.decode(nonce).expect("base 64");
    *nonce.first_chunk().expect("RAND")
}

/// That both kernels have the same keys, and that since then more has gone over those states that UDP uses (TS 33.203 7.1):
/// from the UE's client port to our server port, and from our client port to its server port.
fn assert_carried(ours: &[State], theirs: &[State], before: &[State]) {
    for ((ours, theirs), before) in ours.iter().zip(theirs).zip(before) {
        assert_eq!(ours.algorithms, theirs.algorithms, "one key on both sides");
        assert_eq!(ours.packets > 0, theirs.packets > 0, "{ours:?} {theirs:?}");
        assert_eq!(
            ours.packets > before.packets,
            before.packets > 0,
            "{before:?} {ours:?}"
        );
    }
    let carried: Vec<bool> = ours.iter().map(|state| state.packets > 0).collect();
    assert_eq!(carried, [true, false, true, false]);
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_handset_registers_over_esp_with_the_keys_of_its_card_calls_and_leaves() {
    let network = Network::start(true, "    algorithms: [hmac-sha-1-96/aes-cbc]\n");
    let other = network.phone(2, |config| config);
    network.must(&other, UeCommand::Register);
    let pcscd = Pcscd::start().expect("pcscd");
    // The card alone says who the phone is and where its P-CSCF.
    let profile = CardProfile::new(&imsi(1)).pcscfs(&[PCSCF[0]]);
    let card = Attached::start_and_wait(pcscd.reader(), VirtualCard::new(profile)).expect("a card");
    let policies = network.net.ue.policies();
    let capture = Capture::start(&network.net.ue);

    let arguments = [
        "call",
        "--to",
        "+1 555 0002",
        "--seconds",
        "1",
        "--interface",
        "v0",
    ];
    let mut ue = Program::start(&network, &pcscd, &arguments);
    let installed = ue.until(&network, "sa_installed", |_| true);
    let set = told(&installed);
    ue.until(&network, "registered", |granted| granted["expires"] == 600_000);
    let both = || [network.states(), network.net.ue.states()].map(|states| in_kernel(&states, &set));
    let registered = both();
    assert_eq!(card.card().counted(instruction::AUTHENTICATE), 1);
    ue.until(&network, "call", |call| call["what"]["kind"] == "begun");
    let [ours, theirs] = both();
    assert_carried(&ours, &theirs, &registered[0]);

    let (status, said) = ue.end();
    assert!(status.success(), "{said:#?}\n{}", network.about());
    assert!(
        said.iter().any(|object| object["event"] == "deregistered"),
        "{said:#?}"
    );
    let packets = capture.stop();
    let clear = readable(&packets);
    let [register, challenge] = clear.as_slice() else {
        panic!("{} messages can be read: {clear:#?}", clear.len());
    };
    assert!(
        register.contains("REGISTER sip:") && register.contains("nonce=\"\""),
        "{register}"
    );
    let keys = expected_keys(&rand_of(challenge));
    assert!(
        ours.iter().all(|state| state.algorithms == keys),
        "the keys of the card"
    );
    let challenges = said
        .iter()
        .filter(|object| object["event"] == "challenged")
        .count();
    let counted = usize::try_from(card.card().counted(instruction::AUTHENTICATE));
    assert_eq!(counted, Ok(challenges), "the card has answered all of them");

    assert_eq!(
        network.net.ue.policies(),
        policies,
        "the kernel keeps none of its policies"
    );
    network.must(&other, UeCommand::Deregister);
    network.wait_for_sets(0);
    eventually("the kernel keeps no state", || network.net.ue.states().is_empty());
    network.stop();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_card_that_is_ahead_is_resynchronised_over_ipv6_and_tcp_and_its_phone_texts() {
    let network = Network::start(false, "");
    let other = network.phone(2, |config| config);
    network.must(&other, UeCommand::Register);
    let pcscd = Pcscd::start().expect("pcscd");
    let profile = CardProfile::new(&imsi(1))
        .pcscfs(&[PCSCF[1]])
        .sqn(Sqn::of(1_000, 3));
    let card = Attached::start_and_wait(pcscd.reader(), VirtualCard::new(profile)).expect("a card");
    let capture = Capture::start(&network.net.ue);
    let arguments = ["message", "--to", "+15550002", "--tcp", "--pause", "2"];
    let mut ue = Program::start(&network, &pcscd, &arguments);
    ue.until(&network, "sync_failure", |_| true);
    let set = told(&ue.until(&network, "sa_installed", |_| true));
    ue.until(&network, "registered", |_| true);
    // It pauses now.
    let [ours, theirs] = [network.states(), network.net.ue.states()].map(|states| in_kernel(&states, &set));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.algorithms, theirs.algorithms, "one key on both sides");
    }
    assert!(ours.iter().any(|state| state.packets > 0), "{ours:?}");
    assert_eq!(card.card().counted(instruction::AUTHENTICATE), 2);
    assert!(card.card().sqn() > Sqn::of(1_000, 3), "the HSS has followed");
    let (status, said) = ue.end();
    assert!(status.success(), "{said:#?}\n{}", network.about());
    let is_text = |event: &UeEvent| matches!(event, UeEvent::MessageReceived(text) if text.body == b"Hello");
    assert!(other.phone.take_events().iter().any(is_text));
    // Two REGISTERs, the second one with AUTS, and their challenges; the text is not among them.
    let clear = readable(&capture.stop());
    assert_eq!(clear.len(), 4, "{clear:#?}");
    assert!(clear[2].contains("auts=") && clear.iter().all(|text| !text.contains("Hello")));
    network.must(&other, UeCommand::Deregister);
    network.wait_for_sets(0);
    network.stop();
}
