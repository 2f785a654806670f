//! Testkit: what a virtual card answers, octet by octet.

use ims_common::aka::Auts;

use super::super::apdu::{Command, StatusWord, instruction};
use super::super::channel::{Channel, ReaderError, Transmit as _};
use super::super::contents::Application;
use super::super::{files as ef, tlv};
use super::*;
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::Milenage;

const IMSI: &str = "001010000000001";
const RAND: [u8; 16] = [0x5A; 16];

fn profile() -> CardProfile {
    CardProfile::new(IMSI).protocol(Protocol::T1)
}

fn t1() -> VirtualCard {
    VirtualCard::new(profile())
}

fn t0() -> VirtualCard {
    VirtualCard::new(CardProfile::new(IMSI))
}

/// Sends octets written in hexadecimal; what comes back, likewise.
fn say(card: &mut VirtualCard, command: &str) -> String {
    let octets: Vec<u8> = command
        .split_whitespace()
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    let hex = |octets: Vec<u8>| octets.iter().map(|octet| format!("{octet:02X}")).collect();
    card.transmit(&octets).map_or_else(|error| error.to_string(), hex)
}

fn select_isim(card: &mut VirtualCard) {
    assert_eq!(say(card, "00 A4 04 0C 07 A0 00 00 00 87 10 04"), "9000");
}

fn challenge(sqn: Sqn) -> Command {
    let vector = Milenage::new(&TEST_K, &TEST_OPC).vector(RAND, sqn, [0x80, 0]);
    Command::authenticate(&RAND, &vector.autn)
}

fn sent(card: &mut VirtualCard, command: &Command) -> (Vec<u8>, StatusWord) {
    let is_t0 = card.is_t0();
    let octets = card.transmit(&command.encode(is_t0)).unwrap();
    let (data, status) = octets.split_last_chunk::<2>().unwrap();
    (data.to_vec(), StatusWord(u16::from_be_bytes(*status)))
}

#[test]
fn files_are_selected_by_identifier_by_path_and_by_name() {
    let mut card = t1();
    assert_eq!(say(&mut card, "00 A4 00 0C 02 2F E2"), "9000");
    assert_eq!(say(&mut card, "00 A4 08 0C 04 7F 10 6F E5"), "9000");
    assert_eq!(say(&mut card, "00 A4 00 0C 02 3F 00"), "9000");
    assert_eq!(
        say(&mut card, "00 A4 00 0C 02 7F FF"),
        "6A82",
        "no application yet"
    );
    select_isim(&mut card);
    assert_eq!(say(&mut card, "00 A4 00 0C 02 6F 02"), "9000");
    assert_eq!(
        say(&mut card, "00 A4 09 0C 02 6F 03"),
        "9000",
        "beside the selected file"
    );
    assert_eq!(say(&mut card, "00 A4 08 0C 04 7F FF 6F 04"), "9000");
    assert_eq!(
        say(&mut card, "00 A4 00 0C 02 7F 10"),
        "6A82",
        "not from an application"
    );
    assert_eq!(say(&mut card, "00 A4 00 0C"), "9000", "the MF, without data");
    assert_eq!(
        say(&mut card, "00 A4 08 0C 04 7F FF 6F 04"),
        "9000",
        "it is still active"
    );
}

#[test]
fn a_failed_selection_leaves_what_was_selected() {
    let mut card = t1();
    assert_eq!(say(&mut card, "00 A4 00 0C 02 2F E2"), "9000");
    assert_eq!(say(&mut card, "00 A4 00 0C 02 6F 02"), "6A82");
    assert_eq!(
        say(&mut card, "00 A4 08 0C 04 2F E2 2F E2"),
        "6A82",
        "under a file"
    );
    assert_eq!(
        say(&mut card, "00 A4 04 0C 07 A0 00 00 00 87 10 05"),
        "6A82",
        "no such AID"
    );
    assert!(say(&mut card, "00 B0 00 00 00").ends_with("9000"));
}

