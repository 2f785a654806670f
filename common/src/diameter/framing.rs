//! Codec: messages out of a byte stream, by the length field (RFC 6733 3).

use bytes::{Buf, Bytes, BytesMut};

use super::header::{Header, u24};

/// Octets of a message that are accepted unless configured otherwise.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Why a stream is no sequence of Diameter messages. There is no resynchronisation: close it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// RFC 6733 7.1.5, 5011.
    #[error("version is not 1")]
    Version,
    /// RFC 6733 7.1.5, 5015: less than a header, or no multiple of 4.
    #[error("message length is impossible")]
    Length,
    /// More than the configured size.
    #[error("message is too long")]
    TooLong,
}

/// Takes the next whole message out of `buffer`; `None` when more octets are needed.
///
/// # Errors
/// When the stream cannot be a Diameter stream any more; it is to be closed.
pub fn split(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some((head, _)) = buffer.split_first_chunk::<4>() else {
        return match buffer.first() {
            Some(version) if *version != Header::VERSION => Err(FrameError::Version),
            _ => Ok(None),
        };
    };
    let [version, length @ ..] = *head;
    if version != Header::VERSION {
        return Err(FrameError::Version);
    }
    let length = usize::try_from(u24(length)).map_err(|_| FrameError::TooLong)?;
    if length < Header::LEN || !length.is_multiple_of(4) {
        return Err(FrameError::Length);
    }
    if length > bytes_max {
        return Err(FrameError::TooLong);
    }
    if buffer.remaining() < length {
        buffer.reserve(length - buffer.remaining());
        return Ok(None);
    }
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut octets = vec![0; length];
        octets[..4].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        octets[0] = 1;
        octets
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_was_cut() {
        let mut stream = message(20);
        stream.extend(message(24));
        for cut in 0..stream.len() {
            let mut buffer = BytesMut::from(&stream[..cut]);
            let mut lengths = Vec::new();
            while let Some(bytes) = split(&mut buffer, 64).unwrap() {
                lengths.push(bytes.len());
            }
            buffer.extend_from_slice(&stream[cut..]);
            while let Some(bytes) = split(&mut buffer, 64).unwrap() {
                lengths.push(bytes.len());
            }
            assert_eq!(lengths, [20, 24], "cut at {cut}");
        }
    }

    #[test]
    fn wrong_version_length_and_size_close_the_stream() {
        let check = |octets: &[u8]| split(&mut BytesMut::from(octets), 64);
        assert_eq!(check(&[2]), Err(FrameError::Version));
        assert_eq!(check(&[2, 0, 0, 20]), Err(FrameError::Version));
        assert_eq!(check(&[1, 0, 0, 19]), Err(FrameError::Length));
        assert_eq!(check(&[1, 0, 0, 0]), Err(FrameError::Length));
        assert_eq!(check(&[1, 0, 0, 22]), Err(FrameError::Length));
        assert_eq!(check(&[1, 0, 0, 68]), Err(FrameError::TooLong));
        assert_eq!(check(&[1, 0xFF, 0xFF, 0xFC]), Err(FrameError::TooLong));
        assert_eq!(check(&[]), Ok(None));
    }
}
