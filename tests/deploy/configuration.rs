//! Test: the ready-made configurations are few lines, and good.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::{DAEMONS, binaries, deploy, must, text};

/// What an operator writes for one machine, comments left out.
const LINES_MAX: usize = 60;

fn files(set: &str) -> Vec<(&'static str, PathBuf)> {
    let folder = deploy().join("config").join(set);
    let file = |daemon| (daemon, folder.join(format!("{daemon}.yaml")));
    DAEMONS.map(file).to_vec()
}

#[test]
fn every_ready_made_configuration_passes_the_check_of_its_daemon() {
    for set in ["one-machine", "beside-an-epc", "three-machines"] {
        for (daemon, file) in files(set) {
            let check = |more: &[&str]| {
                let mut command = Command::new(binaries().join(daemon));
                must(command.arg("--config").arg(&file).arg("--check").args(more))
            };
            assert!(check(&[]).starts_with(&format!("{daemon}:")), "{set}/{daemon}");
            assert_eq!(check(&["--quiet"]), "", "{set}/{daemon}");
        }
    }
}

/// Where there is no DNS: the answer to a registration names the S-CSCF in Service-Route, and the HSS does in its answers.
#[test]
fn the_nodes_that_send_to_the_s_cscf_know_where_it_is() {
    for set in [
        "config/one-machine",
        "config/beside-an-epc",
        "config/three-machines",
        "container/config",
    ] {
        let read = |daemon: &str| -> Value {
            let file = text(&format!("{set}/{daemon}.yaml"));
            let read: Value = serde_saphyr::from_str(&file).expect("a file of a daemon");
            read[daemon].clone()
        };
        let scscf = read("scscf");
        let name = scscf["server_name"].as_str().expect("a server_name");
        let host = name.trim_start_matches("sip:");
        for daemon in ["pcscf", "icscf"] {
            let known = read(daemon)["hosts"][host].clone();
            let known = known
                .as_str()
                .unwrap_or_else(|| panic!("{set}/{daemon}.yaml does not know {host}"));
            let address = scscf["mw"]["address"].as_str().expect("an address");
            assert!(known.starts_with(address), "{set}/{daemon}.yaml: {known}");
        }
    }
}

#[test]
fn one_machine_needs_less_than_sixty_lines_in_all() {
    for set in ["one-machine", "beside-an-epc"] {
        let lines: usize = DAEMONS
            .iter()
            .map(|daemon| {
                text(&format!("config/{set}/{daemon}.yaml"))
                    .lines()
                    .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
                    .count()
            })
            .sum();
        assert!(lines < LINES_MAX, "{set}: {lines} lines");
    }
}
