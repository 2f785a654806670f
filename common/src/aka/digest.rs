//! Engine: digest access authentication: HA1, HA2, response, rspauth (RFC 2617 3.2, RFC 7616 3.4).

use std::borrow::Cow;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Secret;
use super::hex::to_hex;
use crate::sip::Credentials;

/// The hash function of a digest algorithm.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DigestHash {
    /// MD5: `MD5`, `AKAv1-MD5`, `AKAv2-MD5`.
    Md5,
    /// SHA-256: `SHA-256`, `AKAv2-SHA-256`.
    Sha256,
}

impl DigestHash {
    /// The algorithm token of plain SIP Digest (RFC 7616 3.3, RFC 8760).
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The hash of all parts with a colon between each two, in lower-case hex.
    fn of(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => to_hex(&feed(Md5::new(), parts).finalize()),
            Self::Sha256 => to_hex(&feed(Sha256::new(), parts).finalize()),
        }
    }
}

fn feed<D: md5::Digest>(mut hasher: D, parts: &[&[u8]]) -> D {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    hasher
}

/// H(username:realm:password) with the hash it was made with; a secret as good as the password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ha1 {
    hash: DigestHash,
    hex: Secret<String>,
}

impl Ha1 {
    /// Computes H(A1) of a password; for AKA the password is RES as raw octets (RFC 3310 3.3).
    #[must_use]
    pub fn new(hash: DigestHash, username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let hex = Secret::new(hash.of(&[username, realm, password]));
        Self { hash, hex }
    }

    /// Takes H(A1) as the HSS gives it, in hex (TS 29.229 6.3.41).
    ///
    /// `None` when the text is not hex of the hash's length.
    #[must_use]
    pub fn from_hex(hash: DigestHash, text: &[u8]) -> Option<Self> {
        let digits = match hash {
            DigestHash::Md5 => 32,
            DigestHash::Sha256 => 64,
        };
        if text.len() != digits || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let hex = Secret::new(std::str::from_utf8(text).ok()?.to_ascii_lowercase());
        Some(Self { hash, hex })
    }

    /// The hash function.
    #[must_use]
    pub fn hash(&self) -> DigestHash {
        self.hash
    }

    /// The hex text, for the wire to the S-CSCF only.
    #[must_use]
    pub fn expose_hex(&self) -> &str {
        self.hex.expose()
    }
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Qop {
    /// `auth`
    Auth,
    /// `auth-int`: the body is protected too.
    AuthInt,
}

/// Why credentials do not prove what they should.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DigestReject {
    /// The response parameter is absent or empty: in AKA the UE did not accept the challenge
    /// (TS 24.229 5.1.1.5.3).
    #[error("no response")]
    NoResponse,
    /// The response is not the expected one.
    #[error("wrong response")]
    WrongResponse,
    /// `algorithm` is not that of the challenge (RFC 7616 3.4).
    #[error("algorithm is not the challenged one")]
    AlgorithmMismatch,
    /// `qop` is neither `auth` nor `auth-int` (RFC 7616 3.4).
    #[error("unknown qop")]
    UnknownQop,
    /// `qop` without `nc` or `cnonce` (RFC 7616 3.4).
    #[error("qop without nc or cnonce")]
    MissingCnonce,
}

/// Everything that goes into a response, exactly as the UE sent it, and the response itself.
///
/// Parameters that were absent are empty, except `qop` and `algorithm`, whose absence changes the
/// formula or the default.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DigestInput<'a> {
    /// `username`, unquoted.
    pub username: Cow<'a, [u8]>,
    /// `realm`, unquoted.
    pub realm: Cow<'a, [u8]>,
    /// `nonce`, unquoted.
    pub nonce: Cow<'a, [u8]>,
    /// `uri`, unquoted.
    pub uri: Cow<'a, [u8]>,
    /// `qop`, when there.
    pub qop: Option<Cow<'a, [u8]>>,
    /// `nc`, eight hex digits.
    pub nc: Cow<'a, [u8]>,
    /// `cnonce`, unquoted.
    pub cnonce: Cow<'a, [u8]>,
    /// `algorithm`, when there.
    pub algorithm: Option<Cow<'a, [u8]>>,
    /// `response`, unquoted.
    pub response: Cow<'a, [u8]>,
    /// The method of the request.
    pub method: Cow<'a, [u8]>,
    /// The body of the request.
    pub body: Cow<'a, [u8]>,
}

impl<'a> DigestInput<'a> {
    /// The input that credentials are, in a request of this method and body.
    #[must_use]
    pub fn of(credentials: &Credentials<'a>, method: &'a [u8], body: &'a [u8]) -> Self {
        Self {
            method: method.into(),
            body: body.into(),
            ..Self::from(credentials)
        }
    }
}

