//! Testkit: messages that are well-formed but hard for who acts upon them (RFC 4475 3.2, 3.3).

use ims_common::sip::{Contacts, HeaderName, ParseError, Scheme};

use crate::{refused, response, scan, valid};

const VIA: &str = "Via: SIP/2.0/TCP host.example.com;branch=z9hG4bKkdjuw\n";

/// RFC 4475 3.2.1: the branch has the cookie and nothing else.
#[test]
fn a_branch_that_is_only_a_cookie() {
    let options = valid(
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.org;tag=33242\nMax-Forwards: 3\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK\n\
         Accept: application/sdp\nCall-ID: badbranch.1\nCSeq: 8 OPTIONS\nl: 0\n\n",
    );
    assert_eq!(options.top_via().unwrap().branch(), Some(&b"z9hG4bK"[..]));
}

/// RFC 4475 3.3.1
#[test]
fn missing_headers() {
    let all = [
        "To: sip:a@example.com",
        "From: sip:b@example.com;tag=1",
        "Call-ID: insuf.1",
        "CSeq: 193942 INVITE",
        "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf",
    ];
    let without = |left_out: usize| {
        let mut lines = all.to_vec();
        lines.remove(left_out);
        format!(
            "INVITE sip:user@example.com SIP/2.0\n{}\nContent-Length: 0\n\n",
            lines.join("\n")
        )
    };
    let reasons: Vec<_> = (0..all.len())
        .map(|left_out| refused(&without(left_out)))
        .collect();
    assert_eq!(
        reasons,
        [
            "missing_to",
            "missing_from",
            "missing_call_id",
            "missing_cseq",
            "missing_via"
        ]
    );
}

/// RFC 4475 3.3.2, 3.3.3, 3.3.4
#[test]
fn schemes_that_we_do_not_know() {
    let options = |uri: &str, to: &str| {
        valid(&format!(
            "OPTIONS {uri} SIP/2.0\nTo: {to}\nFrom: <sip:caller@example.net>;tag=384\nMax-Forwards: 3\nCall-ID: unkscm.nasdfasser0q239nwsdfasdkl34\nCSeq: 3923423 OPTIONS\n{VIA}Content-Length: 0\n\n"
        ))
    };
    let unknown = options(
        "nobodyKnowsThisScheme:totallyopaquecontent",
        "sip:user@example.com",
    );
    assert_eq!(unknown.request_uri().unwrap().scheme(), Scheme::Other);
    let novel = options("soap.beep://192.0.2.103:3002", "sip:user@example.com");
    assert_eq!(novel.request_uri().unwrap().scheme(), Scheme::Other);
    let isbn = options("sip:user@example.com", "isbn:2983792873");
    assert_eq!(isbn.to().unwrap().uri.as_bytes(), b"isbn:2983792873");
    let urn = options("urn:service:sos", "<urn:service:sos>");
    assert_eq!(urn.request_uri().unwrap().scheme(), Scheme::Urn);
    let tel = options("tel:+1-201-555-0123", "<tel:+1-201-555-0123>");
    assert_eq!(tel.to().unwrap().uri.as_bytes(), b"tel:+1-201-555-0123");
}

/// RFC 4475 3.3.5, 3.3.6, 3.3.7
#[test]
fn extensions_types_and_schemes_of_authorization_that_we_do_not_know() {
    let register = valid(&format!(
        "REGISTER sip:example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:j.user@example.com;tag=87321hj23128\nMax-Forwards: 8\nCall-ID: bext01.0\nCSeq: 9338 REGISTER\n{VIA}\
         Require: nothingSupportsThis, nothingSupportsThisEither\nProxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\nContent-Type: application/unknownformat\n\
         Authorization: NoOneKnowsThisScheme opaque-data=here\nContent-Length: 0\n\n"
    ));
    assert_eq!(register.tokens(HeaderName::Require).count(), 2);
    assert!(register.has_token(HeaderName::ProxyRequire, "nordoanyproxiessupportthis"));
    assert!(register.authorization().unwrap().is_none());
}

