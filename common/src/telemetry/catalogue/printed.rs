//! Table: the catalogue as a chapter of the manual.

use std::fmt::Write;

use super::{CATALOGUE, Kind, Label, Row, Values};

const HEAD: &str = "\
# Metrics

<!-- Printed from the catalogue in the code: `UPDATE_GOLDEN=1 cargo test -p ims-common --lib catalogue`. -->

`GET /metrics` of a daemon's admin endpoint tells them as OpenMetrics text; `?shard=N` those of one shard alone.
Durations are in seconds, sizes in octets (bytes), and a name that ends with `_total` only grows. Every label has a
bounded set of values, so that the number of series is bounded too, whatever strangers send: *reason* stands for short
texts that are written in the code, never taken from a message.
";

/// The chapter, as Markdown.
#[must_use]
pub fn chapter() -> String {
    let mut text = HEAD.to_owned();
    for section in CATALOGUE {
        // Writing to a String does not fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", section.title, section.about);
        text.push_str("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
        for row in section.rows {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                row.name,
                kind(row),
                labels(row),
                row.help
            );
        }
    }
    text
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn labels(row: &Row) -> String {
    let all: Vec<String> = row.labels.iter().map(label).collect();
    all.join("; ")
}

fn label(label: &Label) -> String {
    let name = label.name;
    match label.values {
        Values::OneOf(values) => format!("`{name}`: {}", values.join(", ")),
        Values::Reason if name == "reason" => "`reason`".to_owned(),
        Values::Reason => format!("`{name}`: a reason"),
        Values::Peer => format!("`{name}`: host of a Diameter peer"),
        Values::Kernel => format!("`{name}`: the kernel's name"),
    }
}
