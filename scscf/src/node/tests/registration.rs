//! Testkit: binding of contacts (RG-01 to RG-07, RG-09, RG-12, RG-21, RG-22, RG-24).

use super::*;
use crate::registration_change::ContactEvent;
use hss_client::cx::ServerAssignmentType as Type;

fn with_contact(cseq: u32, contact: &str) -> Reg {
    Reg {
        contact: Some(contact.to_owned()),
        ..Reg::protected(cseq)
    }
}

fn with_expires(cseq: u32, expires: u32) -> Reg {
    Reg {
        expires: Some(expires),
        ..Reg::protected(cseq)
    }
}

fn events(rig: &mut Rig) -> Vec<ContactEvent> {
    std::iter::from_fn(|| rig.node.poll_change())
        .map(|change| change.event)
        .collect()
}

#[test]
fn ok_has_contact_with_expires_path_service_route_and_associated_identities() {
    let mut rig = Rig::new();
    let response = rig.register_over_ipsec();
    assert_eq!(
        lines(&response, HeaderName::Contact),
        [format!("{CONTACT};expires=600000")]
    );
    assert_eq!(lines(&response, HeaderName::Path), [PATH]);
    assert_eq!(
        header(&response, HeaderName::PAssociatedUri),
        format!("<{IMPU}>, <tel:+15550001>")
    );
    let route = header(&response, HeaderName::ServiceRoute);
    assert!(route.starts_with("<sip:orig-00"), "{route}");
    assert!(route.ends_with(&format!("@scscf1.{HOME};lr>")), "{route}");
}

#[test]
fn barred_temporary_identity_registers_its_set_and_is_not_told() {
    let mut rig = Rig::new();
    let response = rig.register_over_ipsec();
    assert!(!header(&response, HeaderName::PAssociatedUri).contains(TEMPORARY_IMPU));
    let change = rig.node.poll_change().unwrap();
    assert_eq!(change.identities[0].as_str(), IMPU);
    assert_eq!(change.identities.len(), 2);
}

#[test]
fn set_whose_identities_are_all_barred_gets_403_and_is_taken_back() {
    let mut rig = Rig::new();
    rig.hss.user_data = Some(profile_of(IMPI, &[(TEMPORARY_IMPU, true), (IMPU, true)]));
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    let answer = Reg {
        authorization: Some(aka_authorization(&nonce, true, "yes")),
        ..Reg::new(2)
    };
    assert_eq!(status(&rig.register(&answer)), 403);
    assert_eq!(
        rig.sar_types(),
        [Type::Registration, Type::AdministrativeDeregistration]
    );
}

