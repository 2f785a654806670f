//! Engine: an application server did not serve, and its default handling was applied.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

pub(super) const DETECTOR: Detector = Detector {
    name: "app-server-failed",
    title: "An application server did not answer",
    signal: "the S-CSCF applies the default handling of a filter criterion",
    example: "Application server sip:as1.ims.mnc001.mcc001.3gppnetwork.org:5060 did not answer in 4 s, and the request ended, as DefaultHandling of its filter \
              criterion says; start it, or correct ServerName in the subscriber's profile.",
    weight: 75,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let note = case
        .newest(|entry| entry.note() == Some(NoteKind::DefaultHandling))
        .next();
    let finding = note.and_then(|note| {
        let server = note.get(Fact::AppServer)?;
        let how = note.get(Fact::Words)?;
        let handling = note.get(Fact::DefaultHandling)?;
        let remedy = match how.starts_with("answered") {
            true => "look at its log for this Call-ID",
            false => "start it, or correct ServerName in the subscriber's profile",
        };
        Some(Finding::new(
            note,
            format!(
                "Application server {server} {how}, and the request {handling}, as DefaultHandling of its filter criterion says"
            ),
            remedy,
        ))
    });
    finding.into_iter().collect()
}
