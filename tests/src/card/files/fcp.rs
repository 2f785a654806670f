//! Codec: the FCP template, what a card says of a file that was selected (ETSI TS 102 221 11.1.1.3, 11.1.1.4).

use crate::card::tlv::{self, TlvError};

/// What a card says of a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fcp {
    /// How it is built; `None` when the card does not say it.
    pub structure: Option<Structure>,
    /// Octets of an EF.
    pub size: Option<usize>,
    /// Its identifier.
    pub file: Option<u16>,
    /// Its name, the AID of an ADF.
    pub name: Option<Vec<u8>>,
    /// The PINs of a directory.
    pub pins: Vec<PinStatus>,
    /// Other data objects, by their tags: nothing here depends on them.
    pub others: Vec<(u16, Vec<u8>)>,
}

/// How a file is built (ETSI TS 102 221 table 11.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Structure {
    /// A DF, an ADF or the MF.
    Directory,
    /// A row of octets.
    Transparent,
    /// Records.
    Linear {
        /// Octets of a record.
        length: u16,
        /// How many there are.
        count: u8,
    },
    /// Another, by its file descriptor byte.
    Other(u8),
}

/// A PIN in the PIN status template (ETSI TS 102 221 9.5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PinStatus {
    /// Key reference.
    pub reference: u8,
    /// It has to be said.
    pub enabled: bool,
    /// Usage qualifier: 08, it is to be used; 00, it is not.
    pub usage: Option<u8>,
}

const TEMPLATE: u16 = 0x62;
const SIZE: u16 = 0x80;
const DESCRIPTOR: u16 = 0x82;
const FILE: u16 = 0x83;
const NAME: u16 = 0x84;
const LIFE_CYCLE: u16 = 0x8A;
const PIN_STATUS: u16 = 0xC6;
const PS_DO: u16 = 0x90;
const USAGE: u16 = 0x95;
const KEY_REFERENCE: u16 = 0x83;

/// The file descriptor byte says also whether a file may be used on two logical channels.
const SHAREABLE: u8 = 0x40;
const DIRECTORY: u8 = 0x38;
const TRANSPARENT: u8 = 0x01;
const LINEAR: u8 = 0x02;
/// Data coding byte, of all files.
const DATA_CODING: u8 = 0x21;
/// Operational, activated.
const ACTIVATED: u8 = 0x05;

impl Fcp {
    /// Reads the answer to SELECT.
    ///
    /// # Errors
    /// When the data objects do not fit into each other.
    pub fn decode(octets: &[u8]) -> Result<Self, TlvError> {
        let mut fcp = Self::default();
        for object in tlv::all(tlv::find(octets, TEMPLATE)?) {
            let object = object?;
            match object.tag {
                SIZE => fcp.size = number(object.value),
                DESCRIPTOR => fcp.structure = Structure::decode(object.value),
                FILE => fcp.file = <[u8; 2]>::try_from(object.value).ok().map(u16::from_be_bytes),
                NAME => fcp.name = Some(object.value.to_vec()),
                PIN_STATUS => fcp.pins = decode_pins(object.value)?,
                LIFE_CYCLE => {}
                other => fcp.others.push((other, object.value.to_vec())),
            }
        }
        Ok(fcp)
    }

    /// The answer to SELECT of a file that is activated.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        if let Some(structure) = self.structure {
            tlv::append(&mut value, DESCRIPTOR, &structure.encode());
        }
        if let Some(file) = self.file {
            tlv::append(&mut value, FILE, &file.to_be_bytes());
        }
        if let Some(name) = &self.name {
            tlv::append(&mut value, NAME, name);
        }
        tlv::append(&mut value, LIFE_CYCLE, &[ACTIVATED]);
        if !self.pins.is_empty() {
            tlv::append(&mut value, PIN_STATUS, &encode_pins(&self.pins));
        }
        if let Some(size) = self.size {
            tlv::append(&mut value, SIZE, &number_octets(size));
        }
        for (tag, object) in &self.others {
            tlv::append(&mut value, *tag, object);
        }
        tlv::object(TEMPLATE, &value)
    }

    /// The PIN that a user says for this application: its own, or the universal one in its place
    /// (ETSI TS 102 221 9.4.1).
    #[must_use]
    pub fn pin(&self) -> Option<PinStatus> {
        let own = self.pins.iter().find(|pin| matches!(pin.reference, 0x01..=0x08));
        let universal = self.pins.iter().find(|pin| pin.reference == PinStatus::UNIVERSAL);
        let replaces = |pin: &&PinStatus| pin.enabled && pin.usage != Some(0);
        let enabled = own
            .filter(|pin| pin.enabled)
            .or_else(|| universal.filter(replaces));
        enabled.or(own).or(universal).copied()
    }
}

