//! Testkit: application servers by filter criteria (SE-05 to SE-08, SE-10, SE-11, SE-27, SE-28).

use super::originating::originating;
use super::requests::{answered, request};
use super::*;

const BOB: &str = "sip:bob@ims.mnc001.mcc001.3gppnetwork.org";
const AS1: &str = "192.0.2.81:5060";
const AS2: &str = "192.0.2.82:5060";

/// A criterion for all requests of a session case but REGISTER, of the server at this address.
pub(super) fn criterion(priority: u32, server: &str, case: u8, handling: u8) -> String {
    format!(
        "<InitialFilterCriteria><Priority>{priority}</Priority><TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF>\
         <SPT><Group>0</Group><SessionCase>{case}</SessionCase></SPT>\
         <SPT><ConditionNegated>1</ConditionNegated><Group>1</Group><Method>REGISTER</Method></SPT></TriggerPoint><ApplicationServer><ServerName>\
         sip:{server}</ServerName><DefaultHandling>{handling}</DefaultHandling></ApplicationServer>\
         </InitialFilterCriteria>"
    )
}

pub(super) fn profile_with(criteria: &[String]) -> String {
    profile().replace(
        "</ServiceProfile>",
        &format!("{}</ServiceProfile>", criteria.concat()),
    )
}

/// A registered user with these criteria.
fn rig(criteria: &[String]) -> Rig {
    let mut rig = Rig::new();
    rig.hss.user_data = Some(profile_with(criteria));
    rig.register_over_ipsec();
    rig
}

/// What the AS sends back: the request that it got without its own Route, changed by `change`.
fn back(sent: &Request, change: impl FnOnce(String) -> String) -> String {
    let own = values(sent, HeaderName::Route).remove(0);
    let text = String::from_utf8_lossy(sent.bytes()).into_owned();
    let text = text
        .replacen(&format!("{own}, "), "", 1)
        .replacen(&format!("Route: {own}\r\n"), "", 1);
    let via = "Via: SIP/2.0/UDP 192.0.2.81:5060;branch=z9hG4bKas\r\nVia: ";
    change(text.replacen("Via: ", via, 1))
}

fn route(rig: &mut Rig) -> String {
    rig.service_route()
}

