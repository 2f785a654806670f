//! Codec: P-Charging-Vector at the border of the visited network (RFC 7315 4.6, 5.6; TS 24.229 4.5, 7.2A.5).

use ims_common::sip::{HeaderName, Request};

use crate::node::Settings;

/// The vector of a request from here: `icid-value` as it was made or came, our network as originator of type 1.
pub(crate) fn vector_of(settings: &Settings, icid: &str) -> String {
    let Settings {
        mw_address: host,
        network,
        ..
    } = settings;
    format!("icid-value={icid};icid-generated-at={host};orig-ioi=\"Type 1{network}\"")
}

/// The charging identifier of a request that came from the home network, as it is written there; empty where there is
/// none.
pub(crate) fn icid(request: &Request) -> String {
    let value = parameters(request).find(|(name, _)| name.eq_ignore_ascii_case("icid-value"));
    value.map(|(_, value)| value).unwrap_or_default()
}

/// The vector of an answer to such a request: what came, with our network as terminator of type 1 (TS 24.229 5.2.6.4.4).
pub(crate) fn answered(settings: &Settings, request: &Request) -> Option<String> {
    let kept: Vec<String> = parameters(request)
        .filter(|(name, _)| !name.eq_ignore_ascii_case("term-ioi"))
        .map(|(name, value)| match value.is_empty() {
            true => name,
            false => format!("{name}={value}"),
        })
        .collect();
    let vector = kept.join(";");
    (!vector.is_empty()).then(|| format!("{vector};term-ioi=\"Type 1{}\"", settings.network))
}

/// The parameters in the order written; quoted values keep their quotes.
fn parameters(request: &Request) -> impl Iterator<Item = (String, String)> {
    let line = request.header(HeaderName::PChargingVector).unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut quoted = false;
    let parts = line.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let parts: Vec<(String, String)> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    parts.into_iter().filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use ims_common::sip::Method;

    use super::*;

    fn request(vector: &str) -> Request {
        Request::build(Method::Invite, "tel:+15550002")
            .header(HeaderName::PChargingVector, vector)
            .finish_request()
    }

    fn read(vector: &str) -> Vec<String> {
        parameters(&request(vector))
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn parameters_are_read_with_quotes_around_separators() {
        assert_eq!(
            read("icid-value=\"a;b\" ; orig-ioi=\"Type 1x\";flag;n=1"),
            ["icid-value=\"a;b\"", "orig-ioi=\"Type 1x\"", "flag=", "n=1"]
        );
        assert!(read("").is_empty());
        assert_eq!(read(";;icid-value=x;"), ["icid-value=x"]);
    }

    #[test]
    fn the_identifier_stays_as_it_is_written() {
        assert_eq!(icid(&request("orig-ioi=x;ICID-value=\"a b\"")), "\"a b\"");
        assert_eq!(
            icid(&Request::build(Method::Invite, "tel:+1").finish_request()),
            ""
        );
    }
}
