//! Engine: whether the files of the neighbours fit this configuration: Open5GS's smf.yaml and hss.conf, PyHSS's
//! config.yaml; and the snippets to paste into them.
//!
//! What is said of PyHSS holds for 1.0 and 2.0, of Open5GS for 2.7 and later; where sources differ the words are careful.

mod hss;
mod pyhss;
mod smf;

use std::net::IpAddr;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::check::{Check, Snippet};
use super::free_diameter::FreeDiameter;
use crate::config::{ConfigError, ShellConfig};
use crate::net::Interface;

/// Texts of the files that were given, each with its name.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Open5GS's smf.yaml.
    pub smf: Option<(String, String)>,
    /// Open5GS's hss.conf, of freeDiameter.
    pub hss: Option<(String, String)>,
    /// PyHSS's config.yaml.
    pub pyhss: Option<(String, String)>,
}

/// Compares the files that are there.
///
/// # Errors
/// A file that cannot be read, with its line.
pub(super) fn judge(config: &ShellConfig, files: &Files) -> Result<Vec<Check>, ConfigError> {
    let mut checks = Vec::new();
    if let Some((name, text)) = &files.smf {
        checks.extend(smf::judge(config, &yaml(name, text)?));
    }
    if let Some((name, text)) = &files.hss {
        let read = FreeDiameter::parse(text).map_err(|wrong| ConfigError {
            file: Some(name.clone()),
            position: Some((u64::try_from(wrong.line).unwrap_or(u64::MAX), 1)),
            key: String::new(),
            problem: wrong.problem,
            expected: String::new(),
        })?;
        checks.extend(hss::judge(config, &read));
    }
    if let Some((name, text)) = &files.pyhss {
        checks.extend(pyhss::judge(config, &yaml(name, text)?));
    }
    Ok(checks)
}

/// What to paste into the files of the neighbours of this node; all that it needs, or what a failed check asked for.
pub(super) fn snippets(config: &ShellConfig) -> Vec<Snippet> {
    let all = [smf::snippet(config), hss::snippet(config), pyhss::snippet(config)];
    all.into_iter().flatten().collect()
}

/// The address that UEs know, of a P-CSCF.
fn gm(config: &ShellConfig) -> Option<IpAddr> {
    let mut listeners = config.sip.iter();
    let listener = listeners.find(|listener| listener.interface == Interface::Gm)?;
    Some(listener.address.ip())
}

/// The address of this node towards the core.
fn mw(config: &ShellConfig) -> Option<IpAddr> {
    config.diameter_local
}

fn yaml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, ConfigError> {
    let mut track = serde_path_to_error::Track::new();
    let options = serde_saphyr::options! { with_snippet: false };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        T::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
    });
    read.map_err(|error| ConfigError::from_reader(&track.path().to_string(), &error).located(name, text))
}

/// A list, or the one element of it; what is no text in it is read over.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_unit<E>(self) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
        let mut found = Vec::new();
        while let Some(one) = seq.next_element::<TextOrNot>()? {
            found.extend(one.0);
        }
        Ok(Texts(found))
    }
}

/// One element of such a list.
struct TextOrNot(Option<String>);

impl<'de> Deserialize<'de> for TextOrNot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = TextOrNot;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<TextOrNot, E> {
                Ok(TextOrNot(Some(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<TextOrNot, E> {
                Ok(TextOrNot(None))
            }
            fn visit_u64<E>(self, number: u64) -> Result<TextOrNot, E> {
                Ok(TextOrNot(Some(number.to_string())))
            }
            fn visit_f64<E>(self, number: f64) -> Result<TextOrNot, E> {
                Ok(TextOrNot(Some(number.to_string())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextOrNot, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(TextOrNot(None))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<TextOrNot, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(TextOrNot(None))
            }
        }
        deserializer.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests;
