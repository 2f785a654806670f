//! Testkit: challenges of IMS AKA (AU-01 to AU-15).

use super::*;
use hss_client::cx::{AuthScheme, ServerAssignmentType as Type};
use ims_common::aka::Auts;

fn answer(cseq: u32, nonce: &str, protected: &str) -> Reg {
    Reg {
        authorization: Some(aka_authorization(nonce, true, protected)),
        ..Reg::new(cseq)
    }
}

fn wrong_answer(cseq: u32, nonce: &str) -> Reg {
    let value = authorization(IMPI, nonce, "00000000000000000000000000000000", "yes");
    Reg {
        authorization: Some(value),
        ..Reg::new(cseq)
    }
}

fn refusal(cseq: u32, nonce: &str) -> Reg {
    Reg {
        authorization: Some(authorization(IMPI, nonce, "", "no")),
        ..Reg::new(cseq)
    }
}

fn resynchronisation(cseq: u32, nonce: &str) -> Reg {
    let auts = Auts([9; 14]).to_base64();
    let value = format!("{},auts=\"{auts}\"", authorization(IMPI, nonce, "", "no"));
    Reg {
        authorization: Some(value),
        ..Reg::new(cseq)
    }
}

#[test]
fn unprotected_register_asks_for_an_aka_vector_and_gets_it_as_nonce() {
    let mut rig = Rig::new();
    let response = rig.register(&Reg::new(1));
    let mar = rig.mars()[0];
    assert_eq!(mar.scheme, AuthScheme::DigestAkaV1Md5);
    assert_eq!(mar.user_name.as_str(), IMPI);
    assert_eq!(mar.public_identity.as_str(), TEMPORARY_IMPU);
    assert_eq!(mar.server_name, format!("sip:scscf1.{HOME}"));
    assert_eq!(mar.authorization, None);
    assert_eq!(nonce_of(&response), vector(1).nonce());
}

#[test]
fn challenge_has_realm_nonce_algorithm_qop_and_the_keys_for_the_p_cscf() {
    let mut rig = Rig::new();
    let response = rig.register(&Reg::new(1));
    let nonce = vector(1).nonce();
    assert_eq!(
        lines(&response, HeaderName::WwwAuthenticate),
        [format!(
            "Digest realm=\"{HOME}\",nonce=\"{nonce}\",algorithm=AKAv1-MD5,qop=\"auth\",\
             ck=\"{CK}\",ik=\"{IK}\""
        )]
    );
}

#[test]
fn right_response_registers_with_and_without_qop() {
    for qop in [true, false] {
        let mut rig = Rig::new();
        let nonce = nonce_of(&rig.register(&Reg::new(1)));
        let answer = Reg {
            authorization: Some(aka_authorization(&nonce, qop, "yes")),
            ..Reg::new(2)
        };
        assert_eq!(status(&rig.register(&answer)), 200, "qop {qop}");
        assert_eq!(rig.sar_types(), [Type::Registration]);
    }
}

#[test]
fn wrong_response_of_an_unregistered_identity_gets_403_and_the_hss_learns_it() {
    let mut rig = Rig::new();
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    assert_eq!(status(&rig.register(&wrong_answer(2, &nonce))), 403);
    assert_eq!(rig.sar_types(), [Type::AuthenticationFailure]);
    assert_eq!(rig.gauge("ims_scscf_challenges"), 0);
}

