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
