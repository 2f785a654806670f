//! Testkit: security agreements: what a phone may offer and repeat, in any dialect and with any damage.

use bytes::Bytes;
use ims_common::ipsec::{Encryption, Suite};
use ims_common::limits::SipLimits;
use ims_common::sip::{HeaderName, Message, SecurityMechanism};
use pcscf::ipsec::agreement::{Agreement, Mismatch, OwnNumbers, supported};
use pcscf::ipsec::offer::{Choice, MECHANISMS_MAX, Offer, OfferedMechanism, SPI_MIN};

use crate::dice::{Dice, changed, pick};
use crate::engine::{Target, Verdict, assert_linear};

static TARGET: Target = Target {
    name: "sec_agree",
    check,
    generate,
    iterations: 8_000,
};

#[test]
fn nothing_is_chosen_that_was_not_offered_and_nothing_verified_that_was_not_said() {
    fuzz!(TARGET);
}

const WORDS: [&[u8]; 34] = [
    b",",
    b";",
    b"=",
    b"\"",
    b"<",
    b">",
    b" ",
    b"\r\n ",
    b"\r\nSecurity-Client: ",
    b"\r\nSecurity-Verify: ",
    b"ipsec-3gpp",
    b"IPSEC-3GPP;",
    b"tls",
    b"sdes-srtp;mediasec",
    b";mediasec",
    b";alg=hmac-md5-96",
    b";alg=hmac-sha-1-96",
    b";alg=aes-gmac",
    b";alg=null",
    b";ealg=null",
    b";ealg=aes-cbc",
    b";ealg=aes-gcm",
    b";ealg=des-ede3-cbc",
    b";prot=ah",
    b";prot=esp",
    b";mod=tun",
    b";mod=UDP-enc-tun",
    b";spi-c=",
    b";spi-s=",
    b";port-c=",
    b";port-s=",
    b";q=",
    b"0.5",
    b"4294967295",
];

/// Lines of headers; sometimes with what we would send, so that it can be verified.
fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = changed(dice, seeds, &WORDS);
    if dice.one_in(3) {
        bytes.extend_from_slice(b"\r\nSecurity-Verify: ");
        let mut sent = format!(
            "ipsec-3gpp;q=0.1;prot=esp;mod=trans;spi-c={};spi-s={};port-c={};port-s={};alg=hmac-sha-1-96;ealg=aes-cbc",
            OWN.spi_pc, OWN.spi_ps, OWN.port_pc, OWN.port_ps
        )
        .into_bytes();
        if dice.one_in(2) {
            let word = pick(dice, &WORDS);
            let at = dice.below(sent.len());
            sent.splice(at..at, word.iter().copied());
        }
        bytes.extend(sent);
    }
    bytes
}

const OWN: OwnNumbers = OwnNumbers {
    spi_pc: 3_735_928_559,
    spi_ps: 3_405_691_582,
    port_pc: 6_102,
    port_ps: 6_101,
};

fn register(lines: &[u8]) -> Option<Message> {
    let mut text = b"REGISTER sip:h.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n".to_vec();
    text.extend_from_slice(lines);
    text.extend_from_slice(b"\r\n\r\n");
    Message::parse(Bytes::from(text), &SipLimits::default()).ok()
}

fn check(bytes: &[u8]) -> Verdict {
    let Some(message) = register(bytes) else {
        return Verdict::Refused;
    };
    let Some(offer) = Offer::of(&message) else {
        assert!(message.header(HeaderName::SecurityClient).is_none());
        return Verdict::Refused;
    };
    assert!(offer.mechanisms().len() <= MECHANISMS_MAX);
    let values: Vec<&[u8]> = message.values(HeaderName::SecurityClient).collect();
    for mechanism in offer.mechanisms() {
        usable(mechanism);
        assert!(values.iter().any(|value| says(value, mechanism)), "{mechanism:?}");
    }
    for suite in Suite::ALL {
        let chosen = offer.select(&[suite]);
        assert_eq!(chosen.is_some(), offer.suites().contains(&suite));
        if let Some(choice) = chosen {
            assert_eq!(choice.suite, suite);
            agree(&offer, choice, &values, &message);
        }
    }
    let best = offer.select(&Suite::ALL).map(|choice| choice.suite);
    let first = Suite::ALL
        .into_iter()
        .find(|suite| offer.suites().contains(suite));
    assert_eq!(best, first);
    Verdict::of(best.is_some())
}

