//! Testkit: other initial requests (checklist IC-03, IC-04, IC-05, IC-08, IC-09, IC-10, IC-11, CX-06).

use hss_client::cx::{CxAnswer, CxError, CxResult, Lia, UserAuthorizationType};
use ims_common::sip::HeaderName;

use super::{Bench, PCSCF, REALM, S1, S2, S3, capabilities, lia, lines, request_text, text};

fn callee() -> String {
    format!("sip:+15550002@{REALM}")
}

fn located(request: &str) -> (Bench, hss_client::cx::CxRequestId, hss_client::cx::Lir) {
    let mut bench = Bench::new();
    bench.receive(PCSCF, request);
    bench.flush();
    let (id, lir) = bench.lir();
    (bench, id, lir)
}

#[test]
fn a_request_finds_the_scscf_and_keeps_its_request_uri() {
    for method in ["INVITE", "MESSAGE"] {
        let (mut bench, id, lir) = located(&request_text(method, &callee(), "Contact: <sip:a@b.test>\r\n"));
        assert_eq!(lir.public_identity.as_str(), callee());
        assert!(!lir.originating);
        bench.hss_answers(id, lia(CxResult::SUCCESS, Some("sip:127.0.1.4:5060")));
        let (remote, sent) = bench.request();
        assert_eq!(remote.to_string(), "127.0.1.4:5060");
        assert_eq!(sent.request_uri_bytes(), callee().as_bytes());
        assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.4:5060;lr>"]);
        assert!(sent.header(HeaderName::RecordRoute).is_none());
    }
}

#[test]
fn our_own_route_is_taken_off() {
    let further = "Route: <sip:127.0.1.3:5060;lr>\r\n";
    let (mut bench, id, _) = located(&request_text("MESSAGE", &callee(), further));
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    assert_eq!(
        lines(&bench.request().1, HeaderName::Route),
        ["<sip:127.0.1.4:5060;lr>"]
    );
}

#[test]
fn each_result_of_the_hss_has_its_answer() {
    let refusals = [
        (lia(CxResult::USER_UNKNOWN, None), 404),
        (lia(CxResult::IDENTITY_NOT_REGISTERED, None), 480),
        (lia(CxResult::SERVER_NAME_NOT_STORED, None), 480),
        (lia(CxResult::UNABLE_TO_COMPLY, None), 480),
        (lia(CxResult::TOO_BUSY, None), 480),
        (lia(CxResult::Missing, None), 480),
        (Err(CxError::Timeout), 480),
        (Err(CxError::NoPeer), 480),
    ];
    for (answer, status) in refusals {
        let (mut bench, id, _) = located(&request_text("INVITE", &format!("sip:bob@{REALM}"), ""));
        bench.hss_answers(id, answer);
        assert_eq!(bench.final_status(), status);
        assert!(bench.is_quiet());
    }
}

#[test]
fn a_number_that_nobody_knows_is_asked_for_in_its_other_spellings() {
    let as_sip = format!("sip:+15550002@{REALM};user=phone");
    for (uri, first, second, onward) in [
        (
            callee(),
            callee(),
            "tel:+15550002".to_owned(),
            "tel:+15550002".to_owned(),
        ),
        (
            "tel:+1-555-0002".to_owned(),
            "tel:+15550002".to_owned(),
            callee(),
            as_sip.clone(),
        ),
        (
            as_sip.clone(),
            "tel:+15550002".to_owned(),
            callee(),
            as_sip.clone(),
        ),
    ] {
        let (mut bench, id, lir) = located(&request_text("INVITE", &uri, ""));
        assert_eq!(lir.public_identity.as_str(), first);
        bench.hss_answers(id, lia(CxResult::USER_UNKNOWN, None));
        let (id, lir) = bench.lir();
        assert_eq!(lir.public_identity.as_str(), second);
        bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
        assert_eq!(bench.request().1.request_uri_bytes(), onward.as_bytes(), "{uri}");
        let (mut bench, id, _) = located(&request_text("INVITE", &uri, ""));
        bench.hss_answers(id, lia(CxResult::USER_UNKNOWN, None));
        let bare = ["tel:15550002".to_owned(), callee().replace('+', "")];
        for expected in [second].iter().chain(&bare) {
            let (id, lir) = bench.lir();
            assert_eq!(lir.public_identity.as_str(), expected);
            bench.hss_answers(id, lia(CxResult::USER_UNKNOWN, None));
        }
        assert_eq!(bench.final_status(), 404);
        assert!(bench.is_quiet());
    }
}

