//! Testkit: what operators see of the real binaries: metrics that the catalogue promises, queries of the dashboard and of the
//! alerts that are about metrics there are, copies for a capture server, captures on demand, logs that programs read.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ims_common::telemetry::catalogue::{self, Kind};
use ims_common::telemetry::hep::{Decoded, decode};
use ims_tests::daemons::http_get;
use ims_tests::dashboard;
use ims_tests::host::Phone;
use ims_tests::prometheus::{self, Exposition};
use ims_tests::scene::subscriber;
use ims_tests::site::{HOME, Site};
use ims_tests::ue::{UeCommand, UeEvent};

use crate::network::{Network, PATIENCE};

fn site(network: u8) -> Site {
    let mut site = Site::on_network([127, 0, network]);
    site.admin = Some([9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port)));
    site
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One phone calls the other, and hangs up.
fn call(caller: &Phone, callee: &Phone) {
    let is_call = |event: &UeEvent, word: &str| matches!(event, UeEvent::Call { what, .. } if format!("{what:?}").starts_with(word));
    let _ = caller.take_events();
    caller.tell(UeCommand::call(&format!("sip:+15550002@{HOME};user=phone")));
    let mut seen = Vec::new();
    wait_for("a call that begins", || {
        seen.extend(caller.take_events());
        seen.iter().any(|event| is_call(event, "Begun"))
    });
    caller.tell(UeCommand::HangUp);
    wait_for("a call that ends", || {
        seen.extend(callee.take_events());
        seen.iter().any(|event| is_call(event, "Ended"))
    });
}

fn metrics(address: SocketAddr) -> Exposition {
    let (status, text) = http_get(address, "/metrics").expect("metrics");
    assert!(status.contains("200"), "{status}");
    prometheus::exposition(&text).expect("OpenMetrics")
}

fn series(exposition: &Exposition) -> usize {
    exposition.values().map(Vec::len).sum()
}

#[test]
fn every_metric_of_the_real_nodes_is_promised_and_every_query_is_about_one_of_them() {
    let site = site(151);
    let admin = site.admin.expect("operators");
    let network = Network::start(site, vec![subscriber(1), subscriber(2)]);
    let (alice, bob) = (
        network.phone(1, |config| config),
        network.phone(2, |config| config),
    );
    for phone in [&alice, &bob] {
        network.must(phone, UeCommand::Register);
        network.must(phone, UeCommand::Refresh);
    }
    call(&alice, &bob);
    network.must(&alice, UeCommand::Deregister);
    let mut told: BTreeSet<String> = BTreeSet::new();
    for address in admin {
        let all = metrics(address);
        assert_eq!(prometheus::complaints(&all), Vec::<String>::new(), "{address}");
        told.extend(all.keys().map(|name| prometheus::family(name).to_owned()));
    }
    for name in [
        "ims_registration_duration_seconds",
        "ims_call_setup_duration_seconds",
        "ims_call_post_dial_delay_seconds",
        "ims_diameter_request_duration_seconds",
        "ims_sip_request_duration_seconds",
        "ims_driver_turn_duration_seconds",
        "ims_queue_wait_duration_seconds",
    ] {
        assert!(told.contains(name), "{name}");
    }
    // Counters with a reason are told from the first event on; all else is there from the start.
    let is_always_told = |name: &str| {
        let row = catalogue::row(name).expect("in the catalogue");
        row.kind == Kind::Gauge && !name.starts_with("ims_xfrm") && !name.starts_with("ims_pcscf_sa_")
    };
    let recorded = recorded();
    for (place, query) in queries() {
        let complaints = prometheus::query_complaints(&query, &recorded);
        assert!(complaints.is_empty(), "{place}: {complaints:?}");
        let (wanted, _) = prometheus::query(&query).expect("a query");
        for one in wanted.iter().filter(|one| one.name.starts_with("ims_")) {
            let name = prometheus::family(&one.name);
            // Of one-to-one peers only those that are open have a series.
            let is_there = told.contains(name) || !is_always_told(name);
            assert!(is_there, "{place}: {name} is told by no node");
        }
    }
    network.stop();
}

/// Of the dashboard and of the rules.
fn queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(deploy("grafana/ims.json")).expect("the dashboard");
    let mut all = dashboard::queries(&text).expect("a dashboard");
    for query in &mut all {
        query.1 = query.1.replace("$__rate_interval", "5m");
    }
    let rules = rules().into_iter();
    all.extend(rules.map(|rule| (rule.0, rule.2)));
    all
}