#[test]
fn request_visits_the_servers_by_priority_and_comes_back_by_its_dialog_id_alone() {
    let mut rig = rig(&[criterion(20, AS2, 0, 0), criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (first, hop) = rig.sent();
    assert_eq!(hop, AS1);
    let routes = values(&first, HeaderName::Route);
    assert_eq!(routes[0], format!("<sip:{AS1};lr>"));
    assert!(routes[1].starts_with("<sip:odi-00") && routes[1].ends_with(&format!("@scscf1.{HOME};lr>")));
    assert_eq!(first.request_uri_bytes(), BOB.as_bytes());
    let served = [format!("<{IMPU}>;sescase=orig;regstate=reg")];
    assert_eq!(values(&first, HeaderName::PServedUser), served);
    let vector = values(&first, HeaderName::PChargingVector).remove(0);
    assert!(
        vector.ends_with(&format!("orig-ioi=\"Type 3{HOME}\"")),
        "{vector}"
    );
    assert_eq!(values(&first, HeaderName::RecordRoute).len(), 1);
    // A B2BUA: another Call-ID, another tag, no Record-Route.
    rig.receive(back(&first, |text| {
        text.replace("Call-ID: r1", "Call-ID: another")
            .replace("tag=f2", "tag=b2bua")
    }));
    let (second, hop) = rig.sent();
    assert_eq!(hop, AS2);
    assert_eq!(values(&second, HeaderName::PServedUser), served);
    rig.receive(back(&second, |text| text.replace("z9hG4bKas", "z9hG4bKas2")));
    let (last, hop) = rig.sent();
    assert_eq!(hop, ICSCF);
    assert_eq!(values(&last, HeaderName::PServedUser), Vec::<String>::new());
    assert_eq!(values(&last, HeaderName::Route), Vec::<String>::new());
    assert_eq!(rig.gauge("ims_scscf_sessions"), 3);
}

#[test]
fn callee_is_served_by_the_servers_before_the_contact() {
    let mut rig = rig(&[criterion(10, AS1, 1, 0), criterion(20, AS2, 0, 0)]);
    rig.receive(request("MESSAGE", IMPU, ""));
    let (first, hop) = rig.sent();
    assert_eq!(hop, AS1);
    let served = format!("<{IMPU}>;sescase=term;regstate=reg");
    assert_eq!(values(&first, HeaderName::PServedUser), [served]);
    rig.receive(back(&first, |text| text));
    let (last, hop) = rig.sent();
    assert_eq!(hop, "192.0.2.20:5060");
    assert_eq!(last.request_uri_bytes(), b"sip:001010000000001@192.0.2.10:5060");
    assert_eq!(values(&last, HeaderName::PServedUser), Vec::<String>::new());
    rig.answer(&last, 200, "");
    rig.answer(&first, 200, "");
    let codes: Vec<u16> = rig.responses.iter().map(status).collect();
    assert_eq!(codes, [200, 200]);
    assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
}

#[test]
fn answer_of_a_server_other_than_a_failure_is_its_decision() {
    for code in [200, 302, 403, 486, 603] {
        let mut rig = rig(&[criterion(10, AS1, 0, 0), criterion(20, AS2, 0, 0)]);
        let route = route(&mut rig);
        rig.receive(originating(&route, "INVITE", BOB, ""));
        let (first, _) = rig.sent();
        rig.answer(&first, code, "");
        assert_eq!(status(&rig.responses.pop_front().unwrap()), code);
        let others = rig
            .requests
            .iter()
            .filter(|sent| sent.method().as_str() != "ACK")
            .count();
        assert_eq!(others, 0, "{code}");
    }
}

#[test]
fn failure_of_a_server_is_skipped_when_the_default_handling_is_to_continue() {
    for code in [408, 500, 503, 580] {
        let mut rig = rig(&[criterion(10, AS1, 0, 0), criterion(20, AS2, 0, 0)]);
        let route = route(&mut rig);
        rig.receive(originating(&route, "MESSAGE", BOB, ""));
        let (first, _) = rig.sent();
        rig.answer(&first, code, "");
        let (second, hop) = rig.sent();
        assert_eq!(hop, AS2, "{code}");
        assert_eq!(
            values(&second, HeaderName::Route).len(),
            2,
            "no Route to the dead server"
        );
        assert!(rig.responses.is_empty());
    }
}

#[test]
fn failure_of_a_server_ends_the_session_when_the_default_handling_says_so() {
    for (code, told) in [(408, 408), (500, 500), (503, 500)] {
        let mut rig = rig(&[criterion(10, AS1, 0, 1), criterion(20, AS2, 0, 0)]);
        let route = route(&mut rig);
        rig.receive(originating(&route, "INVITE", BOB, ""));
        let (first, _) = rig.sent();
        rig.answer(&first, code, "");
        assert_eq!(status(&rig.responses.pop_front().unwrap()), told);
        assert_eq!(rig.gauge("ims_scscf_dialog_ids"), 0);
    }
}

#[test]
fn silent_server_is_skipped_after_four_seconds_and_may_not_come_back() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (first, _) = rig.sent();
    rig.advance(secs(3));
    assert!(rig.hops.iter().all(|hop| hop.to_string() == AS1));
    rig.advance(Duration::from_millis(1_100));
    let at = rig
        .hops
        .iter()
        .position(|hop| hop.to_string() == ICSCF)
        .expect("it goes on");
    let next = rig.requests.remove(at).unwrap();
    assert_eq!(next.request_uri_bytes(), BOB.as_bytes());
    assert_eq!(answered(&mut rig, back(&first, |text| text)), 403);
}

#[test]
fn silent_server_that_must_not_be_skipped_gives_408_to_a_call_and_504_to_a_message() {
    for (method, told) in [("INVITE", 408), ("MESSAGE", 504)] {
        let mut rig = rig(&[criterion(10, AS1, 0, 1)]);
        let route = route(&mut rig);
        rig.receive(originating(&route, method, BOB, ""));
        rig.advance(secs(5));
        assert_eq!(status(&rig.responses.pop_front().unwrap()), told, "{method}");
        rig.advance(secs(60));
        let again = |response: &Response| response.status().as_u16() == told;
        assert!(
            rig.responses.iter().all(again),
            "repeated until it is acknowledged"
        );
        assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
    }
}

#[test]
fn server_that_said_100_gets_more_time_and_one_that_sent_the_request_back_all() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "MESSAGE", BOB, ""));
    let (first, _) = rig.sent();
    rig.answer(&first, 100, "");
    rig.advance(secs(19));
    assert!(rig.hops.iter().all(|hop| hop.to_string() == AS1));
    rig.receive(back(&first, |text| text));
    rig.advance(secs(8));
    let to_icscf = rig.hops.iter().filter(|hop| hop.to_string() == ICSCF).count();
    assert!(to_icscf >= 1);
    assert_eq!(rig.gauge("ims_scscf_dialog_ids"), 1, "no default handling");
}

