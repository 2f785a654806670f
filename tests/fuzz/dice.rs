//! Testkit: chance, as generators ask for it, and changes that mean something to text and to octets alike.

use std::ops::Bound;

use bolero::Driver;

/// Chance. Behind it is whatever drives the run.
pub(crate) trait Dice {
    /// A number below `n`; 0 when `n` is 0.
    fn below(&mut self, n: usize) -> usize;

    /// True once in `n` times.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Any octet.
    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }
}

/// Chance out of a driver of `bolero`.
pub(crate) struct DriverDice<'a, D>(pub(crate) &'a mut D);

impl<D: Driver> Dice for DriverDice<'_, D> {
    fn below(&mut self, n: usize) -> usize {
        if n < 2 {
            return 0;
        }
        self.0
            .gen_usize(Bound::Included(&0), Bound::Excluded(&n))
            .unwrap_or_default()
    }
}

/// One of them.
pub(crate) fn pick<'a, T: ?Sized>(dice: &mut dyn Dice, from: &[&'a T]) -> &'a T {
    from[dice.below(from.len())]
}

/// One of the corpus.
pub(crate) fn seed(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    seeds[dice.below(seeds.len())].clone()
}

/// Octets without any sense.
pub(crate) fn raw(dice: &mut dyn Dice, max: usize) -> Vec<u8> {
    (0..dice.below(max)).map(|_| dice.byte()).collect()
}

/// Numbers at the edges of what a field holds.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "00000000000000000000001",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999999999999999999999",
];

/// Octets that no text has, and some that only look like text.
const ODD: [&[u8]; 12] = [
    b"\xff",
    b"\xc3",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\x00",
    b"\x7f",
    b"\r",
    b"\n",
    b"\t",
    b"\xe2\x80\xa8",
    b"\\",
    b"%",
];

/// Changes a few octets somewhere. `words` mean something to whoever reads it.
pub(crate) fn change(dice: &mut dyn Dice, bytes: &mut Vec<u8>, words: &[&[u8]]) {
    let at = dice.below(bytes.len() + 1);
    let length = 1 + if dice.one_in(4) {
        dice.below(80)
    } else {
        dice.below(6)
    };
    let end = (at + length).min(bytes.len());
    match dice.below(13) {
        0 => drop(bytes.drain(at..end)),
        1 | 2 if !words.is_empty() => {
            let word = pick(dice, words);
            bytes.splice(at..at, word.iter().copied());
        }
        3 if !words.is_empty() => {
            let word = pick(dice, words);
            bytes.splice(at..end, word.iter().copied());
        }
        4 => {
            let odd = pick(dice, &ODD);
            bytes.splice(at..at, odd.iter().copied());
        }
        5 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        6 if at < bytes.len() => bytes[at] = dice.byte(),
        7 => {
            let copied = bytes[at..end].to_vec();
            let to = dice.below(bytes.len() + 1);
            bytes.splice(to..to, copied);
        }
        8 if dice.one_in(4) => bytes.truncate(at),
        9 => repeat(dice, bytes, at, end),
        _ => change_number(dice, bytes, at),
    }
}

fn repeat(dice: &mut dyn Dice, bytes: &mut Vec<u8>, at: usize, end: usize) {
    let times = if dice.one_in(8) {
        dice.below(200)
    } else {
        dice.below(4)
    };
    let copied = bytes[at..end].repeat(times);
    bytes.splice(at..at, copied);
}

/// Another number instead of the next one.
fn change_number(dice: &mut dyn Dice, bytes: &mut Vec<u8>, from: usize) {
    let Some(start) = bytes
        .iter()
        .skip(from)
        .position(u8::is_ascii_digit)
        .map(|at| at + from)
    else {
        return;
    };
    let digits = bytes
        .iter()
        .skip(start)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let number = pick(dice, &NUMBERS);
    bytes.splice(start..start + digits, number.bytes());
}

/// Usually few, now and then many.
pub(crate) fn few(dice: &mut dyn Dice) -> usize {
    match dice.below(8) {
        0 => 0,
        1..5 => 1,
        5 | 6 => 2,
        _ => 3 + dice.below(8),
    }
}

/// What most generators of one value do: something of the corpus, changed a little; sometimes nothing but noise.
pub(crate) fn changed(dice: &mut dyn Dice, seeds: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    if dice.one_in(12) {
        return raw(dice, 120);
    }
    let mut bytes = seed(dice, seeds);
    if dice.one_in(6) {
        // Two of them, cut somewhere.
        let other = seed(dice, seeds);
        let (cut, from) = (dice.below(bytes.len() + 1), dice.below(other.len() + 1));
        bytes.truncate(cut);
        bytes.extend_from_slice(&other[from..]);
    }
    for _ in 0..few(dice) {
        change(dice, &mut bytes, words);
    }
    bytes
}
