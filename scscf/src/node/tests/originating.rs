//! Testkit: requests of UEs (SE-01, SE-03, SE-12 to SE-14, SE-18 to SE-20, SE-23 to SE-25, SE-31).

use super::requests::{answered, request};
use super::*;

const BOB: &str = "sip:bob@ims.mnc001.mcc001.3gppnetwork.org";

/// A request as the P-CSCF of the usual UE forwards it.
pub(super) fn originating(route: &str, method: &str, uri: &str, more: &str) -> String {
    let more = format!(
        "Route: {route}\r\nP-Asserted-Identity: <{IMPU}>\r\nP-Access-Network-Info: 3GPP-E-UTRAN-FDD\r\n\
         P-Charging-Vector: icid-value=\"i1\";orig-ioi=\"Type 1visited.example\"\r\n{more}"
    );
    request(method, uri, &more)
}

#[test]
fn request_of_a_ue_goes_to_the_home_network_and_its_answers_come_back() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, ICSCF);
    assert_eq!(values(&sent, HeaderName::Route), Vec::<String>::new());
    assert_eq!(sent.request_uri_bytes(), BOB.as_bytes());
    assert_eq!(
        values(&sent, HeaderName::PChargingVector),
        [format!("icid-value=\"i1\";orig-ioi=\"{HOME}\"")]
    );
    rig.answer(
        &sent,
        200,
        "P-Charging-Vector: icid-value=\"i1\";orig-ioi=\"x\";term-ioi=\"there.example\"\r\n",
    );
    let response = rig.responses.pop_front().unwrap();
    assert_eq!(status(&response), 200);
    assert_eq!(
        header(&response, HeaderName::PChargingVector),
        format!("icid-value=\"i1\";orig-ioi=\"Type 1visited.example\";term-ioi=\"Type 1{HOME}\"")
    );
    assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
    assert_eq!(rig.gauge("ims_scscf_answered_calls"), 1, "further 2xx may come");
    rig.advance(secs(40));
    assert_eq!(rig.gauge("ims_scscf_answered_calls"), 0);
}

#[test]
fn every_2xx_to_an_invite_is_passed_on_as_the_first_one_was() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (sent, _) = rig.sent();
    rig.answer(&sent, 200, "");
    rig.advance(secs(5));
    rig.answer(&sent, 202, "");
    let vector = |response: &Response| header(response, HeaderName::PChargingVector);
    let first = rig.responses.pop_front().unwrap();
    let last = rig.responses.pop_back().unwrap();
    assert_eq!((status(&first), status(&last)), (200, 202));
    assert_eq!(vector(&first), vector(&last));
    assert!(vector(&last).contains("term-ioi"));
}

#[test]
fn only_requests_that_make_dialogs_are_record_routed() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    for (method, is_recorded) in [
        ("INVITE", true),
        ("SUBSCRIBE", true),
        ("REFER", true),
        ("MESSAGE", false),
        ("OPTIONS", false),
        ("PUBLISH", false),
    ] {
        rig.receive(originating(&route, method, BOB, ""));
        let (sent, _) = rig.sent();
        let recorded = values(&sent, HeaderName::RecordRoute);
        assert_eq!(recorded.len(), usize::from(is_recorded), "{method}");
        for value in recorded {
            assert!(
                value.starts_with("<sip:rr-00") && value.ends_with(&format!("@scscf1.{HOME};lr>")),
                "{value}"
            );
        }
    }
}

#[test]
fn identity_of_somebody_else_a_barred_one_and_none_get_403() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    let wrong = [
        (
            "P-Asserted-Identity: <sip:mallory@home.example>\r\n".to_owned(),
            "foreign",
        ),
        (format!("P-Asserted-Identity: <{TEMPORARY_IMPU}>\r\n"), "barred"),
        (String::new(), "missing"),
    ];
    for (identity, what) in wrong {
        let text = request("MESSAGE", BOB, &format!("Route: {route}\r\n{identity}"))
            .replace("z9hG4bKr", &format!("z9hG4bK{what}"));
        assert_eq!(answered(&mut rig, text), 403, "{what}");
    }
    assert!(rig.requests.is_empty());
}

#[test]
fn alias_of_the_other_kind_is_asserted_too() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (sent, _) = rig.sent();
    let expected = [format!("<{IMPU}>"), "<tel:+15550001>".to_owned()];
    assert_eq!(values(&sent, HeaderName::PAssertedIdentity), expected);
}

