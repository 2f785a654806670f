//! Shell: `--doctor` of the real binaries: beside daemons that run, against HSSs that refuse, and in network namespaces.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ims_common::diameter::base::Application;
use ims_common::diameter::{LocalPeer, Message, Refusal};
use ims_common::shell::doctor::{Check, Diagnosis, Verdict};
use ims_tests::daemons::{Daemon, fresh_directory, http_get};
use ims_tests::host;
use ims_tests::scene::{hss, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::UeCommand;

use crate::free_diameter::FreeDiameter;
use crate::network::{Network, PATIENCE, binaries};

/// A directory that goes away with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(fresh_directory().expect("a directory"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `DAEMON --doctor --json --config FILE …`, run by `wrapper`.
fn ask(wrapper: &[&str], daemon: &str, file: &Path, more: &[&str]) -> (Option<i32>, Diagnosis) {
    let output = run(wrapper, daemon, file, &[&["--doctor", "--json"], more].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let read = serde_json::from_str(&text);
    (
        output.status.code(),
        read.unwrap_or_else(|error| panic!("{error}: {output:?}")),
    )
}

fn run(wrapper: &[&str], daemon: &str, file: &Path, more: &[&str]) -> Output {
    let program = binaries().join(daemon);
    let mut command = match wrapper {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command.arg("--config").arg(file).args(more);
    command.output().expect("a program")
}

fn all<'a>(diagnosis: &'a Diagnosis, name: &str) -> Vec<&'a Check> {
    diagnosis
        .checks
        .iter()
        .filter(|check| check.name == name)
        .collect()
}

/// The one check of this name that says this.
#[track_caller]
fn assert_says(diagnosis: &Diagnosis, name: &str, verdict: Verdict, words: &str) {
    let says = |check: &&Check| check.verdict == verdict && check.sentence().contains(words);
    assert!(
        all(diagnosis, name).iter().any(says),
        "no check `{name}` is {verdict:?} with `{words}`:\n{diagnosis}"
    );
}

/// The configuration file of a process.
fn file_of(pid: u32) -> PathBuf {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("a process");
    let words: Vec<_> = line.split(|octet| *octet == 0).collect();
    let at = words
        .iter()
        .position(|word| *word == b"--config")
        .expect("--config");
    PathBuf::from(String::from_utf8_lossy(words[at + 1]).into_owned())
}

#[test]
fn beside_daemons_that_run_all_is_well_and_nobody_is_disturbed() {
    let mut site = Site::on_network([127, 0, 90]);
    site.admin = Some([9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port)));
    let mut network = Network::start(site, vec![subscriber(1)]);
    for (name, daemon, hop) in [
        ("pcscf", "pcscf", "I-CSCF at 127.0.90.3:5060 answers OPTIONS"),
        ("icscf", "icscf", "S-CSCF at 127.0.90.4:5060 answers OPTIONS"),
        ("scscf1", "scscf", "I-CSCF at 127.0.90.3:5060 answers OPTIONS"),
    ] {
        let file = file_of(network.daemons.get(name).pid());
        let (code, diagnosis) = ask(&[], daemon, &file, &[]);
        assert_eq!(code, Some(0), "{diagnosis}");
        assert_says(&diagnosis, "ports", Verdict::Ok, "held by the daemon itself");
        assert_says(&diagnosis, "sip", Verdict::Ok, hop);
        if daemon != "pcscf" {
            assert_says(&diagnosis, "diameter", Verdict::Ok, "has 1 open connections");
        }
    }
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    network.stop();
}

#[test]
fn an_hss_is_tried_where_no_daemon_runs_and_another_instance_is_named() {
    let site = Site::on_network([127, 0, 91]);
    let seed = ims_common::shell::seed().expect("a clock");
    let sockets = host::hss_sockets(site.hss);
    let (_hss, _) = host::host(hss(vec![subscriber(1)], seed), sockets, |_, _| {}).expect("the HSS");
    let folder = Folder::new();
    let file = folder.file("scscf.yaml", &site.scscf_file(0));
    let (code, diagnosis) = ask(&[], "scscf", &file, &[]);
    assert_eq!(code, Some(0), "{diagnosis}");
    assert_says(&diagnosis, "diameter", Verdict::Ok, "serves Cx");
    assert_says(&diagnosis, "ports", Verdict::Ok, "all 2 are free");
    assert_says(&diagnosis, "sip", Verdict::Warn, "I-CSCF at 127.0.91.3:5060");
    let taken = UdpSocket::bind(site.scscf()).expect("a port");
    let (code, diagnosis) = ask(&[], "scscf", &file, &[]);
    assert_eq!(code, Some(1), "{diagnosis}");
    assert_says(
        &diagnosis,
        "ports",
        Verdict::Fail,
        "mw.address 127.0.91.4:5060 (UDP) is in use by ",
    );
    drop(taken);
}