#[test]
fn identities_of_a_set_are_registered_as_one() {
    let mut rig = Rig::registered();
    let refresh = Reg {
        impu: IMPU.to_owned(),
        ..Reg::protected(3)
    };
    assert_eq!(status(&rig.register(&refresh)), 200);
    assert_eq!(rig.sar_types(), [Type::Registration, Type::ReRegistration]);
    assert_eq!(rig.gauge("ims_scscf_registration_sets"), 1);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn too_brief_a_lifetime_gets_423_with_the_minimum_and_one_too_long_is_shortened() {
    let mut rig = Rig::registered();
    let response = rig.register(&with_expires(3, 59));
    assert_eq!(status(&response), 423);
    assert_eq!(header(&response, HeaderName::MinExpires), "60");
    let response = rig.register(&with_expires(4, 60));
    assert_eq!(
        header(&response, HeaderName::Contact),
        format!("{CONTACT};expires=60")
    );
    let response = rig.register(&with_expires(5, 4_000_000_000));
    assert_eq!(
        header(&response, HeaderName::Contact),
        format!("{CONTACT};expires=600000")
    );
}

#[test]
fn expires_of_the_contact_goes_before_the_header_and_none_gets_the_default() {
    let mut rig = Rig::registered();
    let response = rig.register(&with_contact(3, &format!("{CONTACT};q=0.5;expires=100")));
    assert_eq!(
        header(&response, HeaderName::Contact),
        format!("{CONTACT};q=0.5;expires=100")
    );
    let mut open = Reg::protected(4);
    open.expires = None;
    let response = rig.register(&open);
    assert_eq!(
        header(&response, HeaderName::Contact),
        format!("{CONTACT};expires=3600")
    );
}

#[test]
fn new_contact_of_the_same_private_identity_replaces_the_old_one() {
    let mut rig = Rig::registered();
    events(&mut rig);
    let response = rig.register(&with_contact(3, "<sip:new@192.0.2.11:5060>"));
    assert_eq!(
        lines(&response, HeaderName::Contact),
        ["<sip:new@192.0.2.11:5060>;expires=600000"]
    );
    assert_eq!(
        events(&mut rig),
        [ContactEvent::Registered, ContactEvent::Deactivated]
    );
}

#[test]
fn same_instance_keeps_its_binding_when_its_address_changes() {
    let mut rig = Rig::registered();
    let instance = "+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\"";
    let first = rig.register(&with_contact(3, &format!("<sip:a@192.0.2.11>;{instance}")));
    let second = rig.register(&with_contact(4, &format!("<sip:a@192.0.2.12>;{instance}")));
    assert_eq!(
        lines(&second, HeaderName::Contact),
        [format!("<sip:a@192.0.2.12>;{instance};expires=600000")]
    );
    assert_eq!(
        header(&first, HeaderName::ServiceRoute),
        header(&second, HeaderName::ServiceRoute)
    );
}

#[test]
fn equivalent_uri_goes_before_the_same_instance_when_contacts_are_matched() {
    let mut rig = Rig::registered();
    let instance = "+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\"";
    let (a, b) = (
        format!("<sip:a@192.0.2.11>;{instance}"),
        format!("<sip:b@192.0.2.11>;{instance}"),
    );
    rig.register(&with_contact(3, &format!("{a}, {b}")));
    let leave = with_contact(4, &format!("{b};expires=0"));
    let response = rig.register(&leave);
    assert_eq!(
        lines(&response, HeaderName::Contact),
        [format!("{a};expires=600000")]
    );
}

#[test]
fn further_identity_of_a_protected_private_identity_needs_no_challenge() {
    let mut rig = Rig::registered();
    let work = "sip:work@ims.mnc001.mcc001.3gppnetwork.org";
    rig.hss.user_data = Some(profile_of(IMPI, &[(work, false)]));
    let further = Reg {
        impu: work.to_owned(),
        call_id: "c2@ue".to_owned(),
        ..Reg::protected(1)
    };
    assert_eq!(status(&rig.register(&further)), 200);
    assert_eq!(rig.mars().len(), 1);
    assert_eq!(rig.sar_types(), [Type::Registration, Type::Registration]);
    assert_eq!(rig.gauge("ims_scscf_registration_sets"), 2);
}

#[test]
fn several_contacts_of_one_register_are_all_bound_up_to_the_limit() {
    let mut rig = Rig::with_registration("{bindings_per_impu: 2}");
    rig.register_over_ipsec();
    let two = "<sip:a@192.0.2.11>, <sip:b@192.0.2.11>";
    let response = rig.register(&with_contact(3, two));
    assert_eq!(lines(&response, HeaderName::Contact).len(), 2);
    let response = rig.register(&with_contact(4, &format!("{two}, <sip:c@192.0.2.11>")));
    assert_eq!(status(&response), 403);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 2);
}

#[test]
fn full_registrar_refuses_newcomers_with_503_and_retry_after() {
    let mut rig = Rig::with_registration("{bindings: 0}");
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    let answer = Reg {
        authorization: Some(aka_authorization(&nonce, true, "yes")),
        ..Reg::new(2)
    };
    let response = rig.register(&answer);
    assert_eq!(status(&response), 503);
    assert_eq!(header(&response, HeaderName::RetryAfter), "10");
}

#[test]
fn lower_cseq_within_one_call_id_is_out_of_order() {
    let mut rig = Rig::registered();
    assert_eq!(status(&rig.register(&Reg::protected(9))), 200);
    assert_eq!(status(&rig.register(&Reg::protected(8))), 500);
    let mut other = Reg::protected(1);
    other.call_id = "c2@ue".to_owned();
    assert_eq!(status(&rig.register(&other)), 200);
}

#[test]
fn same_register_in_a_new_transaction_changes_nothing_and_gets_the_same_answer() {
    let mut rig = Rig::registered();
    let first = rig.register(&Reg::protected(3));
    let asked = rig.cx.len();
    let second = rig.register(&Reg::protected(3));
    assert_eq!(status(&second), 200);
    assert_eq!(
        header(&first, HeaderName::ServiceRoute),
        header(&second, HeaderName::ServiceRoute)
    );
    assert_eq!(rig.cx.len(), asked);
    let other = with_contact(3, "<sip:other@192.0.2.66>");
    assert_eq!(status(&rig.register(&other)), 500);
}

#[test]
fn retransmission_is_absorbed_while_the_hss_thinks() {
    let mut rig = Rig::new();
    rig.hss.answers = false;
    rig.send(&Reg::new(1));
    rig.retransmit(&Reg::new(1));
    assert_eq!(rig.mars().len(), 1);
    rig.answer_next();
    assert_eq!(rig.responses.len(), 1);
}

