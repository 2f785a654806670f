//! Testkit: requests for registered users (SE-02, SE-13 to SE-17, SE-23, SE-29).

use super::requests::request;
use super::*;

fn vector(value: &str) -> String {
    format!("P-Charging-Vector: {value}\r\n")
}

#[test]
fn call_to_a_registered_user_gets_contact_path_called_party_and_the_home_networks_vector() {
    let mut rig = Rig::registered();
    let more = vector("icid-value=\"i2\";orig-ioi=\"there.example\"");
    rig.receive(request("INVITE", "tel:+15550001;npdi;rn=+15559", &more));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, "192.0.2.20:5060");
    assert_eq!(sent.request_uri_bytes(), b"sip:001010000000001@192.0.2.10:5060");
    assert_eq!(values(&sent, HeaderName::Route), [PATH]);
    assert_eq!(values(&sent, HeaderName::PCalledPartyId), ["<tel:+15550001>"]);
    assert_eq!(values(&sent, HeaderName::RecordRoute).len(), 1);
    assert_eq!(
        values(&sent, HeaderName::PChargingVector),
        [format!("icid-value=\"i2\";orig-ioi=\"Type 1{HOME}\"")]
    );
}

#[test]
fn answer_of_the_callee_gets_its_alias_and_the_home_network_as_terminating() {
    let mut rig = Rig::registered();
    rig.receive(request(
        "INVITE",
        IMPU,
        &vector("icid-value=\"i2\";orig-ioi=\"there.example\""),
    ));
    let (sent, _) = rig.sent();
    let more = format!(
        "P-Asserted-Identity: <{IMPU}>\r\n{}",
        vector("icid-value=\"i2\";term-ioi=\"Type 1visited.example\"")
    );
    rig.answer(&sent, 200, &more);
    let response = rig.responses.pop_front().unwrap();
    let asserted = lines(&response, HeaderName::PAssertedIdentity);
    assert_eq!(asserted, [format!("<{IMPU}>"), "<tel:+15550001>".to_owned()]);
    assert_eq!(
        header(&response, HeaderName::PChargingVector),
        format!("icid-value=\"i2\";orig-ioi=\"there.example\";term-ioi=\"{HOME}\"")
    );
}

#[test]
fn user_is_found_by_number_however_the_number_is_written() {
    for uri in [
        "tel:+1-555-0001",
        "tel:15550001",
        IMPU,
        &format!("sip:+15550001@{HOME};user=phone"),
        &format!("sip:+15550001;npdi@{HOME};user=phone"),
    ] {
        let mut rig = Rig::registered();
        rig.receive(request("MESSAGE", uri, ""));
        assert_eq!(rig.requests.len(), 1, "{uri}");
    }
}

#[test]
fn redirection_is_relayed_and_6xx_too() {
    for code in [302, 486, 603] {
        let mut rig = Rig::registered();
        rig.receive(request("INVITE", IMPU, ""));
        let (sent, _) = rig.sent();
        rig.answer(&sent, code, "Contact: <sip:other@192.0.2.98>\r\n");
        assert_eq!(status(&rig.responses.pop_front().unwrap()), code);
        assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
    }
}

#[test]
fn contact_of_an_emergency_registration_is_not_alerted() {
    let mut rig = Rig::new();
    let contact = Some("<sip:001010000000001@192.0.2.10:5060;sos>".to_owned());
    let challenge = rig.register(&Reg {
        contact: contact.clone(),
        ..Reg::new(1)
    });
    rig.register(&Reg {
        contact,
        authorization: Some(aka_authorization(&nonce_of(&challenge), true, "yes")),
        ..Reg::new(2)
    });
    rig.receive(request("INVITE", IMPU, ""));
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 480);
}

/// Registers two contacts of one REGISTER.
fn two_contacts(config: &str, first: &str, second: &str) -> Rig {
    let mut rig = Rig::with_config(config);
    let contact = Some(format!(
        "<sip:one@192.0.2.10>{first}, <sip:two@192.0.2.11>{second}"
    ));
    let challenge = rig.register(&Reg {
        contact: contact.clone(),
        ..Reg::new(1)
    });
    let response = rig.register(&Reg {
        contact,
        authorization: Some(aka_authorization(&nonce_of(&challenge), true, "yes")),
        ..Reg::new(2)
    });
    assert_eq!(status(&response), 200);
    rig
}

fn users(rig: &mut Rig) -> Vec<String> {
    rig.hops.clear();
    let sent: Vec<Request> = rig.requests.drain(..).collect();
    sent.into_iter()
        .map(|sent| {
            let uri = String::from_utf8_lossy(sent.request_uri_bytes()).into_owned();
            format!("{} {uri}", sent.method().as_str())
        })
        .collect()
}

#[test]
fn contacts_of_one_preference_ring_at_once_and_losers_learn_why_they_lost() {
    let mut rig = two_contacts("", "", "");
    rig.receive(request("INVITE", IMPU, ""));
    let (one, _) = rig.sent();
    let (two, _) = rig.sent();
    rig.answer(&one, 180, "");
    rig.answer(&two, 180, "");
    rig.answer(&two, 200, "");
    let (cancel, _) = rig.sent();
    assert_eq!(cancel.method().as_str(), "CANCEL");
    assert_eq!(cancel.request_uri_bytes(), b"sip:one@192.0.2.10");
    let reason = values(&cancel, HeaderName::Reason).remove(0);
    assert!(reason.contains("cause=200"), "{reason}");
}

