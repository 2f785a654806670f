//! Engine: one extended regular expression of a filter criterion, compiled, with bounds on its size and time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

pub(crate) use crate::ere::BadExpression;
use crate::ere::{Groups, to_regex};

/// Octets that a compiled expression may take.
const SIZE_MAX: usize = 64 * 1024;
/// Octets of one value that are looked at: the time of one match is linear in it.
const LOOKED_AT_MAX: usize = 4_096;

/// Expressions below this number are not worth a search for those that nobody holds any more.
const SWEEP_MIN: usize = 256;

/// A compiled expression.
#[derive(Clone)]
pub(crate) struct Expression(Arc<Regex>);

/// The expressions of all profiles, each compiled once: profiles differ from user to user more than their triggers do.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    known: HashMap<(Scope, Box<str>), Expression>,
    /// When there are this many, those that nobody holds go.
    sweep_at: usize,
}

impl Expressions {
    pub(super) fn of(&mut self, ere: &str, scope: Scope) -> Result<Expression, BadExpression> {
        let key = (scope, ere.into());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        if self.known.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.known
                .retain(|_, expression| Arc::strong_count(&expression.0) > 1);
            self.sweep_at = self.known.len() * 2;
        }
        let expression = Expression::of(ere, scope)?;
        self.known.insert(key, expression.clone());
        Ok(expression)
    }
}

/// How the text of an expression is meant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Scope {
    /// Found anywhere in the value.
    Search,
    /// The whole value, in any case: names of headers.
    WholeName,
}

impl Expression {
    fn of(ere: &str, scope: Scope) -> Result<Self, BadExpression> {
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
            .map(|regex| Self(Arc::new(regex)))
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
    fn equal_expressions_are_compiled_once_and_forgotten_with_their_last_holder() {
        let mut expressions = Expressions::default();
        let held = expressions.of("alice", Scope::Search).unwrap();
        let again = expressions.of("alice", Scope::Search).unwrap();
        let name = expressions.of("alice", Scope::WholeName).unwrap();
        assert!(Arc::ptr_eq(&held.0, &again.0) && !Arc::ptr_eq(&held.0, &name.0));
        assert!(expressions.of("*", Scope::Search).is_err());
        for number in 0..SWEEP_MIN + 1 {
            _ = expressions.of(&number.to_string(), Scope::Search);
        }
        assert!(expressions.known.len() < SWEEP_MIN, "{}", expressions.known.len());
        assert!(Arc::ptr_eq(
            &held.0,
            &expressions.of("alice", Scope::Search).unwrap().0
        ));
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
