//! Engine: public GRUUs: addresses that name one phone of a user (RFC 5627; TS 24.229 5.4.7A).
//!
//! A public GRUU is the user's SIP URI and, in `gr`, the instance of the phone; nothing is kept for it. An instance that
//! is an IMEI is not told to others: a name-based UUID stands for it (TS 24.229 5.4.7A.2). Temporary GRUUs are not made:
//! without a wildcarded identity for them in the HSS no I-CSCF would find the way back.

use ims_common::identity::Impu;
use md5::{Digest, Md5};

use crate::registrar::Binding;

/// The name space of the UUIDs: that of URLs (RFC 4122 appendix C).
const NAMESPACE: [u8; 16] = [
    0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
];
/// Instances that say which device it is (RFC 7254).
const IMEI: &str = "urn:gsma:imei:";

/// The public GRUU of a contact for one identity of its set; `None` for tel URIs and phones without an instance.
pub(crate) fn public(impu: &Impu, binding: &Binding) -> Option<String> {
    if !binding.gruu || impu.is_tel() {
        return None;
    }
    let told = told_of(&instance_of(binding)?);
    Some(format!("{};gr={told}", impu.as_str()))
}

/// Whether `gr`, unescaped, names the phone of this contact.
pub(crate) fn names(gr: &[u8], binding: &Binding) -> bool {
    instance_of(binding)
        .is_some_and(|instance| gr == instance.as_bytes() || gr == told_of(&instance).as_bytes())
}

/// The URN between the angle brackets of `+sip.instance` (RFC 5626 4.1).
fn instance_of(binding: &Binding) -> Option<String> {
    let instance = binding.contact.instance()?;
    let text = std::str::from_utf8(&instance).ok()?;
    let urn = text.strip_prefix('<')?.strip_suffix('>')?;
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '.' | '_' | '+');
    (!urn.is_empty() && urn.chars().all(is_safe)).then(|| urn.to_owned())
}

fn told_of(urn: &str) -> String {
    let is_imei = urn
        .get(..IMEI.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(IMEI));
    if !is_imei {
        return urn.to_owned();
    }
    // RFC 4122 4.3, version 3.
    let mut uuid: [u8; 16] = Md5::new()
        .chain_update(NAMESPACE)
        .chain_update(urn.to_ascii_lowercase())
        .finalize()
        .into();
    uuid[6] = (uuid[6] & 0x0f) | 0x30;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    let mut text = String::from("urn:uuid:");
    for (place, octet) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{octet:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_number_is_not_told_and_stands_for_the_same_phone_for_ever() {
        let told = told_of("urn:gsma:imei:35622410-483840-0");
        assert!(told.starts_with("urn:uuid:") && told.len() == 45, "{told}");
        assert!(!told.contains("35622410"), "{told}");
        assert_eq!(told, told_of("urn:gsma:IMEI:35622410-483840-0"));
        assert_ne!(told, told_of("urn:gsma:imei:35622410-483841-0"));
        assert_eq!(told_of("urn:uuid:0-1"), "urn:uuid:0-1");
    }
}
