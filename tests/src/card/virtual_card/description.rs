//! Testkit: what is on a virtual card, as people write it: a YAML file.

use ims_common::aka::hex::from_hex;
use serde::Deserialize;

use super::super::apdu::{StatusWord, instruction};
use super::super::session::PinCode;
use super::{CardProfile, Dir, Fault, Protocol};
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::Sqn;

/// What is on a virtual card. Without more than the IMSI it has an ISIM and a USIM with the names of TS 23.003 13, the
/// testkit's test keys, and no PIN. It has no `Debug`: K and the PIN are in it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardDescription {
    /// IMSI, in quotes.
    pub imsi: String,
    /// Digits of the MNC in the IMSI, 2 or 3; without it 2.
    pub mnc_digits: Option<u8>,
    /// `isim: false`: it has none.
    pub isim: Option<bool>,
    /// `usim: false`: it has none.
    pub usim: Option<bool>,
    /// `EF_IMPI`
    pub impi: Option<String>,
    /// `EF_DOMAIN`
    pub domain: Option<String>,
    /// Records of `EF_IMPU`
    pub impus: Option<Vec<String>>,
    /// Records of `EF_P-CSCF`: names or addresses.
    pub pcscfs: Option<Vec<String>>,
    /// Services in `EF_IST`, by their numbers.
    pub ist: Option<Vec<usize>>,
    /// `EF_MSISDN`, in quotes, with `+` when it is international.
    pub msisdn: Option<String>,
    /// Service centre in `EF_SMSP`, likewise.
    pub smsc: Option<String>,
    /// Service centre in `EF_PSISMSC`, a URI.
    pub psismsc: Option<String>,
    /// K, 32 hex digits in quotes.
    pub k: Option<String>,
    /// OPc, likewise.
    pub opc: Option<String>,
    /// The highest sequence number that it has accepted.
    pub sqn: Option<u64>,
    /// PIN that must be said, 4 to 8 digits in quotes.
    pub pin: Option<String>,
    /// Its tries, 0 (blocked) to 15; without it 3.
    pub tries: Option<u8>,
    /// `T0` or `T1`; without it T0, as the cards of operators.
    pub protocol: Option<Protocol>,
    /// Files as they are to be, octet by octet.
    #[serde(default)]
    pub files: Vec<FileDescription>,
    /// It is taken out at the first AUTHENTICATE.
    #[serde(default)]
    pub removed_at_authenticate: bool,
    /// It answers AUTHENTICATE with this status word, 4 hex digits in quotes.
    pub authenticate_status: Option<String>,
}

/// A file. With neither octets nor records it is not there.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDescription {
    /// Where it is: `Mf`, `Telecom`, `Usim` or `Isim`.
    dir: Dir,
    /// Its identifier, 4 hex digits in quotes.
    file: String,
    /// What is in it, in hex.
    octets: Option<String>,
    /// The same of a file of records.
    records: Option<Vec<String>>,
}

/// What in a description makes no card.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DescriptionError {
    /// It is no YAML, or has keys that are not known.
    #[error("{0}")]
    Yaml(String),
    /// A value is wrong. It is not said, for it may be a key.
    #[error("{key}: expected {expected}")]
    Value {
        /// Whose.
        key: &'static str,
        /// What should be there.
        expected: &'static str,
    },
}

impl std::str::FromStr for CardDescription {
    type Err = DescriptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Without the lines of the file: keys are in them.
        let plain = serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off };
        serde_saphyr::from_str(text).map_err(|error| DescriptionError::Yaml(error.render_with_options(plain)))
    }
}

