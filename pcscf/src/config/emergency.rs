//! Codec: the configuration's `emergency` section, and what it becomes.

use std::collections::BTreeMap;
use std::fmt;

use ims_common::config::{ConfigError, sip_uri};
use ims_common::overload::Priorities;
use ims_common::sip::UriBuf;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::emergency::detection::{Detection, NUMBER_MAX, is_service_labels};

/// What becomes of emergency calls (TS 24.229 5.2.10).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmergencyConfig {
    /// Numbers that call for help, beside `urn:service:sos`.
    #[serde(default = "default_numbers")]
    pub numbers: Vec<EmergencyNumber>,
    /// What a UE with an ordinary registration gets.
    #[serde(default)]
    pub handling: EmergencyHandling,
    /// E-CSCFs, or answering points that speak SIP, in the order in which to try.
    #[serde(default)]
    pub ecscf: Vec<String>,
    /// What a UE without a registration gets.
    #[serde(default)]
    pub unregistered: UnregisteredEmergency,
}

/// What an emergency call of a UE with an ordinary registration becomes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmergencyHandling {
    /// 380 (Alternative Service): the UE makes an emergency registration, or calls in the circuit-switched network.
    #[default]
    AlternativeService,
    /// It goes to an E-CSCF.
    Route,
}

/// What an emergency call of a UE without a registration becomes (TS 23.167 7.4).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnregisteredEmergency {
    /// 403 (Forbidden).
    #[default]
    Refuse,
    /// It goes to an E-CSCF, without an identity.
    Accept,
}

/// A number that calls for help, `110`, with the service that it stands for, `110=police`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EmergencyNumber {
    digits: String,
    /// Below `urn:service:sos`; empty for `sos` itself.
    service: String,
}

impl EmergencyNumber {
    fn parse(text: &str) -> Result<Self, String> {
        let (digits, service) = text.split_once('=').unwrap_or((text, ""));
        let digit = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#');
        let is_number = !digits.is_empty() && digits.len() <= NUMBER_MAX && digits.chars().all(digit);
        if !is_number || !(service.is_empty() || is_service_labels(service)) {
            return Err(format!(
                "`{text}` is no emergency number; expected digits, as 112 or \"08\", or with a service, as 110=police"
            ));
        }
        Ok(Self {
            digits: digits.to_owned(),
            service: service.to_ascii_lowercase(),
        })
    }
}

/// What the section becomes.
#[derive(Clone, Debug)]
pub(crate) struct EmergencyPolicy {
    pub(crate) detection: Detection,
    pub(crate) handling: EmergencyHandling,
    pub(crate) ecscfs: Vec<UriBuf>,
    pub(crate) unregistered: UnregisteredEmergency,
}

impl EmergencyConfig {
    /// Calls to these numbers go before all that is new.
    pub(crate) fn priorities(&self) -> Priorities {
        Priorities::with_emergency_numbers(self.numbers.iter().map(|number| number.digits.as_str()))
    }

    pub(crate) fn policy(&self, home_realm: &str) -> Result<EmergencyPolicy, ConfigError> {
        if self.ecscf.is_empty() {
            let wanting = [
                (
                    self.handling == EmergencyHandling::Route,
                    "pcscf.emergency.handling",
                ),
                (
                    self.unregistered == UnregisteredEmergency::Accept,
                    "pcscf.emergency.unregistered",
                ),
            ];
            if let Some((_, key)) = wanting.iter().find(|(wants, _)| *wants) {
                let problem = "needs somewhere to go";
                return Err(ConfigError::invalid(
                    key,
                    problem,
                    "a SIP URI in pcscf.emergency.ecscf",
                ));
            }
        }
        let ecscfs: Result<Vec<UriBuf>, _> = self
            .ecscf
            .iter()
            .map(|uri| sip_uri("pcscf.emergency.ecscf", uri))
            .collect();
        let numbers: BTreeMap<String, String> = self
            .numbers
            .iter()
            .map(|number| (number.digits.clone(), number.service.clone()))
            .collect();
        Ok(EmergencyPolicy {
            detection: Detection {
                numbers,
                home_realm: home_realm.to_owned(),
            },
            handling: self.handling,
            ecscfs: ecscfs?,
            unregistered: self.unregistered,
        })
    }
}

impl Default for EmergencyConfig {
    fn default() -> Self {
        Self {
            numbers: default_numbers(),
            handling: EmergencyHandling::default(),
            ecscf: Vec::new(),
            unregistered: UnregisteredEmergency::default(),
        }
    }
}

/// TS 22.101 10.1.1: these are emergency numbers in every network.
fn default_numbers() -> Vec<EmergencyNumber> {
    ["112", "911"]
        .into_iter()
        .filter_map(|digits| EmergencyNumber::parse(digits).ok())
        .collect()
}

impl fmt::Display for EmergencyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)?;
        if self.service.is_empty() {
            return Ok(());
        }
        write!(f, "={}", self.service)
    }
}

/// As it is written: a plain number stands without quotes.
impl Serialize for EmergencyNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.digits.parse::<u64>() {
            Ok(number) if self.service.is_empty() && number.to_string() == self.digits => {
                serializer.serialize_u64(number)
            }
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for EmergencyNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EmergencyNumberVisitor)
    }
}

struct EmergencyNumberVisitor;

impl Visitor<'_> for EmergencyNumberVisitor {
    type Value = EmergencyNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an emergency number")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<EmergencyNumber, E> {
        EmergencyNumber::parse(&number.to_string()).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<EmergencyNumber, E> {
        let number = u64::try_from(number).map_err(|_| E::custom("an emergency number has digits only"))?;
        self.visit_u64(number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EmergencyNumber, E> {
        EmergencyNumber::parse(text).map_err(E::custom)
    }
}
