//! Test: the ready-made configurations are few lines, and good.

use std::path::PathBuf;
use std::process::Command;

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
