//! Codec: filter criteria that the configuration gives to profiles by number (TS 29.228 B.2.2).

use ims_common::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::ifc::shared_sets::{self, SharedIfcSets};

/// One shared set: `{id: 1, xml: "<InitialFilterCriteria>…"}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SharedIfcSetConfig {
    /// `SharedIFCSetID`.
    pub id: u32,
    /// `InitialFilterCriteria` elements as an HSS would write them.
    pub xml: String,
}

/// The sets, read.
pub(super) fn read(sets: &[SharedIfcSetConfig]) -> Result<SharedIfcSets, ConfigError> {
    let mut known = SharedIfcSets::default();
    for set in sets {
        let key = "scscf.shared_ifc_sets";
        let of_set = |problem| format!("set {}: {problem}", set.id);
        let criteria = shared_sets::parse(&set.xml).map_err(|error| {
            let expected = "InitialFilterCriteria elements of TS 29.228 Annex E";
            ConfigError::invalid(key, of_set(error.to_string()), expected)
        })?;
        if known.get(set.id).is_some() {
            return Err(ConfigError::invalid(
                key,
                of_set("twice".to_owned()),
                "one set of each id",
            ));
        }
        known.insert(set.id, criteria);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<InitialFilterCriteria><Priority>5</Priority><ApplicationServer><ServerName>sip:tas.home.example\
        </ServerName></ApplicationServer></InitialFilterCriteria>";

    fn set(id: u32, xml: &str) -> SharedIfcSetConfig {
        SharedIfcSetConfig {
            id,
            xml: xml.to_owned(),
        }
    }

    #[test]
    fn sets_are_read_and_found_by_number() {
        let sets = read(&[set(1, XML), set(2, "")]).unwrap();
        assert_eq!(sets.get(1).unwrap().len(), 1);
        assert_eq!(sets.get(2), Some(&[][..]));
        assert_eq!(sets.get(3), None);
    }

    #[test]
    fn what_is_no_criterion_and_what_is_there_twice_is_refused() {
        let error = read(&[set(1, "<InitialFilterCriteria/>")]).unwrap_err();
        assert!(error.to_string().contains("set 1: "), "{error}");
        let error = read(&[set(1, XML), set(1, XML)]).unwrap_err();
        assert!(error.to_string().contains("set 1: twice"), "{error}");
    }
}
