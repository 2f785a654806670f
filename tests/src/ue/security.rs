//! Testkit: what a phone says about security agreements (RFC 3329, TS 33.203 Annex H), in the words of its family.

use std::net::SocketAddr;

use ims_common::ipsec::{Encryption, Integrity, Suite};

use super::UeConfig;
use super::register::split_list;

/// How the family of a phone offers mechanisms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dialect {
    /// One mechanism, with the places `{alg}`, `{ealg}`, `{spi_c}`, `{spi_s}`, `{port_c}`, `{port_s}`.
    pub mechanism: &'static str,
    /// What stands between two.
    pub separator: &'static str,
    /// What stands behind the last.
    pub after: &'static str,
    /// The algorithms, in the order of the offer.
    pub suites: &'static [Suite],
    /// How its SPIs look.
    pub spis: Spis,
    /// The protected server port, always the same (TS 33.203 7.1).
    pub port_us: u16,
    /// The protected client ports, used in turn.
    pub ports_uc: &'static [u16],
    /// It offers mechanisms even where the test knows no IPsec.
    pub always: bool,
}

/// How a family chooses SPIs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spis {
    /// Two that follow each other, from this number on.
    Consecutive(u32),
    /// Two of this range, at random.
    Random(u32, u32),
}

/// What a phone with IPsec is like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UeSecurity {
    /// How it repeats Security-Server.
    pub verify: Verify,
    /// What it does wrong.
    pub misdeed: Misdeed,
    /// An initial REGISTER goes inside a security association that is left from before.
    pub initial_inside: bool,
    /// Added to all its protected ports.
    pub port_offset: u16,
    /// Nobody accepts connections at its protected server port.
    pub no_tcp: bool,
}

/// How Security-Server comes back in Security-Verify.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verify {
    /// Letter by letter.
    #[default]
    AsSent,
    /// With its parameters in another order, other spaces and other capitals, as some phones print what they parsed.
    Reordered,
}

/// What a phone does wrong with security associations.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Misdeed {
    /// Nothing.
    #[default]
    None,
    /// Security-Verify names other algorithms than Security-Server did.
    WrongVerify,
    /// No Security-Verify in the answer to the challenge.
    NoVerify,
    /// Another Security-Client in the answer than in the challenged REGISTER.
    ChangedClient,
    /// No Security-Client in the answer.
    NoClient,
    /// The answer has the private identity of somebody else.
    OtherImpi,
    /// IK_ESP is wrong by one bit.
    WrongKey,
    /// A MESSAGE before the answer to the challenge.
    MessageOnTemporarySet,
    /// The answer goes to the protected port in clear.
    InClear,
    /// The answer goes to the unprotected port.
    AnswerUnprotected,
    /// The security associations are there and nothing is sent over them.
    NeverAnswers,
}

/// What is new in one offer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) spi_uc: u32,
    pub(super) spi_us: u32,
    pub(super) port_uc: u16,
    pub(super) port_us: u16,
}

/// What a mechanism of Security-Server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Chosen {
    pub(super) suite: Suite,
    pub(super) spi_pc: u32,
    pub(super) spi_ps: u32,
    pub(super) port_pc: u16,
    pub(super) port_ps: u16,
}

/// A suite from its two algorithms.
#[must_use]
pub const fn suite(integrity: Integrity, encryption: Encryption) -> Suite {
    Suite {
        integrity,
        encryption,
    }
}

impl UeConfig {
    /// The protected ports of a phone with IPsec; TCP listens on the first one only.
    #[must_use]
    pub fn protected_ports(&self) -> Vec<SocketAddr> {
        let Some(security) = &self.security else {
            return Vec::new();
        };
        let dialect = &self.shape.dialect;
        let ports = std::iter::once(dialect.port_us).chain(dialect.ports_uc.iter().copied());
        let at = |port| SocketAddr::new(self.local.ip(), port + security.port_offset);
        ports.map(at).collect()
    }

    /// Whether connections are accepted at the protected server port.
    #[must_use]
    pub fn accepts_streams(&self) -> bool {
        self.security.is_some_and(|security| !security.no_tcp)
    }

    /// The protected server port of a phone with IPsec.
    #[must_use]
    pub fn protected_server(&self) -> Option<SocketAddr> {
        self.protected_ports().first().copied()
    }
}

impl Dialect {
    /// The value of Security-Client.
    pub(super) fn client(&self, offer: &Offer) -> String {
        let one = |suite: &Suite| {
            self.mechanism
                .replace("{alg}", suite.integrity.token())
                .replace("{ealg}", suite.encryption.token())
                .replace("{spi_c}", &offer.spi_uc.to_string())
                .replace("{spi_s}", &offer.spi_us.to_string())
                .replace("{port_c}", &offer.port_uc.to_string())
                .replace("{port_s}", &offer.port_us.to_string())
        };
        let all: Vec<_> = self.suites.iter().map(one).collect();
        all.join(self.separator) + self.after
    }

