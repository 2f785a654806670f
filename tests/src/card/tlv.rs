//! Testkit: BER-TLV data objects (ISO/IEC 7816-4 5.2.2; ETSI TS 101 220 7.1).

/// A data object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tlv<'a> {
    /// Its tag, of one octet or two.
    pub tag: u16,
    /// Its value.
    pub value: &'a [u8],
}

/// Why octets are no data object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TlvError {
    /// The octets end in a tag or a length.
    #[error("it ends in the tag or the length of a data object")]
    Short,
    /// The length is said in a form that is not used on cards.
    #[error("its length begins with {0:02X}; one over 127 is written as 81 and an octet, or as 82 and two")]
    Length(u8),
    /// The length says more than there is.
    #[error("its length says {length} octets, and only {octets} follow")]
    Overrun {
        /// What the length says.
        length: usize,
        /// What there is.
        octets: usize,
    },
    /// A data object that has to be there is not.
    #[error("it has no data object {0:02X}")]
    Missing(u16),
}

/// The first data object, and what follows it.
///
/// # Errors
/// When there is none.
pub fn split_first(octets: &[u8]) -> Result<(Tlv<'_>, &[u8]), TlvError> {
    let (tag, rest) = tag(octets)?;
    let (length, rest) = length(rest)?;
    let (value, rest) = rest.split_at_checked(length).ok_or(TlvError::Overrun {
        length,
        octets: rest.len(),
    })?;
    Ok((Tlv { tag, value }, rest))
}

/// All data objects; octets of FF and 00 between and after them are padding.
pub fn all(octets: &[u8]) -> impl Iterator<Item = Result<Tlv<'_>, TlvError>> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        while let [0xFF | 0x00, after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let object = split_first(rest);
        rest = object.map_or(&[][..], |(_, after)| after);
        Some(object.map(|(object, _)| object))
    })
}

/// The value of the first data object with this tag.
///
/// # Errors
/// When there is none, or one before it is broken.
pub fn find(octets: &[u8], tag: u16) -> Result<&[u8], TlvError> {
    for object in all(octets) {
        let object = object?;
        if object.tag == tag {
            return Ok(object.value);
        }
    }
    Err(TlvError::Missing(tag))
}

/// Appends a data object.
pub fn append(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let [high, low] = tag.to_be_bytes();
    if high != 0 {
        out.push(high);
    }
    out.push(low);
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    match length {
        0..=0x7F => out.push(low),
        0x80..=0xFF => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(value.iter().take(usize::from(length)));
}

/// A data object alone.
#[must_use]
pub fn object(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 4);
    append(&mut out, tag, value);
    out
}

/// A tag of two octets has its five low bits set in the first one.
fn tag(octets: &[u8]) -> Result<(u16, &[u8]), TlvError> {
    match octets {
        [first, second, rest @ ..] if first & 0x1F == 0x1F => {
            Ok((u16::from_be_bytes([*first, *second]), rest))
        }
        [first, rest @ ..] if first & 0x1F != 0x1F => Ok((u16::from(*first), rest)),
        _ => Err(TlvError::Short),
    }
}

fn length(octets: &[u8]) -> Result<(usize, &[u8]), TlvError> {
    match octets {
        [length @ 0..=0x7F, rest @ ..] => Ok((usize::from(*length), rest)),
        [0x81, length, rest @ ..] => Ok((usize::from(*length), rest)),
        [0x82, high, low, rest @ ..] => Ok((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        [] | [0x81 | 0x82, ..] => Err(TlvError::Short),
        [other, ..] => Err(TlvError::Length(*other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_one_two_and_three_octets_go_both_ways() {
        for length in [0, 1, 127, 128, 255, 256, 4_000] {
            let value = vec![0x5A; length];
            for tag in [0x80, 0x62, 0x7F10] {
                let octets = object(tag, &value);
                let (read, rest) = split_first(&octets).unwrap();
                assert_eq!((read.tag, read.value, rest), (tag, &value[..], &[][..]));
            }
        }
        assert_eq!(object(0x80, &[0; 128])[..3], [0x80, 0x81, 0x80]);
        assert_eq!(object(0x80, &[0; 256])[..4], [0x80, 0x82, 0x01, 0x00]);
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error_and_ends_the_list() {
        let octets = [0x80, 1, 0xAA, 0x81, 5, 1, 2];
        let read: Vec<_> = all(&octets).collect();
        let overrun = TlvError::Overrun { length: 5, octets: 2 };
        assert_eq!(
            read,
            [
                Ok(Tlv {
                    tag: 0x80,
                    value: &[0xAA]
                }),
                Err(overrun)
            ]
        );
        assert_eq!(find(&octets, 0x80), Ok(&[0xAA][..]));
        assert_eq!(find(&octets, 0x83), Err(overrun));
    }

    #[test]
    fn broken_tags_and_lengths_are_named() {
        assert_eq!(split_first(&[]), Err(TlvError::Short));
        assert_eq!(split_first(&[0x80]), Err(TlvError::Short));
        assert_eq!(split_first(&[0x7F]), Err(TlvError::Short));
        assert_eq!(split_first(&[0x80, 0x81]), Err(TlvError::Short));
        assert_eq!(
            split_first(&[0x80, 0x84, 0, 0, 0, 1]),
            Err(TlvError::Length(0x84))
        );
        assert_eq!(find(&[0xFF, 0xFF], 0x80), Err(TlvError::Missing(0x80)));
    }
}