#[test]
fn a_number_that_the_hss_has_no_server_for_is_asked_for_in_its_other_spellings() {
    let (mut bench, id, _) = located(&request_text("INVITE", "tel:+15550002", ""));
    bench.hss_answers(id, lia(CxResult::SERVER_NAME_NOT_STORED, None));
    for _ in 0..2 {
        let (id, _) = bench.lir();
        bench.hss_answers(id, lia(CxResult::SERVER_NAME_NOT_STORED, None));
    }
    let (id, lir) = bench.lir();
    assert_eq!(lir.public_identity.as_str(), callee().replace('+', ""));
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    assert_eq!(
        bench.request().1.request_uri_bytes(),
        callee().replace('+', "").as_bytes()
    );
    let (mut bench, mut id, _) = located(&request_text("INVITE", "tel:+15550002", ""));
    for _ in 0..3 {
        bench.hss_answers(id, lia(CxResult::SERVER_NAME_NOT_STORED, None));
        id = bench.lir().0;
    }
    bench.hss_answers(id, lia(CxResult::SERVER_NAME_NOT_STORED, None));
    assert_eq!(bench.final_status(), 480);
}

#[test]
fn a_cancel_while_the_other_spelling_is_asked_ends_the_request() {
    let (mut bench, id, _) = located(&request_text("INVITE", &callee(), ""));
    bench.hss_answers(id, lia(CxResult::USER_UNKNOWN, None));
    let (id, _) = bench.lir();
    bench.receive(PCSCF, &request_text("CANCEL", &callee(), ""));
    let mut statuses = [bench.final_status(), bench.final_status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 487]);
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    assert!(bench.is_quiet());
}

#[test]
fn a_service_in_a_domain_of_services_is_reached_without_the_hss() {
    let mut bench = Bench::with(
        ", psi_domains: [conference.home.test], hosts: {conference.home.test: \"127.0.1.9:5060\"}",
    );
    let further = "Route: <sip:127.0.1.3;lr>\r\n";
    bench.receive(
        PCSCF,
        &request_text("MESSAGE", "sip:room1@conference.home.test", further),
    );
    let (remote, sent) = bench.request();
    assert_eq!(remote.to_string(), "127.0.1.9:5060");
    assert_eq!(sent.request_uri_bytes(), b"sip:room1@conference.home.test");
    assert!(sent.header(HeaderName::Route).is_none());
    assert!(bench.is_quiet());
}

#[test]
fn the_hss_names_the_server_of_a_service_and_the_wildcard_that_it_met() {
    let (mut bench, id, _) = located(&request_text("INVITE", &format!("sip:chat-7@{REALM}"), ""));
    let wildcard = format!("sip:chat-!.*!@{REALM}");
    let answer = Lia {
        result: CxResult::SUCCESS,
        server_name: Some("sip:127.0.1.9:5060".to_owned()),
        wildcarded_public_identity: Some(wildcard.clone()),
        psi_direct: true,
        ..Lia::default()
    };
    bench.hss_answers(id, Ok(CxAnswer::Lia(answer)));
    let (remote, sent) = bench.request();
    assert_eq!(remote.to_string(), "127.0.1.9:5060");
    assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.9:5060;lr>"]);
    assert_eq!(lines(&sent, HeaderName::PProfileKey), [format!("<{wildcard}>")]);
    assert_eq!(sent.request_uri_bytes(), format!("sip:chat-7@{REALM}").as_bytes());
}

