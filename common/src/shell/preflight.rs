//! Shell: what this machine must have before a node may serve: its addresses, and routes to its UEs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::Handle;

use crate::config::{Cidr, ShellConfig, SipListener};
use crate::net::Interface;

/// What this machine is, as far as preflight asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Addresses and the interface that each is on.
    addresses: BTreeMap<IpAddr, String>,
    /// Loopback is up: then all of 127.0.0.0/8 is ours.
    loopback: bool,
    /// An interface to name in a remedy.
    device: Option<String>,
}

/// Descriptors for all but the connections of SIP: listeners, Diameter, DNS, HTTP, the log.
const DESCRIPTORS_RESERVED: usize = 256;

/// How many of the wanted connections this process may have descriptors for. Without descriptors left, a flood of
/// connections would also end what needs one for a moment: DNS, a dial to the HSS.
pub(crate) fn connections(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(descriptors) = descriptors(&limits) else {
        return wanted;
    };
    let possible = within(wanted, descriptors);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            descriptors,
            "limits.connections is lowered: raise the limit of open files (ulimit -n, LimitNOFILE=)"
        );
    }
    possible
}

fn within(wanted: usize, descriptors: usize) -> usize {
    wanted.min(descriptors - DESCRIPTORS_RESERVED.min(descriptors / 2))
}

/// The soft limit of open files; `None` when there is none, or it is not told.
fn descriptors(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Checks all that the configuration needs of this machine.
///
/// # Errors
/// One line: what is missing, the key that wants it, and the remedy.
pub(crate) async fn check(config: &ShellConfig) -> Result<(), String> {
    for listener in &config.sip {
        concrete(listener)?;
    }
    let (connection, handle, _) = match rtnetlink::new_connection() {
        Ok(parts) => parts,
        Err(error) => {
            tracing::warn!(%error, "preflight left out: no netlink; binding will tell");
            return Ok(());
        }
    };
    let task = tokio::spawn(connection);
    let result = check_with(&handle, config).await;
    task.abort();
    result
}

async fn check_with(handle: &Handle, config: &ShellConfig) -> Result<(), String> {
    match machine(handle).await {
        Ok(machine) => {
            for listener in &config.sip {
                present(listener, &machine)?;
                guarded(listener, &machine, |setting| {
                    std::fs::read_to_string(format!("/proc/sys/{setting}")).unwrap_or_default()
                })?;
            }
        }
        Err(error) => tracing::warn!(%error, "preflight of addresses left out; binding will tell"),
    }
    for pool in &config.ue_pools {
        if !has_route(handle, pool.network).await {
            return Err(no_route(config.name, *pool));
        }
    }
    Ok(())
}

/// The unspecified address cannot stand in Via, Record-Route and Path.
fn concrete(listener: &SipListener) -> Result<(), String> {
    let ip = listener.address.ip();
    if ip.is_unspecified() {
        return Err(format!(
            "{} is {ip}, which names no interface: SIP writes this address into Via, Path and Record-Route; \
             set {} to one address of this machine (ip address show)",
            section(listener.key),
            listener.key
        ));
    }
    Ok(())
}

fn present(listener: &SipListener, machine: &Machine) -> Result<(), String> {
    let ip = listener.address.ip();
    if machine.addresses.contains_key(&ip) || (ip.is_ipv4() && ip.is_loopback() && machine.loopback) {
        return Ok(());
    }
    let bits = if ip.is_ipv4() { 24 } else { 64 };
    let device = machine.device.as_deref().unwrap_or("eth0");
    Err(format!(
        "{} {ip} is on no interface of this machine; add it (ip address add {ip}/{bits} dev {device}) or correct {}",
        section(listener.key),
        listener.key
    ))
}

/// That the kernel applies policies to the packets of a protected port. Loopback never does, and is left to tests.
fn guarded(listener: &SipListener, machine: &Machine, read: impl Fn(&str) -> String) -> Result<(), String> {
    let ip = listener.address.ip();
    let device = machine.addresses.get(&ip).map_or("lo", String::as_str);
    if listener.interface != Interface::GmProtected || device == "lo" {
        return Ok(());
    }
    let switches: &[&str] = match ip {
        IpAddr::V4(_) => &["disable_policy", "disable_xfrm"],
        IpAddr::V6(_) => &["disable_policy"],
    };
    let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    for place in ["all", device] {
        for switch in switches {
            if read(&format!("net/{family}/conf/{place}/{switch}")).trim() == "1" {
                return Err(format!(
                    "net.{family}.conf.{place}.{switch} is 1, with which the kernel lets clear text to and from the \
                     protected ports of {ip} pass; set it to 0 (sysctl -w net.{family}.conf.{place}.{switch}=0)"
                ));
            }
        }
    }
    Ok(())
}

fn no_route(name: &str, pool: Cidr) -> String {
    format!(
        "ue_pool {pool} has no route from this machine; add it (ip route add {pool} via GATEWAY, the user plane's \
         gateway) or correct {name}.ue_pool"
    )
}

/// `pcscf.gm.address` as operators say it: `gm.address`.
fn section(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, rest)| rest)
}

async fn machine(handle: &Handle) -> Result<Machine, rtnetlink::Error> {
    let mut machine = Machine::default();
    let mut names = BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let flags = link.header.flags;
        let name = link.attributes.iter().find_map(|a| match a {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
        let name = name.unwrap_or_else(|| link.header.index.to_string());
        if flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::Loopback) {
            machine.loopback = true;
        } else if flags.contains(LinkFlags::Up) {
            machine.device.get_or_insert_with(|| name.clone());
        }
        names.insert(link.header.index, name);
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        let name = names.get(&message.header.index).cloned().unwrap_or_default();
        for attribute in &message.attributes {
            if let AddressAttribute::Address(ip) | AddressAttribute::Local(ip) = attribute {
                machine.addresses.insert(*ip, name.clone());
            }
        }
    }
    Ok(machine)
}

/// What the kernel would do with a packet to this address.
async fn has_route(handle: &Handle, ip: IpAddr) -> bool {
    let mut question = RouteMessage::default();
    let (family, bits, address) = match ip {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    question.header.address_family = family;
    question.header.destination_prefix_length = bits;
    question.attributes.push(RouteAttribute::Destination(address));
    let mut routes = Box::pin(handle.route().get(question).execute());
    matches!(routes.try_next().await, Ok(Some(_)))
}

#[cfg(test)]
mod tests;
