//! Engine: whether the ports of the configuration are free, or who holds them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::addresses::section;
use super::check::Check;
use crate::config::ShellConfig;

const NAME: &str = "ports";
/// Of IKE and of IKE behind a NAT (RFC 7296 2, 2.23).
const IKE_PORTS: [u16; 2] = [500, 4_500];

/// UDP or TCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// A socket that receives: UDP, or TCP that listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Receiver {
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
    pub(super) inode: u64,
}

/// A process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) name: String,
    /// The file of its `--config`, where it has one.
    pub(super) config: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}", self.name, self.pid)?;
        if let Some(config) = &self.config {
            write!(f, ", --config {}", config.display())?;
        }
        f.write_str(")")
    }
}

/// All sockets that receive, and whose they are as far as this process may see.
#[derive(Clone, Debug, Default)]
pub(super) struct Receivers {
    pub(super) sockets: Vec<Receiver>,
    pub(super) holders: BTreeMap<u64, Holder>,
}

impl Receivers {
    /// Who has a port of IKE.
    pub(super) fn on_ike_ports(&self) -> Vec<Holder> {
        let on_them = |s: &&Receiver| s.protocol == Protocol::Udp && IKE_PORTS.contains(&s.local.port());
        let mut found: Vec<Holder> = Vec::new();
        for socket in self.sockets.iter().filter(on_them) {
            let holder = self.holders.get(&socket.inode).cloned();
            let holder = holder.unwrap_or_else(|| Holder {
                pid: 0,
                name: format!("somebody on UDP port {}", socket.local.port()),
                config: None,
            });
            if !found.iter().any(|other| other.pid == holder.pid) {
                found.push(holder);
            }
        }
        found
    }

    /// Those that a socket of ours at this address would collide with.
    fn at(&self, protocol: Protocol, wanted: SocketAddr) -> impl Iterator<Item = &Receiver> {
        self.sockets.iter().filter(move |socket| {
            let ip = socket.local.ip();
            let same_ip = ip == wanted.ip()
                || (ip.is_unspecified() && (ip.is_ipv6() || wanted.is_ipv4()))
                || wanted.ip().is_unspecified();
            socket.protocol == protocol
                && same_ip
                && wanted.port() != 0
                && socket.local.port() == wanted.port()
        })
    }
}

/// A socket that the configuration asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) key: String,
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
}

/// All of them.
pub(super) fn wanted(config: &ShellConfig) -> Vec<Wanted> {
    let mut all = Vec::new();
    for listener in &config.sip {
        let (key, address) = (listener.key.to_owned(), listener.address);
        if listener.accepts_streams {
            all.push(Wanted {
                key: key.clone(),
                address,
                protocol: Protocol::Tcp,
            });
        }
        all.push(Wanted {
            key,
            address,
            protocol: Protocol::Udp,
        });
    }
    let tcp = |key: &str, address| Wanted {
        key: format!("{}.{key}", config.name),
        address,
        protocol: Protocol::Tcp,
    };
    all.extend(config.diameter_listen.map(|address| tcp("hss.listen", address)));
    let admin = config.admin.as_ref().and_then(|admin| admin.listen);
    all.extend(admin.map(|address| tcp("admin", address)));
    all
}

/// Our own daemon, where it runs: the holder of a port that it asks for, with the same file.
pub(super) fn running<'a>(
    config: &ShellConfig,
    file: Option<&PathBuf>,
    receivers: &'a Receivers,
) -> Option<&'a Holder> {
    let wanted = wanted(config);
    let sockets = wanted.iter().flat_map(|w| receivers.at(w.protocol, w.address));
    sockets
        .filter_map(|socket| receivers.holders.get(&socket.inode))
        .find(|holder| {
            holder.name == config.name && holder.config.is_some() && holder.config.as_ref() == file
        })
}

/// Whether a port that it asks for is held by a process that cannot be seen from here: it may be our own daemon.
pub(super) fn is_held_unseen(config: &ShellConfig, receivers: &Receivers) -> bool {
    let wanted = wanted(config);
    let mut sockets = wanted.iter().flat_map(|w| receivers.at(w.protocol, w.address));
    sockets.any(|socket| !receivers.holders.contains_key(&socket.inode))
}

/// Each port is free, or held by the daemon itself; else it is told by whom.
pub(super) fn judge(config: &ShellConfig, own: Option<&Holder>, receivers: &Receivers) -> Vec<Check> {
    let wanted = wanted(config);
    let mut checks: Vec<Check> = Vec::new();
    for one in &wanted {
        for socket in receivers.at(one.protocol, one.address) {
            let holder = receivers.holders.get(&socket.inode);
            if holder.is_some() && holder.map(|h| h.pid) == own.map(|h| h.pid) {
                continue;
            }
            let check = taken(config.name, one, holder);
            if !checks.contains(&check) {
                checks.push(check);
            }
        }
    }
    if checks.is_empty() {
        let found = match own {
            Some(own) => format!("all {} are held by the daemon itself, {own}", wanted.len()),
            None => format!("all {} are free", wanted.len()),
        };
        checks.push(Check::ok(NAME, found));
    }
    checks
}

fn taken(name: &str, wanted: &Wanted, holder: Option<&Holder>) -> Check {
    let place = format!(
        "{} {} ({})",
        section(&wanted.key),
        wanted.address,
        wanted.protocol.name()
    );
    match holder {
        Some(holder) if holder.name == name => Check::fail(
            NAME,
            format!("{place} is in use by another {name}: {holder}"),
            format!(
                "two {name}s of one host need different ports: stop the other one, or choose another {}",
                wanted.key
            ),
        ),
        Some(holder) => Check::fail(
            NAME,
            format!("{place} is in use by {holder}"),
            format!("stop it, or choose another {}", wanted.key),
        ),
        None => Check::fail(
            NAME,
            format!("{place} is in use by a process that cannot be seen from here"),
            "look as root (ss -lunpt), stop what uses it, or choose another port",
        ),
    }
}

