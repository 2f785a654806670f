//! Codec: the charging headers of responses (TS 24.229 4.5; RFC 7315 4.5, 4.6).

use hss_client::cx::ChargingInformation;

/// P-Charging-Vector of a response to a request within the type 1 relation of P-CSCF and S-CSCF: what was
/// received, and our network as `term-ioi` (TS 24.229 5.4.1.2.2F). `None` when it cannot be text.
pub(crate) fn vector_of_response(received: &[u8], home_realm: &str) -> Option<String> {
    let received = std::str::from_utf8(received).ok()?;
    let mut value = parameters(received)
        .filter(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default().trim();
            !name.eq_ignore_ascii_case("term-ioi")
        })
        .collect::<Vec<_>>()
        .join(";");
    value.push_str(";term-ioi=\"Type 1");
    value.push_str(home_realm);
    value.push('"');
    Some(value)
}

/// Splits at semicolons outside quotes.
pub(crate) fn parameters(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |c| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        c == ';' && !is_quoted
    })
    .map(str::trim)
    .filter(|parameter| !parameter.is_empty())
}

/// P-Charging-Function-Addresses of what the HSS gave, primary before secondary.
pub(crate) fn function_addresses(charging: &ChargingInformation) -> Option<String> {
    let addresses = [
        ("ccf", &charging.primary_collection),
        ("ccf", &charging.secondary_collection),
        ("ecf", &charging.primary_event),
        ("ecf", &charging.secondary_event),
    ];
    let values: Vec<String> = addresses
        .into_iter()
        .filter_map(|(name, address)| {
            let address = address.as_ref()?.replace(['"', '\\'], "");
            Some(format!("{name}=\"{address}\""))
        })
        .collect();
    (!values.is_empty()).then(|| values.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_keeps_the_vector_and_names_the_home_network_as_terminating() {
        let received = b"icid-value=\"a;1\";icid-generated-at=192.0.2.1;orig-ioi=\"Type 1visited.example\"";
        assert_eq!(
            vector_of_response(received, "home.example").unwrap(),
            "icid-value=\"a;1\";icid-generated-at=192.0.2.1;orig-ioi=\"Type 1visited.example\";\
             term-ioi=\"Type 1home.example\""
        );
    }

    #[test]
    fn a_received_terminating_network_is_replaced() {
        assert_eq!(
            vector_of_response(b"icid-value=1; Term-ioi=\"x;y\"", "home.example").unwrap(),
            "icid-value=1;term-ioi=\"Type 1home.example\""
        );
    }

    #[test]
    fn charging_functions_are_listed_primary_first() {
        let charging = ChargingInformation {
            primary_event: Some("aaa://ocs1.home.example:3868".to_owned()),
            secondary_collection: Some("aaa://cdf2.home.example".to_owned()),
            primary_collection: Some("aaa://cdf1.home.example;transport=tcp".to_owned()),
            ..ChargingInformation::default()
        };
        assert_eq!(
            function_addresses(&charging).unwrap(),
            "ccf=\"aaa://cdf1.home.example;transport=tcp\";ccf=\"aaa://cdf2.home.example\";\
             ecf=\"aaa://ocs1.home.example:3868\""
        );
        assert_eq!(function_addresses(&ChargingInformation::default()), None);
    }
}
