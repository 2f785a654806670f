//! Codec: tests of [`super`].

use super::*;

const ONE: &str = "OPTIONS sip:h SIP/2.0\r\nContent-Length: 3\r\n\r\nabc";
const TWO: &str = "SIP/2.0 200 OK\nl :\n 2\nX: y\n\nde";

fn frames(pieces: &[&[u8]]) -> Result<Vec<Frame>, FramingError> {
    let mut framer = Framer::new(SipLimits {
        message_bytes_max: 200,
        ..SipLimits::default()
    });
    let mut frames = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(frame) = framer.next()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

fn messages(frames: &[Frame]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    for frame in frames {
        match frame {
            Frame::Message(bytes) => messages.push(bytes.as_ref()),
            Frame::KeepAlivePing | Frame::KeepAlivePong => {}
        }
    }
    messages
}

#[test]
fn pipelined_messages_are_cut_wherever_the_reads_end() {
    let stream = format!("{ONE}\r\n\r\n{TWO}{ONE}");
    for split in 0..=stream.len() {
        let (a, b) = stream.as_bytes().split_at(split);
        let frames = frames(&[a, b]).unwrap();
        assert_eq!(
            messages(&frames),
            [ONE.as_bytes(), TWO.as_bytes(), ONE.as_bytes()],
            "split at {split}"
        );
        assert!(frames.contains(&Frame::KeepAlivePing), "split at {split}");
    }
    let octets: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(messages(&frames(&octets).unwrap()).len(), 3);
}

#[test]
fn keep_alives_are_told_apart() {
    assert_eq!(frames(&[b"\r\n\r\n"]).unwrap(), [Frame::KeepAlivePing]);
    assert_eq!(frames(&[b"\r\n"]).unwrap(), [Frame::KeepAlivePong]);
    assert_eq!(
        frames(&[b"\r\n\r\n\r\n"]).unwrap(),
        [Frame::KeepAlivePing, Frame::KeepAlivePong]
    );
    assert_eq!(
        frames(&[b"\r\n", b"\r\n"]).unwrap().last(),
        Some(&Frame::KeepAlivePing)
    );
    assert_eq!(
        frames(&[b"\r", b"\n\r", b"\n"]).unwrap().last(),
        Some(&Frame::KeepAlivePing)
    );
    assert_eq!(
        messages(&frames(&[b"\n\n\r\n", ONE.as_bytes()]).unwrap()),
        [ONE.as_bytes()]
    );
}

#[test]
fn a_message_without_content_length_has_no_body() {
    let frames = frames(&[b"OPTIONS sip:h SIP/2.0\r\n\r\nOPTIONS sip:i SIP/2.0\r\n\r\n"]).unwrap();
    assert_eq!(messages(&frames).len(), 2);
}

#[test]
fn lengths_that_conflict_or_are_no_numbers_lose_the_stream() {
    let of = |lines: &str| frames(&[format!("OPTIONS sip:h SIP/2.0\r\n{lines}\r\n\r\n").as_bytes()]);
    assert_eq!(
        of("Content-Length: 1\r\nl: 2").unwrap_err(),
        FramingError::ContentLengthConflict
    );
    assert_eq!(of("Content-Length: -1").unwrap_err(), FramingError::ContentLength);
    assert_eq!(
        of("Content-Length: 1 2").unwrap_err(),
        FramingError::ContentLength
    );
    assert_eq!(
        of("Content-Length: 1\r\n 2").unwrap_err(),
        FramingError::ContentLength
    );
    assert_eq!(of("Content-Length:").unwrap_err(), FramingError::ContentLength);
    assert_eq!(
        of("Content-Length: 99999999999999999999999").unwrap_err(),
        FramingError::TooLarge
    );
    assert_eq!(of("Content-Length: 190").unwrap_err(), FramingError::TooLarge);
    assert_eq!(messages(&of("Content-Length: 0\r\nl: 0").unwrap()).len(), 1);
}

#[test]
fn an_endless_head_is_refused_and_stays_refused() {
    let mut framer = Framer::new(SipLimits {
        message_bytes_max: 100,
        ..SipLimits::default()
    });
    framer.push(&[b'a'; 101]);
    assert_eq!(framer.next(), Err(FramingError::TooLarge));
    framer.push(ONE.as_bytes());
    assert_eq!(framer.next(), Err(FramingError::TooLarge));
    assert_eq!(framer.buffered(), 0);
}

/// A megabyte in single octets takes no quadratic time: the search goes on where it stopped.
#[test]
fn the_search_goes_on_where_it_stopped() {
    let mut framer = Framer::new(SipLimits {
        message_bytes_max: 1 << 21,
        ..SipLimits::default()
    });
    for _ in 0..(1 << 18) {
        framer.push(b"abc\n");
        assert_eq!(framer.next(), Ok(None));
        let State::Head { searched } = framer.state else {
            panic!("in a head");
        };
        assert!(framer.buffered() - searched <= 1);
    }
}