#[test]
fn the_occurrences_of_a_part_of_an_aid_are_selected_in_turn() {
    let mut card = t1();
    let mut name = |p2: &str| {
        let answer = say(&mut card, &format!("00 A4 04 {p2} 05 A0 00 00 00 87 00"));
        match answer.len() {
            4 => answer,
            _ if answer.contains("A0000000871002") => "USIM".to_owned(),
            _ => "ISIM".to_owned(),
        }
    };
    assert_eq!(name("04"), "USIM", "first");
    assert_eq!(name("06"), "ISIM", "next");
    assert_eq!(name("06"), "6A82", "no further one");
    assert_eq!(name("07"), "USIM", "previous");
    assert_eq!(name("05"), "ISIM", "last");
    assert_eq!(name("01"), "6A86");
}

#[test]
fn the_answer_to_select_is_the_fcp() {
    let mut card = t1();
    let (data, status) = sent(&mut card, &Command::select_application(&Application::ISIM));
    assert_eq!(status, StatusWord::OK);
    let fcp = ef::fcp::Fcp::decode(&data).unwrap();
    assert_eq!(fcp.structure, Some(ef::fcp::Structure::Directory));
    assert!(fcp.name.unwrap().starts_with(&Application::ISIM));
    assert!(!fcp.pins[0].enabled && fcp.pins[0].reference == 1);
    let (data, _) = sent(&mut card, &Command::select_file(ef::EF_IMPU));
    let fcp = ef::fcp::Fcp::decode(&data).unwrap();
    let records = ef::fcp::Structure::Linear { length: 96, count: 4 };
    assert_eq!((fcp.structure, fcp.file), (Some(records), Some(ef::EF_IMPU)));
}

#[test]
fn by_t1_a_binary_file_is_read_as_far_as_it_goes() {
    let mut card = t1();
    assert_eq!(say(&mut card, "00 A4 00 0C 02 2F E2"), "9000");
    let whole = say(&mut card, "00 B0 00 00 00");
    assert_eq!(whole.len(), 2 * (10 + 2));
    assert_eq!(
        say(&mut card, "00 B0 00 08 02"),
        format!("{}9000", &whole[16..20])
    );
    assert_eq!(say(&mut card, "00 B0 00 08 03"), "6C02");
    assert_eq!(say(&mut card, "00 B0 00 0A 01"), "6B00");
    assert_eq!(say(&mut card, "00 B0 7F FF 01"), "6B00");
    assert_eq!(say(&mut card, "00 B0 82 00 00"), whole, "by its short identifier");
    assert_eq!(
        say(&mut card, "00 B0 85 00 00"),
        "6A82",
        "no such short identifier"
    );
    assert_eq!(say(&mut card, "00 B0 A2 00 00"), "6A86");
    assert_eq!(say(&mut card, "00 B2 01 04 00"), "6981", "it has no records");
}

#[test]
fn records_are_read_by_number_and_one_after_the_other() {
    let mut card =
        VirtualCard::new(profile().records(Dir::Isim, ef::EF_IMPU, vec![vec![1], vec![2], vec![3, 3]]));
    select_isim(&mut card);
    assert_eq!(
        say(&mut card, "00 B2 03 24 00"),
        "03039000",
        "by short identifier 04"
    );
    assert_eq!(say(&mut card, "00 B2 01 04 02"), "01FF9000");
    assert_eq!(say(&mut card, "00 B2 01 04 01"), "6C02");
    assert_eq!(say(&mut card, "00 B2 04 04 02"), "6A83");
    assert_eq!(
        say(&mut card, "00 B2 00 04 02"),
        "6A83",
        "no record is the current one"
    );
    assert_eq!(say(&mut card, "00 B2 00 02 01"), "6C02", "and the pointer stays");
    for record in ["01FF9000", "02FF9000", "03039000", "6A83"] {
        assert_eq!(say(&mut card, "00 B2 00 02 02"), record);
    }
    assert_eq!(say(&mut card, "00 B2 00 03 02"), "02FF9000", "previous");
    assert_eq!(say(&mut card, "00 B2 00 04 02"), "02FF9000", "current");
    assert_eq!(say(&mut card, "00 B2 01 02 02"), "6A86");
    assert_eq!(say(&mut card, "00 B0 00 00 00"), "6981", "it is no binary file");
    assert_eq!(say(&mut card, "00 A4 00 0C 02 3F 00"), "9000");
    assert_eq!(say(&mut card, "00 B2 01 04 02"), "6986", "no file is selected");
}

