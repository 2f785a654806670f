//! Engine: a number or identity that was called has no subscriber, or one that is not registered.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "callee-unknown",
    title: "The callee is unknown, or known and not registered",
    signal: "LIA with 5001 (unknown) or 5003 (not registered), or without a Server-Name",
    example: "No such subscriber: the HSS does not know sip:15550009@ims.mnc001.mcc001.3gppnetwork.org (5001 to the LIR); \
              provision the identity or correct the number.",
    weight: 60,
    detect,
};

/// DIAMETER_ERROR_USER_UNKNOWN (TS 29.229 6.2.2.1).
const USER_UNKNOWN: u32 = 5_001;
/// DIAMETER_ERROR_IDENTITY_NOT_REGISTERED (TS 29.229 6.2.2.3).
const NOT_REGISTERED: u32 = 5_003;

fn detect(case: &Case) -> Vec<Finding> {
    let answer = case.newest(|entry| entry.is_diameter("LIA")).next();
    let Some(answer) = answer else {
        return Vec::new();
    };
    let asked = case
        .story(answer)
        .filter(|entry| entry.at <= answer.at && entry.is_diameter("LIR"))
        .last();
    let identity = asked.and_then(|it| it.get(Fact::Impu)).unwrap_or("the identity");
    finding(answer, identity).into_iter().collect()
}

fn finding(answer: &Entry, identity: &str) -> Option<Finding> {
    match answer.diameter()?.result? {
        USER_UNKNOWN => Some(Finding::new(
            answer,
            format!("No such subscriber: the HSS does not know {identity} (5001 to the LIR)"),
            "provision the identity or correct the number",
        )),
        NOT_REGISTERED => Some(Finding::new(
            answer,
            format!("{identity} is known and not registered (5003 to the LIR)"),
            "the phone has to register first; look at its own registrations",
        )),
        _ => None,
    }
}
