//! Engine: tables of Request-URIs against dial plans (SE-03).

use super::*;

const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

fn read(plan: &NumbersConfig, uri: &str) -> String {
    let uri = uri.replace("HOME", HOME);
    let uri = Uri::parse(uri.as_bytes()).unwrap();
    match Normaliser::new(plan, HOME).read(&uri) {
        Number::Global(number) => number.to_tel(),
        Number::Local(LocalNumber { digits, context }) => match context {
            Some(context) => format!("local {digits} in {context}"),
            None => format!("local {digits}"),
        },
        Number::Incomplete => "incomplete".to_owned(),
        Number::Name => "no number".to_owned(),
    }
}

/// Trunk prefix 0, numbers of any length: as in Germany or Britain.
fn open_plan() -> NumbersConfig {
    NumbersConfig {
        country_code: Some("49".into()),
        ..NumbersConfig::default()
    }
}

/// Ten digits, with or without 1 before them: as in North America.
fn closed_plan() -> NumbersConfig {
    NumbersConfig {
        country_code: Some("1".into()),
        international_prefix: "011".into(),
        national_prefix: "1".into(),
        national_digits: Some(10),
        area_code: Some("202".into()),
        ..NumbersConfig::default()
    }
}

#[test]
fn what_is_global_stays_so_in_one_spelling() {
    for (uri, number) in [
        ("tel:+15550001", "tel:+15550001"),
        ("TEL:+1-(555).0001", "tel:+15550001"),
        ("tel:+15550001;phone-context=HOME", "tel:+15550001"),
        ("sip:+15550001@HOME;user=phone", "tel:+15550001"),
        ("sip:+15550001@HOME", "tel:+15550001"),
        ("sip:%2B15550001@HOME;user=phone", "tel:+15550001"),
        ("sips:+1-555-0001@HOME;user=PHONE;x=y", "tel:+15550001"),
        (
            "tel:+15550001;isub=12;verstat=x",
            "tel:+15550001;isub=12;verstat=x",
        ),
        ("tel:+123", "incomplete"),
        ("tel:+1234567890123456", "no number"),
    ] {
        assert_eq!(read(&NumbersConfig::default(), uri), number, "{uri}");
    }
}

#[test]
fn numbers_of_an_open_plan_are_dialled_with_prefixes() {
    for (uri, number) in [
        ("tel:0015550001", "tel:+15550001"),
        ("tel:030123456;phone-context=HOME", "tel:+4930123456"),
        ("tel:030123456;phone-context=geo-local.HOME", "tel:+4930123456"),
        ("tel:030-123456;phone-context=+49", "tel:+4930123456"),
        ("sip:030123456@HOME;user=phone", "tel:+4930123456"),
        (
            "sip:030123456;phone-context=HOME@HOME;user=phone",
            "tel:+4930123456",
        ),
        ("sip:030123456@HOME", "tel:+4930123456"),
        ("tel:030123456;phone-context=+1", "tel:+1030123456"),
        ("tel:7654321;phone-context=+44", "tel:+447654321"),
        ("tel:123456789;phone-context=HOME", "local 123456789"),
        ("tel:0;phone-context=HOME", "incomplete"),
        ("tel:00;phone-context=HOME", "incomplete"),
        ("tel:0012;phone-context=HOME", "incomplete"),
        ("tel:112", "local 112"),
        ("tel:*31#", "local *31#"),
        ("tel:7042;phone-context=PBX.Example", "local 7042 in pbx.example"),
        ("tel:*1;phone-context=+44", "local *1 in +44"),
        (
            "tel:7042;phone-context=notHOME",
            &format!("local 7042 in not{HOME}"),
        ),
    ] {
        assert_eq!(read(&open_plan(), uri), number, "{uri}");
    }
}

#[test]
fn numbers_of_a_closed_plan_are_dialled_without_prefixes() {
    for (uri, number) in [
        ("tel:2025550101", "tel:+12025550101"),
        ("tel:12025550101", "tel:+12025550101"),
        ("tel:5550101", "tel:+12025550101"),
        ("tel:1555010", "tel:+12021555010"),
        ("tel:0114930123456", "tel:+4930123456"),
        ("tel:411", "local 411"),
        ("tel:911", "local 911"),
        ("sip:5550101@HOME", "tel:+12025550101"),
        ("sip:411@HOME;user=phone", "local 411"),
    ] {
        assert_eq!(read(&closed_plan(), uri), number, "{uri}");
    }
    let without_trunk_prefix = NumbersConfig {
        country_code: Some("45".into()),
        national_prefix: String::new(),
        ..NumbersConfig::default()
    };
    assert_eq!(read(&without_trunk_prefix, "tel:32123456"), "tel:+4532123456");
    assert_eq!(read(&without_trunk_prefix, "tel:112"), "local 112");
}

#[test]
fn without_a_country_code_local_numbers_stay_local() {
    for uri in ["tel:030123456", "sip:030123456@HOME;user=phone", "tel:0015550001"] {
        let outcome = read(&NumbersConfig::default(), uri);
        assert!(outcome.starts_with("local "), "{uri}: {outcome}");
    }
}

#[test]
fn names_and_foreign_domains_are_no_numbers() {
    for uri in [
        "sip:alice@HOME",
        "sip:411@HOME",
        "sip:001010000000001@HOME",
        "sip:HOME",
        "sip:+15550001@other.example;user=phone",
        "sip:alice@HOME;user=phone",
        "sip:555alice@HOME",
        "urn:service:sos",
        "mailto:a@b.example",
        "tel:7042f;phone-context=HOME",
    ] {
        assert_eq!(read(&open_plan(), uri), "no number", "{uri}");
    }
}

#[test]
fn portability_is_kept_and_the_routing_number_read() {
    let routing = |uri: &str| {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        match Normaliser::new(&open_plan(), HOME).read(&uri) {
            Number::Global(number) => (
                number.routing_number().unwrap_or_default().to_owned(),
                number.to_tel(),
            ),
            other => panic!("{other:?}"),
        }
    };
    let tel = "tel:+15550001;rn=+1-202-555;npdi";
    assert_eq!(routing(tel), ("+1202555".into(), tel.into()));
    let sip = format!("sip:+15550001;npdi;rn=D@{HOME};user=phone").replace("rn=D", "rn=12345");
    assert_eq!(routing(&sip).0, "12345");
    assert_eq!(routing("tel:+15550001;rn=234;rn-context=+1;npdi").0, "+1234");
    for none in [
        "tel:+15550001;rn=+1202555",
        "tel:+15550001;npdi",
        "tel:+15550001;rn=abc;npdi",
    ] {
        assert_eq!(routing(none).0, "", "{none}");
    }
}

#[test]
fn parameters_that_are_none_are_not_carried_into_the_tel_uri() {
    for uri in [
        "sip:+15550001;=@HOME;user=phone",
        "sip:+15550001;;a=;%0D%0AX=1@HOME;user=phone",
        "sip:+15550001;a%3Bb;c=%22@HOME;user=phone",
    ] {
        let number = read(&NumbersConfig::default(), uri);
        assert!(Uri::parse(number.as_bytes()).is_ok(), "{number}");
        assert!(!number.contains(['\r', '"']), "{number}");
    }
}

#[test]
fn debug_shows_no_number() {
    let uri = Uri::parse(b"tel:+12025550101").unwrap();
    let number = Normaliser::new(&open_plan(), HOME).read(&uri);
    assert!(!format!("{number:?}").contains("2025550101"), "{number:?}");
}
