//! Codec: tests of [`super`].

use super::*;

fn limits() -> SipLimits {
    SipLimits {
        message_bytes_max: 400,
        headers_max: 4,
        header_bytes_max: 40,
        uri_bytes_max: 20,
        vias_max: 3,
    }
}

fn scanned(text: &str) -> Result<Scanned, ParseError> {
    scan(text.as_bytes(), &limits())
}

fn lines(text: &str) -> Vec<(String, String)> {
    let scanned = scanned(text).unwrap();
    let owned = |bytes: &[u8]| text::lossy(bytes).into_owned();
    let pair = |span: &HeaderSpan| {
        (
            owned(span.written(text.as_bytes())),
            owned(span.value(text.as_bytes())),
        )
    };
    scanned.headers.iter().map(pair).collect()
}

#[test]
fn names_and_values_are_found_and_trimmed() {
    let text = "A sip:b SIP/2.0\r\nTo :  x y \t\r\nX:\r\nq:z\r\n\r\nbody";
    let expected = [("To", "x y"), ("X", ""), ("q", "z")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(lines(text), expected);
    let scanned = scanned(text).unwrap();
    assert_eq!(&text[scanned.body_start as usize..], "body");
    assert_eq!(
        &text[scanned.headers_end as usize..],
        "\r\n\r\nbody".strip_prefix("\r\n").unwrap()
    );
    assert!(!scanned.bare_lf);
}

#[test]
fn folds_belong_to_the_line_before() {
    assert_eq!(
        lines("A sip:b SIP/2.0\r\nX: a\r\n b\r\n\tc \r\nY: d\r\n\r\n")[0].1,
        "a\r\n b\r\n\tc"
    );
    assert_eq!(lines("A sip:b SIP/2.0\r\nX:\r\n  b\r\n\r\n")[0].1, "b");
    assert_eq!(lines("A sip:b SIP/2.0\r\nX:\r\n \r\n b\r\n \r\n\r\n")[0].1, "b");
    assert_eq!(
        scanned("A sip:b SIP/2.0\r\n X: a\r\n\r\n").err(),
        Some(ParseError::Folding)
    );
}

#[test]
fn bare_line_feeds_end_lines_too() {
    let scanned = scanned("A sip:b SIP/2.0\nX: a\n\nbody").unwrap();
    assert!(scanned.bare_lf);
    assert_eq!(scanned.headers.len(), 1);
    assert_eq!(lines("A sip:b SIP/2.0\r\nX: a\n b\r\n\n")[0].1, "a\n b");
}

#[test]
fn every_limit_has_its_reason() {
    let head = |lines: &str| scanned(&format!("A sip:b SIP/2.0\r\n{lines}\r\n"));
    assert!(head(&"X: a\r\n".repeat(4)).is_ok());
    assert_eq!(
        head(&"X: a\r\n".repeat(5)).err(),
        Some(ParseError::TooManyHeaders)
    );
    assert!(head(&format!("X: {}\r\n", "a".repeat(37))).is_ok());
    assert_eq!(
        head(&format!("X: {}\r\n", "a".repeat(38))).err(),
        Some(ParseError::HeaderTooLong)
    );
    assert_eq!(
        head(&format!("X: a\r\n {}\r\n", "a".repeat(38))).err(),
        Some(ParseError::HeaderTooLong)
    );
    assert!(head("Via: a\r\nv: b,c\r\n").is_ok());
    assert_eq!(
        head("Via: a,b\r\nv: c,d\r\n").err(),
        Some(ParseError::TooManyVias)
    );
    assert!(head("Via: \"a,b,c,d\"\r\n").is_ok());
    let uri = |length: usize| scanned(&format!("A sip:{} SIP/2.0\r\n\r\n", "a".repeat(length - 4)));
    assert!(uri(20).is_ok());
    assert_eq!(uri(21).err(), Some(ParseError::UriTooLong));
    assert!(check_size(400, &limits()).is_ok());
    assert_eq!(check_size(401, &limits()), Err(ParseError::TooLarge));
}

#[test]
fn every_error_has_a_label_of_its_own() {
    let all = [
        ParseError::Empty,
        ParseError::TooLarge,
        ParseError::StartLine,
        ParseError::Version,
        ParseError::UriTooLong,
        ParseError::Unterminated,
        ParseError::HeaderName,
        ParseError::HeaderTooLong,
        ParseError::TooManyHeaders,
        ParseError::TooManyVias,
        ParseError::Folding,
        ParseError::ControlCharacter,
        ParseError::ContentLength,
        ParseError::ContentLengthConflict,
        ParseError::Truncated,
    ];
    let mut labels: Vec<_> = all.iter().map(|error| error.reason()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), all.len());
    let codes = |error: ParseError| error.status().map(|status| status.as_u16());
    assert_eq!(codes(ParseError::UriTooLong), Some(414));
    assert_eq!(codes(ParseError::Version), Some(505));
    assert_eq!(codes(ParseError::TooLarge), Some(513));
    assert_eq!(codes(ParseError::Truncated), Some(400));
    assert_eq!(codes(ParseError::Empty), None);
}

