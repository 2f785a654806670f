//! Engine: tables of filter criteria against requests (SE-04, SE-30).

use super::*;
use bytes::Bytes;
use hss_client::user_data::{
    ApplicationServer, ConditionType, DefaultHandling, ProfilePart, Spt, SptCondition, TriggerPoint,
};
use ims_common::limits::SipLimits;
use ims_common::sip::{Message, SipMessage};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nm=audio 4000 RTP/AVP 96\r\n\
    a=rtpmap:96 AMR-WB/16000\r\nm=video 4002 RTP/AVP 97\r\n";

fn request(method: &str, uri: &str, headers: &str, body: &str) -> Request {
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.6;branch=z9hG4bK1\r\n\
         f: \"A\" <sip:+15550001@home.example>;tag=f\r\nTo: <{uri}>\r\nCall-ID: c1\r\nCSeq: 1 {method}\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match Message::parse(Bytes::from(text), &SipLimits::default())
        .unwrap()
        .into_parts()
    {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => unreachable!("a request was written"),
    }
}

fn invite() -> Request {
    let headers = "P-Asserted-Identity: <sip:+15550001@home.example>, <tel:+15550001>\r\n\
        a: *;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"\r\n\
        X-Note: one\r\nX-Note: two\r\n  three\r\nContent-Type: application/sdp\r\n";
    request("INVITE", "tel:+1-(555).0002;phone-context=x-y", headers, SDP)
}

fn spt(condition: SptCondition) -> Spt {
    Spt {
        negated: false,
        groups: vec![0],
        condition,
        registration_types: Vec::new(),
    }
}

fn not(spt: Spt) -> Spt {
    Spt { negated: true, ..spt }
}

fn in_group(group: u32, spt: Spt) -> Spt {
    Spt {
        groups: vec![group],
        ..spt
    }
}

fn method(name: &str) -> Spt {
    spt(SptCondition::Method(name.into()))
}

fn uri(ere: &str) -> Spt {
    spt(SptCondition::RequestUri(ere.into()))
}

fn header(name: &str, content: Option<&str>) -> Spt {
    spt(SptCondition::SipHeader {
        header: name.into(),
        content: content.map(Into::into),
    })
}

fn sdp(line: &str, content: Option<&str>) -> Spt {
    spt(SptCondition::SessionDescription {
        line: line.into(),
        content: content.map(Into::into),
    })
}

fn case(case: SessionCase) -> Spt {
    spt(SptCondition::SessionCase(case))
}

fn criterion(priority: u32, trigger: Option<(ConditionType, Vec<Spt>)>) -> InitialFilterCriterion {
    InitialFilterCriterion {
        priority,
        trigger_point: trigger.map(|(condition_type, spts)| TriggerPoint { condition_type, spts }),
        application_server: ApplicationServer {
            server_name: format!("sip:as{priority}.home.example"),
            default_handling: DefaultHandling::SessionContinued,
            service_info: None,
            include_register_request: false,
            include_register_response: false,
        },
        profile_part: None,
    }
}

fn profile(filter_criteria: Vec<InitialFilterCriterion>) -> ServiceProfile {
    ServiceProfile {
        filter_criteria,
        ..ServiceProfile::default()
    }
}

fn compiled(filter_criteria: Vec<InitialFilterCriterion>) -> Criteria {
    Criteria::of(
        &profile(filter_criteria),
        &SharedIfcSets::default(),
        &mut Expressions::default(),
    )
}

fn meets(request: &Request, condition_type: ConditionType, spts: Vec<Spt>) -> bool {
    let subject = Subject {
        request,
        case: SessionCase::OriginatingRegistered,
        registration: None,
    };
    compiled(vec![criterion(0, Some((condition_type, spts)))])
        .next_match(0, &subject)
        .is_some()
}

