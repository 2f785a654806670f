//! Engine: a phone answered the challenge, and the answer is wrong.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::registers::Registering;

use super::challenge_unanswered::is_aka;

pub(super) const DETECTOR: Detector = Detector {
    name: "wrong-response",
    title: "The handset's answer to the challenge is wrong",
    signal: "a REGISTER with a response to the last challenge that the S-CSCF refuses with 403, while the HSS refuses nothing",
    example: "The handset of IMSI 001010000000001 answered the challenge, and the answer is wrong (it says AKAv1-MD5, the \
              challenge was AKAv1-MD5): it computed RES with other keys or in another way than the HSS; check Ki and OPc of this \
              SIM in the HSS; a test client has to take RES as octets for its password, not in hex and not Ki.",
    weight: 85,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_at_the_scscf();
    let refused = registers
        .iter()
        .rev()
        .find(|it| it.responds() && it.status() == Some(403));
    let Some((refused, answer)) = refused.and_then(|it| Some((it, it.answer?))) else {
        return Vec::new();
    };
    let Some(challenge) = challenge_of(&registers, refused.request) else {
        return Vec::new();
    };
    let hss_refuses = |entry: &Entry| {
        let result = entry.diameter().and_then(|step| step.result);
        entry.at >= refused.request.at && result.is_some_and(|it| it / 1_000 != 2)
    };
    if case.story(refused.request).any(hss_refuses) || case.is_granted_after(answer.at) {
        return Vec::new();
    }
    vec![finding(case, refused.request, challenge)]
}

fn challenge_of<'a>(registers: &[Registering<'a>], answer: &Entry) -> Option<&'a Entry> {
    let challenges = registers.iter().filter(|it| it.status() == Some(401));
    let mark = answer.get(Fact::NonceMark)?;
    challenges
        .filter_map(|it| it.answer)
        .find(|it| it.get(Fact::NonceMark) == Some(mark))
}

fn finding(case: &Case, answer: &Entry, challenge: &Entry) -> Finding {
    let algorithm = |entry: &Entry| entry.get(Fact::Algorithm).unwrap_or("MD5").to_owned();
    let said = algorithm(answer);
    // A client may choose among several algorithms of SIP Digest.
    let asked = match is_aka(challenge) || is_aka(answer) {
        true => algorithm(challenge),
        false => said.clone(),
    };
    let (why, remedy) = match (said.eq_ignore_ascii_case(&asked), is_aka(challenge)) {
        (false, _) => (
            "it used another algorithm",
            "set the algorithm of the challenge in the client, or give the subscriber the other scheme in the HSS",
        ),
        (true, true) => (
            "it computed RES with other keys or in another way than the HSS",
            "check Ki and OPc of this SIM in the HSS; a test client has to take RES as octets for its password, not in hex and \
             not Ki",
        ),
        (true, false) => (
            "it has another password than the HSS",
            "check the password, and that user name and realm of the client are those of the HSS",
        ),
    };
    Finding::new(
        answer,
        format!(
            "The handset of {} answered the challenge, and the answer is wrong (it says {said}, the challenge was {asked}): {why}",
            case.subscriber()
        ),
        remedy,
    )
    .and(challenge)
}