#[test]
fn by_t0_answers_are_fetched_and_lengths_are_corrected() {
    let mut card = t0();
    assert_eq!(
        say(&mut card, "00 C0 00 00 00"),
        "6985",
        "there is nothing to fetch"
    );
    let announced = say(&mut card, "00 A4 00 04 02 2F E2");
    let length = announced.strip_prefix("61").unwrap();
    assert_eq!(say(&mut card, "00 C0 00 00 00"), format!("6C{length}"));
    let part = say(&mut card, "00 C0 00 00 04");
    let rest = usize::from_str_radix(length, 16).unwrap() - 4;
    assert!(part.ends_with(&format!("61{rest:02X}")), "{part}");
    let rest = say(&mut card, &format!("00 C0 00 00 {rest:02X}"));
    assert!(rest.ends_with("9000"), "{rest}");
    assert_eq!(say(&mut card, "00 B0 00 00 00"), "6C0A");
    assert!(say(&mut card, "00 B0 00 00 0A").ends_with("9000"));
    say(&mut card, "00 A4 00 04 02 2F E2");
    say(&mut card, "00 B0 00 00 0A");
    assert_eq!(
        say(&mut card, "00 C0 00 00 04"),
        "6985",
        "another command came between"
    );
}

#[test]
fn a_channel_reads_the_same_by_both_protocols() {
    let read = |card| {
        let mut channel = Channel::new(card);
        let fcp = channel.ask("SELECT", &Command::select_application(&Application::ISIM));
        let mut files = vec![fcp.unwrap()];
        for file in [ef::EF_IMPI, ef::EF_DOMAIN, ef::EF_AD, ef::EF_IST] {
            files.push(channel.ask("SELECT", &Command::select_file(file)).unwrap());
            files.push(channel.ask("READ", &Command::read_binary(0, 256)).unwrap());
        }
        files
    };
    assert_eq!(read(t0()), read(t1()));
}

#[test]
fn a_long_file_is_read_in_parts() {
    let octets: Vec<u8> = (0..=255).cycle().take(300).collect();
    for protocol in [Protocol::T0, Protocol::T1] {
        let profile = CardProfile::new(IMSI).protocol(protocol);
        let mut card = VirtualCard::new(profile.transparent(Dir::Isim, ef::EF_IMPI, &octets));
        select_isim(&mut card);
        assert_eq!(say(&mut card, "00 A4 00 0C 02 6F 02"), "9000");
        let (first, status) = sent(&mut card, &Command::read_binary(0, 256));
        assert_eq!((first.as_slice(), status), (&octets[..256], StatusWord::OK));
        assert_eq!(
            sent(&mut card, &Command::read_binary(256, 44)).0,
            octets[256..].to_vec()
        );
    }
}

#[test]
fn status_tells_the_directory_and_the_application() {
    let mut card = t1();
    assert_eq!(
        say(&mut card, "80 F2 00 01 00"),
        "6985",
        "no application is active"
    );
    select_isim(&mut card);
    assert!(say(&mut card, "80 F2 00 00 00").starts_with("62"));
    assert!(say(&mut card, "80 F2 00 01 00").starts_with("8410A0000000871004"));
    assert_eq!(say(&mut card, "80 F2 00 0C"), "9000");
    assert_eq!(say(&mut card, "80 F2 00 02 00"), "6A86");
    assert_eq!(say(&mut card, "00 F2 00 00 00"), "6E00");
}

#[test]
fn what_the_pin_protects_is_open_after_it_and_closed_again_after_a_reset() {
    let mut card = VirtualCard::new(profile().pin("1234", 3));
    assert_eq!(say(&mut card, "00 A4 00 0C 02 2F E2"), "9000");
    assert!(
        say(&mut card, "00 B0 00 00 00").ends_with("9000"),
        "EF_ICCID is always read"
    );
    select_isim(&mut card);
    assert!(
        say(&mut card, "00 B0 83 00 00").ends_with("9000"),
        "and so is EF_AD"
    );
    assert_eq!(say(&mut card, "00 B0 82 00 00"), "6982");
    assert_eq!(say(&mut card, "00 B2 01 24 00"), "6982");
    assert_eq!(
        sent(&mut card, &challenge(Sqn::of(1, 1))).1,
        StatusWord::SECURITY_STATUS
    );
    assert_eq!(say(&mut card, "00 20 00 01 08 31 32 33 34 FF FF FF FF"), "9000");
    assert!(say(&mut card, "00 B0 82 00 00").ends_with("9000"));
    assert_eq!(sent(&mut card, &challenge(Sqn::of(1, 1))).1, StatusWord::OK);
    card.reset();
    select_isim(&mut card);
    assert_eq!(say(&mut card, "00 B0 82 00 00"), "6982");
}

