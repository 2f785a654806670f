//! Testkit: our own subscription to registrations (checklist GM-53, GM-54, RG-16, RG-17, RG-18).

use std::time::Duration;

use ims_common::sip::{HeaderName, Request, SipMessage};

use super::{Bench, ICSCF, OTHER_ICSCF, REALM, Register, grant, header, lines, mw_flow, remote};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";
const SCSCF: &str = "127.0.1.4:5060";
const WITH: &str = ", reg_event: {subscribe: true}";
const NOTIFIER: &str = "Contact: <sip:reg-s@127.0.1.4:5060>\r\nExpires: 600000\r\n";

/// A UE with a registration of two hours, and the SUBSCRIBE that it makes us send.
fn registered() -> (Bench, Request) {
    let mut bench = Bench::with("", WITH);
    bench.register(
        &Register::nth(1),
        &grant(CONTACT, 7_200, "sip:orig@127.0.1.4:5060;lr"),
    );
    let subscribe = bench.request();
    (bench, subscribe)
}

fn subscribed() -> (Bench, Request) {
    let (mut bench, subscribe) = registered();
    bench.home_answers(&subscribe, 200, NOTIFIER);
    assert!(bench.is_quiet());
    (bench, subscribe)
}

/// A NOTIFY in the dialog of a SUBSCRIBE.
fn notify(subscribe: &Request, cseq: u32, state: &str, document: &str) -> String {
    let value = |name| header(subscribe, name).unwrap();
    let target = value(HeaderName::Contact);
    let target = target.trim_matches(['<', '>']);
    format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/UDP {SCSCF};branch=z9hG4bKn{cseq}\r\nMax-Forwards: 70\r\n\
         From: {};tag=home\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nEvent: reg\r\n\
         Contact: <sip:reg-s@127.0.1.4:5060>\r\nSubscription-State: {state}\r\n\
         Content-Type: application/reginfo+xml\r\nContent-Length: {}\r\n\r\n{document}",
        value(HeaderName::To).split(";tag").next().unwrap(),
        value(HeaderName::From),
        value(HeaderName::CallId),
        document.len(),
    )
}

fn document(version: u32, state: &str, registration: &str, contact: &str) -> String {
    let elements: String = [format!("sip:+15550001@{REALM}"), "tel:+15550001".to_owned()]
        .iter()
        .map(|aor| {
            format!(
                "<registration aor=\"{aor}\" id=\"r\" state=\"{registration}\"><contact id=\"c\" {contact}><uri>{CONTACT}</uri>\
                 </contact></registration>"
            )
        })
        .collect();
    format!(
        "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"{state}\">{elements}</reginfo>"
    )
}

const ACTIVE: &str = "state=\"active\" event=\"registered\" expires=\"7200\"";
const DEACTIVATED: &str = "state=\"terminated\" event=\"deactivated\" callid=\"c1@ue\" cseq=\"1\"";

fn tell(bench: &mut Bench, notify: &str) -> u16 {
    bench.receive(mw_flow(SCSCF), notify);
    bench.response().status().as_u16()
}

#[test]
fn the_first_registration_subscribes_under_the_name_in_the_path() {
    let mut bench = Bench::with("", WITH);
    let register = Register::nth(1);
    bench.ue_says(&register.text());
    let request = bench.request();
    let path = header(&request, HeaderName::Path).unwrap();
    bench.home_answers(
        &request,
        200,
        &grant(CONTACT, 7_200, "sip:orig@127.0.1.4:5060;lr"),
    );
    let (mut subscribes, mut answers) = (Vec::new(), 0);
    while !bench.is_quiet() {
        match bench.next() {
            (to, SipMessage::Request(request)) => subscribes.push((remote(&to).to_string(), request)),
            (_, SipMessage::Response(_)) => answers += 1,
        }
    }
    assert_eq!(answers, 1);
    let [(to, subscribe)] = &subscribes[..] else {
        panic!("{subscribes:?}");
    };
    assert_eq!(to, ICSCF);
    let default = format!("sip:+15550001@{REALM}");
    assert_eq!(subscribe.method().as_str(), "SUBSCRIBE");
    assert_eq!(subscribe.request_uri_bytes(), default.as_bytes());
    assert_eq!(lines(subscribe, HeaderName::To), [format!("<{default}>")]);
    assert_eq!(lines(subscribe, HeaderName::PAssertedIdentity), [path]);
    assert_eq!(lines(subscribe, HeaderName::Event), ["reg"]);
    assert_eq!(lines(subscribe, HeaderName::Accept), ["application/reginfo+xml"]);
    assert_eq!(lines(subscribe, HeaderName::Expires), ["600000"]);
    assert!(lines(subscribe, HeaderName::Contact)[0].starts_with("<sip:reg-"));
    assert!(lines(subscribe, HeaderName::PChargingVector)[0].contains("Type 1"));
    assert!(subscribe.header(HeaderName::Route).is_none());
}

