//! Testkit: SIP over streams: however a stream is cut into reads, the same messages come out of it.

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{Frame, Framer, Message};

use crate::dice::{Dice, change};
use crate::engine::{Target, Verdict, assert_linear};
use crate::sip::{WORDS, message};

static TARGET: Target = Target {
    name: "sip_stream",
    check,
    generate,
    iterations: 1_500,
};

#[test]
fn however_a_stream_is_cut_the_same_messages_come_out() {
    fuzz!(TARGET);
}

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=dice.below(4) {
        stream.extend(message(dice, seeds));
        for _ in 0..dice.below(3) {
            stream.extend_from_slice(b"\r\n");
        }
    }
    if dice.one_in(4) {
        change(dice, &mut stream, &WORDS);
    }
    stream
}

/// Limits that a stream of the corpus reaches.
fn limits() -> SipLimits {
    SipLimits {
        message_bytes_max: 4_096,
        ..SipLimits::default()
    }
}

/// What came out: messages, how many line ends between them, and whether the stream was lost.
#[derive(Debug, Default, Eq, PartialEq)]
struct Out {
    messages: Vec<Bytes>,
    lost: bool,
}

fn frames<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Out {
    let limits = limits();
    let mut framer = Framer::new(limits);
    let mut out = Out::default();
    for read in reads {
        framer.push(read);
        // Each frame takes octets out of the buffer, so that there cannot be more of them than octets.
        for _ in 0..=framer.buffered() {
            let before = framer.buffered();
            match framer.next() {
                Ok(Some(Frame::Message(bytes))) => {
                    assert!(bytes.len() <= limits.message_bytes_max, "{} octets", bytes.len());
                    out.messages.push(bytes);
                }
                Ok(Some(Frame::KeepAlivePing | Frame::KeepAlivePong)) => assert!(framer.buffered() < before),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(framer.next(), Err(error), "a lost stream stays lost");
                    assert_eq!(framer.buffered(), 0);
                    out.lost = true;
                    return out;
                }
            }
        }
        assert!(
            framer.buffered() <= limits.message_bytes_max + read.len(),
            "{} octets wait",
            framer.buffered()
        );
    }
    out
}

fn check(stream: &[u8]) -> Verdict {
    let whole = frames(std::iter::once(stream));
    for size in [1, 2, 3, 7, 64, 1_000] {
        assert_eq!(
            frames(stream.chunks(size)).messages,
            whole.messages,
            "reads of {size}"
        );
    }
    // Cut once, at places that follow from the octets.
    for step in 1..12_usize {
        let at = (step * 7_919) % (stream.len() + 1);
        let (one, two) = stream.split_at(at);
        assert_eq!(
            frames([one, two].into_iter()).messages,
            whole.messages,
            "cut at {at}"
        );
    }
    let mut parsed = false;
    for bytes in &whole.messages {
        if let Ok(message) = Message::parse(bytes.clone(), &limits()) {
            // Framer and scanner agree where a message ends: what one leaves out, the other would take for another.
            assert!(
                bytes.ends_with(message.bytes()),
                "the scanner ends the message elsewhere"
            );
            parsed = true;
        }
    }
    Verdict::of(parsed)
}

#[test]
fn a_stream_that_never_ends_its_head_costs_what_its_size_says() {
    let one_by_one = |stream: &[u8]| {
        let mut framer = Framer::new(SipLimits::default());
        for byte in stream {
            framer.push(std::slice::from_ref(byte));
            let _ = framer.next();
        }
    };
    for part in ["\n ", "a", "\r", "a: b\r\n", "\n"] {
        assert_linear(
            part,
            |size| format!("X{}", part.repeat(size / part.len())).into_bytes(),
            one_by_one,
        );
    }
}
