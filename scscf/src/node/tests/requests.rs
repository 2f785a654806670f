//! Testkit: requests other than REGISTER (RG-06, RG-21).

use super::*;

pub(super) fn request(method: &str, uri: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bKr{method}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:bob@home.example>;tag=f2\r\nTo: <{uri}>\r\nCall-ID: r1\r\nCSeq: 1 {method}\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

pub(super) fn answered(rig: &mut Rig, text: String) -> u16 {
    rig.receive(text);
    status(&rig.responses.pop_front().expect("the request was answered"))
}

#[test]
fn terminating_request_goes_to_the_contact_along_the_path() {
    let mut rig = Rig::new();
    let challenge = rig.register(&Reg::new(1));
    let two_hops = format!("{PATH}, <sip:edge@192.0.2.30;lr>");
    let answer = Reg {
        authorization: Some(aka_authorization(&nonce_of(&challenge), true, "yes")),
        path: Some(two_hops),
        ..Reg::new(2)
    };
    rig.register(&answer);
    rig.receive(request("MESSAGE", IMPU, ""));
    let sent = rig.requests.pop_front().unwrap();
    assert_eq!(sent.request_uri_bytes(), b"sip:001010000000001@192.0.2.10:5060");
    let routes: Vec<_> = sent.values(HeaderName::Route).collect();
    assert_eq!(routes, [PATH.as_bytes(), b"<sip:edge@192.0.2.30;lr>"]);
    assert_eq!(
        sent.header(HeaderName::PCalledPartyId),
        Some(format!("<{IMPU}>").as_bytes())
    );
}

#[test]
fn contacts_of_all_private_identities_that_share_a_public_one_are_alerted() {
    let mut rig = Rig::registered();
    rig.register_second();
    rig.receive(request("MESSAGE", IMPU, ""));
    let uris: Vec<&[u8]> = rig.requests.iter().map(|sent| sent.request_uri_bytes()).collect();
    assert_eq!(
        uris,
        [
            b"sip:001010000000001@192.0.2.10:5060".as_slice(),
            b"sip:second@192.0.2.12"
        ]
    );
}

#[test]
fn number_is_found_with_and_without_its_plus() {
    let mut rig = Rig::registered();
    rig.receive(request("MESSAGE", "tel:15550001", ""));
    assert_eq!(rig.requests.len(), 1);
}

#[test]
fn unregistered_identity_gets_480_and_a_barred_one_404() {
    let mut rig = Rig::registered();
    assert_eq!(
        answered(&mut rig, request("MESSAGE", "sip:carol@home.example", "")),
        480
    );
    assert_eq!(answered(&mut rig, request("OPTIONS", TEMPORARY_IMPU, "")), 404);
}

#[test]
fn options_to_the_server_itself_are_answered() {
    let mut rig = Rig::new();
    let uri = format!("sip:scscf1.{HOME}");
    rig.receive(request("OPTIONS", &uri, ""));
    let response = rig.responses.pop_front().unwrap();
    assert_eq!(status(&response), 200);
    assert!(header(&response, HeaderName::Allow).contains("REGISTER"));
}

#[test]
fn request_within_a_dialog_follows_its_route() {
    let mut rig = Rig::new();
    let routes = format!("Route: <sip:scscf1.{HOME};lr>, <sip:next@192.0.2.40;lr>\r\n");
    let text = request("BYE", "sip:bob@192.0.2.50", &routes).replace("\r\nCall-ID", ";tag=t\r\nCall-ID");
    rig.receive(text);
    let sent = rig.requests.pop_front().unwrap();
    let left: Vec<_> = sent.values(HeaderName::Route).collect();
    assert_eq!(left, [b"<sip:next@192.0.2.40;lr>"]);
}

#[test]
fn request_within_a_dialog_leaves_out_all_routes_of_ours_at_once() {
    let mut rig = Rig::new();
    let own = format!("<sip:rr-1@scscf1.{HOME};lr>, <sip:rr-2@scscf1.{HOME};lr>");
    let routes = format!("Route: {own}, <sip:next@192.0.2.40;lr>\r\n");
    let text = request("INVITE", "sip:bob@192.0.2.50", &routes).replace("\r\nCall-ID", ";tag=t\r\nCall-ID");
    rig.receive(text);
    let (sent, hop) = rig.sent();
    assert_eq!(values(&sent, HeaderName::Route), ["<sip:next@192.0.2.40;lr>"]);
    assert_eq!(hop, "192.0.2.40:5060");
    let again = [
        format!("<sip:rr-2@scscf1.{HOME};lr>"),
        format!("<sip:rr-1@scscf1.{HOME};lr>"),
    ];
    assert_eq!(values(&sent, HeaderName::RecordRoute), again);
}

#[test]
fn tag_in_to_is_no_way_round_services_and_barring() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    let with_tag = |method: &str| {
        let more = format!("Route: {route}\r\n");
        request(method, "sip:bob@192.0.2.50", &more).replace("\r\nCall-ID", ";tag=t\r\nCall-ID")
    };
    assert_eq!(answered(&mut rig, with_tag("INVITE")), 481);
    assert_eq!(answered(&mut rig, with_tag("MESSAGE")), 481);
    rig.receive(with_tag("BYE"));
    assert_eq!(rig.requests.len(), 1);
}
