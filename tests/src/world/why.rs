//! Testkit: what the recorders of all nodes would tell an operator.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::net::{NetInput, NetOutput};
use ims_common::why::{
    CATALOGUE, Case, Entry, Fact, Facts, Finding, Recorder, RecorderSettings, Who, explain,
};

use super::{NodeId, Role, World};
use crate::kernel::Counted;

/// The calendar of the world at its beginning, in microseconds since 1970 UTC.
const BEGINNING: u64 = 1_767_225_600_000_000;
/// Stories that each node keeps.
const STORIES: usize = 1_000;

/// The recorders of the network's nodes, when somebody wants to know why.
#[derive(Debug, Default)]
pub(super) struct Recorders(BTreeMap<NodeId, Recorder>);

impl Recorders {
    pub(super) fn heard(&mut self, id: NodeId, now: Instant, input: &NetInput) {
        if let Some(recorder) = self.0.get_mut(&id) {
            recorder.heard(now, input);
        }
    }

    pub(super) fn said(&mut self, id: NodeId, now: Instant, output: &NetOutput) {
        if let Some(recorder) = self.0.get_mut(&id) {
            recorder.said(now, output);
        }
    }
}

impl World {
    /// From now on every CSCF keeps what an operator may ask for.
    pub fn record_why(&mut self) {
        for index in 0..self.slots.len() {
            self.forget_why(NodeId(index));
        }
    }

    /// A node that begins knows nothing yet.
    fn forget_why(&mut self, id: NodeId) {
        let slot = &self.slots[id.0];
        let node = match slot.name.get(..2) {
            Some("P-") => "pcscf",
            Some("I-") => "icscf",
            Some("S-") => "scscf",
            _ => return,
        };
        if slot.role != Role::Network {
            return;
        }
        let settings = RecorderSettings {
            node,
            addresses: slot.sockets.iter().map(|socket| socket.address).collect(),
            stories: STORIES,
            calendar: (self.epoch, BEGINNING),
        };
        self.why.0.insert(id, Recorder::new(settings));
    }

    /// A node was started again: its process knew all that was kept.
    pub(super) fn restart_why(&mut self, id: NodeId) {
        if self.why.0.contains_key(&id) {
            self.forget_why(id);
        }
    }

    pub(super) fn drain_notes(&mut self, id: NodeId) {
        let now = self.now;
        if let Some(recorder) = self.why.0.get_mut(&id) {
            while let Some(note) = self.slots[id.0].node.poll_note() {
                recorder.noted(now, note);
            }
        }
    }

    /// The kernel below a node has counted.
    pub fn kernel_counts(&mut self, name: &str, counter: &'static str, grown: u64, facts: Facts) {
        let (id, now) = (self.id(name), self.now);
        if let Some(recorder) = self.why.0.get_mut(&id) {
            recorder.kernel(now, counter, grown, facts);
        }
    }

    /// The kernel below a node has dropped something on its way in.
    pub(super) fn kernel_dropped(&mut self, id: NodeId) {
        let now = self.now;
        let counted = self.slots[id.0].kernel.take_counted();
        let Some(recorder) = self.why.0.get_mut(&id) else {
            return;
        };
        for Counted { why, state } in counted {
            let facts = match state {
                Some((spi, source)) => Facts::new()
                    .with(Fact::Spi, format!("{spi:#010x}"))
                    .with(Fact::Address, source),
                None => Facts::new(),
            };
            recorder.kernel(now, why.counter(), 1, facts);
        }
    }

    /// What all nodes know of a subscriber or call.
    ///
    /// # Panics
    /// When nobody could ask so.
    #[must_use]
    pub fn case(&self, who: &str) -> Case {
        let who = Who::parse(who).expect("an IMSI, a number, an identity or a Call-ID");
        let mut joined = Case::default();
        for recorder in self.why.0.values() {
            let case = recorder.case(&who, self.now);
            joined.who.clone_from(&case.who);
            joined.merge(case);
        }
        joined
    }

    /// What explains the failures of a subscriber or call, best first.
    #[must_use]
    pub fn findings(&self, who: &str) -> Vec<Finding> {
        explain(&self.case(who))
    }

    /// The sentence that is told first of a subscriber or call; empty when nothing is found.
    #[must_use]
    pub fn why(&self, who: &str) -> String {
        self.findings(who)
            .first()
            .map(Finding::sentence)
            .unwrap_or_default()
    }

    /// Of a subscriber or call this detector's finding is told first, and says exactly what the catalogue, and so the manual,
    /// gives as its example.
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_explained(&self, who: &str, detector: &str) {
        let example = CATALOGUE
            .iter()
            .find(|it| it.name == detector)
            .map(|it| it.example);
        let findings = self.findings(who);
        let told = findings.first().map(|it| (it.detector.as_str(), it.sentence()));
        let told = told.as_ref().map(|(name, sentence)| (*name, sentence.as_str()));
        if told != example.map(|example| (detector, example)) {
            let case = self.case(who);
            let lines = |entries: &[Entry]| -> String {
                let line = |entry: &Entry| format!("  {} {:?} {:?}\n", entry.node, entry.what, entry.facts);
                entries.iter().map(line).collect()
            };
            let found = findings
                .iter()
                .map(|it| format!("{}: {}", it.detector, it.sentence()));
            let found: Vec<String> = found.collect();
            self.fail(&format!(
                "{detector}: {example:?}\nis not what is found: {found:#?}\nin\n{}site\n{}",
                lines(&case.entries),
                lines(&case.site)
            ));
        }
    }

    /// What one node alone has found by itself, once all that looked like trouble is ripe.
    pub fn found_by(&mut self, name: &str) -> Vec<(String, Finding)> {
        self.advance(Duration::from_secs(13));
        let (id, now) = (self.id(name), self.now);
        let Some(recorder) = self.why.0.get_mut(&id) else {
            return Vec::new();
        };
        while recorder.poll_timeout().is_some_and(|at| at <= now) {
            recorder.handle_timeout(now);
        }
        std::iter::from_fn(|| recorder.poll_finding()).collect()
    }
}