/// TS 33.203 7.1, Annex H.
fn usable(it: &OfferedMechanism) {
    assert!(it.spi_uc >= SPI_MIN && it.spi_us >= SPI_MIN && it.spi_uc != it.spi_us);
    assert!(it.port_uc > 0 && it.port_us > 0 && it.port_uc != it.port_us);
    assert!(Suite::ALL.contains(&it.suite));
}

/// Whether all that was understood stands there; in a quoted string with backslashes in between.
fn says(value: &[u8], it: &OfferedMechanism) -> bool {
    let text = String::from_utf8_lossy(value)
        .to_ascii_lowercase()
        .replace('\\', "");
    let numbers = [it.spi_uc, it.spi_us, it.port_uc.into(), it.port_us.into()];
    text.starts_with("ipsec-3gpp")
        && text.contains(it.suite.integrity.token())
        && (it.suite.encryption == Encryption::Null || text.contains(it.suite.encryption.token()))
        && numbers.iter().all(|number| text.contains(&number.to_string()))
}

fn agree(offer: &Offer, choice: Choice, client: &[&[u8]], message: &Message) {
    let agreement = Agreement::new(offer.clone(), choice, OWN);
    let sent = agreement.security_server().to_owned();
    let read = SecurityMechanism::parse(sent.as_bytes()).expect("a mechanism");
    assert_eq!((read.spi_c(), read.spi_s()), (Some(OWN.spi_pc), Some(OWN.spi_ps)));
    assert_eq!(
        (read.port_c(), read.port_s()),
        (Some(OWN.port_pc), Some(OWN.port_ps))
    );
    assert!(supported(&[choice.suite]).ends_with(&format!(
        "alg={};ealg={}",
        choice.suite.integrity.token(),
        choice.suite.encryption.token()
    )));
    let verify = |verify: &str, client: &[&[u8]]| {
        agreement.verify_values(std::iter::once(verify.as_bytes()), client.iter().copied())
    };
    assert_eq!(verify(&sent, client), Ok(()));
    if client.len() <= MECHANISMS_MAX {
        let turned: Vec<&[u8]> = client.iter().rev().copied().collect();
        assert_eq!(verify(&sent, &turned), Ok(()));
        let more: Vec<&[u8]> = turned.iter().copied().chain([&b"tls"[..]]).collect();
        if more.len() <= MECHANISMS_MAX {
            assert!(matches!(verify(&sent, &more), Err(Mismatch::Client(_))));
        }
    }
    let other = sent.replace("spi-s=3405691582", "spi-s=3405691583");
    assert_eq!(verify(&other, client), Err(Mismatch::Verify("spi-s")));
    // Of what is verified, every number was said.
    if agreement.verify(message).is_ok() {
        let said: Vec<u8> = message
            .values(HeaderName::SecurityVerify)
            .flatten()
            .copied()
            .collect();
        let said = String::from_utf8_lossy(&said).replace('\\', "");
        for number in [OWN.spi_pc, OWN.spi_ps, OWN.port_pc.into(), OWN.port_ps.into()] {
            assert!(said.contains(&number.to_string()), "{said}");
        }
    }
}

#[test]
fn large_security_headers_cost_what_their_size_says() {
    let mechanism = "ipsec-3gpp;alg=hmac-md5-96;spi-c=1001;spi-s=1002;port-c=1;port-s=2,";
    for part in [
        mechanism,
        ",",
        ";",
        "a,",
        ";a=b",
        "\"",
        "<",
        ";alg=x",
        "ipsec-3gpp,",
    ] {
        let make = |size: usize| {
            let value = part.repeat(size / part.len());
            format!("REGISTER sip:h.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\nSecurity-Client: {mechanism}{value}\r\nSecurity-Verify: {value}\r\n\r\n")
                .into_bytes()
        };
        let limits = SipLimits {
            message_bytes_max: 1 << 20,
            header_bytes_max: 1 << 20,
            ..SipLimits::default()
        };
        assert_linear(part, make, |bytes| {
            let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes), &limits) else {
                return;
            };
            let offer = Offer::of(&message).expect("there is one");
            if let Some(choice) = offer.select(&Suite::ALL) {
                _ = Agreement::new(offer, choice, OWN).verify(&message);
            }
        });
    }
}
