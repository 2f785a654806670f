//! Testkit: messages broken at random, from a seed. None may panic, and what is taken is still whole.

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{Frame, Framer, Message, refuse};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{edit_everything, read_everything};

const ROUNDS: usize = 6_000;

const REGISTER: &[u8] = include_bytes!("../../benches/register_volte.sip");

const TORTUOUS: &[u8] = b"INVITE sip:a%20b;x=y@[2001:db8::1]:5060;lr SIP/2.0\r\nv : SIP / 2.0 / UDP h.example : 5070 ; branch=z9hG4bK1,\r\n SIP/2.0/TCP i.example;received=[2001:db8::2]\r\n\
    t: \"A \\\"B\\\"\" <sips:b@h.example;x=\"y\">;tag=1\nFROM:\n  tel:+1-201;phone-context=+2 ; tag=2\r\ni: c@d\r\nCSeq: 0001\r\n\tINVITE\r\nMax-Forwards: 70\r\n\
    m: *\r\nRoute: <sip:r1;lr>,<sip:r2;lr> , <sip:r3>\r\nX-Unknown: ,,;;\"\r\nAuthorization: Digest a=\"b,\\\"c\", integrity-protected=yes\r\nl: 3\r\n\r\nabcTAIL";

const CHALLENGE: &[u8] = b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;rport=5060;received=2001:db8::3\r\n\
    From: <sip:a@h.example>;tag=1\r\nTo: <sip:a@h.example>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\
    WWW-Authenticate: Digest realm=\"h.example\", nonce=\"AAAA\", algorithm=AKAv1-MD5, ck=\"00\", ik=\"11\", qop=\"auth,auth-int\"\r\n\
    Security-Server: ipsec-3gpp;q=0.1;alg=hmac-sha-1-96;spi-c=1;spi-s=2;port-c=3;port-s=4\r\nContent-Length: 0\r\n\r\n";

/// Octets that mean something to the grammar, and some that should never occur.
const SPICE: &[u8] = b"\r\n \t:;,=\"<>@?%&[]\\/+*-.0\x00\x7f\xff\xc3";

fn mutate(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=out.len());
        let end = (at + rng.random_range(0..12)).min(out.len());
        match rng.random_range(0..6) {
            0 => drop(out.drain(at..end)),
            1 => out.insert(at, SPICE[rng.random_range(0..SPICE.len())]),
            2 if at < out.len() => out[at] = SPICE[rng.random_range(0..SPICE.len())],
            3 if at < out.len() => out[at] ^= 1 << rng.random_range(0..8),
            4 => {
                let copied = out[at..end].to_vec();
                let to = rng.random_range(0..=out.len());
                out.splice(to..to, copied);
            }
            5 if rng.random_range(0..8) == 0 => out.truncate(at),
            _ => {}
        }
    }
    out
}

#[test]
fn broken_messages_never_panic_and_taken_ones_are_whole() {
    let mut rng = StdRng::seed_from_u64(4475);
    let limits = SipLimits::default();
    let mut taken = 0;
    for round in 0..ROUNDS {
        let base = [REGISTER, TORTUOUS, CHALLENGE][round % 3];
        let bytes = Bytes::from(mutate(base, &mut rng));
        match Message::parse(bytes.clone(), &limits) {
            Ok(message) => {
                taken += 1;
                read_everything(&message);
                edit_everything(message);
            }
            Err(error) => {
                assert!(!error.reason().is_empty());
                if let Some(response) = refuse(&bytes, &limits, "t") {
                    read_everything(&response);
                    edit_everything(response.into_message());
                }
            }
        }
    }
    // The test is worth something only while both ways are taken.
    assert!(taken > ROUNDS / 10 && taken < ROUNDS, "{taken} of {ROUNDS} taken");
}

#[test]
fn broken_streams_never_panic_and_frames_do_not_depend_on_the_reads() {
    let mut rng = StdRng::seed_from_u64(5626);
    let limits = SipLimits::default();
    for _ in 0..ROUNDS / 10 {
        let mut stream = mutate(TORTUOUS, &mut rng);
        stream.extend(mutate(CHALLENGE, &mut rng));
        stream.extend_from_slice(REGISTER);
        let whole = messages(&[&stream], limits);
        let cuts: Vec<&[u8]> = stream.chunks(rng.random_range(1..100)).collect();
        assert_eq!(
            messages(&cuts, limits),
            whole,
            "{}",
            String::from_utf8_lossy(&stream)
        );
    }
}

/// The messages of a stream until it ends or is lost. Keep-alives are told by time, so they are left out.
fn messages(reads: &[&[u8]], limits: SipLimits) -> Vec<Bytes> {
    let mut framer = Framer::new(limits);
    let mut messages = Vec::new();
    for read in reads {
        framer.push(read);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(bytes))) => messages.push(bytes),
                Ok(Some(Frame::KeepAlivePing | Frame::KeepAlivePong)) => {}
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}