#[test]
fn a_refresh_of_the_registration_subscribes_nothing_anew() {
    let (mut bench, _) = subscribed();
    bench.register(
        &Register::nth(2),
        &grant(CONTACT, 7_200, "sip:orig@127.0.1.4:5060;lr"),
    );
    assert!(bench.is_quiet());
    assert_eq!(bench.node.subscriptions.len(), 1);
}

#[test]
fn a_subscription_is_refreshed_in_time_along_its_dialog() {
    let (mut bench, first) = registered();
    let granted = "Contact: <sip:reg-s@127.0.1.4:5060>\r\nExpires: 3600\r\n\
                   Record-Route: <sip:b.home.test;lr>\r\nRecord-Route: <sip:127.0.1.7:5060;lr>\r\n";
    bench.home_answers(&first, 200, granted);
    bench.advance(Duration::from_secs(2_999));
    assert!(bench.is_quiet());
    bench.advance(Duration::from_secs(2));
    let (to, SipMessage::Request(again)) = bench.next() else {
        panic!("no refresh");
    };
    assert_eq!(remote(&to).to_string(), "127.0.1.7:5060");
    assert_eq!(again.request_uri_bytes(), b"sip:reg-s@127.0.1.4:5060");
    assert_eq!(
        lines(&again, HeaderName::Route),
        ["<sip:127.0.1.7:5060;lr>", "<sip:b.home.test;lr>"]
    );
    assert_eq!(
        header(&again, HeaderName::CallId),
        header(&first, HeaderName::CallId)
    );
    assert_eq!(header(&again, HeaderName::From), header(&first, HeaderName::From));
    assert!(header(&again, HeaderName::To).unwrap().ends_with(";tag=home"));
    assert_eq!(header(&again, HeaderName::CSeq).as_deref(), Some("2 SUBSCRIBE"));
}

#[test]
fn a_short_subscription_is_refreshed_at_half_of_its_time() {
    let (mut bench, first) = registered();
    bench.home_answers(
        &first,
        200,
        "Contact: <sip:reg-s@127.0.1.4:5060>\r\nExpires: 600\r\n",
    );
    bench.advance(Duration::from_secs(299));
    assert!(bench.is_quiet());
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.request().method().as_str(), "SUBSCRIBE");
}

#[test]
fn a_contact_that_the_network_ended_is_gone_after_a_farewell() {
    let (mut bench, subscribe) = subscribed();
    let active = document(0, "full", "active", ACTIVE);
    assert_eq!(
        tell(
            &mut bench,
            &notify(&subscribe, 1, "active;expires=600000", &active)
        ),
        200
    );
    assert_eq!(bench.node.contact_count(), 1);
    let ended = document(1, "full", "terminated", DEACTIVATED);
    let last = notify(&subscribe, 2, "terminated;reason=noresource", &ended);
    assert_eq!(tell(&mut bench, &last), 200);
    assert_eq!(bench.node.contact_count(), 1, "the UE is told through us");
    bench.advance(Duration::from_secs(33));
    assert_eq!(bench.node.contact_count(), 0);
    // Nobody is left to watch.
    bench.advance(Duration::from_secs(120));
    assert!(bench.is_quiet());
    assert_eq!(bench.node.subscriptions.len(), 0);
}

