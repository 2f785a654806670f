//! Testkit: the lab itself.

use std::net::UdpSocket;
use std::process::{Command, Output};

use crate::network::binaries;

fn lab() -> Output {
    binaries();
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["--network", "127.0.29"])
        .env("ONCE", "1")
        .output()
        .expect("the lab")
}

/// One test, for both halves use one set of addresses; another than that of `make lab`, which may run.
#[test]
fn the_lab_ends_with_0_when_every_step_held_and_with_a_reason_when_not() {
    let output = lab();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for line in [
        "-- alice registers",
        "-- alice calls bob, with preconditions",
        " PRACK ",
        "-- alice hangs up",
        "-- the IP-SM-GW knows that bob has it",
        "-- bob leaves",
        "assignment=USER_DEREGISTRATION",
        "exit code 0",
    ] {
        assert!(said.contains(line), "no {line} in\n{said}");
    }
    assert!(!said.contains('\x1b'), "colour is for terminals");

    let taken = UdpSocket::bind("127.0.29.4:5060").expect("the S-CSCF's port");
    let output = lab();
    drop(taken);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("127.0.29.4:5060"), "{said}");
}
