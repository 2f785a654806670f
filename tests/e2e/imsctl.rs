//! Testkit: the operator's command against the real binaries.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use ims_common::why::CATALOGUE;
use ims_tests::daemons;
use ims_tests::scene::subscriber;
use ims_tests::site::Site;
use ims_tests::ue::{UeCommand, UeEvent};
use serde_json::Value;

use crate::network::{Network, PATIENCE};

/// The program; it is built first, for a test of this package does not build those of others.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build
                .args(["build", "--quiet", "-p", "ims-common", "--bin", "imsctl"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            assert!(build.status().expect("cargo").success(), "imsctl does not build");
            daemons::binaries().expect("our own directory").join("imsctl")
        })
        .clone()
}

/// What a run came to.
struct Ran {
    line: String,
    status: i32,
    out: String,
    err: String,
}

impl Ran {
    /// The same, if it ended so.
    fn ended(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "imsctl {}\n{}{}",
            self.line, self.out, self.err
        );
        self
    }

    /// The same, if it printed all of these.
    fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.out.contains(part),
                "imsctl {}: no `{part}`\n{}{}",
                self.line,
                self.out,
                self.err
            );
        }
        self
    }

    fn complains(self, part: &str) -> Self {
        assert!(
            self.err.contains(part),
            "imsctl {}: no `{part}`\n{}",
            self.line,
            self.err
        );
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("imsctl {}: {error}\n{}", self.line, self.out))
    }
}

fn run(args: &[&str]) -> Ran {
    run_with("", args)
}

