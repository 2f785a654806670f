//! Codec: `EF_IMSI` (TS 31.102 4.2.2, TS 24.008 10.5.1.4).

use crate::bcd;
use crate::card::contents::Read;

/// Octets behind the length.
const OCTETS: usize = 8;
/// Bits of the first octet that say that this is an IMSI.
const TYPE_IMSI: u8 = 0b001;
/// The bit of the first octet that says that the digits are odd in number.
const ODD: u8 = 0b1000;

/// The file.
#[must_use]
pub fn decode(octets: &[u8]) -> Read<String> {
    super::read(octets, |octets| {
        let (length, rest) = octets.split_first().ok_or("it is empty")?;
        let length = usize::from(*length);
        let digits = rest.get(..length.min(OCTETS)).unwrap_or(rest);
        if length > OCTETS || digits.len() < length {
            return Err(format!(
                "its length says {length} octets, where {} follow and at most {OCTETS} are used",
                rest.len()
            ));
        }
        let Some((first, _)) = digits.split_first() else {
            return Ok(None);
        };
        if first & 0b111 != TYPE_IMSI {
            return Err(format!(
                "it begins with {first:02X}, and the low bits of an IMSI are 001"
            ));
        }
        imsi(bcd::decode(digits)?, first & ODD != 0).map(Some)
    })
}

/// The file.
#[must_use]
pub fn encode(imsi: &str) -> Vec<u8> {
    // The first digit lies behind the nibble of the parity, so that it is in the high bits of its octet.
    let mut digits = bcd::encode(&format!("0{imsi}"));
    if let Some(first) = digits.first_mut() {
        let parity = if imsi.len() % 2 == 1 { ODD } else { 0 };
        *first = *first & 0xF0 | parity | TYPE_IMSI;
    }
    let length = u8::try_from(digits.len()).unwrap_or(u8::MAX);
    digits.insert(0, length);
    super::padded(digits, 1 + OCTETS)
}

/// Behind the nibble of type and parity, which is a digit by chance.
fn imsi(nibbles: String, is_odd: bool) -> Result<String, String> {
    let digits = nibbles.get(1..).unwrap_or_default();
    if !(6..=15).contains(&digits.len()) {
        return Err(format!(
            "an IMSI has 6 to 15 digits, and this one has {}",
            digits.len()
        ));
    }
    if (digits.len() % 2 == 1) != is_odd {
        return Err(format!("its parity bit does not fit its {} digits", digits.len()));
    }
    Ok(digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, why};
    use proptest::prelude::*;

    #[test]
    fn odd_and_even_numbers_of_digits_have_their_parity() {
        for (hex, imsi) in [
            ("08 09 10 10 00 00 00 00 10", "001010000000001"),
            ("08 01 10 10 00 00 00 00 F1", "00101000000001"),
            ("04 09 10 10 32 FF FF FF FF", "0010123"),
        ] {
            assert_eq!(decode(&octets(hex)), Read::Is(imsi.to_owned()));
            assert_eq!(encode(imsi), octets(hex));
        }
    }

    #[test]
    fn what_contradicts_itself_is_malformed() {
        let told = |hex| why(decode(&octets(hex)));
        assert_eq!(
            told("0F 09 10 10 00 00 00 00 10"),
            "its length says 15 octets, where 8 follow and at most 8 are used"
        );
        assert_eq!(
            told("08 09 10 10"),
            "its length says 8 octets, where 3 follow and at most 8 are used"
        );
        assert_eq!(
            told("08 01 10 10 00 00 00 00 10"),
            "its parity bit does not fit its 15 digits"
        );
        assert_eq!(
            told("08 0A 10 10 00 00 00 00 10"),
            "it begins with 0A, and the low bits of an IMSI are 001"
        );
        assert_eq!(told("08 09 10 10 00 0C 00 00 10"), "C is no digit");
        assert_eq!(told("02 09 10"), "an IMSI has 6 to 15 digits, and this one has 3");
        assert_eq!(decode(&octets("00 FF FF FF FF FF FF FF FF")), Read::Empty);
    }

    proptest! {
        #[test]
        fn an_imsi_goes_both_ways(imsi in "[0-9]{6,15}") {
            prop_assert_eq!(decode(&encode(&imsi)), Read::Is(imsi));
        }
    }
}
