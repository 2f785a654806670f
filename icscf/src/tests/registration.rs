//! Testkit: REGISTER through the I-CSCF (checklist IC-01, IC-02, IC-08, IC-12, CX-02, CX-10, CX-23).

use std::time::Duration;

use hss_client::cx::{CxError, CxResult, UserAuthorizationType};
use ims_common::sip::HeaderName;

use super::{
    Bench, CONTACT, IMPI, PCSCF, REALM, S1, S2, authorization, first_register, lines, register_text, text,
    uaa, uaa_wanting,
};

#[test]
fn a_register_asks_the_hss_and_goes_to_the_named_scscf_under_its_name() {
    let mut bench = Bench::new();
    bench.receive(PCSCF, &first_register());
    let (id, uar) = bench.uar();
    assert_eq!(uar.user_name.as_str(), IMPI);
    assert_eq!(uar.public_identity.as_str(), format!("sip:{IMPI}"));
    assert_eq!(uar.visited_network, REALM);
    assert_eq!(uar.authorization_type, UserAuthorizationType::Registration);
    assert!(!uar.emergency);
    bench.hss_answers(
        id,
        uaa(CxResult::SUBSEQUENT_REGISTRATION, Some("sip:127.0.1.99:5070")),
    );
    let (remote, request) = bench.request();
    assert_eq!(remote.to_string(), "127.0.1.99:5070");
    assert_eq!(request.request_uri_bytes(), b"sip:127.0.1.99:5070");
    assert_eq!(
        lines(&request, HeaderName::Path),
        ["<sip:token@127.0.1.2;lr;term>"]
    );
    assert!(request.header(HeaderName::Route).is_none());
    assert!(request.header(HeaderName::RecordRoute).is_none());
    bench.reply(
        remote,
        &request,
        401,
        "WWW-Authenticate: Digest realm=\"h\",nonce=\"n\",ck=\"00\",ik=\"11\"\r\n",
    );
    let response = bench.response();
    assert_eq!(response.status().as_u16(), 401);
    assert!(text(&response).contains("ck=\"00\""));
    assert_eq!(response.headers(HeaderName::Via).count(), 2);
}

#[test]
fn every_register_asks_again() {
    let mut bench = Bench::new();
    for branch in ["z9hG4bKp1", "z9hG4bKp2"] {
        bench.receive(PCSCF, &first_register().replace("z9hG4bKp1", branch));
        let (id, _) = bench.uar();
        bench.hss_answers(id, uaa(CxResult::FIRST_REGISTRATION, Some(S1)));
        bench.request();
    }
}

#[test]
fn each_result_of_the_hss_has_its_answer() {
    let refusals = [
        (CxResult::USER_UNKNOWN, 403),
        (CxResult::IDENTITIES_DONT_MATCH, 403),
        (CxResult::IDENTITY_NOT_REGISTERED, 403),
        (CxResult::ROAMING_NOT_ALLOWED, 403),
        (CxResult::AUTHORIZATION_REJECTED, 403),
        (CxResult::UNABLE_TO_COMPLY, 480),
        (CxResult::UNABLE_TO_DELIVER, 480),
        (CxResult::TOO_BUSY, 480),
        (CxResult::Base(4001), 480),
        // The numbers of the other AVP mean something else.
        (CxResult::Base(2002), 480),
        (CxResult::Base(5001), 480),
        (CxResult::Base(5002), 480),
        (CxResult::Experimental(5012), 480),
        (CxResult::Missing, 480),
    ];
    for (result, status) in refusals {
        let mut bench = Bench::new();
        bench.register(&first_register(), uaa(result, Some(S1)));
        assert_eq!(bench.final_status(), status, "{result:?}");
        assert!(bench.is_quiet());
    }
    let successes = [
        CxResult::FIRST_REGISTRATION,
        CxResult::SUBSEQUENT_REGISTRATION,
        CxResult::SUCCESS,
    ];
    for result in successes {
        let mut bench = Bench::new();
        bench.register(&first_register(), uaa(result, Some(S1)));
        assert_eq!(bench.request().1.request_uri_bytes(), S1.as_bytes(), "{result:?}");
    }
}

#[test]
fn an_hss_without_an_answer_is_480_at_once() {
    for error in [
        CxError::Timeout,
        CxError::NoPeer,
        CxError::Overloaded,
        CxError::Malformed("avp"),
    ] {
        let mut bench = Bench::new();
        bench.receive(PCSCF, &first_register());
        let (id, _) = bench.uar();
        bench.advance(Duration::from_secs(5));
        bench.flush();
        bench.hss_answers(id, Err(error));
        assert_eq!(bench.final_status(), 480);
    }
}

