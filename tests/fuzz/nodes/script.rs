//! Testkit: scripts of what happens to a node, and how they are changed.
//!
//! A step is a line that begins with `@`, and what follows up to the next one:
//!
//! ```text
//! @sip gm udp 1         this message comes from the peer with this number
//! @sip ps udp 0         this one over the last set of security associations; ps, pc: to which port; 1: a stranger
//! @answer 0 401         what the node asked is answered; further header lines follow
//! @fail 0               the last transmission but so many could not be made
//! @wait 500             milliseconds
//! @close 1              the TCP connection of the peer with this number is gone
//! @hss hold             go, deaf, hear, down, up, dial
//! @cx 5001              what waits is answered with this result; without a number, with the mood
//! @mood 2001            the result of what is answered from now on
//! @server sip:x         Server-Name of what is answered from now on; nothing: capabilities
//! @profile              User-Data of what is answered from now on
//! @garble 40 255        this octet of the next answer is wrong
//! @push 304             RTR, PPR, or another request of the HSS
//! @kernel full          good, exists, full, busy, silent: what becomes of sets; gone, expired: the oldest vanishes
//! @drain
//! ```

use crate::dice::{Dice, change, few, pick, seed};
use crate::sip;

/// One thing that happens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) words: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Step {
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    pub(super) fn number(&self, at: usize) -> usize {
        self.word(at).parse().unwrap_or_default()
    }
}

/// Steps of a script that are played; what comes after them is left out.
const STEPS_MAX: usize = 60;

/// What a script says. Whatever it is, it says something.
pub(super) fn steps(bytes: &[u8]) -> Vec<Step> {
    split(bytes)
        .iter()
        .take(STEPS_MAX)
        .map(|text| {
            let end = text
                .iter()
                .position(|b| *b == b'\n')
                .map_or(text.len(), |at| at + 1);
            let line = String::from_utf8_lossy(&text[..end]);
            let words = line.trim_start_matches('@').split_whitespace().map(str::to_owned);
            Step {
                words: words.collect(),
                body: text[end..].to_vec(),
            }
        })
        .collect()
}

/// The texts of the steps.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b"@") {
            texts.push(Vec::new());
        }
        texts.last_mut().expect("one is there").extend_from_slice(line);
    }
    texts.retain(|text| text.starts_with(b"@"));
    texts
}

const STEPS: [&str; 42] = [
    "@wait 1",
    "@wait 500",
    "@wait 4000",
    "@wait 33000",
    "@wait 200000",
    "@wait 3700000",
    "@fail 0",
    "@fail 1",
    "@close 1",
    "@close 2",
    "@hss hold",
    "@hss go",
    "@hss deaf",
    "@hss hear",
    "@hss down",
    "@hss up",
    "@hss dial",
    "@cx",
    "@cx 5001",
    "@cx 3002",
    "@cx 5012",
    "@mood 2001",
    "@mood 5003",
    "@mood 3004",
    "@mood 0",
    "@server",
    "@server sip:scscf2.h.example",
    "@garble 25 255",
    "@garble 7 4",
    "@push 304",
    "@push 305",
    "@push 303",
    "@answer 0 200",
    "@answer 0 408",
    "@answer 0 100",
    "@drain",
    "@kernel good",
    "@kernel exists",
    "@kernel full",
    "@kernel silent",
    "@kernel gone",
    "@wait 130000",
];

/// A script of the corpus with steps lost, doubled, moved, borrowed and changed inside.
pub(super) fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut texts = split(&seed(dice, seeds));
    let others = split(&seed(dice, seeds));
    for _ in 0..=few(dice) {
        change_steps(dice, &mut texts, &others);
    }
    texts.concat()
}

fn change_steps(dice: &mut dyn Dice, texts: &mut Vec<Vec<u8>>, others: &[Vec<u8>]) {
    if texts.is_empty() {
        texts.extend_from_slice(others);
        return;
    }
    let (one, two) = (dice.below(texts.len()), dice.below(texts.len()));
    match dice.below(12) {
        0 => drop(texts.remove(one)),
        1 => texts.swap(one, two),
        2 => {
            let copy = texts[one].clone();
            texts.insert(two, copy);
        }
        3 => {
            let copies = vec![texts[one].clone(); 1 + dice.below(8)];
            texts.splice(one..one, copies);
        }
        4 | 5 if !others.is_empty() => texts.insert(one, others[dice.below(others.len())].clone()),
        6 if !others.is_empty() => texts.extend_from_slice(&others[dice.below(others.len())..]),
        7 | 8 => {
            let step = format!("{}\n", pick(dice, &STEPS)).into_bytes();
            texts.insert(one, step);
        }
        _ => change_inside(dice, &mut texts[one], others),
    }
}

fn change_inside(dice: &mut dyn Dice, text: &mut Vec<u8>, others: &[Vec<u8>]) {
    let end = text
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |at| at + 1);
    let mut body = text.split_off(end);
    if body.is_empty() || dice.one_in(5) {
        change(dice, text, &[b" 1", b" 2", b"udp", b"tcp", b" gm", b" mw", b"0"]);
        text.retain(|b| *b != b'\n');
        text.push(b'\n');
        if !text.starts_with(b"@") {
            text.insert(0, b'@');
        }
    } else if text.starts_with(b"@sip") {
        let others: Vec<Vec<u8>> = others
            .iter()
            .filter(|o| o.starts_with(b"@sip"))
            .map(|o| after_line(o))
            .collect();
        let other = if others.is_empty() {
            body.clone()
        } else {
            seed(dice, &others)
        };
        body = sip::changed_message(dice, &body, &other);
    } else {
        change(dice, &mut body, &sip::WORDS);
    }
    text.extend(body);
}

fn after_line(text: &[u8]) -> Vec<u8> {
    let end = text
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |at| at + 1);
    text[end..].to_vec()
}
