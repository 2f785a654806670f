//! Codec: `EF_ICCID`, the number of a card (ETSI TS 102 221 13.2).

use super::bcd;
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
