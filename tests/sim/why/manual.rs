//! Testkit: the manual's chapter on troubleshooting is made of the catalogue, whose examples other tests produce.

use std::fmt::Write as _;
use std::path::Path;

use ims_common::why::CATALOGUE;

const CHAPTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../common/src/manual/troubleshooting.md"
);
const OPENING: &str = "\
# Troubleshooting by sentence

`imsctl why IMSI` (or a number, a public identity, a Call-ID) asks all nodes what they saw of a subscriber and says in one
sentence why something failed, with the values that prove it and the remedy; below it stands what happened, step by step.
These are the causes it knows. Each sentence below is one that a test has produced, word for word.

This chapter is made of the catalogue in `ims_common::why`; do not edit it.
";

fn chapter() -> String {
    let mut text = OPENING.to_owned();
    for detector in CATALOGUE {
        let _ = write!(
            text,
            "\n## {}\n\n`{}` · looks at: {}\n\n> {}\n",
            detector.title, detector.name, detector.signal, detector.example
        );
    }
    text
}

#[test]
fn the_chapter_on_troubleshooting_is_that_of_the_catalogue() {
    let chapter = chapter();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(CHAPTER, &chapter).expect("the chapter can be written");
    }
    let written = std::fs::read_to_string(CHAPTER).unwrap_or_default();
    assert_eq!(written, chapter, "run with UPDATE_GOLDEN=1");
}

#[test]
fn every_cause_has_a_name_of_its_own_and_a_test_that_produces_its_sentence() {
    let mut tests = String::new();
    for suite in ["sim", "e2e", "ipsec", "../common/src/why/detectors"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(suite), &mut tests);
    }
    for detector in CATALOGUE {
        let same_name = CATALOGUE.iter().filter(|it| it.name == detector.name).count();
        assert_eq!(same_name, 1, "{}", detector.name);
        assert!(detector.example.ends_with('.'), "{}", detector.name);
        let is_tested = tests.lines().any(|line| {
            ["assert_explained(", "assert_example("]
                .iter()
                .any(|it| line.contains(it))
                && line.contains(&format!("\"{}\"", detector.name))
        });
        assert!(
            is_tested,
            "no test calls assert_explained(…, \"{}\") or assert_example",
            detector.name
        );
    }
}

fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of tests").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|it| it == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
