//! Codec: what is wrong with a configuration, in one line that says where, which key, what, and what is right.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A refusal to start: the configuration cannot be what the operator meant.
///
/// Prints as `FILE:LINE:COL: KEY: problem; expected …`, without quoting the file (it may hold secrets).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The file, once known.
    pub file: Option<String>,
    /// Line and column, once known.
    pub position: Option<(u64, u64)>,
    /// The key's path, as `pcscf.gm.address` or `icscf.scscfs[1].uri`; empty when no key is to blame.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right; empty when the problem says it.
    pub expected: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some((line, column))) => write!(f, "{}:{line}:{column}: ", one_line(file))?,
            (Some(file), None) => write!(f, "{}: ", one_line(file))?,
            (None, Some((line, column))) => write!(f, "{line}:{column}: ")?,
            (None, None) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", one_line(&self.key))?;
        }
        f.write_str(&one_line(&self.problem))?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", one_line(&self.expected))?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// A complaint about one key that parsed but makes no sense; [`located`](Self::located) adds the place.
    #[must_use]
    pub fn invalid(key: &str, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            file: None,
            position: None,
            key: key.to_owned(),
            problem: problem.into(),
            expected: expected.into(),
        }
    }

    /// The same complaint, with the file's name and, when the key stands in `text`, its line and column.
    #[must_use]
    pub fn located(mut self, file: &str, text: &str) -> Self {
        if self.position.is_none() && !self.key.is_empty() {
            self.position = position_of(text, &self.key);
        }
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// From the reader's error and the path it had reached.
    pub(crate) fn from_reader(path: &str, error: &serde_saphyr::Error) -> Self {
        let (problem, expected) = explain(error.without_snippet());
        let path = if path == "." { "" } else { path };
        let key = match error.without_snippet() {
            serde_saphyr::Error::SerdeMissingField { field, .. } => join(path, field),
            serde_saphyr::Error::SerdeUnknownField { field, .. } if !ends_with_key(path, field) => {
                join(path, field)
            }
            _ => path.to_owned(),
        };
        Self {
            file: None,
            position: error.location().map(|at| (at.line(), at.column())),
            key,
            problem,
            expected,
        }
    }
}

fn ends_with_key(path: &str, key: &str) -> bool {
    path.rsplit('.').next() == Some(key)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Problem and expectation of a reader's error. Never the value's neighbours in the file.
fn explain(error: &serde_saphyr::Error) -> (String, String) {
    use serde_saphyr::Error as E;
    match error {
        E::SerdeUnknownField { expected, .. } => ("unknown key".to_owned(), one_of(expected)),
        E::SerdeMissingField { .. } => (
            "missing".to_owned(),
            "a value: this key has no default".to_owned(),
        ),
        E::SerdeUnknownVariant {
            variant, expected, ..
        } => (format!("`{variant}` is not known"), one_of(expected)),
        E::SerdeInvalidType {
            unexpected, expected, ..
        }
        | E::SerdeInvalidValue {
            unexpected, expected, ..
        } => (format!("is {unexpected}"), expected.clone()),
        E::SerdeInvalidLength { len, expected, .. } => (format!("has {len} elements"), expected.clone()),
        E::Unexpected { expected, .. } => ("is something else".to_owned(), (*expected).to_owned()),
        E::InvalidScalar { ty, .. } => ("cannot be read".to_owned(), format!("a value of type {ty}")),
        E::DuplicateMappingKey { key, .. } => (
            match key {
                Some(key) => format!("the key `{key}` stands here twice"),
                None => "a key stands here twice".to_owned(),
            },
            String::new(),
        ),
        E::Message { msg, .. } => match msg.split_once("; expected ") {
            Some((problem, expected)) => (problem.to_owned(), expected.to_owned()),
            None => (msg.clone(), String::new()),
        },
        E::Eof { .. } => ("the file is empty or ends too early".to_owned(), String::new()),
        other => {
            let plain = serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off };
            (other.render_with_options(plain), String::new())
        }
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing here".to_owned(),
        [one] => format!("`{one}`"),
        many => format!("one of {}", many.join(", ")),
    }
}

/// Where the value of `key` begins in `text`.
///
/// The reader is led to the key and stopped there: its complaint carries the position.
fn position_of(text: &str, key: &str) -> Option<(u64, u64)> {
    let mut steps = segments(key);
    while !steps.is_empty() {
        let probe = Probe { steps: &steps };
        let options = serde_saphyr::options! { with_snippet: false };
        let found =
            serde_saphyr::with_deserializer_from_str_with_options(text, options, |de| probe.deserialize(de));
        if let Err(error) = found
            && error.to_string().contains(HERE)
        {
            return error.location().map(|at| (at.line(), at.column()));
        }
        // A key that is not in the file has its default: blame the section it would stand in.
        steps.pop();
    }
    None
}

fn segments(key: &str) -> Vec<String> {
    key.replace('[', ".")
        .replace(']', "")
        .split('.')
        .map(str::to_owned)
        .collect()
}

const HERE: &str = "position wanted here";

struct Probe<'a> {
    steps: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.steps.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        while let Some(name) = map.next_key::<String>()? {
            if name == *first {
                map.next_value_seed(Probe { steps: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.steps.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        let mut index = 0_usize;
        loop {
            let more = if first.parse() == Ok(index) {
                seq.next_element_seed(Probe { steps: rest })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        if self.steps.is_empty() {
            Err(E::custom(HERE))
        } else {
            Ok(())
        }
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.visit_str("")
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.visit_str("")
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_str("")
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.visit_str("")
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_str("")
    }
}