impl<'a> From<&Credentials<'a>> for DigestInput<'a> {
    /// Everything but method and body, which credentials do not have.
    fn from(credentials: &Credentials<'a>) -> Self {
        Self {
            username: credentials.username().unwrap_or_default(),
            realm: credentials.realm().unwrap_or_default(),
            nonce: credentials.nonce().unwrap_or_default(),
            uri: credentials.uri().unwrap_or_default(),
            qop: credentials.qop(),
            nc: credentials.nc().unwrap_or_default(),
            cnonce: credentials.cnonce().unwrap_or_default(),
            algorithm: credentials.algorithm(),
            response: credentials.response().unwrap_or_default(),
            ..Self::default()
        }
    }
}

impl DigestInput<'_> {
    /// The quality of protection that the UE chose, or `None` for the form without qop.
    ///
    /// # Errors
    /// When qop is unknown or lacks its parameters.
    pub fn qop(&self) -> Result<Option<Qop>, DigestReject> {
        let Some(token) = &self.qop else { return Ok(None) };
        let qop = if token.eq_ignore_ascii_case(b"auth") {
            Qop::Auth
        } else if token.eq_ignore_ascii_case(b"auth-int") {
            Qop::AuthInt
        } else {
            return Err(DigestReject::UnknownQop);
        };
        if self.nc.is_empty() || self.cnonce.is_empty() {
            return Err(DigestReject::MissingCnonce);
        }
        Ok(Some(qop))
    }

    /// `nc` as a number.
    #[must_use]
    pub fn nonce_count(&self) -> Option<u32> {
        let text = std::str::from_utf8(&self.nc).ok()?;
        let is_count = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_count {
            u32::from_str_radix(text, 16).ok()
        } else {
            None
        }
    }

    /// The response that proves knowledge of `ha1` (RFC 7616 3.4.1; without qop RFC 2617 3.2.2.1).
    ///
    /// # Errors
    /// When qop is unknown or lacks its parameters.
    pub fn expected_response(&self, ha1: &Ha1) -> Result<String, DigestReject> {
        self.response_with(ha1, &self.method, &self.body)
    }

    /// The proof that the server too knows `ha1`: as the response, with an empty method and the body
    /// of the 200 (RFC 7616 3.5).
    ///
    /// # Errors
    /// When qop is unknown or lacks its parameters.
    pub fn rspauth(&self, ha1: &Ha1, response_body: &[u8]) -> Result<String, DigestReject> {
        self.response_with(ha1, b"", response_body)
    }

    /// The value of Authentication-Info, or `None` when the UE used no qop (RFC 7616 3.5).
    ///
    /// # Errors
    /// When qop is unknown or lacks its parameters.
    pub fn authentication_info(&self, ha1: &Ha1) -> Result<Option<String>, DigestReject> {
        let Some(qop) = self.qop()? else { return Ok(None) };
        let qop = match qop {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        };
        let rspauth = self.rspauth(ha1, b"")?;
        let cnonce = String::from_utf8_lossy(&self.cnonce)
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        let nc = String::from_utf8_lossy(&self.nc);
        Ok(Some(format!(
            "qop={qop},rspauth=\"{rspauth}\",cnonce=\"{cnonce}\",nc={nc}"
        )))
    }

    /// Compares the response with the expected one, in a time that does not depend on where they
    /// differ.
    ///
    /// # Errors
    /// What is wrong with the credentials.
    pub fn verify(&self, ha1: &Ha1) -> Result<(), DigestReject> {
        if self.response.is_empty() {
            return Err(DigestReject::NoResponse);
        }
        let expected = self.expected_response(ha1)?;
        let response = self.response.to_ascii_lowercase();
        if bool::from(expected.as_bytes().ct_eq(&response)) {
            Ok(())
        } else {
            Err(DigestReject::WrongResponse)
        }
    }

    /// Refuses credentials that name another algorithm than the challenge did.
    pub(super) fn check_algorithm(&self, challenged: &str) -> Result<(), DigestReject> {
        match &self.algorithm {
            Some(token) if !token.eq_ignore_ascii_case(challenged.as_bytes()) => {
                Err(DigestReject::AlgorithmMismatch)
            }
            _ => Ok(()),
        }
    }

    fn response_with(&self, ha1: &Ha1, method: &[u8], body: &[u8]) -> Result<String, DigestReject> {
        let hash = ha1.hash;
        let qop = self.qop()?;
        let ha2 = match qop {
            None | Some(Qop::Auth) => hash.of(&[method, &self.uri]),
            Some(Qop::AuthInt) => hash.of(&[method, &self.uri, hash.of(&[body]).as_bytes()]),
        };
        let ha1 = ha1.hex.expose().as_bytes();
        Ok(match &self.qop {
            None => hash.of(&[ha1, &self.nonce, ha2.as_bytes()]),
            Some(token) => hash.of(&[ha1, &self.nonce, &self.nc, &self.cnonce, token, ha2.as_bytes()]),
        })
    }
}

/// Checks SIP Digest credentials against the H(A1) of the HSS (TS 33.203 Annex N).
///
/// # Errors
/// What is wrong with the credentials.
pub fn verify_digest(input: &DigestInput<'_>, ha1: &Ha1) -> Result<(), DigestReject> {
    input.check_algorithm(ha1.hash.token())?;
    input.verify(ha1)
}

#[cfg(test)]
mod tests;
