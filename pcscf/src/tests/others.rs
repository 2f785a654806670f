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
    let from_home = message("OPTIONS", "sip:127.0.1.2:5060", "");
    bench.home_says(
        &from_home
            .replace("m1@ue", "m2@ue")
            .replace("z9hG4bKm", "z9hG4bKn"),
    );
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
        .replace("tag=a", "tag=notifier")
        .replace("To: <sip:u@127.0.1.10>", "To: <sip:u@127.0.1.10>;tag=a");
    bench.receive(mw_flow(SCSCF), &notify);
    let (destination, _) = bench.next();
    assert_eq!(remote(&destination), UE.parse().unwrap());
}

#[test]
fn answers_lose_on_the_border_what_the_other_side_may_not_say_or_see() {
    let (mut bench, path) = registered();
    bench.ue_says(&message("MESSAGE", "tel:+15550002", ""));
    let sent = bench.request();
    bench.home_answers(&sent, 200, "P-Charging-Vector: icid-value=secret\r\n");
    let (destination, answered) = bench.next();
    assert_eq!(remote(&destination), UE.parse().unwrap());
    let SipMessage::Response(answered) = answered else {
        panic!("a request");
    };
    assert!(!text(&answered).contains("secret"), "{}", text(&answered));
    let further = format!("Route: {path}\r\n");
    let request =
        message("MESSAGE", CONTACT, &further).replace(&format!("UDP {UE}"), &format!("UDP {SCSCF}"));
    bench.receive(
        mw_flow(SCSCF),
        &request.replace("m1@ue", "m2@ue").replace("z9hG4bKm", "z9hG4bKn"),
    );
    let sent = bench.request();
    let forged =
        "P-Asserted-Identity: <sip:forged@home.test>\r\nP-Access-Network-Info: x;network-provided\r\n";
    bench.ue_says(&super::answer(&sent, 200, forged));
    let answered = bench.response();
    assert_eq!(answered.status().as_u16(), 200);
    assert!(!text(&answered).contains("forged"), "{}", text(&answered));
    assert!(
        !text(&answered).contains("network-provided"),
        "{}",
        text(&answered)
    );
}

#[test]
fn an_invite_is_cancelled_all_the_way_and_a_late_second_2xx_still_passes() {
    let (mut bench, _) = registered();
    let contact = "Contact: <sip:u@127.0.1.10>\r\n";
    bench.ue_says(&message("INVITE", "tel:+15550002", contact));
    let (_, first) = bench.next();
    let sent = match first {
        SipMessage::Request(request) => request,
        SipMessage::Response(trying) => {
            assert_eq!(trying.status().as_u16(), 100);
            bench.request()
        }
    };
    bench.flush();
    bench.home_answers(&sent, 180, contact);
    assert_eq!(bench.response().status().as_u16(), 180);
    bench.ue_says(&message("CANCEL", "tel:+15550002", "").replace("z9hG4bKmCANCEL", "z9hG4bKmINVITE"));
    let mut methods = Vec::new();
    while !bench.is_quiet() {
        methods.push(match bench.next().1 {
            SipMessage::Request(request) => request.method().to_string(),
            SipMessage::Response(response) => response.status().as_u16().to_string(),
        });
    }
    methods.sort();
    assert_eq!(methods, ["200", "CANCEL"]);
    for _ in 0..2 {
        bench.home_answers(&sent, 200, contact);
        assert_eq!(bench.response().status().as_u16(), 200);
    }
    bench.advance(std::time::Duration::from_secs(200));
    bench.flush();
    assert_eq!(bench.node.passages.len(), 0);
}