impl CardDescription {
    /// The card that it describes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn profile(&self) -> Result<CardProfile, DescriptionError> {
        let is_imsi = (6..=15).contains(&self.imsi.len()) && is_digits(&self.imsi);
        ensure(is_imsi, "imsi", "6 to 15 digits, in quotes")?;
        let mut profile = CardProfile::new(&self.imsi);
        if let Some(digits) = self.mnc_digits {
            ensure(matches!(digits, 2 | 3), "mnc_digits", "2 or 3")?;
            profile = profile.mnc_digits(digits);
        }
        profile = self.names(profile)?;
        profile = self.secrets(profile)?;
        if let Some(protocol) = self.protocol {
            profile = profile.protocol(protocol);
        }
        for file in &self.files {
            profile = file.put(profile)?;
        }
        if self.removed_at_authenticate {
            profile = profile.fault(Fault::RemovedAtAuthenticate);
        }
        if let Some(status) = &self.authenticate_status {
            let status = StatusWord(identifier(status, "authenticate_status")?);
            profile = profile.fault(Fault::StatusAt(instruction::AUTHENTICATE, status));
        }
        Ok(profile)
    }

    fn names(&self, mut profile: CardProfile) -> Result<CardProfile, DescriptionError> {
        if let Some(impi) = &self.impi {
            profile = profile.impi(impi);
        }
        if let Some(domain) = &self.domain {
            profile = profile.domain(domain);
        }
        if let Some(impus) = &self.impus {
            profile = profile.impus(&texts(impus));
        }
        if let Some(pcscfs) = &self.pcscfs {
            profile = profile.pcscfs(&texts(pcscfs));
        }
        if let Some(services) = &self.ist {
            let are_services = services.iter().all(|service| (1..=255).contains(service));
            ensure(are_services, "ist", "numbers of services, from 1 on")?;
            profile = profile.ist(services);
        }
        if let Some(msisdn) = &self.msisdn {
            ensure(is_number(msisdn), "msisdn", NUMBER)?;
            profile = profile.msisdn(msisdn);
        }
        if let Some(smsc) = &self.smsc {
            ensure(is_number(smsc), "smsc", NUMBER)?;
            profile = profile.smsc(smsc);
        }
        if let Some(psismsc) = &self.psismsc {
            profile = profile.psismsc(psismsc);
        }
        // After its names, which would bring it back.
        if self.isim == Some(false) {
            profile = profile.without_isim();
        }
        if self.usim == Some(false) {
            profile = profile.without_usim();
        }
        Ok(profile)
    }

    fn secrets(&self, mut profile: CardProfile) -> Result<CardProfile, DescriptionError> {
        let k = self.k.as_deref().map_or(Ok(TEST_K), |k| key(k, "k"))?;
        let opc = self.opc.as_deref().map_or(Ok(TEST_OPC), |opc| key(opc, "opc"))?;
        profile = profile.keys(k, opc);
        if let Some(sqn) = self.sqn {
            ensure(sqn >> 48 == 0, "sqn", "a number of 48 bits")?;
            profile = profile.sqn(Sqn::new(sqn));
        }
        if let Some(pin) = &self.pin {
            ensure(pin.parse::<PinCode>().is_ok(), "pin", "4 to 8 digits, in quotes")?;
            let tries = self.tries.unwrap_or(3);
            ensure(tries <= 15, "tries", "0 to 15")?;
            profile = profile.pin(pin, tries);
        }
        Ok(profile)
    }
}

impl FileDescription {
    fn put(&self, profile: CardProfile) -> Result<CardProfile, DescriptionError> {
        let file = identifier(&self.file, "file")?;
        let octets = |text: &String| from_hex(text).ok_or_else(|| wrong("octets", "pairs of hex digits"));
        match (&self.octets, &self.records) {
            (None, None) => Ok(profile.remove_file(self.dir, file)),
            (Some(text), None) => Ok(profile.transparent(self.dir, file, &octets(text)?)),
            (None, Some(records)) => {
                let records: Result<_, _> = records.iter().map(octets).collect();
                Ok(profile.records(self.dir, file, records?))
            }
            (Some(_), Some(_)) => Err(wrong("files", "octets or records, not both")),
        }
    }
}

const NUMBER: &str = "a number of digits, perhaps with + before them, in quotes";

const fn wrong(key: &'static str, expected: &'static str) -> DescriptionError {
    DescriptionError::Value { key, expected }
}

fn ensure(is_right: bool, key: &'static str, expected: &'static str) -> Result<(), DescriptionError> {
    is_right.then_some(()).ok_or_else(|| wrong(key, expected))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_digit())
}

/// As many digits as a record has room for.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=20).contains(&digits.len()) && is_digits(digits)
}

fn key(text: &str, key: &'static str) -> Result<[u8; 16], DescriptionError> {
    let octets = from_hex(text).and_then(|octets| octets.try_into().ok());
    octets.ok_or_else(|| wrong(key, "32 hex digits, in quotes"))
}

