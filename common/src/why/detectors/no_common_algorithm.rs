//! Engine: what a phone offers of IPsec is nothing that this P-CSCF takes.

use std::collections::BTreeSet;

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "no-common-algorithm",
    title: "Handset and P-CSCF have no IPsec algorithm in common",
    signal: "494 (Security Agreement Required) to a REGISTER",
    example: "The handset of IMSI 001010000000001 offers hmac-md5-96/null and nothing else for IPsec; this P-CSCF takes \
              hmac-sha-1-96/aes-cbc: refused with 494; add a pair of the handset to ipsec.algorithms, or change its carrier \
              profile.",
    weight: 90,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let refused = registers.iter().rev().find(|it| it.status() == Some(494));
    let Some((request, answer)) = refused.and_then(|it| Some((it.request, it.answer?))) else {
        return Vec::new();
    };
    if case.is_granted_after(answer.at) {
        return Vec::new();
    }
    vec![finding(case, request, answer)]
}

fn finding(case: &Case, request: &Entry, answer: &Entry) -> Finding {
    let (who, offered) = (case.subscriber(), request.get(Fact::SecurityClient));
    let ours = answer.get(Fact::SecurityServer).unwrap_or_default();
    let finding = |cause, remedy| Finding::new(answer, cause, remedy).and(request);
    let pairs = |text: &str| -> BTreeSet<String> { text.split(' ').map(str::to_ascii_lowercase).collect() };
    let has_common = offered.is_some_and(|it| !pairs(it).is_disjoint(&pairs(ours)));
    if request.facts.has(Fact::SecurityVerify) {
        return finding(
            format!(
                "The handset of {who} did not repeat what was agreed on IPsec (Security-Client, Security-Verify): refused with 494"
            ),
            "somebody in between may have changed the agreement; if all handsets of this kind do so, it is a fault of theirs: report \
             it with a trace",
        );
    }
    if has_common {
        return finding(
            format!(
                "The handset of {who} offers a pair of algorithms that this P-CSCF takes, with SPIs or ports that cannot be: \
                 refused with 494"
            ),
            "look at spi-c, spi-s, port-c and port-s of its Security-Client: SPIs above 255, different ones, and two ports",
        );
    }
    finding(
        format!(
            "The handset of {who} offers {} and nothing else for IPsec; this P-CSCF takes {}: refused with 494",
            listed(offered.unwrap_or_default()),
            listed(ours)
        ),
        "add a pair of the handset to ipsec.algorithms, or change its carrier profile",
    )
}

fn listed(pairs: &str) -> String {
    match pairs {
        "" => "nothing that can be read".to_owned(),
        _ => pairs.replace(' ', ", "),
    }
}
