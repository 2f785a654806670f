//! Codec: security associations between a UE and its P-CSCF, as values for the kernel (TS 33.203 7.1, RFC 4303).
//!
//! A node asks with [`XfrmOutput`] and is told with [`XfrmInput`]; `shell::xfrm` speaks netlink for it, the testkit's
//! pretend kernel does the same in virtual time. Nothing here opens a socket.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub mod keys;

use crate::aka::Secret;

/// An integrity algorithm, `alg` of a security mechanism (TS 33.203 Annex H).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Integrity {
    /// HMAC-MD5 with 96 bits of ICV; left the specification with Rel-11, phones still offer it.
    HmacMd5_96,
    /// HMAC-SHA-1 with 96 bits of ICV.
    HmacSha1_96,
    /// AES-GMAC with 128 bits of ICV; with null encryption only.
    AesGmac,
    /// None of its own: AES-GCM protects integrity too.
    Null,
}

impl Integrity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HmacMd5_96, Self::HmacSha1_96, Self::AesGmac, Self::Null];

    /// What an `alg` parameter means, in any case of letters.
    #[must_use]
    pub fn of_token(token: &[u8]) -> Option<Self> {
        let named = |it: &Self| token.eq_ignore_ascii_case(it.token().as_bytes());
        Self::ALL.into_iter().find(named)
    }

    /// The token of the `alg` parameter.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::HmacMd5_96 => "hmac-md5-96",
            Self::HmacSha1_96 => "hmac-sha-1-96",
            Self::AesGmac => "aes-gmac",
            Self::Null => "null",
        }
    }
}

/// An encryption algorithm, `ealg` of a security mechanism (TS 33.203 Annex H).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Encryption {
    /// No confidentiality.
    Null,
    /// AES-CBC with a 128-bit key.
    AesCbc,
    /// Three-key triple DES; left the specification with Rel-11, phones still offer it.
    DesEde3Cbc,
    /// AES-GCM with 128 bits of ICV; with null integrity only.
    AesGcm,
}

impl Encryption {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Null, Self::AesCbc, Self::DesEde3Cbc, Self::AesGcm];

    /// What an `ealg` parameter means, in any case of letters.
    #[must_use]
    pub fn of_token(token: &[u8]) -> Option<Self> {
        let named = |it: &Self| token.eq_ignore_ascii_case(it.token().as_bytes());
        Self::ALL.into_iter().find(named)
    }

    /// The token of the `ealg` parameter.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::AesCbc => "aes-cbc",
            Self::DesEde3Cbc => "des-ede3-cbc",
            Self::AesGcm => "aes-gcm",
        }
    }
}

/// The two algorithms that all four security associations of a set use.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Suite {
    /// `alg`.
    pub integrity: Integrity,
    /// `ealg`.
    pub encryption: Encryption,
}

impl Suite {
    /// Every pair that may stand in one mechanism.
    pub const ALL: [Self; 8] = [
        Self::of(Integrity::HmacSha1_96, Encryption::AesCbc),
        Self::of(Integrity::HmacSha1_96, Encryption::DesEde3Cbc),
        Self::of(Integrity::HmacSha1_96, Encryption::Null),
        Self::of(Integrity::HmacMd5_96, Encryption::AesCbc),
        Self::of(Integrity::HmacMd5_96, Encryption::DesEde3Cbc),
        Self::of(Integrity::HmacMd5_96, Encryption::Null),
        Self::of(Integrity::Null, Encryption::AesGcm),
        Self::of(Integrity::AesGmac, Encryption::Null),
    ];

    const fn of(integrity: Integrity, encryption: Encryption) -> Self {
        Self {
            integrity,
            encryption,
        }
    }

    /// The pair, if it may stand in one mechanism (TS 33.203 Annex H): AES-GCM goes with null integrity only and null
    /// integrity with it only, AES-GMAC goes with null encryption only.
    #[must_use]
    pub const fn new(integrity: Integrity, encryption: Encryption) -> Option<Self> {
        match (integrity, encryption) {
            (Integrity::HmacMd5_96 | Integrity::HmacSha1_96, Encryption::AesGcm)
            | (Integrity::AesGmac, Encryption::AesCbc | Encryption::DesEde3Cbc | Encryption::AesGcm)
            | (Integrity::Null, Encryption::Null | Encryption::AesCbc | Encryption::DesEde3Cbc) => None,
            (integrity, encryption) => Some(Self::of(integrity, encryption)),
        }
    }
}

/// `alg/ealg`, as configuration files, logs and metrics write it.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.integrity.token(), self.encryption.token())
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let suite = text.split_once('/').and_then(|(alg, ealg)| {
            Self::new(
                Integrity::of_token(alg.trim().as_bytes())?,
                Encryption::of_token(ealg.trim().as_bytes())?,
            )
        });
        suite.ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
            format!(
                "`{text}` is no pair of algorithms; expected one of {}",
                known.join(", ")
            )
        })
    }
}

/// The keys of one set, as ESP uses them (TS 33.203 Annex I). Wiped when dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EspKeys {
    /// IK_ESP; with AES-GMAC followed by its salt; empty with AES-GCM.
    pub integrity: Secret<Vec<u8>>,
    /// CK_ESP; with AES-GCM followed by its salt; empty with null encryption.
    pub encryption: Secret<Vec<u8>>,
}

/// Number of a set, unique in one node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SaSetId(pub u64);

