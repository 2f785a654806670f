//! Testkit: third-party REGISTERs and what else the network does to registrations (RG-10, RG-11, RG-16, RG-17, EM-05).

use super::reg_event::Sub;
use super::*;
use crate::registration_change::ContactEvent;
use hss_client::cx::{DeregistrationReason, ReasonCode, Rtr};
use ims_common::identity::{Impi, Impu};
use ims_common::net::{Command, RegistrationCommand};
use ims_common::sip::StatusCode;

const SERVER: &str = "sip:192.0.2.30:5065";
const OTHER_SERVER: &str = "sip:192.0.2.31:5065";

/// A criterion on REGISTER for a server, with more in its ApplicationServer.
fn criterion(priority: u32, server: &str, registration_types: &[u8], more: &str) -> String {
    let types: String = registration_types
        .iter()
        .map(|number| format!("<RegistrationType>{number}</RegistrationType>"))
        .collect();
    format!(
        "<InitialFilterCriteria><Priority>{priority}</Priority><TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF>\
         <SPT><Group>0</Group><Method>REGISTER</Method><Extension>{types}</Extension></SPT></TriggerPoint>\
         <ApplicationServer><ServerName>{server}</ServerName>{more}</ApplicationServer></InitialFilterCriteria>"
    )
}

fn rig_with(criteria: &str) -> Rig {
    let mut rig = Rig::new();
    let profile = profile().replace("</ServiceProfile>", &format!("{criteria}</ServiceProfile>"));
    rig.hss.user_data = Some(profile);
    rig.register_over_ipsec();
    rig
}

fn text(request: &Request, name: HeaderName) -> String {
    String::from_utf8(request.header(name).unwrap_or_default().to_vec()).unwrap()
}

impl Rig {
    fn third_party(&mut self) -> Request {
        let request = self
            .requests
            .pop_front()
            .expect("a third-party REGISTER was sent");
        assert_eq!(request.method().as_str(), "REGISTER");
        request
    }

    fn server_answers(&mut self, request: &Request, status: StatusCode) {
        let reply = request.reply(status).to_tag("as").finish();
        self.receive(String::from_utf8(reply.bytes().to_vec()).unwrap());
    }

    fn command(&mut self, command: RegistrationCommand) {
        let input = CscfInput::Command(Command::Registration(command));
        self.node.handle(self.now, input);
        self.drain();
    }
}

fn impu() -> Impu {
    Impu::parse(IMPU).unwrap()
}

fn rtr() -> CxPush {
    CxPush::Rtr(Rtr {
        user_name: Impi::parse(IMPI).unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason {
            code: ReasonCode::PermanentTermination,
            info: None,
        },
    })
}

#[test]
fn server_hears_of_the_registration_from_us_in_the_name_of_the_default_identity() {
    let mut rig = rig_with(&criterion(1, SERVER, &[], ""));
    let request = rig.third_party();
    assert_eq!(request.request_uri_bytes(), SERVER.as_bytes());
    assert_eq!(text(&request, HeaderName::To), format!("<{IMPU}>"));
    assert!(text(&request, HeaderName::From).starts_with(&format!("<sip:scscf1.{HOME}>;tag=")));
    assert_eq!(
        text(&request, HeaderName::Contact),
        format!("<sip:scscf1.{HOME}>")
    );
    assert_eq!(text(&request, HeaderName::Expires), "600000");
    assert_eq!(
        text(&request, HeaderName::PVisitedNetworkId),
        format!("\"{HOME}\"")
    );
    assert_eq!(
        text(&request, HeaderName::PChargingVector),
        format!("icid-value=\"i1\";orig-ioi=\"Type 3{HOME}\"")
    );
    assert_ne!(request.call_id(), Some(&b"c1@ue"[..]));
    assert_eq!(request.body(), b"");
    assert!(request.authorization().unwrap().is_none());
    rig.server_answers(&request, StatusCode::OK);
    assert!(rig.requests.is_empty());
}

