//! Codec: the files of a UICC that a phone reads for the IMS: how they are written, and what they mean
//! (ETSI TS 102 221 13, TS 31.102 4, TS 31.103 4).
//!
//! Each module has a `decode` of what was read, and an `encode` of what is put onto a card.

use super::contents::Read;

pub mod administrative_data;
pub mod dir;
pub mod fcp;
pub mod iccid;
pub mod imsi;
pub mod msisdn;
pub mod pcscf;
pub mod service_table;
pub mod smsp;
pub mod text;

/// `MF`
pub const MF: u16 = 0x3F00;
/// `EF_DIR`, of the MF
pub const EF_DIR: u16 = 0x2F00;
/// `EF_ICCID`, of the MF
pub const EF_ICCID: u16 = 0x2FE2;
/// `DF_TELECOM`, of the MF
pub const DF_TELECOM: u16 = 0x7F10;
/// `EF_IMPI`, of an ISIM
pub const EF_IMPI: u16 = 0x6F02;
/// `EF_DOMAIN`, of an ISIM
pub const EF_DOMAIN: u16 = 0x6F03;
/// `EF_IMPU`, of an ISIM
pub const EF_IMPU: u16 = 0x6F04;
/// `EF_IST`, of an ISIM
pub const EF_IST: u16 = 0x6F07;
/// `EF_P-CSCF`, of an ISIM
pub const EF_PCSCF: u16 = 0x6F09;
/// `EF_IMSI`, of a USIM
pub const EF_IMSI: u16 = 0x6F07;
/// `EF_UST`, of a USIM
pub const EF_UST: u16 = 0x6F38;
/// `EF_MSISDN`, of a USIM
pub const EF_MSISDN: u16 = 0x6F40;
/// `EF_SMSP`, of an ISIM or a USIM
pub const EF_SMSP: u16 = 0x6F42;
/// `EF_AD`, of an ISIM or a USIM
pub const EF_AD: u16 = 0x6FAD;
/// `EF_PSISMSC`, of an ISIM, a USIM or `DF_TELECOM`
pub const EF_PSISMSC: u16 = 0x6FE5;

/// Octets of a file or a record with FF behind them, which is how the rest of it is written.
#[must_use]
pub fn padded(mut octets: Vec<u8>, length: usize) -> Vec<u8> {
    octets.resize(length.max(octets.len()), 0xFF);
    octets
}

/// What octets mean: nothing when all are FF or `decode` finds nothing in them.
fn read<T>(octets: &[u8], decode: impl FnOnce(&[u8]) -> Result<Option<T>, String>) -> Read<T> {
    if is_blank(octets) {
        return Read::Empty;
    }
    match decode(octets) {
        Ok(Some(value)) => Read::Is(value),
        Ok(None) => Read::Empty,
        Err(why) => Read::Malformed {
            why,
            octets: octets.to_vec(),
        },
    }
}

/// Nothing is written.
fn is_blank(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet == 0xFF)
}

/// Without the FF behind them.
fn without_padding(octets: &[u8]) -> &[u8] {
    let end = octets
        .iter()
        .rposition(|octet| *octet != 0xFF)
        .map_or(0, |last| last + 1);
    octets.get(..end).unwrap_or_default()
}

/// Octets as the specifications write them: hexadecimal, with spaces where they please.
#[cfg(test)]
pub(crate) fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let octet = |pair: &[u32]| u8::try_from(pair.iter().fold(0, |octet, digit| octet << 4 | digit));
    digits
        .chunks(2)
        .map(|pair| octet(pair).expect("two digits"))
        .collect()
}

/// Why octets mean nothing.
#[cfg(test)]
fn why<T: std::fmt::Debug>(read: Read<T>) -> String {
    match read {
        Read::Malformed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_is_empty_in_each_file() {
        for blank in [vec![], vec![0xFF; 3], vec![0xFF; 40]] {
            assert_eq!(text::decode(&blank), Read::Empty);
            assert_eq!(text::decode_uri(&blank), Read::Empty);
            assert_eq!(pcscf::decode(&blank), Read::Empty);
            assert_eq!(dir::decode(&blank), Read::Empty);
            assert_eq!(iccid::decode(&blank), Read::Empty);
            assert_eq!(imsi::decode(&blank), Read::Empty);
            assert_eq!(msisdn::decode(&blank), Read::Empty);
            assert_eq!(smsp::decode(&blank), Read::Empty);
            assert_eq!(service_table::decode(&blank), Read::Empty);
            assert_eq!(administrative_data::decode_isim(&blank), Read::Empty);
            assert_eq!(administrative_data::decode_usim(&blank), Read::Empty);
        }
    }

    #[test]
    fn padding_is_added_and_taken_away() {
        let padded = padded(vec![1, 0xFF, 2], 6);
        assert_eq!(padded, [1, 0xFF, 2, 0xFF, 0xFF, 0xFF]);
        assert_eq!(without_padding(&padded), [1, 0xFF, 2]);
        assert_eq!(super::padded(vec![1, 2], 1), [1, 2]);
    }
}
