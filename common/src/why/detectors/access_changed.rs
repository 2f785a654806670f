//! Engine: a phone comes from another address than before.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "access-changed",
    title: "The phone moved to another access",
    signal: "REGISTERs of one subscriber from two addresses, the earlier registration not ended",
    example: "The phone moved from 192.0.2.14 to 192.0.2.50 without leaving: its old security associations \
              and contact are of no use any more, and it has registered anew.",
    weight: 15,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let registers: Vec<&Entry> = case
        .newest(|entry| entry.is_request("REGISTER") && entry.is_gm() && entry.is_heard())
        .collect();
    let Some(newest) = registers.first() else {
        return Vec::new();
    };
    let before = registers.iter().find(|entry| address(entry) != address(newest));
    before
        .and_then(|before| moved(case, before, newest))
        .into_iter()
        .collect()
}

fn moved(case: &Case, before: &Entry, newest: &Entry) -> Option<Finding> {
    // Who has left may come from wherever he likes.
    if before.get(Fact::Expires) == Some("0") {
        return None;
    }
    let first_there = case.entries.iter().find(|entry| {
        entry.at > before.at
            && entry.is_request("REGISTER")
            && entry.is_gm()
            && address(entry) == address(newest)
    })?;
    let was_registered = case
        .story(before)
        .any(|entry| entry.at <= first_there.at && entry.answer_to("REGISTER") == Some(200));
    let access = newest
        .get(Fact::AccessNetwork)
        .and_then(|it| it.split(';').next())
        .map(|it| format!(" ({it})"))
        .unwrap_or_default();
    let is_in_again = case
        .after(first_there.at)
        .any(|entry| entry.answer_to("REGISTER") == Some(200));
    let outcome = match is_in_again {
        true => "and it has registered anew",
        false => "and it has not registered anew yet",
    };
    was_registered.then(|| {
        let cause = format!(
            "The phone moved from {} to {}{access} without leaving: its old security associations and contact are of no use any \
             more, {outcome}",
            address(before).unwrap_or_default(),
            address(newest).unwrap_or_default(),
        );
        Finding::new(first_there, cause, "").and(before)
    })
}

fn address(entry: &Entry) -> Option<String> {
    Some(entry.sip()?.peer.ip().to_string())
}
