//! Testkit: targets of the Diameter codec and of Cx, and how their inputs are made: messages of the corpus with AVPs
//! swapped, doubled, lost, nested, renamed and cut, and lengths that are right, or not.

mod against_oracle;
mod cx;
mod message;
mod stream;

use crate::dice::{Dice, few, pick, raw, seed};

/// One AVP, taken apart without the code under test.
#[derive(Clone, Debug)]
struct Part {
    code: u32,
    flags: u8,
    vendor: u32,
    data: Vec<u8>,
}

impl Part {
    fn print(&self, out: &mut Vec<u8>) {
        let header = if self.flags & 0x80 != 0 { 12 } else { 8 };
        out.extend(self.code.to_be_bytes());
        out.push(self.flags);
        out.extend(&low24(header + self.data.len()));
        if header == 12 {
            out.extend(self.vendor.to_be_bytes());
        }
        out.extend(&self.data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

fn low24(number: usize) -> [u8; 3] {
    let number = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    [number[1], number[2], number[3]]
}

fn big(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

/// AVPs one after the other; stops where it does not understand.
fn parts(mut bytes: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    while bytes.len() >= 8 {
        let (flags, length) = (bytes[4], big(&bytes[5..8]));
        let header = if flags & 0x80 != 0 { 12 } else { 8 };
        if length < header || length > bytes.len() {
            break;
        }
        parts.push(Part {
            code: u32::try_from(big(&bytes[..4])).unwrap_or_default(),
            flags,
            vendor: if header == 12 {
                u32::try_from(big(&bytes[8..12])).unwrap_or_default()
            } else {
                0
            },
            data: bytes[header..length].to_vec(),
        });
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    parts
}

fn print(parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::new();
    parts.iter().for_each(|part| part.print(&mut out));
    out
}

/// AVPs that mean something to somebody, by code.
const CODES: [u32; 34] = [
    1, 25, 33, 257, 258, 260, 263, 264, 265, 266, 268, 269, 273, 277, 279, 282, 283, 284, 293, 296, 297, 298,
    601, 602, 603, 606, 608, 609, 612, 615, 618, 624, 632, 635,
];
/// Groups.
const GROUPS: [u32; 9] = [260, 279, 284, 297, 603, 612, 615, 618, 635];

fn change_parts(dice: &mut dyn Dice, parts: &mut Vec<Part>, others: &[Part], depth: usize) {
    if parts.is_empty() {
        parts.extend(others.first().cloned());
        return;
    }
    let (one, two) = (dice.below(parts.len()), dice.below(parts.len()));
    if depth < 3 && GROUPS.contains(&parts[one].code) && !dice.one_in(3) {
        let mut members = self::parts(&parts[one].data);
        change_parts(dice, &mut members, others, depth + 1);
        parts[one].data = print(&members);
        return;
    }
    match dice.below(11) {
        0 => parts.swap(one, two),
        1 => {
            let copy = parts[one].clone();
            parts.insert(two, copy);
        }
        2 => drop(parts.remove(one)),
        3 if !others.is_empty() => parts.push(others[dice.below(others.len())].clone()),
        4 => parts[one].code = CODES[dice.below(CODES.len())],
        5 => parts[one].flags ^= 1 << dice.below(8),
        6 => parts[one].vendor = *pick(dice, &[&0, &10_415, &13_019, &u32::MAX]),
        7 => nest(dice, &mut parts[one]),
        _ => change_data(dice, &mut parts[one].data),
    }
}

fn nest(dice: &mut dyn Dice, part: &mut Part) {
    let depth = if dice.one_in(6) {
        1 + dice.below(400)
    } else {
        1 + dice.below(10)
    };
    for _ in 0..depth {
        let mut inner = Vec::new();
        part.print(&mut inner);
        part.data = inner;
    }
}

fn change_data(dice: &mut dyn Dice, data: &mut Vec<u8>) {
    let words: [&[u8]; 12] = [
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x01",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x07\xd1",
        b"\x00\x00\x13\x89",
        b"sip:",
        b"@",
        b"aaa://h:3868;transport=tcp",
        b"\xff",
        b"h.example",
        b"Digest-AKAv1-MD5",
        b"",
    ];
    match dice.below(4) {
        0 => *data = pick(dice, &words).to_vec(),
        1 => *data = raw(dice, 40),
        2 => data.truncate(dice.below(data.len() + 1)),
        _ => crate::dice::change(dice, data, &words),
    }
}

/// A message of the corpus with its AVPs changed; usually with right lengths.
fn message(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seed(dice, seeds);
    if dice.one_in(16) || bytes.len() < 20 {
        return raw(dice, 200);
    }
    let mut parts = parts(&bytes[20..]);
    let other = seed(dice, seeds);
    let others = self::parts(other.get(20..).unwrap_or_default());
    for _ in 0..few(dice) {
        change_parts(dice, &mut parts, &others, 0);
    }
    bytes.truncate(20);
    if dice.one_in(10) {
        let at = 4 + dice.below(16);
        bytes[at] = dice.byte();
    }
    bytes.extend(print(&parts));
    if dice.one_in(8) {
        let at = dice.below(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
    }
    if dice.one_in(24) {
        bytes.truncate(dice.below(bytes.len()));
    }
    if bytes.len() >= 20 && !dice.one_in(12) {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let length = low24(bytes.len());
        bytes[1..4].copy_from_slice(&length);
    }
    bytes
}
