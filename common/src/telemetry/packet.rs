//! Codec: a message with where it came from and went, for capture servers, capture files and traces.
//!
//! Keys never leave a node: [`Packet::blank`] overwrites them in place, before anything else is done with a packet.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::diameter::{Avps, Header};
use crate::net::{Interface, Transport};

/// What a message is of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// RFC 3261.
    Sip,
    /// RFC 6733.
    Diameter,
}

/// One message that crossed a node's border.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// When, in microseconds of the Unix epoch.
    pub at: u64,
    /// Whether the node heard it, or said it.
    pub is_heard: bool,
    /// What it is of.
    pub protocol: Protocol,
    /// How it was carried.
    pub transport: Transport,
    /// The side of the node; that of Diameter is [`Interface::Mw`].
    pub interface: Interface,
    /// Where it came from. Of a protected message the address inside.
    pub source: SocketAddr,
    /// Whereto it went.
    pub target: SocketAddr,
    /// The message.
    pub bytes: Bytes,
    /// Number of the event that it is, or that it was said upon.
    pub cause: u64,
}

/// What a key is overwritten with.
const BLANK: u8 = b'x';

impl Packet {
    /// Overwrites keys and expected responses. No length changes.
    pub fn blank(&mut self) {
        let blanked = match self.protocol {
            Protocol::Sip => blank_sip(&self.bytes),
            Protocol::Diameter => blank_diameter(&self.bytes),
        };
        if let Some(blanked) = blanked {
            self.bytes = Bytes::from(blanked);
        }
    }
}

/// The `ck` and `ik` of a challenge (TS 24.229 7.2A.1), which go from the S-CSCF to the P-CSCF only.
fn blank_sip(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = head_len(bytes);
    let mut blanked: Option<Vec<u8>> = None;
    for name in [&b"ck"[..], b"ik"] {
        let mut from = 0;
        while let Some(found) = find_ignoring_case(bytes.get(from..head)?, name) {
            let start = from + found;
            from = start + name.len();
            let before = start.checked_sub(1).and_then(|at| bytes.get(at));
            let is_name = before.is_some_and(|b| matches!(b, b',' | b' ' | b'\t' | b'\n' | b'\r'));
            let Some((start, end)) = is_name.then(|| value_at(bytes, from, head)).flatten() else {
                continue;
            };
            let copy = blanked.get_or_insert_with(|| bytes.to_vec());
            copy.get_mut(start..end)?.fill(BLANK);
            from = end;
        }
    }
    blanked
}

/// Where the value of a parameter is, whose name ends here: inside its quotes, or up to the next separator.
fn value_at(bytes: &[u8], mut at: usize, head: usize) -> Option<(usize, usize)> {
    let is_blank = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_whitespace);
    while at < head && is_blank(at) {
        at += 1;
    }
    if bytes.get(at) != Some(&b'=') {
        return None;
    }
    at += 1;
    while at < head && is_blank(at) {
        at += 1;
    }
    let is_quoted = bytes.get(at) == Some(&b'"');
    let start = at + usize::from(is_quoted);
    let ends = |b: &u8| match is_quoted {
        true => *b == b'"',
        false => matches!(b, b',' | b';' | b' ' | b'\r' | b'\n'),
    };
    let length = bytes.get(start..head)?.iter().position(ends);
    Some((start, length.map_or(head, |length| start + length)))
}

fn head_len(bytes: &[u8]) -> usize {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").or_else(|| memchr::memmem::find(bytes, b"\n\n"));
    end.unwrap_or(bytes.len())
}

fn find_ignoring_case(text: &[u8], name: &[u8]) -> Option<usize> {
    text.windows(name.len())
        .position(|part| part.eq_ignore_ascii_case(name))
}

/// SIP-Authorization of answers (the expected response), Confidentiality-Key, Integrity-Key (TS 29.229 6.3.11, 6.3.27,
/// 6.3.28) and Digest-HA1 (RFC 4740 9.5.9).
const SECRETS: [u32; 4] = [610, 625, 626, 121];
/// SIP-Auth-Data-Item and SIP-Digest-Authenticate, in which they are.
const GROUPS: [u32; 2] = [612, 635];
/// A group in a group in the message.
const DEPTH_MAX: usize = 4;