#[test]
fn contacts_of_lower_preference_ring_when_the_others_have_had_their_time() {
    let mut rig = two_contacts("  sessions: {contact_time: 10s}\n", ";q=0.5", ";q=1.0");
    rig.receive(request("INVITE", IMPU, ""));
    let (first, _) = rig.sent();
    assert_eq!(first.request_uri_bytes(), b"sip:two@192.0.2.11");
    rig.answer(&first, 180, "");
    rig.advance(secs(9));
    assert!(rig.requests.is_empty());
    rig.advance(secs(2));
    let mut sent = users(&mut rig);
    // Some were sent again.
    sent.sort();
    sent.dedup();
    assert_eq!(sent, ["CANCEL sip:two@192.0.2.11", "INVITE sip:one@192.0.2.10"]);
}

#[test]
fn short_message_reaches_only_contacts_that_take_it() {
    let wish = "Accept-Contact: *;+g.3gpp.smsip;explicit;require\r\nRequest-Disposition: no-fork\r\n";
    let mut rig = two_contacts("", "", ";+g.3gpp.smsip");
    rig.receive(request("MESSAGE", IMPU, wish));
    assert_eq!(users(&mut rig), ["MESSAGE sip:two@192.0.2.11"]);
    let mut rig = two_contacts("", "", "");
    rig.receive(request("MESSAGE", IMPU, wish));
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 480);
}

#[test]
fn redirection_is_followed_where_the_operator_wants_it() {
    let mut rig = Rig::with_config("  sessions: {redirects: follow}\n");
    rig.register_over_ipsec();
    rig.receive(request("INVITE", IMPU, ""));
    let (sent, _) = rig.sent();
    let contacts = "Contact: <sip:late@192.0.2.97>;q=0.1, <sip:other@192.0.2.98>;q=0.7\r\n";
    rig.answer(&sent, 302, contacts);
    assert_eq!(
        users(&mut rig),
        [
            "ACK sip:001010000000001@192.0.2.10:5060",
            "INVITE sip:other@192.0.2.98"
        ]
    );
    assert!(rig.responses.is_empty());
    let mut rig = Rig::with_config("  sessions: {redirects: follow}\n");
    rig.register_over_ipsec();
    rig.receive(request("INVITE", IMPU, "Request-Disposition: no-recurse\r\n"));
    let (sent, _) = rig.sent();
    rig.answer(&sent, 302, contacts);
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 302);
}

#[test]
fn gruu_reaches_its_instance_alone() {
    let instance = |name: &str| format!(";+sip.instance=\"<urn:uuid:{name}>\"");
    let mut rig = two_contacts("", &instance("a"), &instance("b"));
    rig.receive(request("MESSAGE", &format!("{IMPU};gr=urn:uuid:b"), ""));
    assert_eq!(users(&mut rig), ["MESSAGE sip:two@192.0.2.11"]);
    let mut rig = two_contacts("", &instance("a"), &instance("b"));
    rig.receive(request("MESSAGE", &format!("{IMPU};gr=urn:uuid:c"), ""));
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 480);
}

/// Two flows of one phone.
fn two_flows() -> Rig {
    let flow = |number: u8| format!(";+sip.instance=\"<urn:uuid:a>\";reg-id={number}");
    two_contacts("", &flow(1), &flow(2))
}

#[test]
fn flow_that_failed_is_made_good_by_the_next_one_of_the_instance() {
    for code in [430, 408] {
        let mut rig = two_flows();
        rig.receive(request("MESSAGE", IMPU, ""));
        let (first, _) = rig.sent();
        assert_eq!(first.request_uri_bytes(), b"sip:two@192.0.2.11", "the newest");
        assert!(rig.requests.is_empty());
        rig.answer(&first, code, "");
        let (second, _) = rig.sent();
        assert_eq!(second.request_uri_bytes(), b"sip:one@192.0.2.10");
        rig.answer(&second, 430, "");
        assert_eq!(status(&rig.responses.pop_front().unwrap()), 480);
    }
}

#[test]
fn refusal_on_one_flow_is_the_answer_of_the_phone() {
    let mut rig = two_flows();
    rig.receive(request("MESSAGE", IMPU, ""));
    let (first, _) = rig.sent();
    rig.answer(&first, 486, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 486);
    assert!(rig.requests.is_empty());
}

#[test]
fn redirection_ends_the_search_for_another_flow() {
    let flow = |number: u8| format!(";+sip.instance=\"<urn:uuid:a>\";reg-id={number}");
    let mut rig = two_contacts("  sessions: {redirects: follow}\n", &flow(1), &flow(2));
    rig.receive(request("MESSAGE", IMPU, ""));
    let (first, _) = rig.sent();
    rig.answer(&first, 302, "Contact: <sip:other@192.0.2.98>\r\n");
    let (redirected, hop) = rig.sent();
    assert_eq!(hop, "192.0.2.98:5060");
    rig.answer(&redirected, 430, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 430);
    assert!(rig.requests.is_empty());
}
