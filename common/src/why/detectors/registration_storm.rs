//! Engine: registrations were refused because too many came at once.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

use super::diameter_peer_down::name_of;

pub(super) const DETECTOR: Detector = Detector {
    name: "registration-storm",
    title: "Too many registrations at once",
    signal: "503 with Retry-After to a REGISTER, made by a node because there are too many",
    example: "Registration storm: P-CSCF refused the REGISTER with 503 and Retry-After 3 s; \
              throttling at 20/s, 10 refused, Retry-After 3-3 s; nothing to do, phones come back by themselves, one \
              after the other; if it lasts, give the node more cores (shards) or \
              look at the HSS.",
    weight: 55,
    detect,
};

/// Reasons of the node for refusing a REGISTER, when there are too many.
const REASONS: [&str; 3] = ["register_rate", "overload", "next_hop_overload"];

fn detect(case: &Case) -> Vec<Finding> {
    let mut refused = case.newest(|entry| entry.answer_to("REGISTER") == Some(503) && !entry.is_heard());
    let is_for_their_number = |entry: &&Entry| {
        case.reason_of_refusal(entry)
            .is_some_and(|it| REASONS.contains(&it))
    };
    let made_here = refused.find(is_for_their_number);
    made_here.map(|entry| finding(case, entry)).into_iter().collect()
}

fn finding(case: &Case, entry: &Entry) -> Finding {
    let throttled = case
        .site
        .iter()
        .rev()
        .find(|it| it.note() == Some(NoteKind::Throttled) && it.node == entry.node);
    let rate = throttled.and_then(|it| {
        Some((
            it.get(Fact::Limit)?,
            it.get(Fact::Count)?,
            it.get(Fact::RetryAfter)?,
        ))
    });
    let rate = rate
        .map(|(rate, count, range)| {
            format!("; throttling at {rate}/s, {count} refused, Retry-After {range} s")
        })
        .unwrap_or_default();
    Finding::new(
        entry,
        format!(
            "Registration storm: {} refused the REGISTER with 503 and Retry-After {} s{rate}",
            name_of(&entry.node),
            entry.get(Fact::RetryAfter).unwrap_or("?"),
        ),
        "nothing to do, phones come back by themselves, one after the other; if it lasts, give the node more \
          cores (shards) or look at the HSS",
    )
}
