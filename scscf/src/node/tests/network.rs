//! Testkit: RTR and PPR (CX-08, CX-09, RG-25).

use super::*;
use crate::registration_change::ContactEvent;
use hss_client::cx::{DeregistrationReason, Ppr, ReasonCode, Rtr};
use ims_common::identity::{Impi, Impu};

fn rtr(code: ReasonCode, identities: &[&str]) -> CxPush {
    CxPush::Rtr(Rtr {
        user_name: Impi::parse(IMPI).unwrap(),
        public_identities: identities.iter().map(|i| Impu::parse(i).unwrap()).collect(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason { code, info: None },
    })
}

fn ppr(impi: &str, user_data: Option<String>, charging: Option<ChargingInformation>) -> CxPush {
    CxPush::Ppr(Ppr {
        user_name: Impi::parse(impi).unwrap(),
        user_data: user_data.map(Bytes::from),
        charging,
        digest: None,
    })
}

fn result(answer: &CxPushAnswer) -> CxResult {
    match answer {
        CxPushAnswer::Rta(rta) => rta.result,
        CxPushAnswer::Ppa(ppa) => ppa.result,
    }
}

fn last_change(rig: &mut Rig) -> Option<(ContactEvent, usize)> {
    std::iter::from_fn(|| rig.node.poll_change())
        .last()
        .map(|change| (change.event, change.contacts.len()))
}

#[test]
fn each_reason_of_a_termination_has_its_effect_and_no_sar_follows() {
    let cases = [
        (ReasonCode::PermanentTermination, 0, Some(ContactEvent::Rejected)),
        (ReasonCode::ServerChange, 0, Some(ContactEvent::Deactivated)),
        (ReasonCode::NewServerAssigned, 0, Some(ContactEvent::MovedAway)),
        (ReasonCode::RemoveScscf, 1, None),
    ];
    for (code, left, event) in cases {
        let mut rig = Rig::registered();
        while rig.node.poll_change().is_some() {}
        let answer = rig.push(rtr(code, &[]));
        assert_eq!(result(&answer), CxResult::SUCCESS);
        assert_eq!(rig.gauge("ims_scscf_bindings"), left, "{code:?}");
        assert_eq!(last_change(&mut rig), event.map(|event| (event, 1)), "{code:?}");
        assert_eq!(rig.sars().len(), 1, "{code:?}");
    }
}

#[test]
fn termination_of_one_identity_takes_its_implicit_set_and_spares_others() {
    let mut rig = Rig::registered();
    rig.push(rtr(ReasonCode::PermanentTermination, &["sip:other@home.example"]));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
    rig.push(rtr(ReasonCode::PermanentTermination, &["tel:+15550001"]));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
}

#[test]
fn termination_takes_the_associated_private_identities_along() {
    for (associated, left) in [(Vec::new(), 1), (vec![Impi::parse(SECOND_IMPI).unwrap()], 0)] {
        let mut rig = Rig::registered();
        rig.register_second();
        let answer = rig.push(CxPush::Rtr(Rtr {
            user_name: Impi::parse(IMPI).unwrap(),
            public_identities: Vec::new(),
            associated_identities: associated,
            reason: DeregistrationReason {
                code: ReasonCode::PermanentTermination,
                info: None,
            },
        }));
        assert_eq!(result(&answer), CxResult::SUCCESS);
        assert_eq!(rig.gauge("ims_scscf_bindings"), left);
    }
}

#[test]
fn termination_of_a_stranger_is_a_success_without_effect() {
    let mut rig = Rig::new();
    let answer = rig.push(rtr(ReasonCode::PermanentTermination, &[]));
    assert_eq!(result(&answer), CxResult::SUCCESS);
}

#[test]
fn termination_voids_a_pending_challenge() {
    let mut rig = Rig::new();
    rig.register(&Reg::new(1));
    rig.push(rtr(ReasonCode::PermanentTermination, &[]));
    assert_eq!(rig.gauge("ims_scscf_challenges"), 0);
}

#[test]
fn termination_between_a_sar_and_its_answer_leaves_nothing_bound() {
    for (identities, left) in [
        (&[][..], 0),
        (&[TEMPORARY_IMPU][..], 0),
        (&["sip:other@home.example"][..], 1),
    ] {
        let mut rig = Rig::new();
        let nonce = nonce_of(&rig.register(&Reg::new(1)));
        rig.hss.answers = false;
        rig.send(&Reg {
            authorization: Some(aka_authorization(&nonce, true, "yes")),
            ..Reg::new(2)
        });
        rig.push(rtr(ReasonCode::PermanentTermination, identities));
        rig.answer_next();
        let response = rig.responses.pop_front().unwrap();
        assert_eq!(
            status(&response),
            if left == 0 { 480 } else { 200 },
            "{identities:?}"
        );
        assert_eq!(rig.gauge("ims_scscf_bindings"), left, "{identities:?}");
        assert_eq!(rig.sars().len(), 1, "no SAR follows a termination");
    }
}

#[test]
fn pushed_profile_replaces_the_identities_of_the_set() {
    let mut rig = Rig::registered();
    while rig.node.poll_change().is_some() {}
    let new = profile_of(
        IMPI,
        &[
            (TEMPORARY_IMPU, true),
            ("sip:+15550009@ims.mnc001.mcc001.3gppnetwork.org", false),
            (IMPU, false),
        ],
    );
    let answer = rig.push(ppr(IMPI, Some(new), None));
    assert_eq!(result(&answer), CxResult::SUCCESS);
    let changes: Vec<_> = std::iter::from_fn(|| rig.node.poll_change()).collect();
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.event, change.identities[0].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                ContactEvent::Created,
                "sip:+15550009@ims.mnc001.mcc001.3gppnetwork.org"
            ),
            (ContactEvent::Deactivated, "tel:+15550001")
        ]
    );
    let mut query = Reg::protected(3);
    query.contact = None;
    let response = rig.register(&query);
    assert_eq!(
        header(&response, HeaderName::PAssociatedUri),
        format!("<sip:+15550009@{HOME}>, <{IMPU}>")
    );
    let gone = ims_common::identity::Impu::parse("tel:+15550001").unwrap();
    assert!(rig.node.registrar.set_of(&gone).is_none());
}

#[test]
fn pushed_charging_addresses_are_told_from_the_next_answer_on() {
    let mut rig = Rig::registered();
    let charging = ChargingInformation {
        primary_collection: Some("aaa://cdf9.home.example".to_owned()),
        ..ChargingInformation::default()
    };
    let answer = rig.push(ppr(IMPI, None, Some(charging)));
    assert_eq!(result(&answer), CxResult::SUCCESS);
    rig.hss.user_data = None;
    let response = rig.register(&Reg::protected(3));
    assert_eq!(
        header(&response, HeaderName::PChargingFunctionAddresses),
        "ccf=\"aaa://cdf9.home.example\""
    );
}

#[test]
fn push_for_a_stranger_or_with_an_unreadable_profile_is_refused() {
    let mut rig = Rig::registered();
    let answer = rig.push(ppr("999@home.example", Some(profile()), None));
    assert_eq!(result(&answer), CxResult::USER_UNKNOWN);
    let answer = rig.push(ppr(IMPI, Some("<nothing/>".to_owned()), None));
    assert_eq!(result(&answer), CxResult::NOT_SUPPORTED_USER_DATA);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}
