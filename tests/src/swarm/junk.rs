//! Testkit: what strangers send: nonsense, half-right copies of what they overheard, and requests of their own.

use std::net::SocketAddr;

use bytes::Bytes;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::plan::any;
use crate::site::{HOME, Site};
use crate::world::World;
use crate::world::record::What;

/// An address of no node.
fn stranger() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 250], 5060))
}

/// Sends something bad to a CSCF.
pub(super) fn send_junk(world: &mut World, site: &Site, rng: &mut StdRng) {
    let to = socket(site, rng);
    let bytes = if rng.random_bool(0.2) {
        let length = rng.random_range(0..600);
        (0..length).map(|_| rng.random()).collect()
    } else {
        distorted(another_branch(overheard(world, rng), rng), rng)
    };
    world.inject(stranger(), to, Bytes::from(bytes));
}

/// Sends a request of a stranger to a CSCF.
pub(super) fn send_request(world: &mut World, site: &Site, phones: u8, rng: &mut StdRng) {
    let to = socket(site, rng);
    let method = any(
        rng,
        &[
            "MESSAGE",
            "OPTIONS",
            "INVITE",
            "INVITE",
            "BYE",
            "SUBSCRIBE",
            "REGISTER",
        ],
    );
    let number = rng.random_range(1..=phones + 1);
    let target = match rng.random_range(0..4) {
        0 => format!("tel:+1555{number:04}"),
        1 => format!("sip:0010100000{number:05}@{HOME}"),
        2 => format!("sip:{to}"),
        _ => format!("sip:+1555{number:04}@{HOME}"),
    };
    let word: u64 = rng.random();
    let cseq = if method == "INVITE" && rng.random_bool(0.2) {
        "ACK"
    } else {
        method
    };
    let contact = any(rng, &["", "Contact: *\r\n", "Contact: <sip:x@192.0.2.250>\r\n"]);
    let text = format!(
        "{cseq} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.250:5060;branch=z9hG4bK{word:016x}\r\nMax-Forwards: 70\r\n\
         From: <sip:stranger@{HOME}>;tag={word:x}\r\nTo: <{target}>\r\nCall-ID: {word:x}\r\nCSeq: 1 {cseq}\r\n\
         {contact}Expires: 60\r\nContent-Length: 0\r\n\r\n"
    );
    world.inject(stranger(), to, Bytes::from(text.clone()));
    if method == "INVITE" && rng.random_bool(0.3) {
        let cancel = text.replace("INVITE", "CANCEL");
        world.inject(stranger(), to, Bytes::from(cancel));
    }
}

fn socket(site: &Site, rng: &mut StdRng) -> SocketAddr {
    let scscf = site.scscfs[rng.random_range(0..site.scscfs.len())];
    // Where Gm is not protected nobody listens there.
    let protected = SocketAddr::new(site.gm.ip(), 6_101);
    match site.ipsec && rng.random_bool(0.2) {
        true => protected,
        false => any(rng, &[site.gm, site.gm, site.pcscf, site.icscf, scscf]),
    }
}

/// A request of the last ones that were sent: a distorted answer could tell a phone anything.
fn overheard(world: &World, rng: &mut StdRng) -> Vec<u8> {
    let requests = world.record().entries().iter().rev().take(60);
    let requests: Vec<&Bytes> = requests
        .filter_map(|entry| match &entry.what {
            What::Sip { bytes, .. } if !bytes.starts_with(b"SIP/") => Some(bytes),
            _ => None,
        })
        .collect();
    match requests.len() {
        0 => b"REGISTER sip:x SIP/2.0\r\n\r\n".to_vec(),
        count => requests[rng.random_range(0..count)].to_vec(),
    }
}

/// Who does not sit on the path knows no branch of others; a copy with the same branch would be the same request, and
/// its answer would go to whoever was first (RFC 3261 17.2.3).
fn another_branch(mut bytes: Vec<u8>, rng: &mut StdRng) -> Vec<u8> {
    const COOKIE: &[u8] = b"z9hG4bK";
    let cookie = bytes.windows(COOKIE.len()).position(|window| window == COOKIE);
    if let Some(word) = cookie.and_then(|at| bytes.get_mut(at + COOKIE.len()..at + COOKIE.len() + 8)) {
        word.fill_with(|| rng.random_range(b'a'..=b'z'));
    }
    bytes
}

fn distorted(mut bytes: Vec<u8>, rng: &mut StdRng) -> Vec<u8> {
    for _ in 0..rng.random_range(0..4) {
        let at = rng.random_range(0..bytes.len().max(1));
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_within(at..),
            2 => {
                let end = (at + rng.random_range(1..60)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            3 => bytes.insert(at.min(bytes.len()), rng.random()),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.random();
                }
            }
        }
    }
    bytes
}
