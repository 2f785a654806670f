//! Testkit: what must hold after every step of a swarm, besides what the world itself checks.
//!
//! * No table is larger than its configured limit.
//! * Nobody is bound at an S-CSCF whom the HSS did not grant to it since it started.
//! * No identity and no key is in the log.

use std::collections::{BTreeMap, BTreeSet};

use hss_client::cx::{CxAnswer, CxRequest, ServerAssignmentType};
use hss_client::with_hss::WithHss;
use ims_common::diameter::Message;
use ims_common::identity::Impi;
use ims_common::node::Metrics;
use scscf::Scscf;

use super::log_watch;
use super::plan::{Limits, Plan};
use crate::world::record::{Entry, What};
use crate::world::{NodeId, World};

/// Server-Assignment-Request and -Answer.
const SERVER_ASSIGNMENT: u32 = 301;

/// See the module.
#[derive(Debug)]
pub struct Checks {
    limits: Limits,
    /// Entries of the record that were looked at.
    seen: usize,
    /// SARs on their way, by asker and Hop-by-Hop identifier.
    asked: BTreeMap<(String, u32), (Impi, bool)>,
    /// Whom the HSS granted to which S-CSCF, and who is bound there.
    granted: BTreeSet<(String, Impi)>,
    bound: BTreeMap<String, BTreeSet<Impi>>,
    /// Who was bound anywhere at any time since the troubles ended.
    were_bound: BTreeSet<Impi>,
}

impl Checks {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            limits: plan.limits,
            seen: 0,
            asked: BTreeMap::new(),
            granted: BTreeSet::new(),
            bound: BTreeMap::new(),
            were_bound: BTreeSet::new(),
        }
    }

    pub(super) fn before(&mut self, world: &World) {
        self.seen = world.record().entries().len();
    }

    /// Begins to remember who is bound.
    pub(super) fn remember_bound(&mut self) {
        self.were_bound = self.bound.values().flatten().cloned().collect();
    }

    /// Whether a private identity has had a contact at any S-CSCF since then. It may be over already: an answer
    /// that was lost a few times comes late.
    pub(super) fn was_bound(&self, impi: &Impi) -> bool {
        self.were_bound.contains(impi)
    }

    /// A sentence when something is wrong.
    pub(super) fn after_step(&mut self, world: &mut World, node: NodeId) -> Option<String> {
        self.read_record(world);
        let said = log_watch::take_said().map(|line| format!("an identity or a key in the log: {line}"));
        let name = world.name(node).to_owned();
        said.or_else(|| self.over_limit(&name, &world.gauges(node)))
            .or_else(|| self.not_granted(world, &name))
    }

    /// A node forgot everything.
    pub(super) fn after_restart(&mut self, world: &World, name: &str) -> Option<String> {
        self.read_record(world);
        self.granted.retain(|(scscf, _)| scscf != name);
        self.asked.retain(|(scscf, _), _| scscf != name);
        self.bound.remove(name);
        log_watch::take_said().map(|line| format!("an identity or a key in the log: {line}"))
    }

    fn over_limit(&self, name: &str, gauges: &Metrics) -> Option<String> {
        let limits = [
            ("ims_scscf_bindings", self.limits.bindings),
            ("ims_scscf_registration_sets", self.limits.bindings),
            ("ims_scscf_challenges", self.limits.challenges),
            ("ims_pcscf_contacts", self.limits.contacts),
            ("ims_cx_requests_pending", self.limits.outstanding),
        ];
        gauges.iter().find_map(|(gauge, _, _, value)| {
            let (_, limit) = limits.iter().find(|(limited, _)| *limited == gauge)?;
            (value > *limit as u64).then(|| format!("{gauge} of {name} is {value}, over its limit {limit}"))
        })
    }

    /// A contact that was not there before needs a grant; the grant is used up when the contact goes.
    fn not_granted(&mut self, world: &mut World, name: &str) -> Option<String> {
        if !name.starts_with("S-CSCF") {
            return None;
        }
        let now_bound: BTreeSet<Impi> = world.with(name, |_, node: &mut WithHss<Scscf>| {
            node.cscf().registered().map(|(impi, _)| impi.clone()).collect()
        });
        let before = self.bound.entry(name.to_owned()).or_default();
        if *before == now_bound {
            return None;
        }
        let is_asked = |impi: &Impi| self.asked.values().any(|(asked, _)| asked == impi);
        for gone in before.difference(&now_bound).filter(|impi| !is_asked(impi)) {
            self.granted.remove(&(name.to_owned(), gone.clone()));
        }
        let mut new = now_bound.difference(before);
        let intruder = new.find(|impi| !self.granted.contains(&(name.to_owned(), (*impi).clone())));
        let wrong = intruder.map(|_| format!("{name} bound a contact that the HSS did not grant to it"));
        self.were_bound.extend(now_bound.iter().cloned());
        *before = now_bound;
        wrong
    }

    fn read_record(&mut self, world: &World) {
        let entries = world.record().entries();
        for entry in entries.get(self.seen..).unwrap_or_default() {
            if let What::Diameter { bytes } = &entry.what
                && let Ok(message) = Message::parse(bytes.clone())
                && message.header().code == SERVER_ASSIGNMENT
            {
                self.read_assignment(entry, &message);
            }
        }
        self.seen = entries.len();
    }

    fn read_assignment(&mut self, entry: &Entry, message: &Message) {
        let header = message.header();
        if let Ok(CxRequest::Sar(sar)) = CxRequest::decode(message) {
            let grants = matches!(
                sar.assignment_type,
                ServerAssignmentType::Registration | ServerAssignmentType::ReRegistration
            );
            if let Some(impi) = sar.user_name {
                self.asked
                    .insert((entry.from.clone(), header.hop_by_hop), (impi, grants));
            }
        } else if let Ok(CxAnswer::Saa(saa)) = CxAnswer::decode(message) {
            let asked = self.asked.remove(&(entry.to.clone(), header.hop_by_hop));
            if let Some((impi, true)) = asked.filter(|_| saa.result.is_success()) {
                self.granted.insert((entry.to.clone(), impi));
            }
        }
    }
}
