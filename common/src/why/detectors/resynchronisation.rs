//! Engine: the sequence number of a SIM and that of the HSS do not come together.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::registers::{ANSWER_SECS, Registering};

pub(super) const DETECTOR: Detector = Detector {
    name: "resynchronisation",
    title: "The HSS does not follow the sequence number of the SIM",
    signal: "REGISTERs with auts, one after the other, and no registration",
    example: "The SIM of IMSI 001010000000001 asked 2 times for another sequence number (SQN), and each new challenge was out of \
              its range again: the HSS did not resynchronise; check Ki and OPc of this SIM in the HSS (with wrong ones it cannot \
              read what the SIM asks), then set its SQN there higher.",
    weight: 82,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let granted = registers.iter().filter_map(Registering::granted_at).max();
    let asked: Vec<&Registering<'_>> = registers
        .iter()
        .filter(|it| it.resynchronises() && granted.is_none_or(|at| it.request.at > at))
        .collect();
    let Some(last) = asked.last() else {
        return Vec::new();
    };
    if case.is_granted_after(last.request.at) {
        return Vec::new();
    }
    match (asked.len(), last.answer) {
        (1, Some(answer)) if answer.secs_until(case.now) >= ANSWER_SECS => vec![once(case, answer)],
        (1, _) => Vec::new(),
        _ => vec![again(case, &asked, last.request)],
    }
}

fn again(case: &Case, asked: &[&Registering<'_>], last: &Entry) -> Finding {
    let marks: Vec<_> = asked.iter().map(|it| it.request.get(Fact::NonceMark)).collect();
    let is_repeated = marks
        .iter()
        .zip(marks.iter().skip(1))
        .any(|(one, next)| one == next);
    let (what, remedy) = match is_repeated {
        true => (
            "was given the same challenge again",
            "look at the HSS: it has to make a new vector when it is sent RAND and AUTS",
        ),
        false => (
            "each new challenge was out of its range again",
            "check Ki and OPc of this SIM in the HSS (with wrong ones it cannot read what the SIM asks), then set its SQN there \
             higher",
        ),
    };
    Finding::new(
        last,
        format!(
            "The SIM of {} asked {} times for another sequence number (SQN), and {what}: the HSS did not resynchronise",
            case.subscriber(),
            asked.len(),
        ),
        remedy,
    )
}

fn once(case: &Case, answer: &Entry) -> Finding {
    let status = answer.answer_to("REGISTER").unwrap_or_default();
    let (what, remedy) = match status {
        401 => (
            "did not answer the challenge that followed".to_owned(),
            "check AMF and SQN of this SIM in the HSS",
        ),
        _ => (
            format!("was refused with {status}"),
            "check Ki and OPc of this SIM in the HSS: with wrong ones it cannot read what the SIM asks",
        ),
    };
    Finding::new(
        answer,
        format!(
            "The SIM of {} asked for another sequence number (SQN) than the HSS's, and the handset {what}",
            case.subscriber()
        ),
        remedy,
    )
}
