//! Testkit: malformed messages (RFC 4475 3.1.2): all are refused, none for the wrong reason.

use ims_common::sip::{HeaderName, ParseError};

use crate::{refused, request, response, scan, valid};

const REST: &str = "From: <sip:caller@example.net>;tag=134161461246\nMax-Forwards: 7\nCall-ID: c.0\nVia: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw\nl: 0\n\n";

/// RFC 4475 3.1.2.1
#[test]
fn extraneous_separators() {
    let invite = |via: &str, contact: &str| {
        format!(
            "INVITE sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=134161461246\nMax-Forwards: 7\nCall-ID: badinv01.0\nCSeq: 8 INVITE\n\
             Via: {via}\nContact: {contact}\nl: 0\n\n"
        )
    };
    let ok = "SIP/2.0/UDP 192.0.2.15";
    assert_eq!(
        refused(&invite("SIP/2.0/UDP 192.0.2.15;;,;,,", "<sip:j@example.org>")),
        "via_parameter"
    );
    assert_eq!(
        refused(&invite(&format!("{ok},,{ok}"), "<sip:j@example.org>")),
        "via_protocol"
    );
    // Not a proxy's business in an INVITE, so it is only refused when read.
    let invite = valid(&invite(ok, "\"Joe\" <sip:joe@example.org>;;;;"));
    assert_eq!(invite.contacts().unwrap_err().reason, "address_parameter");
    assert_eq!(invite.contacts().unwrap_err().header, HeaderName::Contact);
}

/// RFC 4475 3.1.2.2, 3.1.2.3
#[test]
fn lengths_that_cannot_be() {
    let options = |length: &str| {
        scan(&format!(
            "OPTIONS sip:a@example.com SIP/2.0\nContent-Length: {length}\n\nbody"
        ))
    };
    assert_eq!(options("9999").unwrap_err(), ParseError::Truncated);
    assert_eq!(options("-999").unwrap_err(), ParseError::ContentLength);
    assert_eq!(options("4 4").unwrap_err(), ParseError::ContentLength);
    assert_eq!(options("").unwrap_err(), ParseError::ContentLength);
    assert_eq!(
        options("99999999999999999999999999").unwrap_err(),
        ParseError::Truncated
    );
    assert!(options("4").is_ok());
}

/// RFC 4475 3.1.2.4, 3.1.2.5
#[test]
fn numbers_that_are_too_large() {
    let register = |cseq: &str, hops: &str| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3\nTo: <sip:user@example.com>\nFrom: <sip:user@example.com>;tag=239232jh3\nCSeq: {cseq} REGISTER\n\
             Call-ID: scalar02.23\nMax-Forwards: {hops}\nExpires: 1000000000000000000\nContact: <sip:user@host129.example.com>;expires=280297596632815\nContent-Length: 0\n\n"
        )
    };
    assert_eq!(refused(&register("36893488147419103232", "70")), "cseq_number");
    assert_eq!(refused(&register("2147483648", "70")), "cseq_number");
    assert_eq!(refused(&register("1", "300")), "max_forwards");
    assert_eq!(refused(&register("1", "-1")), "max_forwards");
    let taken = valid(&register("2147483647", "255"));
    assert_eq!(taken.expires(), Some(u32::MAX));
    let answer = response(
        "SIP/2.0 503 Service Unavailable\nVia: SIP/2.0/TCP host129.example.com;branch=z9hG4bKzzxdiwo34sw;received=192.0.2.129\nTo: <sip:user@example.com>\nFrom: <sip:other@example.net>;tag=2easdjfejw\n\
         CSeq: 9292394834772304023312 OPTIONS\nCall-ID: scalarlg.noase0of0234hn2qofoaf0232aewf2394r\nRetry-After: 949302838503028349304023988\nWarning: 1812 overture \"In Progress\"\nContent-Length: 0\n\n",
    );
    assert_eq!(answer.cseq().unwrap_err().reason, "cseq_number");
}

/// RFC 4475 3.1.2.6
#[test]
fn a_quoted_name_without_an_end() {
    let text = format!(
        "INVITE sip:user@example.com SIP/2.0\nTo: \"Mr. J. User <sip:j.user@example.com>\nCSeq: 8 INVITE\n{REST}"
    );
    assert_eq!(refused(&text), "address_quote");
}

/// RFC 4475 3.1.2.7 to 3.1.2.10
#[test]
fn request_lines_that_are_not() {
    for line in [
        "INVITE <sip:user@example.com> SIP/2.0",
        "INVITE sip:user@example.com; lr SIP/2.0",
        "INVITE  sip:user@example.com  SIP/2.0",
        "INVITE sip:user@example.com SIP/2.0 ",
        "INVITE sip:user@example.com",
        "INVITE",
        " INVITE sip:user@example.com SIP/2.0",
        "INV@TE sip:user@example.com SIP/2.0",
        "INVITE sip:user@example.com HTTP/1.1",
        "INVITE  SIP/2.0",
        "INVITE sip:us\ter@example.com SIP/2.0",
        "INVITE sip:us\u{1}er@example.com SIP/2.0",
    ] {
        assert_eq!(
            scan(&format!("{line}\n{REST}")).unwrap_err(),
            ParseError::StartLine,
            "{line}"
        );
    }
}

