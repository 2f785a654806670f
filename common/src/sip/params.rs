//! Codec: parameters, `;name[=value]`, of headers and URIs (RFC 3261 7.3.1, 25.1 `generic-param`).

use std::borrow::Cow;

use super::text::{self, ByteSet, after, cut};

/// The parameters after an address, a Via or a URI: the text after the first `;`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params<'a> {
    text: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// Parameters of a text: `text` is what comes after the first `;`, `None` when there is no `;`.
    #[must_use]
    pub fn new(text: Option<&'a [u8]>) -> Self {
        Self { text }
    }

    /// Are all well formed? None empty, names are tokens, quotes are closed.
    pub(crate) fn is_well_formed(&self) -> bool {
        self.count_well_formed().is_some()
    }

    /// How many there are; `None` when one is empty, a name is no token, or a quote is open.
    pub(crate) fn count_well_formed(&self) -> Option<usize> {
        let Some(mut rest) = self.text else {
            return Some(0);
        };
        let mut count = 0;
        loop {
            count += 1;
            rest = match after_well_formed(rest)? {
                None => return Some(count),
                Some(tail) => tail,
            };
        }
    }

    /// Each parameter in the order written: name, and value as written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            loop {
                let (param, tail) = text::next_part(rest?, b';');
                rest = tail;
                if !param.is_empty() {
                    return Some(split_param(param));
                }
            }
        })
    }

    /// The first parameter of that name, in any case. `Some(None)`: there, without a value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<&'a [u8]>> {
        find_named(self.text?, b';', name)
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

/// What an unquoted value may not hold: white space, quotes, angle brackets, and the separator.
static VALUE_END: ByteSet = ByteSet::of(b" \t\r\n\"<>;");

/// What comes after the separator of the first parameter, if that is `token [= (token / host / quoted-string)]`.
fn after_well_formed(text: &[u8]) -> Option<Option<&[u8]>> {
    let text = text::trim_start(text);
    let name_len = PARAM_NAME.run(text);
    if name_len == 0 {
        return None;
    }
    let mut rest = text::trim_start(after(text, name_len));
    if let [b'=', value @ ..] = rest {
        let value = text::trim_start(value);
        let length = match value {
            [b'"', ..] => text::quoted_end(value)?,
            _ => VALUE_END.gap(value),
        };
        if length == 0 {
            return None;
        }
        rest = text::trim_start(after(value, length));
    }
    match rest {
        [] => Some(None),
        [b';', tail @ ..] => Some(Some(tail)),
        _ => None,
    }
}

/// The first `name [= value]` of that name, in any case, among parts between separators.
pub(crate) fn find_named<'a>(list: &'a [u8], separator: u8, name: &str) -> Option<Option<&'a [u8]>> {
    let mut rest = Some(list);
    while let Some(text) = rest {
        let (param, tail) = text::next_part(text, separator);
        // Only a part that begins so is worth to be split.
        let begins_so = param
            .get(..name.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()));
        if begins_so && !param.is_empty() {
            let (found, value) = split_param(param);
            if found.len() == name.len() {
                return Some(value);
            }
        }
        rest = tail;
    }
    None
}

/// `name [= value]`, white space around both allowed.
pub(crate) fn split_param(param: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text::find(b'=', param) {
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
