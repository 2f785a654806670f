//! Codec: texts in a data object 80: `EF_IMPI`, `EF_DOMAIN`, `EF_IMPU`, `EF_PSISMSC` (TS 31.103 4.2.2 to 4.2.4, TS 31.102).

use crate::card::contents::Read;
use crate::card::tlv;

const TEXT: u16 = 0x80;

/// `EF_IMPI` or `EF_DOMAIN`.
#[must_use]
pub fn decode(octets: &[u8]) -> Read<String> {
    super::read(octets, |octets| {
        let value = value(octets)?;
        text(value)
    })
}

/// A record of `EF_IMPU` or `EF_PSISMSC`: a URI.
#[must_use]
pub fn decode_uri(record: &[u8]) -> Read<String> {
    super::read(record, |record| {
        let uri = text(value(record)?)?;
        uri.map(with_scheme).transpose()
    })
}

/// The data object, without what fills the file or record.
#[must_use]
pub fn encode(text: &str) -> Vec<u8> {
    tlv::object(TEXT, text.as_bytes())
}

/// The value of the data object 80 that a file or a record is; its length must be that of what is written.
pub(super) fn value(octets: &[u8]) -> Result<&[u8], String> {
    if let Some(first) = octets.first().filter(|first| u16::from(**first) != TEXT) {
        return Err(format!("it begins with {first:02X}, where the tag 80 has to be"));
    }
    let (object, rest) = tlv::split_first(octets).map_err(|error| error.to_string())?;
    let (length, written) = (object.value.len(), super::without_padding(object.value).len());
    if written < length {
        return Err(format!(
            "its length says {length} octets, and only {written} are written before the FF that fill it"
        ));
    }
    if !rest.iter().all(|octet| matches!(octet, 0x00 | 0xFF)) {
        return Err(format!(
            "its length says {length} octets, and something is written behind them"
        ));
    }
    Ok(object.value)
}

/// Names of the IMS are visible ASCII (RFC 3261 25.1, RFC 4282 2.1).
pub(super) fn text(octets: &[u8]) -> Result<Option<String>, String> {
    let text = std::str::from_utf8(octets)
        .map_err(|error| format!("octet {} of the text is no UTF-8", error.valid_up_to() + 1))?;
    if let Some((at, wrong)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        return Err(format!("octet {} of the text is {}", at + 1, describe(wrong)));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn describe(wrong: char) -> String {
    let code = u32::from(wrong);
    match wrong {
        ' ' => "a space".to_owned(),
        _ if wrong.is_control() => format!("the control character U+{code:04X}"),
        _ => {
            format!("U+{code:04X}, which is not ASCII: a name with such letters is written in its xn-- form")
        }
    }
}

fn with_scheme(uri: String) -> Result<String, String> {
    const SCHEMES: [&str; 3] = ["sip", "sips", "tel"];
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) => Ok(uri),
        _ => Err("it is no URI that begins with sip:, sips: or tel:".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, padded, why};
    use proptest::prelude::*;

    const DOMAIN: &str = "ims.mnc001.mcc001.3gppnetwork.org";

    /// A file with this as the value of its data object.
    fn file(value: &[u8]) -> Vec<u8> {
        padded(tlv::object(TEXT, value), 80)
    }

    #[test]
    fn a_name_is_read_with_what_fills_its_file() {
        let written = octets("80 0B 69 6D 73 2E 65 78 61 6D 70 6C 65 FF FF FF");
        assert_eq!(decode(&written), Read::Is("ims.example".to_owned()));
        assert_eq!(padded(encode("ims.example"), 16), written);
        let zeros = octets("80 04 61 2E 62 63 00 00");
        assert_eq!(decode(&zeros), Read::Is("a.bc".to_owned()));
    }

    #[test]
    fn a_name_over_127_octets_has_a_longer_length() {
        let name = format!("{}@{DOMAIN}", "0".repeat(120));
        let written = encode(&name);
        assert_eq!(written[..3], [0x80, 0x81, 154]);
        assert_eq!(decode(&written), Read::Is(name.clone()));
        // The mistake of some programs that write cards: the length as if it were one octet.
        let mut raw = written.clone();
        raw.remove(1);
        assert_eq!(
            why(decode(&raw)),
            "its length begins with 9A; one over 127 is written as 81 and an octet, or as 82 and two"
        );
    }

    #[test]
    fn a_wrong_length_is_told_by_what_is_there() {
        let [mut short, mut into_padding, mut over] = [(); 3].map(|()| file(DOMAIN.as_bytes()));
        short[1] = 11;
        assert_eq!(
            why(decode(&short)),
            "its length says 11 octets, and something is written behind them"
        );
        into_padding[1] = 40;
        assert_eq!(
            why(decode(&into_padding)),
            "its length says 40 octets, and only 33 are written before the FF that fill it"
        );
        over[1] = 100;
        assert_eq!(
            why(decode(&over)),
            "its length says 100 octets, and only 78 follow"
        );
        assert_eq!(
            why(decode(&[0x80])),
            "it ends in the tag or the length of a data object"
        );
    }

    #[test]
    fn a_file_without_the_tag_is_malformed() {
        assert_eq!(
            why(decode(&padded(DOMAIN.into(), 80))),
            "it begins with 69, where the tag 80 has to be"
        );
        assert_eq!(
            why(decode(&[0; 40])),
            "it begins with 00, where the tag 80 has to be"
        );
        assert_eq!(decode(&file(b"")), Read::Empty);
    }

    #[test]
    fn what_no_name_has_is_named() {
        let told = |value: &[u8]| why(decode(&file(value)));
        assert_eq!(
            told("ims.ex\u{e4}mple".as_bytes()),
            "octet 7 of the text is U+00E4, which is not ASCII: a name with such letters is written in its xn-- form"
        );
        assert_eq!(
            told(b"ims.example\0"),
            "octet 12 of the text is the control character U+0000"
        );
        assert_eq!(told(b"ims example"), "octet 4 of the text is a space");
        assert_eq!(told(b"ims.\xE4.example"), "octet 5 of the text is no UTF-8");
    }

    #[test]
    fn a_public_identity_is_a_uri() {
        for uri in ["sip:alice@ims.example", "SIPS:a@b", "tel:+15550001"] {
            assert_eq!(decode_uri(&file(uri.as_bytes())), Read::Is(uri.to_owned()));
        }
        for other in ["alice@ims.example", "mailto:a@b", "sip"] {
            assert_eq!(
                why(decode_uri(&file(other.as_bytes()))),
                "it is no URI that begins with sip:, sips: or tel:"
            );
        }
        assert_eq!(decode_uri(&file(b"")), Read::Empty);
    }

    proptest! {
        #[test]
        fn a_name_goes_both_ways(name in "[!-~]{1,300}", fill in 0_usize..300) {
            prop_assert_eq!(decode(&padded(encode(&name), fill)), Read::Is(name));
        }
    }
}
