//! Shell: where the phone is: its network namespace, its interface, its address, and the way to the P-CSCF.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, Result, anyhow, bail};
use ims_tests::card::contents::PcscfAddress;
use ims_tests::card::identity::CardPcscfs;
use ims_tests::ue::verdict::Prover;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};

use crate::identity::Identity;
use crate::options::NetworkOptions;

/// The port of SIP.
const PORT: u16 = 5060;

/// A node, as people name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Host {
    name: HostName,
    port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum HostName {
    Address(IpAddr),
    Name(String),
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, `NAME` or `NAME:PORT`.
pub(crate) fn parse_host(text: &str) -> Result<Host, String> {
    if let Some(address) = address(text) {
        return Ok(Host::at(address));
    }
    let (name, port) = match text.rsplit_once(':') {
        None => (text, PORT),
        Some((name, port)) => match port.parse() {
            Ok(port) if port > 0 => (name, port),
            _ => return Err("a port is a number from 1 to 65535".to_owned()),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(
            "neither an address nor a name; an IPv6 address with a port has brackets: [2001:db8::1]:5060"
                .to_owned(),
        );
    }
    Ok(Host {
        name: HostName::Name(name.to_owned()),
        port,
    })
}

/// `ADDRESS` or `ADDRESS:PORT`.
pub(crate) fn parse_local(text: &str) -> Result<SocketAddr, String> {
    let address = address(text).ok_or("not an address; IPv6 with a port has brackets: [2001:db8::9]:5060")?;
    match (address.ip().is_unspecified(), address.port()) {
        (true, _) => Err("a phone has one address: say which".to_owned()),
        (_, 0) => Err("a phone is reached at one port: say which".to_owned()),
        _ => Ok(address),
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>();
    ip.map(|ip| SocketAddr::new(ip, PORT))
        .or_else(|_| text.parse())
        .ok()
}

impl Host {
    const fn at(address: SocketAddr) -> Self {
        Self {
            name: HostName::Address(address.ip()),
            port: address.port(),
        }
    }

    /// As the card says it.
    fn of_card(address: &PcscfAddress) -> Self {
        let name = match address {
            PcscfAddress::Ip(ip) => HostName::Address(*ip),
            PcscfAddress::Name(name) => HostName::Name(name.clone()),
        };
        Self { name, port: PORT }
    }

    /// Its addresses of the family of `local`, or of both.
    fn resolve(&self, local: Option<IpAddr>) -> Result<SocketAddr> {
        let all: Vec<SocketAddr> = match &self.name {
            HostName::Address(ip) => vec![SocketAddr::new(*ip, self.port)],
            HostName::Name(name) => (name.as_str(), self.port)
                .to_socket_addrs()
                .map_err(|error| {
                    anyhow!(
                        "the P-CSCF's name {name} has no address ({error}): give its address by --pcscf, or put the name into \
                         DNS or /etc/hosts"
                    )
                })?
                .collect(),
        };
        let fits = |address: &&SocketAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
        let found = all.iter().find(fits).copied();
        found.with_context(|| {
            let (here, there) = match local.is_some_and(|local| local.is_ipv4()) {
                true => ("IPv4", "IPv6"),
                false => ("IPv6", "IPv4"),
            };
            format!("--local is {here} and the P-CSCF has {there} only: give both of one family")
        })
    }
}

/// Where a phone is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Its own address.
    pub(crate) local: SocketAddr,
    /// The P-CSCF.
    pub(crate) pcscf: SocketAddr,
    /// Who said where the P-CSCF is.
    pub(crate) pcscf_by: &'static str,
}

impl Place {
    /// By the options, and by the P-CSCFs that the card names.
    ///
    /// # Errors
    /// One sentence with the remedy.
    pub(crate) fn find(options: &NetworkOptions, identity: &Identity, ipsec: bool) -> Result<Self> {
        let wanted = options.local.map(|local| local.ip());
        let (pcscf, pcscf_by) = match (&options.pcscf, &identity.pcscfs) {
            (Some(host), _) => (host.resolve(wanted)?, "--pcscf"),
            (None, CardPcscfs::Used(named) | CardPcscfs::Unused(named)) if named.is_empty() => bail!(
                "where is the P-CSCF? The card does not name one (EF_P-CSCF): say it by --pcscf ADDRESS"
            ),
            (None, CardPcscfs::Unused(_)) => bail!(
                "where is the P-CSCF? The card names one in EF_P-CSCF, and a phone need not look there, for EF_IST has neither \
                 service 1 (P-CSCF address) nor 5: say it by --pcscf ADDRESS, or switch service 1 on"
            ),
            (None, CardPcscfs::Used(named)) => (first_that_resolves(named, wanted)?, "EF_P-CSCF"),
        };
        let interface = options.interface.as_deref();
        let local = match (options.local, interface) {
            (Some(local), None) => local,
            (local, interface) => {
                let source = source_towards(pcscf, interface)?;
                local.unwrap_or_else(|| SocketAddr::new(source, PORT))
            }
        };
        if local == pcscf {
            bail!(
                "the P-CSCF is on this machine, at {pcscf}, and the phone would have the same address and port: give the phone \
                 another address (--local), or a network namespace of its own (--netns)"
            );
        }
        // The kernel lets what stays within one machine pass as it is.
        if ipsec && (local.ip() == pcscf.ip() || pcscf.ip().is_loopback()) {
            bail!(
                "the P-CSCF is on this machine, at {pcscf}, and a kernel does not protect what it sends to itself: give the \
                 phone a network namespace of its own (--netns), or register without IPsec ({})",
                identity.prover.in_clear()
            );
        }
        Ok(Self {
            local,
            pcscf,
            pcscf_by,
        })
    }
}

fn first_that_resolves(named: &[PcscfAddress], local: Option<IpAddr>) -> Result<SocketAddr> {
    let mut last = None;
    for address in named {
        match Host::of_card(address).resolve(local) {
            Ok(found) => return Ok(found),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("the card names no P-CSCF")?)
}

/// The address that the system would take, by this interface or by that of its routes. Nothing is sent.
fn source_towards(remote: SocketAddr, interface: Option<&str>) -> Result<IpAddr> {
    let ask = || -> io::Result<IpAddr> {
        let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        socket.connect(&remote.into())?;
        let local = socket.local_addr()?.as_socket();
        local
            .map(|local| local.ip())
            .ok_or_else(|| ErrorKind::AddrNotAvailable.into())
    };
    let by = interface.map_or_else(String::new, |name| format!(" by {name}"));
    ask().map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENODEV) => anyhow!("there is no network interface called {}: see `ip link`", interface.unwrap_or_default()),
        Some(Errno::EPERM) => anyhow!("binding to an interface needs CAP_NET_RAW here: run it as root"),
        _ => anyhow!(
            "there is no way to the P-CSCF {}{by} ({error}): see `ip route get {}`, and say our own address by --local",
            remote,
            remote.ip()
        ),
    })
}

