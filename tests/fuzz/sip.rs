//! Testkit: targets of the SIP codec, and how their inputs are made: messages of the corpus with lines swapped, doubled,
//! lost, folded, shortened and borrowed from each other.

pub(crate) mod against_rsip;
pub(crate) mod datagram;
pub(crate) mod stream;
pub(crate) mod values;

use memchr_free::{find, lines};

use crate::dice::{Dice, change, few, pick, raw, seed};

/// What the grammar of SIP makes something of.
pub(crate) const WORDS: [&[u8]; 46] = [
    b"\r\n",
    b"\n",
    b"\r\n ",
    b"\r\n\t",
    b"\r\n\r\n",
    b" ",
    b":",
    b";",
    b",",
    b"=",
    b"\"",
    b"\\\"",
    b"<",
    b">",
    b"<>",
    b"@",
    b"?",
    b"%",
    b"%00",
    b"%25",
    b"%41",
    b"[",
    b"]",
    b"[2001:db8::1]",
    b"*",
    b"/",
    b"(",
    b")",
    b"SIP/2.0",
    b"SIP/2.0/UDP ",
    b";lr",
    b";tag=",
    b";branch=z9hG4bK",
    b";rport",
    b";received=192.0.2.9",
    b"sip:",
    b"sips:",
    b"tel:",
    b"urn:service:sos",
    b"Digest ",
    b"expires=0",
    b"ck=\"",
    b"integrity-protected=\"yes\"",
    b"anonymous",
    b"!.*!",
    b"ACK",
];

/// Whole lines that a message may get.
const LINES: [&str; 30] = [
    "Content-Length: 0",
    "l: 4",
    "Content-Length: 99999999999999999999",
    "Contact: *",
    "m: <sip:a@192.0.2.9>;expires=0",
    "Via: SIP/2.0/TCP [2001:db8::9]:5090;branch=z9hG4bKfz;received=2001:db8::a;rport=5091",
    "v: SIP / 2.0 / UDP h.example",
    "Route: <sip:192.0.2.1;lr>, <sip:192.0.2.2:5060;lr>",
    "Route: <sip:x@192.0.2.2>;a=\"<,>\"",
    "Record-Route: <sip:p.example;lr>",
    "Path: <sip:t@192.0.2.2;lr>",
    "Require: sec-agree, nothing",
    "Proxy-Require: sec-agree",
    "Supported: path,, ,gruu",
    "P-Asserted-Identity: <sip:evil@example.com>, <tel:+1>",
    "P-Charging-Vector: icid-value=x",
    "Max-Forwards: 0",
    "Max-Forwards: 256",
    "Expires: 4294967296",
    "Expires: soon",
    "X-Unknown: \"",
    "X-Unknown:",
    "To: <sip:b@h.example>;tag=9",
    "CSeq: 2147483648 INVITE",
    "Authorization: Basic abc",
    "Authorization: Digest username=\"a\",,response=\"\"",
    "Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;spi-c=4294967296;spi-s=0;port-c=0;port-s=70000;;\"",
    "Event: reg",
    "Timestamp: 5.1 .2",
    "P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=00;network-provided",
];

/// Names and their short forms.
const SHORT: [(&str, &str); 9] = [
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Length", "l"),
    ("Supported", "k"),
    ("Content-Type", "c"),
    ("Event", "o"),
];

/// Finding things in octets, without the code under test.
pub(crate) mod memchr_free {
    /// Where `needle` is.
    pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
        bytes.windows(needle.len()).position(|window| window == needle)
    }

    /// Head lines with their ends, and the body with the empty line before it.
    pub(crate) fn lines(message: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let end = find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
        let (head, body) = message.split_at(end);
        let lines = head
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        (lines, body.to_vec())
    }
}

/// A message of the corpus, changed as a whole, then perhaps octet by octet.
pub(crate) fn message(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(16) {
        return raw(dice, 300);
    }
    let (message, other) = (seed(dice, seeds), seed(dice, seeds));
    changed_message(dice, &message, &other)
}

/// A message with something of another one in it.
pub(crate) fn changed_message(dice: &mut dyn Dice, message: &[u8], other: &[u8]) -> Vec<u8> {
    let (mut head, mut body) = lines(message);
    for _ in 0..few(dice) {
        change_lines(dice, &mut head, other);
    }
    if dice.one_in(6) {
        let more = raw(dice, 40);
        body.extend(more);
    }
    let mut bytes = head.concat();
    let lengthen = !dice.one_in(4);
    if lengthen {
        set_length(&mut bytes, body.len().saturating_sub(2));
    }
    bytes.extend(body);
    if dice.one_in(3) {
        change(dice, &mut bytes, &WORDS);
    }
    bytes
}

/// Makes Content-Length right where there is one.
fn set_length(head: &mut Vec<u8>, length: usize) {
    for name in [&b"\nContent-Length:"[..], b"\nl:"] {
        if let Some(at) = find(head, name) {
            let start = at + name.len();
            let end = head[start..]
                .iter()
                .position(|b| *b == b'\r')
                .map_or(head.len(), |n| start + n);
            head.splice(start..end, format!(" {length}").bytes());
        }
    }
}

fn change_lines(dice: &mut dyn Dice, head: &mut Vec<Vec<u8>>, other: &[u8]) {
    if head.is_empty() {
        return;
    }
    let (one, two) = (dice.below(head.len()), dice.below(head.len()));
    match dice.below(12) {
        0 => head.swap(one, two),
        1 => {
            let line = head[one].clone();
            head.insert(two, line);
        }
        2 if head.len() > 1 => drop(head.remove(one)),
        3 | 4 => {
            let line = format!("{}\r\n", pick(dice, &LINES)).into_bytes();
            head.insert((one + 1).min(head.len()), line);
        }
        5 => {
            let (others, _) = lines(other);
            if let Some(line) = others.get(dice.below(others.len())) {
                head[one].clone_from(line);
            }
        }
        6 => fold(dice, &mut head[one]),
        7 => shorten(dice, &mut head[one]),
        8 => {
            let end = head[one].len()
                - head[one]
                    .iter()
                    .rev()
                    .take_while(|b| matches!(b, b'\r' | b'\n'))
                    .count();
            head[one].truncate(end);
            head[one].push(b'\n');
        }
        9 => head[one].make_ascii_uppercase(),
        _ => {
            let mut line = std::mem::take(&mut head[one]);
            let end = line.len().saturating_sub(2);
            let rest = line.split_off(end);
            change(dice, &mut line, &WORDS);
            line.extend(rest);
            head[one] = line;
        }
    }
}

fn fold(dice: &mut dyn Dice, line: &mut Vec<u8>) {
    let spaces: Vec<usize> = line
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b' ')
        .map(|(at, _)| at)
        .collect();
    if let Some(at) = spaces.get(dice.below(spaces.len())) {
        line.splice(*at..*at, *b"\r\n");
    }
}

fn shorten(dice: &mut dyn Dice, line: &mut Vec<u8>) {
    let spaces = pick(dice, &["", " ", "\t ", "  "]);
    for (long, short) in SHORT {
        if line.starts_with(format!("{long}:").as_bytes()) {
            line.splice(..long.len(), format!("{short}{spaces}").bytes());
            return;
        }
    }
}
