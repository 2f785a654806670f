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
