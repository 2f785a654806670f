//! Testkit: what a message loses and gains on the border (checklist PC-01 to PC-05, PC-11, PC-12, PC-21, PC-23, PC-24; CH-01,
//! CH-02).

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::net::{Flow, NetInput, SipInput};
use ims_common::node::Node;

use super::*;
use crate::tests::text;

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.1.10\r\ns=-\r\nc=IN IP4 127.0.1.10\r\nb=AS:41\r\nb=RS:512\r\nb=RR:1537\r\nt=0 0\r\n\
    m=audio 49152 RTP/AVP 104 102 105 101\r\na=curr:qos local none\r\na=curr:qos remote none\r\na=des:qos mandatory local sendrecv\r\n\
    a=des:qos optional remote sendrecv\r\na=fmtp:104 mode-set=0,2,4,7;max-red=220\r\n";

impl Bench {
    fn receives(&mut self, flow: Flow, octets: &[u8]) {
        let message = Message::parse(Bytes::copy_from_slice(octets), &SipLimits::default()).unwrap();
        self.node
            .handle(self.now, NetInput::Sip(SipInput::Received { flow, message }));
        self.collect();
    }
}

#[test]
fn a_route_other_than_the_service_route_is_replaced_and_counted() {
    let (mut bench, _) = registered();
    let told = format!("Route: <sip:127.0.1.1;lr>, <{SERVICE_ROUTE}>\r\n");
    for (cseq, route, replaced) in [
        (1, told.as_str(), 0),
        (
            2,
            "Route: <sip:127.0.1.1;lr>, <sip:victim@198.51.100.7;lr>\r\n",
            1,
        ),
        (3, "", 2),
    ] {
        bench.ue_says(&mo("MESSAGE", cseq, None, route));
        let sent = bench.forwarded();
        assert_eq!(values(&sent, HeaderName::Route), [format!("<{SERVICE_ROUTE}>")]);
        assert_eq!(
            bench.count("ims_pcscf_route_replaced_total", "service-route"),
            replaced
        );
    }
}

/// Some UEs write P-Preferred-Identity without angle brackets, or as a tel URI, or twice.
#[test]
fn what_a_ue_prefers_is_asserted_where_it_is_registered_and_nothing_else_is() {
    let (mut bench, _) = registered();
    let sip = format!("<sip:+15550001@{REALM}>");
    let both = format!("<tel:+15550001>, {sip}");
    let cases = [
        (String::new(), sip.as_str()),
        ("<tel:+15550001>".to_owned(), "<tel:+15550001>"),
        ("tel:+15550001".to_owned(), "<tel:+15550001>"),
        ("tel:+1-555-0001;x=y".to_owned(), "<tel:+15550001>"),
        (format!("sip:+15550001@{REALM}"), &sip),
        (format!("\"Eve\" <sip:+15550001@{REALM};user=phone>"), &sip),
        (
            "<sip:+15550001@other.test;user=phone>".to_owned(),
            "<tel:+15550001>",
        ),
        (format!("<tel:+15550001>, <sip:+15550001@{REALM}>"), &both),
        (
            format!("<tel:+15550001>, <tel:+15550001>, <sip:+15550001@{REALM}>"),
            &both,
        ),
        ("<sip:+15559999@other.test>".to_owned(), &sip),
        (format!("<sip:{}>", crate::tests::IMPI), &sip),
        ("<<>>, \"".to_owned(), &sip),
        (",,".to_owned(), &sip),
    ];
    for (cseq, (preferred, asserted)) in (1..).zip(&cases) {
        let preferred = match preferred.as_str() {
            "" => String::new(),
            text => format!("P-Preferred-Identity: {text}\r\n"),
        };
        let forged = "P-Asserted-Identity: <sip:forged@home.test>\r\nPrivacy: none\r\n";
        let message = mo("MESSAGE", cseq, None, &format!("{preferred}{forged}"));
        bench.ue_says(&message.replace("From: <sip:+15550001", "From: <sip:anybody"));
        let sent = bench.forwarded();
        assert_eq!(
            lines(&sent, HeaderName::PAssertedIdentity),
            [*asserted],
            "{preferred}"
        );
        assert!(sent.header(HeaderName::PPreferredIdentity).is_none());
        assert_eq!(header(&sent, HeaderName::Privacy).unwrap(), "none");
    }
}

