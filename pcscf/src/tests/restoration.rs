//! Testkit: an S-CSCF that is dead or has forgotten (checklist PC-27, PC-29).

use std::time::Duration;

use ims_common::sip::{HeaderName, Response};

use super::{Bench, REALM, Register, UE, grant, header, lines};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";

fn message(method: &str, further: &str) -> String {
    format!(
        "{method} tel:+15550002 SIP/2.0\r\nVia: SIP/2.0/UDP {UE};branch=z9hG4bKr{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550001@{REALM}>;tag=a\r\nTo: <tel:+15550002>\r\nCall-ID: r1@ue\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:u@127.0.1.10:5060>\r\n{further}Content-Length: 0\r\n\r\n"
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

fn body(response: &Response) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

fn assert_restoration(response: &Response, path: &str) {
    assert_eq!(response.status().as_u16(), 504);
    assert_eq!(lines(response, HeaderName::PAssertedIdentity), [path]);
    assert_eq!(
        header(response, HeaderName::ContentType).as_deref(),
        Some("application/3gpp-ims+xml")
    );
    assert!(body(response).contains("<type>restoration</type>"));
    assert!(body(response).contains("<action>initial-registration</action>"));
}

#[test]
fn an_scscf_out_of_reach_makes_the_ue_register_anew() {
    for method in ["INVITE", "MESSAGE", "SUBSCRIBE"] {
        let (mut bench, path) = registered();
        bench.ue_says(&message(method, ""));
        bench.cannot_send();
        assert_restoration(&bench.final_response(), &path);
    }
}

#[test]
fn an_scscf_that_is_silent_on_an_invite_makes_the_ue_register_anew() {
    let (mut bench, path) = registered();
    bench.ue_says(&message("INVITE", ""));
    bench.advance(Duration::from_secs(33));
    bench.flush_requests();
    assert_restoration(&bench.final_response(), &path);
}

#[test]
fn the_silence_of_a_phone_is_not_the_death_of_an_scscf() {
    let (mut bench, _) = registered();
    bench.ue_says(&message("MESSAGE", ""));
    bench.advance(Duration::from_secs(130));
    bench.flush_requests();
    while !bench.is_quiet() {
        assert_eq!(bench.response().status().as_u16(), 100);
    }
    let (mut bench, _) = registered();
    bench.ue_says(&message("INVITE", ""));
    let invite = loop {
        if let (_, ims_common::sip::SipMessage::Request(request)) = bench.next() {
            break request;
        }
    };
    bench.home_answers(&invite, 180, "");
    bench.advance(Duration::from_secs(300));
    bench.flush_requests();
    assert!(body(&bench.final_response()).is_empty());
}

#[test]
fn what_the_core_tells_a_ue_to_do_instead_comes_through_unchanged() {
    let xml = "<ims-3gpp version=\"1\"><alternative-service><type>restoration</type><reason/><action>initial-registration\
               </action></alternative-service></ims-3gpp>";
    for code in [504, 380] {
        let (mut bench, _) = registered();
        bench.ue_says(&message("SUBSCRIBE", ""));
        let request = bench.request();
        let further = format!(
            "P-Asserted-Identity: <sip:orig@127.0.1.4:5060;lr>\r\nP-Charging-Vector: icid-value=x\r\n\
             Content-Type: application/3gpp-ims+xml;sv=\"1,1.1\"\r\nContent-Length: {}\r\n\r\n{xml}",
            xml.len()
        );
        let answer = super::answer(&request, code, "").replace("Content-Length: 0\r\n\r\n", &further);
        bench.home_says(&answer);
        let response = bench.final_response();
        assert_eq!(response.status().as_u16(), code);
        assert_eq!(
            lines(&response, HeaderName::PAssertedIdentity),
            ["<sip:orig@127.0.1.4:5060;lr>"]
        );
        assert_eq!(
            header(&response, HeaderName::ContentType).as_deref(),
            Some("application/3gpp-ims+xml;sv=\"1,1.1\"")
        );
        assert_eq!(body(&response), xml);
        assert!(response.header(HeaderName::PChargingVector).is_none());
    }
}
