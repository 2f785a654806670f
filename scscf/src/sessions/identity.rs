//! Engine: the second identity of a user in P-Asserted-Identity, and numbers without what routing added to them.

use ims_common::identity::Impu;
use ims_common::sip::{HeaderName, Message, NameAddr};

/// The identities that P-Asserted-Identity asserts, in its order (RFC 3325 9.1).
pub(super) fn asserted(message: &Message) -> Vec<Impu> {
    message
        .values(HeaderName::PAssertedIdentity)
        .filter_map(|value| NameAddr::parse(value).ok())
        .filter_map(|value| Impu::from_bytes(value.uri.as_bytes()).ok())
        .collect()
}

/// TS 24.229 5.4.3.2, 5.4.3.3: when P-Asserted-Identity has a SIP URI alone or a tel URI alone, the value that the
/// alias of the other kind makes.
pub(super) fn missing_alias(
    message: &Message,
    alias_of: impl FnOnce(&Impu) -> Option<Impu>,
) -> Option<String> {
    match asserted(message).as_slice() {
        [only] => alias_of(only).map(|alias| format!("<{}>", alias.as_str())),
        _ => None,
    }
}

/// A Request-URI without what number portability added to it: `npdi`, `rn`, `rn-context` (RFC 4694; TS 24.229 5.4.3.3).
pub(super) fn without_number_portability(uri: &str) -> String {
    let (user, host) = match uri.split_once('@') {
        Some((user, host)) => (user, Some(host)),
        None => (uri, None),
    };
    let is_added = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        ["npdi", "rn", "rn-context"]
            .iter()
            .any(|added| name.eq_ignore_ascii_case(added))
    };
    let kept: Vec<&str> = user.split(';').filter(|parameter| !is_added(parameter)).collect();
    let mut text = kept.join(";");
    if let Some(host) = host {
        text.push('@');
        text.push_str(host);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_portability_leaves_no_trace_in_either_kind_of_uri() {
        for (uri, plain) in [
            ("tel:+15550002;npdi;rn=+15559999", "tel:+15550002"),
            (
                "sip:+15550002;rn=+1555;npdi@h.example;user=phone",
                "sip:+15550002@h.example;user=phone",
            ),
            ("sip:bob@h.example;x=1", "sip:bob@h.example;x=1"),
            (
                "tel:7042;phone-context=h.example",
                "tel:7042;phone-context=h.example",
            ),
        ] {
            assert_eq!(without_number_portability(uri), plain);
        }
    }
}
