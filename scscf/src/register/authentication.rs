//! Procedure: the authentication part of a REGISTER: MAR, 401, and what the UE makes of it.
//!
//! TS 24.229 5.4.1.2.1 to 5.4.1.2.3A; TS 29.228 6.3; RFC 3310; TS 33.203 6.1, Annex N.

use std::time::Instant;

use bytes::Bytes;
use hss_client::cx::{AuthItem, AuthScheme, CxRequest, DigestHa1, Maa, Mar, ServerAssignmentType};
use ims_common::aka::{self, AkaVersion, Auts, DigestHash, DigestInput, DigestReject, Ha1};

use super::classify::{Class, Situation, classify};
use super::request::{Protection, Register};
use super::{Await, Outcome, Proof, Step, accept, answer};
use crate::challenges::{Attempts, Challenge, Progress, Secret};
use crate::context::{Context, Notice};
use crate::registrar::ImplicitRegistrationSet;
use crate::reject::RegisterReject;
use crate::spelling::may_mean_a_registered_one;

/// Fresh vectors after synchronisation failures, per attempt (TS 24.229 5.4.1.2.3A).
const RESYNCHRONISATIONS_MAX: u8 = 2;
/// Fresh challenges after answers without a response, per attempt (TS 24.229 5.4.1.2.3A).
const REFUSALS_MAX: u8 = 2;

/// The challenge to be made when the MAA is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issue {
    attempts: Attempts,
    outcome: Outcome,
}

/// TS 24.229 5.4.1.2.1: what is this REGISTER?
pub(super) fn start(ctx: &mut Context<'_>, register: &Register) -> Result<Step, RegisterReject> {
    let pending = ctx.challenges.get(&register.impi);
    let set = ctx.registrar.set_of(&register.impu);
    let situation = Situation {
        now: ctx.now,
        known: ctx.registrar.knows(&register.impi),
        authenticated_at: set.and_then(|set| set.authenticated_at(&register.impi)),
        awaits_proof: set.is_some_and(|set| set.awaits_proof_of(&register.impi)),
        reauthenticate: ctx.settings.registration.reauthenticate,
        unprotected_response: ctx.settings.registration.unprotected_response,
    };
    let class = classify(register, pending, &situation);
    let (impi, class_label) = (&register.impi, class.label());
    tracing::debug!(?impi, protection = ?register.protection, class = class_label, "REGISTER classified");
    match class {
        Class::Authenticate => Ok(authenticate(ctx, register)),
        Class::RepeatChallenge => repeat_challenge(ctx, register),
        Class::VerifyAka => verify_aka(ctx, register),
        Class::VerifyDigest => verify_digest(ctx, register),
        Class::Resynchronise(auts) => resynchronise(ctx, register, auts),
        Class::Refusal => challenge_again(ctx, register),
        Class::AcceptProtected => accept(ctx, register, Proof::Protection, None),
        Class::UnknownHere => Err(RegisterReject::UnknownHere),
    }
}

/// TS 24.229 5.4.1.2.1: a new authentication makes a pending challenge void.
fn authenticate(ctx: &mut Context<'_>, register: &Register) -> Step {
    ctx.challenges.take(&register.impi);
    let issue = Issue {
        attempts: Attempts::default(),
        outcome: Outcome::Challenged,
    };
    ask_for_vector(ctx, register, issue, None, None)
}

fn repeat_challenge(ctx: &Context<'_>, register: &Register) -> Result<Step, RegisterReject> {
    let challenge = pending(ctx, register)?;
    let response = answer::challenge(ctx, register, &challenge);
    Ok(Step::Answer(Outcome::ChallengeRepeated, response))
}

/// TS 24.229 5.4.1.2.3A, TS 29.228 6.3.1: RAND and AUTS go to the HSS, only in answer to a challenge of ours.
fn resynchronise(ctx: &mut Context<'_>, register: &Register, auts: Auts) -> Result<Step, RegisterReject> {
    let mut challenge = pending(ctx, register)?;
    let Secret::Aka(vector) = &challenge.secret else {
        return Err(RegisterReject::Internal);
    };
    let authorization = Bytes::copy_from_slice(&auts.authorization(&vector.rand));
    challenge.attempts.resynchronisations += 1;
    if challenge.attempts.resynchronisations > RESYNCHRONISATIONS_MAX {
        give_up(ctx, register, challenge.hss_host);
        return Err(RegisterReject::TooManyResynchronisations);
    }
    ctx.challenges.take(&register.impi);
    let issue = Issue {
        attempts: challenge.attempts,
        outcome: Outcome::Resynchronised,
    };
    Ok(ask_for_vector(
        ctx,
        register,
        issue,
        Some(authorization),
        challenge.hss_host,
    ))
}

