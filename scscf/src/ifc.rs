//! Engine: which application servers a request goes to: initial filter criteria (TS 23.218 5.2, TS 29.228 Annex C, F).
//!
//! [`Criteria`] are compiled once for each distinct service profile and frozen for the length of a chain. Criteria of
//! shared sets are merged in by priority (TS 29.228 B.2.2).

mod compiled;
pub(crate) mod explain;
mod expression;
mod matching;
pub(crate) mod shared_sets;

use hss_client::user_data::{InitialFilterCriterion, RegistrationType, ServiceProfile, SessionCase};
use ims_common::sip::Request;

use compiled::Compiled;
pub(crate) use expression::{BadExpression, Expressions};
pub(crate) use shared_sets::SharedIfcSets;

/// What the criteria look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// As it came back from the application server before.
    pub(crate) request: &'a Request,
    /// Whom it is served for.
    pub(crate) case: SessionCase,
    /// What a REGISTER does; `None` for other methods.
    pub(crate) registration: Option<RegistrationType>,
}

/// The filter criteria of one service profile, by priority.
#[derive(Debug, Default)]
pub(crate) struct Criteria {
    /// The first to be tried first.
    criteria: Box<[Compiled]>,
    /// Why expressions are none: their triggers never fire.
    bad_expressions: Vec<BadExpression>,
    /// Shared sets that the configuration does not have.
    unknown_sets: Vec<u32>,
}

impl Criteria {
    /// Compiles the criteria of a profile, those of its shared sets among them by priority. Of equal priority, the
    /// profile's own are first (a correct HSS gives none: TS 29.228 B.2.2).
    pub(crate) fn of(profile: &ServiceProfile, sets: &SharedIfcSets, expressions: &mut Expressions) -> Self {
        let own = profile.filter_criteria.iter().map(|criterion| (None, criterion));
        let mut all: Vec<(Option<u32>, &InitialFilterCriterion)> = own.collect();
        let mut unknown_sets = Vec::new();
        for id in &profile.shared_ifc_set_ids {
            match sets.get(*id) {
                Some(set) => all.extend(set.iter().map(|criterion| (Some(*id), criterion))),
                None => unknown_sets.push(*id),
            }
        }
        all.sort_by_key(|(_, criterion)| criterion.priority);
        let mut bad_expressions = Vec::new();
        let criteria = all
            .into_iter()
            .map(|(set, criterion)| Compiled::of(criterion, set, expressions, &mut bad_expressions))
            .collect();
        Self {
            criteria,
            bad_expressions,
            unknown_sets,
        }
    }

    /// The first criterion at or after the place `from` that the request meets, and its place.
    pub(crate) fn next_match(
        &self,
        from: usize,
        subject: &Subject<'_>,
    ) -> Option<(usize, &InitialFilterCriterion)> {
        let (place, found) = self
            .criteria
            .iter()
            .enumerate()
            .skip(from)
            .find(|(_, compiled)| compiled.is_met(subject))?;
        Some((place, &found.criterion))
    }

    /// Whether there is any criterion for this case of a session: by its trigger, it might fire.
    pub(crate) fn names_case(&self, case: SessionCase) -> bool {
        self.criteria.iter().any(|compiled| compiled.names_case(case))
    }

    /// The servers that the criteria name.
    pub(crate) fn application_servers(&self) -> impl Iterator<Item = &str> {
        self.criteria
            .iter()
            .map(|compiled| &*compiled.criterion.application_server.server_name)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.criteria.len()
    }

    /// Why expressions of the profile are none.
    pub(crate) fn bad_expressions(&self) -> &[BadExpression] {
        &self.bad_expressions
    }

    /// Shared sets that the profile names and the configuration does not have.
    pub(crate) fn unknown_sets(&self) -> &[u32] {
        &self.unknown_sets
    }
}

#[cfg(test)]
mod tests;
