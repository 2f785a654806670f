//! Test: what an operator runs around the daemons: units, packages, containers, the guide. All that stands in `deploy/`
//! is given to the programs that will read it, and what the guide says is tried.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod configuration;
mod guide;
mod hardened;
mod manifests;
mod package;
mod supervised;
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The three daemons.
const DAEMONS: [&str; 3] = ["pcscf", "icscf", "scscf"];

/// The folder `deploy` of the tree.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// A file of the folder `deploy`.
fn text(path: &str) -> String {
    let path = deploy().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a program of the system; without it the test says which package has it.
fn run(command: &mut Command) -> Output {
    let program = command.get_program().display().to_string();
    command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make test` installs it"))
}

/// All that a program said.
fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Runs a program that must end well, and returns what it said.
fn must(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

/// Where the daemons and imsctl are.
fn binaries() -> PathBuf {
    ims_tests::daemons::built()
}
