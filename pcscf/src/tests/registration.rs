//! Testkit: REGISTER through the P-CSCF (checklist GM-01, GM-09 to GM-14, GM-49, GM-50).

use std::time::Duration;

use ims_common::sip::{HeaderName, SipMessage};

use super::{Bench, IMPI, REALM, Register, UE, credentials, grant, header, lines, remote, text};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";
const SEC_AGREE: &str = "Require: sec-agree\r\nProxy-Require: sec-agree\r\n\
     Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1111;spi-s=1112;port-c=45061;port-s=45062\r\n";

fn forwarded(register: &Register) -> ims_common::sip::Request {
    let mut bench = Bench::new();
    bench.receive(register.flow(), &register.text());
    bench.request()
}

#[test]
fn a_register_leaves_with_path_and_require_path() {
    let request = forwarded(&Register::default());
    let path = header(&request, HeaderName::Path).unwrap();
    let token = path
        .strip_prefix("<sip:")
        .and_then(|rest| rest.strip_suffix("@127.0.1.2;lr;term>"))
        .unwrap();
    assert_eq!(
        ims_common::token::shard_of(token.as_bytes()),
        Some(Default::default())
    );
    assert_eq!(lines(&request, HeaderName::Require), ["path"]);
    assert_eq!(request.request_uri_bytes(), format!("sip:{REALM}").as_bytes());
}

#[test]
fn the_security_agreement_ends_at_the_pcscf() {
    let request = forwarded(&Register {
        further: SEC_AGREE.to_owned(),
        ..Register::default()
    });
    assert_eq!(lines(&request, HeaderName::Require), ["path"]);
    assert_eq!(lines(&request, HeaderName::ProxyRequire), Vec::<String>::new());
    assert_eq!(lines(&request, HeaderName::SecurityClient), Vec::<String>::new());
    assert_eq!(header(&request, HeaderName::Supported).unwrap(), "path,sec-agree");
}

#[test]
fn other_required_tags_stay_beside_path() {
    let request = forwarded(&Register {
        further: "Require: outbound, sec-agree\r\nRequire: gruu\r\n".to_owned(),
        ..Register::default()
    });
    assert_eq!(lines(&request, HeaderName::Require), ["outbound, gruu, path"]);
}

#[test]
fn an_unprotected_register_is_marked_so_whatever_the_ue_wrote() {
    for forged in [
        "",
        ",integrity-protected=\"yes\"",
        ",integrity-protected=ip-assoc-yes,Integrity-Protected=yes",
    ] {
        let request = forwarded(&Register {
            authorization: Some(credentials("", forged)),
            ..Register::default()
        });
        let seen = request.authorization().unwrap().unwrap();
        assert_eq!(seen.integrity_protected().unwrap().as_ref(), b"no", "{forged}");
        let line = header(&request, HeaderName::Authorization).unwrap();
        assert_eq!(
            line.to_ascii_lowercase().matches("integrity-protected").count(),
            1,
            "{line}"
        );
        assert!(line.starts_with(&format!("Digest username=\"{IMPI}\"")), "{line}");
    }
}

#[test]
fn an_aka_answer_without_a_security_association_is_marked_no() {
    for further in [
        ",algorithm=AKAv1-MD5",
        ",algorithm=\"AKAv1-MD5\"",
        ",auts=\"AAAA\"",
    ] {
        let request = forwarded(&Register {
            authorization: Some(credentials("00ff", further)),
            ..Register::default()
        });
        let seen = request.authorization().unwrap().unwrap();
        assert_eq!(seen.integrity_protected().unwrap().as_ref(), b"no");
    }
}