#[test]
fn failure_behind_a_server_that_is_alive_is_no_failure_of_the_server() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "MESSAGE", BOB, ""));
    let (first, _) = rig.sent();
    rig.receive(back(&first, |text| text));
    let (last, _) = rig.sent();
    rig.answer(&last, 500, "");
    rig.answer(&first, 500, "");
    let codes: Vec<u16> = rig.responses.iter().map(status).collect();
    assert_eq!(codes, [500, 500]);
    assert!(rig.requests.is_empty());
}

#[test]
fn refusal_after_progress_is_the_decision_of_the_server() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (first, _) = rig.sent();
    rig.answer(&first, 183, "");
    rig.answer(&first, 500, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 500);
}

#[test]
fn server_with_an_address_that_is_none_is_skipped_at_once() {
    let mut rig = rig(&[criterion(10, "[not a host", 0, 0), criterion(20, AS2, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "MESSAGE", BOB, ""));
    assert_eq!(rig.sent().1, AS2);
}

#[test]
fn criteria_are_frozen_when_a_chain_begins() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0), criterion(20, AS2, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "MESSAGE", BOB, ""));
    let (first, _) = rig.sent();
    let push = hss_client::cx::Ppr {
        user_name: ims_common::identity::Impi::parse(IMPI).unwrap(),
        user_data: Some(profile().into()),
        charging: None,
        digest: None,
    };
    rig.push(CxPush::Ppr(push));
    rig.receive(back(&first, |text| text));
    assert_eq!(rig.sent().1, AS2);
}

#[test]
fn one_dialog_id_may_come_back_more_than_once_but_not_for_ever() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "MESSAGE", BOB, ""));
    let (first, _) = rig.sent();
    for number in 0..16 {
        rig.receive(back(&first, |text| text).replace("z9hG4bKas", &format!("z9hG4bKfork{number}")));
        assert_eq!(rig.sent().1, ICSCF);
    }
    assert_eq!(answered(&mut rig, back(&first, |text| text)), 482);
}

#[test]
fn retargeted_request_goes_on_without_further_services_of_the_callee() {
    let mut rig = rig(&[criterion(10, AS1, 1, 0), criterion(20, AS2, 1, 0)]);
    rig.receive(request("INVITE", IMPU, ""));
    let (first, _) = rig.sent();
    rig.receive(back(&first, |text| {
        text.replacen(&format!("INVITE {IMPU}"), &format!("INVITE {BOB}"), 1)
    }));
    let (next, hop) = rig.sent();
    assert_eq!((next.request_uri_bytes(), &*hop), (BOB.as_bytes(), ICSCF));
}

#[test]
fn retargeted_request_gets_the_services_of_the_diverting_user() {
    let mut rig = rig(&[criterion(10, AS1, 1, 0), criterion(20, AS2, 4, 0)]);
    rig.receive(request("INVITE", IMPU, ""));
    let (first, _) = rig.sent();
    rig.receive(back(&first, |text| {
        text.replacen(&format!("INVITE {IMPU}"), &format!("INVITE {BOB}"), 1)
    }));
    let (diverted, hop) = rig.sent();
    assert_eq!(hop, AS2);
    assert_eq!(
        values(&diverted, HeaderName::PServedUser),
        [format!("<{IMPU}>;orig-cdiv")]
    );
    rig.receive(back(&diverted, |text| text.replace("z9hG4bKas", "z9hG4bKas2")));
    let (next, hop) = rig.sent();
    assert_eq!((next.request_uri_bytes(), &*hop), (BOB.as_bytes(), ICSCF));
}

