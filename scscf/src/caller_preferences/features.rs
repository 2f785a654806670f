//! Codec: feature parameters and the predicates that they make (RFC 3840 5, 9; RFC 3841 9.2).

use ims_common::sip::Params;

/// Feature parameters of one contact or predicate that are read.
const TERMS_MAX: usize = 32;
/// Values of one parameter that are read.
const VALUES_MAX: usize = 32;
const FULL: u16 = 1_000;

/// The feature tags that are written without `+` (RFC 3840 9).
const BASE_TAGS: [&[u8]; 20] = [
    b"audio",
    b"automata",
    b"class",
    b"duplex",
    b"data",
    b"control",
    b"mobility",
    b"description",
    b"events",
    b"priority",
    b"methods",
    b"schemes",
    b"application",
    b"video",
    b"language",
    b"type",
    b"isfocus",
    b"actor",
    b"text",
    b"extensions",
];

/// One value of Accept-Contact or Reject-Contact.
#[derive(Debug)]
pub(super) struct Predicate {
    terms: Vec<Term>,
    /// A contact that contradicts it is no target.
    require: bool,
    /// A contact must have said all of it.
    explicit: bool,
}

/// One feature and the values that it may have.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Term {
    /// In lower case, with its `+`.
    tag: Vec<u8>,
    values: Vec<Value>,
    /// What it may not be.
    excluded: Vec<Value>,
}

#[derive(Debug, Eq, PartialEq)]
enum Value {
    /// A token, `TRUE` and `FALSE` among them: blind to case, so in lower case.
    Token(Vec<u8>),
    /// `<text>`: as it is.
    Text(Vec<u8>),
    /// `#5`, `#>=5`, `#<=5`, `#1:5`: from and to, in thousandths.
    Range(i64, i64),
}

/// How a term of a predicate and a contact go together.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Fit {
    Matches,
    Contradicts,
    /// The contact does not say.
    Unsaid,
}

impl Predicate {
    /// Reads `*;feature=…;require;explicit`.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(b"*")?.trim_ascii_start();
        match rest {
            [] => Some(Self::of(Params::new(None))),
            [b';', params @ ..] => Some(Self::of(Params::new(Some(params)))),
            _ => None,
        }
    }

    pub(super) fn of(params: Params<'_>) -> Self {
        Self {
            terms: terms(params),
            require: params.has("require"),
            explicit: params.has("explicit"),
        }
    }

    /// RFC 3841 7.2.3: a contact that says all of it and contradicts none.
    pub(super) fn rejects(&self, contact: &[Term]) -> bool {
        let mut terms = self.terms.iter();
        !self.terms.is_empty() && terms.all(|term| term.fit(contact) == Fit::Matches)
    }

    /// RFC 3841 7.2.4: the share of it that the contact says and means, in thousandths; `None` is no target.
    pub(super) fn score(&self, contact: &[Term]) -> Option<u16> {
        let is_both = self.require && self.explicit;
        if contact.is_empty() && !is_both {
            return Some(FULL);
        }
        let fits = || self.terms.iter().map(|term| term.fit(contact));
        if fits().any(|fit| fit == Fit::Contradicts) {
            return (!self.require).then_some(0);
        }
        let said = fits().filter(|fit| *fit == Fit::Matches).count();
        match (said == self.terms.len(), self.explicit, self.require) {
            (true, ..) => Some(FULL),
            (false, true, true) => None,
            (false, true, false) => Some(0),
            (false, false, _) => {
                let share = said.saturating_mul(FULL.into()) / self.terms.len().max(1);
                u16::try_from(share).ok()
            }
        }
    }
}

/// The feature parameters among the parameters of a contact or a predicate.
pub(super) fn terms(params: Params<'_>) -> Vec<Term> {
    let named = |(name, value): (&[u8], Option<&[u8]>)| {
        let tag = name.to_ascii_lowercase();
        let is_feature = tag.starts_with(b"+") || BASE_TAGS.contains(&tag.as_slice());
        is_feature.then(|| Term::of(tag, value))
    };
    params.iter().filter_map(named).take(TERMS_MAX).collect()
}

impl Term {
    fn of(tag: Vec<u8>, value: Option<&[u8]>) -> Self {
        let mut term = Self {
            tag,
            values: Vec::new(),
            excluded: Vec::new(),
        };
        let text = value.map_or(&b"TRUE"[..], |value| {
            value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""))
                .unwrap_or(value)
        });
        if text.starts_with(b"<") {
            term.values.push(Value::Text(text.to_vec()));
            return term;
        }
        for part in text
            .split(|b| *b == b',')
            .take(VALUES_MAX)
            .map(<[u8]>::trim_ascii)
        {
            match part.strip_prefix(b"!") {
                Some(excluded) => term.excluded.push(Value::of(excluded)),
                None => term.values.push(Value::of(part)),
            }
        }
        term
    }

    fn fit(&self, contact: &[Self]) -> Fit {
        let Some(said) = contact.iter().find(|said| said.tag == self.tag) else {
            return Fit::Unsaid;
        };
        match self.meets(said) {
            true => Fit::Matches,
            false => Fit::Contradicts,
        }
    }

    /// Whether one value is in both.
    fn meets(&self, other: &Self) -> bool {
        let allows = |term: &Self, value: &Value| {
            !term.excluded.iter().any(|excluded| excluded.meets(value))
                && (term.values.is_empty() || term.values.iter().any(|wanted| wanted.meets(value)))
        };
        match (self.values.is_empty(), other.values.is_empty()) {
            (true, true) => true,
            (false, true) => self.values.iter().any(|value| allows(other, value)),
            (_, false) => other
                .values
                .iter()
                .any(|value| allows(self, value) && allows(other, value)),
        }
    }
}

impl Value {
    fn of(part: &[u8]) -> Self {
        part.strip_prefix(b"#")
            .and_then(range)
            .unwrap_or_else(|| Self::Token(part.to_ascii_lowercase()))
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Range(from, to), Self::Range(other_from, other_to)) => {
                from <= other_to && other_from <= to
            }
            (Self::Token(_) | Self::Text(_) | Self::Range(..), _) => self == other,
        }
    }
}

/// RFC 3840 9 `numeric`: `>=5`, `<=5`, `=5`, `5`, `1:5`.
fn range(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let (from, to) = if let Some(from) = text.strip_prefix(">=") {
        (thousandths(from)?, i64::MAX)
    } else if let Some(to) = text.strip_prefix("<=") {
        (i64::MIN, thousandths(to)?)
    } else if let Some((from, to)) = text.split_once(':') {
        (thousandths(from)?, thousandths(to)?)
    } else {
        let exactly = thousandths(text.strip_prefix('=').unwrap_or(text))?;
        (exactly, exactly)
    };
    Some(Value::Range(from, to))
}

fn thousandths(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let decimals = format!("{:0<3}", decimals.get(..decimals.len().min(3))?);
    let magnitude: i64 = decimals.parse().ok()?;
    let whole_number: i64 = whole.parse().ok()?;
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    whole_number.checked_mul(1_000)?.checked_add(sign * magnitude)
}