#[test]
fn a_digest_answer_is_vouched_for_by_a_registration_of_this_user_from_this_address_and_port_alone() {
    let digest = |cseq, from| Register {
        cseq,
        from,
        authorization: Some(credentials("00ff", ",algorithm=MD5")),
        ..Register::default()
    };
    let mark = |bench: &mut Bench, register: &Register| {
        bench.receive(register.flow(), &register.text());
        let request = bench.request();
        let seen = request.authorization().unwrap().unwrap();
        String::from_utf8_lossy(&seen.integrity_protected().unwrap()).into_owned()
    };
    let mut bench = Bench::new();
    assert_eq!(mark(&mut bench, &digest(1, UE)), "ip-assoc-pending");
    bench.register(&digest(2, UE), &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(mark(&mut bench, &digest(3, UE)), "ip-assoc-yes");
    assert_eq!(
        mark(&mut bench, &digest(4, "127.0.1.10:5061")),
        "ip-assoc-pending"
    );
    assert_eq!(
        mark(&mut bench, &digest(5, "127.0.1.11:5060")),
        "ip-assoc-pending"
    );
    let mut other = digest(6, UE);
    other.authorization = other
        .authorization
        .map(|text| text.replace(IMPI, "someone@else.test"));
    assert_eq!(mark(&mut bench, &other), "ip-assoc-pending");
}

#[test]
fn no_authorization_is_added_where_none_is() {
    let request = forwarded(&Register {
        authorization: None,
        ..Register::default()
    });
    assert!(request.header(HeaderName::Authorization).is_none());
}

#[test]
fn an_empty_username_is_as_good_as_none() {
    let request = forwarded(&Register {
        authorization: Some(format!("Digest username=\"\",realm=\"{REALM}\"")),
        ..Register::default()
    });
    let authorization = header(&request, HeaderName::Authorization).unwrap();
    assert!(authorization.contains("integrity-protected"), "{authorization}");
}

#[test]
fn two_authorizations_are_refused() {
    let mut bench = Bench::new();
    let further = format!(
        "Authorization: {}\r\n",
        credentials("", ",integrity-protected=yes")
    );
    bench.ue_says(
        &Register {
            further,
            ..Register::default()
        }
        .text(),
    );
    assert_eq!(bench.response().status().as_u16(), 400);
}

#[test]
fn the_visited_network_and_the_charging_vector_are_the_networks_own() {
    let forged = "P-Visited-Network-ID: \"elsewhere.test\"\r\nP-Visited-Network-ID: more.test\r\n\
         P-Charging-Vector: icid-value=forged;orig-ioi=forged\r\n";
    let request = forwarded(&Register {
        further: forged.to_owned(),
        ..Register::default()
    });
    assert_eq!(lines(&request, HeaderName::PVisitedNetworkId), [REALM]);
    let vectors = lines(&request, HeaderName::PChargingVector);
    let [vector] = vectors.as_slice() else {
        panic!("{vectors:?}");
    };
    assert!(vector.starts_with("icid-value="), "{vector}");
    assert!(
        vector.ends_with(&format!(
            ";icid-generated-at=127.0.1.2;orig-ioi=\"Type 1{REALM}\""
        )),
        "{vector}"
    );
    assert!(!text(&request).contains("forged"));
}

#[test]
fn each_register_has_a_charging_identity_of_its_own() {
    let mut bench = Bench::new();
    let mut vectors = Vec::new();
    for cseq in 1..=2 {
        bench.ue_says(&Register::nth(cseq).text());
        vectors.push(header(&bench.request(), HeaderName::PChargingVector));
    }
    assert_ne!(vectors.first(), vectors.last());
}

#[test]
fn what_only_the_network_may_say_is_taken_from_the_ue() {
    let names = [
        "P-Charging-Function-Addresses: ccf=forged",
        "P-Asserted-Identity: <sip:forged@home.test>",
        "P-Asserted-Service: urn:forged",
        "P-Served-User: <sip:forged@home.test>",
        "P-Profile-Key: <sip:forged@home.test>",
        "P-Private-Network-Indication: forged",
        "P-Media-Authorization: 00f0rged",
        "P-User-Database: <aaa://forged>",
        "Path: <sip:forged@home.test;lr>",
        "Route: <sip:127.0.1.1;lr>, <sip:forged.test;lr>",
    ];
    let request = forwarded(&Register {
        further: names.map(|line| format!("{line}\r\n")).concat(),
        ..Register::default()
    });
    let seen = text(&request);
    assert!(!seen.contains("orged"), "{seen}");
    assert_eq!(lines(&request, HeaderName::Path).len(), 1);
}

#[test]
fn access_network_info_of_the_ue_stays_and_network_provided_goes() {
    let own = "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000001";
    let further = format!(
        "P-Access-Network-Info: {own}\r\nP-Access-Network-Info: 3GPP-NR-TDD;x=1; Network-Provided\r\nX-Kept: yes\r\n"
    );
    let request = forwarded(&Register {
        further,
        ..Register::default()
    });
    assert_eq!(lines(&request, HeaderName::PAccessNetworkInfo), [own]);
    let untouched = forwarded(&Register {
        further: format!("P-Access-Network-Info: {own}\r\n"),
        ..Register::default()
    });
    assert_eq!(lines(&untouched, HeaderName::PAccessNetworkInfo), [own]);
}

#[test]
fn keys_never_reach_the_ue_whatever_the_challenge_looks_like() {
    let challenges = [
        "Digest realm=\"h\",nonce=\"n\",algorithm=AKAv1-MD5,qop=\"auth\",ck=\"0badc0de\",ik=\"0badc0de\"",
        "Digest ik=0badc0de, realm=\"h\", nonce=\"n\" , CK = \"0badc0de\"",
        "Digest realm=\"h, nonce=\"n\",ck=\"0badc0de\",ik=\"0badc0de\"",
        "Digest realm=\"h\" ck=\"0badc0de\" ik=\"0badc0de\"",
    ];
    for challenge in challenges {
        let mut bench = Bench::new();
        bench.ue_says(&Register::default().text());
        let request = bench.request();
        let further = format!(
            "WWW-Authenticate: Digest realm=\"first\",nonce=\"m\",ck=\"0badc0de\"\r\nWWW-Authenticate: {challenge}\r\n\
             P-Charging-Vector: icid-value=x\r\nP-Charging-Function-Addresses: ccf=x\r\n"
        );
        bench.home_answers(&request, 401, &further);
        let (destination, answer) = bench.next();
        let SipMessage::Response(answer) = answer else {
            panic!("a request went to the UE");
        };
        assert_eq!(answer.status().as_u16(), 401);
        let seen = text(&answer);
        assert!(!seen.contains("0badc0de"), "{seen}");
        assert!(!seen.contains("P-Charging"), "{seen}");
        assert!(seen.contains("Digest realm=\"first\",nonce=\"m\"\r\n"), "{seen}");
        assert_eq!(remote(&destination), UE.parse().unwrap());
    }
}

#[test]
fn a_grant_is_kept_and_replaced_as_a_whole_by_the_next() {
    let mut bench = Bench::new();
    let response = bench.register(
        &Register::nth(1),
        &grant(CONTACT, 3600, "sip:first@s.home.test;lr"),
    );
    assert_eq!(response.status().as_u16(), 200);
    assert!(!text(&response).contains("P-Charging"));
    assert!(response.header(HeaderName::ServiceRoute).is_some());
    let further = "Service-Route: <sip:second@s.home.test;lr>\r\nService-Route: <sip:third@s.home.test;lr>\r\n\
         P-Associated-URI: <sip:+15550002@home.test>\r\n";
    let granted = format!("Contact: <{CONTACT}>\r\nExpires: 1800\r\n{further}");
    bench.register(&Register::nth(2), &granted);
    assert_eq!(bench.node.contact_count(), 1);
    let flow = Register::default().flow();
    let behind = bench.node.contacts.behind(&flow);
    let [(_, contact)] = behind.as_slice() else {
        panic!("{behind:?}");
    };
    let [registration] = contact.registrations() else {
        panic!("{contact:?}");
    };
    assert_eq!(
        registration
            .service_route
            .iter()
            .map(|value| &**value)
            .collect::<Vec<_>>(),
        ["<sip:second@s.home.test;lr>", "<sip:third@s.home.test;lr>"]
    );
    let associated: Vec<String> = registration
        .associated
        .iter()
        .map(|uri| String::from_utf8_lossy(uri.as_bytes()).into_owned())
        .collect();
    assert_eq!(associated, ["sip:+15550002@home.test"]);
}

#[test]
fn a_ue_that_drops_an_old_address_and_brings_a_new_one_is_registered_at_the_new_one() {
    let mut bench = Bench::new();
    let register = Register {
        contact: Some(format!(
            "<sip:001010000000001@127.0.1.10:5999>;expires=0, <{CONTACT}>;expires=3600"
        )),
        ..Register::default()
    };
    bench.register(&register, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    let behind = bench.node.contacts.behind(&register.flow());
    let [(_, contact)] = behind.as_slice() else {
        panic!("{behind:?}");
    };
    assert_eq!(contact.address.to_string(), CONTACT);
}

#[test]
fn a_re_registration_keeps_its_path_and_the_binding_ends_when_it_was_granted_to() {
    let mut bench = Bench::new();
    bench.ue_says(&Register::nth(1).text());
    let first = bench.request();
    bench.home_answers(&first, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    bench.flush();
    bench.advance(Duration::from_secs(3000));
    bench.ue_says(&Register::nth(2).text());
    let second = bench.request();
    assert_eq!(
        header(&first, HeaderName::Path),
        header(&second, HeaderName::Path)
    );
    bench.home_answers(&second, 200, &grant(CONTACT, 1200, "sip:s.home.test;lr"));
    bench.advance(Duration::from_secs(1199));
    assert_eq!(bench.node.contact_count(), 1);
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.node.contact_count(), 0);
}

#[test]
fn a_refusal_changes_nothing_of_what_is_registered() {
    let mut bench = Bench::new();
    bench.register(&Register::nth(1), &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    for (cseq, code) in [(2, 401), (3, 403), (4, 500), (5, 423)] {
        bench.ue_says(&Register::nth(cseq).text());
        let request = bench.request();
        bench.home_answers(&request, code, "");
        assert_eq!(bench.response().status().as_u16(), code);
    }
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn tcp_and_ipv6_register_like_udp_and_ipv4() {
    for (from, connection) in [
        (UE, Some(4)),
        ("[2001:db8::10]:5060", None),
        ("[2001:db8::10]:40001", Some(5)),
    ] {
        let mut bench = Bench::new();
        let register = Register {
            from,
            connection,
            ..Register::default()
        };
        bench.receive(register.flow(), &register.text());
        let request = bench.request();
        bench.home_answers(&request, 200, &grant(CONTACT, 600, "sip:s.home.test;lr"));
        let (destination, _) = bench.next();
        assert_eq!(remote(&destination), from.parse().unwrap());
        assert_eq!(bench.node.contact_count(), 1);
    }
}

#[test]
fn a_full_table_sends_newcomers_away_and_serves_those_it_knows() {
    let mut bench = Bench::with("", ", contacts: 1");
    bench.register(&Register::nth(1), &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    let newcomer = Register {
        from: "127.0.1.11:5060",
        authorization: Some(credentials("", "").replace(IMPI, "other@home.test")),
        contact: Some("<sip:other@127.0.1.11:5060>".to_owned()),
        ..Register::default()
    };
    bench.receive(newcomer.flow(), &newcomer.text());
    let refused = bench.response();
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.header(HeaderName::RetryAfter).is_some());
    bench.ue_says(&Register::nth(2).text());
    assert_eq!(bench.request().method().as_str(), "REGISTER");
}