#[test]
fn alias_and_contact_in_the_request_uri_are_no_retargeting() {
    for uri in ["tel:+15550001", "sip:001010000000001@192.0.2.10:5060"] {
        let mut rig = rig(&[criterion(10, AS1, 1, 0), criterion(20, AS2, 1, 0)]);
        rig.receive(request("INVITE", IMPU, ""));
        let (first, _) = rig.sent();
        rig.receive(back(&first, |text| {
            text.replacen(&format!("INVITE {IMPU}"), &format!("INVITE {uri}"), 1)
        }));
        assert_eq!(rig.sent().1, AS2, "{uri}");
    }
}

#[test]
fn cancelled_call_does_not_go_on_to_the_next_server() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0), criterion(20, AS2, 0, 0)]);
    let route = route(&mut rig);
    let invite = originating(&route, "INVITE", BOB, "");
    rig.receive(invite.clone());
    rig.receive(
        invite
            .replace("INVITE", "CANCEL")
            .replace("z9hG4bKrCANCEL", "z9hG4bKrINVITE"),
    );
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 200);
    rig.advance(secs(5));
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 487);
    assert!(rig.hops.iter().all(|hop| hop.to_string() == AS1));
}

#[test]
fn server_originates_for_a_registered_user() {
    let mut rig = rig(&[criterion(10, AS2, 0, 0)]);
    let more = format!("Route: <sip:scscf1.{HOME};lr;orig>\r\nP-Served-User: <{IMPU}>\r\n");
    rig.receive(request("INVITE", BOB, &more));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, AS2);
    let served = format!("<{IMPU}>;sescase=orig;regstate=reg");
    assert_eq!(values(&sent, HeaderName::PServedUser), [served]);
    assert!(rig.sars().len() == 1, "no profile is asked for");
}

#[test]
fn server_originates_for_a_user_who_is_not_registered() {
    let mut rig = Rig::new();
    rig.hss.user_data = Some(profile_with(&[criterion(10, AS1, 3, 0)]));
    let more = format!("Route: <sip:scscf1.{HOME};lr;orig>\r\nP-Asserted-Identity: <{IMPU}>\r\n");
    rig.receive(request("MESSAGE", BOB, &more));
    assert_eq!(rig.sar_types(), [ServerAssignmentType::UnregisteredUser]);
    let (sent, hop) = rig.sent();
    assert_eq!(hop, AS1);
    let served = format!("<{IMPU}>;sescase=orig;regstate=unreg");
    assert_eq!(values(&sent, HeaderName::PServedUser), [served]);
    rig.receive(back(&sent, |text| text));
    assert_eq!(rig.sent().1, ICSCF);
}

#[test]
fn stranger_who_originates_for_a_user_gets_403() {
    let mut rig = Rig::with_config("  isc: {trusted: [198.51.100.0/24]}\n");
    rig.register_over_ipsec();
    let more = format!("Route: <sip:scscf1.{HOME};lr;orig>\r\nP-Served-User: <{IMPU}>\r\n");
    assert_eq!(answered(&mut rig, request("INVITE", BOB, &more)), 403);
    let mut rig = Rig::registered();
    let barred = format!("Route: <sip:scscf1.{HOME};lr;orig>\r\nP-Served-User: <{TEMPORARY_IMPU}>\r\n");
    assert_eq!(answered(&mut rig, request("INVITE", BOB, &barred)), 403);
}

#[test]
fn dialog_ids_are_forgotten_a_minute_after_the_answer() {
    let mut rig = rig(&[criterion(10, AS1, 0, 0)]);
    let route = route(&mut rig);
    rig.receive(originating(&route, "INVITE", BOB, ""));
    let (first, _) = rig.sent();
    rig.answer(&first, 183, "");
    rig.advance(secs(100));
    rig.receive(back(&first, |text| text));
    assert_eq!(rig.sent().1, ICSCF, "it may take its time");
    rig.answer(&first, 200, "");
    rig.advance(secs(63));
    assert_eq!(rig.gauge("ims_scscf_dialog_ids"), 1);
    rig.advance(secs(2));
    assert_eq!(rig.gauge("ims_scscf_dialog_ids"), 0);
}
