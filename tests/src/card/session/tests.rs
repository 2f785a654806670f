//! Testkit: the session with cards that are right, wrong, locked, or not there any more.

use super::*;
use crate::card::apdu::{StatusWord, instruction};
use crate::card::channel::ReaderError;
use crate::card::contents::{AdministrativeData, PcscfAddress, Pin, PinState, ServiceTable};
use crate::card::files::fcp::PinStatus;
use crate::card::virtual_card::{CardProfile, Dir, Fault, Protocol, VirtualCard};
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::{Milenage, Sqn};

const IMSI: &str = "001010000000001";
const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const RAND: [u8; 16] = [0x5A; 16];

fn profile() -> CardProfile {
    CardProfile::new(IMSI)
}

fn open(profile: CardProfile) -> Card<VirtualCard> {
    Card::open(VirtualCard::new(profile)).expect("a card")
}

fn code(pin: &str) -> PinCode {
    pin.parse().expect("a PIN")
}

fn autn(sqn: Sqn) -> [u8; 16] {
    Milenage::new(&TEST_K, &TEST_OPC)
        .vector(RAND, sqn, [0x80, 0])
        .autn
}

/// A card that does what it is told, and of which some answers are others.
struct Tampered<F> {
    card: VirtualCard,
    other: F,
}

impl<F> Transmit for Tampered<F>
where
    F: FnMut(&Command) -> Option<Result<Vec<u8>, ReaderError>>,
{
    fn transmit(&mut self, octets: &[u8]) -> Result<Vec<u8>, ReaderError> {
        let command = Command::parse(octets).expect("a command");
        let answer = self.card.transmit(octets);
        (self.other)(&command).unwrap_or(answer)
    }

    fn atr(&self) -> &[u8] {
        self.card.atr()
    }

    fn is_t0(&self) -> bool {
        self.card.is_t0()
    }
}

#[test]
fn a_card_is_read_as_it_was_written_by_both_protocols() {
    for protocol in [Protocol::T0, Protocol::T1] {
        let profile = profile()
            .protocol(protocol)
            .impus(&["tel:+15550001", "sip:alice@ims.example"])
            .pcscfs(&["pcscf.ims.example", "2001:db8::5"])
            .ist(&[1, 5, 8])
            .msisdn("+15550001")
            .smsc("+155500099")
            .psismsc("sip:+155500099@ims.example");
        let contents = open(profile).read().unwrap();
        assert!(matches!(&contents.iccid, Read::Is(iccid) if iccid.starts_with("89")));
        let labels = contents
            .applications
            .records()
            .map(|(_, listed)| listed.label.as_deref());
        assert_eq!(labels.collect::<Vec<_>>(), [Some("USIM"), Some("ISIM")]);

        let isim = contents.isim.unwrap();
        assert_eq!((isim.aid.len(), &isim.aid[..7]), (16, &Application::ISIM[..]));
        assert_eq!(isim.impi, Read::Is(format!("{IMSI}@{HOME}")));
        assert_eq!(isim.domain, Read::Is(HOME.to_owned()));
        let impus: Vec<&String> = isim.impus.records().map(|(_, impu)| impu).collect();
        assert_eq!(impus, ["tel:+15550001", "sip:alice@ims.example"]);
        let pcscfs: Vec<PcscfAddress> = isim.pcscfs.records().map(|(_, pcscf)| pcscf.clone()).collect();
        let name = PcscfAddress::Name("pcscf.ims.example".to_owned());
        assert_eq!(pcscfs, [name, PcscfAddress::Ip("2001:db8::5".parse().unwrap())]);
        assert_eq!(
            isim.ist.is().map(|ist| ist.numbers().collect()),
            Some(vec![1, 5, 8])
        );
        assert!(matches!(
            isim.ad,
            Read::Is(AdministrativeData { operation: 0, .. })
        ));
        let psismsc: Vec<&String> = isim.psismsc.records().map(|(_, uri)| uri).collect();
        assert_eq!(psismsc, ["sip:+155500099@ims.example"]);

        let usim = contents.usim.unwrap();
        assert_eq!(usim.imsi, Read::Is(IMSI.to_owned()));
        assert_eq!(usim.mnc_digits(), 2);
        assert_eq!(usim.msisdns.records().next(), Some((1, &"+15550001".to_owned())));
        let centre = usim
            .smsp
            .records()
            .next()
            .and_then(|(_, smsp)| smsp.service_centre.as_deref());
        assert_eq!(centre, Some("+155500099"));
        assert!(matches!(usim.ust, Read::Is(ServiceTable(_))));
    }
}

