//! Testkit: a card behind the real PC/SC service: pcscd, the driver of virtual readers, and the program `ue`.
//!
//! Each test has a pcscd of its own, and its card counts what it was asked for.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use ims_common::aka::hex::to_hex;
use ims_tests::card::apdu::StatusWord;
use ims_tests::card::apdu::instruction::{AUTHENTICATE, SELECT, VERIFY};
use ims_tests::card::pcscd::Pcscd;
use ims_tests::card::virtual_card::{CardProfile, Fault, Protocol, VirtualCard};
use ims_tests::card::vpcd::Attached;
use ims_tests::daemons::{Daemon, built, fresh_directory};
use ims_tests::hss::{TEST_K, TEST_OPC};
use ims_tests::milenage::{Milenage, Sqn};
use ims_tests::scene::{imsi, subscriber};
use ims_tests::site::Site;

use crate::network::Network;

const IMSI: &str = "001010000000001";
const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const PIN: &str = "4711";

/// A pcscd, and perhaps a card in its reader.
pub(crate) struct Bench {
    // The card goes before its reader does.
    card: Option<Attached>,
    pcscd: Pcscd,
}

/// What the program said.
pub(crate) struct Said {
    is_success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// It went well; what it said.
    #[track_caller]
    pub(crate) fn good(&self) -> &str {
        assert!(self.is_success, "{}{}", self.out, self.err);
        &self.out
    }

    /// It failed, and said a sentence with each of these.
    #[track_caller]
    pub(crate) fn failed_with(&self, parts: &[&str]) {
        assert!(!self.is_success, "{}", self.out);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        }
    }
}

impl Bench {
    fn empty() -> Self {
        let pcscd = Pcscd::start().unwrap_or_else(|error| panic!("{error:#}"));
        Self { pcscd, card: None }
    }

    pub(crate) fn with(profile: CardProfile) -> Self {
        let mut bench = Self::empty();
        let card = Attached::start_and_wait(bench.pcscd.reader(), VirtualCard::new(profile));
        bench.card = Some(card.unwrap_or_else(|error| panic!("{error:#}\n{}", bench.pcscd.log())));
        bench
    }

    pub(crate) fn ue(&self, arguments: &[&str]) -> Said {
        self.ue_with_pin("", arguments)
    }

    pub(crate) fn ue_with_pin(&self, pin: &str, arguments: &[&str]) -> Said {
        run(self.pcscd.socket().as_os_str(), pin, arguments)
    }

    /// How often the card got this instruction.
    pub(crate) fn counted(&self, instruction: u8) -> u32 {
        let card = self.card.as_ref().expect("a card");
        card.card().counted(instruction)
    }

    pub(crate) fn tries(&self) -> u8 {
        self.card.as_ref().expect("a card").card().tries()
    }

    /// Has the card answer a challenge of a network with this K.
    fn challenge(&self, k: [u8; 16], sqn: Sqn, pin: &str) -> Said {
        let vector = Milenage::new(&k, &TEST_OPC).vector([0x5A; 16], sqn, [0x80, 0]);
        let [rand, autn, k, opc] = [vector.rand, vector.autn, TEST_K, TEST_OPC].map(|it| to_hex(&it));
        let challenge = ["card", "auth", "--rand", &rand, "--autn", &autn];
        let keys = ["--k", &k, "--opc", &opc];
        self.ue_with_pin(pin, &[&challenge[..], &keys[..]].concat())
    }

    /// The highest sequence number that the card has accepted.
    fn sqn(&self) -> Sqn {
        self.card.as_ref().expect("a card").card().sqn()
    }
}

fn program(socket: &std::ffi::OsStr, pin: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("20").arg(built().join("ue")).args(arguments);
    command.env(Pcscd::VARIABLE, socket).env("UE_PIN", pin);
    command
}

