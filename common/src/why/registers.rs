//! Engine: the REGISTERs of a case, each with its final answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::case::Case;
use super::entry::Entry;
use super::facts::Fact;
use crate::net::Interface;

/// A REGISTER and its final answer, as one node saw them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registering<'a> {
    /// As it came.
    pub(crate) request: &'a Entry,
    /// The final answer, as it left.
    pub(crate) answer: Option<&'a Entry>,
}

impl Registering<'_> {
    /// The status of the final answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.answer?.answer_to("REGISTER")
    }

    /// The SIM says that the sequence number is out of its range.
    pub(crate) fn resynchronises(&self) -> bool {
        self.request.facts.has(Fact::Auts)
    }

    /// It has a response.
    pub(crate) fn responds(&self) -> bool {
        self.request.facts.has(Fact::Response) && !self.resynchronises()
    }

    /// It speaks of a challenge and has no response to it: the network's proof is not believed (RFC 3310 3.2).
    pub(crate) fn disbelieves(&self) -> bool {
        self.request.facts.has(Fact::NonceMark) && !self.responds() && !self.resynchronises()
    }

    /// It is about this challenge.
    pub(crate) fn is_about(&self, challenge: &Entry) -> bool {
        let mark = challenge.get(Fact::NonceMark);
        mark.is_some() && self.request.get(Fact::NonceMark) == mark
    }

    /// A contact was registered by it; when the answer left.
    pub(crate) fn granted_at(&self) -> Option<u64> {
        let registers =
            self.request.facts.has(Fact::ContactHost) && self.request.get(Fact::Expires) != Some("0");
        let is_granted = self.status().is_some_and(|status| (200..300).contains(&status));
        (registers && is_granted).then(|| self.answer.map(|it| it.at))?
    }
}

impl Case {
    /// The REGISTERs that came from phones, oldest first.
    pub(crate) fn registers_on_gm(&self) -> Vec<Registering<'_>> {
        self.registers(Entry::is_gm)
    }

    /// The REGISTERs that came to the S-CSCF, oldest first.
    pub(crate) fn registers_at_the_scscf(&self) -> Vec<Registering<'_>> {
        self.registers(|entry| entry.node == "scscf")
    }

    fn registers(&self, is_there: impl Fn(&Entry) -> bool) -> Vec<Registering<'_>> {
        let mut all: Vec<Registering<'_>> = Vec::new();
        let mut places: BTreeMap<(&str, &str, u32), usize> = BTreeMap::new();
        for entry in &self.entries {
            let Some(step) = entry.sip().filter(|_| is_there(entry)) else {
                continue;
            };
            let key = (&*entry.node, entry.call_id.as_str(), step.cseq);
            if entry.is_request("REGISTER") && entry.is_heard() {
                places.entry(key).or_insert_with(|| {
                    all.push(Registering {
                        request: entry,
                        answer: None,
                    });
                    all.len() - 1
                });
            } else if entry.answer_to("REGISTER").is_some_and(|status| status >= 200)
                && !entry.is_heard()
                && let Some(known) = places.get(&key).and_then(|place| all.get_mut(*place))
            {
                known.answer.get_or_insert(entry);
            }
        }
        all
    }

    /// Whether a contact was registered after this instant, at whichever node that was seen.
    pub(crate) fn is_granted_after(&self, at: u64) -> bool {
        let grants = |all: Vec<Registering<'_>>| {
            let mut grants = all.iter().filter_map(Registering::granted_at);
            grants.any(|granted| granted > at)
        };
        grants(self.registers_on_gm()) || grants(self.registers_at_the_scscf())
    }

    /// When the contact was registered that still is, by these REGISTERs.
    pub(crate) fn registered_since(&self, registers: &[Registering<'_>]) -> Option<u64> {
        let last = registers.iter().rev().find(|it| it.granted_at().is_some())?;
        let granted = last.granted_at()?;
        let leaves =
            |it: &Registering<'_>| it.request.at > granted && it.request.get(Fact::Expires) == Some("0");
        let secs = last.answer.and_then(|it| it.facts.number(Fact::Expires));
        let is_over =
            secs.is_some_and(|secs| granted.saturating_add(secs.saturating_mul(1_000_000)) <= self.now);
        (!is_over && !registers.iter().any(leaves)).then_some(granted)
    }

    /// The addresses that the subscriber's phones have.
    fn addresses(&self) -> BTreeSet<IpAddr> {
        let gm = self.entries.iter().filter(|entry| entry.is_gm());
        gm.filter_map(|entry| Some(entry.sip()?.peer.ip())).collect()
    }

    /// A challenge with security associations after which nothing came over them, though a phone answers at once:
    /// the newest one.
    pub(crate) fn challenge_without_esp(&self) -> Option<&Entry> {
        let registers = self.registers_on_gm();
        let challenged = registers.iter().rev().find(|it| it.status() == Some(401))?;
        let challenge = challenged
            .answer
            .filter(|it| it.facts.has(Fact::SecurityServer))?;
        let has_come = |entry: &Entry| {
            entry.is_heard() && entry.sip().is_some_and(|sip| sip.side == Interface::GmProtected)
        };
        let is_silent = challenge.secs_until(self.now) >= ANSWER_SECS
            && !self.after(challenge.at).any(has_come)
            && !self.is_granted_after(challenge.at);
        is_silent.then_some(challenge)
    }

    /// By how much these counters of a kernel grew from an instant on, as far as that may be this subscriber's doing, and
    /// the newest proof.
    pub(crate) fn grown(&self, counters: &[&str], since: u64) -> Option<Grown<'_>> {
        let addresses = self.addresses();
        let may_be_his = |entry: &&Entry| {
            let address = entry.get(Fact::Address).and_then(|it| it.parse().ok());
            address.is_none_or(|address: IpAddr| addresses.contains(&address))
        };
        let mut grown: Option<Grown<'_>> = None;
        for entry in self.site.iter().filter(|it| it.at >= since).filter(may_be_his) {
            if let Some(step) = entry.kernel().filter(|it| counters.contains(&&*it.counter)) {
                let before = grown.map_or(0, |it| it.by);
                grown = Some(Grown {
                    by: before.saturating_add(step.grown),
                    proof: entry,
                });
            }
        }
        grown
    }
}

/// How counters of a kernel grew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grown<'a> {
    /// By how much.
    pub(crate) by: u64,
    /// The newest step.
    pub(crate) proof: &'a Entry,
}

/// A phone that can answer a challenge, or is content with what it was granted, says so within these seconds.
pub(crate) const ANSWER_SECS: u64 = 10;

/// A number and what is counted, one or several.
pub(crate) fn counted(number: u64, one: &str, several: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {several}"),
    }
}