#[test]
fn a_file_over_256_octets_is_read_in_pieces_and_a_vast_one_is_not() {
    let of = |octets: usize| {
        let profile = profile().transparent(Dir::Isim, files::EF_IST, &vec![0x01; octets]);
        open(profile).read().unwrap().isim.unwrap().ist
    };
    assert_eq!(of(700), Read::Is(ServiceTable(vec![0x01; 700])));
    let Read::Malformed { why, .. } = of(5_000) else {
        panic!("a vast file is not read")
    };
    assert_eq!(
        why,
        "the file has 5000 octets, which is too many to be true; it is not read"
    );
}

#[test]
fn a_file_of_which_the_card_tells_no_size_is_read_in_one_command() {
    for protocol in [Protocol::T0, Protocol::T1] {
        let card = VirtualCard::new(profile().protocol(protocol));
        let other = |command: &Command| {
            let is_file = command.instruction == instruction::SELECT && command.data.len() == 2;
            is_file.then(|| Ok(vec![0x62, 0x00, 0x90, 0x00]))
        };
        let contents = Card::open(Tampered { card, other }).unwrap().read().unwrap();
        assert_eq!(contents.isim.unwrap().domain, Read::Is(HOME.to_owned()));
    }
}

#[test]
fn a_file_that_ends_before_its_size_is_what_there_is_of_it() {
    let card = VirtualCard::new(profile());
    let other = |command: &Command| {
        let is_read = command.instruction == instruction::READ_BINARY;
        is_read.then(|| Ok(vec![0x80, 0x03, b'a', b'@', b'b', 0x62, 0x82]))
    };
    let contents = Card::open(Tampered { card, other }).unwrap().read().unwrap();
    assert_eq!(contents.isim.unwrap().impi, Read::Is("a@b".to_owned()));
}

#[test]
fn at_most_64_records_are_read() {
    let records = vec![files::text::encode("sip:a@ims.example"); 100];
    let contents = open(profile().records(Dir::Isim, files::EF_IMPU, records)).read();
    let impus = contents.unwrap().isim.unwrap().impus;
    assert_eq!(impus.records().count(), 64);
    let Some(Read::Malformed { why, .. }) = impus.is().and_then(|records| records.last()) else {
        panic!("nothing is left out without a word")
    };
    assert_eq!(why, "the file has 100 records; only 64 are read");
}

#[test]
fn a_file_that_is_not_there_or_not_for_us_or_of_another_form_is_told_so() {
    let profile = profile()
        .remove_file(Dir::Isim, files::EF_PCSCF)
        .forbid(Dir::Isim, files::EF_DOMAIN)
        .forbid(Dir::Isim, files::EF_SMSP)
        .transparent(Dir::Isim, files::EF_IMPU, &files::text::encode("sip:a@b"))
        .records(Dir::Isim, files::EF_IMPI, vec![files::text::encode("a@b")]);
    let isim = open(profile).read().unwrap().isim.unwrap();
    assert_eq!(isim.pcscfs, Read::Absent);
    assert_eq!(isim.domain, Read::Refused(StatusWord::SECURITY_STATUS));
    assert_eq!(isim.impi, Read::Refused(StatusWord(0x6981)));
    let Read::Malformed { why, .. } = isim.impus else {
        panic!("no records")
    };
    assert_eq!(why, "the file has no records, and it has to be one of records");
}

#[test]
fn applications_are_found_without_a_directory_of_them() {
    for profile in [
        profile().remove_file(Dir::Mf, files::EF_DIR),
        profile().records(Dir::Mf, files::EF_DIR, vec![vec![0xFF; 30]; 2]),
    ] {
        let contents = open(profile).read().unwrap();
        assert_eq!(contents.applications.records().count(), 0);
        assert_eq!(contents.isim.unwrap().aid.len(), 16, "the card has told the rest");
        assert!(contents.usim.unwrap().imsi.is().is_some());
    }
}

#[test]
fn a_card_is_used_by_its_isim_else_by_its_usim() {
    let kind = |profile| open(profile).application();
    assert_eq!(kind(profile()), Some(Kind::Isim));
    assert_eq!(kind(profile().without_isim()), Some(Kind::Usim));
    assert_eq!(kind(profile().without_isim().without_usim()), None);
    let mut usim = open(profile().without_isim());
    assert_eq!(usim.read().unwrap().isim, None);
    assert!(usim.authenticate(&RAND, &autn(Sqn::of(1, 1))).is_ok());
}