#[test]
fn a_ue_that_registers_again_at_once_stays() {
    let (mut bench, subscribe) = subscribed();
    let ended = document(0, "full", "terminated", DEACTIVATED);
    let last = notify(&subscribe, 1, "terminated;reason=deactivated", &ended);
    bench.receive(mw_flow(SCSCF), &last);
    assert_eq!(bench.response().status().as_u16(), 200);
    bench.register(
        &Register::nth(2),
        &grant(CONTACT, 7_200, "sip:orig@127.0.1.4:5060;lr"),
    );
    // What was lost on its way comes late.
    bench.receive(mw_flow(SCSCF), &last.replace("z9hG4bKn1", "z9hG4bKn9"));
    assert_eq!(bench.response().status().as_u16(), 481);
    bench.advance(Duration::from_secs(100));
    assert_eq!(bench.node.contact_count(), 1);
    let again = bench.request();
    assert_eq!(again.method().as_str(), "SUBSCRIBE");
    assert_ne!(
        header(&again, HeaderName::CallId),
        header(&subscribe, HeaderName::CallId)
    );
}

#[test]
fn a_shortened_registration_ends_when_the_network_says() {
    let (mut bench, subscribe) = subscribed();
    let shortened = document(
        0,
        "full",
        "active",
        "state=\"active\" event=\"shortened\" expires=\"60\"",
    );
    tell(&mut bench, &notify(&subscribe, 1, "active", &shortened));
    bench.advance(Duration::from_secs(59));
    assert_eq!(bench.node.contact_count(), 1);
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.node.contact_count(), 0);
}

#[test]
fn an_identity_that_the_network_adds_may_be_asserted() {
    let (mut bench, subscribe) = subscribed();
    let added = document(0, "full", "active", ACTIVE).replace(
        "</reginfo>",
        &format!(
            "<registration aor=\"sip:new@{REALM}\" id=\"n\" state=\"active\"><contact id=\"c\" {ACTIVE}><uri>{CONTACT}</uri>\
             </contact></registration></reginfo>"
        ),
    );
    tell(&mut bench, &notify(&subscribe, 1, "active", &added));
    let message = format!(
        "MESSAGE tel:+15550002 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKm\r\nMax-Forwards: 70\r\n\
         From: <sip:new@{REALM}>;tag=a\r\nTo: <tel:+15550002>\r\nCall-ID: m@ue\r\nCSeq: 1 MESSAGE\r\n\
         P-Preferred-Identity: <sip:new@{REALM}>\r\nContent-Length: 0\r\n\r\n",
        super::UE
    );
    bench.ue_says(&message);
    let sent = loop {
        if let SipMessage::Request(request) = bench.next().1 {
            break request;
        }
    };
    assert_eq!(
        lines(&sent, HeaderName::PAssertedIdentity),
        [format!("<sip:new@{REALM}>")]
    );
}

#[test]
fn old_and_unreadable_documents_change_nothing_and_gaps_are_asked_about() {
    let (mut bench, subscribe) = subscribed();
    let first = document(5, "full", "active", ACTIVE);
    tell(&mut bench, &notify(&subscribe, 1, "active", &first));
    let old = document(5, "full", "terminated", DEACTIVATED);
    assert_eq!(tell(&mut bench, &notify(&subscribe, 2, "active", &old)), 200);
    assert_eq!(
        tell(&mut bench, &notify(&subscribe, 3, "active", "<reginfo")),
        200
    );
    assert_eq!(tell(&mut bench, &notify(&subscribe, 4, "active", "")), 200);
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.node.contact_count(), 1);
    assert!(bench.is_quiet());
    let gap = document(9, "partial", "active", ACTIVE);
    assert_eq!(tell(&mut bench, &notify(&subscribe, 5, "active", &gap)), 200);
    assert_eq!(bench.request().method().as_str(), "SUBSCRIBE");
    for (reason, times) in [("stale", 1), ("unreadable", 1), ("gap", 1), ("notified", 5)] {
        assert_eq!(
            bench.count("ims_pcscf_reg_event_total", reason),
            times,
            "{reason}"
        );
    }
}

