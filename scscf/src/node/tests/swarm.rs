//! Testkit: many REGISTERs in any order against an HSS in any mood; what must hold holds (RG-22, CX-23).

use std::collections::BTreeSet;

use super::*;
use hss_client::cx::{DeregistrationReason, ReasonCode, Rtr};
use ims_common::identity::Impi;
use rand::Rng;
use rand::rngs::StdRng;

fn impi(number: u32) -> String {
    format!("00101000000000{number}@{HOME}")
}

fn any_register(rng: &mut StdRng, nonces: &[String]) -> Reg {
    let number = rng.random_range(1..4);
    let protected = ["yes", "no", "ip-assoc-yes"][rng.random_range(0..3)];
    let nonce = match rng.random_range(0..3) {
        0 => String::new(),
        1 => vector(1).nonce(),
        _ => nonces.last().cloned().unwrap_or_default(),
    };
    let ha1 = AkaVersion::V1Md5.ha1(impi(number).as_bytes(), HOME.as_bytes(), &vector(1).keys());
    let mut authorization = match rng.random_range(0..3) {
        0 => authorization(&impi(number), &nonce, "", protected),
        1 => authorization(&impi(number), &nonce, "00", protected),
        _ => digest_authorization(&impi(number), &nonce, &ha1, Some(1), "AKAv1-MD5", protected),
    };
    if rng.random_bool(0.1) {
        authorization.push_str(",auts=\"CQkJCQkJCQkJCQkJCQk=\"");
    }
    let contacts = [
        Some(CONTACT.to_owned()),
        Some("<sip:b@192.0.2.11>;expires=60, <sip:c@192.0.2.11>".to_owned()),
        Some("*".to_owned()),
        None,
    ];
    Reg {
        impu: [IMPU.to_owned(), format!("sip:{}", impi(number))][rng.random_range(0..2)].clone(),
        call_id: format!("c{}", rng.random_range(0..2)),
        cseq: rng.random_range(1..30),
        contact: contacts[rng.random_range(0..4)].clone(),
        expires: [None, Some(0), Some(60), Some(600_000)][rng.random_range(0..4)],
        authorization: Some(authorization),
        ..Reg::new(1)
    }
}

fn branch_of(response: &Response) -> Vec<u8> {
    response.top_via().unwrap().branch().unwrap().to_vec()
}

fn any_mood(rng: &mut StdRng) -> Result<CxResult, CxError> {
    match rng.random_range(0..8) {
        0 => Err(CxError::Timeout),
        1 => Ok(CxResult::USER_UNKNOWN),
        2 => Ok(CxResult::UNABLE_TO_COMPLY),
        _ => Ok(CxResult::SUCCESS),
    }
}

fn terminate(rng: &mut StdRng) -> CxPush {
    let code = ReasonCode::from_code(rng.random_range(0..4)).unwrap();
    CxPush::Rtr(Rtr {
        user_name: Impi::parse(&impi(rng.random_range(1..4))).unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason { code, info: None },
    })
}

/// What a seed has seen so far.
#[derive(Default)]
struct Tally {
    sent: usize,
    answered: BTreeSet<Vec<u8>>,
    nonces: Vec<String>,
}

impl Tally {
    fn step(&mut self, rig: &mut Rig, rng: &mut StdRng) {
        match rng.random_range(0..20) {
            0..9 => {
                rig.send(&any_register(rng, &self.nonces));
                self.sent += 1;
            }
            9..18 if rig.unanswered.is_empty() => {}
            9..18 => {
                rig.hss.mar = any_mood(rng);
                rig.hss.sar = any_mood(rng);
                rig.hss.user_data = rng.random_bool(0.75).then(|| {
                    let owner = if rng.random_bool(0.9) { ASKING } else { IMPI };
                    profile_of(owner, &[(TEMPORARY_IMPU, true), (IMPU, false)])
                });
                rig.answer_next();
            }
            // The HSS client gives up after seconds; a transaction that nobody answers ends after minutes.
            18 if !rig.unanswered.is_empty() => rig.advance(secs(rng.random_range(0..11))),
            18 => rig.advance(secs(rng.random_range(0..90))),
            _ if rng.random_bool(0.2) => {
                let push = terminate(rng);
                rig.push(push);
            }
            _ => {}
        }
        self.count(rig);
    }

    fn count(&mut self, rig: &mut Rig) {
        for response in rig.responses.drain(..) {
            assert!(self.answered.insert(branch_of(&response)), "answered twice");
            if status(&response) == 401 {
                self.nonces.push(nonce_of(&response));
            }
        }
        rig.node.registrar.check();
    }
}

fn outcomes(rig: &Rig) -> BTreeSet<String> {
    let mut metrics = Metrics::default();
    rig.node.metrics(&mut metrics);
    metrics
        .iter()
        .filter(|(name, ..)| *name == "ims_scscf_registers_total")
        .map(|(_, labels, ..)| labels[0].1.clone())
        .collect()
}

/// Gives what the seed has been through; every assertion names it.
fn run(seed: u64) -> BTreeSet<String> {
    let mut rng = Seed::from_number(seed).rng(1);
    let mut rig = Rig::lab();
    rig.hss.answers = false;
    let mut tally = Tally::default();
    for _ in 0..400 {
        tally.step(&mut rig, &mut rng);
    }
    rig.hss.answers = true;
    while !rig.unanswered.is_empty() {
        rig.answer_next();
    }
    tally.count(&mut rig);
    assert_eq!(tally.answered.len(), tally.sent, "SEED={seed}");
    rig.advance(secs(700_000));
    for gauge in [
        "ims_scscf_bindings",
        "ims_scscf_challenges",
        "ims_scscf_in_progress",
    ] {
        assert_eq!(rig.gauge(gauge), 0, "{gauge} SEED={seed}");
    }
    assert!(rig.node.busy.is_empty(), "SEED={seed}");
    rig.node.registrar.check();
    outcomes(&rig)
}

#[test]
fn every_register_is_answered_once_and_the_tables_agree_with_each_other() {
    let seen: BTreeSet<String> = (0..80).flat_map(run).collect();
    for outcome in [
        "challenged",
        "challenge_repeated",
        "registered",
        "refreshed",
        "deregistered",
        "queried",
        "wrong_response",
        "unknown_here",
        "out_of_order",
        "not_bound",
        "foreign_profile",
        "profile_missing",
        "hss_refused",
        "hss_unavailable",
        "overloaded",
    ] {
        assert!(seen.contains(outcome), "{outcome} never happened in {seen:?}");
    }
}