#[test]
fn a_card_of_another_kind_has_no_application() {
    let class = Fault::StatusAt(instruction::SELECT, StatusWord(0x6E00));
    for profile in [profile().fault(class), profile().without_isim().without_usim()] {
        let mut card = open(profile);
        assert_eq!(card.application(), None);
        assert_eq!(card.pin(), Ok(None));
        assert_eq!(card.read().unwrap().usim, None);
        let none = CardError::NoApplication;
        assert_eq!(
            card.verify(&code("1234"), true),
            Err(PinError::Card(none.clone()))
        );
        let refused = card.authenticate(&RAND, &autn(Sqn::of(1, 1)));
        assert_eq!(refused, Err(AkaFailure::Card(none)));
    }
}

#[test]
fn an_application_that_is_listed_and_deactivated_says_so_in_each_file() {
    let card = VirtualCard::new(profile());
    let other = |command: &Command| {
        let is_isim = command.data.starts_with(&Application::ISIM);
        is_isim.then(|| Ok(vec![0x62, 0x83]))
    };
    let mut card = Card::open(Tampered { card, other }).unwrap();
    let contents = card.read().unwrap();
    let (isim, status) = (contents.isim.unwrap(), StatusWord(0x6283));
    assert_eq!(
        (isim.impi, isim.impus),
        (Read::Refused(status), Read::Refused(status))
    );
    assert!(contents.usim.unwrap().imsi.is().is_some());
    assert_eq!(contents.pin, None);
}

#[test]
fn a_pin_is_asked_for_without_a_try_and_said_once() {
    let mut virtual_card = VirtualCard::new(profile().pin("1234", 3).pin_reference(0x11));
    let mut card = Card::open(&mut virtual_card).unwrap();
    let wanted = |tries| PinState::Wanted { tries };
    let pin = |state| {
        Ok(Some(Pin {
            reference: 0x11,
            state,
        }))
    };
    assert_eq!(card.pin(), pin(wanted(3)));
    let locked = card.read().unwrap().isim.unwrap();
    assert_eq!(locked.impi, Read::Refused(StatusWord::SECURITY_STATUS));
    assert_eq!(locked.impus, Read::Refused(StatusWord::SECURITY_STATUS));

    assert_eq!(
        card.verify(&code("0000"), false),
        Err(PinError::Wrong { tries: 2 })
    );
    assert_eq!(card.verify(&code("1234"), false), Ok(()));
    assert_eq!(card.pin(), pin(PinState::Verified));
    // It has been said: a wrong one now costs nothing.
    assert_eq!(card.verify(&code("0000"), false), Ok(()));
    assert!(card.read().unwrap().isim.unwrap().impi.is().is_some());
    assert_eq!(virtual_card.tries(), 3);
}

#[test]
fn the_last_try_is_used_only_when_it_is_allowed() {
    let mut card = open(profile().pin("1234", 1));
    assert_eq!(card.verify(&code("1234"), false), Err(PinError::LastTry));
    assert_eq!(card.verify(&code("1234"), true), Ok(()));
    let mut card = open(profile().pin("1234", 1));
    assert_eq!(card.verify(&code("9999"), true), Err(PinError::Blocked));
    assert_eq!(card.verify(&code("1234"), true), Err(PinError::Blocked));
    let state = card.pin().unwrap().map(|pin| pin.state);
    assert_eq!(state, Some(PinState::Blocked));
}

/// ETSI TS 102 221 11.1.9.1.5, and cards that do it otherwise.
#[test]
fn what_a_card_tells_of_its_pin_is_understood_with_what_it_told_when_it_was_selected() {
    let state = |enabled: Option<bool>, status: u16| {
        let pins = enabled.map(|enabled| PinStatus {
            reference: 0x05,
            enabled,
            usage: None,
        });
        let fcp = Fcp {
            pins: pins.into_iter().collect(),
            ..Fcp::default()
        };
        let other = |command: &Command| match command.instruction {
            instruction::SELECT => Some(Ok([&fcp.encode()[..], &[0x90, 0x00]].concat())),
            instruction::VERIFY => Some(Ok(status.to_be_bytes().to_vec())),
            _ => None,
        };
        let card = VirtualCard::new(profile());
        let pin = Card::open(Tampered { card, other }).unwrap().pin();
        let Pin { reference, state } = pin.unwrap().expect("an application has a PIN");
        assert_eq!(reference, enabled.map_or(0x01, |_| 0x05));
        state
    };
    assert_eq!(state(None, 0x63C3), PinState::Wanted { tries: 3 });
    assert_eq!(state(None, 0x9000), PinState::Disabled);
    assert_eq!(state(None, 0x6A88), PinState::Disabled, "there is none");
    assert_eq!(state(Some(true), 0x6A88), PinState::Unknown(StatusWord(0x6A88)));
    assert_eq!(state(None, 0x6D00), PinState::Unknown(StatusWord(0x6D00)));
    assert_eq!(state(Some(true), 0x63C1), PinState::Wanted { tries: 1 });
    assert_eq!(state(Some(true), 0x9000), PinState::Verified);
    assert_eq!(state(Some(true), 0x6984), PinState::Disabled);
    assert_eq!(state(Some(true), 0x6983), PinState::Blocked);
    assert_eq!(state(Some(true), 0x63C0), PinState::Blocked);
    assert_eq!(state(Some(false), 0x63C3), PinState::Disabled);
}

