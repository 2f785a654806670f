//! Testkit: requests for users who are not registered (SE-09, SE-12, SE-26).

use super::isc::{criterion, profile_with};
use super::requests::{answered, request};
use super::*;

const AS1: &str = "192.0.2.81:5060";

#[test]
fn user_without_services_gets_480_and_the_profile_is_asked_for_once() {
    let mut rig = Rig::new();
    assert_eq!(answered(&mut rig, request("INVITE", IMPU, "")), 480);
    assert_eq!(answered(&mut rig, request("MESSAGE", IMPU, "")), 480);
    assert_eq!(rig.sar_types(), [ServerAssignmentType::UnregisteredUser]);
    assert_eq!(rig.sars()[0].user_name, None);
    assert_eq!(rig.sars()[0].public_identities[0].as_str(), IMPU);
}

#[test]
fn services_of_a_user_who_is_not_registered_are_served_then_480() {
    let mut rig = Rig::new();
    rig.hss.user_data = Some(profile_with(&[
        criterion(10, AS1, 2, 0),
        criterion(20, AS1, 1, 0),
    ]));
    rig.receive(request("INVITE", IMPU, ""));
    let (sent, hop) = rig.sent();
    assert_eq!(hop, AS1);
    let served = format!("<{IMPU}>;sescase=term;regstate=unreg");
    assert_eq!(values(&sent, HeaderName::PServedUser), [served]);
    rig.answer(&sent, 200, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 200, "voicemail");
    rig.receive(request("MESSAGE", IMPU, ""));
    let (sent, _) = rig.sent();
    rig.answer(&sent, 500, "");
    assert_eq!(status(&rig.responses.pop_front().unwrap()), 480);
}

#[test]
fn unknown_user_gets_404_and_a_barred_one_too() {
    let mut rig = Rig::new();
    rig.hss.sar = Ok(CxResult::USER_UNKNOWN);
    assert_eq!(answered(&mut rig, request("INVITE", IMPU, "")), 404);
    assert_eq!(rig.gauge("ims_scscf_unregistered_profiles"), 0);
    let mut rig = Rig::new();
    assert_eq!(answered(&mut rig, request("INVITE", TEMPORARY_IMPU, "")), 404);
}

#[test]
fn silent_hss_gives_504() {
    let mut rig = Rig::new();
    rig.hss.sar = Err(CxError::Timeout);
    assert_eq!(answered(&mut rig, request("INVITE", IMPU, "")), 504);
}

#[test]
fn kept_profile_is_given_back_when_its_time_is_over() {
    let mut rig = Rig::new();
    assert_eq!(answered(&mut rig, request("INVITE", IMPU, "")), 480);
    rig.advance(secs(599));
    assert_eq!(rig.sars().len(), 1);
    rig.advance(secs(2));
    let expected = [
        ServerAssignmentType::UnregisteredUser,
        ServerAssignmentType::TimeoutDeregistration,
    ];
    assert_eq!(rig.sar_types(), expected);
    assert_eq!(rig.gauge("ims_scscf_unregistered_profiles"), 0);
}

#[test]
fn user_who_registers_keeps_the_registration_when_the_kept_profile_ends() {
    let mut rig = Rig::new();
    assert_eq!(answered(&mut rig, request("INVITE", IMPU, "")), 480);
    rig.register_over_ipsec();
    assert_eq!(rig.gauge("ims_scscf_unregistered_profiles"), 0);
    rig.advance(secs(601));
    let expected = [
        ServerAssignmentType::UnregisteredUser,
        ServerAssignmentType::Registration,
    ];
    assert_eq!(rig.sar_types(), expected);
}

#[test]
fn user_who_registers_while_the_hss_is_asked_is_reached() {
    let mut rig = Rig::new();
    rig.hss.answers = false;
    rig.receive(request("INVITE", IMPU, ""));
    let waiting = rig.unanswered.pop_front().unwrap();
    rig.hss.answers = true;
    rig.register_over_ipsec();
    rig.unanswered.push_back(waiting);
    rig.answer_next();
    let (sent, _) = rig.sent();
    assert_eq!(sent.request_uri_bytes(), b"sip:001010000000001@192.0.2.10:5060");
}

#[test]
fn caller_who_gives_up_while_the_hss_is_asked_gets_487_once() {
    let mut rig = Rig::new();
    rig.hss.answers = false;
    let invite = request("INVITE", IMPU, "");
    rig.receive(invite.clone());
    rig.receive(
        invite
            .replace("INVITE", "CANCEL")
            .replace("z9hG4bKrCANCEL", "z9hG4bKrINVITE"),
    );
    let codes: Vec<u16> = rig
        .responses
        .drain(..)
        .map(|response| status(&response))
        .collect();
    assert_eq!(codes, [200, 487]);
    rig.answer_next();
    assert!(rig.responses.is_empty());
    assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
}

#[test]
fn pushed_profile_voids_the_kept_one() {
    let mut rig = Rig::new();
    assert_eq!(answered(&mut rig, request("INVITE", IMPU, "")), 480);
    let push = hss_client::cx::Ppr {
        user_name: ims_common::identity::Impi::parse(IMPI).unwrap(),
        user_data: Some(profile().into()),
        charging: None,
        digest: None,
    };
    match rig.push(CxPush::Ppr(push)) {
        CxPushAnswer::Ppa(ppa) => assert!(ppa.result.is_success()),
        CxPushAnswer::Rta(rta) => panic!("{rta:?}"),
    }
    rig.receive(request("MESSAGE", IMPU, ""));
    assert_eq!(rig.sars().len(), 2);
}

#[test]
fn service_identity_is_served_by_its_server_also_when_a_wildcard_covers_it() {
    let psi = |identity: &str, extension: &str| {
        let identity = format!(
            "<PublicIdentity><Identity>{identity}</Identity><Extension>{extension}</Extension></PublicIdentity>"
        );
        profile_with(&[criterion(10, AS1, 2, 0)])
            .replace("<ServiceProfile>", &format!("<ServiceProfile>{identity}"))
    };
    let distinct = psi("sip:chat@home.example", "<IdentityType>1</IdentityType>");
    let wildcard = "<IdentityType>2</IdentityType><WildcardedPSI>sip:chat!.*!@home.example</WildcardedPSI>";
    let wildcarded = psi("sip:chat-any@home.example", wildcard);
    for (called, profile) in [
        ("sip:chat@home.example", distinct),
        ("sip:chat-7@home.example", wildcarded),
    ] {
        let mut rig = Rig::new();
        rig.hss.user_data = Some(profile);
        rig.receive(request("MESSAGE", called, ""));
        let (sent, hop) = rig.sent();
        assert_eq!(hop, AS1, "{called}");
        assert_eq!(sent.request_uri_bytes(), called.as_bytes());
    }
}

#[test]
fn request_that_may_not_be_forked_any_more_leaves_nothing_behind() {
    let mut rig = Rig::registered();
    rig.register_second();
    assert_eq!(
        answered(&mut rig, request("MESSAGE", IMPU, "Max-Breadth: 1\r\n")),
        440
    );
    assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
}