/// A peer that does this with what it reads, once.
fn peer(
    act: impl FnOnce(&mut std::net::TcpStream, Vec<u8>) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.92.5:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut octets = vec![0; 4_096];
        let read = stream.read(&mut octets).expect("a CER");
        octets.truncate(read);
        act(&mut stream, octets);
    });
    (address, thread)
}

fn ask_with_peer(peer: &str) -> Diagnosis {
    let mut site = Site::on_network([127, 0, 92]);
    site.diameter = vec![peer.to_owned()];
    let folder = Folder::new();
    let file = folder.file("scscf.yaml", &site.scscf_file(0));
    let (code, diagnosis) = ask(&[], "scscf", &file, &[]);
    assert_eq!(code, Some(1), "{diagnosis}");
    diagnosis
}

#[test]
fn an_hss_that_refuses_closes_or_is_none_is_told_in_words() {
    let (address, thread) = peer(|stream, cer| {
        let cer = Message::parse(cer.into()).expect("a CER");
        let own = LocalPeer {
            origin_host: format!("hss.{HOME}"),
            origin_realm: HOME.to_owned(),
            host_ip_addresses: Vec::new(),
            product_name: "refuser".to_owned(),
            origin_state_id: 1,
            applications: vec![Application::CX],
            supported_vendors: Vec::new(),
        };
        let cea = own.cea(cer.header(), [127, 0, 92, 5].into(), &Refusal::new(3_010));
        stream.write_all(&cea).expect("sent");
    });
    let diagnosis = ask_with_peer(&address.to_string());
    let words =
        format!("refuses our CER: it does not know us as a peer (3010); let the HSS know scscf1.{HOME}");
    assert_says(&diagnosis, "diameter", Verdict::Fail, &words);
    let snippet = &diagnosis.snippets[0].text;
    assert!(
        snippet.contains(&format!("ConnectPeer = \"scscf1.{HOME}\"")),
        "{snippet}"
    );
    thread.join().expect("a peer");

    let (address, thread) = peer(|_, _| {});
    let diagnosis = ask_with_peer(&address.to_string());
    assert_says(
        &diagnosis,
        "diameter",
        Verdict::Fail,
        "closes the connection at our CER",
    );
    thread.join().expect("a peer");

    let (address, thread) = peer(|stream, _| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .expect("sent");
    });
    let diagnosis = ask_with_peer(&address.to_string());
    assert_says(&diagnosis, "diameter", Verdict::Fail, "no Diameter");
    thread.join().expect("a peer");

    let diagnosis = ask_with_peer(&address.to_string());
    assert_says(&diagnosis, "diameter", Verdict::Fail, "connection refused");
}

#[test]
fn free_diameter_that_knows_us_is_well_and_one_that_does_not_is_told() {
    let mut site = Site::on_network([127, 0, 93]);
    let port = FreeDiameter::port();
    let agent = FreeDiameter::start(port, site.hss, false);
    site.diameter = vec![format!("127.0.0.1:{port}")];
    let folder = Folder::new();
    let file = folder.file("scscf.yaml", &site.scscf_file(0));
    agent.wait_until_it_listens(port);
    let (_, diagnosis) = ask(&[], "scscf", &file, &[]);
    // A relay: it serves every application, in the realm of ours.
    assert_says(&diagnosis, "diameter", Verdict::Ok, "serves Cx");
    // With the daemon on, its name is in use: told where a second node, of another address, has the same.
    let mut daemon = Daemon::start("scscf", &binaries().join("scscf"), &file).expect("a daemon");
    daemon.wait_ready().expect("a daemon that serves");
    let second = site.scscf_file(0).replace("127.0.93.4", "127.0.93.7");
    let second = folder.file("second.yaml", &second);
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, diagnosis) = ask(&[], "scscf", &second, &[]);
        let said = all(&diagnosis, "diameter")[0].sentence();
        if said.contains("Origin-Host is in use twice") {
            break;
        }
        assert!(Instant::now() < end, "{said}\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    daemon.stop().expect("a clean end");
    let stranger = site.scscf_file(0).replace(
        &format!("origin_host: scscf1.{HOME}"),
        "origin_host: scscf1.stranger.example",
    );
    let file = folder.file("stranger.yaml", &stranger);
    let (code, diagnosis) = ask(&[], "scscf", &file, &[]);
    assert_eq!(code, Some(1), "{diagnosis}\n{}", agent.log());
    assert_says(&diagnosis, "diameter", Verdict::Fail, "our CER");
    assert_says(
        &diagnosis,
        "diameter",
        Verdict::Fail,
        "let the HSS know scscf1.stranger.example",
    );
}

