//! Engine: a short message met no filter criterion that knows an IP-SM-GW.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

pub(super) const DETECTOR: Detector = Detector {
    name: "sms-without-gateway",
    title: "A short message has nowhere to go",
    signal: "a MESSAGE with application/vnd.3gpp.sms that no filter criterion of its sender matches",
    example: "The short message of sip:+15550001@ims.mnc001.mcc001.3gppnetwork.org matched no filter criterion: a MESSAGE with \
              application/vnd.3gpp.sms needs an IP-SM-GW; add a criterion for METHOD MESSAGE, SessionCase 0, to the profile in \
              the HSS.",
    weight: 70,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let note = case
        .newest(|entry| entry.note() == Some(NoteKind::NoCriteriaMatched))
        .find(|note| !is_delivered(case, note));
    let finding = note.map(|note| {
        let user = note.get(Fact::Identity).unwrap_or("the user");
        Finding::new(
            note,
            format!(
                "The short message of {user} matched no filter criterion: a MESSAGE with application/vnd.3gpp.sms needs an \
                 IP-SM-GW"
            ),
            "add a criterion for METHOD MESSAGE, SessionCase 0, to the profile in the HSS",
        )
    });
    finding.into_iter().collect()
}

/// It went another way: a gateway may be the called user, or stand behind a route.
fn is_delivered(case: &Case, note: &Entry) -> bool {
    case.story(note).any(|entry| {
        entry.node == note.node
            && entry.at >= note.at
            && matches!(entry.answer_to("MESSAGE"), Some(200..=299))
    })
}
