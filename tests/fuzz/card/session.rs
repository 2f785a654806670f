//! Testkit: a card from hell: one that answers well until it does not.

use std::sync::LazyLock;

use ims_tests::card::apdu::{Reply, instruction};
use ims_tests::card::channel::{EXCHANGES_MAX, ReaderError, Transmit};
use ims_tests::card::contents::CardContents;
use ims_tests::card::core::Core;
use ims_tests::card::session::{Card, PinCode};
use ims_tests::card::show::Report;
use ims_tests::card::virtual_card::{CardProfile, Protocol, VirtualCard};
use ims_tests::hss::{TEST_K, TEST_OPC};
use ims_tests::milenage::{Milenage, Sqn};

use super::assert_shown;
use crate::dice::{Dice, changed, few, pick, raw};
use crate::engine::{Target, Verdict};

static TARGET: Target = Target {
    name: "card_session",
    check,
    generate,
    iterations: 4_000,
};

#[test]
fn whatever_a_card_answers_it_is_read_or_refused_in_bounded_work() {
    fuzz!(TARGET);
}

/// What a session asks at most: it finds the applications, reads all files with all their records, asks for the PIN,
/// says it, and authenticates; and for a card that forgets its PIN says it again in each application, and at the challenge.
const ASKED_MAX: usize = FOUND_MAX + READ_MAX + 2 * PIN_MAX + 1 + 2 + PIN_MAX + 1;
const FOUND_MAX: usize = 1 + RECORDS_MAX + 4;
const READ_MAX: usize = 1 + FILE_MAX + USIM_MAX + ISIM_MAX + PIN_MAX + 2 * (PIN_MAX + RECORDS_MAX);
/// PINs that are said: once by the user, and again in two applications and at the challenge.
const PINS_MAX: usize = 4;
const USIM_MAX: usize = 1 + 3 * FILE_MAX + 2 * RECORDS_MAX + PSISMSC_MAX;
const ISIM_MAX: usize = 1 + 4 * FILE_MAX + 3 * RECORDS_MAX + PSISMSC_MAX;
const PSISMSC_MAX: usize = RECORDS_MAX + 2 + RECORDS_MAX;
const PIN_MAX: usize = 2;
/// SELECT, and as many pieces or records as are read.
const FILE_MAX: usize = 1 + 4;
const RECORDS_MAX: usize = 1 + 64;

/// In the first octet of an input: what sort of card it is.
mod flag {
    pub(super) const T1: u8 = 0x01;
    pub(super) const PIN: u8 = 0x02;
    pub(super) const WITHOUT_ISIM: u8 = 0x04;
    pub(super) const LAST_TRY: u8 = 0x08;
    /// After its last trouble the first one comes again.
    pub(super) const ENDLESS: u8 = 0x10;
}

/// What is wrong with one answer: how many are right before it, what happens to it, and with which octets.
struct Trouble<'a> {
    after: u8,
    kind: u8,
    octets: &'a [u8],
}

impl<'a> Trouble<'a> {
    /// All troubles of an input, each with the length of its octets.
    fn all(mut input: &'a [u8]) -> Vec<Self> {
        let mut troubles = Vec::new();
        while let [after, kind, length, rest @ ..] = input {
            let (octets, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            troubles.push(Self {
                after: *after,
                kind: *kind,
                octets,
            });
            input = rest;
        }
        troubles
    }

    fn spoil(&self, mut answer: Vec<u8>) -> Result<Vec<u8>, ReaderError> {
        let octets = self.octets;
        match self.kind % 8 {
            0 => return Ok(octets.to_vec()),
            1 => return Ok([octets, &[0x90, 0x00]].concat()),
            2 => answer.truncate(octets.len()),
            // Another status word.
            3 => {
                answer.truncate(answer.len().saturating_sub(2));
                answer.extend(octets);
            }
            // Other octets from somewhere on.
            4 => {
                let from = usize::from(octets.first().copied().unwrap_or_default());
                let places = answer.iter_mut().skip(from);
                places
                    .zip(octets.iter().skip(1))
                    .for_each(|(place, octet)| *place = *octet);
            }
            // A long answer, of which there is more.
            5 => return Ok([&octets.repeat(200)[..], &[0x61, 0x00]].concat()),
            6 => return Err(ReaderError::Mute),
            _ if octets.is_empty() => return Err(ReaderError::Removed),
            _ => answer.extend(octets),
        }
        Ok(answer)
    }
}

struct CardFromHell<'a> {
    card: VirtualCard,
    troubles: Vec<Trouble<'a>>,
    is_endless: bool,
    /// The next trouble, and how many answers are right before it.
    next: (usize, u8),
    asked: usize,
    pins_said: usize,
    /// What the card said to a PIN was no yes.
    is_pin_refused: bool,
}

impl<'a> CardFromHell<'a> {
    fn new(card: VirtualCard, troubles: Vec<Trouble<'a>>, is_endless: bool) -> Self {
        let after = troubles.first().map_or(0, |trouble| trouble.after);
        Self {
            card,
            troubles,
            is_endless,
            next: (0, after),
            asked: 0,
            pins_said: 0,
            is_pin_refused: false,
        }
    }

    fn trouble(&mut self) -> Option<&Trouble<'a>> {
        let (number, after) = self.next;
        if after > 0 {
            self.next = (number, after - 1);
            return None;
        }
        let trouble = self.troubles.get(number)?;
        let following = if self.is_endless {
            (number + 1) % self.troubles.len()
        } else {
            number + 1
        };
        self.next = (
            following,
            self.troubles.get(following).map_or(0, |next| next.after),
        );
        Some(trouble)
    }
}

