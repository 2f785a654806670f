//! Engine: why something failed: the sentences, and below them the ladder that proves them.

use super::ladder::{self, Rung, node_name};
use super::paper::{Ink, Paper, cut, moment, time_of_day};
use crate::why::{Case, Finding};

/// Lines of a ladder, unless all are wanted.
const LINES: usize = 60;
/// What happened to whole nodes, unless all is wanted.
const SITE_LINES: usize = 8;
/// Silence after which a ladder has a new head, in microseconds.
const PAUSE: u64 = 30_000_000;

/// The sentences on top, then the ladder.
pub(super) fn print(case: &Case, findings: &[Finding], is_all: bool, paper: Paper) -> String {
    let mut text = heading(case, findings, paper);
    for finding in findings {
        text.push('\n');
        text.push_str(&told(finding, paper));
    }
    if !case.entries.is_empty() {
        text.push('\n');
        text.push_str(&timeline(case, findings, is_all, paper));
    }
    if !case.site.is_empty() {
        text.push_str(&site(case, is_all, paper));
    }
    text
}

fn heading(case: &Case, findings: &[Finding], paper: Paper) -> String {
    let who = case.subscriber();
    let nodes: Vec<String> = case.nodes.iter().map(|node| node_name(node)).collect();
    let nodes = nodes.join(", ");
    if case.is_unknown() {
        let none = format!(
            "Nothing is known of {who}: no message of theirs has come to {nodes} lately; look whether the phone has \
             the address of the P-CSCF and a way to it (imsctl doctor)."
        );
        return paper.wrapped("", &none);
    }
    let newest = case.entries.last().map_or(0, |entry| entry.at);
    let count = case.entries.len();
    let known = format!("{count} steps at {nodes}, the last one {}", moment(newest));
    match findings.len() {
        0 => format!(
            "{}: nothing that looks like a failure.\n{known}\n",
            paper.ink(Ink::Good, &who)
        ),
        1 => format!("{}: one finding.\n{known}\n", paper.ink(Ink::Bold, &who)),
        n => format!(
            "{}: {n} findings, the likeliest first.\n{known}\n",
            paper.ink(Ink::Bold, &who)
        ),
    }
}

fn told(finding: &Finding, paper: Paper) -> String {
    let mut nodes: Vec<String> = finding.proof.iter().map(|proof| node_name(&proof.node)).collect();
    nodes.dedup();
    let proof = format!(
        "  [{}, {}, {}]",
        finding.detector,
        moment(finding.at),
        nodes.join(" and ")
    );
    let sentence = paper.wrapped("  ", &finding.sentence());
    format!(
        "{}\n{}\n",
        paper.ink(Ink::Bad, sentence.trim_end()),
        paper.ink(Ink::Dim, &proof)
    )
}

fn timeline(case: &Case, findings: &[Finding], is_all: bool, paper: Paper) -> String {
    let all = ladder::rungs(&case.entries, &case.places, &case.nodes);
    let skipped = if is_all {
        0
    } else {
        all.len().saturating_sub(LINES)
    };
    let rungs = all.get(skipped..).unwrap_or_default();
    let names = ladder::name_width(rungs);
    let mut text = String::new();
    if skipped > 0 {
        let more = format!("({skipped} older steps are left out; --all shows them)\n");
        text.push_str(&paper.ink(Ink::Dim, &more));
    }
    let mut began = None;
    let mut last = 0;
    for rung in rungs {
        if began.is_none() || rung.at.saturating_sub(last) > PAUSE {
            began = Some(rung.at);
            text.push_str(&paper.ink(Ink::Bold, &format!("from {}", moment(rung.at))));
            text.push('\n');
        }
        last = rung.at;
        let mark = if is_proof(rung, findings) { ">>" } else { "  " };
        let line = ladder::line(rung, began.unwrap_or(rung.at), names);
        let line = cut(&format!("{mark}{line}"), paper.width);
        let ink = if rung.is_trouble { Ink::Bad } else { Ink::Plain };
        text.push_str(&paper.ink(ink, &line));
        text.push('\n');
    }
    text
}

fn is_proof(rung: &Rung, findings: &[Finding]) -> bool {
    let proofs = findings.iter().flat_map(|finding| &finding.proof);
    let is_seen = |node: &str, at: u64| rung.seen.iter().any(|(name, when)| name == node && *when == at);
    proofs.into_iter().any(|proof| is_seen(&proof.node, proof.at))
}

fn site(case: &Case, is_all: bool, paper: Paper) -> String {
    let skipped = if is_all {
        0
    } else {
        case.site.len().saturating_sub(SITE_LINES)
    };
    let mut text = format!("\n{}\n", paper.ink(Ink::Bold, "The nodes themselves"));
    for entry in case.site.iter().skip(skipped) {
        let rung = ladder::rung(entry, &case.places);
        let line = ladder::line(&rung, entry.at, 6);
        // Its own time instead of that since the beginning.
        let rest = line.get(11..).unwrap_or_default();
        let day = moment(entry.at);
        let day = day.get(..10).unwrap_or_default();
        let line = cut(&format!("  {day} {} {rest}", time_of_day(entry.at)), paper.width);
        let ink = if rung.is_trouble { Ink::Bad } else { Ink::Plain };
        text.push_str(&paper.ink(ink, &line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
