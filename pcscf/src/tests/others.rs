//! Testkit: requests other than REGISTER (checklist GM-44, and the way of a Path token, RG-06).

use ims_common::sip::{HeaderName, SipMessage};

use super::{Bench, REALM, Register, UE, grant, header, lines, mw_flow, remote, text};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";
const SCSCF: &str = "127.0.1.4:5060";

fn message(method: &str, uri: &str, further: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {UE};branch=z9hG4bKm{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550001@{REALM}>;tag=a\r\nTo: <{uri}>\r\nCall-ID: m1@ue\r\nCSeq: 1 {method}\r\n\
         {further}Content-Length: 0\r\n\r\n"
    )
}

fn registered() -> (Bench, String) {
    let mut bench = Bench::new();
    bench.ue_says(&Register::default().text());
    let request = bench.request();
    let path = header(&request, HeaderName::Path).unwrap();
    bench.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:orig@127.0.1.4:5060;lr"));
    bench.flush();
    (bench, path)
}

#[test]
fn a_ue_without_a_registration_is_refused() {
    let mut bench = Bench::new();
    for method in ["MESSAGE", "INVITE", "SUBSCRIBE"] {
        bench.ue_says(&message(method, "tel:+15550002", ""));
        let (destination, answer) = bench.next();
        assert_eq!(remote(&destination), UE.parse().unwrap());
        let SipMessage::Response(answer) = answer else {
            panic!("{method} was forwarded");
        };
        assert_eq!(answer.status().as_u16(), 403);
        bench.flush();
    }
}

#[test]
fn a_ue_without_a_registration_hears_nothing_where_the_operator_wants_so() {
    let mut bench = Bench::with(", unregistered_requests: drop", "");
    bench.ue_says(&message("MESSAGE", "tel:+15550002", ""));
    bench.ue_says(&message("INVITE", "tel:+15550002", ""));
    bench.advance(std::time::Duration::from_secs(200));
    assert!(bench.is_quiet());
}

#[test]
fn options_to_the_pcscf_itself_are_answered() {
    let mut bench = Bench::new();
    bench.ue_says(&message("OPTIONS", "sip:127.0.1.1", ""));
    assert_eq!(bench.response().status().as_u16(), 200);
    bench.home_says(&message("OPTIONS", "sip:127.0.1.2:5060", "").replace("m1@ue", "m2@ue"));
    assert_eq!(bench.response().status().as_u16(), 200);
}

#[test]
fn nobody_registers_from_the_home_side() {
    let mut bench = Bench::new();
    bench.home_says(&Register::default().text());
    assert_eq!(bench.response().status().as_u16(), 403);
}

#[test]
fn a_registered_ue_speaks_along_its_service_route_under_its_own_name() {
    let (mut bench, _) = registered();
    let further = "Route: <sip:127.0.1.1;lr>, <sip:forged.test;lr>\r\nP-Asserted-Identity: <sip:forged@home.test>\r\n\
         P-Preferred-Identity: <tel:+15550001>\r\nP-Charging-Vector: icid-value=forged\r\n";
    bench.ue_says(&message("MESSAGE", "tel:+15550002", further));
    let (destination, sent) = bench.next();
    assert_eq!(remote(&destination), SCSCF.parse().unwrap());
    let SipMessage::Request(sent) = sent else {
        panic!("refused");
    };
    assert_eq!(lines(&sent, HeaderName::Route), ["<sip:orig@127.0.1.4:5060;lr>"]);
    assert_eq!(lines(&sent, HeaderName::PAssertedIdentity), ["<tel:+15550001>"]);
    assert!(sent.header(HeaderName::PPreferredIdentity).is_none());
    assert!(!text(&sent).contains("forged"), "{}", text(&sent));
}

#[test]
fn an_identity_that_is_not_registered_becomes_the_default_one() {
    let (mut bench, _) = registered();
    bench.ue_says(&message(
        "MESSAGE",
        "tel:+15550002",
        "P-Preferred-Identity: <sip:forged@home.test>\r\n",
    ));
    let sent = bench.request();
    assert_eq!(
        lines(&sent, HeaderName::PAssertedIdentity),
        [format!("<sip:+15550001@{REALM}>")]
    );
}

#[test]
fn a_request_with_the_path_as_route_reaches_the_ue_over_its_flow() {
    let (mut bench, path) = registered();
    let further = format!("Route: {path}\r\nP-Charging-Vector: icid-value=secret\r\n");
    bench.receive(
        mw_flow(SCSCF),
        &message("MESSAGE", CONTACT, &further).replace(&format!("UDP {UE}"), &format!("UDP {SCSCF}")),
    );
    let (destination, sent) = bench.next();
    assert_eq!(remote(&destination), UE.parse().unwrap());
    let SipMessage::Request(sent) = sent else {
        panic!("refused");
    };
    assert_eq!(sent.request_uri_bytes(), CONTACT.as_bytes());
    assert!(sent.header(HeaderName::Route).is_none());
    assert!(!text(&sent).contains("secret"));
}

#[test]
fn a_path_token_of_nobody_is_a_failed_flow() {
    let (mut bench, path) = registered();
    let other = path.replace("<sip:00", "<sip:00x");
    let further = format!("Route: {other}\r\n");
    bench.receive(
        mw_flow(SCSCF),
        &message("MESSAGE", CONTACT, &further).replace(&format!("UDP {UE}"), &format!("UDP {SCSCF}")),
    );
    assert_eq!(bench.response().status().as_u16(), 430);
}

#[test]
fn a_dialog_comes_back_through_both_sides() {
    let (mut bench, path) = registered();
    bench.ue_says(&message(
        "SUBSCRIBE",
        &format!("sip:+15550001@{REALM}"),
        "Event: reg\r\nContact: <sip:u@127.0.1.10>\r\n",
    ));
    let sent = bench.request();
    let token = path
        .strip_prefix("<sip:")
        .and_then(|rest| rest.split('@').next())
        .unwrap()
        .to_owned();
    assert_eq!(
        lines(&sent, HeaderName::RecordRoute),
        [
            format!("<sip:{token}@127.0.1.2;lr>"),
            format!("<sip:{token}@127.0.1.1;lr>")
        ]
    );
    bench.flush();
    let further = format!(
        "Route: <sip:{token}@127.0.1.2;lr>, <sip:{token}@127.0.1.1;lr>\r\nEvent: reg\r\nSubscription-State: active\r\nContact: <sip:s>\r\n"
    );
    let notify = message("NOTIFY", "sip:u@127.0.1.10", &further)
        .replace(&format!("UDP {UE}"), &format!("UDP {SCSCF}"))
        .replace("To: <sip:u@127.0.1.10>", "To: <sip:u@127.0.1.10>;tag=b");
    bench.receive(mw_flow(SCSCF), &notify);
    let (destination, _) = bench.next();
    assert_eq!(remote(&destination), UE.parse().unwrap());
}