#[test]
fn registers_of_one_private_identity_are_served_one_after_the_other() {
    let mut rig = Rig::registered();
    rig.hss.answers = false;
    rig.send(&Reg::protected(3));
    rig.send(&Reg::protected(4));
    assert_eq!(rig.sars().len(), 2, "the second one waits");
    rig.answer_next();
    assert_eq!(rig.responses.len(), 1);
    assert_eq!(rig.sars().len(), 3);
    rig.answer_next();
    assert_eq!(rig.responses.len(), 2);
    assert!(rig.responses.iter().all(|r| status(r) == 200));
}

#[test]
fn more_registers_than_may_wait_get_503() {
    let mut rig = Rig::registered();
    rig.hss.answers = false;
    for cseq in 3..9 {
        rig.send(&Reg::protected(cseq));
    }
    assert_eq!(rig.responses.iter().map(status).collect::<Vec<_>>(), [503]);
}

#[test]
fn expired_contact_is_removed_and_the_hss_learns_it_once() {
    let mut rig = Rig::registered();
    rig.register(&with_contact(
        3,
        "<sip:a@192.0.2.11>;expires=100, <sip:b@192.0.2.11>;expires=200",
    ));
    events(&mut rig);
    rig.advance(secs(100));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
    assert_eq!(rig.sars().len(), 2);
    rig.advance(secs(100));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
    assert_eq!(rig.gauge("ims_scscf_registration_sets"), 0);
    assert_eq!(rig.sar_types()[2..], [Type::TimeoutDeregistration]);
    assert_eq!(events(&mut rig), [ContactEvent::Expired, ContactEvent::Expired]);
    assert_eq!(status(&rig.register(&Reg::protected(5))), 500);
}

#[test]
fn refresh_in_progress_keeps_the_binding_that_expires_meanwhile() {
    let mut rig = Rig::registered();
    rig.register(&with_expires(3, 60));
    rig.hss.answers = false;
    rig.advance(secs(59));
    rig.send(&with_expires(4, 60));
    rig.advance(secs(3));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
    rig.answer_next();
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 200);
    assert_eq!(rig.sar_types().last(), Some(&Type::ReRegistration));
}

#[test]
fn private_identities_that_share_a_public_one_keep_separate_contacts() {
    let mut rig = Rig::registered();
    let response = rig.register_second();
    assert_eq!(lines(&response, HeaderName::Contact).len(), 2);
    assert_eq!(rig.sar_types(), [Type::Registration, Type::Registration]);
    // The first one de-registers; the second one stays.
    let leave = Reg {
        expires: Some(0),
        ..Reg::protected(9)
    };
    let response = rig.register(&leave);
    assert_eq!(status(&response), 200);
    assert_eq!(
        lines(&response, HeaderName::Contact),
        ["<sip:second@192.0.2.12>;expires=600000"]
    );
    assert_eq!(rig.sar_types().last(), Some(&Type::UserDeregistration));
}

#[test]
fn service_route_is_of_one_contact_only() {
    let mut rig = Rig::registered();
    let route = |response: &Response| header(response, HeaderName::ServiceRoute);
    let first = route(&rig.register(&Reg::protected(3)));
    let second = route(&rig.register(&with_contact(4, "<sip:new@192.0.2.11:5060>")));
    assert_ne!(first, second);
    let token = second.trim_start_matches("<sip:orig-").split('@').next().unwrap();
    let (_, binding) = rig.node.registrar.by_service_route(token).unwrap();
    assert_eq!(binding.contact.uri().to_string(), "sip:new@192.0.2.11:5060");
    let old = first.trim_start_matches("<sip:orig-").split('@').next().unwrap();
    assert!(rig.node.registrar.by_service_route(old).is_none());
}

#[test]
fn query_tells_the_contacts_and_changes_nothing() {
    let mut rig = Rig::registered();
    let mut query = Reg::protected(3);
    query.contact = None;
    let response = rig.register(&query);
    assert_eq!(
        lines(&response, HeaderName::Contact),
        [format!("{CONTACT};expires=600000")]
    );
    assert_eq!(rig.sars().len(), 1);
}

#[test]
fn query_of_an_identity_of_somebody_else_tells_nothing() {
    let mut rig = Rig::registered();
    rig.hss.user_data = Some(profile_of(SECOND_IMPI, &[("sip:second@home.example", false)]));
    let mut query = Reg {
        impu: IMPU.to_owned(),
        call_id: "c2@ue".to_owned(),
        contact: None,
        authorization: Some(authorization(SECOND_IMPI, "", "", "no")),
        ..Reg::new(1)
    };
    let nonce = nonce_of(&rig.register(&query));
    let ha1 = AkaVersion::V1Md5.ha1(SECOND_IMPI.as_bytes(), HOME.as_bytes(), &vector(1).keys());
    query.cseq = 2;
    let answer = digest_authorization(SECOND_IMPI, &nonce, &ha1, Some(1), "AKAv1-MD5", "yes");
    query.authorization = Some(answer);
    let response = rig.register(&query);
    assert_eq!(status(&response), 200);
    for name in [HeaderName::Contact, HeaderName::PAssociatedUri] {
        assert_eq!(lines(&response, name), Vec::<String>::new());
    }
}

