//! Engine: what a UE offers in Security-Client, and what is chosen of it (RFC 3329 2.2, 2.3; TS 33.203 7.2, Annex H).
//!
//! Handsets write it in many dialects: white space, any order, several header lines, absent defaults, junk at the end.
//! What cannot be used is left out and counted; nothing is ever chosen that was not offered.

use ims_common::ipsec::{Encryption, Integrity, Suite};
use ims_common::sip::{HeaderName, Message, SecurityMechanism};

/// Mechanisms that are looked at; handsets send six.
pub const MECHANISMS_MAX: usize = 64;

/// Values of a header that are looked at, empty ones too: a header of commas costs no more.
pub(crate) const VALUES_MAX: usize = 1_024;

/// Below are reserved SPIs (RFC 4303 2.1).
pub const SPI_MIN: u32 = 256;

/// The Security-Client of one REGISTER.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    written: Vec<Box<[u8]>>,
    mechanisms: Vec<OfferedMechanism>,
    skipped: Skipped,
}

/// One usable ipsec-3gpp mechanism of a UE: its SPIs are of the associations that end at its ports.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct OfferedMechanism {
    /// Algorithms.
    pub suite: Suite,
    /// SPI of the association that ends at the UE's client port.
    pub spi_uc: u32,
    /// SPI of the association that ends at the UE's server port.
    pub spi_us: u32,
    /// The UE's protected client port.
    pub port_uc: u16,
    /// The UE's protected server port.
    pub port_us: u16,
}

/// The mechanism of an [`Offer`] that both sides use.
pub type Choice = OfferedMechanism;

/// Why a mechanism is not usable.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Skip {
    /// About media (TS 24.229 7.2A.7).
    Media,
    /// Another mechanism than ipsec-3gpp: `tls`, `digest` …
    OtherMechanism,
    /// `prot` is not `esp` (TS 33.203 6.2).
    Protocol,
    /// `mod` is not `trans`.
    Mode,
    /// `alg` is absent or unknown, `ealg` is unknown, or they do not go together (TS 33.203 Annex H).
    Algorithm,
    /// An SPI is absent, no number, reserved, or both are the same.
    Spi,
    /// A port is absent, no port, or both are the same.
    Port,
    /// More than [`MECHANISMS_MAX`].
    TooMany,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Media,
        Self::OtherMechanism,
        Self::Protocol,
        Self::Mode,
        Self::Algorithm,
        Self::Spi,
        Self::Port,
        Self::TooMany,
    ];

    /// A metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::OtherMechanism => "other_mechanism",
            Self::Protocol => "protocol",
            Self::Mode => "mode",
            Self::Algorithm => "algorithm",
            Self::Spi => "spi",
            Self::Port => "port",
            Self::TooMany => "too_many",
        }
    }
}

/// How many mechanisms were left out, by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Skipped([u16; Skip::ALL.len()]);

impl Skipped {
    fn add(&mut self, skip: Skip) {
        if let Some(count) = self.0.get_mut(skip as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Each reason that there was, with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Skip, u16)> + '_ {
        Skip::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

impl Offer {
    /// The Security-Client of a REGISTER, all lines of it; `None` when there is none.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        message.header(HeaderName::SecurityClient)?;
        Some(Self::of_values(message.values(HeaderName::SecurityClient)))
    }

    /// The offer in these comma-separated values, in the order of the UE.
    pub fn of_values<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut offer = Self {
            written: Vec::new(),
            mechanisms: Vec::new(),
            skipped: Skipped::default(),
        };
        let mut listed: Vec<(u16, OfferedMechanism)> = Vec::new();
        for value in values.take(VALUES_MAX).filter(|value| !value.is_empty()) {
            if offer.written.len() == MECHANISMS_MAX {
                offer.skipped.add(Skip::TooMany);
                continue;
            }
            offer.written.push(value.into());
            match SecurityMechanism::parse(value)
                .ok_or(Skip::OtherMechanism)
                .and_then(|mechanism| usable(&mechanism).map(|it| (preference(&mechanism), it)))
            {
                Ok(found) => listed.push(found),
                Err(skip) => offer.skipped.add(skip),
            }
        }
        // RFC 3329 2.2: the higher q is preferred. Without, the order is the preference: the sort is stable.
        listed.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        offer.mechanisms = listed.into_iter().map(|(_, it)| it).collect();
        offer
    }

