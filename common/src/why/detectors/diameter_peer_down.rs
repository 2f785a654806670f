//! Engine: a node has no Diameter connection to the HSS, or is refused by it.

use std::collections::BTreeMap;

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::{Entry, What};
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "diameter-peer-down",
    title: "A CSCF has no Diameter connection to the HSS",
    signal: "Diameter connections that failed or closed, and CEA other than 2001, before an answer of 480, 500, 503 or 504",
    example: "I-CSCF has no Diameter connection: 192.0.2.5:3868 is not reached: connection refused, and the REGISTER got \
              480; start the HSS or correct hss.peers, then look at imsctl peers.",
    weight: 90,
    detect,
};

/// DIAMETER_SUCCESS (RFC 6733 7.1.2).
const SUCCESS: u32 = 2_001;

fn detect(case: &Case) -> Vec<Finding> {
    let refused = case.newest(|entry| {
        let status = entry.sip().and_then(|sip| sip.status);
        matches!(status, Some(480 | 500 | 503 | 504)) && !entry.is_heard()
    });
    // Where it began: the node that said it first.
    let refused: Vec<&Entry> = refused.collect();
    for answer in refused {
        if let Some(finding) = behind(case, answer) {
            return vec![finding];
        }
    }
    Vec::new()
}

/// What was wrong with the peers of the node that gave this answer.
fn behind(case: &Case, answer: &Entry) -> Option<Finding> {
    let sip = answer.sip()?;
    let before = case
        .site
        .iter()
        .filter(|entry| entry.node == answer.node && entry.at <= answer.at);
    let mut peers: BTreeMap<&str, &Entry> = BTreeMap::new();
    let mut refusal = None;
    for entry in before {
        match &entry.what {
            What::Connection(_) => {
                peers.insert(entry.get(Fact::Address).unwrap_or("a peer"), entry);
            }
            What::Diameter(step) if step.command == "CEA" => {
                refusal = Some((entry, step.result?)).filter(|(_, result)| *result != SUCCESS);
            }
            _ => {}
        }
    }
    let node = name_of(&answer.node);
    let outcome = format!("and the {} got {}", sip.method, sip.status?);
    if let Some((cea, result)) = refusal {
        let peer = cea.get(Fact::Peer).unwrap_or("the HSS");
        let said = cea
            .get(Fact::ErrorMessage)
            .map(|it| format!(", \"{it}\""))
            .unwrap_or_default();
        return Some(Finding::new(
            cea,
            format!(
                "{node} is refused by its Diameter peer {peer}: {}{said}, {outcome}",
                words(result)
            ),
            "let the HSS know this node by its origin_host and realm (ConnectPeer in freeDiameter's configuration)",
        ));
    }
    let is_down = |entry: &&Entry| matches!(&entry.what, What::Connection(step) if !step.is_up);
    if peers.is_empty() || !peers.values().all(is_down) {
        return None;
    }
    let states: Vec<String> = peers
        .iter()
        .map(|(address, entry)| format!("{address} is {}", entry.get(Fact::Words).unwrap_or("down")))
        .collect();
    let newest = peers.values().max_by_key(|entry| entry.at)?;
    Some(
        Finding::new(
            newest,
            format!(
                "{node} has no Diameter connection: {}, {outcome}",
                states.join(", ")
            ),
            "start the HSS or correct hss.peers, then look at imsctl peers",
        )
        .and(answer),
    )
}

fn words(result: u32) -> String {
    let words = match result {
        3_010 => "it does not know us (3010)",
        5_010 => "no application in common (5010)",
        5_012 => "unable to comply (5012)",
        5_017 => "no common security (5017)",
        3_003 => "the realm is not served (3003)",
        _ => return format!("CEA with {result}"),
    };
    words.to_owned()
}

/// A node's name as operators write it.
pub(super) fn name_of(node: &str) -> &str {
    match node {
        "pcscf" => "P-CSCF",
        "icscf" => "I-CSCF",
        "scscf" => "S-CSCF",
        other => other,
    }
}
