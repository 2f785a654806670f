//! Engine: what a REGISTER is, by its protection and the challenge that waits for it.
//!
//! TS 24.229 5.4.1.2.1, 5.4.1.2.1A, 5.4.1.2.2, 5.4.1.2.2A, 5.4.1.2.3A.

use std::time::{Duration, Instant};

use ims_common::aka::Auts;

use super::request::{ChallengeAnswer, Protection, Register};
use crate::challenges::{Challenge, Progress, Secret};
use crate::config::{ReauthenticatePolicy, UnprotectedResponse};

/// What to do with a REGISTER.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Class {
    /// Begin authentication: MAR, then 401.
    Authenticate,
    /// The challenged REGISTER again in a new transaction: the same 401 again.
    RepeatChallenge,
    /// An answer to the pending AKA challenge: compare.
    VerifyAka,
    /// An answer to a SIP Digest nonce of ours: compare.
    VerifyDigest,
    /// A synchronisation failure.
    Resynchronise(Auts),
    /// The UE answered without a response: it refused the challenge.
    Refusal,
    /// Protected, nothing pending: served without a challenge.
    AcceptProtected,
    /// Protected, but its private identity is not registered here.
    UnknownHere,
}

impl Class {
    /// What the log says; AUTS is nobody's business.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::RepeatChallenge => "repeat_challenge",
            Self::VerifyAka => "verify_aka",
            Self::VerifyDigest => "verify_digest",
            Self::Resynchronise(_) => "resynchronise",
            Self::Refusal => "refusal",
            Self::AcceptProtected => "accept_protected",
            Self::UnknownHere => "unknown_here",
        }
    }
}

/// What the node knows besides the REGISTER and the challenge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) now: Instant,
    /// The private identity has a contact here.
    pub(crate) known: bool,
    /// When it last proved itself for this identity.
    pub(crate) authenticated_at: Option<Instant>,
    /// The network wants it to prove itself anew (TS 24.229 5.4.1.6).
    pub(crate) awaits_proof: bool,
    pub(crate) reauthenticate: ReauthenticatePolicy,
    pub(crate) unprotected_response: UnprotectedResponse,
}

/// Decides. Total: every REGISTER is something.
pub(crate) fn classify(register: &Register, pending: Option<&Challenge>, situation: &Situation) -> Class {
    let Some(challenge) = pending else {
        return by_protection(register, situation);
    };
    match &challenge.secret {
        Secret::Digest { .. } => against_digest(register, challenge, situation),
        Secret::Aka(_) if challenge.call_id == register.call_id => {
            against_aka(register, challenge, situation)
        }
        // TS 24.229 5.4.1.2.2: another Call-ID is no answer; the REGISTER is what it is by itself.
        Secret::Aka(_) => by_protection(register, situation),
    }
}

/// The Call-ID is that of the 401.
fn against_aka(register: &Register, challenge: &Challenge, situation: &Situation) -> Class {
    let is_repetition = register.cseq == challenge.cseq;
    let names_challenge = names(register, challenge);
    match (&register.answer, register.protection) {
        (ChallengeAnswer::Auts { auts, .. }, _) if names_challenge => Class::Resynchronise(*auts),
        (ChallengeAnswer::Refusal { .. }, _) if names_challenge => Class::Refusal,
        (ChallengeAnswer::Response { .. }, Protection::Protected) if names_challenge => Class::VerifyAka,
        // AU-11: over an unprotected path the answer proves nothing about who will use the keys. Only an
        // operator whose access network does without IPsec may say otherwise.
        (ChallengeAnswer::Response { .. }, Protection::Unprotected | Protection::Association)
            if names_challenge =>
        {
            match situation.unprotected_response {
                UnprotectedResponse::Accept => Class::VerifyAka,
                UnprotectedResponse::Refuse => Class::Authenticate,
            }
        }
        (_, _) if is_repetition => Class::RepeatChallenge,
        // An old nonce, or none, is no answer to this challenge: authentication starts again.
        (
            ChallengeAnswer::None
            | ChallengeAnswer::Auts { .. }
            | ChallengeAnswer::Refusal { .. }
            | ChallengeAnswer::Response { .. },
            _,
        ) => Class::Authenticate,
    }
}

/// Whether the REGISTER says the nonce of the challenge because of the challenge. AU-15: what the challenged
/// REGISTER had said already is no answer; some HSSs give the same nonce twice. (A USIM says the same AUTS
/// again in the next REGISTER when the challenge is the same again.)
fn names(register: &Register, challenge: &Challenge) -> bool {
    let is_later = match &register.answer {
        ChallengeAnswer::Auts { .. } | ChallengeAnswer::Refusal { .. } => register.cseq != challenge.cseq,
        ChallengeAnswer::Response { .. } | ChallengeAnswer::None => false,
    };
    let is_new = is_later || register.answer != challenge.carried;
    is_new && register.answer.nonce() == Some(challenge.nonce.as_bytes())
}

fn against_digest(register: &Register, challenge: &Challenge, situation: &Situation) -> Class {
    let names_challenge = register.answer.nonce() == Some(challenge.nonce.as_bytes());
    let is_answer = match challenge.progress {
        Progress::Unanswered => challenge.call_id == register.call_id,
        Progress::InUse { .. } => true,
    };
    let is_response = matches!(register.answer, ChallengeAnswer::Response { .. });
    let is_repetition = challenge.progress == Progress::Unanswered && register.cseq == challenge.cseq;
    if is_answer && names_challenge && is_response {
        Class::VerifyDigest
    } else if is_answer && is_repetition {
        Class::RepeatChallenge
    } else {
        by_protection(register, situation)
    }
}

fn by_protection(register: &Register, situation: &Situation) -> Class {
    match register.protection {
        Protection::Unprotected | Protection::Association => Class::Authenticate,
        Protection::Protected if !situation.known => Class::UnknownHere,
        Protection::Protected if situation.awaits_proof || must_reauthenticate(situation) => {
            Class::Authenticate
        }
        Protection::Protected => Class::AcceptProtected,
    }
}

/// TS 24.229 5.4.1.2.2: a protected REGISTER may be challenged by policy.
fn must_reauthenticate(situation: &Situation) -> bool {
    match situation.reauthenticate {
        ReauthenticatePolicy::Never => false,
        ReauthenticatePolicy::Always => true,
        ReauthenticatePolicy::Interval(interval) => {
            let since = situation
                .authenticated_at
                .map_or(Duration::MAX, |at| situation.now.saturating_duration_since(at));
            since >= interval
        }
    }
}
