//! Shell: how the daemons begin, serve an operator, and end.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ims_tests::daemons::{Daemon, fresh_directory, http_get};
use ims_tests::scene::subscriber;
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;

use crate::network::{Network, PATIENCE, binaries};

const DAEMONS: [&str; 3] = ["pcscf", "icscf", "scscf"];

fn run(daemon: &str, arguments: &[&str]) -> Output {
    Command::new(binaries().join(daemon))
        .args(arguments)
        .output()
        .expect(daemon)
}

fn with_file(text: &str, act: impl FnOnce(&Path)) {
    let directory = fresh_directory().expect("a directory");
    let path = directory.join("node.yaml");
    std::fs::write(&path, text).expect("a file");
    act(&path);
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn a_bad_file_ends_with_2_and_one_line_that_names_place_and_key() {
    let site = Site::on_network([127, 0, 23]);
    let good = [site.pcscf_file(), site.icscf_file(), site.scscf_file(0)];
    for (daemon, text) in DAEMONS.iter().zip(good) {
        with_file(&format!("{text}  no_such_key: 1\n"), |path| {
            let output = run(daemon, &["--config", path.to_str().expect("UTF-8")]);
            assert_eq!(output.status.code(), Some(2), "{daemon} {output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("node.yaml:") && said.contains("no_such_key"),
                "{said}"
            );
        });
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_2() {
    for daemon in DAEMONS {
        let output = run(daemon, &["--config", "/nonexistent/node.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{daemon} {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("/nonexistent/node.yaml"), "{said}");
    }
}

#[test]
fn the_printed_defaults_are_a_good_file() {
    for daemon in DAEMONS {
        let defaults = run(daemon, &["--print-defaults"]);
        assert!(defaults.status.success(), "{daemon} {defaults:?}");
        let text = String::from_utf8(defaults.stdout).expect("UTF-8");
        with_file(&text, |path| {
            let output = run(daemon, &["--config", path.to_str().expect("UTF-8"), "--check"]);
            assert!(output.status.success(), "{daemon} {output:?}\n{text}");
        });
    }
}

#[test]
fn an_address_that_this_machine_does_not_have_is_named() {
    let mut site = Site::on_network([127, 0, 27]);
    site.icscf = "192.0.2.77:5060".parse().expect("an address");
    with_file(&site.icscf_file(), |path| {
        let output = run("icscf", &["--config", path.to_str().expect("UTF-8")]);
        assert!(!output.status.success(), "{output:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("192.0.2.77"), "{said:?}");
    });
}

#[test]
fn an_operator_sees_health_and_metrics_and_every_daemon_ends_with_0() {
    let mut site = Site::on_network([127, 0, 24]);
    let admin: [SocketAddr; 3] = [9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port));
    site.admin = Some(admin);
    let network = Network::start(site, vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    for address in admin {
        let (status, health) = http_get(address, "/health").expect("an answer");
        assert!(status.contains("200"), "{address} {status} {health}");
        let (status, metrics) = http_get(address, "/metrics").expect("an answer");
        assert!(
            status.contains("200") && metrics.contains("# TYPE ims_"),
            "{address} {status} {metrics}"
        );
    }
    let (_, metrics) = http_get(admin[2], "/metrics").expect("an answer");
    let bindings = metrics
        .lines()
        .any(|line| line.starts_with("ims_scscf_bindings") && line.ends_with(" 1"));
    assert!(bindings, "{metrics}");
    network.stop();
}

#[test]
fn sigterm_during_a_registration_lets_it_finish() {
    let mut site = Site::on_network([127, 0, 28]);
    site.pcscf_more.push_str("  log: {level: debug}\n");
    let network = Network::start(site, vec![subscriber(1)]);
    network.hss.act(|_, hss| {
        use ims_tests::hss::{Fault, Faulty};
        hss.set_fault(Faulty::Uar, Fault::Delay(Duration::from_millis(800)));
    });
    let phone = network.phone(1, |config| config);
    phone.tell(UeCommand::Register);
    wait_for_uar(&network);
    let began = Instant::now();
    network.daemons.all.iter().for_each(|daemon: &Daemon| {
        if daemon.name() == "icscf" {
            daemon.terminate().expect("a signal");
        }
    });
    let mut network = network;
    let status = network.daemons.get("icscf").wait_end().expect("an end");
    assert!(status.success(), "{status}\n{}", network.daemons.tails(20));
    assert!(began.elapsed() < Duration::from_secs(15));
    // What was under way has been answered: the I-CSCF passed the request on, or refused it, but said so.
    let end = Instant::now() + PATIENCE;
    while !network.daemons.get("pcscf").log().contains("register answered") {
        assert!(Instant::now() < end, "no answer\n{}", network.daemons.tails(20));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the HSS has seen the UAR.
fn wait_for_uar(network: &Network) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let seen = network.hss.ask(|_, hss| hss.requests().next().is_some());
        if seen == Some(true) {
            return;
        }
    }
    panic!("no UAR\n{}", network.daemons.tails(20));
}
