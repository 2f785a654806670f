//! Engine: what was agreed with a UE, and whether it says so too (RFC 3329 2.3.1; TS 33.203 7.2; TS 24.229 5.2.2.2).
//!
//! The first REGISTER and its 401 travel in clear: somebody between may have changed them so that weaker algorithms are
//! used. The UE repeats both sides' words inside the association, and any difference ends the registration.

use ims_common::ipsec::Suite;
use ims_common::sip::{HeaderName, Message, SecurityMechanism};

use super::offer::{Choice, MECHANISMS_MAX, Offer, VALUES_MAX, number, token};

/// The numbers that the P-CSCF brings into an agreement: SPIs of the associations that end at its ports.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct OwnNumbers {
    /// SPI of the association that ends at our client port.
    pub spi_pc: u32,
    /// SPI of the association that ends at our server port.
    pub spi_ps: u32,
    /// Our protected client port.
    pub port_pc: u16,
    /// Our protected server port.
    pub port_ps: u16,
}

/// An offer, what was chosen of it, and what was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agreement {
    offer: Offer,
    choice: Choice,
    own: OwnNumbers,
    security_server: String,
}

/// How a UE's words differ from what was said before. The name of the parameter is a metric label.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mismatch {
    /// There is no Security-Verify.
    VerifyMissing,
    /// There is no Security-Client.
    ClientMissing,
    /// Security-Verify is not what the P-CSCF sent: in this parameter.
    Verify(&'static str),
    /// Security-Client is not that of the challenged REGISTER: in this parameter.
    Client(&'static str),
}

impl Mismatch {
    /// Is the request incomplete, not contradictory?
    #[must_use]
    pub const fn is_missing(self) -> bool {
        matches!(self, Self::VerifyMissing | Self::ClientMissing)
    }

    /// The header, for the log.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::VerifyMissing | Self::Verify(_) => "Security-Verify",
            Self::ClientMissing | Self::Client(_) => "Security-Client",
        }
    }

    /// The parameter that differs, `mechanisms` for a number of mechanisms, `all` where the header is absent.
    #[must_use]
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::VerifyMissing | Self::ClientMissing => "all",
            Self::Verify(parameter) | Self::Client(parameter) => parameter,
        }
    }
}

impl Agreement {
    /// What the 401 is going to say about `choice`, which is one of `offer`.
    #[must_use]
    pub fn new(offer: Offer, choice: Choice, own: OwnNumbers) -> Self {
        debug_assert!(
            offer.mechanisms().contains(&choice),
            "chosen is only what was offered"
        );
        Self {
            offer,
            choice,
            own,
            security_server: security_server(&choice, &own),
        }
    }

    /// The value of Security-Server.
    #[must_use]
    pub fn security_server(&self) -> &str {
        &self.security_server
    }

    /// What both sides use.
    #[must_use]
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// Our numbers.
    #[must_use]
    pub fn own(&self) -> OwnNumbers {
        self.own
    }

    /// TS 33.203 7.2: does the REGISTER that answers the challenge repeat Security-Server and Security-Client?
    ///
    /// # Errors
    /// The first parameter that differs.
    pub fn verify(&self, register: &Message) -> Result<(), Mismatch> {
        if register.header(HeaderName::SecurityVerify).is_none() {
            return Err(Mismatch::VerifyMissing);
        }
        if register.header(HeaderName::SecurityClient).is_none() {
            return Err(Mismatch::ClientMissing);
        }
        self.verify_values(
            register.values(HeaderName::SecurityVerify),
            register.values(HeaderName::SecurityClient),
        )
    }

    /// The same with the comma-separated values of both headers. Order, case and white space do not matter, absent
    /// parameters mean their defaults, mechanisms of media are left out (TS 24.229 5.2.2.1, 7.2A.7).
    ///
    /// # Errors
    /// The first parameter that differs.
    pub fn verify_values<'a>(
        &self,
        verify: impl Iterator<Item = &'a [u8]>,
        client: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Mismatch> {
        let sent = terms(std::iter::once(self.security_server.as_bytes()));
        let mut verify = terms(verify);
        // One mechanism was sent: its preference says nothing, and some leave it out.
        for (repeated, sent) in verify.iter_mut().zip(&sent) {
            repeated.q = repeated.q.or(sent.q);
        }
        compare(sent, verify).map_err(Mismatch::Verify)?;
        compare(terms(self.offer.written()), terms(client)).map_err(Mismatch::Client)
    }
}