fn blank_diameter(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = Header::read(bytes)?;
    // MAR and MAA alone carry them.
    if header.code != 303 || header.flags.is_request() {
        return None;
    }
    let mut blanked = bytes.to_vec();
    let mut open = vec![(Header::LEN, bytes.len(), 0)];
    while let Some((from, to, depth)) = open.pop() {
        for avp in Avps::new(bytes.get(from..to)?) {
            // Where the next one would begin nobody knows: all that is left may be a key.
            let avp = match avp {
                Ok(avp) => avp,
                Err(broken) => {
                    blanked
                        .get_mut(to.checked_sub(broken.rest.len())?..to)?
                        .fill(BLANK);
                    break;
                }
            };
            let start = avp.data.as_ptr().addr() - bytes.as_ptr().addr();
            let end = start + avp.data.len();
            if SECRETS.contains(&avp.code) {
                blanked.get_mut(start..end)?.fill(BLANK);
            } else if GROUPS.contains(&avp.code) {
                match depth < DEPTH_MAX {
                    true => open.push((start, end, depth + 1)),
                    false => blanked.get_mut(start..end)?.fill(BLANK),
                }
            }
        }
    }
    Some(blanked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: Protocol, bytes: Vec<u8>) -> Packet {
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        Packet {
            at: 0,
            is_heard: true,
            protocol,
            transport: Transport::Udp,
            interface: Interface::Mw,
            source: address,
            target: address,
            bytes: Bytes::from(bytes),
            cause: 0,
        }
    }

    fn blanked(text: &str) -> String {
        let mut packet = packet(Protocol::Sip, text.as_bytes().to_vec());
        packet.blank();
        String::from_utf8(packet.bytes.to_vec()).unwrap()
    }

    #[test]
    fn keys_of_a_challenge_are_overwritten_wherever_they_stand_and_nothing_else_is() {
        let challenge = |ck: &str, ik: &str| {
            format!(
                "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"ck.example\", nonce=\"bGljaw==\",IK = \"{ik}\",\r\n ck={ck}, \
                 algorithm=AKAv1-MD5\r\nX-Tick: a\r\n\r\nck=\"body\""
            )
        };
        assert_eq!(
            blanked(&challenge(
                "00112233445566778899aabbccddeeff",
                "ffeeddccbbaa99887766554433221100"
            )),
            challenge(
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            )
        );
    }

    #[test]
    fn a_key_whose_value_never_ends_is_overwritten_to_the_end() {
        assert_eq!(blanked("a\r\nB: x, ck=\"0123"), "a\r\nB: x, ck=\"xxxx");
        assert_eq!(blanked("a\r\nB: x, ck="), "a\r\nB: x, ck=");
        assert_eq!(blanked("ck"), "ck");
    }

    fn avp(code: u32, data: &[u8]) -> Vec<u8> {
        let mut octets = code.to_be_bytes().to_vec();
        octets.push(0xC0);
        let length = u32::try_from(12 + data.len()).unwrap();
        octets.extend(&length.to_be_bytes()[1..]);
        octets.extend(10_415_u32.to_be_bytes());
        octets.extend(data);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn an_authentication_vector_leaves_its_challenge_and_nothing_secret() {
        let item = [
            avp(609, b"rand and autn"),
            avp(610, b"XRES-xres"),
            avp(625, b"CK-secret-CK"),
            avp(626, b"IK-secret-IK"),
        ]
        .concat();
        let mut answer = vec![1, 0, 0, 0, 0x40, 0, 1, 47, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9];
        answer.extend(avp(612, &item));
        answer.extend(avp(635, &avp(121, b"0123456789abcdef")));
        let length = answer.len();
        let mut packet = packet(Protocol::Diameter, answer);
        packet.blank();
        assert_eq!(packet.bytes.len(), length);
        let has = |text: &[u8]| memchr::memmem::find(&packet.bytes, text).is_some();
        assert!(has(b"rand and autn"));
        for secret in [&b"xres"[..], b"XRES", b"secret", b"0123456"] {
            assert!(!has(secret));
        }
        let read: Vec<u32> = Avps::new(&packet.bytes[20..])
            .map(|avp| avp.unwrap().code)
            .collect();
        assert_eq!(read, [612, 635], "still Diameter");
    }

    #[test]
    fn keys_behind_a_broken_avp_are_overwritten_too() {
        // Its length goes beyond the message.
        let mut broken = avp(609, b"rand and autn");
        broken[7] = 0xFF;
        let item = [avp(610, b"XRES"), broken, avp(625, b"CK-secret-CK")].concat();
        for body in [avp(612, &item), item] {
            let mut answer = vec![1, 0, 0, 0, 0x40, 0, 1, 47, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9];
            answer.extend(avp(1, b"impi"));
            answer.extend(body);
            let length = answer.len();
            let mut packet = packet(Protocol::Diameter, answer);
            packet.blank();
            assert_eq!(packet.bytes.len(), length);
            let has = |text: &[u8]| memchr::memmem::find(&packet.bytes, text).is_some();
            assert!(has(b"impi"));
            assert!(!has(b"XRES") && !has(b"secret"));
        }
    }
}