/// RFC 4475 3.3.8
#[test]
fn several_values_where_one_belongs() {
    let base = [
        "To: sip:a@example.com",
        "From: sip:b@example.com;tag=1",
        "Call-ID: multi01.1",
        "CSeq: 59 INVITE",
        "Max-Forwards: 70",
        "Expires: 5",
        "Content-Type: application/sdp",
    ];
    for line in base {
        let text = format!(
            "INVITE sip:user@company.example SIP/2.0\n{VIA}{}\n{line}\nl: 0\n\n",
            base.join("\n")
        );
        assert_eq!(refused(&text), "repeated_header", "{line}");
    }
    let cseq = "INVITE sip:user@company.example SIP/2.0\nTo: sip:a@example.com\nFrom: sip:b@example.com;tag=1\nCall-ID: x\nCSeq: 5 INVITE, 59 INVITE\n";
    assert_eq!(refused(&format!("{cseq}{VIA}l: 0\n\n")), "cseq");
}

/// RFC 4475 3.3.9
#[test]
fn lengths_that_conflict() {
    let options = |second: &str| {
        scan(&format!(
            "OPTIONS sip:user@example.com SIP/2.0\nContent-Length: 13\n{second}\n\nThere's no way"
        ))
    };
    assert_eq!(
        options("Content-Length: 5").unwrap_err(),
        ParseError::ContentLengthConflict
    );
    assert_eq!(options("l: 13").unwrap().body(), b"There's no wa");
}

/// RFC 4475 3.3.10
#[test]
fn a_response_that_went_astray() {
    let ok = response(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\nCall-ID: bcast.0384840201234ksdfak3j2erwedfsASdf\n\
         CSeq: 35 INVITE\nFrom: sip:user@example.com;tag=11141343\nTo: sip:user@example.edu;tag=2229\nContent-Length: 0\nContact: <sip:user@host28.example.com>\n\n",
    );
    assert_eq!(ok.values(HeaderName::Via).count(), 2);
}

/// RFC 4475 3.3.11
#[test]
fn no_hops_left() {
    let options = valid(&format!(
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=3ghsd41\nCall-ID: zeromf.jfasdlfnm2o2l43r5u0asdfas\nCSeq: 39234321 OPTIONS\n{VIA}Max-Forwards: 0\nContent-Length: 0\n\n"
    ));
    assert_eq!(options.max_forwards(), Some(0));
}

/// RFC 4475 3.3.12, 3.3.13
#[test]
fn parameters_of_a_contact_and_of_its_uri() {
    let register = |contact: &str| {
        valid(&format!(
            "REGISTER sip:example.com SIP/2.0\n{VIA}Max-Forwards: 70\nFrom: sip:watson@example.com;tag=DkfVgjkrtMwaerKKpe\nTo: sip:watson@example.com\nCall-ID: cparam01.70710@saturn.example.com\n\
             CSeq: 2 REGISTER\nContact: {contact}\nl: 0\n\n"
        ))
    };
    let first = |contact: &str, in_uri: bool| {
        let request = register(contact);
        let Contacts::List(list) = request.contacts().unwrap() else {
            panic!("a list");
        };
        if in_uri {
            list[0].uri.params().has("unknownparam")
        } else {
            list[0].params.has("unknownparam")
        }
    };
    assert!(first("sip:+19725552222@gw1.example.net;unknownparam", false));
    assert!(first("<sip:+19725552222@gw1.example.net;unknownparam>", true));
    assert!(matches!(register("*").contacts().unwrap(), Contacts::Star));
    let escaped = register("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>");
    assert!(
        matches!(escaped.contacts().unwrap(), Contacts::List(list) if list[0].uri.headers().count() == 1)
    );
}

/// RFC 4475 3.3.15 and RFC 3261 10.2.2: the star stands alone.
#[test]
fn a_star_beside_other_contacts() {
    for contact in ["*, <sip:a@example.com>", "<sip:a@example.com>, *"] {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\n{VIA}From: sip:w@example.com;tag=D\nTo: sip:w@example.com\nCall-ID: star\nCSeq: 2 REGISTER\nContact: {contact}\nl: 0\n\n"
        );
        assert!(["contact_star_and_more", "uri_scheme"].contains(&refused(&text)));
    }
}
