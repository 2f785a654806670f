//! Testkit: calls for help (checklist PC-14 to PC-17, PC-13, EM-01, EM-02, EM-07).

use std::time::Duration;

use ims_common::sip::{HeaderName, Request, SipMessage};

use super::{Bench, ICSCF, REALM, Register, UE, gm_flow, grant, header, lines, mw_flow, remote, text};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";
const ECSCF: &str = "127.0.1.8:5060";
const OTHER_ECSCF: &str = "127.0.1.18:5060";
const ROUTED: &str =
    ", emergency: {handling: route, ecscf: [\"sip:127.0.1.8:5060\", \"sip:127.0.1.18:5060\"]}";
const TAKEN_FROM_ALL: &str = ", emergency: {unregistered: accept, ecscf: [\"sip:127.0.1.8:5060\"]}";
const SOS: &str = "urn:service:sos";

fn message(method: &str, uri: &str, further: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {UE};branch=z9hG4bKe{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550001@{REALM}>;tag=a\r\nTo: <{uri}>\r\nCall-ID: e1@ue\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:u@127.0.1.10:5060>\r\n{further}Content-Length: 0\r\n\r\n"
    )
}

fn sos_register() -> Register {
    Register {
        cseq: 2,
        contact: Some(format!("<{CONTACT};sos>;expires=600000")),
        ..Register::default()
    }
}

/// With an ordinary registration, an emergency registration, or both.
fn registered(config: &str, registers: &[Register]) -> (Bench, Vec<String>) {
    let mut bench = Bench::with("", config);
    let mut paths = Vec::new();
    for register in registers {
        bench.receive(register.flow(), &register.text());
        let request = bench.request();
        paths.push(header(&request, HeaderName::Path).unwrap());
        let sos = register
            .contact
            .as_ref()
            .is_some_and(|contact| contact.contains(";sos"));
        let contact = format!("{CONTACT}{}", if sos { ";sos" } else { "" });
        let granted = grant(&contact, 3600, "sip:orig@127.0.1.4:5060;lr");
        bench.home_answers(&request, 200, &granted);
        bench.flush();
    }
    (bench, paths)
}

fn forwarded(bench: &mut Bench) -> (String, Request) {
    loop {
        match bench.next() {
            (destination, SipMessage::Request(request)) => {
                return (remote(&destination).to_string(), request);
            }
            (_, SipMessage::Response(response)) => {
                assert!(response.status().is_provisional(), "{}", text(&response));
            }
        }
    }
}

#[test]
fn an_ordinary_registration_is_told_to_make_an_emergency_registration() {
    let numbers = ", emergency: {numbers: [112, 911, 110=police]}";
    for (uri, contact) in [
        (SOS, None),
        ("urn:service:sos.fire", None),
        ("tel:112", None),
        ("tel:110", Some("<urn:service:sos.police>")),
        ("sip:911;phone-context=x.test@x.test;user=phone", None),
        ("sip:112@x.test;user=dialstring", None),
    ] {
        let (mut bench, paths) = registered(numbers, &[Register::default()]);
        bench.ue_says(&message("INVITE", uri, ""));
        let response = bench.final_response();
        assert_eq!(response.status().as_u16(), 380, "{uri}");
        assert_eq!(
            lines(&response, HeaderName::PAssertedIdentity),
            [paths[0].as_str()]
        );
        assert_eq!(header(&response, HeaderName::Contact).as_deref(), contact);
        assert_eq!(
            header(&response, HeaderName::ContentType).as_deref(),
            Some("application/3gpp-ims+xml")
        );
        let body = String::from_utf8_lossy(response.body()).into_owned();
        assert!(body.contains("<type>emergency</type>"), "{body}");
        assert!(body.contains("<action>emergency-registration</action>"), "{body}");
        assert!(bench.is_quiet());
    }
}

#[test]
fn a_call_of_an_emergency_registration_goes_to_the_ecscf_under_its_identities() {
    let config = ", emergency: {ecscf: [\"sip:127.0.1.8:5060\"]}";
    let (mut bench, _) = registered(config, &[sos_register()]);
    let further = "Route: <sip:127.0.1.1;lr>, <sip:forged.test;lr>\r\nP-Preferred-Identity: <tel:+15550001>\r\n\
         Geolocation: <cid:x@ue>\r\n";
    bench.ue_says(&message("INVITE", "tel:112", further));
    let (to, sent) = forwarded(&mut bench);
    assert_eq!(to, ECSCF);
    assert_eq!(sent.request_uri_bytes(), SOS.as_bytes());
    assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.8:5060;lr>"]);
    assert_eq!(
        lines(&sent, HeaderName::PAssertedIdentity),
        [format!("<tel:+15550001>, <sip:+15550001@{REALM}>")]
    );
    assert!(sent.header(HeaderName::PPreferredIdentity).is_none());
    assert_eq!(lines(&sent, HeaderName::RecordRoute).len(), 2);
    assert!(sent.header(HeaderName::PChargingVector).is_some());
    assert!(sent.header(HeaderName::Geolocation).is_some());
}

