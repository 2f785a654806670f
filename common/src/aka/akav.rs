//! Engine: the AKA versions of digest: passwords, nonce, AUTS (RFC 3310, RFC 4169).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::Sha256;
use zeroize::Zeroize as _;

use super::digest::{DigestHash, DigestInput, DigestReject, Ha1};
use super::{AuthVector, Auts};

/// The key derivation text of RFC 4169 3.
const AKAV2_PASSWORD: &[u8] = b"http-digest-akav2-password";

/// Base64 as UEs write it: with padding, or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A version of digest AKA with its hash function.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AkaVersion {
    /// `AKAv1-MD5` (RFC 3310), the one of VoLTE.
    #[default]
    V1Md5,
    /// `AKAv2-MD5` (RFC 4169).
    V2Md5,
    /// `AKAv2-SHA-256` (TS 33.203 Annex X).
    V2Sha256,
}

impl AkaVersion {
    /// The algorithm token.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::V1Md5 => "AKAv1-MD5",
            Self::V2Md5 => "AKAv2-MD5",
            Self::V2Sha256 => "AKAv2-SHA-256",
        }
    }

    /// The hash function of the digest.
    #[must_use]
    pub fn hash(self) -> DigestHash {
        match self {
            Self::V1Md5 | Self::V2Md5 => DigestHash::Md5,
            Self::V2Sha256 => DigestHash::Sha256,
        }
    }

    /// H(A1) from the keys that AKA gave (RFC 3310 3.3, RFC 4169 3).
    ///
    /// In version 1 the password is RES as raw octets; in version 2 it is the base64 of
    /// PRF(RES || IK || CK, "http-digest-akav2-password").
    #[must_use]
    pub fn ha1(self, username: &[u8], realm: &[u8], keys: &AkaKeys<'_>) -> Ha1 {
        match self {
            Self::V1Md5 => Ha1::new(self.hash(), username, realm, keys.res),
            Self::V2Md5 | Self::V2Sha256 => {
                let mut password = self.derived_password(keys);
                let ha1 = Ha1::new(self.hash(), username, realm, password.as_bytes());
                password.zeroize();
                ha1
            }
        }
    }

    fn derived_password(self, keys: &AkaKeys<'_>) -> String {
        let mut key = [keys.res, keys.ik, keys.ck].concat();
        let password = match self {
            Self::V1Md5 | Self::V2Md5 => STANDARD.encode(prf::<Hmac<Md5>>(&key)),
            Self::V2Sha256 => STANDARD.encode(prf::<Hmac<Sha256>>(&key)),
        };
        key.zeroize();
        password
    }
}

fn prf<M: Mac + KeyInit>(key: &[u8]) -> Vec<u8> {
    match <M as KeyInit>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(AKAV2_PASSWORD).finalize().into_bytes().to_vec(),
        Err(_) => unreachable!("HMAC takes a key of any length"),
    }
}

/// RES (or XRES), CK and IK, borrowed.
#[derive(Clone, Copy)]
pub struct AkaKeys<'a> {
    /// RES at the UE, XRES at the network.
    pub res: &'a [u8],
    /// Confidentiality key.
    pub ck: &'a [u8; 16],
    /// Integrity key.
    pub ik: &'a [u8; 16],
}

impl AuthVector {
    /// The nonce of the challenge: base64 of RAND and AUTN (RFC 3310 3.2).
    #[must_use]
    pub fn nonce(&self) -> String {
        STANDARD.encode(self.authenticate())
    }

    /// The keys as the digest needs them.
    #[must_use]
    pub fn keys(&self) -> AkaKeys<'_> {
        AkaKeys {
            res: self.xres.expose(),
            ck: self.ck.expose(),
            ik: self.ik.expose(),
        }
    }

    /// CK in hex, for the `ck` parameter that only the P-CSCF may see (TS 24.229 7.2A.1).
    #[must_use]
    pub fn ck_hex(&self) -> String {
        super::hex::to_hex(self.ck.expose())
    }

    /// IK in hex, for the `ik` parameter that only the P-CSCF may see (TS 24.229 7.2A.1).
    #[must_use]
    pub fn ik_hex(&self) -> String {
        super::hex::to_hex(self.ik.expose())
    }
}

/// RAND and AUTN of a nonce, as the UE reads them; server data behind them is allowed (RFC 3310 3.2).
#[must_use]
pub fn decode_nonce(nonce: &[u8]) -> Option<([u8; 16], [u8; 16])> {
    let octets = LENIENT.decode(nonce).ok()?;
    let rand = octets.get(..16)?.try_into().ok()?;
    let autn = octets.get(16..32)?.try_into().ok()?;
    Some((rand, autn))
}

impl Auts {
    /// Reads the `auts` parameter: base64 of 14 octets (RFC 3310 3.4).
    #[must_use]
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        // 14 octets are 20 characters; anything much longer is not worth decoding.
        if text.len() > 24 {
            return None;
        }
        LENIENT.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The `auts` parameter.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

/// Checks the answer to an AKA challenge against the expected response (TS 24.229 5.4.1.2.2).
///
/// The caller has already compared username and nonce with those of the challenge. Gives H(A1), with
/// which the caller may print Authentication-Info.
///
/// # Errors
/// What is wrong with the credentials.
pub fn verify_aka(
    input: &DigestInput<'_>,
    vector: &AuthVector,
    version: AkaVersion,
) -> Result<Ha1, DigestReject> {
    input.check_algorithm(version.token())?;
    let ha1 = version.ha1(&input.username, &input.realm, &vector.keys());
    input.verify(&ha1).map(|()| ha1)
}

#[cfg(test)]
mod tests;