#[test]
fn a_pin_that_is_disabled_is_not_said() {
    let mut virtual_card = VirtualCard::new(profile());
    let mut card = Card::open(&mut virtual_card).unwrap();
    assert_eq!(card.verify(&code("1234"), false), Ok(()));
    let state = card.pin().unwrap().map(|pin| pin.state);
    assert_eq!(state, Some(PinState::Disabled));
    assert_eq!(virtual_card.counted(instruction::VERIFY), 0);
}

#[test]
fn a_pin_is_not_said_to_a_card_that_does_not_tell_its_tries() {
    let silent = Fault::StatusAt(instruction::VERIFY, StatusWord(0x6700));
    let mut card = open(profile().pin("1234", 3).fault(silent));
    let unknown = PinError::Unknown(StatusWord(0x6700));
    assert_eq!(card.verify(&code("1234"), false), Err(unknown));
}

/// What would say a PIN twice: a length to correct, and an answer to fetch.
#[test]
fn a_pin_is_never_said_twice_by_itself() {
    for answer in [Ok(vec![0x6C, 0x08]), Ok(vec![0x61, 0x08]), Err(ReaderError::Mute)] {
        let mut said = 0;
        let other = |command: &Command| {
            let is_pin = command.instruction == instruction::VERIFY && !command.data.is_empty();
            said += usize::from(is_pin);
            is_pin.then(|| answer.clone())
        };
        let card = VirtualCard::new(profile().pin("1234", 3));
        let mut card = Card::open(Tampered { card, other }).unwrap();
        assert!(matches!(card.verify(&code("1234"), true), Err(PinError::Card(_))));
        drop(card);
        assert_eq!(said, 1, "{answer:?}");
    }
}

#[test]
fn what_is_no_pin_cannot_be_said_and_what_is_one_is_not_shown() {
    for no_pin in ["", "123", "123456789", "12a4", " 1234", "\u{661}234", "-123"] {
        assert_eq!(no_pin.parse::<PinCode>().err(), Some(NoPinCode), "{no_pin}");
    }
    assert!(!format!("{:?}", code("1234")).contains("1234"));
}

#[test]
fn a_challenge_is_answered_with_the_keys_of_its_vector() {
    for profile in [profile(), profile().without_isim()] {
        let vector = Milenage::new(&TEST_K, &TEST_OPC).vector(RAND, Sqn::of(3, 1), [0x80, 0]);
        let res = open(profile).authenticate(&RAND, &vector.autn).unwrap();
        assert_eq!((res.res, res.ck, res.ik), (vector.xres, vector.ck, vector.ik));
    }
}

#[test]
fn a_challenge_that_is_not_accepted_is_a_mac_or_a_synchronisation_failure() {
    let mut card = open(profile().sqn(Sqn::of(100, 0)));
    let Err(AkaFailure::Sync(auts)) = card.authenticate(&RAND, &autn(Sqn::of(7, 1))) else {
        panic!("an old SQN")
    };
    let stands = Milenage::new(&TEST_K, &TEST_OPC).open_auts(&RAND, &auts);
    assert_eq!(stands, Some(Sqn::of(100, 0)));
    let mut foreign = autn(Sqn::of(101, 1));
    foreign[15] ^= 1;
    assert_eq!(card.authenticate(&RAND, &foreign), Err(AkaFailure::Mac));
}