/// Of each rule: name, whether it is recorded, query.
fn rules() -> Vec<(String, bool, String)> {
    let text = std::fs::read_to_string(deploy("prometheus/ims.rules.yaml")).expect("the rules");
    let all: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
    let groups = all["groups"].as_array().expect("groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"));
    let read = rules.map(|rule| {
        let is_recorded = rule["record"].is_string();
        let name = if is_recorded {
            &rule["record"]
        } else {
            &rule["alert"]
        };
        if !is_recorded {
            for key in ["summary", "remedy"] {
                assert!(rule["annotations"][key].is_string(), "{name} has no {key}");
            }
            assert!(
                ["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap_or_default())
            );
        }
        (
            name.as_str().expect("a name").to_owned(),
            is_recorded,
            rule["expr"].as_str().expect("a query").to_owned(),
        )
    });
    read.collect()
}

fn recorded() -> BTreeSet<String> {
    let rules = rules().into_iter().filter(|rule| rule.1);
    rules.map(|rule| rule.0).collect()
}

#[test]
fn dashboard_file_is_what_the_code_prints() {
    let path = deploy("grafana/ims.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, dashboard::dashboard()).expect("a file");
    }
    let text = std::fs::read_to_string(&path).expect("the dashboard");
    assert_eq!(
        text,
        dashboard::dashboard(),
        "UPDATE_GOLDEN=1 cargo test -p ims-tests --test e2e dashboard_file"
    );
}