#[test]
fn bodies_are_what_the_profile_wants() {
    let info = "<ServiceInfo>a&lt;b</ServiceInfo>";
    let both = "<Extension><IncludeRegisterRequest/><IncludeRegisterResponse/></Extension>";
    let mut rig = rig_with(&format!(
        "{}{}{}",
        criterion(1, SERVER, &[], info),
        criterion(2, OTHER_SERVER, &[], &format!("{info}{both}")),
        criterion(
            3,
            "sip:192.0.2.32",
            &[],
            "<Extension><IncludeRegisterRequest/></Extension>"
        ),
    ));
    let only_info = rig.third_party();
    assert_eq!(
        text(&only_info, HeaderName::ContentType),
        "application/3gpp-ims+xml"
    );
    let body = String::from_utf8_lossy(only_info.body());
    assert!(body.contains("<service-info>a&lt;b</service-info>"), "{body}");
    let all = rig.third_party();
    assert!(text(&all, HeaderName::ContentType).starts_with("multipart/mixed;boundary="));
    let body = String::from_utf8_lossy(all.body()).into_owned();
    for part in [
        "<service-info>a&lt;b</service-info>",
        "Content-Type: message/sip\r\n\r\nREGISTER sip:scscf1",
        "Content-Type: message/sip\r\n\r\nSIP/2.0 200 OK",
        "Service-Route: <sip:orig-",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let request = rig.third_party();
    assert_eq!(text(&request, HeaderName::ContentType), "message/sip");
    let inner = String::from_utf8_lossy(request.body()).into_owned();
    assert!(
        inner.starts_with("REGISTER sip:scscf1") && inner.contains("CSeq: 2 REGISTER"),
        "{inner}"
    );
}

#[test]
fn criteria_choose_by_what_the_register_does() {
    let mut rig = rig_with(&format!(
        "{}{}{}",
        criterion(1, "sip:192.0.2.30", &[0], ""),
        criterion(2, "sip:192.0.2.31", &[1], ""),
        criterion(3, "sip:192.0.2.32", &[2], ""),
    ));
    let told = |rig: &mut Rig| {
        let request = rig.third_party();
        assert!(rig.requests.is_empty());
        rig.server_answers(&request, StatusCode::OK);
        let uri = String::from_utf8_lossy(request.request_uri_bytes()).into_owned();
        (uri, text(&request, HeaderName::Expires))
    };
    assert_eq!(told(&mut rig), ("sip:192.0.2.30".to_owned(), "600000".to_owned()));
    rig.hss.user_data = None;
    rig.register(&Reg {
        expires: Some(3_600),
        ..Reg::protected(3)
    });
    assert_eq!(told(&mut rig), ("sip:192.0.2.31".to_owned(), "3600".to_owned()));
    rig.register(&Reg {
        expires: Some(0),
        ..Reg::protected(4)
    });
    assert_eq!(told(&mut rig), ("sip:192.0.2.32".to_owned(), "0".to_owned()));
}

#[test]
fn end_of_a_registration_is_told_also_when_no_register_ended_it() {
    for end in ["expiry", "rtr", "operator"] {
        let mut rig = rig_with(&criterion(1, SERVER, &[2], ""));
        assert!(rig.requests.is_empty());
        match end {
            "expiry" => rig.advance(secs(600_000)),
            "rtr" => {
                rig.push(rtr());
            }
            _ => rig.command(RegistrationCommand::Deregister {
                impu: impu(),
                again: true,
            }),
        }
        let request = rig.third_party();
        assert_eq!(text(&request, HeaderName::Expires), "0", "{end}");
        assert_eq!(text(&request, HeaderName::To), format!("<{IMPU}>"), "{end}");
        assert!(rig.requests.is_empty(), "{end}");
    }
}

#[test]
fn each_service_profile_and_each_server_hear_once() {
    let profile = |identity: &str| {
        format!(
            "<ServiceProfile><PublicIdentity><Identity>{identity}</Identity></PublicIdentity>{}{}</ServiceProfile>",
            criterion(1, SERVER, &[], ""),
            criterion(2, SERVER, &[], "<ServiceInfo>again</ServiceInfo>")
        )
    };
    let mut rig = Rig::new();
    rig.hss.user_data = Some(format!(
        "<IMSSubscription><PrivateID>{IMPI}</PrivateID>{}{}</IMSSubscription>",
        profile(IMPU),
        profile("tel:+15550001")
    ));
    rig.register_over_ipsec();
    let told: Vec<String> = rig.requests.drain(..).map(|r| text(&r, HeaderName::To)).collect();
    assert_eq!(told, [format!("<{IMPU}>"), "<tel:+15550001>".to_owned()]);
}

#[test]
fn failure_of_a_server_ends_the_registration_only_where_the_profile_says_so() {
    let terminated = "<DefaultHandling>1</DefaultHandling>";
    for (more, status, stays) in [
        (terminated, Some(StatusCode::SERVER_INTERNAL_ERROR), false),
        (terminated, Some(StatusCode::REQUEST_TIMEOUT), false),
        (terminated, None, false),
        (terminated, Some(StatusCode::FORBIDDEN), true),
        ("", Some(StatusCode::SERVER_INTERNAL_ERROR), true),
        ("", None, true),
    ] {
        let mut rig = rig_with(&criterion(1, SERVER, &[], more));
        let request = rig.third_party();
        rig.subscribe(&Sub::pcscf());
        rig.notify();
        match status {
            Some(status) => rig.server_answers(&request, status),
            None => rig.advance(secs(40)),
        }
        assert_eq!(
            rig.gauge("ims_scscf_bindings"),
            u64::from(stays),
            "{more} {status:?}"
        );
        let administrative = rig
            .sar_types()
            .contains(&ServerAssignmentType::AdministrativeDeregistration);
        assert_eq!(administrative, !stays, "{more} {status:?}");
        rig.requests
            .retain(|request| request.method().as_str() == "NOTIFY");
        if !stays {
            let told = rig.notify();
            assert_eq!(
                told.registrations()[0],
                format!("{IMPU} terminated: terminated probation")
            );
            assert!(told.body().contains(" retry-after=\"300\""), "{}", told.body());
        }
    }
}

#[test]
fn failure_at_the_end_of_a_registration_ends_nothing_more() {
    let mut rig = rig_with(&criterion(
        1,
        SERVER,
        &[2],
        "<DefaultHandling>1</DefaultHandling>",
    ));
    rig.push(rtr());
    let request = rig.third_party();
    rig.server_answers(&request, StatusCode::SERVER_INTERNAL_ERROR);
    assert!(rig.requests.is_empty());
    assert_eq!(rig.sars().len(), 1);
}

#[test]
fn operator_ends_a_registration_and_the_hss_hears_of_it() {
    for (again, event) in [(true, "deactivated"), (false, "rejected")] {
        let mut rig = Rig::registered();
        rig.subscribe(&Sub::ue());
        rig.notify();
        rig.command(RegistrationCommand::Deregister { impu: impu(), again });
        assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
        assert_eq!(
            rig.sar_types(),
            [
                ServerAssignmentType::Registration,
                ServerAssignmentType::AdministrativeDeregistration
            ]
        );
        let told = rig.notify();
        assert_eq!(
            told.registrations()[0],
            format!("{IMPU} terminated: terminated {event}")
        );
        assert_eq!(told.state(), "terminated;reason=noresource");
    }
    let mut rig = Rig::new();
    rig.command(RegistrationCommand::Deregister {
        impu: impu(),
        again: true,
    });
    assert!(rig.cx.is_empty());
}

#[test]
fn network_initiated_reauthentication_shortens_and_challenges_the_next_register() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::ue());
    rig.notify();
    rig.command(RegistrationCommand::Reauthenticate { impu: impu() });
    let told = rig.notify();
    assert_eq!(
        told.registrations()[0],
        format!("{IMPU} active: active shortened")
    );
    assert!(
        told.body().contains(" event=\"shortened\" expires=\"600\""),
        "{}",
        told.body()
    );
    let nonce = nonce_of(&rig.register(&Reg::protected(3)));
    let answer = Reg {
        authorization: Some(aka_authorization(&nonce, true, "yes")),
        ..Reg::new(4)
    };
    let response = rig.register(&answer);
    assert_eq!(status(&response), 200);
    assert_eq!(
        rig.notify().registrations()[0],
        format!("{IMPU} active: active refreshed")
    );
    // The proof is given: no further challenge.
    assert_eq!(status(&rig.register(&Reg::protected(5))), 200);
}

