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
    let accepts = |(_, result): &(&Entry, u32)| *result == SUCCESS;
    let mut peers: BTreeMap<&str, &Entry> = BTreeMap::new();
    let mut ceas: BTreeMap<&str, (&Entry, u32)> = BTreeMap::new();
    for entry in before {
        match &entry.what {
            What::Connection(step) => {
                let address = entry.get(Fact::Address).unwrap_or("a peer");
                peers.insert(address, entry);
                if !step.is_up {
                    // What was accepted ends with its connection; a refusal is told also when the peer has hung up after it.
                    ceas.retain(|_, cea| !accepts(cea) || cea.0.get(Fact::Address) != Some(address));
                }
            }
            What::Diameter(step) if step.command == "CEA" => {
                let peer = entry.get(Fact::Peer).unwrap_or("the HSS");
                ceas.insert(peer, (entry, step.result?));
            }
            _ => {}
        }
    }
    // With one HSS that is there the failure has another cause, whoever else refuses or is gone.
    if peers.values().any(|entry| is_up(entry)) && ceas.values().any(accepts) {
        return None;
    }
    let refusals = ceas.iter().filter(|(_, cea)| !accepts(cea));
    let refusal = refusals.max_by_key(|(_, (entry, _))| entry.at);
    let node = name_of(&answer.node);
    let outcome = format!("and the {} got {}", sip.method, sip.status?);
    if let Some((peer, (cea, result))) = refusal {
        let said = cea.get(Fact::ErrorMessage).map(|it| format!("\"{it}\""));
        let mut all = vec![words(*result)];
        all.extend(said);
        all.extend(down(&peers, cea.get(Fact::Address)));
        return Some(Finding::new(
            cea,
            format!(
                "{node} is refused by its Diameter peer {peer}: {}, {outcome}",
                all.join(", ")
            ),
            "let the HSS know this node by its origin_host and realm (ConnectPeer in freeDiameter's configuration)",
        ));
    }
    if peers.values().any(|entry| is_up(entry)) {
        return None;
    }
    let newest = peers.values().max_by_key(|entry| entry.at)?;
    Some(
        Finding::new(
            newest,
            format!(
                "{node} has no Diameter connection: {}, {outcome}",
                down(&peers, None).join(", ")
            ),
            "start the HSS or correct hss.peers, then look at imsctl peers",
        )
        .and(answer),
    )
}

fn is_up(entry: &Entry) -> bool {
    matches!(&entry.what, What::Connection(step) if step.is_up)
}

/// The connections that are not there, but for this one.
fn down(peers: &BTreeMap<&str, &Entry>, but: Option<&str>) -> Vec<String> {
    peers
        .iter()
        .filter(|(address, entry)| !is_up(entry) && but != Some(**address))
        .map(|(address, entry)| format!("{address} is {}", entry.get(Fact::Words).unwrap_or("down")))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Interface, Transport};
    use crate::why::entry::{ConnectionStep, DiameterStep, SipStep, Way};
    use crate::why::facts::Facts;

    fn entry(what: What, facts: Facts) -> Entry {
        Entry {
            at: 1,
            node: "icscf".into(),
            call_id: String::new(),
            icid: None,
            what,
            facts,
        }
    }

    fn connection(address: &str, is_up: bool) -> Entry {
        let words = if is_up { "connected" } else { "closed" };
        let facts = Facts::new().with(Fact::Address, address).with(Fact::Words, words);
        entry(What::Connection(ConnectionStep { is_up }), facts)
    }

    fn cea(peer: &str, result: u32) -> Entry {
        let step = DiameterStep {
            way: Way::Heard,
            command: "CEA".into(),
            result: Some(result),
        };
        entry(What::Diameter(step), Facts::new().with(Fact::Peer, peer))
    }

    fn cea_at(address: &str, peer: &str, result: u32) -> Entry {
        let mut entry = cea(peer, result);
        entry.facts.put(Fact::Address, address);
        entry
    }

    /// What is found behind a 480 to a REGISTER after this.
    fn causes(site: Vec<Entry>) -> Vec<String> {
        let answer = SipStep {
            way: Way::Said,
            side: Interface::Mw,
            transport: Transport::Udp,
            peer: ([192, 0, 2, 2], 5060).into(),
            method: "REGISTER".into(),
            status: Some(480),
            cseq: 1,
            octets: 300,
            again: 0,
        };
        let case = Case {
            entries: vec![entry(What::Sip(answer), Facts::new())],
            site,
            ..Case::default()
        };
        detect(&case).into_iter().map(|finding| finding.cause).collect()
    }

    #[test]
    fn the_only_hss_that_refuses_or_is_gone_is_named() {
        let refused = causes(vec![connection("192.0.2.5:3868", true), cea("hss1", 3_010)]);
        assert_eq!(
            refused,
            [
                "I-CSCF is refused by its Diameter peer hss1: it does not know us (3010), and the REGISTER got 480"
            ]
        );
        let gone = causes(vec![cea("hss1", SUCCESS), connection("192.0.2.5:3868", false)]);
        assert_eq!(
            gone,
            ["I-CSCF has no Diameter connection: 192.0.2.5:3868 is closed, and the REGISTER got 480"]
        );
    }

    #[test]
    fn what_an_hss_accepted_ends_with_its_connection() {
        let (one, two) = ("192.0.2.5:3868", "192.0.2.6:3868");
        let accepted = [connection(one, true), cea_at(one, "hss1", SUCCESS)];
        let refused = [connection(two, true), cea_at(two, "hss2", 3_010)];
        let gone = [&accepted[..], &refused, &[connection(one, false)]].concat();
        let said = "I-CSCF is refused by its Diameter peer hss2: it does not know us (3010), 192.0.2.5:3868 is closed, and the \
                    REGISTER got 480";
        assert_eq!(causes(gone.clone()), [said]);
        // The refused one hung up, the other one is there.
        let there = [&accepted[..], &refused, &[connection(two, false)]].concat();
        assert_eq!(causes(there), [""; 0]);
        // Or it came back.
        assert_eq!(causes([&gone[..], &accepted].concat()), [""; 0]);
    }

    #[test]
    fn a_second_hss_that_refuses_is_not_blamed_while_the_first_is_there() {
        let first = || vec![connection("192.0.2.5:3868", true), cea("hss1", SUCCESS)];
        for result in [3_010, 5_012] {
            let second = [connection("192.0.2.6:3868", true), cea("hss2", result)];
            assert_eq!(causes([&first()[..], &second].concat()), [""; 0]);
            let closed = connection("192.0.2.6:3868", false);
            assert_eq!(causes([&first()[..], &second, &[closed]].concat()), [""; 0]);
        }
    }
}