#[test]
fn unknown_extension_is_refused_with_its_name() {
    let mut rig = Rig::new();
    let mut register = Reg::new(1);
    register.more = "Require: gruu, path\r\n".to_owned();
    let response = rig.register(&register);
    assert_eq!(status(&response), 420);
    assert_eq!(lines(&response, HeaderName::Unsupported), ["gruu"]);
}

#[test]
fn drain_answers_what_is_in_progress_and_refuses_what_is_new() {
    let mut rig = Rig::registered();
    rig.hss.answers = false;
    rig.send(&Reg::protected(3));
    let drain = CscfInput::Command(ims_common::net::Command::Drain);
    rig.node.handle(rig.now, drain);
    rig.drain();
    assert_eq!(status(&rig.register(&Reg::protected(4))), 503);
    rig.answer_next();
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 200);
}

#[test]
fn phone_that_supports_gruus_gets_one_of_its_identity_and_others_do_not() {
    let contact = format!("{CONTACT};+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\"");
    for (config, supported, is_given) in [
        ("{gruu: true}", "Supported: path, gruu\r\n", true),
        ("{gruu: true}", "Supported: path\r\n", false),
        ("{}", "Supported: path, gruu\r\n", false),
    ] {
        let mut rig = Rig::with_registration(config);
        let register = Reg {
            contact: Some(contact.clone()),
            more: supported.to_owned(),
            ..Reg::new(1)
        };
        let nonce = nonce_of(&rig.register(&register));
        let response = rig.register(&Reg {
            authorization: Some(aka_authorization(&nonce, true, "yes")),
            cseq: 2,
            ..register
        });
        let told = header(&response, HeaderName::Contact);
        let start = format!(";pub-gruu=\"{IMPU};gr=urn:uuid:");
        assert_eq!(told.contains(&start), is_given, "{config} {supported} {told}");
        if is_given {
            // The one that was given reaches the phone.
            let gruu = told
                .split("pub-gruu=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            rig.receive(super::requests::request("MESSAGE", gruu, ""));
            let (sent, _) = rig.sent();
            assert_eq!(
                sent.request_uri_bytes(),
                CONTACT.trim_matches(['<', '>']).as_bytes()
            );
        }
    }
}

/// A challenge, and its answer.
fn register_with(rig: &mut Rig, contact: &str, cseq: u32) -> u16 {
    let register = Reg {
        contact: Some(contact.to_owned()),
        ..Reg::new(cseq)
    };
    let nonce = nonce_of(&rig.register(&register));
    status(&rig.register(&Reg {
        authorization: Some(aka_authorization(&nonce, true, "yes")),
        cseq: cseq + 1,
        ..register
    }))
}

#[test]
fn emergency_registration_stands_beside_the_ordinary_one_of_the_same_ue() {
    let ordinary = "<sip:u@192.0.2.10:5060>;+sip.instance=\"<urn:x>\"";
    for emergency in [
        "<sip:u@192.0.2.10:5060;sos>;+sip.instance=\"<urn:x>\"",
        "<sip:u@192.0.2.77:5060;sos>;+sip.instance=\"<urn:x>\"",
    ] {
        for order in [[ordinary, emergency], [emergency, ordinary]] {
            let mut rig = Rig::new();
            for (n, contact) in (0..).zip(order) {
                assert_eq!(register_with(&mut rig, contact, 1 + 2 * n), 200);
            }
            assert_eq!(rig.gauge("ims_scscf_bindings"), 2, "{order:?}");
            // Each is replaced by its like.
            for (n, contact) in (2..).zip(order) {
                let elsewhere = contact.replace("sip:u@", "sip:v@").replace("urn:x", "urn:y");
                assert_eq!(register_with(&mut rig, &elsewhere, 1 + 2 * n), 200);
                assert_eq!(rig.gauge("ims_scscf_bindings"), 2, "{elsewhere}");
            }
        }
    }
}

#[test]
fn emergency_registration_is_not_barred() {
    let mut rig = Rig::new();
    rig.hss.user_data = Some(profile_of(IMPI, &[(TEMPORARY_IMPU, true), (IMPU, true)]));
    assert_eq!(register_with(&mut rig, "<sip:u@192.0.2.10:5060;sos>", 1), 200);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}
