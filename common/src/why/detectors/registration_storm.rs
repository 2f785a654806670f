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
    signal: "503 with Retry-After to a REGISTER, made by the node itself",
    example: "Registration storm: P-CSCF refused the REGISTER with 503 and Retry-After 3 s; \
              throttling at 20/s, 10 refused, Retry-After 3-3 s; nothing to do, phones come back by themselves, one \
              after the other; if it lasts, give the node more cores (shards) or \
              look at the HSS.",
    weight: 55,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let mut refused = case.newest(|entry| entry.answer_to("REGISTER") == Some(503) && !entry.is_heard());
    let made_here = refused.find(|entry| {
        entry.get(Fact::RetryAfter).is_some()
            && !case.story(entry).any(|other| {
                // Somebody else's answer is only passed on.
                other.node == entry.node
                    && other.is_heard()
                    && other.at <= entry.at
                    && other.answer_to("REGISTER") == Some(503)
                    && other.sip().map(|it| it.cseq) == entry.sip().map(|it| it.cseq)
            })
    });
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
