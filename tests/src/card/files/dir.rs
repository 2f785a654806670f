//! Codec: `EF_DIR`, the applications of a card (ETSI TS 102 221 13.1, ETSI TS 101 220 4).

use crate::card::contents::{Application, Read};
use crate::card::tlv;

const TEMPLATE: u16 = 0x61;
const AID: u16 = 0x4F;
const LABEL: u16 = 0x50;

/// A record.
#[must_use]
pub fn decode(record: &[u8]) -> Read<Application> {
    super::read(record, |record| {
        let template = tlv::find(record, TEMPLATE).map_err(|error| error.to_string())?;
        let aid = tlv::find(template, AID).map_err(|error| error.to_string())?;
        if !(5..=16).contains(&aid.len()) {
            return Err(format!(
                "an AID has 5 to 16 octets, and this one has {}",
                aid.len()
            ));
        }
        Ok(Some(Application {
            aid: aid.to_vec(),
            label: tlv::find(template, LABEL).ok().and_then(label),
        }))
    })
}

/// A record, without what fills it.
#[must_use]
pub fn encode(application: &Application) -> Vec<u8> {
    let mut template = tlv::object(AID, &application.aid);
    if let Some(label) = &application.label {
        tlv::append(&mut template, LABEL, label.as_bytes());
    }
    tlv::object(TEMPLATE, &template)
}

/// A label is for people: what cannot be shown is replaced, and nothing depends on it.
fn label(octets: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(super::without_padding(octets));
    let shown = text.replace(char::is_control, "\u{FFFD}");
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, padded, why};

    #[test]
    fn a_record_has_an_aid_and_mostly_a_label() {
        let written = octets(
            "61 1A  4F 10 A0 00 00 00 87 10 04 FF FF FF FF 89 03 02 00 00  50 06 49 53 49 4D 2D 31  FF FF",
        );
        let isim = Application {
            aid: octets("A0 00 00 00 87 10 04 FF FF FF FF 89 03 02 00 00"),
            label: Some("ISIM-1".to_owned()),
        };
        assert_eq!(decode(&written), Read::Is(isim.clone()));
        assert_eq!(padded(encode(&isim), written.len()), written);
        let unnamed = Application { label: None, ..isim };
        assert_eq!(decode(&encode(&unnamed)), Read::Is(unnamed));
    }

    #[test]
    fn a_label_that_no_terminal_should_show_is_shown_without_what_is_wrong_in_it() {
        let written = octets("61 11 4F 07 A0 00 00 00 87 10 02  50 06 55 1B 5B 80 FF FF");
        let label = decode(&written).is().and_then(|usim| usim.label.clone());
        assert_eq!(label.as_deref(), Some("U\u{FFFD}[\u{FFFD}"));
        let blank = octets("61 0F 4F 07 A0 00 00 00 87 10 02  50 04 FF FF FF FF");
        assert_eq!(decode(&blank).is().map(|usim| usim.label.clone()), Some(None));
    }

    #[test]
    fn a_record_without_a_good_aid_is_malformed() {
        assert_eq!(why(decode(&octets("61 02 50 00"))), "it has no data object 4F");
        assert_eq!(
            why(decode(&octets("61 04 4F 02 A0 00"))),
            "an AID has 5 to 16 octets, and this one has 2"
        );
        assert_eq!(
            why(decode(&octets("61 30 4F 07 A0 00 00 00 87 10 02"))),
            "its length says 48 octets, and only 9 follow"
        );
    }
}
