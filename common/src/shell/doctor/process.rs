//! Shell: what /proc and a few programs of the system tell about this machine, its processes and this one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caps::{CapSet, Capability};
use tokio::process::Command;

use super::ipsec::IKE_DAEMONS;
use super::limits::{Room, available, descriptors};
use super::nat::Ruleset;
use super::ports::{Holder, Protocol, Receivers, receivers};
use super::rights::Rights;
use crate::operate::{Endpoint, Report};
use crate::shell::admin::client::Client;

/// How long a program of the system may take; one that hangs must not hold up a start.
const PATIENCE: Duration = Duration::from_secs(2);

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What this process may do.
pub(super) fn rights() -> Rights {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let start = super::machine::sysctl("net/ipv4/ip_unprivileged_port_start");
    Rights {
        net_admin: has(Capability::CAP_NET_ADMIN),
        net_bind_service: has(Capability::CAP_NET_BIND_SERVICE),
        unprivileged_port_start: start.trim().parse().unwrap_or(1_024),
    }
}

/// What process and machine have, but for the clock's keeper.
pub(super) fn room() -> Room {
    Room {
        descriptors: descriptors(&text("/proc/self/limits")),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: memory(),
        unix_secs: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
        synchronised: Path::new("/run/systemd/timesync/synchronized")
            .exists()
            .then_some(true),
    }
}

/// What the machine has left, or the control group when that is less.
fn memory() -> Option<u64> {
    let number = |path: &str| text(path).trim().parse::<u64>().ok();
    let of_group = number("/sys/fs/cgroup/memory.max")
        .map(|max| max.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    let of_machine = available(&text("/proc/meminfo"));
    [of_group, of_machine].into_iter().flatten().min()
}

/// Whether somebody keeps the clock right, as systemd or chrony say.
pub(super) async fn synchronised() -> Option<bool> {
    let said = said("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]).await?;
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The rules that change addresses, in every form that this machine tells.
pub(super) async fn ruleset() -> Ruleset {
    Ruleset {
        nft: said("nft", &["-j", "list", "ruleset"]).await,
        iptables: said("iptables-save", &["-t", "nat"]).await,
        ip6tables: said("ip6tables-save", &["-t", "nat"]).await,
    }
}

/// What a program prints; `None` when it is not there, fails or hangs.
async fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .ok()?
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a daemon of this machine tells of its peers.
#[derive(Clone, Debug, Default)]
pub(super) struct PeersTold {
    /// How many are open; `None`: it does not tell.
    pub(super) open: Option<u64>,
    /// What went wrong last, with those that are not.
    pub(super) last_errors: Vec<String>,
}

/// Asks a daemon of this machine for its peers.
pub(super) async fn peers(endpoint: Endpoint) -> PeersTold {
    let client = Client::new(endpoint).with_patience(PATIENCE);
    let metrics = client.get("/metrics").await;
    let report = client.read::<Report>("/api/v1/peers").await.unwrap_or_default();
    let rows = report.peers.into_iter().filter(|row| row.protocol == "diameter");
    PeersTold {
        open: metrics
            .ok()
            .and_then(|answer| super::diameter::peers_open(&String::from_utf8_lossy(&answer.body))),
        last_errors: rows
            .filter_map(|row| Some(format!("{}: {}", row.address, row.last_error?)))
            .collect(),
    }
}

/// The sockets of this network namespace that receive, and whose they are.
pub(super) fn all_receivers() -> Receivers {
    let tables = [
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
    ];
    let sockets: Vec<_> = tables
        .into_iter()
        .flat_map(|(name, protocol)| receivers(&text(&format!("/proc/thread-self/net/{name}")), protocol))
        .collect();
    let mut holders = BTreeMap::new();
    for pid in pids() {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let targets = files
            .filter_map(Result::ok)
            .filter_map(|file| fs::read_link(file.path()).ok());
        for inode in targets.filter_map(|target| inode(&target)) {
            if sockets.iter().any(|socket| socket.inode == inode) {
                holders.entry(inode).or_insert_with(|| holder(pid));
            }
        }
    }
    Receivers { sockets, holders }
}

/// IKE daemons among the processes.
pub(super) fn ike_daemons() -> Vec<Holder> {
    pids()
        .map(holder)
        .filter(|holder| IKE_DAEMONS.contains(&holder.name.as_str()))
        .collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `socket:[4711]`.
fn inode(target: &Path) -> Option<u64> {
    let target = target.to_str()?;
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn holder(pid: u32) -> Holder {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = line
        .split(|octet| *octet == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Holder {
        pid,
        name: text(&format!("/proc/{pid}/comm")).trim().to_owned(),
        config: config_of(&words).map(|path| {
            let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let path = directory.join(path);
            fs::canonicalize(&path).unwrap_or(path)
        }),
    }
}

fn config_of(words: &[String]) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.strip_prefix("--config=") {
            return Some(PathBuf::from(path));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_a_process_is_read_from_its_command_line() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        let file = Some(PathBuf::from("/etc/ims/pcscf.yaml"));
        assert_eq!(config_of(&words("pcscf --config /etc/ims/pcscf.yaml")), file);
        assert_eq!(config_of(&words("pcscf --config=/etc/ims/pcscf.yaml")), file);
        assert_eq!(config_of(&words("pcscf --config")), None);
        assert_eq!(config_of(&words("sshd -D")), None);
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_holder() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let all = all_receivers();
        let found = all.sockets.iter().find(|s| s.local == local).unwrap();
        let holder = all.holders.get(&found.inode).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn an_inode_is_told_by_its_link() {
        assert_eq!(inode(Path::new("socket:[4711]")), Some(4_711));
        assert_eq!(inode(Path::new("/dev/null")), None);
    }
}