impl PinStatus {
    /// Key reference of the PIN of the first application, which is the PIN of a card with one PIN.
    pub const FIRST: u8 = 0x01;
    /// Key reference of the universal PIN.
    pub const UNIVERSAL: u8 = 0x11;
}

impl Structure {
    fn decode(octets: &[u8]) -> Option<Self> {
        let (descriptor, records) = octets.split_first()?;
        Some(match (descriptor & !SHAREABLE, records) {
            (DIRECTORY, _) => Self::Directory,
            (TRANSPARENT, _) => Self::Transparent,
            (LINEAR, [_, high, low, count]) => Self::Linear {
                length: u16::from_be_bytes([*high, *low]),
                count: *count,
            },
            _ => Self::Other(*descriptor),
        })
    }

    fn encode(self) -> Vec<u8> {
        match self {
            Self::Directory => vec![SHAREABLE | DIRECTORY, DATA_CODING],
            Self::Transparent => vec![SHAREABLE | TRANSPARENT, DATA_CODING],
            Self::Linear { length, count } => {
                let [high, low] = length.to_be_bytes();
                vec![SHAREABLE | LINEAR, DATA_CODING, high, low, count]
            }
            Self::Other(descriptor) => vec![descriptor, DATA_CODING],
        }
    }
}

/// A number of any octets; `None` when it is larger than any file.
fn number(octets: &[u8]) -> Option<usize> {
    octets.iter().try_fold(0_usize, |number, octet| {
        Some(number.checked_mul(256)? | usize::from(*octet))
    })
}

/// Two octets, or more when the number needs them.
fn number_octets(number: usize) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let leading = octets.iter().take_while(|octet| **octet == 0).count();
    let from = leading.min(octets.len() - 2);
    octets.into_iter().skip(from).collect()
}

/// The high bit of PS_DO is of the first key reference; a usage qualifier stands before its key reference.
fn decode_pins(octets: &[u8]) -> Result<Vec<PinStatus>, TlvError> {
    let (mut enabled, mut usage, mut pins) = (&[][..], None, Vec::new());
    for object in tlv::all(octets) {
        let object = object?;
        match (object.tag, object.value) {
            (PS_DO, bits) => enabled = bits,
            (USAGE, [qualifier]) => usage = Some(*qualifier),
            (KEY_REFERENCE, [reference]) => {
                let bits = enabled.get(pins.len() / 8).copied().unwrap_or_default();
                pins.push(PinStatus {
                    reference: *reference,
                    enabled: bits << (pins.len() % 8) & 0x80 != 0,
                    usage: usage.take(),
                });
            }
            _ => {}
        }
    }
    Ok(pins)
}

