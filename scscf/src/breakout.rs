//! Engine: the next hops for what this network does not serve: rules by prefix of numbers and by domain
//! (TS 24.229 5.4.3.2, 5.6.2).

use ims_common::sip::UriBuf;

use crate::config::RouteKey;
use crate::numbers::{GlobalNumber, LocalNumber};

/// The rules, the most particular ones first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breakout {
    prefixes: Vec<(String, Vec<UriBuf>)>,
    domains: Vec<(String, Vec<UriBuf>)>,
    /// For domains without a rule.
    any_domain: Option<Vec<UriBuf>>,
}

impl Breakout {
    pub(crate) fn new(rules: Vec<(RouteKey, Vec<UriBuf>)>) -> Self {
        let mut breakout = Self::default();
        for (key, to) in rules {
            match key {
                RouteKey::Prefix(prefix) => breakout.prefixes.push((prefix, to)),
                RouteKey::Domain(domain) if domain == "*" => breakout.any_domain = Some(to),
                RouteKey::Domain(domain) => breakout.domains.push((domain, to)),
            }
        }
        breakout
            .prefixes
            .sort_by_key(|(prefix, _)| usize::MAX - prefix.len());
        breakout
            .domains
            .sort_by_key(|(domain, _)| usize::MAX - domain.len());
        breakout
    }

    /// For a global number: by its routing number when a query has given one, else by itself.
    pub(crate) fn for_global(&self, number: &GlobalNumber) -> Option<&[UriBuf]> {
        match number.routing_number() {
            Some(routing_number) => self.for_digits(routing_number),
            None => self.for_digits(&format!("+{}", number.digits())),
        }
    }

    /// For a number of the home network that is not global: a service number.
    pub(crate) fn for_local(&self, number: &LocalNumber) -> Option<&[UriBuf]> {
        match number.context {
            None => self.for_digits(&number.digits),
            Some(_) => None,
        }
    }

    fn for_digits(&self, number: &str) -> Option<&[UriBuf]> {
        let mut rules = self.prefixes.iter();
        let (_, to) = rules.find(|(prefix, _)| number.starts_with(prefix))?;
        Some(to)
    }

    /// For a domain: by its own rule, by that of one above it, or by the rule for all.
    pub(crate) fn for_domain(&self, domain: &str) -> Option<&[UriBuf]> {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let is_below = |above: &str| {
            let below = domain.strip_suffix(above);
            below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let mut rules = self.domains.iter();
        let own = rules.find(|(above, _)| is_below(above)).map(|(_, to)| to);
        own.or(self.any_domain.as_ref()).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NumbersConfig;
    use crate::numbers::{Normaliser, Number};
    use ims_common::sip::Uri;

    fn breakout(rules: &[(&str, &str)]) -> Breakout {
        let rules = rules.iter().map(|(key, to)| {
            let is_prefix = key.starts_with(|c: char| c == '+' || c.is_ascii_digit());
            let key = match is_prefix {
                true => RouteKey::Prefix((*key).to_owned()),
                false => RouteKey::Domain((*key).to_owned()),
            };
            (key, to.split(' ').map(|uri| uri.parse().unwrap()).collect())
        });
        Breakout::new(rules.collect())
    }

    fn hops(found: Option<&[UriBuf]>) -> String {
        let hops: Vec<&str> = found.unwrap_or_default().iter().map(UriBuf::as_str).collect();
        hops.join(" ")
    }

    fn for_uri(breakout: &Breakout, uri: &str) -> String {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        match Normaliser::new(&NumbersConfig::default(), "home.example").read(&uri) {
            Number::Global(number) => hops(breakout.for_global(&number)),
            Number::Local(number) => hops(breakout.for_local(&number)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_prefix_wins_and_next_hops_stay_in_order() {
        let breakout = breakout(&[
            ("+", "sip:all.example"),
            ("+1", "sip:one.example sip:two.example:5070"),
            ("+1202", "sip:dc.example"),
            ("11", "sip:services.example"),
        ]);
        for (uri, to) in [
            ("tel:+12025550101", "sip:dc.example"),
            ("tel:+12015550101", "sip:one.example sip:two.example:5070"),
            ("tel:+4930123456", "sip:all.example"),
            ("tel:116", "sip:services.example"),
            ("tel:411", ""),
            ("tel:116;phone-context=pbx.example", ""),
            ("tel:+4930123456;npdi;rn=+12029", "sip:dc.example"),
            ("tel:+4930123456;rn=+12029", "sip:all.example"),
            ("tel:+4930123456;npdi;rn=119", "sip:services.example"),
            ("tel:+4930123456;npdi;rn=99", ""),
        ] {
            assert_eq!(for_uri(&breakout, uri), to, "{uri}");
        }
    }

    #[test]
    fn a_domain_is_served_by_its_own_rule_before_one_above_it() {
        let rules = [("example", "sip:top"), ("a.example", "sip:a"), ("*", "sip:any")];
        let all = breakout(&rules);
        for (domain, to) in [
            ("a.example", "sip:a"),
            ("A.Example.", "sip:a"),
            ("b.a.example", "sip:a"),
            ("ba.example", "sip:top"),
            ("other.test", "sip:any"),
        ] {
            assert_eq!(hops(all.for_domain(domain)), to, "{domain}");
        }
        assert_eq!(hops(breakout(&rules[..2]).for_domain("other.test")), "");
    }
}