#[test]
fn a_refusal_of_a_challenge_is_told_with_its_remedy() {
    let told = |status| {
        let fault = Fault::StatusAt(instruction::AUTHENTICATE, StatusWord(status));
        let refused = open(profile().fault(fault)).authenticate(&RAND, &autn(Sqn::of(1, 1)));
        refused.unwrap_err().to_string()
    };
    assert_eq!(
        told(0x6985),
        "the card refused AUTHENTICATE: 6985 (conditions of use not satisfied: not selected, not activated, or in the \
         wrong state); the application may not be activated on this card, which is for its vendor or operator to do"
    );
    assert!(told(0x6982).contains("; the card wants its PIN first: say it (UE_PIN"));
    assert!(told(0x9864).contains("no algorithm or no key"));
    assert!(told(0x6F00).ends_with("does not say which)"));
    let locked = open(profile().pin("1234", 3)).authenticate(&RAND, &autn(Sqn::of(1, 1)));
    let status = StatusWord::SECURITY_STATUS;
    let what = "AUTHENTICATE";
    let refused = CardError::Refused { what, status };
    assert_eq!(locked, Err(AkaFailure::Card(refused)));
}

#[test]
fn a_card_that_forgets_its_pin_is_told_it_again() {
    let forgets = || profile().pin("1234", 3).fault(Fault::PinForgottenAtSelect);
    let mut virtual_card = VirtualCard::new(forgets());
    let mut card = Card::open(&mut virtual_card).unwrap();
    assert_eq!(card.verify(&code("1234"), false), Ok(()));
    let contents = card.read().unwrap();
    assert!(contents.usim.unwrap().imsi.is().is_some());
    assert!(contents.isim.unwrap().impi.is().is_some());
    assert!(card.authenticate(&RAND, &autn(Sqn::of(1, 1))).is_ok());
    assert_eq!(virtual_card.tries(), 3);
    let never_said = open(forgets()).authenticate(&RAND, &autn(Sqn::of(1, 1)));
    assert!(matches!(
        never_said,
        Err(AkaFailure::Card(CardError::Refused { .. }))
    ));
}

/// It has been changed meanwhile, in whatever way: a wrong one is said no more than once.
#[test]
fn a_pin_that_was_right_is_not_said_again_when_it_is_refused_or_one_try_remains() {
    let said_more = |tries: u8, answer: [u8; 2]| {
        let mut said = 0;
        let other = |command: &Command| {
            let is_pin = command.instruction == instruction::VERIFY;
            let is_said = is_pin && !command.data.is_empty();
            // After the first one the card forgets it.
            let is_first = said == 0;
            said += usize::from(is_said);
            match command.instruction {
                _ if is_first => None,
                instruction::AUTHENTICATE => Some(Ok(vec![0x69, 0x82])),
                _ if is_said => Some(Ok(answer.to_vec())),
                _ if is_pin => Some(Ok(vec![0x63, 0xC0 | tries])),
                _ => None,
            }
        };
        let card = VirtualCard::new(profile().pin("1234", 3));
        let mut card = Card::open(Tampered { card, other }).unwrap();
        card.verify(&code("1234"), false).unwrap();
        for _ in 0..3 {
            assert!(card.authenticate(&RAND, &autn(Sqn::of(1, 1))).is_err());
        }
        drop(card);
        said - 1
    };
    assert_eq!(said_more(3, [0x63, 0xC2]), 1);
    assert_eq!(said_more(1, [0x63, 0xC0]), 0);
}

#[test]
fn an_application_that_the_card_lists_and_cannot_select_is_not_left_out() {
    let is_isim = |command: &Command| command.p1 == 0x04 && command.data.starts_with(&Application::ISIM);
    for (status, whole_only) in [([0x6A, 0x82], true), ([0x6A, 0x82], false), ([0x62, 0x83], false)] {
        let other = |command: &Command| {
            let is_refused = is_isim(command) && (!whole_only || command.data.len() > 7);
            is_refused.then(|| Ok(status.to_vec()))
        };
        let card = VirtualCard::new(profile());
        let mut card = Card::open(Tampered { card, other }).unwrap();
        assert_eq!(card.application(), Some(Kind::Isim));
        let impi = card.read().unwrap().isim.unwrap().impi;
        assert_eq!(impi.is().is_some(), whole_only, "{status:02X?}: {impi:?}");
    }
}

#[test]
fn a_card_that_is_taken_out_is_told_so() {
    let mut card = open(profile().fault(Fault::RemovedAtAuthenticate));
    let removed = CardError::Reader(ReaderError::Removed);
    let gone = card.authenticate(&RAND, &autn(Sqn::of(1, 1)));
    assert_eq!(gone, Err(AkaFailure::Card(removed.clone())));
    assert_eq!(card.read(), Err(removed.clone()));
    assert_eq!(card.pin(), Err(removed));
}
