//! Engine: one extended regular expression of a filter criterion, compiled, with bounds on its size and time.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

pub(crate) use crate::ere::BadExpression;
use crate::ere::{Groups, to_regex};

/// Octets that a compiled expression may take.
const SIZE_MAX: usize = 64 * 1024;
/// Octets of one value that are looked at: the time of one match is linear in it.
const LOOKED_AT_MAX: usize = 4_096;

/// A compiled expression.
#[derive(Clone)]
pub(crate) struct Expression(Regex);

/// How the text of an expression is meant.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Scope {
    /// Found anywhere in the value.
    Search,
    /// The whole value, in any case: names of headers.
    WholeName,
}

impl Expression {
    pub(super) fn of(ere: &str, scope: Scope) -> Result<Self, BadExpression> {
        let mut text = to_regex(ere, Groups::Plain)?;
        if scope == Scope::WholeName {
            text = format!("^(?:{text})$");
        }
        RegexBuilder::new(&text)
            .unicode(false)
            .dot_matches_new_line(true)
            .case_insensitive(scope == Scope::WholeName)
            .size_limit(SIZE_MAX)
            .dfa_size_limit(SIZE_MAX)
            .build()
            .map(Self)
            .map_err(|_| BadExpression::Compiler)
    }

    /// Whether the value matches, its white space unfolded (TS 29.228 Annex C).
    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        let value = value.get(..LOOKED_AT_MAX).unwrap_or(value);
        self.0.is_match(&unfolded(value))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.0.as_str())
    }
}

/// Each run of linear white space as one space.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let is_plain = |pair: &[u8]| !matches!(pair, [a, b] if is_space(a) && is_space(b));
    let has_only_spaces = !value.iter().any(|b| matches!(b, b'\t' | b'\r' | b'\n'));
    if has_only_spaces && value.windows(2).all(is_plain) {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    for byte in value {
        match is_space(byte) {
            true if plain.last() == Some(&b' ') => {}
            true => plain.push(b' '),
            false => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(ere: &str, value: &str) -> bool {
        Expression::of(ere, Scope::Search)
            .unwrap()
            .is_match(value.as_bytes())
    }

    #[test]
    fn an_expression_is_searched_and_respects_case() {
        assert!(is_match("alice", "sip:alice@home.example"));
        assert!(!is_match("^alice", "sip:alice@home.example"));
        assert!(!is_match("Alice", "sip:alice@home.example"));
        assert!(is_match("(?i)Alice", "sip:alice@home.example"));
        assert!(is_match(r"\+1[0-9]{4}(;|$)", "tel:+15550"));
        assert!(is_match(r"[\.]", "a\\b"));
        assert!(is_match("", ""));
    }

    #[test]
    fn white_space_is_unfolded_before() {
        assert!(is_match("a b c", "a\r\n\t b  c"));
        assert_eq!(unfolded(b"a b"), Cow::Borrowed(b"a b"));
    }

    #[test]
    fn names_match_whole_and_in_any_case() {
        let name = Expression::of("P-.*", Scope::WholeName).unwrap();
        assert!(name.is_match(b"p-early-media"));
        assert!(!name.is_match(b"X-P-Early-Media"));
        let either = Expression::of("a|b", Scope::WholeName).unwrap();
        assert!(!either.is_match(b"ab"));
    }

    #[test]
    fn expressions_that_would_grow_are_refused() {
        assert!(matches!(
            Expression::of("((a{100}){100}){100}", Scope::Search),
            Err(BadExpression::Compiler)
        ));
        assert!(matches!(
            Expression::of("[z-a]", Scope::Search),
            Err(BadExpression::Compiler)
        ));
    }

    #[test]
    fn an_expression_that_backtracks_elsewhere_takes_linear_time() {
        let value = "a".repeat(100_000);
        assert!(!is_match("(a*)*b", &value));
        // Only so much of a value is looked at.
        assert!(!is_match("b", &format!("{value}b")));
    }
}
