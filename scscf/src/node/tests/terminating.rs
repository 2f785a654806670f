//! Testkit: requests for registered users (SE-02, SE-13, SE-14, SE-23, SE-29).

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
