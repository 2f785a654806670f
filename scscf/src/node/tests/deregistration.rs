//! Testkit: removal by the UE (RG-08, CX-04).

use super::*;
use crate::registration_change::ContactEvent;
use hss_client::cx::ServerAssignmentType as Type;

fn leave(cseq: u32) -> Reg {
    Reg {
        expires: Some(0),
        ..Reg::protected(cseq)
    }
}

#[test]
fn expires_zero_contact_expires_zero_and_star_all_remove() {
    let contact_expires = Reg {
        contact: Some(format!("{CONTACT};expires=0")),
        ..Reg::protected(3)
    };
    let star = Reg {
        contact: Some("*".to_owned()),
        ..leave(3)
    };
    for register in [leave(3), contact_expires, star] {
        let mut rig = Rig::registered();
        let response = rig.register(&register);
        assert_eq!(status(&response), 200);
        assert_eq!(lines(&response, HeaderName::Contact), Vec::<String>::new());
        assert_eq!(rig.sar_types(), [Type::Registration, Type::UserDeregistration]);
        assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
        let last = std::iter::from_fn(|| rig.node.poll_change()).last().unwrap();
        assert_eq!(last.event, ContactEvent::Unregistered);
    }
}

#[test]
fn whole_set_is_deregistered_by_one_of_its_identities() {
    let mut rig = Rig::registered();
    let by_other_identity = Reg {
        impu: IMPU.to_owned(),
        ..leave(3)
    };
    assert_eq!(status(&rig.register(&by_other_identity)), 200);
    assert_eq!(rig.gauge("ims_scscf_registration_sets"), 0);
    assert_eq!(rig.sars()[1].public_identities.len(), 1);
}

#[test]
fn remaining_contact_keeps_the_registration_and_the_hss_is_not_told() {
    let mut rig = Rig::registered();
    let two = Reg {
        contact: Some(format!("{CONTACT}, <sip:b@192.0.2.11>")),
        ..Reg::protected(3)
    };
    rig.register(&two);
    let response = rig.register(&leave(4));
    assert_eq!(
        lines(&response, HeaderName::Contact),
        ["<sip:b@192.0.2.11>;expires=600000"]
    );
    assert_eq!(rig.sar_types(), [Type::Registration, Type::ReRegistration]);
}

#[test]
fn unprotected_removal_is_challenged_first() {
    let mut rig = Rig::lab();
    rig.register_over_ipsec();
    let unprotected = Reg {
        expires: Some(0),
        ..Reg::new(3)
    };
    let nonce = nonce_of(&rig.register(&unprotected));
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
    let answer = Reg {
        authorization: Some(aka_authorization(&nonce, true, "no")),
        expires: Some(0),
        ..Reg::new(4)
    };
    assert_eq!(status(&rig.register(&answer)), 200);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
}

#[test]
fn contact_that_is_not_bound_gets_481() {
    let mut rig = Rig::registered();
    let stranger = Reg {
        contact: Some("<sip:x@192.0.2.99>".to_owned()),
        ..leave(3)
    };
    assert_eq!(status(&rig.register(&stranger)), 481);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn late_removal_of_an_older_cseq_is_out_of_order() {
    let mut rig = Rig::registered();
    rig.register(&Reg::protected(9));
    assert_eq!(status(&rig.register(&leave(8))), 500);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn star_with_a_lifetime_is_malformed() {
    let mut rig = Rig::registered();
    let star = Reg {
        contact: Some("*".to_owned()),
        ..Reg::protected(3)
    };
    assert_eq!(status(&rig.register(&star)), 400);
}

#[test]
fn ue_is_released_even_when_the_hss_does_not_answer() {
    let mut rig = Rig::registered();
    rig.hss.sar = Err(CxError::Timeout);
    assert_eq!(status(&rig.register(&leave(3))), 200);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
}

#[test]
fn assignment_types_follow_the_life_of_a_registration_and_none_is_sent_only_to_look() {
    let mut rig = Rig::registered();
    rig.register(&Reg::protected(3));
    rig.register(&leave(4));
    rig.register(&Reg::new(5));
    rig.advance(secs(240));
    assert_eq!(
        rig.sar_types(),
        [
            Type::Registration,
            Type::ReRegistration,
            Type::UserDeregistration,
            Type::AuthenticationTimeout
        ]
    );
}
