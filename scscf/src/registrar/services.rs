//! Table: service profiles with their compiled filter criteria, each kept once for all users who have it.

use std::sync::Arc;

use hss_client::user_data::ServiceProfile;

use super::shared::Derived;
use crate::ifc::{Criteria, Expressions, SharedIfcSets};

/// What an identity may do, and which application servers are asked.
#[derive(Debug)]
pub(crate) struct Services {
    /// Without its identities.
    pub(crate) profile: Arc<ServiceProfile>,
    /// Those of the profile and of the shared sets that it names. A chain holds on to them (TS 23.218 5.2).
    pub(crate) criteria: Arc<Criteria>,
}

/// Services by their profile.
#[derive(Debug, Default)]
pub(crate) struct ServicesTable {
    known: Derived<ServiceProfile, Services>,
    sets: SharedIfcSets,
    expressions: Expressions,
    bad_expressions: u64,
    unknown_sets: u64,
}

impl ServicesTable {
    pub(super) fn set_shared_ifc_sets(&mut self, sets: SharedIfcSets) {
        self.sets = sets;
    }

    pub(super) const fn shared_ifc_sets(&self) -> &SharedIfcSets {
        &self.sets
    }

    /// The services of a profile; whose it is does not matter.
    pub(super) fn of(&mut self, mut profile: ServiceProfile) -> Arc<Services> {
        profile.public_identities = Vec::new();
        let Self {
            known,
            sets,
            expressions,
            bad_expressions,
            unknown_sets,
        } = self;
        known.of(profile, |profile| {
            let criteria = Criteria::of(&profile, sets, expressions);
            report(&criteria);
            *bad_expressions += count(criteria.bad_expressions());
            *unknown_sets += count(criteria.unknown_sets());
            Services {
                profile,
                criteria: Arc::new(criteria),
            }
        })
    }

    /// How many expressions were none, and how many shared sets unknown, in the profiles that came.
    pub(super) const fn bad_criteria(&self) -> (u64, u64) {
        (self.bad_expressions, self.unknown_sets)
    }
}

fn count<T>(values: &[T]) -> u64 {
    u64::try_from(values.len()).unwrap_or(u64::MAX)
}

/// One line for each distinct profile: it is compiled once.
fn report(criteria: &Criteria) {
    let (bad, unknown) = (criteria.bad_expressions(), criteria.unknown_sets());
    if !bad.is_empty() || !unknown.is_empty() {
        tracing::warn!(
            bad_expressions = ?bad,
            unknown_shared_sets = ?unknown,
            clause = "TS 29.228 Annex C",
            "filter criteria that never match"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hss_client::user_data;

    fn profile(uri: &str) -> ServiceProfile {
        let xml = format!(
            "<IMSSubscription><PrivateID>a@home.example</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:a@\
             home.example</Identity></PublicIdentity><InitialFilterCriteria><Priority>1</Priority><TriggerPoint>\
             <ConditionTypeCNF>1</ConditionTypeCNF><SPT><Group>0</Group><RequestURI>{uri}</RequestURI></SPT>\
             </TriggerPoint><ApplicationServer><ServerName>sip:as.home.example</ServerName></ApplicationServer>\
             </InitialFilterCriteria><Extension><SharedIFCSetID>7</SharedIFCSetID></Extension></ServiceProfile>\
             </IMSSubscription>"
        );
        user_data::parse(xml.as_bytes()).unwrap().profiles.remove(0)
    }

    #[test]
    fn a_profile_is_compiled_once_and_its_faults_are_counted_once() {
        let mut table = ServicesTable::default();
        let first = table.of(profile("*"));
        let again = table.of(profile("*"));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(table.bad_criteria(), (1, 1));
        table.of(profile("alice"));
        assert_eq!(table.bad_criteria(), (1, 2));
    }

    #[test]
    fn a_set_of_the_configuration_is_known() {
        let mut table = ServicesTable::default();
        let mut sets = SharedIfcSets::default();
        sets.insert(7, profile("bob").filter_criteria);
        table.set_shared_ifc_sets(sets);
        assert_eq!(table.of(profile("alice")).criteria.len(), 2);
        assert_eq!(table.bad_criteria(), (0, 0));
    }
}
