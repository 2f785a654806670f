//! Codec: the configuration of where numbers and foreign domains are served (TS 24.229 5.4.3.2, TS 23.228 5.19).

use ims_common::config::{ConfigError, DomainName};
use ims_common::sip::UriBuf;
use serde::{Deserialize, Serialize};

/// How numbers are dialled at home.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NumbersConfig {
    /// The country code of the home network; without one, only global numbers (`+…`) are understood.
    pub country_code: Option<String>,
    /// What is dialled before a country code.
    pub international_prefix: String,
    /// What is dialled before a national number; with none, numbers without a prefix are national.
    pub national_prefix: String,
    /// Digits of a national number, where all have the same: then those without a prefix are understood too.
    pub national_digits: Option<usize>,
    /// What is put before longer numbers without any prefix.
    pub area_code: Option<String>,
    /// Numbers without a prefix up to this length are service numbers and stay as they are.
    pub short_digits: usize,
    /// Global numbers of fewer digits are incomplete.
    pub digits_min: usize,
}

impl Default for NumbersConfig {
    fn default() -> Self {
        Self {
            country_code: None,
            international_prefix: "00".to_owned(),
            national_prefix: "0".to_owned(),
            national_digits: None,
            area_code: None,
            short_digits: 6,
            digits_min: 4,
        }
    }
}

impl NumbersConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let given = [
            ("country_code", self.country_code.as_deref().unwrap_or("0")),
            ("international_prefix", self.international_prefix.as_str()),
            ("national_prefix", self.national_prefix.as_str()),
            ("area_code", self.area_code.as_deref().unwrap_or("0")),
        ];
        for (key, digits) in given {
            let may_be_empty = key.ends_with("prefix");
            if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.is_empty() && !may_be_empty {
                return Err(ConfigError::invalid(
                    &format!("scscf.numbers.{key}"),
                    format!("`{digits}` are no digits"),
                    "digits only, without +",
                ));
            }
        }
        Ok(())
    }
}

/// One rule of the breakout: `{prefix: "+49", to: ["sip:mgcf.example"]}` or `{domain: other.example, to: […]}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Numbers that begin so: `+` and digits for global ones, `+` alone for all of them, digits for local ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// This domain and those below it; `*` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// SIP URIs of the next hops in the order in which to try.
    pub to: Vec<String>,
}

/// What one rule is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum RouteKey {
    Prefix(String),
    Domain(String),
}

/// Reads the rules.
pub(super) fn routes(rules: &[RouteConfig]) -> Result<Vec<(RouteKey, Vec<UriBuf>)>, ConfigError> {
    let mut known: Vec<(RouteKey, Vec<UriBuf>)> = Vec::with_capacity(rules.len());
    for rule in rules {
        let (key, to) = (route_key(rule)?, next_hops(&rule.to)?);
        if known.iter().any(|(other, _)| *other == key) {
            return Err(bad_route(format!("{key:?} twice"), "one rule for each"));
        }
        known.push((key, to));
    }
    Ok(known)
}

fn bad_route(problem: String, expected: &str) -> ConfigError {
    ConfigError::invalid("scscf.routes", problem, expected)
}

fn route_key(rule: &RouteConfig) -> Result<RouteKey, ConfigError> {
    match (&rule.prefix, &rule.domain) {
        (Some(prefix), None) => {
            let digits = prefix.strip_prefix('+').unwrap_or(prefix);
            let is_digit = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
            if prefix.is_empty() || !digits.bytes().all(is_digit) {
                return Err(bad_route(
                    format!("`{prefix}` is no prefix of numbers"),
                    "+ and digits, or digits",
                ));
            }
            Ok(RouteKey::Prefix(prefix.clone()))
        }
        (None, Some(domain)) if domain == "*" => Ok(RouteKey::Domain("*".to_owned())),
        (None, Some(domain)) => {
            let name: DomainName = domain
                .parse()
                .map_err(|_| bad_route(format!("`{domain}` is no domain name"), "a domain name, or *"))?;
            Ok(RouteKey::Domain(name.as_str().to_ascii_lowercase()))
        }
        _ => Err(bad_route(
            "a rule with both or none of prefix and domain".to_owned(),
            "one of them",
        )),
    }
}

fn next_hops(to: &[String]) -> Result<Vec<UriBuf>, ConfigError> {
    if to.is_empty() {
        return Err(bad_route(
            "a rule without next hops".to_owned(),
            "at least one SIP URI",
        ));
    }
    let read = |text: &String| match text.parse::<UriBuf>() {
        Ok(uri) if uri.as_uri().is_sip() => Ok(uri),
        _ => Err(bad_route(
            format!("`{text}` is not a SIP URI"),
            "one as sip:mgcf.example:5060",
        )),
    };
    to.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: Option<&str>, domain: Option<&str>, to: &[&str]) -> RouteConfig {
        RouteConfig {
            prefix: prefix.map(Into::into),
            domain: domain.map(Into::into),
            to: to.iter().map(|uri| (*uri).to_owned()).collect(),
        }
    }

    #[test]
    fn rules_need_one_key_and_next_hops() {
        let to = &["sip:mgcf.example"];
        assert!(routes(&[rule(Some("+"), None, to), rule(None, Some("*"), to)]).is_ok());
        for bad in [
            rule(None, None, to),
            rule(Some("+1"), Some("a.example"), to),
            rule(Some(""), None, to),
            rule(Some("+1x"), None, to),
            rule(None, Some("a b"), to),
            rule(Some("+1"), None, &[]),
            rule(Some("+1"), None, &["tel:+1"]),
            rule(Some("+1"), None, &["mgcf.example"]),
        ] {
            let error = routes(std::slice::from_ref(&bad)).unwrap_err();
            assert_eq!(error.key, "scscf.routes", "{bad:?}");
        }
        let twice = rule(Some("+1"), None, to);
        assert!(routes(&[twice.clone(), twice]).is_err());
    }

    #[test]
    fn prefixes_and_codes_are_digits() {
        assert!(NumbersConfig::default().check().is_ok());
        let no_prefixes = NumbersConfig {
            national_prefix: String::new(),
            ..NumbersConfig::default()
        };
        assert!(no_prefixes.check().is_ok());
        for country_code in ["", "+1", "x"] {
            let numbers = NumbersConfig {
                country_code: Some(country_code.into()),
                ..NumbersConfig::default()
            };
            assert_eq!(numbers.check().unwrap_err().key, "scscf.numbers.country_code");
        }
    }
}