#[test]
fn files_of_neighbours_are_compared_and_a_broken_one_is_told_with_its_line() {
    let site = Site::on_network([127, 0, 94]);
    let folder = Folder::new();
    let file = folder.file("pcscf.yaml", &site.pcscf_file());
    let smf = folder.file("smf.yaml", "smf:\n  p-cscf:\n    - 192.0.2.200\n");
    let with = |path: &Path| ["--open5gs-smf".to_owned(), path.display().to_string()];
    let arguments = with(&smf);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, diagnosis) = ask(&[], "pcscf", &file, &arguments);
    assert_eq!(code, Some(1), "{diagnosis}");
    assert_says(
        &diagnosis,
        "smf",
        Verdict::Fail,
        "tells handsets 192.0.2.200, and this P-CSCF is at 127.0.94.1",
    );
    assert_eq!(diagnosis.snippets[0].text, "smf:\n  p-cscf:\n    - 127.0.94.1\n");

    let broken = folder.file("broken.yaml", "smf:\n  session: 7\n");
    let path = broken.display().to_string();
    let output = run(&[], "pcscf", &file, &["--doctor", "--open5gs-smf", &path]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("broken.yaml:2:"), "{said}");
}

/// A network namespace that goes away with this value.
struct Space(String);

impl Space {
    fn new(name: &str) -> Self {
        let name = format!("ims-doctor-{}-{name}", std::process::id());
        ip(&["netns", "add", &name]);
        let space = Self(name);
        space.ip("link set lo up");
        space.ip("link add v0 type veth peer name v1");
        space.ip("addr add 192.0.2.5/24 dev v0");
        space.ip("addr add 192.0.2.6/24 dev v0");
        space.ip("link set v0 up");
        space.ip("link set v1 up");
        space
    }

    fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", &self.0];
        all.extend(arguments.split_whitespace());
        ip(&all);
    }

    /// Does something in a thread inside.
    fn inside<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/run/netns/{}", self.0);
        let inside = move || {
            let file = std::fs::File::open(path).expect("a namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("the right to enter it");
            act()
        };
        std::thread::spawn(inside).join().expect("no panic")
    }

    /// A socket inside, of this process.
    fn bind_udp(&self, address: &str) -> UdpSocket {
        let address = address.to_owned();
        self.inside(move || UdpSocket::bind(address).expect("a free port"))
    }

    /// A daemon inside that serves.
    fn daemon(&self, name: &str, file: &Path, folder: &Folder) -> Daemon {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.0])
            .arg(binaries().join(name));
        command.arg("--config").arg(file);
        let mut daemon = Daemon::run(name, command, folder.0.join("daemon.log")).expect("a daemon");
        daemon.wait_ready().expect("a daemon that serves");
        daemon
    }

    fn wrapper(&self) -> Vec<&str> {
        vec!["ip", "netns", "exec", &self.0]
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("ip, of iproute2");
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}

/// A P-CSCF of the namespaces, with this line about security.
fn pcscf_file(security: &str) -> String {
    format!(
        "pcscf:\n  home_realm: {HOME}\n  gm: {{address: 192.0.2.5, security: {security}}}\n  mw: {{address: 192.0.2.6}}\n  \
         icscf: \"sip:192.0.2.6:5099\"\n  ue_pool: [10.45.0.0/16]\n"
    )
}

const NO_ROUTE: &str =
    "ue_pool 10.45.0.0/16 has no route from this machine; add it (ip route add 10.45.0.0/16 via GATEWAY";

