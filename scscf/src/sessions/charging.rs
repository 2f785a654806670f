//! Codec: P-Charging-Vector at the boundaries of this server (TS 24.229 4.5.4; RFC 7315 4.6).

use crate::charging::parameters;
use crate::node::ScscfSettings;

/// Between which networks a message goes: the type of its IOIs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Boundary {
    /// Type 1: visited and home network, that is P-CSCF and S-CSCF.
    Visited,
    /// Type 2: the home networks of the two sides.
    Home,
    /// Type 3: home network and application server.
    Isc,
}

impl Boundary {
    /// Our network in `orig-ioi` or `term-ioi`, quoted.
    fn push_ioi(self, value: &mut String, home_realm: &str) {
        value.push_str(match self {
            Self::Visited => "\"Type 1",
            Self::Home => "\"",
            Self::Isc => "\"Type 3",
        });
        value.push_str(home_realm);
        value.push('"');
    }
}

/// Octets of most vectors, at most.
const VECTOR_USUAL: usize = 256;

/// Of a request that leaves over `boundary`: what was received with our network as `orig-ioi`. A request without
/// `icid-value` gets a fresh one.
pub(crate) fn of_request(
    received: Option<&[u8]>,
    boundary: Boundary,
    home_realm: &str,
    fresh_icid: impl FnOnce() -> String,
) -> String {
    let mut value = String::with_capacity(VECTOR_USUAL);
    let mut has_icid = false;
    for parameter in parameters(text(received)) {
        if !is_any_of(parameter, &["orig-ioi", "term-ioi"]) {
            has_icid |= is_any_of(parameter, &["icid-value"]);
            push(&mut value, parameter);
        }
    }
    if !has_icid {
        value = format!(
            "icid-value=\"{}\"{}{value}",
            fresh_icid(),
            if value.is_empty() { "" } else { ";" }
        );
    }
    value.push_str(";orig-ioi=");
    boundary.push_ioi(&mut value, home_realm);
    value
}

/// Of a response that leaves over `boundary`: `icid-value` and `orig-ioi` of the request as it was received there,
/// our network as `term-ioi`, and what else the response came with. `None` when nothing says which session it is.
pub(super) fn of_response(
    request: Option<&[u8]>,
    response: Option<&[u8]>,
    boundary: Boundary,
    home_realm: &str,
) -> Option<String> {
    let (request, response) = (text(request), text(response));
    let mut value = String::with_capacity(VECTOR_USUAL);
    let mut has_icid = false;
    for parameter in parameters(request) {
        if is_any_of(parameter, &["icid-value", "icid-generated-at", "orig-ioi"]) {
            has_icid |= is_any_of(parameter, &["icid-value"]);
            push(&mut value, parameter);
        }
    }
    if !has_icid {
        let icid = parameters(response).find(|parameter| is_any_of(parameter, &["icid-value"]))?;
        value = format!("{icid}{}{value}", if value.is_empty() { "" } else { ";" });
    }
    value.push_str(";term-ioi=");
    boundary.push_ioi(&mut value, home_realm);
    let ours = ["icid-value", "icid-generated-at", "orig-ioi", "term-ioi"];
    for parameter in parameters(response).filter(|parameter| !is_any_of(parameter, &ours)) {
        push(&mut value, parameter);
    }
    Some(value)
}

fn push(value: &mut String, parameter: &str) {
    if !value.is_empty() {
        value.push(';');
    }
    value.push_str(parameter);
}

/// Whether a network that counts as home has written the `orig-ioi` of type 1.
pub(super) fn is_of_home(vector: Option<&[u8]>, settings: &ScscfSettings) -> bool {
    let orig_ioi = parameters(text(vector)).find(|parameter| is_any_of(parameter, &["orig-ioi"]));
    let value = orig_ioi.and_then(|parameter| parameter.split_once('='));
    let network = value.map(|(_, value)| value.trim().trim_matches('"'));
    let network = network.map(|network| network.strip_prefix("Type 1").unwrap_or(network).trim());
    let mut home = std::iter::once(&settings.home_realm).chain(&settings.home_networks);
    network.is_some_and(|network| home.any(|home| home.eq_ignore_ascii_case(network)))
}

fn text(value: Option<&[u8]>) -> &str {
    value
        .and_then(|value| std::str::from_utf8(value).ok())
        .unwrap_or_default()
}

fn is_any_of(parameter: &str, names: &[&str]) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().trim();
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: &[u8] =
        b"icid-value=\"a1\";icid-generated-at=192.0.2.1;orig-ioi=\"Type 1visited.example\"";

    #[test]
    fn each_boundary_has_its_type_and_our_network_is_the_originating_one_of_requests() {
        let of = |boundary| {
            of_request(Some(RECEIVED), boundary, "home.example", || {
                unreachable!("there is one")
            })
        };
        let common = "icid-value=\"a1\";icid-generated-at=192.0.2.1;orig-ioi=";
        assert_eq!(of(Boundary::Visited), format!("{common}\"Type 1home.example\""));
        assert_eq!(of(Boundary::Home), format!("{common}\"home.example\""));
        assert_eq!(of(Boundary::Isc), format!("{common}\"Type 3home.example\""));
    }

    #[test]
    fn a_request_without_an_identifier_gets_one() {
        let value = of_request(None, Boundary::Home, "home.example", || "fresh".to_owned());
        assert_eq!(value, "icid-value=\"fresh\";orig-ioi=\"home.example\"");
    }

    #[test]
    fn a_response_says_what_the_request_said_and_our_network_as_terminating() {
        let response =
            b"icid-value=a1;orig-ioi=\"home.example\";term-ioi=\"Type 1visited2.example\";related-icid=b";
        assert_eq!(
            of_response(Some(RECEIVED), Some(response), Boundary::Visited, "home.example").unwrap(),
            "icid-value=\"a1\";icid-generated-at=192.0.2.1;orig-ioi=\"Type 1visited.example\";\
             term-ioi=\"Type 1home.example\";related-icid=b"
        );
        assert_eq!(of_response(None, None, Boundary::Home, "home.example"), None);
    }
}
