//! Codec: tests of [`super`].

use super::*;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn every_part_of_a_sip_uri_is_read() {
    let u = uri("sip:a%20b:pw@[2001:db8::10]:5070;lr;transport=TCP?Subject=x&Route=%3Csip:b%3E");
    assert_eq!(u.scheme(), Scheme::Sip);
    assert_eq!(u.user(), Some(&b"a%20b"[..]));
    assert_eq!(u.user_unescaped().unwrap().as_ref(), b"a b");
    assert_eq!(u.password(), Some(&b"pw"[..]));
    assert_eq!(u.host(), Host::V6("2001:db8::10".parse().unwrap()));
    assert_eq!(u.port(), Some(5070));
    assert_eq!(
        (u.param("LR"), u.param("transport")),
        (Some(None), Some(Some(&b"TCP"[..])))
    );
    let headers: Vec<_> = u.headers().collect();
    assert_eq!(
        headers,
        [(&b"Subject"[..], &b"x"[..]), (b"Route", b"%3Csip:b%3E")]
    );
}

#[test]
fn user_parts_may_hold_what_looks_like_other_parts() {
    let u = uri(
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
    );
    assert_eq!(u.host(), Host::Name("example.com"));
    assert!(u.user().unwrap().starts_with(b"1_unusual"));
    let gateway = uri("sip:+15550100;phone-context=x.example@gw.example;user=phone");
    assert_eq!(gateway.tel_number().as_deref(), Some("+15550100"));
    assert!(gateway.params().has("user") && !gateway.params().has("phone-context"));
}

#[test]
fn tel_uris_are_numbers_with_parameters() {
    let u = uri("tel:+1-201-555-0123;ext=5");
    assert_eq!(
        (u.scheme(), u.tel_number().as_deref()),
        (Scheme::Tel, Some("+12015550123"))
    );
    assert_eq!(u.param("ext"), Some(Some(&b"5"[..])));
    assert_eq!(uri("tel:911").tel_number().as_deref(), Some("911"));
    assert_eq!(
        uri("tel:*21#;phone-context=example.com").tel_number().as_deref(),
        Some("*21#")
    );
}

#[test]
fn other_schemes_are_carried() {
    assert_eq!(uri("urn:service:sos.fire").scheme(), Scheme::Urn);
    assert_eq!(
        uri("nobodyKnowsThisScheme:totallyopaquecontent").scheme(),
        Scheme::Other
    );
    // What an @ means there is not ours to know.
    assert_eq!(uri("xmpp:a@b@example.com").scheme(), Scheme::Other);
    assert_eq!(uri("SIPS:a@B.Example").scheme(), Scheme::Sips);
}

#[test]
fn malformed_uris_are_refused_with_their_reason() {
    for (text, error) in [
        ("", UriError::Scheme),
        ("sip", UriError::Scheme),
        ("1sip:a", UriError::Scheme),
        ("sip:", UriError::Character),
        ("sip:a b@example.com", UriError::Character),
        ("<sip:a@example.com>", UriError::Scheme),
        ("sip:a\u{e9}@example.com", UriError::Character),
        ("sip:a%2@example.com", UriError::Escape),
        ("sip:a%zz@example.com", UriError::Escape),
        ("sip:@example.com", UriError::User),
        ("sip:a@b@example.com", UriError::User),
        ("sip:a@", UriError::Host),
        ("sip:2001:db8::10", UriError::Host),
        ("sip:a@[2001:db8::10", UriError::Host),
        ("sip:[2001:db8:::192.0.2.1]", UriError::Host),
        ("sip:[2001:db8::1]x", UriError::Host),
        ("sip:a@192.0.2.256", UriError::Host),
        ("sip:a..b", UriError::Host),
        ("sip:example.com:", UriError::Port),
        ("sip:example.com:65536", UriError::Port),
        ("sip:example.com;;lr", UriError::Parameter),
        ("sip:example.com;=x", UriError::Parameter),
        ("tel:", UriError::Character),
        ("tel:+", UriError::Number),
        ("tel:abc-xyz", UriError::Number),
        ("tel:+1;;ext=1", UriError::Parameter),
    ] {
        assert_eq!(Uri::parse(text.as_bytes()).unwrap_err(), error, "{text}");
    }
}

/// RFC 3261 19.1.4, the examples of the RFC and their neighbours.
#[test]
fn equivalent_uris_are_told_from_different_ones() {
    for (a, b) in [
        (
            "sip:%61lice@atlanta.example;transport=TCP",
            "sip:alice@AtLanTa.Example;Transport=tcp",
        ),
        (
            "sip:carol@chicago.example",
            "sip:carol@chicago.example;newparam=5",
        ),
        (
            "sip:carol@chicago.example;security=on",
            "sip:carol@chicago.example;newparam=5",
        ),
        (
            "sip:biloxi.example;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.example",
            "sip:biloxi.example;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.example",
        ),
        (
            "sip:alice@atlanta.example?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.example?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
        ("sip:a%3bb@h.example", "sip:a%3Bb@h.example"),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("tel:+1;ext=1-2;isub=A", "TEL:+1;ISUB=a;ext=12"),
        (
            "tel:7042;phone-context=Example.com",
            "tel:70-42;phone-context=example.com",
        ),
        ("urn:service:SOS", "URN:service:sos"),
    ] {
        assert!(
            uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)),
            "{a} {b}"
        );
    }
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.Example;Transport=udp",
            "sip:alice@AtLanTa.Example;Transport=UDP",
        ),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example:5060"),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example;transport=udp"),
        (
            "sip:bob@biloxi.example",
            "sip:bob@biloxi.example:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.example",
            "sip:carol@chicago.example?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.example", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.example;security=on",
            "sip:carol@chicago.example;security=off",
        ),
        ("sip:a%3bb@h.example", "sip:a;b@h.example"),
        ("sip:h.example", "sip:a@h.example"),
        ("sip:a@h.example", "sips:a@h.example"),
        ("tel:+12015550123", "tel:12015550123"),
        ("tel:+1;ext=1", "tel:+1"),
        ("tel:7042;phone-context=+1", "tel:7042;phone-context=+2"),
        ("urn:uuid:A", "urn:uuid:a"),
        ("sip:a@h.example", "tel:+1"),
    ] {
        assert!(
            !uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)),
            "{a} {b}"
        );
    }
}

/// Comparison is quadratic in them.
#[test]
fn parameters_and_headers_are_limited_in_number() {
    let with = |head: &str, part: &str, count: usize| {
        Uri::parse(format!("{head}{}", part.repeat(count)).as_bytes()).err()
    };
    assert_eq!(with("sip:h", ";a", PARTS_MAX), None);
    assert_eq!(with("sip:h", ";a", PARTS_MAX + 1), Some(UriError::Parameter));
    assert_eq!(with("tel:+1", ";a", PARTS_MAX + 1), Some(UriError::Parameter));
    assert_eq!(with("sip:h?a=b", "&a=b", PARTS_MAX - 1), None);
    assert_eq!(with("sip:h?a=b", "&a=b", PARTS_MAX), Some(UriError::Parameter));
}

#[test]
fn owned_uris_keep_their_text() {
    let owned: UriBuf = "sip:a@Example.com;lr".parse().unwrap();
    assert_eq!(owned.to_string(), "sip:a@Example.com;lr");
    assert_eq!(UriBuf::from(owned.as_uri()), owned);
    assert!("sip:a b".parse::<UriBuf>().is_err());
}
