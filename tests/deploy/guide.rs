//! Test: what the guide says is tried: its configurations are the shipped ones, its commands run, its snippets are read by
//! the code that will read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ims_tests::daemons::fresh_directory;

use crate::{binaries, must, text};

/// A fenced block with the mark above it.
struct Block {
    place: String,
    mark: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The marked blocks: `<!-- test: MARK -->`, and the fence right below it.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for chapter in ["guide", "guide_services"] {
        let path = root().join(format!("common/src/manual/{chapter}.md"));
        let guide = std::fs::read_to_string(&path).expect("the chapter");
        let mut lines = guide.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(mark) = line
                .strip_prefix("<!-- test: ")
                .and_then(|rest| rest.strip_suffix(" -->"))
            else {
                continue;
            };
            let fence = lines.next().map(|(_, line)| line).unwrap_or_default();
            assert!(fence.starts_with("```"), "{chapter}.md:{}: no block", number + 1);
            let text = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .flat_map(|line| [line, "\n"]);
            blocks.push(Block {
                place: format!("{chapter}.md:{}", number + 1),
                mark: mark.to_owned(),
                text: text.collect(),
            });
        }
    }
    blocks
}

fn marked(mark: &str) -> Vec<Block> {
    let found: Vec<Block> = blocks().into_iter().filter(|block| block.mark == mark).collect();
    assert!(!found.is_empty(), "no block is marked {mark}");
    found
}

#[test]
fn every_mark_of_the_guide_means_something() {
    for block in blocks() {
        let known = ["run", "json", "smf", "ifc"].contains(&block.mark.as_str());
        assert!(
            known || block.mark.starts_with("file "),
            "{}: {}",
            block.place,
            block.mark
        );
    }
}

#[test]
fn configurations_in_the_guide_are_the_shipped_ones() {
    let mut seen = 0;
    for block in blocks() {
        if let Some(path) = block.mark.strip_prefix("file ") {
            let shipped = std::fs::read_to_string(root().join(path)).expect(path);
            assert_eq!(block.text, shipped, "{}", block.place);
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn commands_of_the_guide_run() {
    let directory = fresh_directory().expect("a directory");
    std::os::unix::fs::symlink(root().join("deploy"), directory.join("deploy")).expect("a link");
    let path = format!(
        "{}:{}",
        binaries().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    for block in marked("run") {
        println!("{}", block.place);
        must(
            Command::new("sh")
                .args(["-eu", "-c", &block.text])
                .current_dir(&directory)
                .env("PATH", &path),
        );
    }
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn json_of_the_guide_is_json() {
    for block in marked("json") {
        let read: Result<BTreeMap<String, serde_json::Value>, _> = serde_json::from_str(&block.text);
        assert!(read.is_ok(), "{}: {read:?}", block.place);
    }
}

#[derive(serde::Deserialize)]
struct SmfFile {
    smf: Smf,
}

#[derive(serde::Deserialize)]
struct Smf {
    session: Vec<Session>,
    #[serde(rename = "p-cscf")]
    pcscf: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Session {
    subnet: String,
    dnn: String,
}

#[test]
fn the_smf_tells_phones_the_address_and_the_pool_of_the_shipped_p_cscf() {
    for block in marked("smf") {
        let file: SmfFile = serde_saphyr::from_str(&block.text).expect("a file of the SMF");
        let shipped = text("config/beside-an-epc/pcscf.yaml");
        for address in &file.smf.pcscf {
            assert!(
                shipped.contains(&format!("gm: {{address: {address}}}")),
                "{address}"
            );
        }
        let ims = file.smf.session.iter().find(|session| session.dnn == "ims");
        let subnet = &ims.expect("a session of the APN ims").subnet;
        assert!(shipped.contains(&format!("ue_pool: [{subnet}]")), "{subnet}");
    }
}

#[test]
fn filter_criteria_of_the_guide_are_read_by_the_s_cscf() {
    for block in marked("ifc") {
        let profile = format!(
            "<IMSSubscription><PrivateID>001010000000001@ims.mnc001.mcc001.3gppnetwork.org</PrivateID>\
             <ServiceProfile><PublicIdentity><Identity>tel:+12025550101</Identity></PublicIdentity>{}\
             </ServiceProfile></IMSSubscription>",
            block.text
        );
        let read = hss_client::user_data::parse(profile.as_bytes()).expect("a profile");
        let criteria: usize = read
            .profiles
            .iter()
            .map(|profile| profile.filter_criteria.len())
            .sum();
        assert_eq!(criteria, 1, "{}", block.place);
    }
}
