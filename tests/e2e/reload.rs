//! Shell: daemons that read their configuration again while they serve.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ims_common::config::uncommented;
use ims_common::operate::{ReloadReport, ReloadResult};
use ims_tests::daemons::{Daemon, Daemons, fresh_directory, http_get};
use ims_tests::site::Site;

use crate::network::{PATIENCE, binaries};

/// One daemon with a file of its own.
struct Served {
    daemons: Daemons,
    file: PathBuf,
    base: String,
    admin: SocketAddr,
    site: Site,
}

impl Served {
    /// `which`: 0 the P-CSCF, 1 the I-CSCF, 2 the S-CSCF. Its file has all its defaults.
    fn start(which: usize, network: u8, shards: u8) -> Self {
        let mut site = Site::on_network([127, 0, network]);
        let line = format!("  shards: {shards}\n");
        for more in [&mut site.pcscf_more, &mut site.icscf_more, &mut site.scscf_more] {
            more.push_str(&line);
        }
        site.admin = Some([9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port)));
        let name = ["pcscf", "icscf", "scscf"][which];
        let text = [site.pcscf_file(), site.icscf_file(), site.scscf_file(0)][which].clone();
        let directory = fresh_directory().expect("a directory");
        let file = directory.join("node.yaml");
        std::fs::write(&file, text).expect("a file");
        let whole = Command::new(binaries().join(name))
            .args(["--check", "--config", file.to_str().expect("UTF-8")])
            .output()
            .expect("a check");
        assert!(whole.status.success(), "{whole:?}");
        let base = String::from_utf8(whole.stdout).expect("UTF-8");
        std::fs::write(&file, &base).expect("a file");
        let mut daemons = Daemons::none(directory);
        let mut daemon = Daemon::start(name, &binaries().join(name), &file).expect("a daemon");
        daemon.wait_ready().expect("ready");
        daemons.all.push(daemon);
        let admin = site.admin.expect("set above")[which];
        Self {
            daemons,
            file,
            base,
            admin,
            site,
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).expect("a file");
    }

    /// The base with one text instead of another one.
    fn with(&self, from: &str, to: &str) -> String {
        assert!(self.base.contains(from), "{from} in\n{}", self.base);
        self.base.replacen(from, to, 1)
    }

    fn reload(&self) -> (String, ReloadReport) {
        // Within the rate that the node lets an operator have.
        std::thread::sleep(Duration::from_millis(25));
        let mut stream = TcpStream::connect(self.admin).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!(
            "POST /api/v1/reload HTTP/1.1\r\nHost: {}\r\nX-Ims-Admin: yes\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(head.as_bytes()).expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let report = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
        (head.lines().next().unwrap_or_default().to_owned(), report)
    }

    fn apply(&self, text: &str) -> ReloadReport {
        self.write(text);
        let (status, report) = self.reload();
        assert_eq!(report.result, ReloadResult::Applied, "{status} {report:?}");
        report
    }

    /// What an OPTIONS of a stranger gets on Gm.
    fn answer_to_a_stranger(&self) -> Option<String> {
        let socket = UdpSocket::bind((self.site.gm.ip(), 0)).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(700)))
            .expect("a timeout");
        let own = socket.local_addr().expect("an address");
        let text = format!(
            "MESSAGE sip:b@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{1}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@{0}>;tag=1\r\nTo: <sip:b@{0}>\r\nCall-ID: {1}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
            ims_tests::site::HOME,
            own.port(),
        );
        socket.send_to(text.as_bytes(), self.site.gm).expect("sent");
        let mut buffer = [0; 4_096];
        let length = socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        text.lines().next().map(str::to_owned)
    }

    fn wait_for_log(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.daemons.all[0].log().contains(words) {
            assert!(Instant::now() < end, "no {words} in\n{}", self.daemons.tails(30));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn hang_up(&self) {
        let pid = self.daemons.all[0].pid().to_string();
        let done = Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .expect("a signal");
        assert!(done.success());
    }
}

#[test]
fn new_values_count_at_once_and_a_broken_file_changes_nothing() {
    let mut served = Served::start(0, 161, 1);
    let drops = served.with("unregistered_requests: reject", "unregistered_requests: drop");
    assert!(
        served
            .answer_to_a_stranger()
            .is_some_and(|line| line.contains("403"))
    );
    let report = served.apply(&drops);
    assert_eq!(report.generation, 1);
    let change = &report.changes[0];
    assert_eq!(
        (change.key.as_str(), change.old.as_str(), change.new.as_str()),
        ("pcscf.gm.unregistered_requests", "reject", "drop")
    );
    assert_eq!(served.answer_to_a_stranger(), None);
    // Broken: the old one stays, and place and key are named.
    served.write(&served.with("unregistered_requests: reject", "unregistered_requests: perhaps"));
    let (status, report) = served.reload();
    assert!(status.contains("422"), "{status}");
    assert_eq!((report.result, report.generation), (ReloadResult::Broken, 1));
    let error = report.error.expect("why");
    let line = served
        .base
        .lines()
        .position(|line| line.contains("unregistered_requests"));
    let place = format!("node.yaml:{}:", line.expect("the key") + 1);
    assert!(
        error.contains(&place) && error.contains("pcscf.gm.unregistered_requests"),
        "{error}"
    );
    assert_eq!(served.answer_to_a_stranger(), None);
    // One key that is not live keeps all others from changing.
    served.write(&served.base.replacen("contacts: 200000", "contacts: 100000", 1));
    let (status, report) = served.reload();
    assert!(status.contains("409"), "{status}");
    assert_eq!(report.needs_restart[0].key, "pcscf.contacts");
    assert_eq!(served.answer_to_a_stranger(), None, "all or nothing");
    // And back, by the signal.
    served.write(&served.base);
    served.hang_up();
    served.wait_for_log("applied");
    let end = Instant::now() + PATIENCE;
    while served.answer_to_a_stranger().is_none() {
        assert!(Instant::now() < end);
    }
    let (_, metrics) = http_get(served.admin, "/metrics").expect("metrics");
    for (result, times) in [("applied", 2), ("refused", 1), ("broken", 1)] {
        let line = format!("ims_config_reloads_total{{reason=\"{result}\"}} {times}");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
    let (_, node) = http_get(served.admin, "/api/v1/node").expect("the node");
    assert!(node.contains("\"config_generation\":2"), "{node}");
    served.daemons.stop().expect("an end");
}

#[test]
fn all_shards_have_the_new_values() {
    let mut served = Served::start(2, 162, 3);
    let debug = served.with("level: info", "level: debug");
    assert_eq!(served.apply(&debug).changes.len(), 1);
    let (_, report) = served.reload();
    assert_eq!(report.result, ReloadResult::Unchanged);
    served.apply(&served.base);
    served.daemons.stop().expect("an end");
}

/// Another value that may stand there, of a line `key: value`.
fn other_value(value: &str) -> Option<String> {
    let known = [
        ("true", "false"),
        ("false", "true"),
        ("never", "always"),
        ("reject", "drop"),
        ("remove", "refuse"),
        ("relay", "follow"),
        ("info", "warn"),
        ("text", "json"),
        ("any", "[192.0.2.0/24]"),
        ("dns", "\"sip:192.0.2.66\""),
        ("second", "each"),
        ("serve", "refuse"),
    ];
    if let Some((_, other)) = known.iter().find(|(this, _)| *this == value) {
        return Some((*other).to_owned());
    }
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = value.split_at(digits);
    let is_unit = ["", "ms", "s", "m", "h", "d"].contains(&unit);
    let number: u64 = number.parse().ok().filter(|_| is_unit)?;
    Some(format!("{}{unit}", number + 1))
}

/// Paths of the lines of a file, and their values.
fn leaves(text: &str) -> Vec<(usize, String, String)> {
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let Some((key, value)) = body.split_once(':').filter(|_| !body.starts_with(['-', '#'])) else {
            continue;
        };
        while above.last().is_some_and(|(of, _)| *of >= indent) {
            above.pop();
        }
        above.push((indent, key.to_owned()));
        let path: Vec<&str> = above.iter().map(|(_, key)| key.as_str()).collect();
        all.push((number, path.join("."), value.trim().to_owned()));
    }
    all
}

/// The documented file says of each key whether it is live, and that is true: all are tried in running nodes.
#[test]
fn each_key_is_taken_or_refused_as_the_documented_file_says() {
    for (which, network) in [(0, 163), (1, 164), (2, 165)] {
        let mut served = Served::start(which, network, 1);
        let name = ["pcscf", "icscf", "scscf"][which];
        let printed = Command::new(binaries().join(name))
            .arg("--print-defaults")
            .output()
            .expect("defaults");
        let documented = String::from_utf8(printed.stdout).expect("UTF-8");
        let documented = uncommented(&documented);
        let live: BTreeSet<String> = leaves(&documented)
            .into_iter()
            .filter(|(_, _, value)| value.ends_with("## live"))
            .map(|(_, path, _)| path)
            .collect();
        assert!(live.len() > 4, "{name}: {live:?}");
        let is_live = |path: &str| {
            let below = |key: &String| {
                path.strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            live.iter().any(below)
        };
        let (mut taken, mut refused, mut broken) = (BTreeSet::new(), 0, Vec::new());
        for (number, path, value) in leaves(&served.base) {
            let Some(other) = other_value(&value) else {
                continue;
            };
            let flipped = |(at, line): (usize, &str)| match at == number {
                true => line.replacen(&format!(": {value}"), &format!(": {other}"), 1) + "\n",
                false => format!("{line}\n"),
            };
            let text: String = served.base.lines().enumerate().map(flipped).collect();
            served.write(&text);
            let (_, report) = served.reload();
            match report.result {
                ReloadResult::Applied => {
                    assert!(is_live(&path), "{path} is not documented as live");
                    taken.insert(path);
                    served.apply(&served.base);
                }
                ReloadResult::Refused => {
                    assert!(!is_live(&path), "{path} is documented as live: {report:?}");
                    assert!(!report.needs_restart[0].reason.is_empty());
                    refused += 1;
                }
                ReloadResult::Broken => broken.push(report.error),
                ReloadResult::Unchanged => panic!("{path}: {value} is {other}"),
            }
        }
        assert!(taken.len() >= 4 && refused > 30, "{name}: {taken:?} {refused}");
        assert!(broken.len() < 6, "{name}: {broken:?}");
        served.daemons.stop().expect("an end");
    }
}