#[test]
fn without_an_ecscf_an_emergency_registration_is_sent_to_the_circuit_switched_network() {
    let (mut bench, _) = registered("", &[sos_register()]);
    bench.ue_says(&message("INVITE", SOS, ""));
    let response = bench.final_response();
    assert_eq!(response.status().as_u16(), 380);
    assert!(!String::from_utf8_lossy(response.body()).contains("<action>"));
}

#[test]
fn an_operator_may_route_the_calls_of_ordinary_registrations() {
    let (mut bench, _) = registered(ROUTED, &[Register::default()]);
    bench.ue_says(&message("INVITE", "urn:service:sos.police", ""));
    let (to, sent) = forwarded(&mut bench);
    assert_eq!(
        (to.as_str(), sent.request_uri_bytes()),
        (ECSCF, &b"urn:service:sos.police"[..])
    );
    assert_eq!(sent.values(HeaderName::PAssertedIdentity).count(), 2);
}

#[test]
fn an_ecscf_out_of_order_is_followed_by_the_next_and_at_last_by_380() {
    let (mut bench, _) = registered(ROUTED, &[Register::default()]);
    bench.ue_says(&message("INVITE", SOS, ""));
    assert_eq!(forwarded(&mut bench).0, ECSCF);
    bench.cannot_send();
    let (to, sent) = forwarded(&mut bench);
    assert_eq!(to, OTHER_ECSCF);
    assert_eq!(lines(&sent, HeaderName::Route), ["<sip:127.0.1.18:5060;lr>"]);
    bench.cannot_send();
    let response = bench.final_response();
    assert_eq!(response.status().as_u16(), 380);
    assert!(!String::from_utf8_lossy(response.body()).contains("<action>"));
    assert_eq!(bench.node.emergency_routes.len(), 0);
}

#[test]
fn an_ecscf_that_refuses_is_followed_by_the_next_and_its_last_word_is_passed_on() {
    let (mut bench, _) = registered(ROUTED, &[Register::default()]);
    bench.ue_says(&message("INVITE", SOS, ""));
    for expected in [ECSCF, OTHER_ECSCF] {
        let (to, sent) = forwarded(&mut bench);
        assert_eq!(to, expected);
        bench.receive(mw_flow(expected), &super::answer(&sent, 500, ""));
        bench.flush_acks();
    }
    assert_eq!(bench.final_response().status().as_u16(), 500);
    let (mut bench, _) = registered(ROUTED, &[Register::default()]);
    bench.ue_says(&message("INVITE", SOS, ""));
    let (to, sent) = forwarded(&mut bench);
    bench.receive(mw_flow(&to), &super::answer(&sent, 486, ""));
    bench.flush_requests();
    assert_eq!(bench.final_response().status().as_u16(), 486);
}

#[test]
fn a_caller_who_gave_up_is_not_taken_to_another_ecscf() {
    let (mut bench, _) = registered(ROUTED, &[Register::default()]);
    bench.ue_says(&message("INVITE", SOS, ""));
    let (to, sent) = forwarded(&mut bench);
    bench.receive(mw_flow(&to), &super::answer(&sent, 180, ""));
    bench.ue_says(&message("CANCEL", SOS, "").replace("z9hG4bKeCANCEL", "z9hG4bKeINVITE"));
    bench.flush();
    bench.receive(mw_flow(&to), &super::answer(&sent, 500, ""));
    bench.flush_requests();
    assert_eq!(bench.final_response().status().as_u16(), 500);
    assert!(bench.is_quiet());
}

#[test]
fn a_ue_without_a_registration_is_refused_loudly_even_where_others_hear_nothing() {
    let mut bench = Bench::with(", unregistered_requests: drop", "");
    bench.ue_says(&message("INVITE", SOS, ""));
    assert_eq!(bench.final_response().status().as_u16(), 403);
}