/// The sockets of one of /proc/net/{udp,udp6,tcp,tcp6}: of TCP those that listen.
pub(super) fn receivers(text: &str, protocol: Protocol) -> Vec<Receiver> {
    /// TCP_LISTEN of the kernel.
    const LISTEN: &str = "0A";
    let lines = text.lines().skip(1);
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let local = words.nth(1)?;
            let state = words.nth(1)?;
            let inode = words.nth(5)?.parse().ok()?;
            let is_receiver = protocol == Protocol::Udp || state == LISTEN;
            let local = socket_address(local).filter(|_| is_receiver)?;
            Some(Receiver {
                protocol,
                local,
                inode,
            })
        })
        .collect()
}

/// `0100007F:13C4`: words in the order of the machine, the port as written.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = ip.as_bytes().chunks_exact(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let words: Vec<[u8; 4]> = words.collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [v4] => IpAddr::V4(Ipv4Addr::from(*v4)),
        [_, _, _, _] => {
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ListenAddress, SipListener};
    use crate::net::Interface;
    use crate::shell::doctor::check::Verdict;

    const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
        219: 050200C0:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0\n  \
        220: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: B80D0120000000000000000005000000:13C4 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0\n   \
        1: B80D0120000000000000000005000000:13C4 B80D0120000000000000000006000000:C350 01 00000000:00000000 00:00000000 00000000     0        0 4714 1 0000000000000000 100 0 0 10 0\n";

    fn config(address: &str) -> ShellConfig {
        let address: ListenAddress = address.parse().unwrap();
        let listener = SipListener::new(Interface::Gm, address, "pcscf.gm.address");
        ShellConfig::new("pcscf", vec![listener])
    }

    fn holder(pid: u32, name: &str, config: Option<&str>) -> Holder {
        Holder {
            pid,
            name: name.to_owned(),
            config: config.map(PathBuf::from),
        }
    }

    fn seen(holder: Option<Holder>) -> Receivers {
        Receivers {
            sockets: receivers(UDP, Protocol::Udp),
            holders: holder.map(|h| (4_711, h)).into_iter().collect(),
        }
    }

    #[test]
    fn sockets_that_receive_are_read_from_proc() {
        let udp = receivers(UDP, Protocol::Udp);
        assert_eq!(udp[0].local, "192.0.2.5:5060".parse().unwrap());
        assert_eq!(udp[0].inode, 4_711);
        assert_eq!(udp[1].local, "0.0.0.0:500".parse().unwrap());
        let tcp = receivers(TCP6, Protocol::Tcp);
        assert_eq!(tcp.len(), 1, "a connection does not listen");
        assert_eq!(tcp[0].local, "[2001:db8::5]:5060".parse().unwrap());
        assert!(receivers("nonsense\nmore: nonsense", Protocol::Udp).is_empty());
    }

    #[test]
    fn a_port_that_another_program_has_is_told_with_its_name() {
        let checks = judge(
            &config("192.0.2.5"),
            None,
            &seen(Some(holder(7, "kamailio", None))),
        );
        let [check] = checks.try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(
            check.sentence(),
            "gm.address 192.0.2.5:5060 (UDP) is in use by kamailio (pid 7); stop it, or choose another pcscf.gm.address"
        );
        let checks = judge(&config("192.0.2.5"), None, &seen(None));
        assert!(checks[0].found.contains("cannot be seen"), "{checks:?}");
    }

    #[test]
    fn the_daemon_itself_is_known_by_its_file_and_another_one_is_not_it() {
        let file = PathBuf::from("/etc/ims/pcscf.yaml");
        let config = config("192.0.2.5");
        let itself = seen(Some(holder(9, "pcscf", Some("/etc/ims/pcscf.yaml"))));
        let own = running(&config, Some(&file), &itself);
        assert_eq!(own.map(|h| h.pid), Some(9));
        assert_eq!(judge(&config, own, &itself)[0].verdict, Verdict::Ok);
        let second = seen(Some(holder(9, "pcscf", Some("/etc/ims/other.yaml"))));
        let own = running(&config, Some(&file), &second);
        assert_eq!(own, None);
        let check = judge(&config, own, &second).remove(0);
        assert!(
            check
                .found
                .contains("in use by another pcscf: pcscf (pid 9, --config /etc/ims/other.yaml)"),
            "{check:?}"
        );
    }

    #[test]
    fn a_port_of_somebody_unseen_may_be_the_daemons() {
        let is_unseen = |address, holder| is_held_unseen(&config(address), &seen(holder));
        assert!(is_unseen("192.0.2.5", None));
        assert!(!is_unseen("192.0.2.5", Some(holder(7, "kamailio", None))));
        assert!(!is_unseen("192.0.2.6", None));
    }

    #[test]
    fn ports_of_others_at_other_addresses_do_not_count() {
        let checks = judge(
            &config("192.0.2.6"),
            None,
            &seen(Some(holder(7, "kamailio", None))),
        );
        assert_eq!(checks, [Check::ok(NAME, "all 2 are free")]);
    }

    #[test]
    fn whoever_has_udp_port_500_counts_as_ike_daemon() {
        let named = |receivers: &Receivers| receivers.on_ike_ports().first().map(ToString::to_string);
        let mut receivers = seen(None);
        assert_eq!(
            named(&receivers).as_deref(),
            Some("somebody on UDP port 500 (pid 0)")
        );
        receivers.holders.insert(4_712, holder(812, "charon", None));
        assert_eq!(named(&receivers).as_deref(), Some("charon (pid 812)"));
    }
}
