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
    let (object, rest) = tlv::split_first(octets).map_err(|error| error.to_string())?;
    if object.tag != TEXT {
        return Err(format!(
            "it begins with {:02X}, where the tag 80 has to be",
            object.tag
        ));
    }
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
