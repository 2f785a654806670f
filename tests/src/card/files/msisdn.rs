//! Codec: `EF_MSISDN` (TS 31.102 4.2.26, coded as `EF_ADN`, 4.4.2.3), and numbers as it and `EF_SMSP` have them.

use crate::bcd;
use crate::card::contents::Read;

/// Octets behind the alpha identifier: length, number with its type, capability and extension.
const FIXED: usize = 14;
/// Octets of a number with its type, at most.
const NUMBER_MAX: usize = 11;
/// Type of number, international, and numbering plan E.164, with the bit that is always set.
const INTERNATIONAL: u8 = 0x91;
/// Type unknown, plan E.164.
const UNKNOWN: u8 = 0x81;

/// A record; with `+` when the number is international.
#[must_use]
pub fn decode(record: &[u8]) -> Read<String> {
    super::read(record, |record| {
        let (_, fixed) = split_alpha(record, FIXED)?;
        let (number, _) = fixed.split_at_checked(1 + NUMBER_MAX).unwrap_or((fixed, &[]));
        decode_number(number)
    })
}

/// A record with an alpha identifier of so many octets, in which nothing is written.
#[must_use]
pub fn encode(number: &str, alpha: usize) -> Vec<u8> {
    let record = [vec![0xFF; alpha], encode_number(number)].concat();
    super::padded(record, alpha + FIXED)
}

/// Splits the alpha identifier, of any octets, from the fixed part behind it.
pub(super) fn split_alpha(record: &[u8], fixed: usize) -> Result<(&[u8], &[u8]), String> {
    let alpha = record.len().checked_sub(fixed);
    let parts = alpha.and_then(|alpha| record.split_at_checked(alpha));
    parts.ok_or_else(|| {
        format!(
            "a record has at least {fixed} octets, and this one has {}",
            record.len()
        )
    })
}

/// A length, the type of the number and its digits; `None` when no number is written.
pub(super) fn decode_number(octets: &[u8]) -> Result<Option<String>, String> {
    let (length, rest) = octets.split_first().ok_or("the number is missing")?;
    if matches!(length, 0x00 | 0xFF) {
        return Ok(None);
    }
    let length = usize::from(*length);
    let number = rest.get(..length).ok_or_else(|| {
        format!(
            "the length of the number says {length} octets, and there is room for {}",
            rest.len()
        )
    })?;
    let Some((kind, digits)) = number.split_first() else {
        return Ok(None);
    };
    let digits = bcd::decode_number(digits).map_err(|why| format!("in the number, {why}"))?;
    let plus = if kind >> 4 & 0b111 == 1 { "+" } else { "" };
    Ok((!digits.is_empty()).then(|| format!("{plus}{digits}")))
}

/// A length, the type of the number and its digits, at most twenty.
pub(super) fn encode_number(number: &str) -> Vec<u8> {
    let digits = bcd::encode(number);
    let digits = digits.get(..NUMBER_MAX - 1).unwrap_or(&digits);
    let kind = if number.starts_with('+') {
        INTERNATIONAL
    } else {
        UNKNOWN
    };
    let length = u8::try_from(1 + digits.len()).unwrap_or(u8::MAX);
    [&[length, kind], digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, why};
    use proptest::prelude::*;

    #[test]
    fn a_number_stands_behind_an_alpha_identifier_of_any_length() {
        let international = octets("06 91 51 55 00 00 F1 FF FF FF FF FF FF FF");
        assert_eq!(decode(&international), Read::Is("+155500001".to_owned()));
        assert_eq!(encode("+155500001", 0), international);
        let named = octets("4D 79 20 6E FF FF  03 81 11 F0 FF FF FF FF FF FF FF FF FF FF");
        assert_eq!(decode(&named), Read::Is("110".to_owned()));
        let unnamed = octets("FF FF FF FF FF FF  03 81 11 F0 FF FF FF FF FF FF FF FF FF FF");
        assert_eq!(encode("110", 6), unnamed);
    }

    #[test]
    fn a_record_with_a_name_only_is_empty() {
        let named = octets("4D 79 FF FF FF FF FF FF FF FF FF FF FF FF FF FF");
        assert_eq!(decode(&named), Read::Empty);
        let zero = octets("00 FF FF FF FF FF FF FF FF FF FF FF FF FF");
        assert_eq!(decode(&zero), Read::Empty);
    }

    #[test]
    fn a_length_without_room_and_a_short_record_are_malformed() {
        assert_eq!(
            why(decode(&octets("0C 91 51 55 00 00 F1 FF FF FF FF FF FF FF"))),
            "the length of the number says 12 octets, and there is room for 11"
        );
        assert_eq!(
            why(decode(&octets("03 91 51 E5 FF FF FF FF FF FF FF FF FF FF"))),
            "in the number, E is no digit"
        );
        assert_eq!(
            why(decode(&[1; 13])),
            "a record has at least 14 octets, and this one has 13"
        );
    }

    proptest! {
        #[test]
        fn a_number_goes_both_ways(number in "\\+?[0-9*#]{1,20}", alpha in 0_usize..100) {
            prop_assert_eq!(decode(&encode(&number, alpha)), Read::Is(number));
        }
    }
}