#[test]
fn a_wildcard_that_is_no_identity_is_not_passed_on() {
    let (mut bench, id, _) = located(&request_text("MESSAGE", &callee(), ""));
    let answer = Lia {
        result: CxResult::SUCCESS,
        server_name: Some(S1.to_owned()),
        wildcarded_public_identity: Some("sip:a>\r\nRoute: <sip:evil.test".to_owned()),
        ..Lia::default()
    };
    bench.hss_answers(id, Ok(CxAnswer::Lia(answer)));
    assert!(!text(&bench.request().1).contains("evil"));
}

#[test]
fn the_hss_that_answered_is_named_to_the_scscf_where_the_operator_wants_so() {
    let answer = || {
        Ok(CxAnswer::Lia(Lia {
            result: CxResult::SUCCESS,
            server_name: Some(S1.to_owned()),
            origin_host: "hss1.home.test".to_owned(),
            ..Lia::default()
        }))
    };
    let forged = "P-User-Database: <aaa://forged.test>\r\n";
    for (further, expected) in [
        ("", vec![]),
        (", p_user_database: true", vec!["<aaa://hss1.home.test>"]),
    ] {
        let mut bench = Bench::with(further);
        bench.receive(PCSCF, &request_text("MESSAGE", &callee(), forged));
        let (id, _) = bench.lir();
        bench.hss_answers(id, answer());
        assert_eq!(lines(&bench.request().1, HeaderName::PUserDatabase), expected);
    }
}

#[test]
fn an_unregistered_users_scscf_that_is_out_of_reach_is_replaced() {
    let (mut bench, id, _) = located(&request_text("INVITE", &callee(), ""));
    bench.hss_answers(id, lia(CxResult::UNREGISTERED_SERVICE, Some(S1)));
    bench.cannot_send();
    let (id, lir) = bench.lir();
    assert_eq!(
        lir.authorization_type,
        Some(UserAuthorizationType::RegistrationAndCapabilities)
    );
    // The HSS names the same S-CSCF again.
    bench.hss_answers(id, lia(CxResult::UNREGISTERED_SERVICE, Some(S1)));
    let (remote, sent) = bench.request();
    assert_eq!(remote.to_string(), S2.trim_start_matches("sip:"));
    assert_eq!(lines(&sent, HeaderName::Route), [format!("<{S2};lr>")]);
    bench.cannot_send();
    let (remote, _) = bench.request();
    assert_eq!(remote.to_string(), S3.trim_start_matches("sip:"));
    bench.cannot_send();
    assert_eq!(bench.final_status(), 480);
    assert!(bench.is_quiet());
}

#[test]
fn a_registered_users_scscf_that_is_out_of_reach_is_480() {
    let (mut bench, id, _) = located(&request_text("MESSAGE", &callee(), ""));
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    bench.cannot_send();
    assert_eq!(bench.final_status(), 480);
    assert!(bench.is_quiet());
}

#[test]
fn requests_in_a_dialog_follow_their_route_and_ask_nobody() {
    let further = "Route: <sip:127.0.1.3;lr>, <sip:127.0.1.77:5060;lr>\r\n";
    let in_dialog = |method: &str| {
        let to = format!("To: <{}>", callee());
        request_text(method, &callee(), further).replace(&to, &format!("{to};tag=x"))
    };
    for method in ["BYE", "UPDATE", "ACK"] {
        let mut bench = Bench::new();
        bench.receive(PCSCF, &in_dialog(method));
        let (remote, sent) = bench.request();
        assert_eq!(remote.to_string(), "127.0.1.77:5060");
        assert_eq!(sent.method().as_str(), method);
        assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.77:5060;lr>"]);
        assert!(bench.is_quiet());
    }
    let mut bench = Bench::new();
    bench.receive(PCSCF, &in_dialog("ACK").replace(", <sip:127.0.1.77:5060;lr>", ""));
    assert!(bench.is_quiet());
}

