//! Testkit: sessions of a registration that ends (TS 24.229 5.2.8.1; checklist PC-19).

use std::time::Duration;

use super::*;

const REASON: &str = "SIP;cause=503;text=\"Registration ended\"";

fn leave(cseq: u32) -> String {
    let register = Register {
        contact: Some(format!("<{CONTACT}>;expires=0")),
        ..Register::nth(cseq)
    };
    register.text()
}

#[test]
fn a_registration_that_expires_ends_the_call_of_the_other_party_with_a_bye() {
    let (mut bench, _) = registered();
    let invite = bench.calls();
    bench.advance(Duration::from_secs(3_601));
    let bye = bench.forwarded();
    assert_eq!(
        (bye.method().as_str(), bye.request_uri_bytes()),
        ("BYE", FAR.as_bytes())
    );
    assert_eq!(values(&bye, HeaderName::Route), [SCSCF_ROUTE]);
    assert_eq!(lines(&bye, HeaderName::Reason), [REASON]);
    assert_eq!(bye.cseq().unwrap().to_string(), "2 BYE");
    assert_eq!(header(&bye, HeaderName::From), header(&invite, HeaderName::From));
    assert_eq!(bye.to().unwrap().tag(), Some(&b"home"[..]));
    bench.flush();
    bench.home_answers(&bye, 200, "");
    bench.advance(Duration::from_secs(60));
    assert!(bench.is_quiet());
    assert_eq!(bench.node.sessions.dialogs.len(), 0);
    assert_eq!(bench.count("ims_pcscf_dialogs_total", "released"), 1);
}

#[test]
fn a_ue_that_leaves_takes_its_calls_and_subscriptions_along() {
    let (mut bench, path) = registered();
    let invite = bench.is_called(&path, "");
    bench.flush();
    bench.ue_says(&answer(&invite, 200, &format!("Contact: <{CONTACT}>\r\n")));
    bench.hears(200);
    bench.ue_says(&mo(
        "SUBSCRIBE",
        1,
        None,
        &format!("Event: presence\r\nContact: <{CONTACT}>\r\n"),
    ));
    let subscribe = bench.forwarded();
    bench.home_answers(
        &subscribe,
        200,
        &format!("Expires: 600\r\nContact: <{FAR}>\r\n{}", recorded(&subscribe)),
    );
    bench.hears(200);
    assert_eq!(bench.node.sessions.dialogs.len(), 2);
    bench.ue_says(&leave(2));
    let request = bench.forwarded();
    bench.home_answers(&request, 200, "");
    let mut sent = [bench.next().1, bench.next().1];
    sent.sort_by_key(|message| matches!(message, SipMessage::Response(_)));
    let [SipMessage::Request(bye), SipMessage::Response(_)] = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(bye.method().as_str(), "BYE");
    assert_eq!(bye.from().unwrap().tag(), Some(&b"home"[..]));
    assert_eq!(bye.to().unwrap().tag(), Some(&b"far"[..]));
    assert_eq!(values(&bye, HeaderName::Route), [SCSCF_ROUTE]);
    assert!(bench.is_quiet(), "a subscription ends in silence");
    assert_eq!(bench.node.sessions.dialogs.len(), 0);
    let stray = mt("INFO", 2, Some("home"), &route_towards_ue(&invite));
    bench.receive(mw_flow(SCSCF), &stray);
    bench.hears(481);
}

#[test]
fn a_call_that_the_leaving_ue_began_is_cancelled() {
    let (mut bench, _) = registered();
    bench.ue_says(&mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n")));
    let invite = bench.forwarded();
    bench.home_answers(
        &invite,
        180,
        &format!("Contact: <{FAR}>\r\n{}", recorded(&invite)),
    );
    bench.hears(180);
    bench.ue_says(&leave(2));
    let register = bench.forwarded();
    bench.home_answers(&register, 200, "");
    let (mut codes, mut cancels) = (Vec::new(), Vec::new());
    while !bench.is_quiet() {
        match bench.next().1 {
            SipMessage::Request(request) => cancels.push(request),
            SipMessage::Response(response) => codes.push(response.status().as_u16()),
        }
    }
    codes.sort_unstable();
    assert_eq!(codes, [200, 500]);
    assert_eq!(cancels.len(), 1);
    assert_eq!(lines(&cancels[0], HeaderName::Reason), [REASON]);
    bench.home_answers(&invite, 487, "");
    assert_eq!(bench.forwarded().method().as_str(), "ACK");
    bench.advance(Duration::from_secs(300));
    assert_eq!(
        bench.node.passages.len() + bench.node.sessions.dialogs.setup_count(),
        0
    );
    assert_eq!(bench.count("ims_pcscf_dialogs_total", "released-early"), 1);
}

#[test]
fn an_answer_that_crosses_the_cancel_of_a_release_is_ended_with_a_bye() {
    let (mut bench, _) = registered();
    bench.ue_says(&mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n")));
    let invite = bench.forwarded();
    bench.home_answers(
        &invite,
        180,
        &format!("Contact: <{FAR}>\r\n{}", recorded(&invite)),
    );
    bench.hears(180);
    bench.ue_says(&leave(2));
    let register = bench.forwarded();
    bench.home_answers(&register, 200, "");
    bench.flush();
    for _ in 0..2 {
        bench.home_answers(
            &invite,
            200,
            &format!("Contact: <{FAR}>\r\n{}", recorded(&invite)),
        );
    }
    let bye = bench.forwarded();
    assert_eq!(
        (bye.method().as_str(), bye.request_uri_bytes()),
        ("BYE", FAR.as_bytes())
    );
    assert!(bench.is_quiet());
    assert_eq!(bench.node.sessions.dialogs.len(), 0);
}

#[test]
fn the_caller_of_a_ue_that_leaves_hears_500() {
    let (mut bench, path) = registered();
    let invite = bench.is_called(&path, "");
    bench.flush();
    bench.ue_says(&answer(&invite, 180, &format!("Contact: <{CONTACT}>\r\n")));
    bench.hears(180);
    bench.ue_says(&leave(2));
    let register = bench.forwarded();
    bench.home_answers(&register, 200, "");
    let mut heard = Vec::new();
    while !bench.is_quiet() {
        heard.push(match bench.next().1 {
            SipMessage::Request(request) => request.method().to_string(),
            SipMessage::Response(response) => response.status().as_u16().to_string(),
        });
    }
    heard.sort();
    assert_eq!(heard, ["200", "500", "CANCEL"]);
    bench.ue_says(&answer(&invite, 200, &format!("Contact: <{CONTACT}>\r\n")));
    assert_eq!(bench.node.sessions.dialogs.len(), 0, "nobody is there to talk to");
    bench.advance(Duration::from_secs(300));
    assert_eq!(
        bench.node.passages.len() + bench.node.sessions.dialogs.setup_count(),
        0
    );
}