/// One security association: a state of the kernel, whose selector is exactly `source` to `destination`, of any upper
/// protocol (TS 33.203 7.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SaState {
    /// Chosen by the receiver.
    pub spi: u32,
    /// Where its packets come from.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
}

/// Four security associations that live and die together (TS 33.203 7.1, table in the order of its rows).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SaSet {
    /// Its number.
    pub id: SaSetId,
    /// What it is protected by.
    pub suite: Suite,
    /// With which keys.
    pub keys: Arc<EspKeys>,
    /// The UE's client port to our server port, and back; our client port to the UE's server port, and back.
    pub states: [SaState; 4],
}

/// What a node asks of the kernel. Every request has one answer.
#[derive(Clone, Debug)]
pub enum XfrmOutput {
    /// Add all four states, or none. Answer: [`XfrmInput::Installed`] or [`XfrmInput::InstallFailed`].
    Install {
        /// What to add.
        set: Arc<SaSet>,
        /// The kernel removes the states by itself after so long (`time-hard`): what a crash leaves vanishes.
        lifetime: Duration,
    },
    /// Let an installed set live on. Answer: [`XfrmInput::Extended`] or, where a state is gone, [`XfrmInput::Gone`].
    Extend {
        /// The set as it was installed.
        set: Arc<SaSet>,
        /// How long from now.
        lifetime: Duration,
    },
    /// Delete all four states. A state that is gone already is no error. Answer: [`XfrmInput::Removed`].
    Remove {
        /// Which.
        id: SaSetId,
    },
}

/// What the kernel says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum XfrmInput {
    /// All four states are there: packets pass.
    Installed {
        /// Of which set.
        id: SaSetId,
    },
    /// The set cannot be had, and nothing of it is left.
    InstallFailed {
        /// Of which set.
        id: SaSetId,
        /// Why.
        failure: XfrmFailure,
    },
    /// The lifetime is as asked.
    Extended {
        /// Of which set.
        id: SaSetId,
    },
    /// The states are deleted.
    Removed {
        /// Of which set.
        id: SaSetId,
    },
    /// A state of a set vanished without our asking (its `time-hard`, an operator, another program): the rest of the
    /// set is deleted too.
    Gone {
        /// Of which set.
        id: SaSetId,
        /// Why.
        cause: GoneCause,
    },
}

/// Why the kernel did not take a set.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum XfrmFailure {
    /// A state with one of our SPIs and this destination is there already (EEXIST): try other SPIs.
    Exists,
    /// CAP_NET_ADMIN is missing (EPERM).
    NotPermitted,
    /// The kernel lacks ESP or an algorithm (EPROTONOSUPPORT, ENOSYS, ENOENT).
    Unsupported,
    /// No memory, or a limit of the kernel (ENOMEM, ENOBUFS).
    KernelFull,
    /// Too many requests wait for the kernel already.
    Busy,
    /// This process has no IPsec.
    NoIpsec,
    /// Anything else.
    Other,
}

impl XfrmFailure {
    /// A metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::NotPermitted => "not_permitted",
            Self::Unsupported => "unsupported",
            Self::KernelFull => "kernel_full",
            Self::Busy => "busy",
            Self::NoIpsec => "no_ipsec",
            Self::Other => "other",
        }
    }
}

/// Why a state vanished.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum GoneCause {
    /// Its hard lifetime ended.
    Expired,
    /// Somebody deleted it.
    Deleted,
}

impl GoneCause {
    /// A metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Deleted => "deleted",
        }
    }
}

/// What protected ports need of the kernel before the first state: one policy per direction, port and family, so that
/// clear text to or from them is dropped, whoever sends it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProtectedPorts {
    /// Our protected addresses and ports.
    pub local: Vec<SocketAddr>,
    /// Marks our states and the templates of our policies among those of others.
    pub reqid: u32,
    /// Of our policies; lower is stronger.
    pub priority: u32,
    /// Sequence numbers that the replay check looks back (RFC 4303 3.4.3).
    pub replay_window: u32,
    /// Requests that may wait for the kernel at a time; more are [`XfrmFailure::Busy`].
    pub requests_max: usize,
    /// Algorithms that the kernel must have for this configuration.
    pub suites: Vec<Suite>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_pairs_of_algorithms_may_stand_in_one_mechanism_and_no_others() {
        let mut found: Vec<Suite> = Integrity::ALL
            .into_iter()
            .flat_map(|alg| Encryption::ALL.map(|ealg| (alg, ealg)))
            .filter_map(|(alg, ealg)| Suite::new(alg, ealg))
            .collect();
        let mut all = Suite::ALL.to_vec();
        found.sort();
        all.sort();
        assert_eq!(found, all);
    }

    #[test]
    fn a_pair_is_written_and_read_as_alg_and_ealg() {
        for suite in Suite::ALL {
            assert_eq!(suite.to_string().parse(), Ok(suite));
        }
        assert_eq!(
            "HMAC-SHA-1-96 / AES-CBC".parse(),
            Ok(Suite {
                integrity: Integrity::HmacSha1_96,
                encryption: Encryption::AesCbc
            })
        );
        for text in [
            "",
            "hmac-sha-1-96",
            "null/null",
            "aes-gmac/aes-gcm",
            "hmac-sha-256/null",
        ] {
            let error = text.parse::<Suite>().unwrap_err();
            assert!(
                error.contains("expected one of hmac-sha-1-96/aes-cbc, "),
                "{error}"
            );
        }
    }
}
