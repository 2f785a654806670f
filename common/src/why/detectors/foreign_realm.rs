//! Engine: a phone registers with a realm that this network does not serve.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

pub(super) const DETECTOR: Detector = Detector {
    name: "foreign-realm",
    title: "The phone registers with another realm",
    signal: "the Request-URI of a REGISTER names a host that is not the home realm, and the REGISTER is refused",
    example: "The phone registers with ims.mnc009.mcc001.3gppnetwork.org, and this network is \
              ims.mnc001.mcc001.3gppnetwork.org; correct EF_DOMAIN and EF_IMPI of the ISIM, or the MCC and MNC of the USIM from \
              which they follow.",
    weight: 85,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let note = case
        .newest(|entry| entry.note() == Some(NoteKind::ForeignRealm))
        .next();
    let finding = note.and_then(|note| {
        let (asked, ours) = (note.get(Fact::RequestHost)?, note.get(Fact::Expected)?);
        let is_refused = case
            .story(note)
            .any(|entry| entry.at >= note.at && entry.answer_to("REGISTER").is_some_and(|status| status >= 402));
        is_refused.then(|| {
            Finding::new(
                note,
                format!("The phone registers with {asked}, and this network is {ours}"),
                "correct EF_DOMAIN and EF_IMPI of the ISIM, or the MCC and MNC of the USIM from which they follow",
            )
        })
    });
    finding.into_iter().collect()
}