#[test]
fn two_asserted_identities_are_enough() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(
        &route,
        "INVITE",
        BOB,
        "P-Asserted-Identity: <tel:+15550001>\r\n",
    ));
    let (sent, _) = rig.sent();
    assert_eq!(values(&sent, HeaderName::PAssertedIdentity).len(), 2);
}

#[test]
fn what_is_private_stays_at_home() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(
        &route,
        "INVITE",
        "sip:eve@192.0.2.99",
        "Privacy: id; critical\r\n",
    ));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, "192.0.2.99:5060");
    for name in [
        HeaderName::PAssertedIdentity,
        HeaderName::PAccessNetworkInfo,
        HeaderName::PChargingVector,
    ] {
        assert_eq!(values(&sent, name), Vec::<String>::new());
    }
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", "sip:eve@192.0.2.99", ""));
    let (sent, _) = rig.sent();
    assert_eq!(
        values(&sent, HeaderName::PAssertedIdentity).len(),
        2,
        "nothing was asked for"
    );
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", BOB, "Privacy: id\r\n"));
    let (sent, _) = rig.sent();
    assert_eq!(
        values(&sent, HeaderName::PAssertedIdentity).len(),
        2,
        "home is trusted"
    );
    assert_eq!(values(&sent, HeaderName::PAccessNetworkInfo).len(), 1);
}

#[test]
fn preferred_service_becomes_the_asserted_one() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    let service = "urn:urn-7:3gpp-service.ims.icsi.mmtel";
    rig.receive(originating(
        &route,
        "INVITE",
        BOB,
        &format!("P-Preferred-Service: {service}\r\n"),
    ));
    let (sent, _) = rig.sent();
    assert_eq!(values(&sent, HeaderName::PAssertedService), [service]);
    assert_eq!(values(&sent, HeaderName::PPreferredService), Vec::<String>::new());
}

#[test]
fn service_that_the_profile_does_not_list_is_not_asserted() {
    let mut rig = Rig::new();
    let services = "<CoreNetworkServicesAuthorization><Extension><ListOfServiceIds><ServiceId>\
        urn:urn-7:3gpp-service.ims.icsi.mmtel</ServiceId></ListOfServiceIds></Extension>\
        </CoreNetworkServicesAuthorization></ServiceProfile>";
    rig.hss.user_data = Some(profile().replace("</ServiceProfile>", services));
    rig.register_over_ipsec();
    let route = rig.service_route();
    let other = "P-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.gaming\r\n";
    rig.receive(originating(&route, "INVITE", BOB, other));
    let (sent, _) = rig.sent();
    assert_eq!(values(&sent, HeaderName::PAssertedService), Vec::<String>::new());
    assert_eq!(values(&sent, HeaderName::PPreferredService), Vec::<String>::new());
}

#[test]
fn forgotten_service_route_gets_504_that_makes_the_ue_register() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    let mut restarted = Rig::new();
    restarted.receive(originating(&route, "INVITE", BOB, ""));
    let response = restarted.responses.pop_front().unwrap();
    assert_eq!(status(&response), 504);
    assert_eq!(header(&response, HeaderName::PAssertedIdentity), route);
    assert_eq!(
        header(&response, HeaderName::ContentType),
        "application/3gpp-ims+xml"
    );
    let body = String::from_utf8_lossy(response.body()).into_owned();
    assert!(
        body.contains("<type>restoration</type>") && body.contains("<action>initial-registration</action>")
    );
}

#[test]
fn emergency_call_that_came_this_far_goes_to_the_e_cscf() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    assert_eq!(
        answered(&mut rig, originating(&route, "INVITE", "urn:service:sos", "")),
        404
    );
    let mut rig = Rig::with_config("  sessions: {ecscf: \"sip:192.0.2.77\"}\n");
    rig.register_over_ipsec();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", "urn:service:sos.police", ""));
    let (sent, hop) = rig.sent();
    assert_eq!(
        (sent.request_uri_bytes(), &*hop),
        (&b"urn:service:sos.police"[..], "192.0.2.77:5060")
    );
}

#[test]
fn next_hop_that_is_overloaded_is_told_as_500_and_one_that_is_silent_as_408() {
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (sent, _) = rig.sent();
    rig.answer(&sent, 503, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 500);
    let mut rig = Rig::registered();
    let route = rig.service_route();
    rig.receive(originating(&route, "INVITE", BOB, ""));
    rig.advance(secs(33));
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 408);
    assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
}