/// With the nodes of the environment.
fn run_with(nodes: &str, args: &[&str]) -> Ran {
    let output = Command::new(program())
        .args(args)
        .env("IMSCTL_NODES", nodes)
        .output()
        .expect("imsctl runs");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
    Ran {
        line: args.join(" "),
        status: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A site whose nodes answer operators on port 9091 of their own addresses.
fn site(third: u8) -> Site {
    let mut site = Site::on_network([127, 0, third]);
    let at = |address: SocketAddr| SocketAddr::new(address.ip(), 9091);
    site.admin = Some([at(site.pcscf), at(site.icscf), at(site.scscf())]);
    site
}

/// The command at the nodes of a site.
fn at(site: &Site, args: &[&str]) -> Ran {
    let admin = site.admin.expect("operators are answered");
    let nodes = admin.map(|address| format!("http://{address}"));
    let mut all = args.to_vec();
    for node in &nodes {
        all.extend(["--node", node]);
    }
    run(&all)
}

/// A file of ours. It goes away with this value.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str, text: &str) -> Self {
        let path = daemons::fresh_directory().expect("a directory").join(name);
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn as_str(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(directory) = self.0.parent() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

const IMSI: &str = "001010000000001";

#[test]
fn lists_and_acts_about_a_registered_user() {
    let site = site(61);
    let network = Network::start(site.clone(), vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);

    at(&site, &["status"])
        .ended(0)
        .says(&["P-CSCF", "I-CSCF", "S-CSCF", "serving", "1 users, 1 contacts"]);
    at(&site, &["users"])
        .ended(0)
        .says(&["S-CSCF", "registered", IMSI]);
    at(&site, &["users", IMSI]).ended(0).says(&["registered"]);
    at(&site, &["users", "999"]).ended(0).says(&["no users"]);
    at(&site, &["contacts"])
        .ended(0)
        .says(&["P-CSCF", "udp 127.0.61."]);
    at(&site, &["peers"])
        .ended(0)
        .says(&["I-CSCF", "S-CSCF", "diameter", "127.0.61.5:3868"]);
    at(&site, &["limits"]).ended(0).says(&["LIMIT"]);
    at(&site, &["sessions"]).ended(0).says(&["no sessions"]);
    at(&site, &["metrics", "ims_scscf_registers_total"])
        .ended(0)
        .says(&["reason=\"registered\""]);
    for list in [
        "status", "users", "contacts", "peers", "limits", "bans", "sas", "findings",
    ] {
        let value = at(&site, &[list, "--json"]).json();
        assert!(value.is_object(), "{list}: {value}");
    }
    assert!(at(&site, &["openapi"]).ended(0).json()["paths"].is_object());

    let why = at(&site, &["why", IMSI]).ended(0);
    why.says(&[
        "nothing that looks like a failure",
        "UE     > P-CSCF REGISTER",
        "I-CSCF > HSS    UAR",
        "200 OK",
    ]);
    let value = at(&site, &["why", IMSI, "--json"]).ended(0).json();
    assert!(
        value["entries"].as_array().is_some_and(|list| list.len() > 8),
        "{value}"
    );

    let user = network_user(&site);
    at(&site, &["ifc", "test", "--user", &user, "--uri", "tel:+15550002"])
        .ended(0)
        .says(&[
            "INVITE tel:+15550002 from",
            "the profile of the registration",
            "No application server is asked",
        ]);
    at(&site, &["reauthenticate", &user])
        .ended(0)
        .says(&["S-CSCF: the user has to authenticate again soon"]);
    at(&site, &["deregister", &user])
        .ended(0)
        .says(&["S-CSCF: the registration ends"]);
    at(&site, &["deregister", "sip:nobody@home.example"])
        .ended(1)
        .complains("no node that was asked serves");
    network.stop();
}

/// A public identity of the one user who is registered.
fn network_user(site: &Site) -> String {
    let users = at(site, &["users", "--json"]).ended(0).json();
    let impus = users["users"][0]["impus"].as_array().cloned().unwrap_or_default();
    let usable = impus.iter().find(|impu| impu["barred"] == false);
    let impu = usable.and_then(|impu| impu["impu"].as_str());
    impu.unwrap_or_else(|| panic!("no identity: {users}")).to_owned()
}

#[test]
fn why_somebody_whom_the_hss_does_not_know_cannot_register() {
    let site = site(62);
    let network = Network::start(site.clone(), vec![subscriber(1)]);
    let stranger = network.phone(9, |config| config);
    let events = stranger
        .tell_and_wait(UeCommand::Register, PATIENCE)
        .expect("an end");
    assert!(
        matches!(events.last(), Some(UeEvent::Rejected { status: 403, .. })),
        "{events:?}"
    );
    let ran = at(&site, &["why", "001010000000009"]);
    let ladder = [
        "UE     > P-CSCF REGISTER",
        "HSS    > I-CSCF UAA 5001",
        "P-CSCF > UE     403 Forbidden",
    ];
    let ran = ran.says(&ladder);
    if CATALOGUE.iter().any(|detector| detector.name == "hss-refuses") {
        ran.ended(1)
            .says(&["IMSI 001010000000009: one finding", "(5001 to the UAR", ">>"]);
    }
    at(&site, &["why", "00101999"])
        .ended(1)
        .says(&["Nothing is known of 00101999"]);
    network.stop();
}

#[test]
fn filter_criteria_of_a_file_are_tried_at_an_s_cscf() {
    let site = site(63);
    let network = Network::start(site.clone(), vec![subscriber(1)]);
    let profile = Kept::new(
        "alice.xml",
        "<IMSSubscription><PrivateID>alice@home.example</PrivateID><ServiceProfile><PublicIdentity>\
         <Identity>sip:alice@home.example</Identity></PublicIdentity><InitialFilterCriteria><Priority>1</Priority>\
         <TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF><SPT><Group>0</Group><Method>MESSAGE</Method></SPT>\
         </TriggerPoint><ApplicationServer><ServerName>sip:smsgw.home.example</ServerName><DefaultHandling>1\
         </DefaultHandling></ApplicationServer></InitialFilterCriteria></ServiceProfile></IMSSubscription>",
    );
    let test = |more: &[&str]| {
        let mut args = vec![
            "ifc",
            "test",
            "--profile",
            profile.as_str(),
            "--uri",
            "tel:+15550002",
        ];
        args.extend(more);
        at(&site, &args)
    };
    test(&["--method", "MESSAGE"])
        .ended(0)
        .says(&["1. sip:smsgw.home.example", "yes Method = MESSAGE"]);
    test(&[])
        .ended(0)
        .says(&["none of 1 criteria is met", "no  Method = MESSAGE", "INVITE"]);
    let value = test(&["--method", "MESSAGE", "--json"]).ended(0).json();
    assert_eq!(value["servers"][0]["server"], "sip:smsgw.home.example");
    let broken = Kept::new("broken.xml", "<IMSSubscription>");
    at(
        &site,
        &["ifc", "test", "--profile", broken.as_str(), "--uri", "tel:+1"],
    )
    .ended(1)
    .complains("the profile is not usable");
    at(
        &site,
        &["ifc", "test", "--user", "tel:+15550001", "--uri", "tel:+1"],
    )
    .ended(1)
    .complains("that user is not registered here");
    network.stop();
}

#[test]
fn a_dead_node_is_named_and_a_wrong_token_is_refused() {
    let mut site = site(64);
    site.admin = None;
    let token = Kept::new("token", "0123456789abcdef0123456789abcdef\n");
    let (listen, shown) = (SocketAddr::new(site.pcscf.ip(), 9091), token.as_str());
    site.pcscf_more.push_str(&format!(
        "  admin: {{listen: \"{listen}\", read_token_file: \"{shown}\"}}\n"
    ));
    let network = Network::start(site, vec![subscriber(1)]);
    let node = format!("http://{listen}");
    let given = |file: &Kept, more: &[&str]| {
        let mut args = vec!["status", "--node", &node, "--token-file", file.as_str()];
        args.extend(more);
        run(&args)
    };
    run(&["status", "--node", &node])
        .ended(1)
        .complains("a token is needed");
    let wrong = Kept::new("wrong", "ffffffffffffffffffffffffffffffff\n");
    given(&wrong, &[]).ended(1).complains("the token is wrong");
    given(&token, &[]).ended(0).says(&["P-CSCF", "serving"]);
    let dead = "http://127.0.64.99:9091";
    given(&token, &["--node", dead])
        .ended(1)
        .says(&["serving"])
        .complains(dead);
    given(&token, &["--node", dead, "--json"])
        .ended(1)
        .says(&["\"unanswered\""]);
    network.stop();
}

#[test]
fn without_a_node_there_is_a_remedy_and_scripts_need_none() {
    run(&["status", "--node", "http://127.0.65.99:9091"])
        .ended(3)
        .complains("look whether the nodes run");
    run(&["status", "--token-file", "/nowhere/token"])
        .ended(2)
        .complains("--token-file /nowhere/token");
    run(&["users", "--limit", "many"]).ended(2).complains("--limit");
    for (shell, part) in [
        ("bash", "_imsctl"),
        ("zsh", "#compdef imsctl"),
        ("fish", "complete -c imsctl"),
    ] {
        run(&["completion", shell])
            .ended(0)
            .says(&[part, "reauthenticate"]);
    }
    run(&["doctor", "/nowhere/pcscf.yaml"])
        .ended(1)
        .says(&["/nowhere/pcscf.yaml: cannot be read"]);
}

#[test]
fn the_doctor_of_each_daemon_is_asked_with_its_own_file() {
    let _ = crate::network::binaries();
    let site = Site::on_network([127, 0, 66]);
    let icscf = Kept::new("icscf.yaml", &site.icscf_file());
    let pcscf = Kept::new("pcscf.yaml", &site.pcscf_file());
    let files = [icscf.as_str(), pcscf.as_str()];
    // Nobody is the HSS.
    run(&["doctor", files[0], files[1]]).ended(1).says(&[
        files[0],
        files[1],
        "icscf",
        "pcscf",
        "FAIL    diameter",
    ]);
    let value = run(&["doctor", files[0], "--json"]).ended(1).json();
    assert_eq!(value[0]["diagnosis"]["node"], "icscf", "{value}");
}

#[test]
fn a_live_trace_shows_what_happens_as_lines_where_there_is_no_terminal() {
    let site = site(67);
    let network = Network::start(site.clone(), vec![subscriber(1), subscriber(2)]);
    let phone = network.phone(1, |config| config);
    let other = network.phone(2, |config| config);
    network.must(&phone, UeCommand::Register);
    network.must(&other, UeCommand::Register);
    let trace = std::thread::spawn(move || at(&site, &["trace", IMSI, "--duration", "3"]));
    while !trace.is_finished() {
        network.must(&phone, UeCommand::Refresh);
        network.must(&other, UeCommand::Refresh);
    }
    let ran = trace.join().expect("a trace").ended(0);
    let lines = ran.says(&[
        "UE     > P-CSCF REGISTER",
        "P-CSCF > I-CSCF REGISTER",
        "I-CSCF > HSS    UAR",
    ]);
    assert!(!lines.out.contains("001010000000002"), "{}", lines.out);
    network.stop();
}

#[test]
fn why_a_call_to_nobody_failed() {
    let site = site(68);
    let network = Network::start(site.clone(), vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    phone.tell(UeCommand::call("tel:+15550009"));
    let end = Instant::now() + PATIENCE;
    let mut ran = at(&site, &["why", IMSI]);
    while ran.status == 0 && Instant::now() < end {
        ran = at(&site, &["why", IMSI]);
    }
    let told = ran.ended(1).says(&[
        "one finding",
        "No such subscriber: the HSS does not know",
        "I-CSCF > HSS    LIR",
        ">>",
    ]);
    assert!(
        told.out.find("No such").unwrap_or(usize::MAX) < told.out.find("LIR").unwrap_or(0),
        "{}",
        told.out
    );
    let value = at(&site, &["why", "tel:+15550009", "--json"]).json();
    assert_eq!(value["findings"][0]["detector"], "callee-unknown", "{value}");
    network.stop();
}

#[test]
fn one_socket_is_enough_for_a_site_and_packets_are_saved() {
    let mut site = site(69);
    let [_, icscf, scscf] = site.admin.take().expect("operators are answered");
    let place = Kept::new("place", "");
    let socket = place.0.with_file_name("pcscf.sock");
    let shown = socket.display();
    site.pcscf_more.push_str(&format!(
        "  admin: {{socket: \"{shown}\", neighbours: [\"http://{icscf}\", \"http://{scscf}\"]}}\n"
    ));
    site.icscf_more.push_str(&format!("  admin: \"{icscf}\"\n"));
    site.scscf_more.push_str(&format!("  admin: \"{scscf}\"\n"));
    let network = Network::start(site, vec![subscriber(1)]);
    let nodes = socket.to_str().expect("a path");
    let ask = |args: &[&str]| run_with(nodes, args);
    ask(&["pcap", "start", IMSI])
        .ended(0)
        .says(&["P-CSCF: keeps its packets", "S-CSCF: keeps"]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    ask(&["status"])
        .ended(0)
        .says(&["P-CSCF", "I-CSCF", "S-CSCF", "1 users, 1 contacts"]);
    ask(&["why", IMSI])
        .ended(0)
        .says(&["UE     > P-CSCF", "I-CSCF > HSS    UAR", "S-CSCF > HSS    SAR"]);
    ask(&["drain", "hss"])
        .ended(2)
        .complains("no node is called hss; there are pcscf, icscf, scscf");

    let file = place.0.with_file_name("alice");
    let name = file.to_str().expect("a path");
    ask(&["pcap", "save", IMSI, name]).ended(0).says(&["written"]);
    let saved = std::fs::read(format!("{name}.pcscf.pcap")).expect("a file");
    assert!(saved.len() > 2_000, "{} octets", saved.len());
    ask(&["pcap", "stop", IMSI])
        .ended(0)
        .says(&["keeps them no more"]);
    ask(&["pcap", "stop", IMSI])
        .ended(1)
        .complains("nobody keeps packets");
    network.stop();
}
