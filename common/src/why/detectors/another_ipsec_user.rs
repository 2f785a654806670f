//! Engine: another program uses the kernel's IPsec beside the P-CSCF.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

pub(super) const DETECTOR: Detector = Detector {
    name: "another-ipsec-user",
    title: "Another program uses the kernel's IPsec beside the P-CSCF",
    signal: "an IKE daemon, states or policies of another program at the start, and security associations of the phone that \
             failed",
    example: "Security associations of IMSI 001010000000001 failed, and the P-CSCF is not alone in the kernel's IPsec: another IKE \
              daemon is here: charon (pid 812); keep it off the Gm address, the protected ports and ipsec.reqid, or stop it.",
    weight: 40,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let trouble = case
        .newest(|entry| entry.note() == Some(NoteKind::AssociationsFailed))
        .next()
        .filter(|entry| !case.is_granted_after(entry.at));
    trouble
        .and_then(|entry| beside(case, entry))
        .into_iter()
        .collect()
}

fn beside(case: &Case, trouble: &Entry) -> Option<Finding> {
    let is_other = |it: &&Entry| {
        let of_check = matches!(it.get(Fact::Check), Some("ike" | "ipsec"));
        it.note() == Some(NoteKind::CheckFailed) && of_check && it.node == trouble.node && it.at <= trouble.at
    };
    let note = case.site.iter().rev().find(is_other)?;
    Some(
        Finding::new(
            trouble,
            format!(
                "Security associations of {} failed, and the P-CSCF is not alone in the kernel's IPsec: {}",
                case.subscriber(),
                note.get(Fact::Words)?
            ),
            "keep it off the Gm address, the protected ports and ipsec.reqid, or stop it",
        )
        .and(note),
    )
}