#[test]
fn each_condition_is_met_by_what_it_describes_and_negation_turns_it() {
    let invite = invite();
    for (spt, is_met) in [
        (method("INVITE"), true),
        (method("invite"), false),
        (method("MESSAGE"), false),
        (uri("^tel:"), true),
        (uri("5550002"), true),
        (uri("phone-context=x-y$"), true),
        (uri("^sip:"), false),
        (header("P-Asserted-Identity", None), true),
        (header("p-asserted-identity", None), true),
        (header("P-Preferred-Identity", None), false),
        (header("P-Asserted-Identity", Some("^<tel:.*>$")), true),
        (
            header("P-Asserted-Identity", Some("^<sip:[^,]*>, <tel:[^,]*>$")),
            true,
        ),
        (header("P-Asserted-Identity", Some("^<tel:.*<sip:")), false),
        (header("Accept-Contact", Some(r"icsi-ref=.*\.mmtel")), true),
        (header("From", Some("15550001")), true),
        (header("F", Some("15550001")), true),
        (header("X-Note", Some("^one$")), true),
        (header("x-note", Some("^two three$")), true),
        (header("X-Note", Some("one.*two")), false),
        (header("P-Asserted-.*", Some("tel:")), true),
        (header("(Accept|Reject)-Contact", Some("mmtel")), true),
        (header("X-.*", Some("two three")), true),
        (header("Asserted", None), false),
        (sdp("m", Some("^audio")), true),
        (sdp("m", Some("^message")), false),
        (sdp("a", Some("AMR-WB/16000")), true),
        (sdp("m", None), true),
        (sdp("b", None), false),
        (sdp("[am]", Some("video")), true),
        (case(SessionCase::OriginatingRegistered), true),
        (case(SessionCase::TerminatingRegistered), false),
    ] {
        let cnf = |spt| meets(&invite, ConditionType::Cnf, vec![spt]);
        assert_eq!(cnf(spt.clone()), is_met, "{spt:?}");
        assert_eq!(cnf(not(spt.clone())), !is_met, "not {spt:?}");
    }
}

#[test]
fn without_a_session_description_no_line_is_met() {
    let plain = request("INVITE", "sip:b@home.example", "", "");
    let text = request(
        "INVITE",
        "sip:b@home.example",
        "Content-Type: text/plain\r\n",
        SDP,
    );
    for request in [&plain, &text] {
        assert!(!meets(request, ConditionType::Cnf, vec![sdp("m", None)]));
        assert!(meets(request, ConditionType::Cnf, vec![not(sdp("m", None))]));
    }
}

#[test]
fn groups_are_joined_by_the_normal_form() {
    // One group holds what is met and what is not; the other what is.
    let spts = |second: &str| {
        vec![
            in_group(1, method("INVITE")),
            in_group(1, uri("^sip:")),
            in_group(2, header(second, None)),
        ]
    };
    for (second, cnf, dnf) in [("To", true, true), ("Join", false, false)] {
        assert_eq!(
            meets(&invite(), ConditionType::Cnf, spts(second)),
            cnf,
            "{second}"
        );
        assert_eq!(
            meets(&invite(), ConditionType::Dnf, spts(second)),
            dnf,
            "{second}"
        );
    }
}

#[test]
fn a_condition_of_several_groups_counts_in_each() {
    let both = Spt {
        groups: vec![1, 2],
        ..uri("^sip:")
    };
    let spts = |shared: &Spt| {
        vec![
            in_group(1, method("INVITE")),
            shared.clone(),
            in_group(2, method("MESSAGE")),
        ]
    };
    // CNF: (INVITE or sip) and (sip or MESSAGE); DNF: (INVITE and sip) or (sip and MESSAGE).
    assert!(!meets(&invite(), ConditionType::Cnf, spts(&both)));
    assert!(meets(&invite(), ConditionType::Cnf, spts(&not(both.clone()))));
    assert!(!meets(&invite(), ConditionType::Dnf, spts(&both)));
    assert!(meets(&invite(), ConditionType::Dnf, spts(&not(both))));
}

#[test]
fn a_registration_type_is_asked_of_registers_only() {
    let register = request("REGISTER", "sip:home.example", "", "");
    let types = |list: &[RegistrationType]| Spt {
        registration_types: list.to_vec(),
        ..method("REGISTER")
    };
    let fires = |spt: Spt, kind| {
        let subject = Subject {
            request: &register,
            case: SessionCase::OriginatingRegistered,
            registration: kind,
        };
        compiled(vec![criterion(0, Some((ConditionType::Cnf, vec![spt])))])
            .next_match(0, &subject)
            .is_some()
    };
    use RegistrationType::{Deregistration, Initial, Reregistration};
    for kind in [Initial, Reregistration, Deregistration] {
        assert!(fires(types(&[]), Some(kind)));
        assert_eq!(
            fires(types(&[Initial, Deregistration]), Some(kind)),
            kind != Reregistration
        );
        assert_eq!(fires(not(types(&[Initial])), Some(kind)), kind != Initial);
    }
    assert!(!fires(types(&[Initial]), None));
    // On another method the list means nothing.
    let invite_spt = Spt {
        registration_types: vec![Initial],
        ..method("INVITE")
    };
    assert!(meets(&invite(), ConditionType::Cnf, vec![invite_spt]));
}