/// With a dial plan and a trunk with a spare.
fn with_trunks() -> Rig {
    let mut rig = Rig::with_config(
        "  numbers: {country_code: \"1\", national_digits: 7}\n  routes:\n    \
         - {prefix: \"+\", to: [\"sip:192.0.2.90\", \"sip:192.0.2.91:5070\"]}\n    \
         - {prefix: \"+1555\", to: [\"sip:192.0.2.3:5060\"]}\n    \
         - {domain: partner.example, to: [\"sip:192.0.2.92\"]}\n",
    );
    rig.register_over_ipsec();
    rig
}

fn sent_to(rig: &mut Rig, uri: &str) -> (String, String) {
    let route = rig.service_route();
    rig.receive(originating(&route, "MESSAGE", uri, ""));
    let (sent, hop) = rig.sent();
    (
        String::from_utf8_lossy(sent.request_uri_bytes()).into_owned(),
        hop,
    )
}

#[test]
fn numbers_without_a_rule_are_asked_for_at_home_as_global_ones() {
    let mut rig = Rig::with_config("  numbers: {country_code: \"1\", national_digits: 7}\n");
    rig.register_over_ipsec();
    let at_home = |uri: &str| (uri.to_owned(), ICSCF.to_owned());
    assert_eq!(sent_to(&mut rig, "tel:+15550002"), at_home("tel:+15550002"));
    let mut rig = with_trunks();
    assert_eq!(sent_to(&mut rig, "tel:5550002"), at_home("tel:+15550002"));
    let mut rig = with_trunks();
    let dialled = format!("sip:5550002@{HOME};user=phone");
    assert_eq!(sent_to(&mut rig, &dialled), at_home("tel:+15550002"));
    let mut rig = with_trunks();
    let service = format!("tel:611;phone-context={HOME}");
    assert_eq!(sent_to(&mut rig, &service), at_home(&service));
}

#[test]
fn number_of_elsewhere_goes_to_a_trunk_and_to_the_next_one_when_that_is_dead() {
    let mut rig = with_trunks();
    let route = rig.service_route();
    rig.receive(originating(
        &route,
        "INVITE",
        "tel:0049301234567",
        "Privacy: id\r\n",
    ));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, "192.0.2.90:5060");
    assert_eq!(
        sent.request_uri_bytes(),
        b"sip:+49301234567@192.0.2.90;user=phone"
    );
    assert_eq!(values(&sent, HeaderName::PAssertedIdentity), Vec::<String>::new());
    rig.answer(&sent, 503, "");
    let next = |rig: &mut Rig| loop {
        let (sent, hop) = rig.sent();
        if sent.method().as_str() == "INVITE" {
            return (sent, hop);
        }
    };
    let (sent, hop) = next(&mut rig);
    assert_eq!(hop, "192.0.2.91:5070");
    assert_eq!(
        sent.request_uri_bytes(),
        b"sip:+49301234567@192.0.2.91:5070;user=phone"
    );
    rig.answer(&sent, 486, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 486, "it was reached");
}

#[test]
fn foreign_domain_goes_by_its_rule() {
    let mut rig = with_trunks();
    let uri = "sip:eve@sales.partner.example";
    assert_eq!(
        sent_to(&mut rig, uri),
        (uri.to_owned(), "192.0.2.92:5060".to_owned())
    );
}

#[test]
fn number_that_is_incomplete_gets_484_and_one_of_nobody_404() {
    let mut rig = with_trunks();
    let route = rig.service_route();
    assert_eq!(
        answered(&mut rig, originating(&route, "MESSAGE", "tel:+12", "")),
        484
    );
    let mut rig = with_trunks();
    let route = rig.service_route();
    let foreign = "tel:7042;phone-context=other.example";
    assert_eq!(
        answered(&mut rig, originating(&route, "MESSAGE", foreign, "")),
        404
    );
}

