//! Engine: a node does not know where another one is.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

use super::diameter_peer_down::name_of;

pub(super) const DETECTOR: Detector = Detector {
    name: "next-hop-unknown",
    title: "A node does not know where another one is",
    signal: "a name that neither hosts nor DNS resolves, and then an answer of 4xx, 5xx or 6xx in the same call",
    example: "S-CSCF does not know where nowhere.example is: hosts does not name it and DNS has no address for it, and the INVITE \
              got 500; add it to hosts of the S-CSCF or to DNS, unless there is no such domain.",
    weight: 93,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let noted = case.newest(|entry| entry.note() == Some(NoteKind::NameServesNothing));
    let mut findings = noted.filter_map(|note| {
        let (answer, outcome) = refused_after(case, note)?;
        let (node, host) = (name_of(&note.node), note.get(Fact::Address)?);
        let cause = format!(
            "{node} does not know where {host} is: hosts does not name it and DNS has no address for it, and the {outcome}"
        );
        let remedy = format!("add it to hosts of the {node} or to DNS, unless there is no such domain");
        Some(Finding::new(note, cause, remedy).and(answer))
    });
    findings.next().into_iter().collect()
}

/// What the node has answered then, and that in words. An answer that it only passes on has another cause: somebody was
/// reached, by another way.
fn refused_after<'a>(case: &'a Case, note: &'a Entry) -> Option<(&'a Entry, String)> {
    let at_the_node = || {
        case.story(note)
            .filter(|entry| entry.node == note.node && entry.at >= note.at)
    };
    let is_passed_on = |status: u16, method: &str| {
        at_the_node().any(|entry| entry.is_heard() && entry.answer_to(method) == Some(status))
    };
    at_the_node().filter(|entry| !entry.is_heard()).find_map(|entry| {
        let sip = entry.sip()?;
        let status = sip.status.filter(|status| *status >= 400)?;
        (!is_passed_on(status, &sip.method)).then(|| (entry, format!("{} got {status}", sip.method)))
    })
}