#[test]
fn a_user_without_an_scscf_gets_the_first_that_is_able() {
    for (answer, chosen) in [
        (uaa(CxResult::FIRST_REGISTRATION, None), S1),
        (uaa_wanting(&[], &[]), S1),
        (uaa_wanting(&[2], &[]), S2),
        (uaa_wanting(&[], &[1, 2]), S2),
    ] {
        let mut bench = Bench::new();
        bench.register(&first_register(), answer);
        assert_eq!(bench.request().1.request_uri_bytes(), chosen.as_bytes());
    }
    let mut bench = Bench::new();
    bench.register(&first_register(), uaa_wanting(&[1, 77], &[]));
    assert_eq!(bench.final_status(), 600);
}

#[test]
fn the_type_of_the_uar_follows_what_the_contacts_want() {
    let cases = [
        (CONTACT.to_owned(), UserAuthorizationType::Registration),
        (String::new(), UserAuthorizationType::Registration),
        ("Expires: 0\r\n".to_owned(), UserAuthorizationType::Registration),
        (
            "Contact: *\r\nExpires: 0\r\n".to_owned(),
            UserAuthorizationType::DeRegistration,
        ),
        // Nobody leaves by these: the S-CSCF will say 400, and some HSSs forget the user on being asked.
        (
            "Contact: *\r\nExpires: 3600\r\n".to_owned(),
            UserAuthorizationType::Registration,
        ),
        ("Contact: *\r\n".to_owned(), UserAuthorizationType::Registration),
        (
            "Contact: <sip:u@127.0.1.10>\r\nExpires: 0\r\n".to_owned(),
            UserAuthorizationType::DeRegistration,
        ),
        (
            "Contact: <sip:u@127.0.1.10>;expires=0\r\nExpires: 3600\r\n".to_owned(),
            UserAuthorizationType::DeRegistration,
        ),
        (
            "Contact: <sip:a@127.0.1.10>;expires=0, <sip:b@127.0.1.10>;expires=60\r\n".to_owned(),
            UserAuthorizationType::Registration,
        ),
    ];
    for (further, wanted) in cases {
        let mut bench = Bench::new();
        bench.receive(PCSCF, &register_text(&further));
        assert_eq!(bench.uar().1.authorization_type, wanted, "{further}");
    }
}

#[test]
fn an_emergency_contact_raises_the_flag() {
    let mut bench = Bench::new();
    bench.receive(
        PCSCF,
        &register_text("Contact: <sip:u@127.0.1.10;sos>;expires=3600\r\n"),
    );
    assert!(bench.uar().1.emergency);
}

#[test]
fn the_visited_network_is_asked_without_quotes_and_is_our_own_where_none_is_named() {
    let cases = [
        ("P-Visited-Network-ID: visited.test\r\n", "visited.test"),
        (
            "P-Visited-Network-ID: \"Visited \\\"one\\\"\";x=y\r\n",
            "Visited \"one\"",
        ),
        (
            "P-Visited-Network-ID: visited.test;x=y, other.test\r\n",
            "visited.test",
        ),
        ("", REALM),
    ];
    for (line, wanted) in cases {
        let mut bench = Bench::new();
        bench.receive(PCSCF, &register_text(&format!("{CONTACT}{line}")));
        assert_eq!(bench.uar().1.visited_network, wanted, "{line}");
    }
}

#[test]
fn without_authorization_the_private_identity_is_derived() {
    let mut bench = Bench::new();
    bench.receive(PCSCF, &register_text(CONTACT));
    assert_eq!(bench.uar().1.user_name.as_str(), IMPI);
}

#[test]
fn an_empty_username_is_as_good_as_none() {
    let mut bench = Bench::new();
    let authorization = format!("Authorization: Digest username=\"\",realm=\"{REALM}\"\r\n");
    bench.receive(PCSCF, &register_text(&format!("{CONTACT}{authorization}")));
    assert_eq!(bench.uar().1.user_name.as_str(), IMPI);
}

#[test]
fn a_register_from_outside_the_trust_domain_is_refused() {
    let mut bench = Bench::with(", trusted_peers: [127.0.1.0/24]");
    bench.receive("192.0.2.66:5060", &first_register());
    assert_eq!(bench.final_status(), 403);
    assert!(bench.is_quiet());
    bench.receive(PCSCF, &first_register().replace("z9hG4bKp1", "z9hG4bKp2"));
    bench.uar();
}

#[test]
fn a_route_of_the_register_ends_here() {
    let mut bench = Bench::new();
    let further = format!(
        "{CONTACT}{}Route: <sip:127.0.1.3;lr>\r\nP-User-Database: <aaa://x>\r\n",
        authorization("no")
    );
    bench.register(
        &register_text(&further),
        uaa(CxResult::FIRST_REGISTRATION, Some(S1)),
    );
    let (_, request) = bench.request();
    assert!(request.header(HeaderName::Route).is_none());
    assert!(request.header(HeaderName::PUserDatabase).is_none());
}
