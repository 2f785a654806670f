//! Testkit: the manual's chapter on cards has each finding, meaning and failure as a test has produced it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use ims_tests::card::apdu::StatusWord;
use ims_tests::card::channel::{CardError, ReaderError};
use ims_tests::card::check::{self, MEANINGS};
use ims_tests::card::findings::CATALOGUE;
use ims_tests::card::session::{AkaFailure, NoPinCode, PinError};

const CHAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../common/src/manual/isim_cards.md");
const BEGIN: &str = "<!-- made of the catalogue of findings; run the test with UPDATE_GOLDEN=1 -->\n";
const END: &str = "<!-- end -->\n";

/// What is made of the tables.
fn made() -> String {
    let mut text =
        "\n`ue card show` says these, worst first; in brackets behind each sentence stands its name.\n"
            .to_owned();
    for rule in CATALOGUE {
        let _ = write!(
            text,
            "\n### {}\n\n`{}` · {} · looks at: {}\n\n> {}\n",
            rule.title,
            rule.id,
            rule.severity.word(),
            rule.looks_at,
            rule.example
        );
    }
    text.push_str("\n## What the card's answers mean\n\n`ue card auth` and `ue card check` say these.\n");
    for meaning in MEANINGS {
        let _ = write!(
            text,
            "\n### {}\n\n`{}` · {}\n\n> {}\n",
            meaning.title,
            meaning.id,
            meaning.outcome.word(),
            meaning.example
        );
    }
    text.push_str("\n## What each failure means\n\nWhat stands in the way of reader, card and PIN:\n\n");
    for failure in failures() {
        let _ = writeln!(text, "* {failure}");
    }
    text.push_str("\n| Status word | Means |\n| --- | --- |\n");
    for status in STATUS_WORDS {
        let _ = writeln!(text, "| {:04X} | {} |", status.0, status.meaning());
    }
    text.push('\n');
    text
}

const STATUS_WORDS: [StatusWord; 10] = [
    StatusWord::SECURITY_STATUS,
    StatusWord::BLOCKED,
    StatusWord::CONDITIONS,
    StatusWord::NOT_FOUND,
    StatusWord(0x6A86),
    StatusWord(0x6D00),
    StatusWord(0x6E00),
    StatusWord(0x6F00),
    StatusWord::WRONG_MAC,
    StatusWord::NO_CONTEXT,
];

fn failures() -> Vec<String> {
    let (wanted, known) = ("Acme".to_owned(), "Reader 00 00, Reader 01 00".to_owned());
    let readers = [
        ReaderError::NoService,
        ReaderError::NoReader,
        ReaderError::UnknownReader {
            wanted: wanted.clone(),
            known: known.clone(),
        },
        ReaderError::ManyReaders { wanted, known },
        ReaderError::NoCard("Reader 00 00".to_owned()),
        ReaderError::Removed,
        ReaderError::Mute,
        ReaderError::Shared,
        ReaderError::NotAllowed,
    ];
    let pins = [
        PinError::Wrong { tries: 2 },
        PinError::Blocked,
        PinError::LastTry,
        PinError::Unknown(StatusWord::CONDITIONS),
    ];
    let refused = |status| {
        let what = "AUTHENTICATE";
        AkaFailure::Card(CardError::Refused { what, status })
    };
    let answers = [
        AkaFailure::Mac,
        refused(StatusWord::CONDITIONS),
        refused(StatusWord::NO_CONTEXT),
    ];
    let readers = readers.iter().map(ToString::to_string);
    let pins = pins.iter().map(ToString::to_string);
    let answers = answers.iter().map(ToString::to_string);
    readers
        .chain([NoPinCode.to_string()])
        .chain(pins)
        .chain(answers)
        .collect()
}

#[test]
fn the_chapter_on_cards_has_what_the_tables_have() {
    let written = std::fs::read_to_string(CHAPTER).expect("the chapter");
    let (before, rest) = written
        .split_once(BEGIN)
        .expect("the line where the tables begin");
    let (_, after) = rest.split_once(END).expect("the line where they end");
    let chapter = format!("{before}{BEGIN}{}{END}{after}", made());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(CHAPTER, &chapter).expect("the chapter can be written");
        return;
    }
    assert!(
        written == chapter,
        "the chapter is not that of the tables: run with UPDATE_GOLDEN=1"
    );
}

#[test]
fn each_finding_has_a_name_of_its_own_a_test_that_produces_it_and_one_in_which_it_is_silent() {
    let mut sources = String::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/card/findings");
    for entry in std::fs::read_dir(folder).expect("a folder of rules").flatten() {
        sources.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
    }
    // However rustfmt breaks the lines.
    let sources: String = sources.split_whitespace().collect();
    let mut ids = BTreeSet::new();
    for rule in CATALOGUE {
        assert!(ids.insert(rule.id), "{} stands there twice", rule.id);
        assert!(rule.example.ends_with('.'), "{}", rule.id);
        let declaration = format!(":Rule=Rule{{id:\"{}\"", rule.id);
        let (before, _) = sources.split_once(&declaration).expect(rule.id);
        let name = before.rsplit("const").next().unwrap_or_default();
        for test in ["assert_found", "assert_silent"] {
            let call = format!("{test}(&{name},");
            assert!(sources.contains(&call), "{}: no test has {call}", rule.id);
        }
    }
    let ids: BTreeSet<_> = MEANINGS
        .iter()
        .map(|meaning: &&check::Meaning| meaning.id)
        .collect();
    assert_eq!(ids.len(), MEANINGS.len());
}
