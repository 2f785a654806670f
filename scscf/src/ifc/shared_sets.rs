//! Table: criteria that many profiles share, known here by number (TS 29.228 B.2.2 SharedIFCSetID).

use std::collections::BTreeMap;

use hss_client::user_data::{self, InitialFilterCriterion, UserDataError};

/// The sets of the configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SharedIfcSets(BTreeMap<u32, Vec<InitialFilterCriterion>>);

impl SharedIfcSets {
    pub(crate) fn get(&self, id: u32) -> Option<&[InitialFilterCriterion]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    pub(crate) fn insert(&mut self, id: u32, criteria: Vec<InitialFilterCriterion>) {
        self.0.insert(id, criteria);
    }
}

/// Reads `InitialFilterCriteria` elements, one after the other, as they stand in a service profile.
///
/// # Errors
/// When that is no XML of TS 29.228 Annex E.
pub(crate) fn parse(xml: &str) -> Result<Vec<InitialFilterCriterion>, UserDataError> {
    // The reader of profiles reads these too, if a profile stands around them.
    let document = format!(
        "<IMSSubscription><PrivateID>shared</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:shared</Identity>\
         </PublicIdentity>{}</ServiceProfile></IMSSubscription>",
        without_declaration(xml)
    );
    let subscription = user_data::parse(document.as_bytes())?;
    let profiles = subscription.profiles.into_iter();
    Ok(profiles.flat_map(|profile| profile.filter_criteria).collect())
}

fn without_declaration(xml: &str) -> &str {
    let xml = xml.trim();
    match xml.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) {
        Some((_, rest)) => rest,
        None => xml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "<?xml version=\"1.0\"?><InitialFilterCriteria><Priority>5</Priority><ApplicationServer>\
        <ServerName>sip:tas.home.example</ServerName></ApplicationServer></InitialFilterCriteria>";

    #[test]
    fn a_set_is_read_as_a_profile_would_hold_it() {
        let set = parse(ONE).unwrap();
        assert_eq!((set.len(), set[0].priority), (1, 5));
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_no_criterion_is_refused() {
        for xml in [
            "<InitialFilterCriteria><Priority>5</Priority></InitialFilterCriteria>",
            "<InitialFilterCriteria>",
            "</ServiceProfile>",
        ] {
            assert!(parse(xml).is_err(), "{xml}");
        }
    }
}