fn run(socket: &std::ffi::OsStr, pin: &str, arguments: &[&str]) -> Said {
    let mut command = program(socket, pin, arguments);
    let output = command.output().expect("the program timeout runs");
    let text = |octets| String::from_utf8(octets).expect("text");
    Said {
        is_success: output.status.success(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

#[test]
fn what_is_on_a_card_is_shown_by_either_protocol() {
    for protocol in [Protocol::T0, Protocol::T1] {
        let profile = CardProfile::new(IMSI)
            .protocol(protocol)
            .pcscfs(&["192.0.2.5", "pcscf.ims.example"]);
        let bench = Bench::with(profile);
        let said = bench.ue(&["card", "show"]);
        for part in [Pcscd::READER, IMSI, HOME, "192.0.2.5", "pcscf.ims.example"] {
            assert!(said.good().contains(part), "{part:?} is not in {}", said.out);
        }
        assert_eq!((bench.counted(AUTHENTICATE), bench.counted(VERIFY)), (0, 0));
    }
}

#[test]
fn a_card_without_an_isim_is_shown() {
    let bench = Bench::with(CardProfile::new(IMSI).without_isim());
    let said = bench.ue(&["card", "show"]);
    assert!(
        said.good().contains(IMSI) && said.out.contains("no ISIM"),
        "{}",
        said.out
    );
}

#[test]
fn the_readers_are_listed_and_a_part_of_a_name_is_enough() {
    let bench = Bench::with(CardProfile::new(IMSI));
    assert!(bench.ue(&["card", "readers"]).good().contains(Pcscd::READER));
    bench.ue(&["card", "show", "--reader", "virtual pcd"]).good();
    bench
        .ue(&["card", "show", "--reader", "Omnikey"])
        .failed_with(&["Omnikey", Pcscd::READER]);
    bench
        .ue(&["card", "show", "--reader", "Virtual PCD 00 01"])
        .failed_with(&["there is no card in Virtual PCD 00 01"]);
}

#[test]
fn a_reader_without_a_card_and_a_machine_without_pcscd_are_said() {
    let mut bench = Bench::empty();
    bench
        .ue(&["card", "show"])
        .failed_with(&["there is no card in", Pcscd::READER]);
    bench.pcscd.kill().expect("kill runs");
    bench
        .ue(&["card", "show"])
        .failed_with(&["the PC/SC service does not run"]);
}

#[test]
fn a_pin_is_said_once_and_a_wrong_one_is_not_said_again() {
    let bench = Bench::with(CardProfile::new(IMSI).pin(PIN, 3));
    let without = bench.ue(&["card", "show"]);
    assert!(!without.out.contains(HOME), "{}", without.out);
    assert_eq!(bench.tries(), 3, "asking how many there are costs none");
    bench
        .ue_with_pin("0000", &["card", "show"])
        .failed_with(&["2 tries"]);
    assert_eq!(bench.tries(), 2, "one was used");
    let right = bench.ue_with_pin(PIN, &["card", "show"]);
    assert!(right.good().contains(HOME), "{}", right.out);
    assert_eq!(bench.tries(), 3, "and the right one gave it back");
}

#[test]
fn the_last_try_is_left_to_its_owner_and_a_blocked_pin_is_said() {
    let bench = Bench::with(CardProfile::new(IMSI).pin(PIN, 1));
    bench.ue_with_pin(PIN, &["card", "show"]).failed_with(&["last"]);
    assert_eq!(bench.tries(), 1);
    let wrong = ["card", "show", "--pin-last-try"];
    bench.ue_with_pin("0000", &wrong).failed_with(&["blocked"]);
    assert_eq!(bench.tries(), 0);
    bench.ue_with_pin(PIN, &wrong).failed_with(&["blocked"]);
}

#[test]
fn a_card_that_is_put_in_again_is_read_again() {
    let bench = Bench::with(CardProfile::new(IMSI));
    let card = bench.card.as_ref().expect("a card");
    card.remove();
    let told = bench.ue(&["card", "show"]);
    // Whether pcscd has noticed it by now, or notices it at the first command.
    let both = ["there is no card in Virtual PCD 00 00", "the card was taken out"];
    assert!(
        !told.is_success && both.iter().any(|it| told.err.contains(it)),
        "{}",
        told.err
    );
    card.insert();
    card.wait_known().expect("pcscd sees it");
    assert!(bench.ue(&["card", "show"]).good().contains(HOME));
    assert!(bench.counted(SELECT) > 0);
}

#[test]
fn a_good_challenge_is_answered_with_the_keys_of_the_card() {
    for profile in [
        CardProfile::new(IMSI).protocol(Protocol::T0),
        CardProfile::new(IMSI).protocol(Protocol::T1),
        CardProfile::new(IMSI).without_isim(),
    ] {
        let bench = Bench::with(profile.sqn(Sqn::of(7, 3)));
        let said = bench.challenge(TEST_K, Sqn::of(8, 4), "");
        assert!(said.good().contains("keys-agree"), "{}", said.out);
        assert_eq!((bench.counted(AUTHENTICATE), bench.sqn()), (1, Sqn::of(8, 4)));
    }
}

#[test]
fn a_challenge_of_the_past_is_answered_with_auts_and_one_after_it_is_accepted() {
    let bench = Bench::with(CardProfile::new(IMSI).sqn(Sqn::of(900, 3)));
    let said = bench.challenge(TEST_K, Sqn::of(8, 3), "");
    assert!(said.out.contains("sqn-behind"), "{}", said.out);
    assert!(
        said.out.contains("SEQ 900"),
        "where the card stands: {}",
        said.out
    );
    assert_eq!((bench.counted(AUTHENTICATE), bench.sqn()), (1, Sqn::of(900, 3)));
    let (k, opc) = (to_hex(&TEST_K), to_hex(&TEST_OPC));
    let said = bench.ue(&["card", "check", "--k", &k, "--opc", &opc]);
    assert!(said.good().contains("card-has-keys"), "{}", said.out);
    assert!(bench.sqn() > Sqn::of(900, 3), "the network has followed");
}

#[test]
fn a_challenge_of_another_network_is_a_mac_failure_and_changes_nothing() {
    let bench = Bench::with(CardProfile::new(IMSI).sqn(Sqn::of(7, 3)));
    let said = bench.challenge([0x77; 16], Sqn::of(8, 4), "");
    assert!(!said.is_success && said.out.contains("9862"), "{}", said.out);
    assert_eq!(bench.sqn(), Sqn::of(7, 3));
}

#[test]
fn a_card_that_wants_its_pin_gets_no_challenge_before_it() {
    let bench = Bench::with(CardProfile::new(IMSI).pin(PIN, 3));
    let said = bench.challenge(TEST_K, Sqn::of(8, 4), "");
    said.failed_with(&["PIN", "3 tries"]);
    assert_eq!((bench.counted(AUTHENTICATE), bench.tries()), (0, 3));
    bench.challenge(TEST_K, Sqn::of(8, 4), PIN).good();
    assert_eq!(bench.counted(AUTHENTICATE), 1);
}

#[test]
fn a_card_that_is_pulled_out_at_authenticate_is_missed_and_works_when_it_is_back() {
    let bench = Bench::with(CardProfile::new(IMSI).fault(Fault::RemovedAtAuthenticate));
    let said = bench.challenge(TEST_K, Sqn::of(8, 4), "");
    let all = format!("{}{}", said.out, said.err);
    assert!(!said.is_success && all.contains("taken out"), "{all}");
    assert_eq!((bench.counted(AUTHENTICATE), bench.sqn()), (1, Sqn::default()));
    let card = bench.card.as_ref().expect("a card");
    card.card().set_faults([]);
    card.insert();
    card.wait_known().expect("pcscd sees it");
    bench.challenge(TEST_K, Sqn::of(8, 4), "").good();
}

#[test]
fn refusals_and_garbage_of_a_card_are_said_with_their_status() {
    let bench = Bench::with(CardProfile::new(IMSI));
    let cases = [
        (Fault::StatusAt(AUTHENTICATE, StatusWord::CONDITIONS), "6985"),
        (Fault::StatusAt(AUTHENTICATE, StatusWord::NO_CONTEXT), "9864"),
        (Fault::StatusAt(AUTHENTICATE, StatusWord(0x6F00)), "6F00"),
        (
            Fault::Garbage(AUTHENTICATE, vec![0xDB, 0x08, 0x90, 0x00]),
            "broken",
        ),
        (Fault::Garbage(AUTHENTICATE, vec![0x90]), "broken"),
        (Fault::Garbage(AUTHENTICATE, vec![0x5A; 300]), "5A5A"),
    ];
    for (fault, word) in cases {
        let card = bench.card.as_ref().expect("a card");
        card.card().set_faults([fault.clone()]);
        let said = bench.challenge(TEST_K, Sqn::of(8, 4), "");
        let all = format!("{}{}", said.out, said.err);
        assert!(!said.is_success && all.contains(word), "{fault:?}: {all}");
        assert!(!all.contains("panicked"), "{fault:?}: {all}");
    }
}

#[test]
fn a_card_that_the_service_has_not_yet_noticed_is_waited_for() {
    let bench = Bench::empty();
    let card = VirtualCard::new(CardProfile::new(IMSI));
    let _card = Attached::start(bench.pcscd.reader(), card).expect("a reader");
    assert!(bench.ue(&["card", "show"]).good().contains(HOME));
}

#[test]
fn the_card_of_people_without_one_is_put_in_by_the_same_program() {
    let bench = Bench::empty();
    let at = bench.pcscd.reader().to_string();
    let mut command = Command::new(built().join("ue"));
    command.args([
        "card",
        "virtual",
        "--imsi",
        IMSI,
        "--pcscf",
        "192.0.2.5",
        "--at",
        &at,
    ]);
    let mut card = command.stdout(Stdio::piped()).spawn().expect("ue runs");
    let said = BufReader::new(card.stdout.take().expect("its output"));
    let lines: Vec<String> = said
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.contains("pcscd knows it"))
        .collect();
    let shown = bench.ue(&["card", "show"]);
    card.kill().expect("it runs until it is interrupted");
    card.wait().expect("it ends");
    assert_eq!(lines, [format!("the card is in the reader at {at}")]);
    assert!(shown.good().contains("192.0.2.5"), "{}", shown.out);
}

#[test]
fn one_program_at_a_time_has_the_card() {
    let network = Network::start(Site::on_network([127, 0, 89]), vec![subscriber(1)]);
    let pcscf = network.site.gm.ip().to_string();
    let bench = Bench::with(CardProfile::new(&imsi(1)).pcscfs(&[&pcscf]));
    let local = network.site.ue(1).to_string();
    let mut command = Command::new(built().join("ue"));
    command.args(["wait", "--card", "--clear", "--local", &local, "--seconds", "60"]);
    command.env(Pcscd::VARIABLE, bench.pcscd.socket());
    let log = fresh_directory().expect("a directory").join("ue.log");
    let mut phone = Daemon::run("ue", command, log).expect("ue runs");
    let is_registered = phone.wait_until("that it is registered", |log| log.contains("registered for"));
    is_registered.unwrap_or_else(|error| panic!("{error:#}"));
    let before = bench.counted(SELECT);
    bench
        .ue(&["card", "show"])
        .failed_with(&["another program uses the card"]);
    assert_eq!(bench.counted(SELECT), before, "nothing came between");
    phone.stop().unwrap_or_else(|error| panic!("{error:#}"));
    bench.ue(&["card", "show"]).good();
    network.stop();
}
