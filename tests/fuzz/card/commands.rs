//! Testkit: any commands to a virtual card: it answers each, and shows nothing to whoever does not know its PIN.

use ims_tests::card::apdu::{Command, Reply};
use ims_tests::card::channel::Transmit;
use ims_tests::card::virtual_card::{CardProfile, Protocol, VirtualCard};

use crate::dice::{Dice, change, changed, few, pick};
use crate::engine::{Target, Verdict};

static TARGET: Target = Target {
    name: "card_commands",
    check,
    generate,
    iterations: 20_000,
};

#[test]
fn a_virtual_card_answers_each_command_with_a_status_and_keeps_what_its_pin_protects() {
    fuzz!(TARGET);
}

const PIN: &str = "7391";
const TRIES: u8 = 3;
const IMPI: &str = "protected@ims.example";
/// Octets of an answer: the longest data of a short APDU, and the status word.
const ANSWER_MAX: usize = 256 + 2;

/// An input is the protocol, then commands, each behind its length.
fn check(input: &[u8]) -> Verdict {
    let (protocol, mut rest) = input.split_first().unwrap_or((&0, &[]));
    let protocol = if protocol % 2 == 0 {
        Protocol::T0
    } else {
        Protocol::T1
    };
    let profile = CardProfile::new("001010000000001").impi(IMPI).pin(PIN, TRIES);
    let mut card = VirtualCard::new(profile.protocol(protocol));
    let (mut is_pin_said, mut done) = (false, 0);
    while let Some((length, after)) = rest.split_first() {
        let (command, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        is_pin_said |= contains(command, PIN.as_bytes());
        let tries = card.tries();
        let answer = card.transmit(command).expect("it is there");
        assert!(answer.len() <= ANSWER_MAX, "{} octets", answer.len());
        let reply = Reply::parse(&answer).expect("a status word");
        done += usize::from(reply.status.is_ok());
        assert!(
            is_pin_said || !contains(&answer, IMPI.as_bytes()),
            "{command:02X?}"
        );
        assert!(is_pin_said || card.tries() <= tries, "{command:02X?}");
        if Command::parse(command).is_err() {
            assert!(!reply.status.is_ok() && reply.data.is_empty(), "{command:02X?}");
        }
    }
    Verdict::of(done > 0)
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

const WORDS: [&[u8]; 8] = [
    b"\x3F\x00",
    b"\x7F\x10",
    b"\x7F\xFF",
    b"\x6F\x02",
    b"\xA0\x00\x00\x00\x87\x10\x04",
    b"7391\xFF\xFF\xFF\xFF",
    b"\x00",
    b"\xFF",
];

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(4) {
        return changed(dice, seeds, &WORDS);
    }
    let mut input = vec![dice.byte()];
    for _ in 0..=dice.below(12) {
        let mut command = command(dice).encode(dice.one_in(2));
        if dice.one_in(3) {
            (0..few(dice)).for_each(|_| change(dice, &mut command, &WORDS));
        }
        command.truncate(usize::from(u8::MAX));
        input.push(u8::try_from(command.len()).unwrap_or(u8::MAX));
        input.extend(command);
    }
    input
}

/// A command that a card knows, with what it may have.
fn command(dice: &mut dyn Dice) -> Command {
    let octet = dice.byte();
    let file = |dice: &mut dyn Dice| {
        let files = [
            &0x3F00_u16,
            &0x2F00,
            &0x7F10,
            &0x7FFF,
            &0x6F02,
            &0x6F04,
            &0x6F07,
            &0x6FAD,
            &0x6FE5,
        ];
        *pick(dice, &files)
    };
    match dice.below(9) {
        0 | 1 => Command::select_file(file(dice)),
        2 | 3 => Command::select_application(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02 + (octet & 2)]),
        4 => Command::read_binary(u16::from(octet % 40), u16::from(dice.byte()) + 1),
        5 => Command::read_record(octet % 6, u16::from(dice.byte()) + 1),
        6 => Command::get_response(u16::from(octet) + 1),
        7 => Command::verify(0x01, if dice.one_in(4) { PIN.as_bytes() } else { b"0000" }),
        _ if dice.one_in(2) => Command::pin_tries(octet),
        _ => Command::authenticate(&[octet; 16], &[dice.byte(); 16]),
    }
}
