//! Engine: a phone registered and then said nothing, not even its subscription to its registration state.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::registers::{ANSWER_SECS, Registering};

use super::challenge_unanswered::is_aka;

pub(super) const DETECTOR: Detector = Detector {
    name: "no-reg-subscription",
    title: "The handset registers and does not subscribe to its registration",
    signal: "a first 200 (OK) to a REGISTER with AKA, and nothing from the handset for 10 s: no SUBSCRIBE, no call, no message",
    example: "The handset of IMSI 001010000000001 was registered and has said nothing for 10 s, not even its SUBSCRIBE to reg: \
              its identities (P-Associated-URI) have no number, sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org is all; \
              give the subscriber an MSISDN in the HSS, as a tel URI and as a SIP URI that is not barred.",
    weight: 40,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let Some((place, granted)) = registers
        .iter()
        .enumerate()
        .rev()
        .find(|(_, it)| it.granted_at().is_some())
    else {
        return Vec::new();
    };
    let Some(answer) = granted.answer else {
        return Vec::new();
    };
    let is_first = !registers
        .iter()
        .take(place)
        .any(|it| it.granted_at().is_some() && it.request.call_id == granted.request.call_id);
    let says_more = |entry: &Entry| entry.is_gm() && entry.is_heard();
    let is_silent = is_first
        && is_aka(granted.request)
        && answer.secs_until(case.now) >= ANSWER_SECS
        && answer.sip().is_some_and(|step| step.again == 0)
        && !case.after(answer.at).any(says_more);
    match is_silent {
        true => vec![finding(case, granted, answer)],
        false => Vec::new(),
    }
}

fn finding(case: &Case, granted: &Registering<'_>, answer: &Entry) -> Finding {
    let uris = answer.get(Fact::AssociatedUris).unwrap_or_default();
    let has_number = uris
        .split(' ')
        .any(|uri| uri.starts_with("tel:") || uri.starts_with("sip:+"));
    let (why, remedy) = match (uris, has_number) {
        ("", _) => (
            "it was told no identity (P-Associated-URI)".to_owned(),
            "give the subscriber a public identity that is not barred in the HSS",
        ),
        (_, false) => (
            format!("its identities (P-Associated-URI) have no number, {uris} is all"),
            "give the subscriber an MSISDN in the HSS, as a tel URI and as a SIP URI that is not barred",
        ),
        (_, true) => (
            format!("its identities are {uris}"),
            "calls may work all the same; if they do not, the handset is not content with the 200 (OK): look at its log, or give \
             it another carrier profile",
        ),
    };
    let cause = format!(
        "The handset of {} was registered and has said nothing for {ANSWER_SECS} s, not even its SUBSCRIBE to reg: {why}",
        case.subscriber()
    );
    Finding::new(answer, cause, remedy).and(granted.request)
}
