//! Testkit: tidy, the style that rustc cannot check.
//!
//! Walks the tree and refuses what the style forbids: files without their kind, files that have grown too long,
//! shell imports in pure files, words of unfinished work, a ledger that names tests which do not exist,
//! golden files that no test reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const KINDS: [&str; 9] = [
    "Codec:",
    "Engine:",
    "Table:",
    "Machine:",
    "Procedure:",
    "Shell:",
    "Testkit:",
    "Lists:",
    "Test:",
];
/// Non-test lines of one file.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_path_buf()
}

fn files(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                // What is fuzzed with need not be text.
                let octets = fs::read(&path).expect("a readable file");
                let text = String::from_utf8_lossy(&octets).into_owned();
                let shown = path
                    .strip_prefix(root())
                    .expect("below the root")
                    .display()
                    .to_string();
                found.push((shown, text));
            }
        }
    }
    found.sort();
    found
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.ends_with("_tests.rs")
        || path.ends_with("/testing.rs")
}

/// The lines before the test module.
fn product_lines(text: &str) -> usize {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .count()
}

fn refuse(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_source_file_says_its_kind_in_its_first_line() {
    let complaints: Vec<_> = files("rs")
        .iter()
        .filter(|(path, _)| !path.ends_with("lib.rs") && !path.ends_with("main.rs") && !is_test_file(path))
        .filter(|(_, text)| {
            let first = text.lines().next().unwrap_or_default();
            !KINDS.iter().any(|kind| first.starts_with(&format!("//! {kind}")))
        })
        .map(|(path, _)| format!("{path}:1: the first line must be `//! <Kind>: …`, one of {KINDS:?}"))
        .collect();
    refuse(&complaints);
}

#[test]
fn no_source_file_is_longer_than_the_limit() {
    let complaints: Vec<_> = files("rs")
        .iter()
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (path, product_lines(text)))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines before its tests, the limit is {LINES_MAX}"))
        .collect();
    refuse(&complaints);
}

#[test]
fn only_shell_files_speak_of_tokio_and_of_the_clock() {
    let words = [
        "tokio::",
        "Instant::now",
        "SystemTime::now",
        "std::net::UdpSocket",
        "std::net::TcpStream",
        "OsRng",
    ];
    let mut complaints = Vec::new();
    for (path, text) in files("rs") {
        let first = text.lines().next().unwrap_or_default();
        let shell = first.starts_with("//! Shell:") || path.contains("/shell") || path.ends_with("main.rs");
        if shell || is_test_file(&path) {
            continue;
        }
        for (number, line) in text.lines().enumerate().take(product_lines(&text)) {
            if line.trim_start().starts_with("//") {
                continue;
            }
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                complaints.push(format!("{path}:{}: `{word}` belongs in a shell file", number + 1));
            }
        }
    }
    refuse(&complaints);
}

#[test]
fn no_unfinished_work_is_left_without_an_issue() {
    let mut complaints = Vec::new();
    for (path, text) in files("rs") {
        if path == "tests/tidy/main.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let unfinished = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX:"]
                .iter()
                .any(|w| line.contains(w));
            let unnamed = line.contains("TODO") && !line.contains("TODO(#");
            if unfinished || unnamed {
                complaints.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    refuse(&complaints);
}

#[test]
fn no_module_is_called_mod_rs() {
    let complaints: Vec<_> = files("rs")
        .iter()
        .filter(|(path, _)| path.ends_with("/mod.rs"))
        .map(|(path, _)| format!("{path}: use foo.rs beside foo/"))
        .collect();
    refuse(&complaints);
}

/// Names of all test functions of the workspace.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in files("rs") {
        let mut awaiting = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") || line.contains("proptest!")
            {
                awaiting = true;
            }
            let declaration = line.trim_start_matches("async ").strip_prefix("fn ");
            if let (true, Some(rest)) = (awaiting, declaration) {
                names.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
                awaiting = false;
            }
        }
    }
    names
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerRow {
    #[serde(default)]
    tests: Vec<String>,
    reason: Option<String>,
}

fn ledger() -> BTreeMap<String, LedgerRow> {
    let text = fs::read_to_string(root().join("tests/conformance/ledger.toml")).expect("the ledger");
    toml::from_str(&text).expect("a ledger of rows")
}

#[test]
fn every_test_that_the_ledger_names_exists() {
    let names = test_names();
    let mut complaints = Vec::new();
    for (id, row) in ledger() {
        for test in &row.tests {
            if !names.contains(test) {
                complaints.push(format!(
                    "ledger.toml: {id} names the test `{test}`, which does not exist"
                ));
            }
        }
        if row.tests.is_empty() && row.reason.as_deref().unwrap_or_default().is_empty() {
            complaints.push(format!("ledger.toml: {id} has neither a test nor a reason"));
        }
    }
    refuse(&complaints);
}

#[test]
fn the_ledger_lists_every_item_of_its_groups() {
    let rows = ledger();
    let groups = [
        ("AU", 20),
        ("CX", 25),
        ("IC", 12),
        ("RG", 25),
        ("SC", 22),
        ("SM", 9),
    ];
    let complaints: Vec<_> = groups
        .iter()
        .flat_map(|(group, last)| (1..=*last).map(move |n| format!("{group}-{n:02}")))
        .filter(|id| !rows.contains_key(id))
        .map(|id| format!("ledger.toml: {id} is not listed"))
        .collect();
    refuse(&complaints);
}

#[test]
fn every_golden_file_is_read_by_a_test() {
    let sources: String = files("rs").into_iter().map(|(_, text)| text).collect();
    let texts = files("txt")
        .into_iter()
        .filter(|(path, _)| path.contains("golden/"));
    let complaints: Vec<_> = files("ladder")
        .into_iter()
        .chain(texts)
        .filter(|(path, _)| {
            let path = Path::new(path);
            let name = path.file_name().and_then(|s| s.to_str()).unwrap_or_default();
            let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            !sources.contains(&format!("\"{stem}\"")) && !sources.contains(name)
        })
        .map(|(path, _)| format!("{path}: no test reads it"))
        .collect();
    refuse(&complaints);
}

/// Words in quotes that begin as metrics do, before the tests of a file.
fn metrics_of_the_code() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, text) in files("rs") {
        if is_test_file(&path) || path.contains("/telemetry/catalogue") {
            continue;
        }
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = product.lines();
        let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
        for word in lines.flat_map(|line| line.split('"').skip(1).step_by(2)) {
            let is_name = word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if word.starts_with("ims_") && is_name && word.len() > 8 && word != "ims_common" {
                found.insert(word.to_owned(), path.clone());
            }
        }
    }
    found
}

#[test]
fn every_metric_stands_in_the_catalogue_and_every_row_is_told_somewhere() {
    let code = metrics_of_the_code();
    let catalogue: BTreeSet<&str> = ims_common::telemetry::catalogue::rows()
        .map(|row| row.name)
        .collect();
    let missing = code
        .iter()
        .filter(|(name, _)| !catalogue.contains(name.as_str()))
        .map(|(name, path)| format!("{path}: {name} is not in common/src/telemetry/catalogue"));
    let dead = catalogue
        .iter()
        .filter(|name| !code.contains_key(**name))
        .map(|name| format!("{name} is in the catalogue, and nothing tells it"));
    refuse(&missing.chain(dead).collect::<Vec<_>>());
}
