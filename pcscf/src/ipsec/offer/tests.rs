//! Codec: tests of [`super`].

use super::*;
use ims_common::limits::SipLimits;

/// What handsets send, with made-up numbers: who, the lines, pairs that are usable in the UE's order, and the numbers
/// (spi-c, spi-s, port-c, port-s) of the first.
type Dialect = (&'static str, &'static [&'static str], &'static str, [u32; 4]);

const SIX_MD5_FIRST: &str = "hmac-md5-96/des-ede3-cbc hmac-md5-96/aes-cbc hmac-md5-96/null \
    hmac-sha-1-96/des-ede3-cbc hmac-sha-1-96/aes-cbc hmac-sha-1-96/null";
const SIX_SHA1_FIRST: &str = "hmac-sha-1-96/des-ede3-cbc hmac-sha-1-96/aes-cbc hmac-sha-1-96/null \
    hmac-md5-96/des-ede3-cbc hmac-md5-96/aes-cbc hmac-md5-96/null";

const DIALECTS: [Dialect; 12] = [
    (
        "Samsung, North America: small consecutive SPIs, client port above the server port",
        &[
            "ipsec-3gpp;prot=esp;mod=trans;spi-c=5625;spi-s=5626;port-c=6101;port-s=6100;alg=hmac-md5-96;ealg=null, \
           ipsec-3gpp;prot=esp;mod=trans;spi-c=5625;spi-s=5626;port-c=6101;port-s=6100;alg=hmac-sha-1-96;ealg=null",
        ],
        "hmac-md5-96/null hmac-sha-1-96/null",
        [5625, 5626, 6101, 6100],
    ),
    (
        "Samsung, global: six, triple DES first",
        &[
            "ipsec-3gpp;prot=esp;mod=trans;spi-c=74618;spi-s=74619;port-c=8802;port-s=8800;alg=hmac-md5-96;ealg=des-ede3-cbc, \
           ipsec-3gpp;prot=esp;mod=trans;spi-c=74618;spi-s=74619;port-c=8802;port-s=8800;alg=hmac-md5-96;ealg=aes-cbc, \
           ipsec-3gpp;prot=esp;mod=trans;spi-c=74618;spi-s=74619;port-c=8802;port-s=8800;alg=hmac-md5-96;ealg=null, \
           ipsec-3gpp;prot=esp;mod=trans;spi-c=74618;spi-s=74619;port-c=8802;port-s=8800;alg=hmac-sha-1-96;ealg=des-ede3-cbc, \
           ipsec-3gpp;prot=esp;mod=trans;spi-c=74618;spi-s=74619;port-c=8802;port-s=8800;alg=hmac-sha-1-96;ealg=aes-cbc, \
           ipsec-3gpp;prot=esp;mod=trans;spi-c=74618;spi-s=74619;port-c=8802;port-s=8800;alg=hmac-sha-1-96;ealg=null",
        ],
        SIX_MD5_FIRST,
        [74_618, 74_619, 8802, 8800],
    ),
    (
        "Qualcomm A: white space, neither prot nor mod, random SPIs, commas without space",
        &[
            "ipsec-3gpp; alg=hmac-md5-96; ealg=des-ede3-cbc; spi-c=3215460021; spi-s=2750139457; port-c=44123; port-s=47321,\
           ipsec-3gpp; alg=hmac-md5-96; ealg=aes-cbc; spi-c=3215460021; spi-s=2750139457; port-c=44123; port-s=47321,\
           ipsec-3gpp; alg=hmac-md5-96; ealg=null; spi-c=3215460021; spi-s=2750139457; port-c=44123; port-s=47321,\
           ipsec-3gpp; alg=hmac-sha-1-96; ealg=des-ede3-cbc; spi-c=3215460021; spi-s=2750139457; port-c=44123; port-s=47321,\
           ipsec-3gpp; alg=hmac-sha-1-96; ealg=aes-cbc; spi-c=3215460021; spi-s=2750139457; port-c=44123; port-s=47321,\
           ipsec-3gpp; alg=hmac-sha-1-96; ealg=null; spi-c=3215460021; spi-s=2750139457; port-c=44123; port-s=47321",
        ],
        SIX_MD5_FIRST,
        [3_215_460_021, 2_750_139_457, 44_123, 47_321],
    ),
    (
        "Qualcomm B, China: one",
        &[
            "ipsec-3gpp;alg=hmac-md5-96;prot=esp;mod=trans;ealg=null;spi-c=1290111;spi-s=1290112;port-c=9950;port-s=9900",
        ],
        "hmac-md5-96/null",
        [1_290_111, 1_290_112, 9950, 9900],
    ),
    (
        "Qualcomm C: one, with AES",
        &[
            "ipsec-3gpp;alg=hmac-md5-96;ealg=aes-cbc;spi-c=4026531841;spi-s=4026531842;port-c=40001;port-s=40002",
        ],
        "hmac-md5-96/aes-cbc",
        [4_026_531_841, 4_026_531_842, 40_001, 40_002],
    ),
    (
        "HiSilicon: SHA-1 first, a line for each",
        &[
            "ipsec-3gpp;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=des-ede3-cbc;spi-c=23456789;spi-s=98765432;port-c=31401;port-s=31801",
            "ipsec-3gpp;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=aes-cbc;spi-c=23456789;spi-s=98765432;port-c=31401;port-s=31801",
            "ipsec-3gpp;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=null;spi-c=23456789;spi-s=98765432;port-c=31401;port-s=31801",
            "ipsec-3gpp;alg=hmac-md5-96;prot=esp;mod=trans;ealg=des-ede3-cbc;spi-c=23456789;spi-s=98765432;port-c=31401;port-s=31801",
            "ipsec-3gpp;alg=hmac-md5-96;prot=esp;mod=trans;ealg=aes-cbc;spi-c=23456789;spi-s=98765432;port-c=31401;port-s=31801",
            "ipsec-3gpp;alg=hmac-md5-96;prot=esp;mod=trans;ealg=null;spi-c=23456789;spi-s=98765432;port-c=31401;port-s=31801",
        ],
        SIX_SHA1_FIRST,
        [23_456_789, 98_765_432, 31_401, 31_801],
    ),
    (
        "Unisoc class: tiny SPIs",
        &["ipsec-3gpp;alg=hmac-md5-96;ealg=null;spi-c=1236;spi-s=1237;port-c=7004;port-s=7005"],
        "hmac-md5-96/null",
        [1236, 1237, 7004, 7005],
    ),
    (
        "AOSP: algorithms last",
        &[
            "ipsec-3gpp;prot=esp;mod=trans;spi-c=1111111111;spi-s=1111111112;port-c=45061;port-s=45062;ealg=aes-cbc;alg=hmac-sha-1-96",
        ],
        "hmac-sha-1-96/aes-cbc",
        [1_111_111_111, 1_111_111_112, 45_061, 45_062],
    ),
    (
        "a tester shaped on a handset",
        &[
            "ipsec-3gpp;alg=hmac-md5-96;prot=esp;mod=trans;ealg=null;spi-c=12345;spi-s=67890;port-c=5104;port-s=5106",
        ],
        "hmac-md5-96/null",
        [12_345, 67_890, 5104, 5106],
    ),
    (
        "junk behind the last mechanism",
        &[
            "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062, \
           ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062>",
        ],
        "hmac-sha-1-96/null hmac-sha-1-96/aes-cbc",
        [1001, 1002, 45_061, 45_062],
    ),
    (
        "quoted values, capitals, leading zeros, white space around everything",
        &[
            " IPSEC-3GPP ; ALG = \"HMAC-SHA-1-96\" ; EALG = \"AES-CBC\" ; PROT = \"ESP\" ; MOD = Trans ; SPI-C = \"0000001001\" \
            ; spi-s = 0000001002 ; Port-C = \"45061\" ; port-s = 45062 ; q=0.5 ; x ; y=\"z;,\" ",
        ],
        "hmac-sha-1-96/aes-cbc",
        [1001, 1002, 45_061, 45_062],
    ),
    (
        "the new specification: AES-GCM with null integrity, AES-GMAC with null encryption",
        &[
            "ipsec-3gpp;alg=null;ealg=aes-gcm;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062, \
           ipsec-3gpp;alg=aes-gmac;ealg=null;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062, \
           ipsec-3gpp;alg=aes-gmac;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062",
        ],
        "null/aes-gcm aes-gmac/null aes-gmac/null",
        [1001, 1002, 45_061, 45_062],
    ),
];

fn offer(lines: &[&str]) -> Offer {
    let lines: String = lines
        .iter()
        .map(|line| format!("Security-Client: {line}\r\n"))
        .collect();
    let text = format!("REGISTER sip:h.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n{lines}\r\n");
    let message = Message::parse(text.into_bytes().into(), &SipLimits::default()).unwrap();
    Offer::of(&message).unwrap()
}

fn suite(text: &str) -> Suite {
    text.parse().unwrap()
}

/// A usable mechanism, with a parameter changed or added.
fn with(parameter: &str) -> String {
    let (name, _) = parameter.split_once('=').unwrap();
    let usual =
        "alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062";
    let others = usual
        .split(';')
        .filter(|it| it.split_once('=').unwrap().0 != name);
    let others: Vec<&str> = others.collect();
    format!("ipsec-3gpp;{};{parameter}", others.join(";"))
}

fn skipped(mechanism: &str) -> Vec<(Skip, u16)> {
    let offer = offer(&[mechanism]);
    assert_eq!(offer.select(&Suite::ALL), None, "{mechanism}");
    offer.skipped().iter().collect()
}

#[test]
fn every_handsets_dialect_is_understood() {
    for (who, lines, pairs, [spi_uc, spi_us, port_uc, port_us]) in DIALECTS {
        let offer = offer(lines);
        let found: Vec<String> = offer.mechanisms().iter().map(|it| it.suite.to_string()).collect();
        assert_eq!(found, pairs.split_ascii_whitespace().collect::<Vec<_>>(), "{who}");
        let expected = OfferedMechanism {
            suite: offer.mechanisms()[0].suite,
            spi_uc,
            spi_us,
            port_uc: port_uc.try_into().unwrap(),
            port_us: port_us.try_into().unwrap(),
        };
        assert_eq!(offer.mechanisms()[0], expected, "{who}");
        assert_eq!(offer.skipped().iter().next(), None, "{who}");
        assert_eq!(offer.written().count(), offer.mechanisms().len(), "{who}");
    }
}

#[test]
fn our_order_of_algorithms_decides_among_what_the_ue_offers() {
    let six = offer(DIALECTS[1].1);
    for (policy, chosen) in [
        (
            &["hmac-sha-1-96/aes-cbc", "hmac-sha-1-96/null"][..],
            "hmac-sha-1-96/aes-cbc",
        ),
        (
            &["hmac-sha-1-96/null", "hmac-sha-1-96/aes-cbc"],
            "hmac-sha-1-96/null",
        ),
        (&["null/aes-gcm", "hmac-md5-96/null"], "hmac-md5-96/null"),
        (&["hmac-md5-96/des-ede3-cbc"], "hmac-md5-96/des-ede3-cbc"),
    ] {
        let policy: Vec<Suite> = policy.iter().map(|it| suite(it)).collect();
        assert_eq!(six.select(&policy).unwrap().suite, suite(chosen));
    }
}

#[test]
fn what_the_ue_did_not_offer_is_never_chosen() {
    let one = offer(DIALECTS[6].1);
    assert_eq!(one.suites(), [suite("hmac-md5-96/null")]);
    let others: Vec<Suite> = Suite::ALL
        .into_iter()
        .filter(|it| *it != suite("hmac-md5-96/null"))
        .collect();
    assert_eq!(one.select(&others), None);
    assert_eq!(one.select(&[]), None);
}

#[test]
fn of_two_mechanisms_with_one_pair_the_ue_prefers_by_q_then_by_order() {
    let numbered = |spi: u32, q: &str| {
        format!("ipsec-3gpp;alg=hmac-md5-96;spi-c={spi};spi-s=2;port-c=4000;port-s=4001{q}")
            .replace("spi-s=2", "spi-s=9999")
    };
    for (qs, chosen) in [
        (["", "", ""], 1000),
        ([";q=0.1", ";q=0.9", ";q=0.900"], 1001),
        ([";q=0.1", ";q=1", ""], 1001),
        ([";q=0.5", ";q=0.5", ";q=0.5"], 1000),
        ([";q=bad", ";q=0.9", ";q=0.9"], 1000),
    ] {
        let values: Vec<String> = qs.iter().zip(1000..).map(|(q, spi)| numbered(spi, q)).collect();
        let offer = offer(&[&values.join(",")]);
        let choice = offer.select(&[suite("hmac-md5-96/null")]).unwrap();
        assert_eq!(choice.spi_uc, chosen, "{qs:?}");
    }
}

#[test]
fn absent_parameters_have_their_defaults_and_alg_spis_and_ports_have_none() {
    let least = "ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1001;spi-s=1002;port-c=45061;port-s=45062";
    assert_eq!(offer(&[least]).suites(), [suite("hmac-sha-1-96/null")]);
    for (absent, reason) in [
        ("alg", Skip::Algorithm),
        ("spi-c", Skip::Spi),
        ("spi-s", Skip::Spi),
        ("port-c", Skip::Port),
        ("port-s", Skip::Port),
    ] {
        let kept = least
            .split(';')
            .filter(|it| !it.starts_with(&format!("{absent}=")));
        let kept: Vec<&str> = kept.collect();
        assert_eq!(skipped(&kept.join(";")), [(reason, 1)], "{absent}");
    }
}

#[test]
fn a_mechanism_that_cannot_be_used_is_left_out_for_its_reason() {
    assert_eq!(offer(&[&with("x=y")]).mechanisms().len(), 1);
    for (parameter, reason) in [
        ("prot=ah", Skip::Protocol),
        ("prot=", Skip::Protocol),
        ("mod=tun", Skip::Mode),
        ("mod=UDP-enc-tun", Skip::Mode),
        ("alg=hmac-sha-256-128", Skip::Algorithm),
        ("alg=null", Skip::Algorithm),
        ("alg=aes-gmac", Skip::Algorithm),
        ("ealg=aes-gcm", Skip::Algorithm),
        ("ealg=rot13", Skip::Algorithm),
        ("spi-c=0", Skip::Spi),
        ("spi-c=255", Skip::Spi),
        ("spi-c=4294967296", Skip::Spi),
        ("spi-c=99999999999999999999", Skip::Spi),
        ("spi-c=0x3e9", Skip::Spi),
        ("spi-c=-1001", Skip::Spi),
        ("spi-c=1001.5", Skip::Spi),
        ("spi-c=1002", Skip::Spi),
        ("spi-s=12a34", Skip::Spi),
        ("port-c=0", Skip::Port),
        ("port-s=65536", Skip::Port),
        ("port-s=", Skip::Port),
        ("port-s=45061", Skip::Port),
        ("mediasec=yes", Skip::Media),
    ] {
        assert_eq!(skipped(&with(parameter)), [(reason, 1)], "{parameter}");
    }
    for (mechanism, reason) in [
        ("tls;q=1", Skip::OtherMechanism),
        ("ipsec-ike;alg=hmac-md5-96", Skip::OtherMechanism),
        ("sdes-srtp;mediasec", Skip::Media),
        (";alg=hmac-md5-96", Skip::OtherMechanism),
        ("<<<>>>", Skip::OtherMechanism),
    ] {
        assert_eq!(skipped(mechanism), [(reason, 1)], "{mechanism}");
    }
}

#[test]
fn the_first_of_repeated_parameters_counts() {
    let offer = offer(&[
        "ipsec-3gpp;alg=hmac-md5-96;alg=hmac-sha-1-96;spi-c=1001;spi-c=7;spi-s=1002;port-c=1;port-s=2",
    ]);
    assert_eq!(offer.suites(), [suite("hmac-md5-96/null")]);
    assert_eq!(offer.mechanisms()[0].spi_uc, 1001);
}

#[test]
fn a_quote_or_bracket_that_does_not_end_costs_no_mechanism_before_it() {
    for junk in ["\"", "<", ">", "\\", ";\"", ";;;", " >", "\", x"] {
        let usable = with("ealg=null");
        let offer = offer(&[&format!("{}, {usable}{junk}", with("ealg=aes-cbc"))]);
        assert_eq!(
            offer.suites(),
            [suite("hmac-sha-1-96/aes-cbc"), suite("hmac-sha-1-96/null")],
            "{junk}"
        );
    }
}

#[test]
fn forty_mechanisms_are_read_and_no_more_than_sixty_four_are_looked_at() {
    let many = |count| {
        let all: Vec<String> = (0..count)
            .map(|nth| {
                let last = if nth + 1 == count {
                    "hmac-sha-1-96"
                } else {
                    "hmac-md5-96"
                };
                with(&format!("alg={last}"))
            })
            .collect();
        all.join(",")
    };
    let sha1 = [suite("hmac-sha-1-96/aes-cbc")];
    let forty = offer(&[&many(40)]);
    assert_eq!(forty.mechanisms().len(), 40);
    assert!(forty.select(&sha1).is_some());
    let (one, other) = (many(40), many(40));
    let eighty = offer(&[&one, &other]);
    assert_eq!(eighty.mechanisms().len(), 64);
    assert_eq!(eighty.written().count(), 64);
    assert_eq!(eighty.skipped().iter().collect::<Vec<_>>(), [(Skip::TooMany, 16)]);
}

#[test]
fn an_empty_header_is_an_offer_of_nothing_and_no_header_is_no_offer() {
    assert_eq!(offer(&[""]).mechanisms(), []);
    assert_eq!(offer(&[" , ,"]).mechanisms(), []);
    let text = "REGISTER sip:h.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n\r\n";
    let message = Message::parse(text.into(), &SipLimits::default()).unwrap();
    assert_eq!(Offer::of(&message), None);
}
