//! Engine: a phone did not answer the challenge, or said that it does not believe the network.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;
use crate::why::registers::{ANSWER_SECS, Registering, counted};

use super::esp_fails_authentication::NOT_DELIVERED;
use super::nat_before_us::translated;

pub(super) const DETECTOR: Detector = Detector {
    name: "challenge-unanswered",
    title: "The handset does not answer the challenge",
    signal: "401 (Unauthorized) to a REGISTER, and nothing from the handset for 10 s; or a REGISTER with an empty response",
    example: "The handset of IMSI 001010000000001 did not answer the challenge (AKAv1-MD5, IPsec hmac-sha-1-96/aes-cbc) within \
              10 s: it could not verify the network; check Ki, OP against OPc, and AMF of this SIM in the HSS.",
    weight: 80,
    detect,
};

/// Challenges of one attempt to register follow each other so closely.
const ATTEMPT_SECS: u64 = 300;

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let challenged = registers.iter().rev().find(|it| it.status() == Some(401));
    let Some(challenge) = challenged.and_then(|it| it.answer) else {
        return Vec::new();
    };
    let is_of_attempt = |it: &&Registering<'_>| it.request.secs_until(challenge.at) < ATTEMPT_SECS;
    let mut attempt = registers.iter().filter(is_of_attempt);
    let is_explained_otherwise = attempt.any(Registering::resynchronises)
        || registers
            .iter()
            .any(|it| it.is_about(challenge) && it.responds() && it.request.at >= challenge.at)
        || case.grown(&NOT_DELIVERED, challenge.at).is_some()
        || translated(case).is_some();
    if is_explained_otherwise || case.is_granted_after(challenge.at) {
        return Vec::new();
    }
    let disbelieving: Vec<_> = registers
        .iter()
        .filter(is_of_attempt)
        .filter(|it| it.disbelieves())
        .collect();
    match disbelieving.last() {
        Some(last) => vec![disbelieved(
            case,
            challenge,
            last.request,
            disbelieving.len() as u64,
        )],
        None if challenge.secs_until(case.now) >= ANSWER_SECS => vec![silent(case, challenge)],
        None => Vec::new(),
    }
}

fn silent(case: &Case, challenge: &Entry) -> Finding {
    let registers = case.registers_on_gm();
    let mut grants = registers.iter().filter_map(Registering::granted_at);
    // Keys that were right once still are.
    let was_granted = grants.any(|granted| granted < challenge.at);
    let (reason, remedy) = match (was_granted, is_aka(challenge)) {
        (true, _) => (
            "it was registered before, so it is gone, or the 401 was lost on the way",
            "look whether the handset is on and in coverage; if it is, whether the 401 reaches it",
        ),
        (false, true) => ("it could not verify the network", remedy(challenge)),
        (false, false) => (
            "it has no password, or does not do this algorithm",
            remedy(challenge),
        ),
    };
    let finding = Finding::new(
        challenge,
        format!(
            "The handset of {} did not answer the challenge ({}) within {ANSWER_SECS} s: {reason}",
            case.subscriber(),
            what_was_asked(challenge),
        ),
        remedy,
    );
    let note = case
        .after(challenge.at)
        .find(|it| it.note() == Some(NoteKind::AssociationsSilent));
    match note {
        Some(note) => finding.and(note),
        None => finding,
    }
}

fn disbelieved(case: &Case, challenge: &Entry, last: &Entry, times: u64) -> Finding {
    let cause = format!(
        "The handset of {} says that it could not verify the network: it gave {} without a response to the challenge ({})",
        case.subscriber(),
        counted(times, "answer", "answers"),
        what_was_asked(challenge)
    );
    Finding::new(last, cause, remedy(challenge)).and(challenge)
}

/// The algorithms of a challenge.
pub(super) fn what_was_asked(challenge: &Entry) -> String {
    let algorithm = challenge.get(Fact::Algorithm).unwrap_or("MD5");
    match challenge.get(Fact::SecurityServer) {
        Some(pairs) => format!("{algorithm}, IPsec {pairs}"),
        None => algorithm.to_owned(),
    }
}

pub(super) fn is_aka(entry: &Entry) -> bool {
    let algorithm = entry.get(Fact::Algorithm).unwrap_or_default();
    algorithm
        .get(..3)
        .is_some_and(|it| it.eq_ignore_ascii_case("AKA"))
}

fn remedy(challenge: &Entry) -> &'static str {
    match is_aka(challenge) {
        true => "check Ki, OP against OPc, and AMF of this SIM in the HSS",
        false => "check the password and the algorithms of this client",
    }
}