#[test]
fn a_ue_without_a_registration_may_call_for_help_where_the_law_wants_so() {
    let mut bench = Bench::with("", TAKEN_FROM_ALL);
    let forged =
        "P-Asserted-Identity: <sip:forged@home.test>\r\nP-Preferred-Identity: <sip:forged@home.test>\r\n";
    bench.ue_says(&message("INVITE", "sip:112@x.test;user=phone", forged));
    let (to, invite) = forwarded(&mut bench);
    assert_eq!((to.as_str(), invite.request_uri_bytes()), (ECSCF, SOS.as_bytes()));
    assert!(!text(&invite).contains("forged"), "{}", text(&invite));
    let record_route = lines(&invite, HeaderName::RecordRoute);
    let far = "Contact: <sip:psap@127.0.1.9>\r\n";
    let with_routes = format!("{far}Record-Route: {}\r\n", record_route.join(", "));
    bench.receive(mw_flow(ECSCF), &super::answer(&invite, 200, &with_routes));
    assert_eq!(bench.final_response().status().as_u16(), 200);

    // The call goes on for hours, in both directions, without a registration.
    bench.advance(Duration::from_secs(3 * 3_600));
    bench.flush();
    let tagged = |method: &str, route: &str| {
        let to = format!("To: <{SOS}>");
        message(method, "sip:psap@127.0.1.9", &format!("Route: {route}\r\n"))
            .replace("To: <sip:psap@127.0.1.9>", &format!("{to};tag=home"))
            .replace("CSeq: 1 ", "CSeq: 2 ")
    };
    let from_ue: Vec<String> = record_route.iter().rev().cloned().collect();
    bench.ue_says(&tagged("UPDATE", &from_ue.join(", ")));
    let (to, update) = forwarded(&mut bench);
    assert_eq!(to, "127.0.1.9:5060");
    assert!(update.header(HeaderName::Route).is_none());
    let stranger = tagged("INFO", &from_ue.join(", "));
    bench.receive(gm_flow("127.0.1.66:5060"), &stranger);
    assert_eq!(bench.final_response().status().as_u16(), 403);
    let other_call = tagged("INFO", &from_ue.join(", "))
        .replace("e1@ue", "e2@ue")
        .replace("z9hG4bKeINFO", "z9hG4bKx");
    bench.ue_says(&other_call);
    assert_eq!(bench.final_response().status().as_u16(), 403);

    let from_psap = tagged("BYE", &record_route.join(", "))
        .replace("z9hG4bKeBYE", "z9hG4bKpBYE")
        .replace("tag=a", "tag=ue")
        .replace("tag=home", "tag=a")
        .replace("tag=ue", "tag=home");
    bench.home_says(&from_psap);
    let (to, bye) = forwarded(&mut bench);
    assert_eq!(to, UE);
    bench.ue_says(&super::answer(&bye, 200, ""));
    assert_eq!(bench.final_response().status().as_u16(), 200);
    bench.advance(Duration::from_secs(129));
    assert_eq!(bench.node.emergency_callers.len(), 0);
}

#[test]
fn only_calls_are_taken_from_the_unregistered() {
    let mut bench = Bench::with("", TAKEN_FROM_ALL);
    for method in ["MESSAGE", "SUBSCRIBE", "OPTIONS"] {
        bench.ue_says(&message(method, SOS, ""));
        assert_eq!(bench.final_response().status().as_u16(), 403, "{method}");
    }
    assert_eq!(bench.node.emergency_callers.len(), 0);
}

#[test]
fn unanswered_calls_of_the_unregistered_do_not_pile_up() {
    let mut bench = Bench::with("", TAKEN_FROM_ALL);
    bench.ue_says(&message("INVITE", SOS, ""));
    assert_eq!(bench.node.emergency_callers.len(), 1);
    bench.advance(Duration::from_secs(400));
    assert_eq!(bench.node.emergency_callers.len(), 0);
}

#[test]
fn emergency_and_ordinary_registrations_of_one_ue_stand_beside_each_other() {
    for registers in [
        [Register::default(), sos_register()],
        [sos_register(), Register::nth(3)],
    ] {
        let (mut bench, paths) = registered(ROUTED, &registers);
        assert_eq!(bench.node.contact_count(), 2);
        assert_ne!(paths[0], paths[1]);
        bench.ue_says(&message("MESSAGE", "tel:+15550002", ""));
        assert_eq!(forwarded(&mut bench).0, "127.0.1.4:5060");
        // The emergency registration is nobody's business but its own.
        let leaving = Register {
            cseq: 9,
            contact: Some(format!("<{CONTACT}>;expires=0")),
            ..Register::default()
        };
        bench.ue_says(&leaving.text());
        let request = bench.request();
        let left = format!("Contact: <{CONTACT};sos>;expires=3000\r\n");
        bench.home_answers(&request, 200, &left);
        assert_eq!(bench.node.contact_count(), 1);
        bench.flush();
        bench.ue_says(&message("INVITE", SOS, ""));
        assert_eq!(forwarded(&mut bench).0, ECSCF);
    }
}

#[test]
fn an_emergency_registration_is_for_emergencies() {
    let (mut bench, _) = registered(ROUTED, &[sos_register()]);
    bench.ue_says(&message("INVITE", "tel:+15550002", ""));
    assert_eq!(bench.final_response().status().as_u16(), 403);
}

#[test]
fn a_full_table_has_some_places_for_emergency_registrations() {
    let (mut bench, _) = registered(", contacts: 1", &[Register::default()]);
    let elsewhere = |sos: &str| Register {
        from: "127.0.1.11:5060",
        contact: Some(format!("<sip:u@127.0.1.11:5060{sos}>;expires=600000")),
        ..Register::nth(4)
    };
    bench.receive(elsewhere("").flow(), &elsewhere("").text());
    assert_eq!(bench.final_response().status().as_u16(), 503);
    let sos = Register {
        cseq: 5,
        ..elsewhere(";sos")
    };
    bench.receive(sos.flow(), &sos.text());
    assert_eq!(forwarded(&mut bench).0, ICSCF);
}
