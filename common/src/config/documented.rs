//! Codec: the documented configuration file, and the proof that it tells the truth.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::{ConfigError, DaemonConfig, SHARED_DEFAULTS, effective, parse};

/// The documented file of a daemon, as `--print-defaults` prints it.
#[must_use]
pub fn documented<C: DaemonConfig>() -> String {
    let text = format!("{}\n{}", C::DEFAULTS.trim_end(), SHARED_DEFAULTS);
    with_live_keys(&text, C::NAME, C::LIVE)
}

/// Marks the lines of keys that may change while the node serves.
fn with_live_keys(text: &str, name: &str, live: &[&str]) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        marked.push_str(line);
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let body = body.strip_prefix("# ").unwrap_or(body);
        let key = body.split_once(':').map(|(key, _)| key);
        let is_key = |key: &&str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if let Some(key) = key.filter(is_key) {
            while above.last().is_some_and(|(of, _)| *of >= indent) {
                above.pop();
            }
            above.push((indent, key));
            let path: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
            let path = path.join(".");
            let own = path.strip_prefix(name).and_then(|path| path.strip_prefix('.'));
            if own.is_some_and(|own| live.contains(&own)) {
                marked.push_str("  ## live");
            }
        }
        marked.push('\n');
    }
    marked
}

/// The same text with every commented-out default made live. Prose (`##`) stays a comment.
#[must_use]
pub fn uncommented(text: &str) -> String {
    let mut live = String::with_capacity(text.len());
    for line in text.lines() {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        match body.strip_prefix("# ") {
            Some(default) => {
                live.push_str(indent);
                live.push_str(default);
            }
            None => live.push_str(line),
        }
        live.push('\n');
    }
    live
}

/// Checks that the documented file is a valid one, that its commented-out lines are the defaults, and that it
/// names every key that the configuration has. For one test in each node's crate.
///
/// # Errors
/// The first of these that does not hold.
pub fn check_documented<C: DaemonConfig>() -> Result<(), ConfigError> {
    let text = documented::<C>();
    let live = uncommented(&text);
    let shown: C = parse(C::NAME, &text)?;
    let stated: C = parse(C::NAME, &live)?;
    let shown = effective(C::NAME, &shown)?;
    let stated = effective(C::NAME, &stated)?;
    if let Some((a, b)) = shown.lines().zip(stated.lines()).find(|(a, b)| a != b) {
        let problem = format!(
            "the default is `{}`, the documented file says `{}`",
            a.trim(),
            b.trim()
        );
        return Err(ConfigError::invalid(C::NAME, problem, "the same"));
    }
    let documented_keys = keys(&live)?;
    for live in C::LIVE {
        let key = format!("{}.{live}", C::NAME);
        if !documented_keys.contains(&key) {
            return Err(ConfigError::invalid(
                &key,
                "is live and not in the documented file",
                "a line",
            ));
        }
    }
    let marks = text.lines().filter(|line| line.ends_with("  ## live")).count();
    if marks != C::LIVE.len() {
        let problem = format!("{marks} lines are marked as live of {} keys", C::LIVE.len());
        return Err(ConfigError::invalid(
            C::NAME,
            problem,
            "a line of its own for each",
        ));
    }
    for key in keys(&shown)? {
        if !documented_keys.contains(&key) {
            return Err(ConfigError::invalid(
                &key,
                "is not in the documented file",
                "a line with its default",
            ));
        }
    }
    Ok(())
}

/// Every key path of a YAML text; elements of lists do not count.
fn keys(text: &str) -> Result<BTreeSet<String>, ConfigError> {
    let tree: Keys = serde_saphyr::from_str(text).map_err(|e| ConfigError::from_reader("", &e))?;
    Ok(tree.0)
}

struct Keys(BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut all = BTreeSet::new();
        while let Some((key, below)) = map.next_entry::<String, Keys>()? {
            all.extend(below.0.iter().map(|k| format!("{key}.{k}")));
            all.insert(key);
        }
        Ok(Keys(all))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Keys, A::Error> {
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Keys(BTreeSet::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys(BTreeSet::new()))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys(BTreeSet::new()))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys(BTreeSet::new()))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys(BTreeSet::new()))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys(BTreeSet::new()))
    }
    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys(BTreeSet::new()))
    }
}
