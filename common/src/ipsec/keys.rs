//! Engine: the keys of ESP from CK and IK of the challenge (TS 33.203 Annex I; key derivation of TS 33.220 B.2).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize as _;

use super::{Encryption, EspKeys, Integrity, Suite};
use crate::aka::Secret;

/// TS 33.203 Annex I: S = FC, P0, L0 of the salt of AES-GMAC.
const GMAC_SALT: &[u8] = b"\x58AES_GMAC_SALT\x00\x0D";
/// TS 33.203 Annex I: S = FC, P0, L0 of the salt of AES-GCM.
const GCM_SALT: &[u8] = b"\x59AES_GCM_SALT\x00\x0C";

impl EspKeys {
    /// The keys that all four security associations of a set share.
    #[must_use]
    pub fn derive(suite: Suite, ck: &[u8; 16], ik: &[u8; 16]) -> Self {
        let integrity = match suite.integrity {
            Integrity::HmacMd5_96 => ik.to_vec(),
            // 160 bits: IK and 32 zero bits.
            Integrity::HmacSha1_96 => [&ik[..], &[0; 4]].concat(),
            Integrity::AesGmac => [&ik[..], &salt(ck, ik, GMAC_SALT)].concat(),
            Integrity::Null => Vec::new(),
        };
        let encryption = match suite.encryption {
            Encryption::Null => Vec::new(),
            Encryption::AesCbc => ck.to_vec(),
            // CK is CK1 and CK2 of 64 bits each; three keys are CK1, CK2, CK1.
            Encryption::DesEde3Cbc => [&ck[..], &ck[..8]].concat(),
            Encryption::AesGcm => [&ck[..], &salt(ck, ik, GCM_SALT)].concat(),
        };
        Self {
            integrity: Secret::new(integrity),
            encryption: Secret::new(encryption),
        }
    }
}

/// The last four octets of HMAC-SHA-256(CK || IK, S).
fn salt(ck: &[u8; 16], ik: &[u8; 16], input: &[u8]) -> [u8; 4] {
    let mut key = [&ck[..], &ik[..]].concat();
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        unreachable!("HMAC takes a key of any length")
    };
    key.zeroize();
    let output: [u8; 32] = mac.chain_update(input).finalize().into_bytes().into();
    let [.., a, b, c, d] = output;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aka::hex::{from_hex, to_hex};

    const CK: &str = "b40ba9a3c58b2a05bbf0d987b21bf8cb";
    const IK: &str = "f769bcd751044604127672711c6d3441";

    /// Integrity and encryption key of a pair, from CK and IK of the first test set of TS 35.208.
    fn keys(pair: &str) -> [String; 2] {
        let octets = |text| from_hex(text).unwrap().try_into().unwrap();
        let keys = EspKeys::derive(pair.parse().unwrap(), &octets(CK), &octets(IK));
        [keys.integrity, keys.encryption].map(|key| to_hex(key.expose()))
    }

    #[test]
    fn md5_takes_ik_as_it_is() {
        assert_eq!(keys("hmac-md5-96/null"), [IK, ""]);
    }

    #[test]
    fn sha1_takes_ik_and_four_zero_octets() {
        let ik = "f769bcd751044604127672711c6d344100000000";
        assert_eq!(keys("hmac-sha-1-96/null"), [ik, ""]);
    }

    #[test]
    fn aes_takes_ck_as_it_is() {
        let ik = "f769bcd751044604127672711c6d344100000000";
        assert_eq!(keys("hmac-sha-1-96/aes-cbc"), [ik, CK]);
        assert_eq!(keys("hmac-md5-96/aes-cbc"), [IK, CK]);
    }

    #[test]
    fn the_third_key_of_triple_des_is_the_first_once_more() {
        let ck = "b40ba9a3c58b2a05bbf0d987b21bf8cbb40ba9a3c58b2a05";
        let ik = "f769bcd751044604127672711c6d344100000000";
        assert_eq!(keys("hmac-md5-96/des-ede3-cbc"), [IK, ck]);
        assert_eq!(keys("hmac-sha-1-96/des-ede3-cbc"), [ik, ck]);
    }

    #[test]
    fn gmac_takes_ik_and_its_salt() {
        let ik = "f769bcd751044604127672711c6d3441dbc2b1c2";
        assert_eq!(keys("aes-gmac/null"), [ik, ""]);
    }

    #[test]
    fn gcm_takes_ck_and_its_salt() {
        let ck = "b40ba9a3c58b2a05bbf0d987b21bf8cb89273db6";
        assert_eq!(keys("null/aes-gcm"), ["", ck]);
    }

    #[test]
    fn keys_of_esp_are_not_printed() {
        let keys = EspKeys::derive("hmac-md5-96/aes-cbc".parse().unwrap(), &[0xC6; 16], &[0xD7; 16]);
        let text = format!("{keys:?}");
        assert_eq!(text.matches("<redacted>").count(), 2, "{text}");
        assert!(!text.contains("198") && !text.contains("215"), "{text}");
    }
}