fn encode_pins(pins: &[PinStatus]) -> Vec<u8> {
    let bit = |(place, pin): (usize, &PinStatus)| if pin.enabled { 0x80 >> place } else { 0 };
    let octet = |pins: &[PinStatus]| pins.iter().enumerate().map(bit).sum();
    let enabled: Vec<u8> = pins.chunks(8).map(octet).collect();
    let mut value = tlv::object(PS_DO, &enabled);
    for pin in pins {
        if let Some(usage) = pin.usage {
            tlv::append(&mut value, USAGE, &[usage]);
        }
        tlv::append(&mut value, KEY_REFERENCE, &[pin.reference]);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::octets;
    use proptest::prelude::*;

    #[test]
    fn a_record_file_says_how_long_its_records_are_and_how_many() {
        let answer =
            octets("62 17  82 05 42 21 00 6E 05  83 02 6F 04  8A 01 05  8B 03 2F 06 02  80 02 02 26");
        let fcp = Fcp {
            structure: Some(Structure::Linear {
                length: 110,
                count: 5,
            }),
            size: Some(550),
            file: Some(0x6F04),
            others: vec![(0x8B, vec![0x2F, 0x06, 0x02])],
            ..Fcp::default()
        };
        assert_eq!(Fcp::decode(&answer), Ok(fcp));
    }

    #[test]
    fn an_application_says_its_whole_name_and_which_pins_are_enabled() {
        let answer = octets(
            "62 27  82 02 78 21  84 10 A0 00 00 00 87 10 04 FF 49 FF 05 89 00 00 01 00  8A 01 05
             C6 0C  90 01 60  83 01 01  83 01 81  83 01 0A",
        );
        // PS_DO 60: the first key reference is disabled, the second and the third are enabled.
        let pin = |reference, enabled| PinStatus {
            reference,
            enabled,
            usage: None,
        };
        let fcp = Fcp::decode(&answer).unwrap();
        assert_eq!(fcp.structure, Some(Structure::Directory));
        assert_eq!(
            fcp.name,
            Some(octets("A0 00 00 00 87 10 04 FF 49 FF 05 89 00 00 01 00"))
        );
        assert_eq!(fcp.pins, [pin(0x01, false), pin(0x81, true), pin(0x0A, true)]);
        assert_eq!(fcp.pin(), Some(pin(0x01, false)));
    }

    /// ETSI TS 102 221 9.4.1: the table of the application's PIN and the universal PIN.
    #[test]
    fn the_universal_pin_is_said_when_it_replaces_the_one_of_the_application() {
        let own = |enabled| PinStatus {
            reference: 0x02,
            enabled,
            usage: None,
        };
        let universal = |enabled, usage| PinStatus {
            reference: PinStatus::UNIVERSAL,
            enabled,
            usage: Some(usage),
        };
        let pin = |pins: &[PinStatus]| {
            let pins = pins.to_vec();
            let fcp = Fcp {
                pins,
                ..Fcp::default()
            };
            fcp.pin().map(|pin| (pin.reference, pin.enabled))
        };
        assert_eq!(pin(&[own(true), universal(true, 8)]), Some((0x02, true)));
        assert_eq!(pin(&[own(true), universal(false, 0)]), Some((0x02, true)));
        assert_eq!(pin(&[own(false), universal(true, 8)]), Some((0x11, true)));
        assert_eq!(pin(&[own(false), universal(true, 0)]), Some((0x02, false)));
        assert_eq!(pin(&[own(false), universal(false, 0)]), Some((0x02, false)));
        assert_eq!(pin(&[universal(true, 8)]), Some((0x11, true)));
        assert_eq!(pin(&[]), None);
    }

    #[test]
    fn what_is_broken_or_missing_is_said() {
        assert_eq!(Fcp::decode(&[]), Err(TlvError::Missing(0x62)));
        let overrun = TlvError::Overrun { length: 5, octets: 4 };
        assert_eq!(Fcp::decode(&octets("62 05 82 02 41 21")), Err(overrun));
        assert_eq!(Fcp::decode(&octets("62 00")), Ok(Fcp::default()));
        let odd = octets("62 10 82 00 83 01 6F 80 09 01 00 00 00 00 00 00 00 00");
        assert_eq!(Fcp::decode(&odd), Ok(Fcp::default()));
    }

    fn structure() -> impl Strategy<Value = Structure> {
        prop_oneof![
            Just(Structure::Directory),
            Just(Structure::Transparent),
            (any::<u16>(), any::<u8>()).prop_map(|(length, count)| Structure::Linear { length, count }),
            Just(Structure::Other(0x79)),
        ]
    }

    fn pin() -> impl Strategy<Value = PinStatus> {
        (any::<u8>(), any::<bool>(), any::<Option<u8>>()).prop_map(|(reference, enabled, usage)| PinStatus {
            reference,
            enabled,
            usage,
        })
    }

    proptest! {
        #[test]
        fn a_template_goes_both_ways(
            structure in proptest::option::of(structure()),
            size in proptest::option::of(0_usize..100_000),
            file in any::<Option<u16>>(),
            name in proptest::option::of(proptest::collection::vec(any::<u8>(), 5..=16)),
            pins in proptest::collection::vec(pin(), 0..20),
            security in proptest::collection::vec(any::<u8>(), 0..10),
        ) {
            let others = vec![(0x8C, security)];
            let fcp = Fcp { structure, size, file, name, pins, others };
            prop_assert_eq!(Fcp::decode(&fcp.encode()), Ok(fcp));
        }
    }
}
