//! Codec: what Prometheus reads: an exposition, and the names and labels that its queries are about.

use std::collections::{BTreeMap, BTreeSet};

use ims_common::telemetry::catalogue::{Kind, complaint, row};

/// The series of an exposition: for each name the labels of each series.
pub type Exposition = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// Reads OpenMetrics text.
///
/// # Errors
/// The line that is not understood.
pub fn exposition(text: &str) -> Result<Exposition, String> {
    let mut found = Exposition::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = sample(line).ok_or_else(|| format!("not a sample: {line}"))?;
        found.entry(series.0).or_default().push(series.1);
    }
    Ok(found)
}

fn sample(line: &str) -> Option<(String, BTreeMap<String, String>)> {
    let (series, value) = line.rsplit_once(' ')?;
    value.parse::<f64>().ok()?;
    let (name, labels) = series.strip_suffix('}')?.split_once('{')?;
    let mut all = BTreeMap::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (key, tail) = rest.split_once("=\"")?;
        let end = tail.find('"')?;
        all.insert(key.to_owned(), tail[..end].to_owned());
        rest = tail[end + 1..].trim_start_matches(',');
    }
    Some((name.to_owned(), all))
}

/// A name without what a histogram adds to it.
#[must_use]
pub fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|plain| row(plain).is_some_and(|row| row.kind == Kind::Histogram))
        .unwrap_or(name)
}

/// What an exposition has that the catalogue does not promise.
#[must_use]
pub fn complaints(exposition: &Exposition) -> Vec<String> {
    let mut all = BTreeSet::new();
    for (name, series) in exposition {
        let plain = family(name);
        let Some(row) = row(plain) else {
            all.insert(format!("{name} is not in the catalogue"));
            continue;
        };
        for labels in series {
            let labels: Vec<_> = labels.iter().filter(|(key, _)| *key != "le").collect();
            all.extend(complaint(plain, row.kind, &labels));
        }
    }
    all.into_iter().collect()
}

/// What a query asks for: a metric, its matchers, and the labels by which it is grouped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// The metric, or recorded series.
    pub name: String,
    /// Label, operator and value.
    pub matchers: Vec<(String, String, String)>,
}

/// Names and matchers of a PromQL expression, and the labels of its `by (…)` and `without (…)`.
///
/// # Errors
/// Parentheses or quotes that do not match.
pub fn query(expression: &str) -> Result<(Vec<Wanted>, BTreeSet<String>), String> {
    let broken = || format!("brackets do not match: {expression}");
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        if expression.matches(open).count() != expression.matches(close).count() {
            return Err(broken());
        }
    }
    let (mut wanted, mut grouped) = (Vec::new(), BTreeSet::new());
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '"') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = &text[text.find('"').ok_or_else(broken)? + 1..];
            continue;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        if matches!(word, "by" | "without" | "on" | "ignoring") {
            let list = tail.trim_start().strip_prefix('(').ok_or_else(broken)?;
            let end = list.find(')').ok_or_else(broken)?;
            grouped.extend(list[..end].split(',').map(|label| label.trim().to_owned()));
            rest = &list[end..];
        } else if word.starts_with("ims_") || word.starts_with("ims:") {
            let mut one = Wanted {
                name: word.to_owned(),
                ..Wanted::default()
            };
            if let Some(matchers) = tail.strip_prefix('{') {
                let end = matchers.find('}').ok_or_else(broken)?;
                one.matchers = matchers[..end].split(',').filter_map(matcher).collect();
                rest = &matchers[end..];
            }
            wanted.push(one);
        }
    }
    Ok((wanted, grouped))
}

fn matcher(text: &str) -> Option<(String, String, String)> {
    let text = text.trim();
    let at = text.find(['=', '!'])?;
    let (label, rest) = text.split_at(at);
    let value_at = rest.find('"')?;
    let (operator, value) = rest.split_at(value_at);
    Some((
        label.to_owned(),
        operator.to_owned(),
        value.trim_matches('"').to_owned(),
    ))
}

/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// What is wrong with a query: unknown names, labels or values. `recorded` are the names that rules record.
#[must_use]
pub fn query_complaints(expression: &str, recorded: &BTreeSet<String>) -> Vec<String> {
    let (wanted, grouped) = match query(expression) {
        Ok(read) => read,
        Err(error) => return vec![error],
    };
    let mut all = Vec::new();
    if wanted.is_empty() && !expression.contains("up{") {
        all.push(format!("about nothing of ours: {expression}"));
    }
    let mut labels: BTreeSet<&str> = ADDED.into();
    for one in &wanted {
        if recorded.contains(&one.name) {
            continue;
        }
        let Some(row) = row(family(&one.name)) else {
            all.push(format!("{} is not in the catalogue: {expression}", one.name));
            continue;
        };
        let is_part = family(&one.name) != one.name;
        if is_part != (row.kind == Kind::Histogram) {
            all.push(format!("{} is a {:?}: {expression}", one.name, row.kind));
        }
        labels.extend(row.labels.iter().map(|label| label.name));
        for (label, operator, value) in &one.matchers {
            if ADDED.contains(&label.as_str()) {
                continue;
            }
            let Some(known) = row.labels.iter().find(|known| known.name == label) else {
                all.push(format!("{} has no label {label}: {expression}", one.name));
                continue;
            };
            if !operator.contains('~') && !known.values.has(value) {
                all.push(format!("{label} is never {value}: {expression}"));
            }
        }
    }
    let unknown = grouped.iter().filter(|label| !labels.contains(label.as_str()));
    all.extend(unknown.map(|label| format!("nothing has a label {label}: {expression}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_matchers_and_groups_of_a_query_are_found() {
        let text = "histogram_quantile(0.95, sum by (le, method) (rate(ims_sip_request_duration_seconds_bucket{side=\"server\",instance=~\"$instance\"}[5m])))";
        let (wanted, grouped) = query(text).unwrap();
        assert_eq!(wanted.len(), 1);
        assert_eq!(wanted[0].name, "ims_sip_request_duration_seconds_bucket");
        assert_eq!(
            wanted[0].matchers[0],
            ("side".into(), "=".into(), "server".into())
        );
        assert_eq!(grouped, ["le", "method"].map(String::from).into());
        assert!(query_complaints(text, &BTreeSet::new()).is_empty());
    }

    #[test]
    fn what_nobody_tells_is_complained_about() {
        for wrong in [
            "ims_no_such_thing",
            "sum(ims_pcscf_contacts",
            "ims_pcscf_contacts{colour=\"red\"}",
            "ims_sip_transactions{side=\"upper\"}",
            "sum by (colour) (ims_pcscf_contacts)",
            "rate(ims_sip_request_duration_seconds[5m])",
            "vector(1)",
        ] {
            assert!(!query_complaints(wrong, &BTreeSet::new()).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn an_exposition_is_read_with_its_labels() {
        let text =
            "# TYPE x counter\nims_x_total{reason=\"a b\",side=\"c\"} 3\nims_pcscf_contacts{} 1.5\n# EOF\n";
        let read = exposition(text).unwrap();
        assert_eq!(read["ims_x_total"][0]["reason"], "a b");
        assert_eq!(complaints(&read), ["ims_x_total is not in the catalogue"]);
        assert!(exposition("ims_x").is_err());
    }
}