#[test]
fn a_pin_has_tries_and_is_blocked_after_them() {
    let mut card = VirtualCard::new(profile().pin("1234", 3));
    let wrong = "00 20 00 01 08 31 32 33 35 FF FF FF FF";
    let right = "00 20 00 01 08 31 32 33 34 FF FF FF FF";
    assert_eq!(say(&mut card, "00 20 00 01"), "63C3", "asking costs nothing");
    assert_eq!(say(&mut card, wrong), "63C2");
    assert_eq!(
        say(&mut card, right),
        "9000",
        "the right one gives all tries back"
    );
    assert_eq!(card.tries(), 3);
    for status in ["63C2", "63C1", "63C0", "6983"] {
        assert_eq!(say(&mut card, wrong), status);
    }
    assert_eq!(say(&mut card, right), "6983");
    assert_eq!(say(&mut card, "00 20 00 01"), "6983");
    select_isim(&mut card);
    assert_eq!(say(&mut card, "00 B0 82 00 00"), "6982");
    assert_eq!(card.counted(instruction::VERIFY), 9);
}

#[test]
fn verify_wants_a_known_reference_eight_octets_and_a_pin_that_is_enabled() {
    let mut card = VirtualCard::new(profile().pin("1234", 3).pin_reference(0x11));
    assert_eq!(say(&mut card, "00 20 00 01"), "6A88");
    assert_eq!(say(&mut card, "00 20 00 11"), "63C3");
    assert_eq!(say(&mut card, "00 20 00 11 04 31 32 33 34"), "6700");
    assert_eq!(say(&mut card, "00 20 01 11"), "6A86");
    let disabled = say(&mut t1(), "00 20 00 01 08 31 32 33 34 FF FF FF FF");
    assert_eq!(disabled, "6984");
}

#[test]
fn a_good_challenge_gives_the_keys_and_a_usim_adds_kc() {
    let sqn = Sqn::of(1, 1);
    let vector = Milenage::new(&TEST_K, &TEST_OPC).vector(RAND, sqn, [0x80, 0]);
    let mut expected = vec![0xDB, 8];
    expected.extend(vector.xres.expose());
    expected.push(16);
    expected.extend(vector.ck.expose());
    expected.push(16);
    expected.extend(vector.ik.expose());
    for protocol in [Protocol::T0, Protocol::T1] {
        let card = VirtualCard::new(CardProfile::new(IMSI).protocol(protocol));
        for (application, kc) in [(Application::ISIM, 0), (Application::USIM, 9)] {
            let mut channel = Channel::new(card.clone());
            channel
                .ask("SELECT", &Command::select_application(&application))
                .unwrap();
            let answer = channel.ask("AUTHENTICATE", &challenge(sqn)).unwrap();
            assert_eq!(answer[..expected.len()], expected);
            assert_eq!(answer.len(), expected.len() + kc);
        }
    }
}

#[test]
fn an_old_challenge_gives_auts_and_a_foreign_one_its_status() {
    let mut card = VirtualCard::new(profile().sqn(Sqn::of(9, 4)));
    select_isim(&mut card);
    let (data, status) = sent(&mut card, &challenge(Sqn::of(5, 4)));
    assert_eq!((data[0], data[1], status), (0xDC, 14, StatusWord::OK));
    let auts = Auts(data[2..].try_into().unwrap());
    let told = Milenage::new(&TEST_K, &TEST_OPC).open_auts(&RAND, &auts);
    assert_eq!(told, Some(Sqn::of(9, 4)));
    let foreign = Milenage::new(&[0x77; 16], &TEST_OPC).vector(RAND, Sqn::of(10, 4), [0x80, 0]);
    let (_, status) = sent(&mut card, &Command::authenticate(&RAND, &foreign.autn));
    assert_eq!(status, StatusWord::WRONG_MAC);
    assert_eq!(card.sqn(), Sqn::of(9, 4), "neither was accepted");
    assert_eq!(sent(&mut card, &challenge(Sqn::of(10, 4))).1, StatusWord::OK);
    assert_eq!(card.sqn(), Sqn::of(10, 4));
    assert_eq!(card.counted(instruction::AUTHENTICATE), 3);
}

