//! Engine: a phone registers again and again.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::registers::Registering;

pub(super) const DETECTOR: Detector = Detector {
    name: "registration-loop",
    title: "The handset registers again and again",
    signal: "three registrations or more, each less than 60 s after the one before, though they last for longer",
    example: "The handset of IMSI 001010000000001 registers again and again: 4 times, every 25 s, though it was granted 600000 s: \
              it is not content with our 200 (OK) or NOTIFY (the last NOTIFY was answered 200); compare the 200 (OK) and the \
              NOTIFY with those of a handset that stays: identities, Service-Route, contacts.",
    weight: 76,
    detect,
};

/// A phone with a reason to register again so soon is not content.
const TOO_SOON_SECS: u64 = 60;
/// It registers again by right where registrations are short.
const SHORT_SECS: u64 = 120;
const TIMES_MIN: usize = 3;

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let granted = registers.iter().filter(|it| it.granted_at().is_some());
    let granted: Vec<&Entry> = granted.filter_map(|it| it.answer).collect();
    let mut row: Vec<&Entry> = Vec::new();
    for answer in granted.into_iter().rev() {
        let is_next = row
            .last()
            .is_none_or(|later| answer.secs_until(later.at) < TOO_SOON_SECS);
        let lasts = answer
            .facts
            .number(Fact::Expires)
            .is_none_or(|it| it > SHORT_SECS);
        if !is_next || !lasts {
            break;
        }
        row.push(answer);
    }
    match (row.first(), row.last()) {
        (Some(newest), Some(oldest)) if row.len() >= TIMES_MIN => {
            vec![finding(case, row.len(), oldest, newest, &registers)]
        }
        _ => Vec::new(),
    }
}

fn finding(
    case: &Case,
    times: usize,
    oldest: &Entry,
    newest: &Entry,
    registers: &[Registering<'_>],
) -> Finding {
    let gaps = u64::try_from(times.saturating_sub(1)).unwrap_or(u64::MAX).max(1);
    let gap = oldest.secs_until(newest.at) / gaps;
    let leaves = registers
        .iter()
        .any(|it| it.request.at > oldest.at && it.request.get(Fact::Expires) == Some("0"));
    let cause = format!(
        "The handset of {} registers again and again: {times} times, every {gap} s, though it was granted {} s{}: it is not \
         content with our 200 (OK) or NOTIFY ({})",
        case.subscriber(),
        newest.get(Fact::Expires).unwrap_or("longer"),
        if leaves { ", and leaves in between" } else { "" },
        last_notify(case)
    );
    let remedy = "compare the 200 (OK) and the NOTIFY with those of a handset that stays: identities, Service-Route, contacts";
    Finding::new(newest, cause, remedy).and(oldest)
}

fn last_notify(case: &Case) -> String {
    let is_notify = |entry: &Entry| entry.is_gm() && !entry.is_heard() && entry.is_request("NOTIFY");
    let Some(notify) = case.newest(is_notify).next() else {
        return "no NOTIFY was sent".to_owned();
    };
    let number = notify.sip().map(|step| step.cseq);
    let answer = case.story(notify).find_map(|entry| {
        let is_its = entry.is_gm() && entry.sip().map(|step| step.cseq) == number;
        entry
            .answer_to("NOTIFY")
            .filter(|status| *status >= 200 && is_its)
    });
    match answer {
        Some(status) => format!("the last NOTIFY was answered {status}"),
        None => "the last NOTIFY was not answered".to_owned(),
    }
}
