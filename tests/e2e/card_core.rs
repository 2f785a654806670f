//! Testkit: a card behind the real PC/SC service, compared with the files of a core by the program `ue`.

use std::path::PathBuf;

use ims_tests::card::apdu::instruction::SELECT;
use ims_tests::card::virtual_card::CardProfile;
use ims_tests::daemons::fresh_directory;
use ims_tests::milenage::Sqn;
use serde_json::Value;

use crate::card::Bench;

const IMSI: &str = "001010000000001";
const OTHER_K: &str = "00112233445566778899aabbccddeeff";

/// Files of a core; removed when this value goes away.
struct Files(PathBuf);

impl Files {
    /// Of a core that knows the card, and has these further keys of its subscriber.
    fn of(subscriber: &str) -> Self {
        let files = Self(fresh_directory().expect("a directory"));
        let pcscf = "pcscf:\n  home_realm: ims.mnc001.mcc001.3gppnetwork.org\n  gm: {address: 192.0.2.5}\n  \
                     mw: {address: 127.0.1.2}\n";
        let hss = format!(
            "hss:\n  listen: 127.0.1.5:3868\n  subscribers:\n    - {{imsi: \"{IMSI}\", msisdn: \"15550001\"{subscriber}}}\n"
        );
        files.write("pcscf.yaml", pcscf);
        files.write("hss.yaml", &hss);
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("the file can be written");
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn arguments(&self, what: &str) -> Vec<String> {
        let [pcscf, hss] = ["pcscf.yaml", "hss.yaml"].map(|name| self.path(name));
        ["card", what, "--core", &pcscf, "--core", &hss]
            .map(str::to_owned)
            .into()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn ids(json: &str, of: &[&str]) -> Vec<String> {
    let json: Value = serde_json::from_str(json).expect("JSON");
    let list = of.iter().fold(&json, |json, key| &json[*key]);
    let list = list.as_array().expect("a list");
    list.iter()
        .filter_map(|it| it["id"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_card_is_compared_with_the_files_of_a_core() {
    let files = Files::of("");
    let mut show = files.arguments("show");
    let bench = Bench::with(CardProfile::new(IMSI).smsc("+15550100"));
    let said = bench.ue(&borrowed(&show));
    assert!(
        said.good().contains("Nothing was found that does not fit."),
        "{}",
        said.out
    );
    show.push("--json".to_owned());
    let json = bench.ue(&borrowed(&show));
    assert_eq!(ids(json.good(), &["findings"]), [""; 0]);

    let other = Bench::with(CardProfile::new("001090000000001").smsc("+15550100"));
    let said = other.ue(&borrowed(&show));
    said.failed_with(&["something is wrong with this card"]);
    assert_eq!(
        ids(&said.out, &["findings"]),
        ["domain-not-served", "impi-unknown", "impu-temporary-only"]
    );
}

#[test]
fn a_mistake_in_a_file_is_told_with_its_place_before_the_card_is_touched() {
    let files = Files::of(", key: 00");
    let bench = Bench::with(CardProfile::new(IMSI));
    let untouched = bench.counted(SELECT);
    for what in ["show", "check"] {
        let said = bench.ue(&borrowed(&files.arguments(what)));
        said.failed_with(&["hss.yaml:4:", "hss.subscribers", "key: unknown key"]);
    }
    assert_eq!(bench.counted(SELECT), untouched);
}

#[test]
fn the_keys_of_the_hss_are_compared_with_those_of_the_card() {
    let card = CardProfile::new(IMSI).sqn(Sqn::of(100, 3));
    let bench = Bench::with(card);
    let files = Files::of("");
    let mut check = files.arguments("check");
    let said = bench.ue(&borrowed(&check));
    assert!(said.good().contains("[card-has-keys]"), "{}", said.out);
    assert!(said.out.contains("hss.yaml: K and OPc, AMF 8000"), "{}", said.out);

    files.write(
        "hss.yaml",
        &format!("hss:\n  listen: 127.0.1.5:3868\n  subscribers: [{{imsi: \"{IMSI}\", k: {OTHER_K}}}]\n"),
    );
    check.push("--json".to_owned());
    let said = bench.ue(&borrowed(&check));
    said.failed_with(&["something is wrong"]);
    assert_eq!(ids(&said.out, &["check", "verdicts"]), ["card-has-other-keys"]);
    assert!(!said.out.contains(OTHER_K));
}
