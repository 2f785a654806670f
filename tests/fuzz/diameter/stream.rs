//! Testkit: Diameter over a stream: however it is cut, the same messages come out, and a lost stream is lost at once.

use bytes::{Bytes, BytesMut};
use ims_common::diameter::framing::split;

use super::message;
use crate::dice::{Dice, change};
use crate::engine::{Target, Verdict};

static TARGET: Target = Target {
    name: "diameter_stream",
    check,
    generate,
    iterations: 6_000,
};

#[test]
fn however_a_diameter_stream_is_cut_the_same_messages_come_out() {
    fuzz!(TARGET);
}

const BYTES_MAX: usize = 2_048;

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut stream: Vec<u8> = (0..=dice.below(4)).flat_map(|_| message(dice, seeds)).collect();
    if dice.one_in(4) {
        change(
            dice,
            &mut stream,
            &[b"\x01\x00\x00\x14", b"\x00\x00\x00", b"\xff"],
        );
    }
    stream
}

fn frames<'a>(reads: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, bool) {
    let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            match split(&mut buffer, BYTES_MAX) {
                Ok(Some(bytes)) => {
                    assert!(bytes.len() <= BYTES_MAX && bytes.len() >= 20);
                    out.push(bytes);
                }
                Ok(None) => break,
                Err(_) => return (out, true),
            }
        }
        assert!(buffer.len() < BYTES_MAX && buffer.capacity() < 64 * BYTES_MAX + read.len());
    }
    (out, false)
}

fn check(stream: &[u8]) -> Verdict {
    let (whole, lost) = frames(std::iter::once(stream));
    for size in [1, 3, 20, 256] {
        assert_eq!(
            frames(stream.chunks(size)),
            (whole.clone(), lost),
            "reads of {size}"
        );
    }
    assert!(stream.starts_with(&whole.concat()), "the messages are the stream");
    Verdict::of(!whole.is_empty())
}