/// TS 24.229 5.4.1.2.3A: the UE did not believe the network; 401 to try again, or 403 to abandon.
fn challenge_again(ctx: &mut Context<'_>, register: &Register) -> Result<Step, RegisterReject> {
    let mut challenge = pending(ctx, register)?;
    challenge.attempts.refusals += 1;
    if challenge.attempts.refusals > REFUSALS_MAX {
        give_up(ctx, register, challenge.hss_host);
        return Err(RegisterReject::NetworkRefused);
    }
    ctx.challenges.take(&register.impi);
    let issue = Issue {
        attempts: challenge.attempts,
        outcome: Outcome::ChallengedAgain,
    };
    Ok(ask_for_vector(ctx, register, issue, None, challenge.hss_host))
}

/// TS 24.229 5.4.1.2.2: stops reg-await-auth and compares.
fn verify_aka(ctx: &mut Context<'_>, register: &Register) -> Result<Step, RegisterReject> {
    let challenge = ctx
        .challenges
        .take(&register.impi)
        .ok_or(RegisterReject::Internal)?;
    let Secret::Aka(vector) = &challenge.secret else {
        return Err(RegisterReject::Internal);
    };
    let checked = with_digest_input(register, |input| {
        let is_v2 = input.algorithm.as_deref().is_some_and(is_akav2_sha256);
        let version = if is_v2 && ctx.settings.registration.akav2 {
            AkaVersion::V2Sha256
        } else {
            AkaVersion::V1Md5
        };
        aka::verify_aka(input, vector, version)
    })?;
    match checked {
        Ok(_) => {
            let proof = Proof::Response {
                authentication_info: None,
            };
            accept(ctx, register, proof, challenge.hss_host)
        }
        Err(reject) => {
            // TS 24.229 5.4.1.2.3A: registrations stay as they are.
            give_up(ctx, register, challenge.hss_host);
            Err(RegisterReject::WrongResponse(reject))
        }
    }
}

fn is_akav2_sha256(algorithm: &[u8]) -> bool {
    algorithm.eq_ignore_ascii_case(AkaVersion::V2Sha256.token().as_bytes())
}

/// TS 24.229 5.4.1.2.2A: SIP Digest, with nonce count and staleness (RFC 7616 3.3, 3.4).
fn verify_digest(ctx: &mut Context<'_>, register: &Register) -> Result<Step, RegisterReject> {
    let challenge = pending(ctx, register)?;
    let Secret::Digest { ha1s, .. } = &challenge.secret else {
        return Err(RegisterReject::Internal);
    };
    let checked = with_digest_input(register, |input| check_digest(input, ha1s))?;
    let (count, authentication_info) = match checked {
        Ok(checked) => checked,
        Err(reject) => {
            if challenge.progress == Progress::Unanswered {
                give_up(ctx, register, challenge.hss_host);
            }
            return Err(RegisterReject::WrongResponse(reject));
        }
    };
    if !is_fresh(challenge.progress, count, ctx.now) {
        ctx.challenges.take(&register.impi);
        let issue = Issue {
            attempts: Attempts::default(),
            outcome: Outcome::ChallengedStale,
        };
        return Ok(ask_for_vector(ctx, register, issue, None, challenge.hss_host));
    }
    ctx.challenges.keep_in_use(ctx.now, &register.impi, count);
    let proof = Proof::Response { authentication_info };
    accept(ctx, register, proof, challenge.hss_host)
}

/// Nonce count and Authentication-Info of a right response.
fn check_digest(input: &DigestInput<'_>, ha1s: &[Ha1]) -> Result<(u32, Option<String>), DigestReject> {
    let named = input.algorithm.as_deref().unwrap_or(b"MD5");
    let ha1 = ha1s
        .iter()
        .find(|ha1| named.eq_ignore_ascii_case(ha1.hash().token().as_bytes()))
        .ok_or(DigestReject::AlgorithmMismatch)?;
    aka::verify_digest(input, ha1)?;
    let info = input.authentication_info(ha1)?;
    let count = match input.qop()? {
        // Without qop nothing counts the uses of a nonce: once only.
        None => u32::MAX,
        Some(_) => input.nonce_count().ok_or(DigestReject::MissingCnonce)?,
    };
    Ok((count, info))
}

fn is_fresh(progress: Progress, count: u32, now: Instant) -> bool {
    match progress {
        Progress::Unanswered => count > 0,
        Progress::InUse {
            nonce_count,
            fresh_until,
        } => count > nonce_count && now < fresh_until,
    }
}