#[test]
fn authenticate_wants_an_application_a_context_and_both_values() {
    let mut card = t1();
    let mut command = challenge(Sqn::of(1, 1));
    assert_eq!(
        sent(&mut card, &command).1,
        StatusWord::CONDITIONS,
        "no application"
    );
    select_isim(&mut card);
    for (p2, status) in [(0x80, 0x9864), (0x84, 0x9864), (0x83, 0x6A86), (0x01, 0x6A86)] {
        command.p2 = p2;
        assert_eq!(sent(&mut card, &command).1, StatusWord(status));
    }
    command.p2 = 0x81;
    command.data[17] = 15;
    assert_eq!(
        sent(&mut card, &command).1,
        StatusWord(0x6A80),
        "the length of AUTN"
    );
    command.data.truncate(17);
    assert_eq!(sent(&mut card, &command).1, StatusWord(0x6700), "no AUTN");
    assert_eq!(card.sqn(), Sqn::default());
}

#[test]
fn unknown_instructions_classes_and_channels_are_refused() {
    let mut card = t1();
    assert_eq!(say(&mut card, "00 D6 00 00 01 00"), "6D00");
    assert_eq!(say(&mut card, "A0 A4 00 00 02 3F 00"), "6E00");
    assert_eq!(say(&mut card, "01 A4 00 0C 02 3F 00"), "6881");
    assert_eq!(say(&mut card, "0C A4 00 0C 02 3F 00"), "6882");
    assert_eq!(say(&mut card, "00 A4 02 0C 02 3F 00"), "6A86");
    assert_eq!(say(&mut card, "00 A4 00 0C 03 3F 00 00"), "6700");
    assert_eq!(say(&mut card, "00 A4 00 0C 09 3F 00"), "6700");
    assert_eq!(say(&mut card, "00 A4"), "6700");
}

#[test]
fn files_can_be_removed_replaced_and_forbidden() {
    let profile = profile()
        .remove_file(Dir::Isim, ef::EF_DOMAIN)
        .forbid(Dir::Isim, ef::EF_IMPI)
        .transparent(Dir::Isim, ef::EF_IST, &[0xAB]);
    let mut card = VirtualCard::new(profile);
    select_isim(&mut card);
    assert_eq!(say(&mut card, "00 A4 00 0C 02 6F 03"), "6A82");
    assert_eq!(say(&mut card, "00 A4 00 0C 02 6F 02"), "9000");
    assert_eq!(say(&mut card, "00 B0 00 00 00"), "6982");
    assert_eq!(say(&mut card, "00 B0 87 00 00"), "AB9000");
    let mut card = VirtualCard::new(CardProfile::new(IMSI).without_isim());
    assert_eq!(say(&mut card, "00 A4 04 0C 07 A0 00 00 00 87 10 04"), "6A82");
    let mut card = VirtualCard::new(CardProfile::new(IMSI).without_usim());
    assert_eq!(say(&mut card, "00 A4 04 0C 07 A0 00 00 00 87 10 02"), "6A82");
}

