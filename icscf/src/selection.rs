//! Engine: which S-CSCF serves a user (TS 29.228 6.7, TS 24.229 5.3.1.2).

use std::collections::BTreeSet;

use hss_client::cx::ServerCapabilities;
use ims_common::sip::UriBuf;

/// An S-CSCF that the configuration names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Scscf {
    /// Its name, as the HSS will store it.
    pub(crate) uri: UriBuf,
    /// What it can do, in the operator's own numbers.
    pub(crate) capabilities: BTreeSet<u32>,
}

/// What the HSS said about who may serve.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assignment {
    /// Server-Name.
    pub(crate) server_name: Option<String>,
    /// Server-Capabilities.
    pub(crate) capabilities: Option<ServerCapabilities>,
}

/// The S-CSCFs that may serve, the best first, without those in `tried`.
///
/// Server-Name is the S-CSCF that holds the user. Else names in Server-Capabilities count alone; else all that have
/// every mandatory capability, those with more of the optional ones first, then in the configured order.
/// Open5GS and PyHSS send no capabilities: then every configured S-CSCF will do.
pub(crate) fn candidates(assignment: &Assignment, configured: &[Scscf], tried: &[UriBuf]) -> Vec<UriBuf> {
    let untried = |uri: &UriBuf| !tried.iter().any(|other| other.as_uri().equivalent(&uri.as_uri()));
    if let Some(uri) = assignment.server_name.as_deref().and_then(parsed)
        && untried(&uri)
    {
        return vec![uri];
    }
    let none = ServerCapabilities::default();
    let wanted = assignment.capabilities.as_ref().unwrap_or(&none);
    if !wanted.server_names.is_empty() {
        let named = wanted.server_names.iter().filter_map(|name| parsed(name));
        return named.filter(untried).collect();
    }
    let mut able: Vec<&Scscf> = configured
        .iter()
        .filter(|scscf| wanted.mandatory.iter().all(|c| scscf.capabilities.contains(c)))
        .filter(|scscf| untried(&scscf.uri))
        .collect();
    // A stable sort: the configured order decides between equals.
    able.sort_by_key(|scscf| {
        let has = |c: &&u32| scscf.capabilities.contains(c);
        std::cmp::Reverse(wanted.optional.iter().filter(has).count())
    });
    able.into_iter().map(|scscf| scscf.uri.clone()).collect()
}

fn parsed(name: &str) -> Option<UriBuf> {
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> UriBuf {
        text.parse().unwrap()
    }

    fn pool() -> Vec<Scscf> {
        [
            ("sip:s1.home.test", vec![1]),
            ("sip:s2.home.test", vec![1, 2, 9]),
            ("sip:s3.home.test", vec![2, 9]),
        ]
        .into_iter()
        .map(|(name, capabilities)| Scscf {
            uri: uri(name),
            capabilities: capabilities.into_iter().collect(),
        })
        .collect()
    }

    fn wanting(mandatory: &[u32], optional: &[u32]) -> Assignment {
        Assignment {
            server_name: None,
            capabilities: Some(ServerCapabilities {
                mandatory: mandatory.to_vec(),
                optional: optional.to_vec(),
                server_names: Vec::new(),
            }),
        }
    }

    fn chosen(assignment: &Assignment, tried: &[UriBuf]) -> Vec<String> {
        let list = candidates(assignment, &pool(), tried);
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_any_word_of_the_hss_the_configured_order_decides() {
        assert_eq!(
            chosen(&Assignment::default(), &[]),
            ["sip:s1.home.test", "sip:s2.home.test", "sip:s3.home.test"]
        );
    }

    #[test]
    fn all_mandatory_capabilities_are_needed_and_optional_ones_rank() {
        assert_eq!(
            chosen(&wanting(&[1], &[]), &[]),
            ["sip:s1.home.test", "sip:s2.home.test"]
        );
        assert_eq!(
            chosen(&wanting(&[1], &[2, 9]), &[]),
            ["sip:s2.home.test", "sip:s1.home.test"]
        );
        assert_eq!(
            chosen(&wanting(&[], &[9]), &[]).first().unwrap(),
            "sip:s2.home.test"
        );
        assert!(chosen(&wanting(&[1, 77], &[]), &[]).is_empty());
    }

    #[test]
    fn names_in_the_capabilities_count_alone() {
        let mut assignment = wanting(&[77], &[]);
        assignment.capabilities.as_mut().unwrap().server_names = vec!["sip:other.home.test".to_owned()];
        assert_eq!(chosen(&assignment, &[]), ["sip:other.home.test"]);
    }

    #[test]
    fn the_assigned_server_comes_first_even_when_nobody_configured_it() {
        let mut assignment = wanting(&[1], &[]);
        assignment.server_name = Some("sip:never-seen.home.test:5060".to_owned());
        assert_eq!(chosen(&assignment, &[]), ["sip:never-seen.home.test:5060"]);
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let assignment = Assignment {
            server_name: Some("sip:s1.home.test".to_owned()),
            capabilities: None,
        };
        assert_eq!(
            chosen(&assignment, &[uri("sip:S1.home.test")]),
            ["sip:s2.home.test", "sip:s3.home.test"]
        );
    }
}
