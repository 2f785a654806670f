//! Shell: SIPp in calls.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ims_tests::daemons::fresh_directory;
use ims_tests::hss::Ifc;
use ims_tests::scene::imsi;
use ims_tests::site::{HOME, Site};

use super::{PASSWORD, client, impu};
use crate::network::Network;

/// Longer than any of its calls takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A SIPp that plays one scenario once. It ends with this value.
pub(super) struct Sipp {
    scenario: String,
    child: Child,
    directory: PathBuf,
}

impl Sipp {
    /// Plays `scenario` as the client with this number, or as a server, from `local`.
    pub(super) fn play(
        scenario: &str,
        (local, remote): (SocketAddr, SocketAddr),
        transport: &str,
        keys: &[(&str, &str)],
    ) -> Self {
        let scenarios: &Path = &Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/sipp");
        let directory = fresh_directory().expect("a directory");
        let mut command = Command::new("sipp");
        command
            .arg(remote.to_string())
            .arg("-sf")
            .arg(scenarios.join(scenario).with_extension("xml"))
            .args(["-i", &local.ip().to_string(), "-p", &local.port().to_string()])
            .args(["-t", transport, "-m", "1", "-nostdin"])
            .args(["-timeout", "25", "-timeout_error"])
            .args(["-trace_msg", "-message_file", "messages.log"])
            .args(["-key", "home", HOME]);
        if scenario == "phone" {
            command.arg("-oocsf").arg(scenarios.join("callee.xml"));
        }
        for (name, value) in keys {
            if *name == "user" {
                command.args(["-au", &format!("{value}@{HOME}"), "-ap", PASSWORD]);
            }
            command.args(["-key", name, value]);
        }
        let out = std::fs::File::create(directory.join("said.log")).expect("a file");
        let child = command
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .expect("sipp is not installed: `apt-get install sip-tester` (make test does it)");
        Self {
            scenario: scenario.to_owned(),
            child,
            directory,
        }
    }

    /// Waits until it is done; the messages it saw.
    pub(super) fn end(&mut self, network: &Network) -> String {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("a process") {
                Some(status) => break status,
                None if Instant::now() > end => panic!("{} goes on\n{}", self.scenario, self.messages()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let said = std::fs::read_to_string(self.directory.join("said.log")).unwrap_or_default();
        let messages = self.messages();
        assert!(
            status.success(),
            "{} ended with {status}\n{said}\n{messages}\n{}",
            self.scenario,
            network.daemons.tails(30)
        );
        messages
    }

    /// Waits until it has seen this.
    pub(super) fn wait_for(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.messages().contains(words) {
            assert!(
                Instant::now() < end,
                "{} does not see `{words}`\n{}",
                self.scenario,
                self.messages()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The messages that it has seen so far.
    pub(super) fn messages(&self) -> String {
        std::fs::read_to_string(self.directory.join("messages.log")).unwrap_or_default()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The client with this number registers at its own address and takes calls.
pub(super) fn phone(network: &Network, number: u8, transport: &str) -> Sipp {
    let way = (network.site.ue(number), network.site.gm);
    let user = imsi(number);
    let sipp = Sipp::play("phone", way, transport, &[("user", &user)]);
    sipp.wait_for("Service-Route:");
    sipp
}

/// The client with this number registers and calls; the messages it saw.
pub(super) fn call(network: &Network, number: u8, transport: &str, callee: &str) -> String {
    let way = (network.site.ue(number), network.site.gm);
    let user = imsi(number);
    let keys = [("user", user.as_str()), ("callee", callee)];
    Sipp::play("caller", way, transport, &keys).end(network)
}

/// Somebody at `local` who takes one call.
pub(super) fn callee(network: &Network, local: SocketAddr, transport: &str) -> Sipp {
    let sipp = Sipp::play("callee", (local, network.site.gm), transport, &[]);
    wait_for_socket(local, transport);
    sipp
}

/// SIPp takes a moment until it listens; a socket of the kernel's table says when.
fn wait_for_socket(local: SocketAddr, transport: &str) {
    let table = match transport.starts_with('t') {
        true => "/proc/net/tcp",
        false => "/proc/net/udp",
    };
    let std::net::IpAddr::V4(ip) = local.ip() else {
        return;
    };
    let [a, b, c, d] = ip.octets();
    let place = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", local.port());
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        if table
            .lines()
            .any(|line| line.split_whitespace().nth(1) == Some(&place))
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("SIPp does not listen at {local}");
}

/// One client calls the other, and then an application server that takes the call.
fn calls(network_number: u8, transport: &str, parameter: &str) {
    let site = Site::on_network([127, 0, network_number]);
    let server = site.app_server(1);
    let ifc = Ifc::to(&format!("sip:{server}{parameter}"), 1)
        .method(&["INVITE"])
        .originating()
        .request_uri("sip:announcement@.*");
    let network = Network::start(site, vec![client(91).ifc(ifc), client(92)]);

    let phone = phone(&network, 92, transport);
    let seen = call(&network, 91, transport, &impu(92));
    assert!(seen.contains("SIP/2.0 180"), "{seen}");
    let invite = phone.messages();
    assert!(
        invite.contains("P-Called-Party-ID") && !invite.contains("P-Charging-Vector"),
        "{invite}"
    );

    let mut server = callee(&network, server, transport);
    call(&network, 91, transport, &format!("sip:announcement@{HOME}"));
    let invite = server.end(&network);
    assert!(
        invite.contains("P-Served-User") && invite.contains("P-Charging-Vector"),
        "{invite}"
    );
    network.stop();
}

#[test]
fn sipp_calls_sipp_and_an_application_server_of_sipp_over_udp() {
    calls(51, "u1", "");
}

#[test]
fn sipp_calls_sipp_and_an_application_server_of_sipp_over_tcp() {
    calls(52, "t1", ";transport=tcp");
}