#[test]
fn a_notify_of_nobodys_subscription_is_refused() {
    let (mut bench, subscribe) = subscribed();
    let good = notify(
        &subscribe,
        3,
        "active",
        &document(0, "full", "terminated", DEACTIVATED),
    );
    let call_id = header(&subscribe, HeaderName::CallId).unwrap();
    let tag = header(&subscribe, HeaderName::From).unwrap();
    let tag = tag.split("tag=").nth(1).unwrap();
    for (n, (spoiled, status)) in [
        (good.replace("Event: reg", "Event: presence"), 489),
        (good.replace("Event: reg\r\n", ""), 489),
        (
            good.replace(&format!("Call-ID: {call_id}"), "Call-ID: other"),
            481,
        ),
        (good.replace(&format!(";tag={tag}"), ";tag=other"), 481),
        (good.replace(";tag=home", ";tag=other"), 481),
        (good.replace("NOTIFY sip:reg-", "NOTIFY sip:reg-0"), 481),
    ]
    .into_iter()
    .enumerate()
    {
        let spoiled = spoiled.replace("z9hG4bKn3", &format!("z9hG4bKbad{n}"));
        assert_eq!(tell(&mut bench, &spoiled), status, "{spoiled}");
    }
    assert_eq!(tell(&mut bench, &good), 200);
    let earlier = good
        .replace("z9hG4bKn3", "z9hG4bKn2")
        .replace("CSeq: 3", "CSeq: 2");
    assert_eq!(tell(&mut bench, &earlier), 500);
}

#[test]
fn a_notify_may_overtake_the_answer_to_its_subscribe() {
    let (mut bench, subscribe) = registered();
    let active = document(0, "full", "active", ACTIVE);
    assert_eq!(tell(&mut bench, &notify(&subscribe, 1, "active", &active)), 200);
    bench.home_answers(&subscribe, 200, NOTIFIER);
    let ended = document(1, "full", "terminated", DEACTIVATED);
    assert_eq!(tell(&mut bench, &notify(&subscribe, 2, "active", &ended)), 200);
    bench.advance(Duration::from_secs(33));
    assert_eq!(bench.node.contact_count(), 0);
}

#[test]
fn a_refused_or_unanswered_subscription_is_asked_for_later_and_later() {
    let (mut bench, subscribe) = registered();
    bench.home_answers(&subscribe, 403, "");
    bench.advance(Duration::from_secs(29));
    assert!(bench.is_quiet());
    bench.advance(Duration::from_secs(10));
    let (to, SipMessage::Request(second)) = bench.next() else {
        panic!("not asked again");
    };
    assert_eq!(remote(&to).to_string(), OTHER_ICSCF);
    assert_ne!(
        header(&second, HeaderName::CallId),
        header(&subscribe, HeaderName::CallId)
    );
    bench.receive(
        mw_flow(OTHER_ICSCF),
        &super::answer(&second, 503, "Retry-After: 300 (busy)\r\n"),
    );
    bench.flush();
    bench.advance(Duration::from_secs(290));
    assert!(bench.is_quiet());
    bench.advance(Duration::from_secs(20));
    assert_eq!(bench.request().method().as_str(), "SUBSCRIBE");
    assert_eq!(bench.node.contact_count(), 1, "registrations stay as they are");
}

#[test]
fn a_subscription_that_the_notifier_has_lost_is_made_anew_at_once() {
    let (mut bench, first) = registered();
    bench.home_answers(
        &first,
        200,
        "Contact: <sip:reg-s@127.0.1.4:5060>\r\nExpires: 600\r\n",
    );
    bench.advance(Duration::from_secs(301));
    let refresh = bench.request();
    bench.flush();
    bench.receive(mw_flow(SCSCF), &super::answer(&refresh, 481, ""));
    bench.advance(Duration::from_secs(2));
    let (to, SipMessage::Request(second)) = bench.next() else {
        panic!("not made anew");
    };
    assert_eq!(remote(&to).to_string(), ICSCF);
    assert!(!header(&second, HeaderName::To).unwrap().contains("tag="));
}

#[test]
fn an_initial_registration_asks_whether_the_subscription_is_still_there() {
    let (mut bench, first) = subscribed();
    let moved = Register {
        from: "127.0.1.11:5060",
        contact: Some("<sip:u@127.0.1.11:5060>;expires=600000".to_owned()),
        ..Register::nth(3)
    };
    bench.register(
        &moved,
        &grant("sip:u@127.0.1.11:5060", 7_200, "sip:s.home.test;lr"),
    );
    let again = bench.request();
    assert_eq!(again.request_uri_bytes(), b"sip:reg-s@127.0.1.4:5060");
    assert_eq!(
        header(&again, HeaderName::CallId),
        header(&first, HeaderName::CallId)
    );
    assert_eq!(bench.node.subscriptions.len(), 1);
}