impl Transmit for CardFromHell<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
        self.asked += 1;
        let is_pin = command.get(1) == Some(&instruction::VERIFY) && command.len() > 5;
        self.pins_said += usize::from(is_pin);
        assert!(
            !(is_pin && self.is_pin_refused),
            "a PIN that was refused is said again"
        );
        let answer = self.card.transmit(command)?;
        let answer = match self.trouble() {
            Some(trouble) => trouble.spoil(answer),
            None => Ok(answer),
        };
        let is_good = |answer: &Vec<u8>| Reply::parse(answer).is_ok_and(|reply| reply.status.is_ok());
        self.is_pin_refused |= is_pin && !answer.as_ref().is_ok_and(is_good);
        answer
    }

    fn atr(&self) -> &[u8] {
        self.card.atr()
    }

    fn is_t0(&self) -> bool {
        self.card.is_t0()
    }
}

fn check(input: &[u8]) -> Verdict {
    let (flags, troubles) = input.split_first().unwrap_or((&0, &[]));
    let has = |flag: u8| flags & flag != 0;
    let mut profile = CardProfile::new("001010000000001")
        .pcscfs(&["pcscf.ims.example"])
        .smsc("+155500099")
        .psismsc("sip:+155500099@ims.example");
    if has(flag::T1) {
        profile = profile.protocol(Protocol::T1);
    }
    if has(flag::PIN) {
        profile = profile.pin("1234", 2);
    }
    if has(flag::WITHOUT_ISIM) {
        profile = profile.without_isim();
    }
    let troubles = Trouble::all(troubles);
    let mut hell = CardFromHell::new(VirtualCard::new(profile), troubles, has(flag::ENDLESS));
    let verdict = use_card(&mut hell, has(flag::LAST_TRY));
    assert!(hell.asked <= ASKED_MAX * EXCHANGES_MAX, "{} commands", hell.asked);
    assert!(
        hell.pins_said <= PINS_MAX,
        "a PIN was said {} times",
        hell.pins_said
    );
    verdict
}

/// What `ue` does with a card.
fn use_card(hell: &mut CardFromHell<'_>, last_try: bool) -> Verdict {
    let mut card = match Card::open(hell) {
        Ok(card) => card,
        Err(error) => {
            assert_shown(&error.to_string());
            return Verdict::Refused;
        }
    };
    let pin: PinCode = "1234".parse().expect("a PIN");
    if let Err(error) = card.verify(&pin, last_try) {
        assert_shown(&error.to_string());
    }
    let has_names = match card.read() {
        Ok(contents) => {
            contents_are_shown(&contents);
            contents.identity().is_ok()
        }
        Err(error) => {
            assert_shown(&error.to_string());
            false
        }
    };
    let rand = [0x5A; 16];
    let vector = Milenage::new(&TEST_K, &TEST_OPC).vector(rand, Sqn::of(1, 1), [0x80, 0]);
    if let Err(failure) = card.authenticate(&rand, &vector.autn) {
        assert_shown(&failure.to_string());
    }
    Verdict::of(has_names)
}

/// What a person is told of a card can be put onto a terminal, and read by a program.
fn contents_are_shown(contents: &CardContents) {
    for core in [None, Some(&*CORE)] {
        let report = Report::new("Reader", contents, core);
        report
            .to_string()
            .lines()
            .filter(|line| !line.is_empty())
            .for_each(assert_shown);
        let json = serde_json::to_value(report.json()).expect("JSON");
        assert!(json.is_object(), "{json}");
    }
}

/// The core that the card is for.
static CORE: LazyLock<Core> = LazyLock::new(|| {
    let pcscf = "pcscf:\n  home_realm: ims.mnc001.mcc001.3gppnetwork.org\n  gm: {address: 192.0.2.5}\n  mw: {address: 127.0.1.2}\n";
    let hss = "hss:\n  listen: 127.0.1.5:3868\n  subscribers: [{imsi: \"001010000000001\", msisdn: \"15550001\"}]\n";
    let core = Core::default().with_file("pcscf.yaml", pcscf);
    core.and_then(|core| core.with_file("hss.yaml", hss))
        .expect("a core")
});

const WORDS: [&[u8]; 18] = [
    b"\x90\x00",
    b"\x61\x00",
    b"\x61\x01",
    b"\x6C\x00",
    b"\x6C\x10",
    b"\x62\x82",
    b"\x63\xC0",
    b"\x63\xC1",
    b"\x69\x82",
    b"\x69\x83",
    b"\x6A\x82",
    b"\x6A\x83",
    b"\x62\x00\x90\x00",
    b"\x62\x07\x82\x05\x42\x21\x00\xFF\xFF\x90\x00",
    b"\x62\x08\x82\x02\x41\x21\x80\x02\x04\x00\x90\x00",
    b"\x62\x0A\xC6\x08\x90\x01\x80\x83\x01\x11\x90\x00",
    b"\xDB\x04\x01\x02\x03\x04\x10",
    b"\xDC\x0E\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x90\x00",
];

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(4) {
        return changed(dice, seeds, &WORDS);
    }
    let mut input = vec![dice.byte() & if dice.one_in(3) { 0x1F } else { 0x0F }];
    for _ in 0..few(dice) {
        let octets = match dice.below(3) {
            0 => raw(dice, 30),
            _ => pick(dice, &WORDS).to_vec(),
        };
        // The first commands find the applications; there are some hundred in all.
        let after = if dice.one_in(3) {
            dice.below(8)
        } else {
            dice.below(120)
        };
        input.push(u8::try_from(after).unwrap_or_default());
        input.push(dice.byte());
        input.push(u8::try_from(octets.len()).unwrap_or_default());
        input.extend(octets);
    }
    input
}