#[test]
fn without_a_route_to_the_ues_the_doctor_and_the_start_say_the_same() {
    let space = Space::new("route");
    let folder = Folder::new();
    let file = folder.file("pcscf.yaml", &pcscf_file("none"));
    let (code, diagnosis) = ask(&space.wrapper(), "pcscf", &file, &[]);
    assert_eq!(code, Some(1), "{diagnosis}");
    assert_says(&diagnosis, "route", Verdict::Fail, NO_ROUTE);
    let output = run(&space.wrapper(), "pcscf", &file, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains(NO_ROUTE), "{said:?}");

    space.ip("route add default via 192.0.2.1");
    let (_, diagnosis) = ask(&space.wrapper(), "pcscf", &file, &[]);
    assert_says(
        &diagnosis,
        "route",
        Verdict::Warn,
        "only by the default route (via 192.0.2.1 on v0)",
    );
    space.ip("route add 10.45.0.0/16 via 192.0.2.99");
    let (code, diagnosis) = ask(&space.wrapper(), "pcscf", &file, &[]);
    assert_eq!(code, Some(0), "{diagnosis}");
    assert_says(
        &diagnosis,
        "route",
        Verdict::Ok,
        "ue_pool 10.45.0.0/16 is reached via 192.0.2.99 on v0",
    );
}

#[test]
fn a_route_that_goes_while_the_p_cscf_runs_explains_what_its_phones_miss() {
    const IMSI: &str = "001010000000001";
    const ADMIN: &str = "127.0.0.1:9091";
    let space = Space::new("gone");
    space.ip("route add 10.45.0.0/16 via 192.0.2.99");
    let folder = Folder::new();
    let file = folder.file(
        "pcscf.yaml",
        &(pcscf_file("none") + "  admin: \"127.0.0.1:9091\"\n"),
    );
    let daemon = space.daemon("pcscf", &file, &folder);
    space.ip("route del 10.45.0.0/16");
    let phone = space.bind_udp("192.0.2.6:5070");
    let register = format!(
        "REGISTER sip:{HOME} SIP/2.0\r\nVia: SIP/2.0/UDP 10.45.0.7:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:{IMSI}@{HOME}>;tag=1\r\nTo: <sip:{IMSI}@{HOME}>\r\nContact: <sip:{IMSI}@10.45.0.7:5060>\r\n\
         Call-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    phone
        .send_to(register.as_bytes(), "192.0.2.5:5060")
        .expect("sent");
    let expected = "No route back to UE pool 10.45.0.0/16";
    let get = |path: &str| {
        let path = path.to_owned();
        let asked = space.inside(move || http_get(ADMIN.parse().expect("an address"), &path));
        asked.expect("an answer").1
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let body = get(&format!("/api/v1/why?who={IMSI}"));
        if body.contains(expected) {
            break;
        }
        assert!(Instant::now() < end, "{body}\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    let diagnosis: Diagnosis = serde_json::from_str(&get("/api/v1/doctor")).expect("a diagnosis");
    assert_says(&diagnosis, "route", Verdict::Fail, NO_ROUTE);
    // It ends with this value, and waits for no answer to the REGISTER.
    assert!(daemon.log().contains(NO_ROUTE), "{}", daemon.log());
}

#[test]
fn masquerade_on_the_way_is_told_with_the_rule_that_nft_prints() {
    let space = Space::new("nat");
    space.ip("route add 10.45.0.0/16 via 192.0.2.99");
    let folder = Folder::new();
    let file = folder.file("pcscf.yaml", &pcscf_file("none"));
    let rule = r#"{"nftables": [{"rule": {"family": "ip", "table": "nat", "chain": "POSTROUTING", "handle": 2, "expr":
        [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "v0"}}, {"masquerade": null}]}}]}"#;
    let nft = folder.file("nft", &format!("#!/bin/sh\ncat <<'END'\n{rule}\nEND\n"));
    let made = Command::new("chmod").arg("+x").arg(&nft).status().expect("chmod");
    assert!(made.success());
    let path = format!(
        "PATH={}:{}",
        folder.0.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let wrapper = [space.wrapper(), vec!["env", &path]].concat();
    let (code, diagnosis) = ask(&wrapper, "pcscf", &file, &[]);
    assert_eq!(code, Some(0), "a warning: {diagnosis}");
    let words = "another source address: nft table ip nat, chain POSTROUTING: oifname v0 masquerade";
    assert_says(&diagnosis, "nat", Verdict::Warn, words);
}