#[test]
fn wrong_response_leaves_an_existing_registration_as_it_was() {
    let mut rig = Rig::registered();
    let nonce = nonce_of(&rig.register(&Reg::new(3)));
    assert_eq!(status(&rig.register(&wrong_answer(4, &nonce))), 403);
    assert_eq!(rig.sar_types(), [Type::Registration]);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn auts_goes_to_the_hss_behind_the_rand_of_the_challenge_and_a_new_challenge_follows() {
    let mut rig = Rig::new();
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    let response = rig.register(&resynchronisation(2, &nonce));
    let sent = rig.mars()[1].authorization.clone().unwrap();
    assert_eq!(sent.len(), 30);
    assert_eq!(&sent[..16], &[1; 16]);
    assert_eq!(&sent[16..], &[9; 14]);
    assert_eq!(nonce_of(&response), vector(2).nonce());
    let nonce = nonce_of(&response);
    assert_eq!(status(&rig.register(&answer(3, &nonce, "yes"))), 200);
}

#[test]
fn auts_for_a_nonce_that_is_not_ours_never_reaches_the_hss() {
    let mut rig = Rig::new();
    rig.register(&resynchronisation(1, &vector(1).nonce()));
    assert_eq!(rig.mars()[0].authorization, None);
    rig.register(&resynchronisation(2, &vector(7).nonce()));
    assert_eq!(rig.mars()[1].authorization, None);
}

#[test]
fn third_resynchronisation_of_one_attempt_gets_403() {
    let mut rig = Rig::new();
    let mut nonce = nonce_of(&rig.register(&Reg::new(1)));
    for cseq in [2, 3] {
        nonce = nonce_of(&rig.register(&resynchronisation(cseq, &nonce)));
    }
    assert_eq!(status(&rig.register(&resynchronisation(4, &nonce))), 403);
    assert_eq!(rig.mars().len(), 3);
    assert_eq!(rig.sar_types(), [Type::AuthenticationFailure]);
}

#[test]
fn empty_response_gets_a_fresh_challenge_twice_then_403() {
    let mut rig = Rig::new();
    let mut nonce = nonce_of(&rig.register(&Reg::new(1)));
    for (cseq, number) in [(2, 2), (3, 3)] {
        nonce = nonce_of(&rig.register(&refusal(cseq, &nonce)));
        assert_eq!(nonce, vector(number).nonce());
    }
    assert_eq!(status(&rig.register(&refusal(4, &nonce))), 403);
    assert_eq!(rig.sar_types(), [Type::AuthenticationFailure]);
}

#[test]
fn unanswered_challenge_ends_after_four_minutes_and_the_hss_learns_it() {
    let mut rig = Rig::new();
    rig.register(&Reg::new(1));
    rig.advance(secs(239));
    assert_eq!(rig.sar_types(), []);
    rig.advance(secs(1));
    assert_eq!(rig.sar_types(), [Type::AuthenticationTimeout]);
    assert_eq!(rig.sars()[0].public_identities[0].as_str(), TEMPORARY_IMPU);
    let late = rig.register(&answer(2, &vector(1).nonce(), "yes"));
    assert_eq!(status(&late), 500);
}

#[test]
fn unanswered_challenge_of_a_registered_identity_leaves_the_hss_alone() {
    let mut rig = Rig::registered();
    rig.register(&Reg::new(3));
    rig.advance(secs(240));
    assert_eq!(rig.sar_types(), [Type::Registration]);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn answer_under_another_call_id_is_no_answer() {
    let mut rig = Rig::new();
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    let mut other = answer(2, &nonce, "yes");
    other.call_id = "c2@ue".to_owned();
    assert_eq!(status(&rig.register(&other)), 500);
    assert_eq!(status(&rig.register(&answer(2, &nonce, "yes"))), 200);
}

#[test]
fn new_unprotected_register_restarts_a_pending_authentication() {
    let mut rig = Rig::new();
    let old = nonce_of(&rig.register(&Reg::new(1)));
    let mut again = Reg::new(1);
    again.call_id = "c2@ue".to_owned();
    let new = nonce_of(&rig.register(&again));
    assert_ne!(old, new);
    assert_eq!(status(&rig.register(&answer(2, &old, "yes"))), 500);
    let mut second = answer(2, &new, "yes");
    second.call_id = "c2@ue".to_owned();
    assert_eq!(status(&rig.register(&second)), 200);
}

#[test]
fn right_response_without_protection_is_challenged_again() {
    for protected in ["no", "ip-assoc-yes", "tls-yes", "auth-done", "YES?"] {
        let mut rig = Rig::new();
        let nonce = nonce_of(&rig.register(&Reg::new(1)));
        let response = rig.register(&answer(2, &nonce, protected));
        assert_eq!(nonce_of(&response), vector(2).nonce(), "{protected}");
        assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
    }
}

#[test]
fn unprotected_refresh_of_a_registered_identity_is_always_challenged() {
    for mut rig in [Rig::registered(), {
        let mut lab = Rig::lab();
        lab.register_over_ipsec();
        lab
    }] {
        let nonce = vector(1).nonce();
        let response = rig.register(&answer(3, &nonce, "no"));
        assert_eq!(status(&response), 401);
        assert_eq!(rig.sar_types(), [Type::Registration]);
    }
}

#[test]
fn operator_without_ipsec_may_accept_a_right_response_but_not_a_wrong_one() {
    let mut rig = Rig::lab();
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    assert_eq!(status(&rig.register(&answer(2, &nonce, "no"))), 200);
    let nonce = nonce_of(&rig.register(&Reg::new(3)));
    let mut wrong = wrong_answer(4, &nonce);
    wrong.authorization = wrong.authorization.map(|a| a.replace("\"yes\"", "\"no\""));
    assert_eq!(status(&rig.register(&wrong)), 403);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 1);
}

#[test]
fn protected_refresh_with_the_old_response_is_accepted_without_a_challenge() {
    let mut rig = Rig::registered();
    let old = answer(3, &vector(1).nonce(), "yes");
    assert_eq!(status(&rig.register(&old)), 200);
    assert_eq!(rig.mars().len(), 1);
    assert_eq!(rig.sar_types(), [Type::Registration, Type::ReRegistration]);
}

#[test]
fn policy_challenges_a_protected_refresh_and_the_old_response_never_answers_it() {
    let mut rig = Rig::with_registration("{reauthenticate: always}");
    rig.register_over_ipsec();
    let old = vector(1).nonce();
    let new = nonce_of(&rig.register(&answer(3, &old, "yes")));
    let response = rig.register(&answer(4, &old, "yes"));
    assert_ne!(nonce_of(&response), old);
    assert_ne!(nonce_of(&response), new);
    assert_eq!(rig.sar_types(), [Type::Registration]);
    let nonce = nonce_of(&response);
    assert_eq!(status(&rig.register(&answer(5, &nonce, "yes"))), 200);
    assert_eq!(rig.sar_types(), [Type::Registration, Type::ReRegistration]);
}

#[test]
fn interval_policy_challenges_only_when_the_last_response_is_old_enough() {
    let mut rig = Rig::with_registration("{reauthenticate: 12h}");
    rig.register_over_ipsec();
    rig.advance(secs(43_199));
    assert_eq!(status(&rig.register(&Reg::protected(3))), 200);
    rig.advance(secs(1));
    assert_eq!(status(&rig.register(&Reg::protected(4))), 401);
}

#[test]
fn protected_register_of_an_unknown_private_identity_gets_500() {
    let mut rig = Rig::new();
    assert_eq!(status(&rig.register(&Reg::protected(1))), 500);
    assert_eq!(rig.cx.len(), 0);
}

#[test]
fn challenged_register_in_a_new_transaction_gets_the_same_challenge_and_no_new_vector() {
    let mut rig = Rig::new();
    let first = rig.register(&Reg::new(1));
    let second = rig.register(&Reg::new(1));
    assert_eq!(nonce_of(&first), nonce_of(&second));
    assert_eq!(header(&first, HeaderName::To), header(&second, HeaderName::To));
    assert_eq!(rig.mars().len(), 1);
}

#[test]
fn answer_of_a_phone_that_forgets_to_raise_its_cseq_is_an_answer() {
    let mut rig = Rig::new();
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    assert_eq!(status(&rig.register(&answer(1, &nonce, "yes"))), 200);
}

#[test]
fn old_response_is_no_answer_even_when_the_hss_gives_the_same_nonce_again() {
    let mut rig = Rig::with_registration("{reauthenticate: always}");
    rig.hss.items = Some(vec![AuthItem::Aka(vector(1))]);
    rig.register_over_ipsec();
    let nonce = vector(1).nonce();
    let old = answer(3, &nonce, "yes");
    assert_eq!(status(&rig.register(&old)), 401);
    assert_eq!(status(&rig.register(&old)), 401, "the challenged REGISTER again");
    assert_eq!(rig.mars().len(), 2);
    assert_eq!(status(&rig.register(&answer(4, &nonce, "yes"))), 401);
    assert_eq!(rig.sar_types(), [Type::Registration]);
    let anew = Reg {
        authorization: Some(aka_authorization(&nonce, false, "yes")),
        ..Reg::new(5)
    };
    assert_eq!(status(&rig.register(&anew)), 200);
}

#[test]
fn auts_in_a_new_transaction_goes_to_the_hss_once_even_when_the_nonce_stays_the_same() {
    let mut rig = Rig::new();
    rig.hss.items = Some(vec![AuthItem::Aka(vector(1))]);
    let nonce = nonce_of(&rig.register(&Reg::new(1)));
    for _ in 0..4 {
        assert_eq!(status(&rig.register(&resynchronisation(2, &nonce))), 401);
    }
    assert_eq!(rig.mars().len(), 2);
    assert_eq!(status(&rig.register(&answer(3, &nonce, "yes"))), 200);
}

#[test]
fn vector_that_cannot_be_used_ends_the_authentication_without_harm() {
    let mut rig = Rig::new();
    rig.hss.items = Some(vec![AuthItem::Unusable("SIP-Authenticate length")]);
    assert_eq!(status(&rig.register(&Reg::new(1))), 480);
    assert_eq!(rig.gauge("ims_scscf_challenges"), 0);
}

#[test]
fn keys_and_responses_are_redacted_in_every_debug_text() {
    let mut rig = Rig::new();
    rig.register(&Reg::new(1));
    let impi = ims_common::identity::Impi::parse(IMPI).unwrap();
    let text = format!("{:?} {:?}", rig.node.challenges, rig.node.challenges.get(&impi));
    for secret in [CK, IK, "a54211d5e3ba50bf", "165, 66, 17", "180, 11, 169", IMPI] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn akav2_is_offered_first_when_the_operator_wants_it_and_both_answers_count() {
    for version in [AkaVersion::V2Sha256, AkaVersion::V1Md5] {
        let mut rig = Rig::with_registration("{akav2: true}");
        let response = rig.register(&Reg::new(1));
        let challenges = lines(&response, HeaderName::WwwAuthenticate);
        assert_eq!(challenges.len(), 2);
        assert!(
            challenges[0].contains("algorithm=AKAv2-SHA-256"),
            "{challenges:?}"
        );
        let keys = vector(1);
        let ha1 = version.ha1(IMPI.as_bytes(), HOME.as_bytes(), &keys.keys());
        let value = digest_authorization(IMPI, &nonce_of(&response), &ha1, Some(1), version.token(), "yes");
        let answer = Reg {
            authorization: Some(value),
            ..Reg::new(2)
        };
        assert_eq!(status(&rig.register(&answer)), 200, "{version:?}");
    }
}
