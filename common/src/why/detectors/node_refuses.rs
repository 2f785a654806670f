//! Engine: a node takes nothing new: it is drained, or has no room.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};

use super::diameter_peer_down::name_of;

pub(super) const DETECTOR: Detector = Detector {
    name: "node-refuses",
    title: "A node takes nothing new",
    signal: "503 that a node makes itself while it is drained, or while it has no room for further requests",
    example: "P-CSCF refused the REGISTER with 503: it is being drained and takes nothing new; start it again when the work \
              on it is done, and let phones know of another P-CSCF before it is drained.",
    weight: 60,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let mut refused = case.newest(|entry| {
        let status = entry.sip().and_then(|sip| sip.status);
        status == Some(503) && !entry.is_heard()
    });
    let found = refused.find_map(|answer| {
        let sip = answer.sip()?;
        let (state, remedy) = words(&answer.node, case.reason_of_refusal(answer)?)?;
        let cause = format!(
            "{} refused the {} with 503: {state}",
            name_of(&answer.node),
            sip.method
        );
        Some(Finding::new(answer, cause, remedy))
    });
    found.into_iter().collect()
}

/// What this node is in that gives this reason, and what to do about it.
fn words(node: &str, reason: &str) -> Option<(&'static str, &'static str)> {
    match reason {
        "draining" => Some((
            "it is being drained and takes nothing new",
            match node {
                "pcscf" => {
                    "start it again when the work on it is done, and let phones know of another P-CSCF before it is drained"
                }
                _ => "start it again when the work on it is done",
            },
        )),
        "transactions_max" => Some((
            "it has as many requests under way as limits.transactions allows",
            "see by ims_sip_transactions whether they wait for somebody who does not answer; else raise the limit, or give the \
             node more cores (shards)",
        )),
        "transaction_bytes_max" => Some((
            "the requests under way have as many octets as limits.transaction_bytes allows",
            "see whether somebody sends large bodies; else raise the limit where there is memory",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_need_another_p_cscf_when_it_is_the_p_cscf_that_is_drained() {
        let remedy = |node| words(node, "draining").map(|(_, remedy)| remedy.contains("another P-CSCF"));
        assert_eq!(remedy("pcscf"), Some(true));
        assert_eq!(remedy("icscf"), Some(false));
        assert_eq!(remedy("scscf"), Some(false));
    }
}
