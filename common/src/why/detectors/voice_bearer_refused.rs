//! Engine: the radio network or the packet core did not give, or took away, what the voice needs.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "voice-bearer-refused",
    title: "Radio or packet core refused or lost the voice bearer",
    signal: "580 (Precondition Failure) of a phone, a Reason that speaks of the bearer or of RTP, or a CANCEL within 3 s of a PRACK",
    example: "The voice bearer was refused: a phone answered the INVITE with 580 (Precondition Failure); look at the PCRF and \
              the SMF (rules for QCI 1, packet filters) and at the radio's admission.",
    weight: 70,
    detect,
};

const REMEDY: &str =
    "look at the PCRF and the SMF (rules for QCI 1, packet filters) and at the radio's admission";
/// A caller who gives up so soon after it has acknowledged the media has not thought about it.
const SOON_SECS: u64 = 3;

fn detect(case: &Case) -> Vec<Finding> {
    let found = case
        .newest(|entry| entry.is_gm() && entry.is_heard())
        .find_map(|entry| {
            refused(entry)
                .or_else(|| lost(entry))
                .or_else(|| cancelled_soon(case, entry))
        });
    found.into_iter().collect()
}

fn refused(entry: &Entry) -> Option<Finding> {
    let sip = entry.sip()?;
    (sip.status == Some(580)).then(|| {
        let reason = entry
            .get(Fact::Reason)
            .map(|it| format!(", {it}"))
            .unwrap_or_default();
        let cause = format!(
            "The voice bearer was refused: a phone answered the {} with 580 (Precondition Failure){reason}",
            sip.method
        );
        Finding::new(entry, cause, REMEDY)
    })
}

/// What phones say when their media is gone.
fn lost(entry: &Entry) -> Option<Finding> {
    let reason = entry.get(Fact::Reason)?;
    let text = reason.to_ascii_lowercase();
    let is_media = ["bearer", "rtp", "media", "qos", "radio"]
        .iter()
        .any(|word| text.contains(word));
    let sip = entry.sip()?;
    is_media.then(|| {
        let cause = format!(
            "The voice bearer was lost: a phone says so in its {} ({reason})",
            sip.method
        );
        Finding::new(entry, cause, REMEDY)
    })
}

fn cancelled_soon(case: &Case, entry: &Entry) -> Option<Finding> {
    if !entry.is_request("CANCEL") {
        return None;
    }
    let prack = case
        .story(entry)
        .filter(|it| it.is_request("PRACK") && it.is_heard() && it.is_gm() && it.at <= entry.at)
        .last()?;
    // Somebody who hears it ring may change his mind.
    let has_rung = case
        .story(entry)
        .any(|it| it.answer_to("INVITE") == Some(180) && it.at <= entry.at);
    let secs = prack.secs_until(entry.at);
    (secs < SOON_SECS && !has_rung).then(|| {
        let cause = format!(
            "The voice bearer was probably refused: the caller's phone cancelled by itself less than {} s after its PRACK, \
             before it rang",
            secs + 1
        );
        Finding::new(entry, cause, REMEDY).and(prack)
    })
}
