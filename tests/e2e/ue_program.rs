//! Testkit: the program `ue` by its keys: what it prints, for people and for programs, and how it ends.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ims_tests::child::Talker;
use ims_tests::hss::{TEST_K, TEST_OPC};
use ims_tests::scene::{imsi, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;
use ims_tests::ue::talk::Answer;
use serde_json::Value;

use crate::network::{Network, binaries};

/// How long the program may take for a step, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it to its end.
fn ue(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program ue")
}

fn command(arguments: &[&str]) -> Command {
    binaries();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ue"));
    command.args(arguments).env_remove("UE_PIN").stdin(Stdio::null());
    command
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The options of the subscriber with this number, at an address of its own.
fn options(site: &Site, number: u8, k: &[u8; 16]) -> Vec<String> {
    let pairs = [
        ("--pcscf", site.gm.to_string()),
        ("--local", site.ue(number).to_string()),
        ("--imsi", imsi(number)),
        ("--k", hex(k)),
        ("--opc", hex(&TEST_OPC)),
    ];
    pairs
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

/// Runs it as the subscriber with this number.
fn ue_of(site: &Site, number: u8, k: &[u8; 16], arguments: &[&str]) -> Output {
    let options = options(site, number, k);
    let all: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(options.iter().map(String::as_str))
        .collect();
    ue(&all)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Each line of what it printed as an object.
fn objects(output: &Output) -> Vec<Value> {
    let said = text(&output.stdout);
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    said.lines().map(object).collect()
}

#[test]
fn a_call_by_number_is_told_step_by_step_and_no_key_is_printed() {
    let network = Network::start(Site::on_network([127, 0, 81]), vec![subscriber(1), subscriber(2)]);
    let other = network.phone(2, |config| config);
    network.must(&other, UeCommand::Register);
    let call = ["call", "--to", "+1 555-0002", "--seconds", "0"];
    let output = ue_of(&network.site, 1, &TEST_K, &call);
    let said = text(&output.stdout);
    assert!(
        output.status.success(),
        "{output:?}\n{}",
        network.daemons.tails(40)
    );
    let mut rest = said.as_str();
    for step in [
        "identity by IMSI: 001010000000001@ims.mnc001.mcc001.3gppnetwork.org",
        "network: 127.0.81.11:5060 to the P-CSCF 127.0.81.1:5060 (by --pcscf) over UDP in clear\n",
        "challenged: AKAv1-MD5\n",
        "AUTHENTICATE: the network is authentic",
        "registered for 600000 s; identities: ",
        "service route: <sip:",
        "call 1: ringing\n",
        "call 1: begun\n",
        "call 1: over: hung up\n",
        "de-registered\n",
    ] {
        let at = rest.find(step);
        let at = at.unwrap_or_else(|| panic!("no {step:?}, or not in its place, in\n{said}"));
        rest = rest.split_at(at + step.len()).1;
    }
    assert!(!said.contains("REGISTER "), "the ladder is for failures:\n{said}");
    for secret in [hex(&TEST_K), hex(&TEST_OPC)] {
        assert!(!said.to_ascii_lowercase().contains(&secret), "{said}");
    }
    network.stop();
}

#[test]
fn each_failure_ends_with_1_the_ladder_and_a_sentence_that_says_what_probably_is_wrong() {
    let network = Network::start(Site::on_network([127, 0, 82]), vec![subscriber(1), subscriber(2)]);
    let refusing = network.phone(2, |config| config.answer(Answer::Refuse(486)));
    network.must(&refusing, UeCommand::Register);
    let register: &[&str] = &["register", "--json"];
    let call: &[&str] = &["call", "--to", "tel:+15550002", "--json"];
    let message: &[&str] = &["message", "--to", "+15550077", "--json"];
    let wrong = [0x44; 16];
    for (number, k, arguments, sort, status, words) in [
        (
            1,
            &wrong,
            register,
            "mac_failure",
            Value::Null,
            "another K or OPc",
        ),
        (
            9,
            &TEST_K,
            register,
            "forbidden",
            403.into(),
            "the HSS does not know 001010000000009@",
        ),
        (
            1,
            &TEST_K,
            call,
            "call_refused",
            486.into(),
            "the answer for tel:+15550002 is 486: who is called is busy",
        ),
        (
            1,
            &TEST_K,
            message,
            "message_refused",
            404.into(),
            "nobody has this number",
        ),
    ] {
        let output = ue_of(&network.site, number, k, arguments);
        let said = objects(&output);
        let failed = said.last().expect("a failure");
        assert_eq!(output.status.code(), Some(1), "{said:#?}");
        assert_eq!(
            (&failed["event"], &failed["sort"]),
            (&"failed".into(), &sort.into()),
            "{said:#?}"
        );
        assert_eq!(failed["status"], status, "{failed:#}");
        let why = failed["why"].as_str().expect("a sentence");
        assert!(why.contains(words), "{why}");
        let ladder = failed["ladder"].as_array().expect("a ladder");
        assert!(
            ladder
                .iter()
                .any(|line| line.as_str().is_some_and(|line| line.contains("REGISTER")))
        );
        assert!(text(&output.stderr).contains(why), "people read it too");
        let is_registered = said.iter().any(|object| object["event"] == "registered");
        let has_left = said.iter().any(|object| object["event"] == "deregistered");
        assert_eq!(
            is_registered, has_left,
            "nobody is left in the network: {said:#?}"
        );
    }
    network.stop();
}

#[test]
fn a_network_that_does_not_answer_is_told_with_what_was_sent() {
    let mut nowhere = Site::on_network([127, 0, 82]);
    nowhere.gm = "127.0.82.99:5060".parse().expect("an address");
    nowhere.ues = "127.0.82.100".parse().expect("an address");
    let output = ue_of(&nowhere, 1, &TEST_K, &["register", "--patience", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("UE     > P-CSCF REGISTER"),
        "{output:?}"
    );
    assert!(
        text(&output.stderr).contains("nothing answers at 127.0.82.99:5060 over UDP"),
        "{output:?}"
    );
}

#[test]
fn what_cannot_be_is_told_before_anything_is_sent() {
    let site = Site::on_network([127, 0, 83]);
    let base: &[&str] = &["register", "--pcscf", "127.0.83.1"];
    for (more, status, words) in [
        (&["--imsi", "001010000000001"][..], 2, "--opc <HEX>"),
        (&["--card", "--imsi", "001010000000001"], 2, "cannot be used with"),
        (&["--card", "--pin", "12x4"], 2, "a PIN has 4 to 8 digits"),
        (
            &["--imsi", "001010000000001", "--k", "4711", "--opc", "4712"],
            2,
            "--k: a key has 32 hex digits",
        ),
        (&["--local", "0.0.0.0", "--card"], 2, "a phone has one address"),
    ] {
        let all: Vec<&str> = base.iter().chain(more).copied().collect();
        let output = ue(&all);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(words), "{said}");
        for secret in ["12x4", "4711", "4712"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    for (more, words) in [
        (
            ["--netns", "ims-nobody-has-this"],
            "`ip netns add ims-nobody-has-this`",
        ),
        (["--interface", "nowhere0"], "nowhere0"),
    ] {
        let arguments = ["register", more[0], more[1]];
        let output = ue_of(&site, 1, &TEST_K, &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_phone_that_may_not_protect_gm_says_so_before_it_sends_anything() {
    let mut site = Site::on_network([127, 0, 85]);
    let within = ue_of(&site, 1, &TEST_K, &["register", "--ipsec"]);
    assert!(
        text(&within.stderr).contains("does not protect what it sends to itself"),
        "{within:?}"
    );
    site.gm = "192.0.2.1:5060".parse().expect("an address");
    let options = options(&site, 1, &TEST_K);
    let mut register = Command::new("unshare");
    // Root there, and nobody in the network namespace of others.
    register.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_ue")]);
    register.args(["register", "--ipsec", "--json"]).args(&options);
    let output = register.output().expect("unshare");
    let said = objects(&output);
    let failed = said.last().expect("a failure");
    assert_eq!(output.status.code(), Some(1), "{said:#?}");
    assert_eq!(
        (&failed["sort"], &failed["ladder"]),
        (&"start".into(), &Value::Array(Vec::new()))
    );
    let why = failed["why"].as_str().expect("a sentence");
    assert!(why.contains("without IPsec (without --ipsec)"), "{why}");
}

#[test]
fn a_phone_that_waits_leaves_at_ctrl_c_by_the_interface_that_it_was_told() {
    let network = Network::start(Site::on_network([127, 0, 84]), vec![subscriber(1)]);
    let options = options(&network.site, 1, &TEST_K);
    let mut arguments = vec!["wait", "--seconds", "600", "--interface", "lo", "--tcp"];
    arguments.extend(options.iter().map(String::as_str));
    let mut phone = Talker::start(&mut command(&arguments)).expect("the program ue");
    let registered = phone.until(PATIENCE, |line| line.starts_with("registered for"));
    let said = phone.said().join("\n");
    assert!(registered.is_some(), "{said}");
    assert!(said.contains("over TCP in clear, interface lo\n"), "{said}");
    let is_sent = Command::new("kill")
        .args(["-INT", &phone.pid().to_string()])
        .status();
    assert!(is_sent.is_ok_and(|status| status.success()));
    let (status, said) = phone.end(PATIENCE).expect("an end");
    assert!(status.success(), "{said:#?}");
    assert!(said.iter().any(|line| line == "de-registered"), "{said:#?}");
    network.stop();
}

#[test]
fn a_phone_whose_reader_goes_away_does_not_panic_and_leaves_the_network() {
    let network = Network::start(Site::on_network([127, 0, 80]), vec![subscriber(1)]);
    let options = options(&network.site, 1, &TEST_K);
    let mut arguments = vec!["deregister", "--pause", "1"];
    arguments.extend(options.iter().map(String::as_str));
    let mut child = command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program ue");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    network.stop();
}

#[test]
fn a_phone_that_waits_for_longer_than_its_registration_lasts_stays_registered() {
    let mut site = Site::on_network([127, 0, 96]);
    site.scscf_more = "  registration: {unprotected_response: accept, expires_min: 2s}\n".to_owned();
    let network = Network::start(site, vec![subscriber(1)]);
    let wait = ["wait", "--expires", "4", "--seconds", "5"];
    let output = ue_of(&network.site, 1, &TEST_K, &wait);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.matches("registered for 4 s").count() >= 2, "{said}");
    network.stop();
}

#[test]
fn an_interruption_is_no_failure_to_start() {
    let network = Network::start(Site::on_network([127, 0, 97]), vec![subscriber(1)]);
    let options = options(&network.site, 1, &TEST_K);
    let mut arguments = vec!["register", "--pause", "600", "--json"];
    arguments.extend(options.iter().map(String::as_str));
    let mut phone = Talker::start(&mut command(&arguments)).expect("the program ue");
    let registered = phone.until(PATIENCE, |line| line.contains("\"registered\""));
    assert!(registered.is_some(), "{:#?}", phone.said());
    let is_sent = Command::new("kill")
        .args(["-INT", &phone.pid().to_string()])
        .status();
    assert!(is_sent.is_ok_and(|status| status.success()));
    let (status, said) = phone.end(PATIENCE).expect("an end");
    let failed: Value = serde_json::from_str(said.last().expect("a failure")).expect("an object");
    assert_eq!(status.code(), Some(1), "{said:#?}");
    assert_eq!(
        (&failed["event"], &failed["sort"]),
        (&"failed".into(), &"interrupted".into())
    );
    network.stop();
}