/// RFC 4475 3.1.2.11
#[test]
fn headers_in_a_request_uri() {
    let text = format!(
        "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0\nTo: sip:user@example.com\nCSeq: 8 INVITE\n{REST}"
    );
    assert_eq!(refused(&text), "request_uri_headers");
}

/// RFC 4475 3.1.2.12: a proxy does not read Date.
#[test]
fn a_date_in_another_time_zone_is_carried() {
    let invite = valid(&format!(
        "INVITE sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nCSeq: 8 INVITE\nDate: Fri, 01 Jan 2010 16:00:00 EST\n{REST}"
    ));
    assert_eq!(invite.values(HeaderName::Date).count(), 1);
}

/// RFC 4475 3.1.2.13
#[test]
fn a_contact_with_headers_but_without_brackets() {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\nTo: sip:user@example.com\nCSeq: 8 REGISTER\nContact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\n{REST}"
    );
    assert_eq!(refused(&text), "address_needs_brackets");
}

/// RFC 4475 3.1.2.14, 3.1.2.15
#[test]
fn spaces_in_an_address_and_names_that_are_no_tokens() {
    let options =
        |to: &str| format!("OPTIONS sip:user@example.org SIP/2.0\nt: {to}\nCSeq: 3923423 OPTIONS\n{REST}");
    assert_eq!(
        refused(&options("\"Watson, Thomas\" < sip:t.watson@example.org >")),
        "uri_scheme"
    );
    assert_eq!(
        refused(&options("\"Watson, Thomas\" <sip:t.watson@example.org >")),
        "uri_character"
    );
    // "An element may attempt to infer": To is not a list, so there is nothing to mistake.
    let lenient = valid(&options("Bell, Alexander <sip:a.g.bell@example.com>;tag=43"));
    assert_eq!(lenient.to().unwrap().tag(), Some(&b"43"[..]));
}

/// RFC 4475 3.1.2.16
#[test]
fn another_version() {
    assert_eq!(
        scan("OPTIONS sip:t.watson@example.org SIP/7.0\nTo: sip:a\n\n").unwrap_err(),
        ParseError::Version
    );
    assert_eq!(
        scan("SIP/7.0 200 OK\nTo: sip:a\n\n").unwrap_err(),
        ParseError::Version
    );
    assert!(scan("OPTIONS sip:t.watson@example.org sip/2.0\nTo: sip:a\n\n").is_ok());
}

/// RFC 4475 3.1.2.17, 3.1.2.18
#[test]
fn another_method_in_cseq() {
    let of = |method: &str| {
        refused(&format!(
            "{method} sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nCSeq: 8 INVITE\n{REST}"
        ))
    };
    assert_eq!(of("OPTIONS"), "cseq_method");
    assert_eq!(of("NEWMETHOD"), "cseq_method");
}

/// RFC 4475 3.1.2.19
#[test]
fn status_codes_that_do_not_exist() {
    for line in [
        "SIP/2.0 4294967301 better not break the receiver",
        "SIP/2.0 99 X",
        "SIP/2.0 700 X",
        "SIP/2.0 20 OK",
        "SIP/2.0 2x0 OK",
        "SIP/2.0 200OK",
        "SIP/2.0",
    ] {
        assert_eq!(
            scan(&format!("{line}\n{REST}")).unwrap_err(),
            ParseError::StartLine,
            "{line}"
        );
    }
}

#[test]
fn heads_that_are_not() {
    let of = |lines: &str| scan(&format!("OPTIONS sip:a SIP/2.0\n{lines}")).unwrap_err();
    assert_eq!(of(" folded\nTo: a\n\n"), ParseError::Folding);
    assert_eq!(of("To a\n\n"), ParseError::HeaderName);
    assert_eq!(of(": a\n\n"), ParseError::HeaderName);
    assert_eq!(of("T o: a\n\n"), ParseError::HeaderName);
    assert_eq!(of("To: a\n"), ParseError::Unterminated);
    assert_eq!(of("To: a"), ParseError::Unterminated);
    assert_eq!(of("To: a\u{0}b\n\n"), ParseError::ControlCharacter);
    assert_eq!(of("To: a\rVia: b\n\n"), ParseError::ControlCharacter);
    assert_eq!(of("To: \"a\u{7}\" <sip:a>\n\n"), ParseError::ControlCharacter);
    assert_eq!(of("To: a\u{7f}\n\n"), ParseError::ControlCharacter);
    assert_eq!(scan("").unwrap_err(), ParseError::Empty);
    assert_eq!(scan("\n\n").unwrap_err(), ParseError::Empty);
    assert_eq!(
        request("OPTIONS sip:a SIP/2.0\nTo: \"\u{e9}\"\n\n").header(HeaderName::To),
        Some("\"\u{e9}\"".as_bytes())
    );
}
