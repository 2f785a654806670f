//! Table: users as an operator sees them.

use std::collections::BTreeSet;
use std::time::Instant;

use ims_common::operate::{ImpuRow, Question, Report, UserContactRow, UserRow, secs_between};

use super::{Binding, ImplicitRegistrationSet, Registrar, SetId};

impl Registrar {
    /// Adds a row for each user that is asked for.
    pub(crate) fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        let found = match question.who {
            None => question.newest(self.sets.keys().copied(), &mut out.left_off),
            Some(_) => self.asked_for(question).into_iter().rev().collect(),
        };
        for set in found.iter().filter_map(|id| self.set(*id)) {
            out.add(question, || row(now, set));
        }
    }

    /// The sets of the users that are asked for.
    pub(crate) fn asked_for(&self, question: &Question) -> BTreeSet<SetId> {
        let by_impu = self.by_impu.iter();
        let by_impu = by_impu.filter(|(impu, _)| question.is_about([impu.as_str()]));
        let by_impi = self.by_impi.iter();
        let by_impi = by_impi.filter(|(impi, _)| question.is_about([impi.as_str()]));
        let ids = by_impu.map(|(_, id)| *id);
        ids.chain(by_impi.flat_map(|(_, ids)| ids.iter().copied()))
            .collect()
    }

    /// How many contacts there may be.
    pub(crate) const fn limit(&self) -> usize {
        self.limits.registrations
    }
}

fn row(now: Instant, set: &ImplicitRegistrationSet) -> UserRow {
    let bindings = set.bindings();
    let impis: BTreeSet<&str> = bindings.iter().map(|binding| binding.impi.as_str()).collect();
    let servers: BTreeSet<&str> = set.application_servers().collect();
    let profiles = set
        .subscription()
        .map_or(0, |subscription| subscription.profiles.len());
    let last = bindings
        .iter()
        .map(|binding| secs_between(now, binding.expires_at))
        .max();
    let impu = |member: super::Member| ImpuRow {
        impu: member.impu.as_str().to_owned(),
        barred: member.barred,
    };
    let (barred, open): (Vec<_>, Vec<_>) = set.members().partition(|member| member.barred);
    UserRow {
        node: String::new(),
        impis: impis.into_iter().map(str::to_owned).collect(),
        impus: open.into_iter().chain(barred).map(impu).collect(),
        state: if bindings.is_empty() {
            "unregistered"
        } else {
            "registered"
        }
        .to_owned(),
        contacts: bindings.iter().map(|binding| contact(now, binding)).collect(),
        expires_in_secs: last,
        profiles,
        application_servers: servers.into_iter().map(str::to_owned).collect(),
    }
}

fn contact(now: Instant, binding: &Binding) -> UserContactRow {
    UserContactRow {
        contact: binding.contact.uri().to_string(),
        impi: binding.impi.as_str().to_owned(),
        expires_in_secs: secs_between(now, binding.expires_at),
        path: binding.path.iter().map(|path| path.to_string()).collect(),
        is_emergency: binding.contact.is_for_emergency(),
    }
}