fn identifier(text: &str, key: &'static str) -> Result<u16, DescriptionError> {
    let octets = from_hex(text).and_then(|octets| octets.try_into().ok());
    octets
        .map(u16::from_be_bytes)
        .ok_or_else(|| wrong(key, "4 hex digits, in quotes"))
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::super::VirtualCard;
    use super::*;
    use crate::card::contents::Read;
    use crate::card::session::Card;

    const LONG: &str = r#"
imsi: "001010000000042"
mnc_digits: 3
impi: alice@ims.example
domain: ims.example
impus: ["sip:alice@ims.example", "tel:+15550042"]
pcscfs: [192.0.2.5, pcscf.ims.example]
ist: [1, 8]
msisdn: "+15550042"
smsc: "+15550100"
psismsc: sip:smsc@ims.example
k: "00112233445566778899aabbccddeeff"
opc: "ffeeddccbbaa99887766554433221100"
sqn: 3236
pin: "4711"
tries: 2
protocol: T1
files:
  - {dir: Isim, file: "6FAD", octets: "000000"}
  - {dir: Usim, file: "6F42", records: ["ff", "ffff"]}
  - {dir: Mf, file: "2FE2"}
"#;

    fn card(text: &str) -> VirtualCard {
        let profile = text.parse().and_then(|card: CardDescription| card.profile());
        VirtualCard::new(profile.unwrap_or_else(|error| panic!("{error}")))
    }

    fn wrong_in(text: &str) -> String {
        let profile = text.parse().and_then(|card: CardDescription| card.profile());
        profile.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn all_that_is_described_is_on_the_card() {
        let card = card(LONG);
        assert_eq!((card.tries(), card.sqn()), (2, Sqn::new(3236)));
        let mut session = Card::open(card).unwrap();
        session.verify(&"4711".parse().unwrap(), false).unwrap();
        let contents = session.read().unwrap();
        assert_eq!(contents.iccid, Read::Absent);
        let (isim, usim) = (contents.isim.unwrap(), contents.usim.unwrap());
        assert_eq!(isim.impi, Read::Is("alice@ims.example".to_owned()));
        assert_eq!(isim.domain, Read::Is("ims.example".to_owned()));
        let impus: Vec<&String> = isim.impus.records().map(|(_, impu)| impu).collect();
        assert_eq!(impus, ["sip:alice@ims.example", "tel:+15550042"]);
        assert_eq!(isim.pcscfs.records().count(), 2);
        assert_eq!(isim.ist.is().unwrap().numbers().collect::<Vec<_>>(), [1, 8]);
        assert_eq!(usim.imsi, Read::Is("001010000000042".to_owned()));
        assert_eq!(usim.ad.is().unwrap().mnc_digits, Some(3));
        assert_eq!(usim.msisdns.records().next(), Some((1, &"+15550042".to_owned())));
        assert_eq!(isim.smsp.records().count(), 1);
        assert_eq!(usim.smsp.records().count(), 0, "overwritten with FF");
    }

    #[test]
    fn the_example_of_the_manual_is_a_card() {
        let manual = include_str!("../../../../common/src/manual/isim_cards.md");
        let examples = manual.split("```yaml\n").skip(1);
        let mut examples = examples.filter_map(|rest| rest.split("```").next());
        let example = examples.find(|text| text.starts_with("imsi:")).unwrap();
        assert_eq!(card(example).sqn(), Sqn::new(3236));
    }

    #[test]
    fn an_imsi_is_enough_and_an_application_can_be_left_out() {
        let contents = |text| Card::open(card(text)).unwrap().read().unwrap();
        let both = contents(r#"imsi: "001010000000001""#);
        assert!(both.isim.is_some() && both.usim.is_some());
        let usim = contents("imsi: \"001010000000001\"\nimpi: a@b\nisim: false");
        assert!(usim.isim.is_none() && usim.usim.is_some());
        let isim = contents("imsi: \"001010000000001\"\nusim: false");
        assert!(isim.isim.is_some() && isim.usim.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_by_its_key_and_without_its_value() {
        let with = |line: &str| wrong_in(&format!("imsi: \"001010000000001\"\n{line}"));
        assert_eq!(
            wrong_in("imsi: \"00101x\""),
            "imsi: expected 6 to 15 digits, in quotes"
        );
        assert_eq!(with("mnc_digits: 4"), "mnc_digits: expected 2 or 3");
        assert_eq!(with("k: \"465b5cE8\""), "k: expected 32 hex digits, in quotes");
        assert_eq!(with("pin: \"12\""), "pin: expected 4 to 8 digits, in quotes");
        assert!(with("msisdn: sip:alice").starts_with("msisdn: expected"));
        assert!(with("ist: [0]").starts_with("ist: expected"));
        assert!(with("sqn: 281474976710656").starts_with("sqn: expected"));
        assert!(with("authenticate_status: \"69\"").starts_with("authenticate_status: expected"));
        let both = "files: [{dir: Isim, file: \"6F02\", octets: \"\", records: []}]";
        assert_eq!(with(both), "files: expected octets or records, not both");
        assert!(with("files: [{dir: Isim, file: \"6F\"}]").starts_with("file: expected"));
        let unknown = with("ki: \"00112233445566778899aabbccddeeff\"");
        assert!(
            unknown.contains("ki") && !unknown.contains("0011223344"),
            "{unknown}"
        );
        let twice = with("k: [\"00112233445566778899aabbccddeeff\"]");
        assert!(!twice.is_empty() && !twice.contains("0011223344"), "{twice}");
    }
}