#[test]
fn charging_functions_are_told_to_a_p_cscf_of_the_home_network_alone() {
    for (network, told) in [(HOME, true), ("visited.example", false)] {
        let mut rig = Rig::new();
        rig.hss.charging = Some(ChargingInformation {
            primary_collection: Some("aaa://cdf.home.example".to_owned()),
            ..ChargingInformation::default()
        });
        rig.register_over_ipsec();
        let route = rig.service_route();
        rig.receive(originating(&route, "INVITE", BOB, "").replace("visited.example", network));
        let (sent, _) = rig.sent();
        rig.answer(&sent, 180, "P-Charging-Function-Addresses: ccf=stranger\r\n");
        rig.answer(&sent, 200, "P-Charging-Function-Addresses: ccf=stranger\r\n");
        let response = rig.responses.pop_front().unwrap();
        let expected = if told {
            "ccf=\"aaa://cdf.home.example\""
        } else {
            ""
        };
        assert_eq!(
            header(&response, HeaderName::PChargingFunctionAddresses),
            expected
        );
    }
}

/// A rig that looks numbers up, after a caller has dialled one.
fn looking_up(method: &str) -> Rig {
    let mut rig = Rig::with_config(
        "  enum: {suffix: e164.arpa}\n  routes: [{prefix: \"+\", to: [\"sip:192.0.2.90\"]}]\n",
    );
    rig.register_over_ipsec();
    let route = rig.service_route();
    rig.receive(originating(&route, method, "tel:+15550002", ""));
    assert!(rig.requests.is_empty());
    rig
}

fn answer_lookup(rig: &mut Rig, regexp: Option<&str>) {
    let question = rig.lookups.pop_front().expect("DNS is asked");
    assert_eq!(question.name, "2.0.0.0.5.5.5.1.e164.arpa");
    let record = |regexp: &str| ims_common::net::Naptr {
        flags: "u".to_owned(),
        service: "E2U+sip".to_owned(),
        regexp: regexp.to_owned(),
        ..ims_common::net::Naptr::default()
    };
    let records = regexp.map(record).into_iter().collect();
    let input = SipInput::Naptr {
        id: question.id,
        records,
    };
    rig.node.handle(rig.now, CscfInput::Sip(input));
    rig.drain();
}

#[test]
fn number_goes_where_dns_says() {
    let mut rig = looking_up("MESSAGE");
    answer_lookup(&mut rig, Some(&format!("!^(.*)$!sip:\\1@{HOME};user=phone!")));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, ICSCF);
    assert_eq!(
        sent.request_uri_bytes(),
        format!("sip:+15550002@{HOME};user=phone").as_bytes()
    );
}

#[test]
fn number_that_dns_does_not_know_goes_to_the_trunk_and_a_ported_one_by_its_routing_number() {
    let mut rig = looking_up("MESSAGE");
    answer_lookup(&mut rig, None);
    let (sent, _) = rig.sent();
    assert_eq!(sent.request_uri_bytes(), b"sip:+15550002@192.0.2.90;user=phone");
    let mut rig = looking_up("MESSAGE");
    answer_lookup(&mut rig, Some("!^(.*)$!tel:\\1;npdi;rn=+15559999!"));
    let (sent, _) = rig.sent();
    let expected = b"sip:+15550002;npdi;rn=+15559999@192.0.2.90;user=phone";
    assert_eq!(sent.request_uri_bytes(), expected);
}

#[test]
fn silent_dns_is_as_good_as_one_that_knows_nothing() {
    let mut rig = looking_up("MESSAGE");
    rig.advance(secs(1));
    assert!(rig.requests.is_empty());
    rig.advance(Duration::from_millis(1_100));
    assert_eq!(rig.sent().1, "192.0.2.90:5060");
    answer_lookup(&mut rig, None);
    assert!(rig.responses.is_empty());
}

#[test]
fn media_that_are_not_subscribed_to_get_488_with_those_that_are() {
    let mut rig = Rig::with_config("  media_profiles: [{media: {audio: [AMR]}}]\n");
    rig.register_over_ipsec();
    let route = rig.service_route();
    let offer = |kind: &str| {
        let sdp = format!("v=0\r\nm={kind} 4000 RTP/AVP 96\r\na=rtpmap:96 AMR/8000\r\n");
        originating(&route, "INVITE", BOB, "Content-Type: application/sdp\r\n")
            .replace(
                "Content-Length: 0\r\n\r\n",
                &format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len()),
            )
            .replace("z9hG4bKr", &format!("z9hG4bK{kind}"))
    };
    rig.receive(offer("video"));
    let response = rig.responses.pop_front().unwrap();
    assert_eq!(status(&response), 488);
    assert!(String::from_utf8_lossy(response.body()).contains("m=audio 0"));
    rig.receive(offer("audio"));
    assert_eq!(rig.sent().1, ICSCF);
}