#[test]
fn services_for_the_unregistered_get_an_able_scscf() {
    let wanting = |mandatory: &[u32]| {
        Ok(CxAnswer::Lia(Lia {
            result: CxResult::UNREGISTERED_SERVICE,
            capabilities: Some(capabilities(mandatory, &[])),
            ..Lia::default()
        }))
    };
    let (mut bench, id, _) = located(&request_text("MESSAGE", &callee(), ""));
    bench.hss_answers(id, wanting(&[2]));
    assert_eq!(bench.request().0.to_string(), S2.trim_start_matches("sip:"));
    let (mut bench, id, _) = located(&request_text("MESSAGE", &callee(), ""));
    bench.hss_answers(id, wanting(&[77]));
    assert_eq!(bench.final_status(), 600);
    let (mut bench, id, _) = located(&request_text("MESSAGE", &callee(), ""));
    bench.hss_answers(id, lia(CxResult::UNREGISTERED_SERVICE, Some(S1)));
    assert_eq!(bench.request().0.to_string(), S1.trim_start_matches("sip:"));
}

#[test]
fn a_telephone_number_in_a_sip_uri_is_asked_and_forwarded_as_tel() {
    let (mut bench, id, lir) = located(&request_text("MESSAGE", &format!("{};user=phone", callee()), ""));
    assert_eq!(lir.public_identity.as_str(), "tel:+15550002");
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    assert_eq!(bench.request().1.request_uri_bytes(), b"tel:+15550002");
    for uri in [
        format!("sip:alice@{REALM};user=phone"),
        format!("sip:1234@{REALM};user=phone"),
    ] {
        let (_, _, lir) = located(&request_text("MESSAGE", &uri, ""));
        assert!(lir.public_identity.as_str().starts_with("sip:"), "{uri}");
    }
}

#[test]
fn presence_and_gruu_uris_are_asked_as_plain_sip_uris() {
    let (_, _, lir) = located(&request_text("MESSAGE", &format!("im:alice@{REALM}"), ""));
    assert_eq!(lir.public_identity.as_str(), format!("sip:alice@{REALM}"));
    let (_, _, lir) = located(&request_text(
        "MESSAGE",
        &format!("sip:alice@{REALM};gr=urn:uuid:1"),
        "",
    ));
    assert_eq!(lir.public_identity.as_str(), format!("sip:alice@{REALM}"));
}

#[test]
fn schemes_that_nobody_serves_are_refused() {
    for (uri, status) in [("mailto:a@b.test", 416), ("urn:service:sos", 404)] {
        let mut bench = Bench::new();
        bench.receive(PCSCF, &request_text("MESSAGE", uri, ""));
        assert_eq!(bench.final_status(), status, "{uri}");
    }
}

#[test]
fn orig_in_our_route_asks_for_the_served_user_and_goes_on_to_its_scscf() {
    for (asserted, wanted) in [
        (
            format!(
                "P-Served-User: <sip:served@{REALM}>;sescase=orig\r\nP-Asserted-Identity: <sip:other@{REALM}>\r\n"
            ),
            "served",
        ),
        (
            format!("P-Asserted-Identity: \"A\" <sip:other@{REALM}>, <tel:+15550009>\r\n"),
            "other",
        ),
    ] {
        let further = format!("Route: <sip:127.0.1.3;lr;orig>\r\n{asserted}");
        let (mut bench, id, lir) = located(&request_text("INVITE", "tel:+15550002", &further));
        assert!(lir.originating);
        assert_eq!(lir.public_identity.as_str(), format!("sip:{wanted}@{REALM}"));
        bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
        let (_, sent) = bench.request();
        assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.4:5060;lr;orig>"]);
        assert_eq!(sent.request_uri_bytes(), b"tel:+15550002");
    }
}