#[test]
fn control_characters_are_for_quoted_pairs_only() {
    let to = |value: &str| scanned(&format!("A sip:b SIP/2.0\r\nTo: {value}\r\n\r\n")).err();
    assert_eq!(to("a\tb"), None);
    assert_eq!(to("\"a\\\u{1}b\\\u{7f}\""), None);
    for value in [
        "a\u{0}b",
        "\"a\u{1}b\"",
        "a\\\u{1}b",
        "\"a\"\\\u{1}",
        "a\rb",
        "\"a\\\rb\"",
        "a\u{7f}",
        "a\r",
    ] {
        assert_eq!(to(value), Some(ParseError::ControlCharacter), "{value:?}");
    }
    assert_eq!(
        scanned("A sip:b SIP/2.0\r\nTo\r: a\r\n\r\n").err(),
        Some(ParseError::ControlCharacter)
    );
    assert_eq!(
        scanned("A sip:b SIP/2.0\r\r\nTo: a\r\n\r\n").err(),
        Some(ParseError::StartLine)
    );
    // One bad octet is seen wherever in a block it stands.
    let wide = SipLimits::default();
    for place in 0..300 {
        let value: String = (0..300)
            .map(|at| if at == place { '\u{2}' } else { 'a' })
            .collect();
        let text = format!("A sip:b SIP/2.0\r\nTo: {value}\r\n\r\n");
        assert_eq!(
            scan(text.as_bytes(), &wide).err(),
            Some(ParseError::ControlCharacter),
            "{place}"
        );
    }
}

/// The index is inline up to its size, so a scan takes no memory.
#[test]
fn a_volte_register_does_not_spill_the_index() {
    let register = include_bytes!("../../../benches/register_volte.sip");
    let scanned = scan(register, &SipLimits::default()).unwrap();
    assert_eq!(scanned.headers.len(), 19);
    assert!(!scanned.headers.spilled());
    assert_eq!(scanned.content_length, Some(0));
    assert!(scanned.headers.iter().all(|span| span.name != HeaderName::Other));
}

#[test]
fn a_broken_request_is_salvaged_line_by_line() {
    let text = b"A sip:b SIP/9.9\r\nno colon\r\nTo: a\r\nb@d: x\r\nX: y\r\n\r\n";
    let salvaged = salvage(text, &limits()).unwrap();
    let values: Vec<_> = salvaged.headers.iter().map(|span| span.value(text)).collect();
    assert_eq!(values, [&b"a"[..], b"y"]);
    assert!(salvage(b"SIP/2.0 200 OK\r\n\r\n", &limits()).is_none());
    assert!(salvage(b"", &limits()).is_none());
}

#[test]
fn scrubbed_values_are_clean() {
    let mut value = *b"a\x01\"\\\x02\"\tb";
    scrub(&mut value);
    assert_eq!(&value, b"a \"\\ \"\tb");
    let mut fine = *b"\"\\\x02\" b";
    scrub(&mut fine);
    assert_eq!(&fine, b"\"\\\x02\" b");
}