#[test]
fn user_who_does_not_prove_himself_in_time_is_gone() {
    let mut rig = Rig::registered();
    rig.command(RegistrationCommand::Reauthenticate { impu: impu() });
    rig.advance(secs(599));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
    rig.advance(secs(1));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
    let last = std::iter::from_fn(|| rig.node.poll_change()).last().unwrap();
    assert_eq!(last.event, ContactEvent::Expired);
}

#[test]
fn contact_for_emergency_calls_survives_a_termination() {
    let emergency = "<sip:001010000000001@192.0.2.10:5070;sos>";
    for (contacts, result, left) in [
        (format!("{CONTACT}, {emergency}"), CxResult::LIMITED_SUCCESS, 1),
        (emergency.to_owned(), CxResult::UNABLE_TO_COMPLY, 1),
        (CONTACT.to_owned(), CxResult::SUCCESS, 0),
    ] {
        let mut rig = Rig::new();
        let register = Reg {
            contact: Some(contacts.clone()),
            ..Reg::new(1)
        };
        let nonce = nonce_of(&rig.register(&register));
        rig.register(&Reg {
            authorization: Some(aka_authorization(&nonce, true, "yes")),
            cseq: 2,
            ..register
        });
        let CxPushAnswer::Rta(rta) = rig.push(rtr()) else {
            panic!("an RTA");
        };
        assert_eq!(rta.result, result, "{contacts}");
        assert_eq!(rig.gauge("ims_scscf_bindings"), left, "{contacts}");
    }
}