#[test]
fn both_sides_are_recorded_the_one_that_a_request_leaves_by_on_top() {
    let (mut bench, path) = registered();
    let token = path
        .trim_start_matches("<sip:")
        .split('@')
        .next()
        .unwrap()
        .to_owned();
    let (gm, mw) = (
        format!("<sip:{token}@127.0.1.1;lr>"),
        format!("<sip:{token}@127.0.1.2;lr>"),
    );
    let invite = bench.calls();
    assert_eq!(values(&invite, HeaderName::RecordRoute), [mw.clone(), gm.clone()]);
    let (mut bench, path) = registered();
    let invite = bench.is_called(&path, "");
    assert_eq!(
        values(&invite, HeaderName::RecordRoute),
        [gm, mw, SCSCF_ROUTE.to_owned()]
    );
}

#[test]
fn a_called_ue_answers_under_the_identity_that_was_called() {
    let called = "P-Called-Party-ID: <tel:+15550001>\r\n";
    for (further, asserted) in [
        (called, "<tel:+15550001>".to_owned()),
        ("", format!("<sip:+15550001@{REALM}>")),
    ] {
        let (mut bench, path) = registered();
        let invite = bench.is_called(&path, further);
        assert_eq!(
            invite.header(HeaderName::PCalledPartyId).is_some(),
            !further.is_empty()
        );
        for code in [180, 200] {
            let forged = "P-Asserted-Identity: <sip:forged@home.test>\r\nP-Preferred-Identity: <sip:forged@home.test>\r\n";
            bench.ue_says(&answer(
                &invite,
                code,
                &format!("{forged}Contact: <{CONTACT}>\r\n"),
            ));
            let response = match bench.response() {
                trying if trying.status().as_u16() == 100 => bench.response(),
                response => response,
            };
            assert_eq!(
                lines(&response, HeaderName::PAssertedIdentity),
                [asserted.as_str()]
            );
            assert!(!text(&response).contains("forged"));
        }
    }
}

#[test]
fn what_a_ue_does_to_via_and_record_route_is_undone() {
    let (mut bench, path) = registered();
    let invite = bench.is_called(&path, "");
    let ours = values(&invite, HeaderName::RecordRoute);
    let good = answer(
        &invite,
        200,
        &format!("Record-Route: {}\r\nContact: <{CONTACT}>\r\n", ours.join(", ")),
    );
    bench.ue_says(&good);
    let expected = bench.hears(200);
    assert_eq!(values(&expected, HeaderName::RecordRoute), ours);
    assert_eq!(
        values(&expected, HeaderName::Via),
        [format!("SIP/2.0/UDP {SCSCF};branch=z9hG4bKtINVITE1")]
    );
    assert_eq!(bench.count("ims_pcscf_restored_total", "via"), 0);
    for bad in [
        good.replace(SCSCF_ROUTE, "<sip:victim@198.51.100.7;lr>"),
        good.replace(&format!("UDP {SCSCF}"), "UDP 198.51.100.7"),
        good.replace(
            &format!("Via: SIP/2.0/UDP {SCSCF};branch=z9hG4bKtINVITE1\r\n"),
            "",
        ),
        good.replace(&format!("Record-Route: {}\r\n", ours.join(", ")), ""),
    ] {
        bench.ue_says(&bad);
        let restored = bench.hears(200);
        assert_eq!(values(&restored, HeaderName::RecordRoute), ours);
        assert_eq!(
            values(&restored, HeaderName::Via),
            values(&expected, HeaderName::Via)
        );
    }
    assert_eq!(bench.count("ims_pcscf_restored_total", "via"), 2);
    assert_eq!(bench.count("ims_pcscf_restored_total", "record-route"), 2);
}

