//! Testkit: what an HSS that refuses, fails or keeps silent means for a REGISTER.

use super::*;
use hss_client::cx::ServerAssignmentType as Type;

fn answer_with(rig: &mut Rig) -> Response {
    let challenge = rig.register(&Reg::new(1));
    let answer = Reg {
        authorization: Some(aka_authorization(&nonce_of(&challenge), true, "yes")),
        ..Reg::new(2)
    };
    rig.register(&answer)
}

#[test]
fn results_of_mar_and_sar_become_status_codes_of_one_table() {
    let cases = [
        (Ok(CxResult::USER_UNKNOWN), 403),
        (Ok(CxResult::IDENTITIES_DONT_MATCH), 403),
        (Ok(CxResult::ROAMING_NOT_ALLOWED), 403),
        (Ok(CxResult::IDENTITY_ALREADY_REGISTERED), 403),
        (Ok(CxResult::AUTH_SCHEME_NOT_SUPPORTED), 403),
        (Ok(CxResult::AUTHORIZATION_REJECTED), 403),
        (Ok(CxResult::UNABLE_TO_COMPLY), 480),
        (Ok(CxResult::TOO_BUSY), 480),
        (Ok(CxResult::Missing), 480),
        (Err(CxError::NoPeer), 480),
        (Err(CxError::Overloaded), 480),
        (Err(CxError::Malformed("x")), 480),
        (Err(CxError::Timeout), 504),
    ];
    for (result, code) in cases {
        let mut rig = Rig::new();
        rig.hss.mar = result;
        assert_eq!(status(&rig.register(&Reg::new(1))), code, "MAR {result:?}");
        let mut rig = Rig::new();
        rig.hss.sar = result;
        assert_eq!(status(&answer_with(&mut rig)), code, "SAR {result:?}");
        assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
    }
}

