//! Testkit: what the Authorization header of a phone's REGISTER says (RFC 2617 3.2.2, RFC 3310, TS 24.229 5.1.1.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ims_common::aka::{Auts, Secret};
use md5::{Digest as _, Md5};

use crate::text::param_of;
use crate::ue::UeConfig;
use crate::ue::identity::{self, UeIdentity};

/// What the Authorization header is to say.
pub(super) enum Proof {
    /// Nothing yet: nonce and response are empty.
    Nothing,
    /// The answer to the last challenge, or that answer again with the next nonce count.
    Answer,
    /// The nonce with an empty response.
    MacFailure,
    /// The nonce with AUTS.
    Resync(Auts),
}

/// What a challenge asks a phone for.
pub(super) enum Asked {
    /// The password of a phone without a USIM.
    Password(String),
    /// To check AUTN and to answer with RES.
    Vector {
        /// RAND
        rand: [u8; 16],
        /// AUTN
        autn: [u8; 16],
    },
}

/// The last challenge, and what it takes to answer with it again.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    pub(super) algorithm: String,
    qop: bool,
    opaque: Option<String>,
    password: Secret<Vec<u8>>,
    nonce_count: u32,
    cnonce: String,
}

impl Challenge {
    /// The challenge of a WWW-Authenticate value.
    pub(super) fn read(value: &str, cnonce: String) -> Self {
        let param = |name| param_of(value, name).map(ToOwned::to_owned);
        Self {
            realm: param("realm").unwrap_or_default(),
            nonce: param("nonce").unwrap_or_default(),
            algorithm: param("algorithm").unwrap_or_else(|| "MD5".to_owned()),
            qop: param("qop").is_some(),
            opaque: param("opaque"),
            password: Secret::new(Vec::new()),
            nonce_count: 0,
            cnonce,
        }
    }

    /// What it asks of a phone that has this; `None` when the phone cannot answer it.
    pub(super) fn asks(&self, secret: &identity::Secret) -> Option<Asked> {
        let is = |name: &str| self.algorithm.eq_ignore_ascii_case(name);
        match secret {
            identity::Secret::Digest(password) => {
                (is("AKAv1-MD5") || is("MD5")).then(|| Asked::Password(password.clone()))
            }
            // What is no RAND and AUTN is no question for a card.
            identity::Secret::Aka(_) | identity::Secret::Card(_) if is("AKAv1-MD5") => {
                let (rand, autn) = self.rand_and_autn()?;
                Some(Asked::Vector { rand, autn })
            }
            identity::Secret::Aka(_) | identity::Secret::Card(_) => None,
        }
    }

    /// RFC 3310 3.2: the nonce is RAND and AUTN, and what the network likes to add.
    fn rand_and_autn(&self) -> Option<([u8; 16], [u8; 16])> {
        let nonce = STANDARD.decode(&self.nonce).ok()?;
        let (rand, rest) = nonce.split_first_chunk()?;
        let (autn, _) = rest.split_first_chunk()?;
        Some((*rand, *autn))
    }

    /// The password that answers it: RES, or that of a phone without a USIM.
    pub(super) fn set_password(&mut self, password: Vec<u8>) {
        self.password = Secret::new(password);
    }

    /// What the header says after this challenge.
    pub(super) fn authorization(&mut self, identity: &UeIdentity, proof: &Proof) -> Authorization {
        let mut more = format!(",algorithm={}", self.algorithm);
        if let Some(opaque) = &self.opaque {
            more += &format!(",opaque=\"{opaque}\"");
        }
        let uri = format!("sip:{}", identity.home);
        let response = match proof {
            Proof::Nothing | Proof::MacFailure => String::new(),
            Proof::Resync(auts) => {
                more += &format!(",auts=\"{}\"", STANDARD.encode(auts.0));
                self.answer(&identity.impi, &uri, &[], &mut more)
            }
            Proof::Answer => {
                let password = self.password.expose().clone();
                self.answer(&identity.impi, &uri, &password, &mut more)
            }
        };
        Authorization {
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            response,
            more,
        }
    }

    /// RFC 2617 3.2.2, RFC 3310 3.4: the response; what goes with it is added to `more`.
    fn answer(&mut self, user: &str, uri: &str, password: &[u8], more: &mut String) -> String {
        self.nonce_count += 1;
        let ha1 = md5(&[user.as_bytes(), b":", self.realm.as_bytes(), b":", password]);
        let ha2 = md5(&[b"REGISTER:", uri.as_bytes()]);
        if !self.qop {
            return md5(&[ha1.as_bytes(), b":", self.nonce.as_bytes(), b":", ha2.as_bytes()]);
        }
        let count = format!("{:08x}", self.nonce_count);
        *more += &format!(",qop=auth,nc={count},cnonce=\"{}\"", self.cnonce);
        let middle = format!(":{}:{count}:{}:auth:", self.nonce, self.cnonce);
        md5(&[ha1.as_bytes(), middle.as_bytes(), ha2.as_bytes()])
    }
}

/// The variable parts of an Authorization header.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    /// realm
    pub realm: String,
    /// nonce
    pub nonce: String,
    /// response
    pub response: String,
    /// What follows, with its leading comma.
    pub more: String,
}

impl Authorization {
    /// What the header says before there was a challenge (TS 24.229 5.1.1.2.2, 5.1.1.2.3).
    pub(super) fn unasked(config: &UeConfig) -> Self {
        // So that the network does not expect AKA (TS 33.203 Annex P.3).
        let is_digest = matches!(config.secret, identity::Secret::Digest(_));
        Self {
            realm: config.identity.home.clone(),
            more: if is_digest { ",algorithm=MD5" } else { "" }.to_owned(),
            ..Self::default()
        }
    }
}

fn md5(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 3310's digest with the first Milenage set: RES as raw octets.
    #[test]
    fn the_response_is_the_published_one() {
        let mut challenge = Challenge {
            realm: "ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
            nonce: "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=".to_owned(),
            algorithm: "AKAv1-MD5".to_owned(),
            qop: true,
            opaque: None,
            password: Secret::new(Vec::new()),
            nonce_count: 0,
            cnonce: "0a4f113b5d2c7e91".to_owned(),
        };
        let res = [0xa5, 0x42, 0x11, 0xd5, 0xe3, 0xba, 0x50, 0xbf];
        let user = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
        let uri = "sip:ims.mnc001.mcc001.3gppnetwork.org";
        let answer = challenge.answer(user, uri, &res, &mut String::new());
        assert_eq!(answer, "1affab8730666a619c19fbcaa1aed411");
        challenge.qop = false;
        let answer = challenge.answer(user, uri, &res, &mut String::new());
        assert_eq!(answer, "1125a3c2e293453f07e08957ff235efc");
    }
}