#[test]
fn the_asserted_identity_reaches_the_other_ue_unless_it_wants_privacy() {
    let (mut bench, path) = registered();
    let route = format!("Route: {path}\r\nP-Asserted-Identity: <sip:known@home.test>\r\n");
    for (cseq, privacy, shown) in [
        (1, "", true),
        (2, "Privacy: none\r\n", true),
        (3, "Privacy: id\r\n", false),
        (4, "Privacy: header; ID ;critical\r\n", false),
        (5, "Privacy: user, id\r\n", false),
    ] {
        bench.receive(
            mw_flow(SCSCF),
            &mt("MESSAGE", cseq, None, &format!("{route}{privacy}")),
        );
        let sent = bench.forwarded();
        assert_eq!(
            sent.header(HeaderName::PAssertedIdentity).is_some(),
            shown,
            "{privacy}"
        );
        assert_eq!(sent.header(HeaderName::Privacy).is_some(), !privacy.is_empty());
    }
    bench.ue_says(&mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n")));
    let invite = bench.forwarded();
    let hidden = "P-Asserted-Identity: <sip:known@home.test>\r\nPrivacy: id\r\n";
    bench.home_answers(&invite, 180, hidden);
    assert!(bench.hears(180).header(HeaderName::PAssertedIdentity).is_none());
    bench.home_answers(&invite, 200, "P-Asserted-Identity: <sip:known@home.test>\r\n");
    assert!(bench.hears(200).header(HeaderName::PAssertedIdentity).is_some());
}

/// TS 24.341 5.3.2.4: its receipt goes to that identity.
#[test]
fn the_sender_of_a_short_message_stays_asserted_whatever_it_wants() {
    let (mut bench, path) = registered();
    let further = format!("Route: {path}\r\nP-Asserted-Identity: <sip:ipsmgw.test>\r\nPrivacy: id\r\n");
    let message = with_body(
        &mt("MESSAGE", 1, None, &further),
        "application/vnd.3gpp.sms",
        b"\x01\x00\r\n\x00",
    );
    bench.receives(mw_flow(SCSCF), &message);
    let sent = bench.forwarded();
    assert_eq!(lines(&sent, HeaderName::PAssertedIdentity), ["<sip:ipsmgw.test>"]);
    assert_eq!(sent.body(), b"\x01\x00\r\n\x00");
}

#[test]
fn the_networks_own_words_and_the_place_of_the_other_party_never_reach_a_ue() {
    let secrets = "P-Charging-Vector: icid-value=secret\r\nP-Charging-Function-Addresses: ccf=secret\r\n\
         P-Access-Network-Info: secret;network-provided\r\nP-Access-Network-Info: secret\r\nP-Served-User: <sip:secret@x>\r\n\
         P-User-Database: <aaa://secret>\r\nP-Profile-Key: <sip:secret@x>\r\nP-Visited-Network-ID: secret\r\n";
    let (mut bench, path) = registered();
    let kept =
        "P-Asserted-Service: urn:urn-7:kept\r\nP-Early-Media: sendrecv\r\nAccept-Contact: *;+g.kept\r\n";
    let invite = bench.is_called(&path, &format!("{secrets}{kept}"));
    assert!(!text(&invite).contains("secret"), "{}", text(&invite));
    assert_eq!(text(&invite).matches("kept").count(), 2);
    assert_eq!(lines(&invite, HeaderName::PEarlyMedia), ["sendrecv"]);
    let (mut bench, _) = registered();
    bench.ue_says(&mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n")));
    let invite = bench.forwarded();
    bench.home_answers(
        &invite,
        183,
        &format!("{secrets}{kept}Contact: <{FAR}>\r\n{}", recorded(&invite)),
    );
    let response = bench.hears(183);
    assert!(!text(&response).contains("secret"), "{}", text(&response));
    assert_eq!(lines(&response, HeaderName::PEarlyMedia), ["sendrecv"]);
}

#[test]
fn what_only_the_network_may_say_is_taken_from_no_ue() {
    let forged = "P-Charging-Vector: icid-value=forged\r\nP-Charging-Function-Addresses: ccf=forged\r\n\
         P-Asserted-Service: urn:forged\r\nP-Served-User: <sip:forged@x>\r\nP-Called-Party-ID: <sip:forged@x>\r\n\
         P-Profile-Key: <sip:forged@x>\r\nP-Visited-Network-ID: forged\r\nFeature-Caps: *;+forged\r\nResource-Share: forged\r\n\
         Relayed-Charge: forged\r\nP-Private-Network-Indication: forged\r\nSecurity-Verify: forged\r\n\
         P-Access-Network-Info: forged;network-provided\r\nGeolocation: <cid:place@ue>;loc-src=forged\r\n";
    let own = "P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=0010100010000101\r\n\
         P-Preferred-Service: urn:urn-7:own\r\n";
    let (mut bench, path) = registered();
    bench.ue_says(&mo(
        "INVITE",
        1,
        None,
        &format!("{forged}{own}Contact: <{CONTACT}>\r\n"),
    ));
    let invite = bench.forwarded();
    assert!(!text(&invite).contains("forged"), "{}", text(&invite));
    assert_eq!(lines(&invite, HeaderName::Geolocation), ["<cid:place@ue>"]);
    assert_eq!(lines(&invite, HeaderName::PAccessNetworkInfo).len(), 1);
    assert!(invite.header(HeaderName::PPreferredService).is_some());
    bench.flush();
    let invite = bench.is_called(&path, "");
    bench.ue_says(&answer(
        &invite,
        183,
        &format!("{forged}{own}Contact: <{CONTACT}>\r\n"),
    ));
    let response = bench.hears(183);
    assert!(!text(&response).contains("forged"), "{}", text(&response));
    assert_eq!(lines(&response, HeaderName::PAccessNetworkInfo).len(), 1);
}

#[test]
fn a_ue_opens_no_early_media_unless_the_operator_trusts_it() {
    for (config, passes) in [("", false), (", sessions: {early_media: trust}", true)] {
        let (mut bench, path) = registered_with(config);
        bench.ue_says(&mo("INVITE", 1, None, "P-Early-Media: supported\r\n"));
        assert_eq!(lines(&bench.forwarded(), HeaderName::PEarlyMedia), ["supported"]);
        bench.ue_says(
            &mo("UPDATE", 1, None, "P-Early-Media: supported, sendrecv\r\n").replace("UPDATE", "SERVICE"),
        );
        let expected = if passes {
            "supported, sendrecv"
        } else {
            "supported"
        };
        assert_eq!(lines(&bench.forwarded(), HeaderName::PEarlyMedia), [expected]);
        let invite = bench.is_called(&path, "");
        bench.flush();
        bench.ue_says(&answer(
            &invite,
            183,
            &format!("P-Early-Media: sendrecv\r\nContact: <{CONTACT}>\r\n"),
        ));
        assert_eq!(bench.hears(183).header(HeaderName::PEarlyMedia).is_some(), passes);
    }
}

#[test]
fn one_charging_identifier_lives_as_long_as_the_dialog() {
    let vector = |message: &Message| header(message, HeaderName::PChargingVector).unwrap();
    let icid = |message: &Message| vector(message).split(";icid-gen").next().unwrap().to_owned();
    let (mut bench, path) = registered();
    let invite = bench.calls();
    assert!(vector(&invite).contains(&format!("orig-ioi=\"Type 1{REALM}\"")));
    bench.ue_says(&mo("UPDATE", 2, Some("home"), &own_route(&invite)));
    let update = bench.forwarded();
    assert_eq!(icid(&update), icid(&invite));
    bench.ue_says(&mo("MESSAGE", 1, None, "").replace("call@ue", "other@ue"));
    assert_ne!(icid(&bench.forwarded()), icid(&invite));

    let came = "P-Charging-Vector: icid-value=\"a;b\";orig-ioi=\"Type 1home.test\";term-ioi=forged\r\n";
    let invite = bench.is_called(&path, came);
    bench.flush();
    bench.ue_says(&answer(&invite, 200, &format!("Contact: <{CONTACT}>\r\n")));
    let answered = format!("icid-value=\"a;b\";orig-ioi=\"Type 1home.test\";term-ioi=\"Type 1{REALM}\"");
    assert_eq!(lines(&bench.hears(200), HeaderName::PChargingVector), [answered]);
    let bye = format!(
        "BYE {FAR} SIP/2.0\r\nVia: SIP/2.0/UDP {UE};branch=z9hG4bKbye\r\nFrom: <sip:+15550001@{REALM}>;tag=home\r\n\
         To: <tel:+15550002>;tag=far\r\nCall-ID: call@far\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    bench.ue_says(&bye);
    assert_eq!(icid(&bench.forwarded()), "icid-value=\"a;b\"");
}

/// SDP with preconditions, several parts, and octets that are no text.
#[test]
fn bodies_pass_both_ways_octet_by_octet() {
    let multipart = [
        b"--b1\r\nContent-Type: application/sdp\r\n\r\n",
        SDP,
        b"\r\n--b1\r\nContent-Type: application/vnd.3gpp.ussd\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\r\n\r\n--b1--\r\n",
    ]
    .concat();
    let binary: Vec<u8> = (0..=255).chain([b'\r', b'\n', 0, 0]).collect();
    let broken = b"v=0\r\nm=audio \xff\xfe\r\n\r\nSIP/2.0 200 OK\r\n";
    for (content_type, body) in [
        ("application/sdp", SDP),
        ("multipart/mixed;boundary=b1", &multipart),
        ("application/octet-stream", &binary),
        ("application/sdp", broken),
    ] {
        let (mut bench, path) = registered();
        bench.receives(
            gm_flow(UE),
            &with_body(&mo("INVITE", 1, None, ""), content_type, body),
        );
        let sent = bench.forwarded();
        assert_eq!(sent.body(), body, "{content_type}");
        assert_eq!(header(&sent, HeaderName::ContentType).unwrap(), content_type);
        let ok = with_body(&answer(&sent, 183, ""), content_type, body);
        bench.receives(mw_flow(SCSCF), &ok);
        assert_eq!(bench.hears(183).body(), body);
        let further = format!("Route: {path}\r\nContact: <{FAR}>\r\n");
        bench.receives(
            mw_flow(SCSCF),
            &with_body(&mt("INVITE", 1, None, &further), content_type, body),
        );
        let sent = bench.forwarded();
        assert_eq!(sent.body(), body, "{content_type}");
        bench.flush();
        bench.receives(
            gm_flow(UE),
            &with_body(&answer(&sent, 200, ""), content_type, body),
        );
        assert_eq!(bench.hears(200).body(), body);
    }
}

#[test]
fn preconditions_and_reliable_answers_pass_as_they_are() {
    let (mut bench, _) = registered();
    let wishes = "Require: precondition\r\nSupported: 100rel, timer, 199, precondition\r\nAllow: PRACK, UPDATE\r\n\
         Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n";
    let offer = mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n{wishes}"));
    bench.receives(gm_flow(UE), &with_body(&offer, "application/sdp", SDP));
    let invite = bench.forwarded();
    for line in wishes.split_inclusive("\r\n") {
        assert!(text(&invite).contains(line), "{line}");
    }
    let reliable = "Require: 100rel, precondition\r\nRSeq: 7\r\n";
    let progress = format!("Contact: <{FAR}>\r\n{}{reliable}", recorded(&invite));
    bench.receives(
        mw_flow(SCSCF),
        &with_body(&answer(&invite, 183, &progress), "application/sdp", SDP),
    );
    let response = bench.hears(183);
    assert!(text(&response).contains(reliable));
    assert_eq!(response.body(), SDP);
    for (cseq, method, further) in [(2, "PRACK", "RAck: 7 1 INVITE\r\n"), (3, "UPDATE", "")] {
        let request = mo(
            method,
            cseq,
            Some("home"),
            &format!("{}{further}", own_route(&invite)),
        );
        bench.receives(gm_flow(UE), &with_body(&request, "application/sdp", SDP));
        let sent = bench.forwarded();
        assert!(text(&sent).contains(further) && sent.body() == SDP);
        bench.receives(
            mw_flow(SCSCF),
            &with_body(&answer(&sent, 200, ""), "application/sdp", SDP),
        );
        assert_eq!(bench.hears(200).body(), SDP);
    }
}

#[test]
fn media_against_the_policy_are_refused_with_those_that_it_allows() {
    let (mut bench, _) = registered_with(", sessions: {media: {audio: [AMR, telephone-event]}}");
    let offer = |cseq, sdp: &str| {
        let text = mo("INVITE", cseq, None, &format!("Contact: <{CONTACT}>\r\n"));
        with_body(
            &text.replace("call@ue", &format!("{cseq}@ue")),
            "application/sdp",
            sdp.as_bytes(),
        )
    };
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.1.10\r\ns=-\r\nc=IN IP4 127.0.1.10\r\nt=0 0\r\n";
    let audio = "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 AMR/8000\r\n";
    bench.receives(gm_flow(UE), &offer(1, &format!("{head}{audio}")));
    bench.forwarded();
    bench.receives(
        gm_flow(UE),
        &offer(2, &format!("{head}{audio}m=video 0 RTP/AVP 97\r\n")),
    );
    bench.forwarded();
    for (cseq, bad) in [
        (3, "m=video 4002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"),
        (4, "m=audio 4000 RTP/AVP 8\r\n"),
    ] {
        bench.receives(gm_flow(UE), &offer(cseq, &format!("{head}{audio}{bad}")));
        let refused = bench.hears(488);
        let allowed = String::from_utf8_lossy(refused.body()).into_owned();
        assert!(
            allowed.contains("m=audio 0 RTP/AVP ") && allowed.contains(" AMR/8000"),
            "{allowed}"
        );
        assert!(!allowed.contains("video"), "{allowed}");
        assert_eq!(
            header(&refused, HeaderName::ContentType).unwrap(),
            "application/sdp"
        );
    }
    assert_eq!(bench.count("ims_pcscf_rejected_total", "media"), 2);
    assert_eq!(bench.node.sessions.dialogs.setup_count(), 2);
}
