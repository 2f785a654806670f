//! Engine: a phone's packets come in clear, or to or from other ports than were agreed.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::registers::counted;

pub(super) const DETECTOR: Detector = Detector {
    name: "selector-forbids",
    title: "Packets do not fit the security associations",
    signal: "XfrmInTmplMismatch, XfrmInPolBlock or XfrmInStateMismatch grows (/proc/net/xfrm_stat) after a challenge that is not \
             answered",
    example: "After the challenge of IMSI 001010000000001 nothing came over its security associations, and 3 packets came to our \
              protected ports in clear (XfrmInTmplMismatch): the handset, or something between, does not put them into ESP; \
              look with tcpdump -i any esp whether ESP leaves the UPF; if it does not, IPsec of this handset is at fault.",
    weight: 81,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let Some(challenge) = case.challenge_without_esp() else {
        return Vec::new();
    };
    let who = case.subscriber();
    if let Some(grown) = case.grown(&["XfrmInStateMismatch"], challenge.at) {
        let cause = format!(
            "After the challenge of {who} {} came over a security association from or to another address or port than was agreed \
             (XfrmInStateMismatch), and nothing else",
            counted(grown.by, "packet", "packets")
        );
        let remedy = "the handset has to send from its port-uc to our port-ps (UDP and TCP alike); look for a NAT or a proxy between \
                      UPF and P-CSCF that changes ports";
        return vec![Finding::new(grown.proof, cause, remedy).and(challenge)];
    }
    let Some(grown) = case.grown(&["XfrmInTmplMismatch", "XfrmInPolBlock"], challenge.at) else {
        return Vec::new();
    };
    let counter = grown
        .proof
        .kernel()
        .map_or("XfrmInTmplMismatch", |it| &it.counter);
    let cause = format!(
        "After the challenge of {who} nothing came over its security associations, and {} came to our protected ports in clear \
         ({counter}): the handset, or something between, does not put them into ESP",
        counted(grown.by, "packet", "packets")
    );
    let remedy = "look with tcpdump -i any esp whether ESP leaves the UPF; if it does not, IPsec of this handset is at fault";
    vec![Finding::new(grown.proof, cause, remedy).and(challenge)]
}
