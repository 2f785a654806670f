//! Engine: ESP of a phone arrives and fails its integrity check.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::facts::Fact;
use crate::why::registers::counted;

pub(super) const DETECTOR: Detector = Detector {
    name: "esp-fails-authentication",
    title: "IPsec arrives and fails its integrity check",
    signal: "XfrmInStateProtoError grows (/proc/net/xfrm_stat) after a challenge that is not answered",
    example: "What the handset of IMSI 001010000000001 sends over IPsec fails the integrity check (3 packets from 192.0.2.14 \
              since the challenge, XfrmInStateProtoError): handset and HSS compute different IKs, or the handset does not do \
              hmac-sha-1-96/aes-cbc as it should; check Ki and OPc of this SIM in the HSS, then try another pair in \
              ipsec.algorithms.",
    weight: 84,
    detect,
};

/// Counters of ESP that came and was not delivered.
pub(super) const NOT_DELIVERED: [&str; 5] = [
    PROTO_ERROR,
    "XfrmInNoStates",
    "XfrmInStateMismatch",
    "XfrmInTmplMismatch",
    "XfrmInPolBlock",
];
const PROTO_ERROR: &str = "XfrmInStateProtoError";

fn detect(case: &Case) -> Vec<Finding> {
    let Some(challenge) = case.challenge_without_esp() else {
        return Vec::new();
    };
    let Some(grown) = case.grown(&[PROTO_ERROR], challenge.at) else {
        return Vec::new();
    };
    let from = grown.proof.get(Fact::Address);
    let cause = format!(
        "What the handset of {} sends over IPsec fails the integrity check ({}{} since the challenge, {PROTO_ERROR}): handset \
         and HSS compute different IKs, or the handset does not do {} as it should",
        case.subscriber(),
        counted(grown.by, "packet", "packets"),
        from.map(|it| format!(" from {it}")).unwrap_or_default(),
        challenge
            .get(Fact::SecurityServer)
            .unwrap_or("the algorithms that were chosen"),
    );
    let remedy = "check Ki and OPc of this SIM in the HSS, then try another pair in ipsec.algorithms";
    vec![Finding::new(grown.proof, cause, remedy).and(challenge)]
}