#[test]
fn another_service_route_asks_whether_the_subscription_is_still_there() {
    let (mut bench, _) = subscribed();
    bench.register(
        &Register::nth(2),
        &grant(CONTACT, 7_200, "sip:orig-after-a-restart@127.0.1.4:5060;lr"),
    );
    let again = bench.request();
    assert_eq!(again.request_uri_bytes(), b"sip:reg-s@127.0.1.4:5060");
}

#[test]
fn a_subscription_that_nobody_needs_is_ended() {
    let (mut bench, _) = subscribed();
    let leaving = Register {
        contact: Some("*".to_owned()),
        further: "Expires: 0\r\n".to_owned(),
        ..Register::nth(2)
    };
    bench.register(&leaving, "");
    bench.advance(Duration::from_secs(31));
    assert!(bench.is_quiet());
    bench.advance(Duration::from_secs(2));
    let end = bench.request();
    assert_eq!(lines(&end, HeaderName::Expires), ["0"]);
    bench.receive(mw_flow(SCSCF), &super::answer(&end, 200, NOTIFIER));
    assert_eq!(bench.node.subscriptions.len(), 0);
    assert_eq!(bench.node.subscriptions.poll_timeout(), None);
}

#[test]
fn an_emergency_registration_and_one_without_identities_are_not_watched() {
    for (contact, granted) in [
        (
            format!("<{CONTACT};sos>"),
            grant(&format!("{CONTACT};sos"), 600, "sip:s.home.test;lr"),
        ),
        (
            format!("<{CONTACT}>"),
            format!("Contact: <{CONTACT}>;expires=600\r\n"),
        ),
    ] {
        let mut bench = Bench::with("", WITH);
        let register = Register {
            contact: Some(contact),
            ..Register::nth(1)
        };
        bench.register(&register, &granted);
        assert!(bench.is_quiet());
        assert_eq!(
            (bench.node.contact_count(), bench.node.subscriptions.len()),
            (1, 0)
        );
    }
}

#[test]
fn a_ue_cannot_notify_us() {
    let (mut bench, subscribe) = subscribed();
    let ended = document(0, "full", "terminated", DEACTIVATED);
    bench.receive(
        super::gm_flow("127.0.1.66:5060"),
        &notify(&subscribe, 1, "active", &ended),
    );
    assert_eq!(bench.final_response().status().as_u16(), 403);
    bench.advance(Duration::from_secs(40));
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn more_subscriptions_than_may_be_asked_for_at_a_time_wait_for_their_turn() {
    let mut bench = Bench::with("", WITH);
    for n in 0..300_u32 {
        let address = format!("127.1.{}.{}:5060", n / 200, n % 200 + 1);
        let address: &'static str = Box::leak(address.into_boxed_str());
        let contact = format!("sip:u@{address}");
        let register = Register {
            from: address,
            contact: Some(format!("<{contact}>;expires=600")),
            authorization: None,
            ..Register::nth(1)
        };
        let text = register
            .text()
            .replace("001010000000001@", &format!("u{n}@"))
            .replace("c1@ue", &format!("c{n}@ue"));
        bench.receive(register.flow(), &text);
        let request = bench.request();
        let granted = format!("Contact: <{contact}>;expires=600\r\nP-Associated-URI: <sip:u{n}@{REALM}>\r\n");
        bench.home_answers(&request, 200, &granted);
        bench.flush();
    }
    assert_eq!(bench.node.subscriptions.len(), 300);
    assert_eq!(bench.node.subscriptions.asked(), 256);
    bench.advance(Duration::from_secs(33));
    bench.flush();
    assert!(bench.node.subscriptions.asked() <= 256);
    bench.advance(Duration::from_secs(4_000));
    assert_eq!(bench.node.contact_count(), 0);
    assert_eq!(
        (bench.node.subscriptions.len(), bench.node.subscriptions.asked()),
        (0, 0)
    );
}
