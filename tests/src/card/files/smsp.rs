//! Codec: `EF_SMSP`, parameters of short messages (TS 31.102 4.2.27).

use super::msisdn::{decode_number, encode_number, split_alpha};
use crate::card::contents::{Read, ShortMessageParameters};

/// Octets behind the alpha identifier.
const FIXED: usize = 28;
/// Octets of an address.
const ADDRESS: usize = 12;
/// Bits of the indicators, which are not set when this is there: TS-Service Centre Address,
const SERVICE_CENTRE: u8 = 0b0010;
/// TP-Protocol Identifier and TP-Data Coding Scheme.
const IDENTIFIER_AND_CODING: u8 = 0b1100;

/// A record.
#[must_use]
pub fn decode(record: &[u8]) -> Read<ShortMessageParameters> {
    super::read(record, |record| {
        let (_, fixed) = split_alpha(record, FIXED)?;
        let (indicators, addresses) = fixed.split_first().ok_or("it is empty")?;
        let address = addresses.get(ADDRESS..2 * ADDRESS).unwrap_or_default();
        let service_centre = match indicators & SERVICE_CENTRE {
            0 => decode_number(address)?,
            _ => None,
        };
        Ok(Some(ShortMessageParameters { service_centre }))
    })
}

/// A record with an alpha identifier of so many octets, in which nothing is written.
#[must_use]
pub fn encode(parameters: &ShortMessageParameters, alpha: usize) -> Vec<u8> {
    let (there, address) = match &parameters.service_centre {
        Some(number) => (SERVICE_CENTRE | IDENTIFIER_AND_CODING, encode_number(number)),
        None => (IDENTIFIER_AND_CODING, Vec::new()),
    };
    let destination = [0xFF; ADDRESS];
    let (identifier, coding, validity) = (0x00, 0x00, 0xFF);
    [
        &vec![0xFF; alpha][..],
        &[!there],
        &destination,
        &super::padded(address, ADDRESS),
        &[identifier, coding, validity],
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, why};

    fn service_centre(number: &str) -> ShortMessageParameters {
        ShortMessageParameters {
            service_centre: Some(number.to_owned()),
        }
    }

    #[test]
    fn a_service_centre_goes_both_ways() {
        let record = octets(
            "FF FF  F1  FF FF FF FF FF FF FF FF FF FF FF FF
             06 91 51 55 00 90 F9 FF FF FF FF FF  00 00 FF",
        );
        let parameters = service_centre("+155500099");
        assert_eq!(decode(&record), Read::Is(parameters.clone()));
        assert_eq!(encode(&parameters, 2), record);
        let none = ShortMessageParameters::default();
        assert_eq!(decode(&encode(&none, 2)), Read::Is(none));
    }

    #[test]
    fn an_indicator_says_whether_the_service_centre_is_there() {
        let mut record = encode(&service_centre("+155500099"), 0);
        record[0] |= SERVICE_CENTRE;
        assert_eq!(decode(&record), Read::Is(ShortMessageParameters::default()));
        // Said to be there, and all FF.
        let mut record = encode(&ShortMessageParameters::default(), 0);
        record[0] &= !SERVICE_CENTRE;
        assert_eq!(decode(&record), Read::Is(ShortMessageParameters::default()));
    }

    #[test]
    fn a_length_without_room_and_a_short_record_are_malformed() {
        let mut record = encode(&service_centre("+155500099"), 0);
        record[1 + ADDRESS] = 20;
        assert_eq!(
            why(decode(&record)),
            "the length of the number says 20 octets, and there is room for 11"
        );
        assert_eq!(
            why(decode(&[0; 27])),
            "a record has at least 28 octets, and this one has 27"
        );
    }
}
