//! Testkit: the keys of a phone's security associations, by its own few lines (TS 33.203 Annex I).

use hmac::{Hmac, KeyInit, Mac as _};
use ims_common::aka::Secret;
use ims_common::ipsec::{Encryption, EspKeys, Integrity, Suite};
use sha2::Sha256;

/// The keys of ESP for CK and IK of one authentication.
#[must_use]
pub fn esp_keys(suite: Suite, ck: &[u8; 16], ik: &[u8; 16]) -> EspKeys {
    let integrity = match suite.integrity {
        Integrity::HmacMd5_96 => ik.to_vec(),
        // "IK_ESP is IK concatenated with 32 zero bits"
        Integrity::HmacSha1_96 => [&ik[..], &[0; 4]].concat(),
        Integrity::AesGmac => [&ik[..], &salt(ck, ik, 0x58, b"AES_GMAC_SALT")].concat(),
        Integrity::Null => Vec::new(),
    };
    let encryption = match suite.encryption {
        Encryption::Null => Vec::new(),
        Encryption::AesCbc => ck.to_vec(),
        // "CK_ESP is CK1 | CK2 | CK1"
        Encryption::DesEde3Cbc => [&ck[..], &ck[..8]].concat(),
        Encryption::AesGcm => [&ck[..], &salt(ck, ik, 0x59, b"AES_GCM_SALT")].concat(),
    };
    EspKeys {
        integrity: Secret::new(integrity),
        encryption: Secret::new(encryption),
    }
}

/// The last four octets of the KDF of TS 33.220 B.2 over FC, P0 and its length.
fn salt(ck: &[u8; 16], ik: &[u8; 16], fc: u8, p0: &[u8]) -> [u8; 4] {
    let length = u8::try_from(p0.len()).unwrap_or(u8::MAX);
    let key = [&ck[..], &ik[..]].concat();
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(&key) else {
        unreachable!("HMAC takes keys of any length");
    };
    hmac.update(&[fc]);
    hmac.update(p0);
    hmac.update(&[0, length]);
    let digest = hmac.finalize().into_bytes();
    std::array::from_fn(|index| digest[28 + index])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CK and IK of the first Milenage set.
    const CK: [u8; 16] = 0xb40b_a9a3_c58b_2a05_bbf0_d987_b21b_f8cb_u128.to_be_bytes();
    const IK: [u8; 16] = 0xf769_bcd7_5104_4604_1276_7271_1c6d_3441_u128.to_be_bytes();

    fn hex(integrity: Integrity, encryption: Encryption) -> (String, String) {
        let suite = Suite {
            integrity,
            encryption,
        };
        let keys = esp_keys(suite, &CK, &IK);
        let hex = |key: &[u8]| key.iter().map(|octet| format!("{octet:02x}")).collect();
        (hex(keys.integrity.expose()), hex(keys.encryption.expose()))
    }

    #[test]
    fn a_phones_keys_are_those_of_the_annex() {
        let (ik, ck) = (
            "f769bcd751044604127672711c6d3441",
            "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        );
        for (integrity, encryption, keys) in [
            (
                Integrity::HmacMd5_96,
                Encryption::Null,
                (ik.to_owned(), String::new()),
            ),
            (
                Integrity::HmacSha1_96,
                Encryption::AesCbc,
                (format!("{ik}00000000"), ck.to_owned()),
            ),
            (
                Integrity::HmacMd5_96,
                Encryption::DesEde3Cbc,
                (ik.to_owned(), format!("{ck}b40ba9a3c58b2a05")),
            ),
            (
                Integrity::AesGmac,
                Encryption::Null,
                (format!("{ik}dbc2b1c2"), String::new()),
            ),
            (
                Integrity::Null,
                Encryption::AesGcm,
                (String::new(), format!("{ck}89273db6")),
            ),
        ] {
            assert_eq!(hex(integrity, encryption), keys, "{integrity:?} {encryption:?}");
        }
    }
}