#[test]
fn criteria_are_tried_by_priority_and_from_a_place_on() {
    let message = || Some((ConditionType::Cnf, vec![method("MESSAGE")]));
    let criteria = compiled(vec![
        criterion(30, None),
        criterion(10, None),
        criterion(20, message()),
    ]);
    let request = invite();
    let subject = Subject {
        request: &request,
        case: SessionCase::OriginatingRegistered,
        registration: None,
    };
    let at = |from| {
        criteria
            .next_match(from, &subject)
            .map(|(place, found)| (place, found.priority))
    };
    assert_eq!(at(0), Some((0, 10)));
    assert_eq!(at(1), Some((2, 30)));
    assert_eq!(at(3), None);
    assert_eq!(at(usize::MAX), None);
}

#[test]
fn the_part_of_the_profile_must_fit_the_case() {
    let request = invite();
    use SessionCase::{
        OriginatingCdiv, OriginatingRegistered, OriginatingUnregistered, TerminatingRegistered,
        TerminatingUnregistered,
    };
    for (case, registered, unregistered) in [
        (OriginatingRegistered, true, false),
        (TerminatingRegistered, true, false),
        (TerminatingUnregistered, false, true),
        (OriginatingUnregistered, false, true),
        (OriginatingCdiv, true, true),
    ] {
        let of_part = |part| {
            let criterion = InitialFilterCriterion {
                profile_part: part,
                ..criterion(0, None)
            };
            let subject = Subject {
                request: &request,
                case,
                registration: None,
            };
            compiled(vec![criterion]).next_match(0, &subject).is_some()
        };
        assert!(of_part(None));
        assert_eq!(of_part(Some(ProfilePart::Registered)), registered, "{case:?}");
        assert_eq!(of_part(Some(ProfilePart::Unregistered)), unregistered, "{case:?}");
    }
}

#[test]
fn a_bad_expression_is_counted_and_never_met() {
    let bad = [
        uri("*"),
        header("To", Some("(")),
        sdp("m", Some("[a")),
        header("P-(", None),
    ];
    for spt in bad {
        let criteria = compiled(vec![criterion(0, Some((ConditionType::Cnf, vec![spt.clone()])))]);
        assert_eq!(criteria.bad_expressions().len(), 1, "{spt:?}");
        assert!(!meets(&invite(), ConditionType::Cnf, vec![spt.clone()]));
        assert!(!meets(&invite(), ConditionType::Cnf, vec![not(spt)]));
    }
}

#[test]
fn a_trigger_without_groups_is_vacuous() {
    let lone = Spt {
        groups: Vec::new(),
        ..method("INVITE")
    };
    assert!(meets(&invite(), ConditionType::Cnf, vec![lone.clone()]));
    assert!(!meets(&invite(), ConditionType::Dnf, vec![lone]));
}

#[test]
fn shared_sets_are_merged_by_priority() {
    let mut sets = SharedIfcSets::default();
    sets.insert(7, vec![criterion(15, None), criterion(5, None)]);
    sets.insert(8, vec![criterion(1, None)]);
    let own = ServiceProfile {
        shared_ifc_set_ids: vec![7, 9],
        ..profile(vec![criterion(10, None), criterion(20, None)])
    };
    let criteria = Criteria::of(&own, &sets, &mut Expressions::default());
    let priorities: Vec<u32> = criteria.criteria.iter().map(|c| c.criterion.priority).collect();
    assert_eq!(priorities, [5, 10, 15, 20]);
    assert_eq!(criteria.unknown_sets(), [9]);
}

#[test]
fn a_case_is_named_by_a_condition_that_asks_for_it() {
    let diverted = case(SessionCase::OriginatingCdiv);
    let with = |spt| compiled(vec![criterion(0, Some((ConditionType::Cnf, vec![spt])))]);
    assert!(with(diverted.clone()).names_case(SessionCase::OriginatingCdiv));
    assert!(!with(diverted.clone()).names_case(SessionCase::OriginatingRegistered));
    assert!(!with(not(diverted)).names_case(SessionCase::OriginatingCdiv));
    assert!(!compiled(vec![criterion(0, None)]).names_case(SessionCase::OriginatingCdiv));
}