/// One mechanism leaves a handset nothing to choose. All defaults are written out.
fn security_server(choice: &Choice, own: &OwnNumbers) -> String {
    let OwnNumbers {
        spi_pc,
        spi_ps,
        port_pc,
        port_ps,
    } = own;
    let (alg, ealg) = (choice.suite.integrity.token(), choice.suite.encryption.token());
    format!(
        "ipsec-3gpp;q=0.1;prot=esp;mod=trans;spi-c={spi_pc};spi-s={spi_ps};port-c={port_pc};port-s={port_ps};alg={alg};ealg={ealg}"
    )
}

/// The value of Security-Server in a 494: what the P-CSCF would take, the best first (RFC 3329 2.3.1).
#[must_use]
pub fn supported(policy: &[Suite]) -> String {
    let mechanism = |(nth, suite): (usize, &Suite)| {
        let (alg, ealg) = (suite.integrity.token(), suite.encryption.token());
        let q = 999_usize.saturating_sub(nth);
        format!("ipsec-3gpp;q=0.{q:03};prot=esp;mod=trans;alg={alg};ealg={ealg}")
    };
    let mechanisms: Vec<String> = policy.iter().enumerate().map(mechanism).collect();
    mechanisms.join(", ")
}

/// A mechanism as it is compared.
#[derive(Debug, Eq, PartialEq)]
struct Terms {
    mechanism: Vec<u8>,
    tokens: [Option<Vec<u8>>; TOKENS.len()],
    numbers: [Option<u32>; NUMBERS.len()],
    q: Option<u16>,
}

/// Parameters that are tokens, and what their absence means (TS 33.203 Annex H).
const TOKENS: [(&str, Option<&[u8]>); 4] = [
    ("alg", None),
    ("ealg", Some(b"null")),
    ("prot", Some(b"esp")),
    ("mod", Some(b"trans")),
];

const NUMBERS: [&str; 4] = ["spi-c", "spi-s", "port-c", "port-s"];

impl Terms {
    fn of(mechanism: &SecurityMechanism<'_>) -> Self {
        let written = |name| {
            mechanism
                .param(name)
                .map(|value| token(&value).to_ascii_lowercase())
        };
        Self {
            mechanism: mechanism.name().to_ascii_lowercase(),
            tokens: TOKENS.map(|(name, default)| written(name).or_else(|| default.map(<[u8]>::to_vec))),
            numbers: NUMBERS.map(|name| number(mechanism, name)),
            q: mechanism.q(),
        }
    }

    /// The first parameter in which they differ.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.mechanism != other.mechanism {
            return Some("mechanism");
        }
        let tokens = TOKENS.iter().map(|(name, _)| *name);
        let mut tokens = tokens.zip(self.tokens.iter().zip(&other.tokens));
        let mut numbers = NUMBERS.into_iter().zip(self.numbers.iter().zip(&other.numbers));
        tokens
            .find(|(_, (one, other))| one != other)
            .map(|(name, _)| name)
            .or_else(|| {
                let found = numbers.find(|(_, (one, other))| one != other);
                found.map(|(name, _)| name)
            })
            .or_else(|| (self.q != other.q).then_some("q"))
    }
}

fn terms<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Terms> {
    // As many as were looked at of the offer.
    values
        .take(VALUES_MAX)
        .filter(|value| !value.is_empty())
        .take(MECHANISMS_MAX)
        .filter_map(SecurityMechanism::parse)
        .filter(|mechanism| !mechanism.is_mediasec())
        .map(|mechanism| Terms::of(&mechanism))
        .collect()
}

/// Whether both lists hold the same, in any order; else a parameter that differs.
fn compare(mut said: Vec<Terms>, mut repeated: Vec<Terms>) -> Result<(), &'static str> {
    if said.len() != repeated.len() {
        return Err("mechanisms");
    }
    said.retain(|one| match repeated.iter().position(|other| one == other) {
        Some(at) => {
            repeated.swap_remove(at);
            false
        }
        None => true,
    });
    match (said.first(), repeated.first()) {
        (Some(one), Some(other)) => Err(one.difference(other).unwrap_or("mechanism")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
