//! Test: systemd takes the units, and finds little that they leave open.

use std::fs;
use std::path::Path;
use std::process::Command;

use ims_tests::daemons::fresh_directory;

use crate::{DAEMONS, deploy, must, text};

/// Exposure in tenths as `systemd-analyze security` counts it: 100 is a service that may do all, and below 20 is `OK`.
/// What is left of ours is the network, netlink, the admin socket, and the one capability of the P-CSCF.
const EXPOSURE_MAX: &str = "20";

/// A root directory with our units, programs that they start, and the units that they speak of.
fn root_with_units(root: &Path) {
    let units = root.join("usr/lib/systemd/system");
    for folder in [
        units.clone(),
        root.join("usr/bin"),
        root.join("bin"),
        root.join("etc"),
    ] {
        fs::create_dir_all(folder).expect("a folder");
    }
    for entry in fs::read_dir("/usr/lib/systemd/system").expect("systemd; `make test` installs it") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "target") && path.is_file() {
            fs::copy(&path, units.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    for entry in fs::read_dir(deploy().join("systemd")).expect("our units") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, units.join(path.file_name().expect("a name"))).expect("a copy");
    }
    for daemon in DAEMONS {
        fs::copy("/bin/true", root.join("usr/bin").join(daemon)).expect("a program");
    }
    fs::copy("/bin/true", root.join("bin/kill")).expect("a program");
}

#[test]
fn systemd_finds_nothing_to_complain_about_in_the_units() {
    let root = fresh_directory().expect("a directory");
    root_with_units(&root);
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--root"]).arg(&root).args([
        "pcscf.service",
        "icscf.service",
        "scscf.service",
        "ims.target",
    ]);
    assert_eq!(must(&mut verify), "");
    let _ = fs::remove_dir_all(root);
}

#[test]
fn a_wrong_word_in_a_unit_is_found() {
    let root = fresh_directory().expect("a directory");
    root_with_units(&root);
    let unit = root.join("usr/lib/systemd/system/pcscf.service");
    let wrong = text("systemd/pcscf.service").replace("ProtectHome=", "ProtectHouse=");
    fs::write(&unit, wrong).expect("a unit");
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no", "--root"])
        .arg(&root)
        .arg("pcscf.service");
    let output = crate::run(&mut verify);
    assert!(
        crate::said(&output).contains("ProtectHouse"),
        "{}",
        crate::said(&output)
    );
    let _ = fs::remove_dir_all(root);
}

#[test]
fn the_units_leave_little_exposed() {
    for daemon in DAEMONS {
        let mut analysis = Command::new("systemd-analyze");
        analysis
            .args([
                "security",
                "--offline=true",
                "--no-pager",
                "--threshold",
                EXPOSURE_MAX,
            ])
            .arg(deploy().join(format!("systemd/{daemon}.service")));
        let said = must(&mut analysis);
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

/// The values of a key of a unit.
fn values(unit: &str, key: &str) -> Vec<String> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(&format!("{key}=")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn only_the_p_cscf_has_a_capability_and_only_that_of_ipsec() {
    for (daemon, wanted) in [("pcscf", "CAP_NET_ADMIN"), ("icscf", ""), ("scscf", "")] {
        let unit = text(&format!("systemd/{daemon}.service"));
        for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
            assert_eq!(values(&unit, key), [wanted], "{daemon} {key}");
        }
        assert_eq!(values(&unit, "NoNewPrivileges"), ["yes"], "{daemon}");
        assert_eq!(values(&unit, "User"), ["ims"], "{daemon}");
    }
}

/// systemd gives up after five starts in ten seconds unless told.
#[test]
fn a_daemon_whose_address_comes_late_is_started_until_it_has_it() {
    for daemon in DAEMONS {
        let unit = text(&format!("systemd/{daemon}.service"));
        let (head, service) = unit.split_once("[Service]").expect("a section");
        assert_eq!(values(head, "StartLimitIntervalSec"), ["0"], "{daemon}");
        assert_eq!(values(service, "Restart"), ["on-failure"], "{daemon}");
        assert_eq!(values(service, "RestartSec"), ["2s"], "{daemon}");
    }
}

#[test]
fn the_units_differ_only_where_the_daemons_do() {
    let general = |daemon: &str| -> Vec<String> {
        let own = [
            "#",
            "Description=",
            "After=",
            "Capability",
            "Ambient",
            "PrivateUsers=",
        ];
        text(&format!("systemd/{daemon}.service"))
            .replace(daemon, "DAEMON")
            .lines()
            .filter(|line| !own.iter().any(|start| line.starts_with(start)))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(general("pcscf"), general("icscf"));
    assert_eq!(general("pcscf"), general("scscf"));
}

#[test]
fn a_drain_has_more_time_than_it_is_given_unless_the_operator_says_otherwise() {
    for daemon in DAEMONS {
        let unit = text(&format!("systemd/{daemon}.service"));
        let stop = values(&unit, "TimeoutStopSec");
        let [stop] = stop.as_slice() else {
            panic!("{daemon}: {stop:?}");
        };
        let seconds: u64 = stop.trim_end_matches('s').parse().expect("seconds");
        assert!(
            seconds > ims_common::config::DRAIN_TIMEOUT.get().as_secs(),
            "{daemon}"
        );
    }
}
