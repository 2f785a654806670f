//! Codec: `EF_AD` (TS 31.102 4.2.18, TS 31.103 4.2.6).

use crate::card::contents::{AdministrativeData, Read};

/// Octets that are always there.
const OCTETS_MIN: usize = 3;

/// The file of an ISIM: it says nothing of the MNC, and what is behind its third octet is reserved.
#[must_use]
pub fn decode_isim(octets: &[u8]) -> Read<AdministrativeData> {
    super::read(octets, |octets| {
        let operation = operation(octets)?;
        Ok(Some(AdministrativeData {
            operation,
            mnc_digits: None,
        }))
    })
}

/// The file of a USIM.
#[must_use]
pub fn decode_usim(octets: &[u8]) -> Read<AdministrativeData> {
    super::read(octets, |octets| {
        let operation = operation(octets)?;
        let mnc_digits = match octets.get(OCTETS_MIN).map(|octet| octet & 0x0F) {
            None | Some(0x00 | 0x0F) => None,
            Some(digits @ (2 | 3)) => Some(digits),
            Some(other) => return Err(format!("the MNC is said to have {other} digits; it has 2 or 3")),
        };
        Ok(Some(AdministrativeData {
            operation,
            mnc_digits,
        }))
    })
}

/// The file.
#[must_use]
pub fn encode(data: &AdministrativeData) -> Vec<u8> {
    let mut octets = vec![data.operation, 0x00, 0x00];
    octets.extend(data.mnc_digits);
    octets
}

fn operation(octets: &[u8]) -> Result<u8, String> {
    match octets {
        [operation, _, _, ..] => Ok(*operation),
        _ => Err(format!(
            "it has at least {OCTETS_MIN} octets, and this one has {}",
            octets.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::why;

    fn data(operation: u8, mnc_digits: Option<u8>) -> AdministrativeData {
        AdministrativeData {
            operation,
            mnc_digits,
        }
    }

    #[test]
    fn a_usim_says_how_many_digits_the_mnc_has() {
        assert_eq!(decode_usim(&[0, 0, 0, 2]), Read::Is(data(0, Some(2))));
        assert_eq!(
            decode_usim(&[0x80, 0, 8, 0xF3, 0xFF]),
            Read::Is(data(0x80, Some(3)))
        );
        for data in [data(0x81, Some(3)), data(0, None)] {
            assert_eq!(decode_usim(&encode(&data)), Read::Is(data));
        }
    }

    #[test]
    fn an_isim_and_an_old_card_do_not_say_it() {
        assert_eq!(decode_isim(&[0, 0, 0, 2]), Read::Is(data(0, None)));
        assert_eq!(decode_usim(&[0, 0, 0]), Read::Is(data(0, None)));
        assert_eq!(decode_usim(&[0, 0, 0, 0xFF]), Read::Is(data(0, None)));
    }

    #[test]
    fn a_short_file_and_an_mnc_of_five_digits_are_malformed() {
        assert_eq!(
            why(decode_isim(&[0, 0])),
            "it has at least 3 octets, and this one has 2"
        );
        assert_eq!(
            why(decode_usim(&[0, 0, 0, 5])),
            "the MNC is said to have 5 digits; it has 2 or 3"
        );
    }
}