#[test]
fn refresh_that_the_hss_does_not_answer_leaves_the_registration_as_it_was() {
    let mut rig = Rig::registered();
    rig.hss.sar = Err(CxError::Timeout);
    assert_eq!(status(&rig.register(&Reg::protected(3))), 504);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn refresh_says_that_the_profile_is_held_and_needs_none_back() {
    let mut rig = Rig::registered();
    assert!(!rig.sars()[0].user_data_already_available);
    rig.hss.user_data = None;
    let response = rig.register(&Reg::protected(3));
    assert_eq!(status(&response), 200);
    assert!(rig.sars()[1].user_data_already_available);
    assert!(header(&response, HeaderName::PAssociatedUri).contains(IMPU));
}

#[test]
fn first_registration_without_a_profile_fails_and_is_taken_back() {
    let mut rig = Rig::new();
    rig.hss.user_data = None;
    assert_eq!(status(&answer_with(&mut rig)), 480);
    assert_eq!(
        rig.sar_types(),
        [Type::Registration, Type::AdministrativeDeregistration]
    );
}

#[test]
fn profile_that_cannot_be_read_fails_the_registration() {
    let mut rig = Rig::new();
    rig.hss.user_data = Some("<IMSSubscription><Priv".to_owned());
    assert_eq!(status(&answer_with(&mut rig)), 480);
    assert_eq!(
        rig.sar_types(),
        [Type::Registration, Type::DeregistrationTooMuchData]
    );
}

#[test]
fn profile_of_another_private_identity_is_not_given_away() {
    let mut rig = Rig::new();
    let other = "001010000000009@ims.mnc001.mcc001.3gppnetwork.org";
    rig.hss.user_data = Some(profile_of(other, &[(TEMPORARY_IMPU, false)]));
    assert_eq!(status(&answer_with(&mut rig)), 403);
    assert_eq!(rig.sar_types(), [Type::Registration]);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
}

#[test]
fn realm_that_the_hss_writes_by_itself_does_not_matter() {
    let mut rig = Rig::new();
    let spelled = "001010000000001@ims.other.example";
    rig.hss.user_data = Some(profile_of(spelled, &[(IMPU, false)]));
    assert_eq!(status(&answer_with(&mut rig)), 200);
}

#[test]
fn stranger_cannot_have_a_registered_identity_deregistered_by_failing_in_its_name() {
    let mut rig = Rig::registered();
    let stranger = "001010000000009@ims.mnc001.mcc001.3gppnetwork.org";
    let initial = Reg {
        impu: IMPU.to_owned(),
        call_id: "c9@ue".to_owned(),
        authorization: Some(authorization(stranger, "", "", "no")),
        ..Reg::new(1)
    };
    let nonce = nonce_of(&rig.register(&initial));
    let wrong = Reg {
        cseq: 2,
        authorization: Some(authorization(stranger, &nonce, "00", "yes")),
        ..initial.clone()
    };
    assert_eq!(status(&rig.register(&wrong)), 403);
    rig.register(&Reg { cseq: 3, ..initial });
    rig.advance(secs(240));
    assert_eq!(rig.sar_types(), [Type::Registration]);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn stranger_who_fails_under_another_spelling_of_an_identity_has_nobody_deregistered() {
    let stranger = "001010000000009@ims.mnc001.mcc001.3gppnetwork.org";
    let spellings = [
        "sip:15550001@ims.mnc001.mcc001.3gppnetwork.org",
        "tel:15550001",
        "sip:+15550001@elsewhere.example",
        "sip:001010000000001@elsewhere.example",
    ];
    for spelling in spellings {
        let mut rig = Rig::registered();
        let initial = Reg {
            impu: spelling.to_owned(),
            call_id: "c9@ue".to_owned(),
            authorization: Some(authorization(stranger, "", "", "no")),
            ..Reg::new(1)
        };
        let nonce = nonce_of(&rig.register(&initial));
        let wrong = Reg {
            cseq: 2,
            authorization: Some(authorization(stranger, &nonce, "00", "yes")),
            ..initial.clone()
        };
        assert_eq!(status(&rig.register(&wrong)), 403);
        rig.register(&Reg { cseq: 3, ..initial });
        rig.advance(secs(240));
        assert_eq!(rig.sar_types(), [Type::Registration], "{spelling}");
    }
}

#[test]
fn later_requests_name_the_hss_that_answered_first() {
    let mut rig = Rig::new();
    answer_with(&mut rig);
    assert_eq!(rig.mars()[0].destination_host, None);
    let learnt = Some("hss1.home.example".to_owned());
    assert_eq!(rig.sars()[0].destination_host, learnt);
    rig.register(&Reg::protected(3));
    assert_eq!(rig.sars()[1].destination_host, learnt);
}

#[test]
fn charging_addresses_reach_a_p_cscf_at_home_only() {
    let charging = ChargingInformation {
        primary_collection: Some("aaa://cdf1.home.example".to_owned()),
        primary_event: Some("aaa://ocs1.home.example".to_owned()),
        ..ChargingInformation::default()
    };
    let mut rig = Rig::new();
    rig.hss.charging = Some(charging);
    let response = answer_with(&mut rig);
    assert_eq!(
        header(&response, HeaderName::PChargingFunctionAddresses),
        "ccf=\"aaa://cdf1.home.example\";ecf=\"aaa://ocs1.home.example\""
    );
    let text = Reg::protected(3).text(77);
    rig.receive(text.replace(
        &format!("P-Visited-Network-ID: \"{HOME}\""),
        "P-Visited-Network-ID: \"visited.example\"",
    ));
    let abroad = rig.responses.pop_front().unwrap();
    assert_eq!(status(&abroad), 200);
    assert_eq!(abroad.header(HeaderName::PChargingFunctionAddresses), None);
}

#[test]
fn charging_vector_comes_back_with_our_network_as_terminating() {
    let mut rig = Rig::new();
    for response in [rig.register(&Reg::new(1)), answer_with(&mut Rig::new())] {
        assert_eq!(
            header(&response, HeaderName::PChargingVector),
            format!("icid-value=\"i1\";orig-ioi=\"Type 1{HOME}\";term-ioi=\"Type 1{HOME}\"")
        );
    }
}
