//! Codec: parameters, `;name[=value]`, of headers and URIs (RFC 3261 7.3.1, 25.1 `generic-param`).

use std::borrow::Cow;

use super::text::{self, ByteSet, Split, cut};

/// The parameters after an address, a Via or a URI: the text after the first `;`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params<'a> {
    text: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// `text` is what comes after the first `;`, `None` when there is no `;`.
    pub(crate) fn new(text: Option<&'a [u8]>) -> Self {
        Self { text }
    }

    /// Are all well formed? None empty, names are tokens, quotes are closed.
    pub(crate) fn is_well_formed(&self) -> bool {
        self.text.is_none_or(|text| {
            Split::new(text, b';').all(|param| {
                let (name, value) = split_param(param);
                PARAM_NAME.spans(name) && value.is_none_or(is_param_value)
            })
        })
    }

    /// Each parameter in the order written: name, and value as written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.text
            .map_or_else(Split::none, |text| Split::new(text, b';'))
            .filter(|param| !param.is_empty())
            .map(split_param)
    }

    /// The first parameter of that name, in any case. `Some(None)`: there, without a value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Is there a parameter of that name, with or without a value?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of the first parameter of that name, quotes undone; `None` also when it has no value.
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.get(name).flatten().map(text::unquote)
    }

    /// Is there no parameter?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The text after the first `;`, empty when there is none.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.text.unwrap_or_default()
    }
}

/// Beyond tokens, URI parameters may hold `param-unreserved` (RFC 3261 25.1).
static PARAM_NAME: ByteSet = ByteSet::alphanumeric_and(b"-.!%*_+`'~[]/:&$()");

/// A quoted string that ends at the end, or something without quotes and white space.
fn is_param_value(value: &[u8]) -> bool {
    match value {
        [] => false,
        [b'"', ..] => text::quoted_end(value) == Some(value.len()),
        _ => !value
            .iter()
            .any(|b| text::is_lws(*b) || matches!(b, b'"' | b'<' | b'>')),
    }
}

/// `name [= value]`, white space around both allowed.
pub(crate) fn split_param(param: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', param) {
        None => (text::trim(param), None),
        Some(at) => (
            text::trim_end(cut(param, 0, at)),
            Some(text::trim_start(text::after(param, at + 1))),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_values_unquoted_on_demand() {
        let params = Params::new(Some(br#" LR ; q = 0.5;+sip.instance="<urn:x:a;b>" "#));
        assert!(params.is_well_formed());
        assert_eq!(params.get("lr"), Some(None));
        assert_eq!(params.get("Q"), Some(Some(&b"0.5"[..])));
        assert_eq!(params.unquoted("+sip.instance").unwrap().as_ref(), b"<urn:x:a;b>");
        assert_eq!(params.get("tag"), None);
        assert_eq!(params.iter().count(), 3);
    }

    #[test]
    fn empty_parameters_and_open_quotes_are_refused() {
        for text in ["", ";", "a;;b", "a;", "=b", "a=", "a=\"b", "a=\"b\"c", "a=b c"] {
            assert!(!Params::new(Some(text.as_bytes())).is_well_formed(), "{text}");
        }
        assert!(Params::new(None).is_well_formed());
        assert!(Params::new(None).is_empty());
    }
}
