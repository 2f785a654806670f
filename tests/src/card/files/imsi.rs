//! Codec: `EF_IMSI` (TS 31.102 4.2.2, TS 24.008 10.5.1.4).

use super::bcd;
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