/// Enters a network namespace. Before any thread and any socket: both stay where they began.
///
/// # Errors
/// One sentence with the remedy.
pub(crate) fn enter(name: &str, prover: Prover) -> Result<()> {
    // As `ip netns` has them; a name is no path.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        bail!("{name:?} is no name of a network namespace: see `ip netns`");
    }
    let path = format!("/run/netns/{name}");
    let file = File::open(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("there is no network namespace called {name}: see `ip netns`, make it by `ip netns add {name}`")
        }
        _ => anyhow!("{path}: {error}: run it as root ({})", prover.as_root()),
    })?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::EPERM => anyhow!(
            "the network namespace {name} cannot be entered without CAP_SYS_ADMIN: run it as root ({})",
            prover.as_root()
        ),
        Errno::EINVAL => {
            anyhow!("{path} is no network namespace: `ip netns delete {name}` and `ip netns add {name}`")
        }
        errno => anyhow!("the network namespace {name} cannot be entered: {errno}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: HostName, port: u16) -> Result<Host, String> {
        Ok(Host { name, port })
    }

    #[test]
    fn a_p_cscf_is_an_address_of_either_family_or_a_name_with_a_port_or_without() {
        let ip = |text: &str| HostName::Address(text.parse().unwrap());
        let name = |text: &str| HostName::Name(text.to_owned());
        assert_eq!(parse_host("192.0.2.1"), host(ip("192.0.2.1"), 5060));
        assert_eq!(parse_host("192.0.2.1:5070"), host(ip("192.0.2.1"), 5070));
        assert_eq!(parse_host("2001:db8::1"), host(ip("2001:db8::1"), 5060));
        assert_eq!(parse_host("[2001:db8::1]"), host(ip("2001:db8::1"), 5060));
        assert_eq!(parse_host("[2001:db8::1]:5070"), host(ip("2001:db8::1"), 5070));
        assert_eq!(parse_host("pcscf.h.example"), host(name("pcscf.h.example"), 5060));
        assert_eq!(
            parse_host("pcscf.h.example:5070"),
            host(name("pcscf.h.example"), 5070)
        );
        for wrong in [
            "",
            "pcscf:",
            "pcscf:0",
            "pcscf:65536",
            "pcs cf",
            ":5060",
            "[2001:db8::1",
        ] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_phone_has_one_address_and_one_port() {
        assert_eq!(parse_local("192.0.2.9"), Ok("192.0.2.9:5060".parse().unwrap()));
        assert_eq!(
            parse_local("[2001:db8::9]:5070"),
            Ok("[2001:db8::9]:5070".parse().unwrap())
        );
        for wrong in ["0.0.0.0", "::", "192.0.2.9:0", "here"] {
            assert!(parse_local(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_way_to_the_p_cscf_gives_our_address_and_a_wrong_interface_is_named() {
        let remote = "127.0.0.2:5060".parse().unwrap();
        assert_eq!(
            source_towards(remote, Some("lo")).unwrap(),
            IpAddr::from([127, 0, 0, 1])
        );
        let nowhere = source_towards(remote, Some("nowhere0")).unwrap_err().to_string();
        assert!(
            nowhere.contains("no network interface called nowhere0"),
            "{nowhere}"
        );
    }

    #[test]
    fn addresses_of_two_families_are_told_with_which_is_which() {
        let why = |pcscf, local: &str| {
            let pcscf = parse_host(pcscf).unwrap();
            pcscf
                .resolve(Some(local.parse().unwrap()))
                .unwrap_err()
                .to_string()
        };
        let six = why("192.0.2.1", "2001:db8::9");
        assert!(
            six.contains("--local is IPv6 and the P-CSCF has IPv4 only"),
            "{six}"
        );
        let four = why("2001:db8::1", "192.0.2.9");
        assert!(
            four.contains("--local is IPv4 and the P-CSCF has IPv6 only"),
            "{four}"
        );
    }

    #[test]
    fn a_namespace_that_is_not_there_is_told_with_the_remedy() {
        let error = enter("ims-nobody-has-this", Prover::Keys)
            .unwrap_err()
            .to_string();
        assert!(error.contains("ip netns add ims-nobody-has-this"), "{error}");
        assert!(enter("../../etc", Prover::Card).is_err());
    }
}