    /// The usable mechanisms, the one that the UE prefers first.
    #[must_use]
    pub fn mechanisms(&self) -> &[OfferedMechanism] {
        &self.mechanisms
    }

    /// What was left out.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Every mechanism as the UE wrote it, up to [`MECHANISMS_MAX`].
    pub(crate) fn written(&self) -> impl Iterator<Item = &[u8]> {
        self.written.iter().map(AsRef::as_ref)
    }

    /// TS 33.203 7.2: the first of our pairs that the UE offers too.
    #[must_use]
    pub fn select(&self, policy: &[Suite]) -> Option<Choice> {
        policy
            .iter()
            .find_map(|suite| self.mechanisms.iter().find(|it| it.suite == *suite))
            .copied()
    }

    /// The pairs that the UE offers, each once, for the log.
    #[must_use]
    pub fn suites(&self) -> Vec<Suite> {
        let mut suites = Vec::new();
        for mechanism in &self.mechanisms {
            if !suites.contains(&mechanism.suite) {
                suites.push(mechanism.suite);
            }
        }
        suites
    }
}

/// In thousandths; without q as if it were the highest.
fn preference(mechanism: &SecurityMechanism<'_>) -> u16 {
    mechanism.q().unwrap_or(1_000)
}

/// TS 33.203 Annex H, with its defaults; `alg`, SPIs and ports have none.
fn usable(mechanism: &SecurityMechanism<'_>) -> Result<OfferedMechanism, Skip> {
    if mechanism.is_mediasec() {
        return Err(Skip::Media);
    }
    if !mechanism.is_ipsec_3gpp() {
        return Err(Skip::OtherMechanism);
    }
    if !is(&mechanism.prot(), "esp") {
        return Err(Skip::Protocol);
    }
    if !is(&mechanism.mode(), "trans") {
        return Err(Skip::Mode);
    }
    let suite = suite(mechanism).ok_or(Skip::Algorithm)?;
    let spi = |name| {
        number(mechanism, name)
            .filter(|spi| *spi >= SPI_MIN)
            .ok_or(Skip::Spi)
    };
    let (spi_uc, spi_us) = (spi("spi-c")?, spi("spi-s")?);
    let port = |name| {
        number(mechanism, name)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .ok_or(Skip::Port)
    };
    let (port_uc, port_us) = (port("port-c")?, port("port-s")?);
    // TS 33.203 7.1: both associations end at one address, both ports are of one host.
    if spi_uc == spi_us {
        return Err(Skip::Spi);
    }
    if port_uc == port_us {
        return Err(Skip::Port);
    }
    Ok(OfferedMechanism {
        suite,
        spi_uc,
        spi_us,
        port_uc,
        port_us,
    })
}

fn suite(mechanism: &SecurityMechanism<'_>) -> Option<Suite> {
    let integrity = Integrity::of_token(token(&mechanism.alg()?))?;
    let encryption = Encryption::of_token(token(&mechanism.ealg()))?;
    Suite::new(integrity, encryption)
}

fn is(value: &[u8], wanted: &str) -> bool {
    token(value).eq_ignore_ascii_case(wanted.as_bytes())
}

/// The token that a value begins with: a stray `>` or quote behind the last parameter is no part of it.
pub(crate) fn token(value: &[u8]) -> &[u8] {
    let of_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    let start = value.iter().position(of_a_token).unwrap_or(value.len());
    let value = value.get(start..).unwrap_or_default();
    let end = value.iter().position(|byte| !of_a_token(byte));
    value.get(..end.unwrap_or(value.len())).unwrap_or_default()
}

/// A number of 32 bits in decimal, with or without leading zeros.
pub(crate) fn number(mechanism: &SecurityMechanism<'_>, name: &str) -> Option<u32> {
    let value = mechanism.param(name)?;
    let digits = token(&value);
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests;