fn with_digest_input<T>(
    register: &Register,
    check: impl FnOnce(&DigestInput<'_>) -> T,
) -> Result<T, RegisterReject> {
    match register.request.authorization() {
        Ok(Some(credentials)) => {
            let body = register.request.body();
            Ok(check(&DigestInput::of(&credentials, b"REGISTER", body)))
        }
        Ok(None) | Err(_) => Err(RegisterReject::Malformed("Authorization")),
    }
}

fn pending(ctx: &Context<'_>, register: &Register) -> Result<Challenge, RegisterReject> {
    let challenge = ctx.challenges.get(&register.impi).cloned();
    challenge.ok_or(RegisterReject::Internal)
}

/// TS 29.228 6.1.2: the HSS learns of the failure unless the identity stays registered, by whomever: some
/// HSSs would de-register the identity, and a stranger could have it de-registered by failing in its name.
fn give_up(ctx: &mut Context<'_>, register: &Register, hss_host: Option<String>) {
    ctx.challenges.take(&register.impi);
    if may_mean_a_registered_one(ctx.registrar, &ctx.settings.home_realm, &register.impu) {
        return;
    }
    ctx.notices.push(Notice {
        impi: register.impi.clone(),
        impu: register.impu.clone(),
        assignment_type: ServerAssignmentType::AuthenticationFailure,
        hss_host,
    });
}

/// TS 29.228 6.3.1. One vector per MAR: stored ones go stale when another domain uses the same SQN.
fn ask_for_vector(
    ctx: &Context<'_>,
    register: &Register,
    issue: Issue,
    authorization: Option<Bytes>,
    hss_host: Option<String>,
) -> Step {
    let held = ctx.registrar.set_of(&register.impu);
    let mar = Mar {
        user_name: register.impi.clone(),
        public_identity: register.impu.clone(),
        scheme: scheme_of(register),
        authorization,
        server_name: ctx.settings.server_name.to_string(),
        destination_host: hss_host.or_else(|| held.and_then(ImplicitRegistrationSet::hss_host)),
    };
    Step::Ask(CxRequest::Mar(mar), Await::Maa(issue))
}

/// TS 29.229 6.3.9: `Unknown` where the REGISTER does not look like AKA; the MAA decides anyway.
fn scheme_of(register: &Register) -> AuthScheme {
    match register.protection {
        Protection::Association => AuthScheme::Unknown,
        Protection::Unprotected | Protection::Protected if register.plain_digest => AuthScheme::Unknown,
        Protection::Unprotected | Protection::Protected => AuthScheme::DigestAkaV1Md5,
    }
}

/// TS 24.229 5.4.1.2.1A, 5.4.1.2.1B.
pub(super) fn on_maa(
    ctx: &mut Context<'_>,
    register: &Register,
    issue: Issue,
    maa: Maa,
) -> Result<Step, RegisterReject> {
    if !maa.result.is_success() {
        return Err(RegisterReject::of_result(maa.result));
    }
    let (nonce, secret) = secret_of(ctx, maa.items)?;
    let challenge = Challenge {
        impu: register.impu.clone(),
        call_id: register.call_id.clone(),
        cseq: register.cseq,
        carried: register.answer.clone(),
        nonce,
        secret,
        attempts: issue.attempts,
        stale: issue.outcome == Outcome::ChallengedStale,
        progress: Progress::Unanswered,
        hss_host: Some(maa.origin_host).filter(|host| !host.is_empty()),
    };
    let response = answer::challenge(ctx, register, &challenge);
    ctx.challenges
        .issue(ctx.now, &register.impi, challenge)
        .map_err(|_| RegisterReject::Overloaded)?;
    Ok(Step::Answer(issue.outcome, response))
}

/// The first item that can be used; the scheme is what the HSS says, not what was asked.
fn secret_of(ctx: &mut Context<'_>, items: Vec<AuthItem>) -> Result<(String, Secret), RegisterReject> {
    let mut reason = "no item";
    for item in items {
        match item {
            AuthItem::Aka(vector) => return Ok((vector.nonce(), Secret::Aka(vector))),
            AuthItem::Digest(digest) => {
                let ha1s = ha1s_of(&digest);
                if !ha1s.is_empty() {
                    let realm = digest.realm;
                    return Ok((ctx.fresh_token(), Secret::Digest { realm, ha1s }));
                }
                reason = "H(A1)";
            }
            AuthItem::Unusable(why) => reason = why,
        }
    }
    Err(RegisterReject::NoUsableVector(reason))
}

/// RFC 8760 2.4: the stronger algorithm first.
fn ha1s_of(digest: &DigestHa1) -> Vec<Ha1> {
    let is_sha256 = |name: &String| name.eq_ignore_ascii_case(DigestHash::Sha256.token());
    let main = if digest.algorithm.as_ref().is_some_and(is_sha256) {
        DigestHash::Sha256
    } else {
        DigestHash::Md5
    };
    let alternate = digest
        .ha1_sha256
        .as_ref()
        .and_then(|ha1| Ha1::from_hex(DigestHash::Sha256, ha1.expose().as_bytes()));
    let main = Ha1::from_hex(main, digest.ha1.expose().as_bytes());
    alternate.into_iter().chain(main).collect()
}
