//! Testkit: what may not cross the border between UEs and the home network.

use ims_common::sip::{HeaderName, Message};

/// Keys and charging data stay in the network (TS 24.229 4.4, 5.2.2.2).
pub(super) fn not_for_a_ue(message: &Message) {
    for name in [
        HeaderName::PChargingVector,
        HeaderName::PChargingFunctionAddresses,
    ] {
        assert_eq!(message.header(name), None, "charging data on Gm");
    }
    for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
        for value in message.headers(name) {
            let plain: Vec<u8> = value
                .iter()
                .filter(|b| !b" \t\"\\".contains(b))
                .map(u8::to_ascii_lowercase)
                .collect();
            let leaks = plain.windows(6).any(|w| w == b"ck=0ba" || w == b"ik=0ba");
            assert!(!leaks, "a key on Gm: {}", String::from_utf8_lossy(value));
        }
    }
}

/// What a UE may not say, as the corpus and the generator say it (TS 24.229 4.4, 5.2.2.2). Who came over security
/// associations is marked so.
pub(super) fn not_of_a_ue(message: &Message, protected: bool) {
    let says = |name, word: &[u8]| {
        let mut lines = message.headers(name);
        lines.any(|value| {
            value
                .windows(word.len())
                .any(|window| window.eq_ignore_ascii_case(word))
        })
    };
    let shown = || String::from_utf8_lossy(message.bytes()).into_owned();
    assert!(
        !says(HeaderName::PAssertedIdentity, b"evil@example.com"),
        "{}",
        shown()
    );
    assert!(!says(HeaderName::PChargingVector, b"icid-value=x"), "{}", shown());
    assert!(
        !says(HeaderName::PAccessNetworkInfo, b"network-provided"),
        "{}",
        shown()
    );
    let is_register = message.bytes().starts_with(b"REGISTER ");
    if let (true, Ok(Some(credentials))) = (is_register, message.authorization()) {
        assert_eq!(
            message.headers(HeaderName::Authorization).count(),
            1,
            "{}",
            shown()
        );
        let mark = credentials.integrity_protected();
        let is_yes = mark.as_deref() == Some(&b"yes"[..]);
        assert!(protected || !is_yes, "{}", shown());
    }
}
