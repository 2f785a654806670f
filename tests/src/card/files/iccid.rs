//! Codec: `EF_ICCID`, the number of a card (ETSI TS 102 221 13.2).

use crate::bcd;
use crate::card::contents::Read;

/// Octets of the file.
const OCTETS: usize = 10;

/// The file.
#[must_use]
pub fn decode(octets: &[u8]) -> Read<String> {
    super::read(octets, |octets| {
        if octets.len() > OCTETS {
            return Err(format!(
                "it has {} octets, and no card's number has more than {OCTETS}",
                octets.len()
            ));
        }
        let digits = bcd::decode(octets)?;
        Ok((!digits.is_empty()).then_some(digits))
    })
}

/// The file.
#[must_use]
pub fn encode(iccid: &str) -> Vec<u8> {
    super::padded(bcd::encode(iccid), OCTETS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, why};

    #[test]
    fn a_number_of_19_or_20_digits_goes_both_ways() {
        for (hex, iccid) in [
            ("98 88 21 10 00 00 00 00 10 F2", "8988120100000000012"),
            ("98 88 21 10 00 00 00 00 10 32", "89881201000000000123"),
        ] {
            assert_eq!(decode(&octets(hex)), Read::Is(iccid.to_owned()));
            assert_eq!(encode(iccid), octets(hex));
        }
    }

    #[test]
    fn a_longer_file_or_a_letter_is_malformed() {
        assert_eq!(
            why(decode(&[0x98; 11])),
            "it has 11 octets, and no card's number has more than 10"
        );
        assert_eq!(why(decode(&octets("98 88 2E"))), "E is no digit");
    }
}
