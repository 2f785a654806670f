//! Engine: one condition against one request (TS 29.228 Annex C).

use std::borrow::Cow;

use ims_common::sip::{HeaderName, Method, Request};

use super::Subject;
use super::compiled::{Condition, Header};
use super::expression::Expression;
use ims_common::sip::sdp;

/// Whether the condition is met, before negation.
pub(super) fn is_met(condition: &Condition, subject: &Subject<'_>) -> bool {
    is_met_seeing(condition, subject, |_| ())
}

/// The same; `see` is shown each value that is looked at, until one decides.
pub(super) fn is_met_seeing(
    condition: &Condition,
    subject: &Subject<'_>,
    mut see: impl FnMut(&[u8]),
) -> bool {
    let request = subject.request;
    match condition {
        Condition::Never(_) => false,
        Condition::Method {
            method,
            registration_types,
        } => {
            let name = request.method();
            see(name.as_str().as_bytes());
            name.as_str().as_bytes() == &**method
                && (registration_types.is_empty()
                    || name != Method::Register
                    || subject
                        .registration
                        .is_some_and(|kind| registration_types.contains(&kind)))
        }
        Condition::SessionCase(case) => subject.case == *case,
        Condition::RequestUri(expression) => {
            let uri = without_separators(request.request_uri_bytes());
            see(&uri);
            expression.is_match(&uri)
        }
        Condition::Header(header, content) => has_header(request, header, |value| {
            see(value);
            content.as_ref().is_none_or(|content| content.is_match(value))
        }),
        Condition::SessionDescription { line, content } => has_line(request, line, |value| {
            see(value);
            content.as_ref().is_none_or(|content| content.is_match(value))
        }),
    }
}

/// A tel URI without visual separators, so that one expression meets all spellings of a number.
fn without_separators(uri: &[u8]) -> Cow<'_, [u8]> {
    let is_tel = uri
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"tel:"));
    let number = uri.split(|b| *b == b';').next().unwrap_or_default();
    let is_separator = |b: &u8| matches!(b, b'-' | b'.' | b'(' | b')');
    if !is_tel || !number.iter().any(is_separator) {
        return Cow::Borrowed(uri);
    }
    let mut plain: Vec<u8> = number.iter().copied().filter(|b| !is_separator(b)).collect();
    plain.extend_from_slice(uri.get(number.len()..).unwrap_or_default());
    Cow::Owned(plain)
}

/// Compact forms are long forms here: the scan has made them one. Each line is looked at whole, and value by value
/// where the header is a list (RFC 3261 7.3.1).
fn has_header(request: &Request, header: &Header, mut is_wanted: impl FnMut(&[u8]) -> bool) -> bool {
    match header {
        Header::Known(name) => has_known(request, *name, is_wanted),
        Header::Named(name) => request.headers_named(name).any(is_wanted),
        Header::Like(expression) => request.header_lines().any(|(written, value)| {
            let known = HeaderName::from_bytes(written);
            match known {
                HeaderName::Other => expression.is_match(written) && is_wanted(value),
                known => {
                    expression.is_match(known.as_str().as_bytes())
                        && has_known(request, known, &mut is_wanted)
                }
            }
        }),
    }
}

fn has_known(request: &Request, name: HeaderName, mut is_wanted: impl FnMut(&[u8]) -> bool) -> bool {
    request.headers(name).any(&mut is_wanted)
        || request.headers(name).any(|line| line.contains(&b',')) && request.values(name).any(&mut is_wanted)
}

fn has_line(request: &Request, line: &Expression, mut is_wanted: impl FnMut(&[u8]) -> bool) -> bool {
    sdp::bodies(request)
        .into_iter()
        .flat_map(sdp::lines)
        .any(|(kind, value)| line.is_match(&[kind]) && is_wanted(value))
}
