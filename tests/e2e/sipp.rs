//! Testkit: SIPp, a phone by another hand, against the real binaries.

use std::path::Path;
use std::process::Command;

use ims_tests::daemons::fresh_directory;
use ims_tests::hss::Subscriber;
use ims_tests::milenage::Milenage;
use ims_tests::scene::subscriber;
use ims_tests::site::{HOME, Site};

use crate::network::Network;

/// The keys of `udp.csv` and `tcp.csv`. SIPp reads octets of keys as scenario text: none may be zero, `[` or `\\`.
const K: [u8; 16] = 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff77_u128.to_be_bytes();
const OP: [u8; 16] = 0xa1b2_c3d4_e5f6_a7b8_c9da_dbdc_ddde_dfe1_u128.to_be_bytes();

fn sipp_user(number: u8) -> Subscriber {
    subscriber(number)
        .key(K, Milenage::opc(&K, &OP))
        .amf([0xb9, 0xb9])
}

#[test]
fn sipp_registers_registers_again_and_leaves_over_udp() {
    let network = Network::start(Site::on_network([127, 0, 21]), vec![sipp_user(91)]);
    run(&network, "u1", "udp.csv");
    network.stop();
}

#[test]
fn sipp_registers_registers_again_and_leaves_over_tcp() {
    let network = Network::start(Site::on_network([127, 0, 22]), vec![sipp_user(92)]);
    run(&network, "t1", "tcp.csv");
    network.stop();
}

/// One call of `register.xml` by the user in `users`.
///
/// SIPp 3.6 reads its hexadecimal keys as scenario text without an end, and then sometimes stops with a complaint about
/// its own scenario: that says nothing about us, and it is called again.
fn run(network: &Network, transport: &str, users: &str) {
    for _ in 0..10 {
        match call(network, transport, users) {
            Ok(()) => return,
            Err(said) if said.contains("Syntax error or invalid [keyword]") => {}
            Err(said) => panic!("{said}\n{}", network.daemons.tails(20)),
        }
    }
    panic!("SIPp does not read its own scenario");
}

fn call(network: &Network, transport: &str, users: &str) -> Result<(), String> {
    let scenarios: &Path = &Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/sipp");
    let directory = fresh_directory().expect("a directory");
    let ue = network.site.ue(1);
    let output = Command::new("sipp")
        .arg(network.site.gm.to_string())
        .arg("-sf")
        .arg(scenarios.join("register.xml"))
        .arg("-inf")
        .arg(scenarios.join(users))
        .args([
            "-i",
            &ue.ip().to_string(),
            "-p",
            "5060",
            "-t",
            transport,
            "-m",
            "1",
        ])
        .args(["-auth_uri", HOME, "-timeout", "30", "-timeout_error", "-nostdin"])
        .args(["-trace_msg", "-message_file", "messages.log"])
        .current_dir(&directory)
        .output()
        .expect("sipp is not installed: `apt-get install sip-tester` (make test does it)");
    let messages = std::fs::read_to_string(directory.join("messages.log")).unwrap_or_default();
    let _ = std::fs::remove_dir_all(&directory);
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("sipp ended with {}\n{said}\n{messages}", output.status))
}