#[test]
fn strangers_cannot_make_series() {
    let site = site(152);
    let (admin, gm) = (site.admin.expect("operators"), site.gm);
    let network = Network::start(site, vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    let socket = UdpSocket::bind((gm.ip(), 0)).expect("a socket");
    let own = socket.local_addr().expect("an address");
    let flood = |round: u32| {
        for number in 0..400_u32 {
            let number = round * 400 + number;
            let text = format!(
                "X{number} sip:u{number}@h{number}.example SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
                 From: <sip:a{number}@b{number}.example>;tag={number}\r\nTo: <sip:c@d{number}.example>\r\nCall-ID: {number}\r\n\
                 CSeq: 1 X{number}\r\nUser-Agent: scan/{number}\r\nContent-Length: 0\r\n\r\n"
            );
            socket.send_to(text.as_bytes(), gm).expect("a datagram");
            if number.is_multiple_of(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    let received = || {
        let all = http_get(admin[0], "/metrics").expect("metrics").1;
        let line = all
            .lines()
            .find(|line| line.starts_with("ims_sip_received_total{transport=\"udp\"}"));
        let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        value.expect("a number")
    };
    flood(0);
    wait_for("the first flood", || received() >= 300);
    let before: Vec<usize> = admin.iter().map(|address| series(&metrics(*address))).collect();
    flood(1);
    wait_for("the second flood", || received() >= 600);
    let after: Vec<usize> = admin.iter().map(|address| series(&metrics(*address))).collect();
    // A status or a refusal that had not happened before may have; with 400 methods, users and hosts that is all.
    for (before, after) in before.iter().zip(&after) {
        assert!(*after < before + 40, "{before} series became {after}");
        assert!(*after < 2_500, "{after} series");
    }
    assert_eq!(prometheus::complaints(&metrics(admin[0])), Vec::<String>::new());
    network.stop();
}

/// What a capture server gets in a registration.
fn captured(server: &UdpSocket, is_enough: impl Fn(&[Decoded]) -> bool) -> Vec<Decoded> {
    server
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    let mut all = Vec::new();
    let mut octets = vec![0; 65_536];
    wait_for("copies of messages", || {
        if let Ok(length) = server.recv(&mut octets) {
            all.push(decode(&octets[..length]).expect("HEP3"));
        }
        is_enough(&all)
    });
    all
}

#[test]
fn a_capture_server_sees_a_registration_at_every_node_and_no_keys() {
    let mut site = site(153);
    let server = UdpSocket::bind((site.gm.ip(), 0)).expect("a socket");
    let collector = server.local_addr().expect("an address");
    let export = |agent: u32| {
        format!("  export: {{hep: {{collector: \"{collector}\", agent: {agent}, key: secret}}}}\n")
    };
    site.pcscf_more.push_str(&export(1));
    site.icscf_more.push_str(&export(2));
    site.scscf_more.push_str(&export(3));
    let network = Network::start(site, vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    let is_register = |it: &&Decoded| it.protocol == 1 && memchr(&it.payload, b" REGISTER\r\n");
    let is_mar = |it: &Decoded| it.protocol == 56 && it.payload.get(5..8) == Some(&[0, 1, 47]);
    let all = captured(&server, |all| {
        let is_answered = all
            .iter()
            .filter(is_register)
            .filter(|it| it.payload.starts_with(b"SIP/2.0 200"));
        is_answered.count() >= 5 && all.iter().filter(|it| is_mar(it)).count() >= 2
    });
    let call_ids: BTreeSet<_> = all
        .iter()
        .filter(is_register)
        .map(|it| it.correlation.clone())
        .collect();
    assert_eq!(call_ids.len(), 1, "{call_ids:?}");
    for mar in all.iter().filter(|it| is_mar(it)) {
        assert!(call_ids.contains(&mar.correlation), "{:?}", mar.correlation);
        assert_eq!((mar.ip_protocol, mar.agent.id), (6, 3));
    }
    let challenges = all.iter().filter(|it| it.payload.starts_with(b"SIP/2.0 401"));
    let texts: Vec<String> = challenges
        .map(|it| String::from_utf8_lossy(&it.payload).into_owned())
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("ck=\"xxxxxxxx")),
        "{texts:?}"
    );
    for text in texts {
        let has_key = text
            .split("ck=\"")
            .skip(1)
            .chain(text.split("ik=\"").skip(1))
            .any(|rest| !rest.starts_with("xxxx"));
        assert!(!has_key, "{text}");
    }
    assert!(all.iter().all(|it| it.agent.key.as_deref() == Some("secret")));
    network.stop();
}

fn memchr(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Status line and body.
fn http(address: SocketAddr, method: &str, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nX-Ims-Admin: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).expect("an answer");
    let head = octets
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .expect("a head");
    let status = String::from_utf8_lossy(&octets[..head]);
    let status = status.lines().next().unwrap_or_default().to_owned();
    (status, octets[head + 4..].to_vec())
}

#[test]
fn an_operator_captures_one_subscriber_as_a_file() {
    let site = site(154);
    let admin = site.admin.expect("operators");
    let network = Network::start(site, vec![subscriber(1), subscriber(2)]);
    let path = "/api/v1/pcap?who=001010000000001&minutes=5&max_bytes=1000000";
    for address in admin {
        let (status, body) = http(address, "POST", path);
        assert!(
            status.contains("201"),
            "{status} {}",
            String::from_utf8_lossy(&body)
        );
    }
    for number in [1, 2] {
        let phone = network.phone(number, |config| config);
        network.must(&phone, UeCommand::Register);
    }
    for address in admin {
        let (status, file) = http(address, "GET", "/api/v1/pcap?who=001010000000001");
        assert!(status.contains("200"), "{status}");
        assert!(file.starts_with(&[0xA1, 0xB2, 0xC3, 0xD4]), "a pcap file");
        assert!(
            memchr(&file, b"001010000000001") && !memchr(&file, b"001010000000002"),
            "{address}"
        );
        assert!(memchr(&file, b"SIP/2.0 200"), "answers too");
        if let Some(keep) = std::env::var_os("IMS_KEEP_PCAP") {
            let name = format!("{}.pcap", address.port());
            std::fs::write(Path::new(&keep).join(name), &file).expect("a file");
        }
    }
    let (status, _) = http(admin[0], "POST", "/api/v1/pcap/stop?id=1");
    assert!(status.contains("200"), "{status}");
    let (status, _) = http(admin[0], "GET", "/api/v1/pcap?id=1");
    assert!(status.contains("404"), "{status}");
    let (status, _) = http(admin[0], "POST", "/api/v1/pcap?who=1");
    assert!(status.contains("400"), "{status}");
    network.stop();
}

#[test]
fn logs_for_programs_are_json_in_every_line_and_without_identities() {
    let mut site = site(155);
    for more in [&mut site.pcscf_more, &mut site.icscf_more, &mut site.scscf_more] {
        more.push_str("  log: {format: json}\n");
    }
    let mut network = Network::start(site, vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    let stranger = network.phone(9, |config| config);
    let _ = stranger.tell_and_wait(UeCommand::Register, PATIENCE);
    network.must(&phone, UeCommand::Deregister);
    // The last lines are written when a daemon ends.
    network.daemons.stop().expect("they end");
    for name in ["pcscf", "icscf", "scscf1"] {
        let log = network.daemons.get(name).log();
        assert!(!log.is_empty(), "{name}");
        for line in log.lines() {
            let read: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for key in ["timestamp", "level", "target", "message"] {
                assert!(read[key].is_string(), "{key} in {line}");
            }
        }
        // What an I-CSCF or S-CSCF logs of a registration it logs upon an answer of the HSS, which is no message of the call.
        assert!(name != "pcscf" || log.contains("\"call_id\":"), "{name}:\n{log}");
        for secret in [
            "001010000000001",
            "001010000000009",
            "15550001",
            "nonce=",
            "ck=",
            "response=",
        ] {
            assert!(!log.contains(secret), "{name} logs {secret}:\n{log}");
        }
    }
}