    /// What a phone without IPsec offers, for those families that offer always.
    pub(super) fn unasked(&self) -> String {
        let (spi_uc, spi_us) = match self.spis {
            Spis::Consecutive(first) => (first, first + 1),
            Spis::Random(first, last) => (last - 1, first),
        };
        let offer = Offer {
            spi_uc,
            spi_us,
            port_uc: self.ports_uc.first().copied().unwrap_or_default(),
            port_us: self.port_us,
        };
        self.client(&offer)
    }
}

/// The most preferred mechanism of Security-Server that a phone offered (TS 24.229 5.1.1.5.1).
pub(super) fn choose(server: &str, offered: &[Suite]) -> Option<Chosen> {
    let readable = split_list(server).filter_map(|mechanism| {
        let chosen = read(mechanism)?;
        offered
            .contains(&chosen.suite)
            .then_some((preference(mechanism), chosen))
    });
    // The first of several equals.
    readable
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, chosen)| chosen)
}

/// `mechanism` as some phones print what they parsed.
pub(super) fn reordered(server: &str) -> String {
    let one = |mechanism: &str| {
        let mut parts: Vec<_> = mechanism.split(';').map(str::trim).collect();
        let name = parts.remove(0).to_ascii_uppercase();
        parts.reverse();
        format!("{name} ; {}", parts.join("; "))
    };
    let all: Vec<_> = split_list(server).map(one).collect();
    all.join(",")
}

/// Security-Verify of somebody in the middle who wants weaker algorithms.
pub(super) fn tampered(server: &str) -> String {
    ["aes-cbc", "des-ede3-cbc", "aes-gcm"]
        .iter()
        .find(|name| server.contains(**name))
        .map_or_else(
            || {
                server
                    .replace("hmac-sha-1-96", "hmac-md5-97")
                    .replace("hmac-md5-96", "hmac-sha-1-96")
            },
            |name| server.replace(name, "null"),
        )
}

fn read(mechanism: &str) -> Option<Chosen> {
    let is_ipsec = mechanism
        .split(';')
        .next()?
        .trim()
        .eq_ignore_ascii_case("ipsec-3gpp");
    let number = |name| param(mechanism, name)?.parse::<u32>().ok();
    let port = |name| param(mechanism, name)?.parse::<u16>().ok();
    let chosen = Chosen {
        suite: suite(
            integrity(&param(mechanism, "alg")?)?,
            encryption(&param(mechanism, "ealg").unwrap_or_else(|| "null".to_owned()))?,
        ),
        spi_pc: number("spi-c")?,
        spi_ps: number("spi-s")?,
        port_pc: port("port-c")?,
        port_ps: port("port-s")?,
    };
    is_ipsec.then_some(chosen)
}

/// In thousandths.
fn preference(mechanism: &str) -> u32 {
    let q = param(mechanism, "q").and_then(|q| q.parse::<f32>().ok());
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 1000"
    )]
    q.map_or(0, |q| (q.clamp(0.0, 1.0) * 1_000.0) as u32)
}

fn param(mechanism: &str, name: &str) -> Option<String> {
    mechanism.split(';').skip(1).find_map(|part| {
        let (found, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.to_ascii_lowercase())
    })
}

fn integrity(token: &str) -> Option<Integrity> {
    [
        Integrity::HmacMd5_96,
        Integrity::HmacSha1_96,
        Integrity::AesGmac,
        Integrity::Null,
    ]
    .into_iter()
    .find(|integrity| integrity.token() == token)
}

fn encryption(token: &str) -> Option<Encryption> {
    [
        Encryption::Null,
        Encryption::AesCbc,
        Encryption::DesEde3Cbc,
        Encryption::AesGcm,
    ]
    .into_iter()
    .find(|encryption| encryption.token() == token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1_AES: Suite = suite(Integrity::HmacSha1_96, Encryption::AesCbc);
    const MD5_NULL: Suite = suite(Integrity::HmacMd5_96, Encryption::Null);
    const SERVER: &str = "ipsec-3gpp;q=0.1;alg=hmac-md5-96;spi-c=1;spi-s=2;port-c=6100;port-s=6101,\
                          ipsec-3gpp; q=0.5; prot=esp; alg=hmac-sha-1-96; ealg=aes-cbc; spi-c=3; spi-s=4; port-c=7; port-s=8";

    #[test]
    fn a_phone_takes_what_it_offered_and_the_network_prefers() {
        let chosen = choose(SERVER, &[MD5_NULL, SHA1_AES]).unwrap();
        assert_eq!((chosen.suite, chosen.spi_ps, chosen.port_pc), (SHA1_AES, 4, 7));
        let chosen = choose(SERVER, &[MD5_NULL]).unwrap();
        assert_eq!(
            (chosen.suite, chosen.spi_pc),
            (MD5_NULL, 1),
            "absent ealg is null"
        );
        assert_eq!(choose("tls;q=0.9", &[MD5_NULL]), None);
    }

    #[test]
    fn what_is_printed_in_another_order_says_the_same_and_what_was_tampered_with_does_not() {
        let offered = [MD5_NULL, SHA1_AES];
        assert_ne!(reordered(SERVER), SERVER);
        assert_eq!(choose(&reordered(SERVER), &offered), choose(SERVER, &offered));
        assert_ne!(choose(&tampered(SERVER), &offered), choose(SERVER, &offered));
    }
}