#[test]
fn faults_happen_at_their_instruction_and_nothing_is_done() {
    let status = Fault::StatusAt(instruction::AUTHENTICATE, StatusWord::CONDITIONS);
    let mut card = VirtualCard::new(profile().fault(status));
    select_isim(&mut card);
    let fresh = challenge(Sqn::of(3, 3));
    assert_eq!(sent(&mut card, &fresh).1, StatusWord::CONDITIONS);
    assert_eq!(card.sqn(), Sqn::default());
    card.set_faults([Fault::Garbage(instruction::AUTHENTICATE, vec![0xDB])]);
    assert_eq!(card.transmit(&fresh.encode(false)), Ok(vec![0xDB]));
    card.set_faults([Fault::RemovedAtAuthenticate]);
    assert_eq!(card.transmit(&fresh.encode(false)), Err(ReaderError::Removed));
    assert_eq!(
        say(&mut card, "00 A4 00 0C 02 3F 00"),
        ReaderError::Removed.to_string()
    );
    assert!(card.is_removed() && card.sqn() == Sqn::default());
    card.set_faults([]);
    card.insert();
    assert_eq!(
        sent(&mut card, &fresh).1,
        StatusWord::CONDITIONS,
        "nothing is selected"
    );
    select_isim(&mut card);
    assert_eq!(sent(&mut card, &fresh).1, StatusWord::OK);
}

#[test]
fn a_reset_forgets_pin_and_selection() {
    let mut card = VirtualCard::new(profile().pin("1234", 3));
    let right = "00 20 00 01 08 31 32 33 34 FF FF FF FF";
    assert_eq!(say(&mut card, right), "9000");
    select_isim(&mut card);
    card.reset();
    let fresh = challenge(Sqn::of(3, 3));
    assert_eq!(sent(&mut card, &fresh).1, StatusWord::CONDITIONS);
    select_isim(&mut card);
    assert_eq!(sent(&mut card, &fresh).1, StatusWord::SECURITY_STATUS);
    assert_eq!(say(&mut card, right), "9000");
    assert_eq!(sent(&mut card, &fresh).1, StatusWord::OK);
}

#[test]
fn the_atr_says_the_protocol_and_ends_in_its_check() {
    for (card, td1) in [(t0(), 0x80), (t1(), 0x81)] {
        let atr = card.atr();
        assert_eq!((atr[0], atr[2]), (0x3B, td1));
        assert_eq!(atr.len(), 2 + 3 + usize::from(atr[1] & 0x0F) + 1);
        assert_eq!(atr[1..].iter().fold(0, |sum, octet| sum ^ octet), 0);
    }
}

#[test]
fn whatever_octets_come_a_card_answers_with_a_status_word() {
    use rand::{Rng as _, SeedableRng as _};
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let instructions = [0xA4, 0xB0, 0xB2, 0x20, 0x88, 0xC0, 0xF2];
    let mut cards = [t0(), VirtualCard::new(profile().pin("1234", 3))];
    for round in 0..40_000_usize {
        let length = rng.random_range(0..48);
        let mut octets: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        // Mostly what comes near to a command.
        if let [class, instruction, p1, _, rest @ ..] = &mut octets[..]
            && round % 4 > 0
        {
            *class = 0;
            *instruction = instructions[rng.random_range(0..7)];
            *p1 = [0, 4, 8, 9][rng.random_range(0..4)];
            let length = u8::try_from(rest.len()).unwrap();
            if let [lc, high, low, ..] = rest {
                *lc = length - 1;
                (*high, *low) =
                    [(0x3F, 0x00), (0x7F, 0xFF), (0x6F, 0x04), (0xA0, 0x00)][rng.random_range(0..4)];
            }
        }
        let card = &mut cards[round % 2];
        let answer = card.transmit(&octets).unwrap();
        assert!((2..=258).contains(&answer.len()), "{octets:02X?}: {answer:02X?}");
    }
}

#[test]
fn neither_a_key_nor_a_pin_is_shown() {
    let profile = profile().pin("1234", 3);
    let shown = format!("{profile:?} {:?}", VirtualCard::new(profile.clone()));
    assert!(!shown.contains("1234") && !shown.contains("70, 91"), "{shown}");
}

#[test]
fn the_directory_of_applications_names_both() {
    let mut card = t1();
    assert_eq!(say(&mut card, "00 A4 00 0C 02 2F 00"), "9000");
    let (record, _) = sent(&mut card, &Command::read_record(2, 256));
    let entry = tlv::find(&record, 0x61).unwrap();
    assert!(tlv::find(entry, 0x4F).unwrap().starts_with(&Application::ISIM));
    assert_eq!(tlv::find(entry, 0x50), Ok(&b"ISIM"[..]));
}