#[test]
fn without_cap_net_admin_the_doctor_and_the_start_say_how_to_grant_it() {
    let space = Space::new("rights");
    space.ip("route add 10.45.0.0/16 via 192.0.2.99");
    let folder = Folder::new();
    let file = folder.file("pcscf.yaml", &pcscf_file("ipsec"));
    let drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let wrapper = [space.wrapper(), drop.to_vec()].concat();
    let (code, diagnosis) = ask(&wrapper, "pcscf", &file, &[]);
    assert_eq!(code, Some(1), "{diagnosis}");
    assert_says(&diagnosis, "rights", Verdict::Fail, "CAP_NET_ADMIN is missing");
    assert_says(
        &diagnosis,
        "ipsec",
        Verdict::Fail,
        "AmbientCapabilities=CAP_NET_ADMIN",
    );
    let output = run(&wrapper, "pcscf", &file, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        String::from_utf8_lossy(&said).contains("CAP_NET_ADMIN is missing"),
        "{said:?}"
    );
}

#[test]
fn the_kernel_has_what_is_configured_or_the_doctor_names_the_module_and_leaves_nothing() {
    let space = Space::new("kernel");
    space.ip("route add 10.45.0.0/16 via 192.0.2.99");
    // Of a previous run: its mark, its priority, its address.
    space.ip("xfrm policy add dst 192.0.2.5/32 dport 6101 dir in priority 2080 tmpl proto esp reqid 4803923 mode transport");
    // Of somebody else.
    space.ip("xfrm policy add dst 192.0.2.0/24 dir in priority 1000 tmpl proto esp reqid 7 mode transport");
    let folder = Folder::new();
    let file = folder.file("pcscf.yaml", &pcscf_file("ipsec"));
    let (code, diagnosis) = ask(&space.wrapper(), "pcscf", &file, &[]);
    let first = all(&diagnosis, "ipsec")[0];
    match first.verdict {
        Verdict::Ok => assert_eq!(code, Some(0), "{diagnosis}"),
        _ => {
            assert_eq!(code, Some(1), "{diagnosis}");
            assert!(
                first.found.starts_with("this kernel ") && first.remedy.contains("(modprobe "),
                "{diagnosis}"
            );
        }
    }
    assert_says(
        &diagnosis,
        "ipsec",
        Verdict::Warn,
        "1 policies with reqid 4803923 are stale: of a previous run",
    );
    assert_says(
        &diagnosis,
        "ipsec",
        Verdict::Warn,
        "1 IPsec policies of another program cover our protected ports",
    );
    let output = Command::new("ip")
        .args(["-n", &space.0, "xfrm", "state"])
        .output()
        .expect("ip");
    assert!(output.stdout.is_empty(), "a trial leaves nothing: {output:?}");
}

#[test]
fn an_ike_daemon_and_a_second_p_cscf_of_the_host_are_told() {
    let space = Space::new("second");
    space.ip("route add 10.45.0.0/16 via 192.0.2.99");
    let folder = Folder::new();
    let first = folder.file("first.yaml", &pcscf_file("none"));
    let mut daemon = space.daemon("pcscf", &first, &folder);
    let (code, diagnosis) = ask(&space.wrapper(), "pcscf", &first, &[]);
    assert_eq!(code, Some(0), "{diagnosis}");
    assert_says(&diagnosis, "ports", Verdict::Ok, "held by the daemon itself");

    let second = folder.file("second.yaml", &pcscf_file("ipsec"));
    let ike = space.bind_udp("0.0.0.0:500");
    let (code, diagnosis) = ask(&space.wrapper(), "pcscf", &second, &[]);
    assert_eq!(code, Some(1), "{diagnosis}");
    let words = "gm.address 192.0.2.5:5060 (UDP) is in use by another pcscf: pcscf (pid ";
    assert_says(&diagnosis, "ports", Verdict::Fail, words);
    let words = format!("(pid {})", std::process::id());
    assert_says(&diagnosis, "ike", Verdict::Warn, &words);
    drop(ike);
    daemon.stop().expect("a clean end");
}