#[test]
fn from_outside_the_trust_domain_orig_is_refused_and_assertions_are_removed() {
    let further = format!("Route: <sip:127.0.1.3;lr;orig>\r\nP-Served-User: <sip:served@{REALM}>\r\n");
    let mut bench = Bench::with(", trusted_peers: [127.0.1.0/24]");
    bench.receive("192.0.2.66:5060", &request_text("INVITE", &callee(), &further));
    assert_eq!(bench.final_status(), 403);
    let names = [
        "P-Asserted-Identity: <sip:forged@home.test>",
        "P-Access-Network-Info: forged",
        "P-Charging-Vector: icid-value=forged",
        "P-Charging-Function-Addresses: ccf=forged",
        "P-Called-Party-ID: <sip:forged@home.test>",
        "P-Profile-Key: <sip:forged@home.test>",
    ];
    let further = names.map(|line| format!("{line}\r\n")).concat();
    let request = request_text("MESSAGE", &callee(), &further).replace("z9hG4bKs1", "z9hG4bKs2");
    bench.receive("192.0.2.66:5060", &request);
    let (id, _) = bench.lir();
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    let (_, sent) = bench.request();
    assert!(!text(&sent).contains("forged"), "{}", text(&sent));
}

#[test]
fn a_request_with_a_further_route_follows_it_without_asking() {
    let mut bench = Bench::new();
    let further = "Route: <sip:127.0.1.3;lr>, <sip:127.0.1.77:5060;lr>\r\n";
    bench.receive(PCSCF, &request_text("MESSAGE", &callee(), further));
    let (remote, sent) = bench.request();
    assert_eq!(remote.to_string(), "127.0.1.77:5060");
    assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.77:5060;lr>"]);
    assert!(bench.is_quiet());
}

#[test]
fn a_dialog_that_never_came_through_here_does_not_exist() {
    let mut bench = Bench::new();
    let request = request_text("BYE", &callee(), "").replace(
        &format!("To: <{}>", callee()),
        &format!("To: <{}>;tag=x", callee()),
    );
    bench.receive(PCSCF, &request);
    assert_eq!(bench.final_status(), 481);
}

#[test]
fn a_cancelled_request_ends_with_487_and_the_late_answer_is_nothing() {
    let (mut bench, id, _) = located(&request_text("INVITE", &callee(), ""));
    bench.receive(PCSCF, &request_text("CANCEL", &callee(), ""));
    let mut statuses = Vec::new();
    while !bench.is_quiet() {
        statuses.push(bench.response().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 487]);
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    assert!(bench.is_quiet());
}

#[test]
fn options_to_the_icscf_itself_are_answered() {
    let mut bench = Bench::new();
    bench.receive(PCSCF, &request_text("OPTIONS", "sip:127.0.1.3", ""));
    assert_eq!(bench.final_status(), 200);
}

#[test]
fn an_scscf_that_does_not_answer_is_480() {
    let (mut bench, id, _) = located(&request_text("INVITE", &callee(), ""));
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    bench.advance(std::time::Duration::from_secs(33));
    bench.flush_requests();
    assert_eq!(bench.final_status(), 480);
}

#[test]
fn answers_come_back_and_a_cancel_follows_its_invite() {
    let (mut bench, id, _) = located(&request_text("INVITE", &callee(), ""));
    bench.hss_answers(id, lia(CxResult::SUCCESS, Some(S1)));
    let (remote, sent) = bench.request();
    bench.reply(remote, &sent, 180, "");
    assert_eq!(bench.response().status().as_u16(), 180);
    bench.receive(PCSCF, &request_text("CANCEL", &callee(), ""));
    let (_, cancel) = loop {
        match bench.next() {
            (_, ims_common::sip::SipMessage::Response(_)) => {}
            (remote, ims_common::sip::SipMessage::Request(request)) => break (remote, request),
        }
    };
    assert_eq!(cancel.method().as_str(), "CANCEL");
    bench.flush();
    bench.reply(remote, &sent, 487, "");
    bench.flush_requests();
    assert_eq!(bench.final_status(), 487);
}
