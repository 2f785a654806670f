//! Engine: whether this machine has the addresses of the configuration, guards its protected ports, and has routes to
//! the UEs.

use std::net::IpAddr;

use super::check::Check;
use super::machine::{Machine, Route};
use crate::config::{Cidr, ShellConfig, SipListener};
use crate::net::Interface;

const ADDRESS: &str = "address";
const POLICY: &str = "policy";
const ROUTE: &str = "route";

/// The unspecified address cannot stand in Via, Record-Route and Path.
pub(super) fn concrete(config: &ShellConfig) -> Vec<Check> {
    let wrong = config.sip.iter().filter(|l| l.address.ip().is_unspecified());
    wrong
        .map(|listener| {
            let (ip, key) = (listener.address.ip(), listener.key);
            let found = format!(
                "{} is {ip}, which names no interface: SIP writes this address into Via, Path and Record-Route",
                section(key)
            );
            let remedy = format!("set {key} to one address of this machine (ip address show)");
            Check::fail(ADDRESS, found, remedy)
        })
        .collect()
}

/// Addresses, the switches of the kernel that take its policies away, routes to the UEs.
pub(super) fn judge(config: &ShellConfig, machine: &Machine, read: impl Fn(&str) -> String) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut told = Vec::new();
    for listener in &config.sip {
        let ip = listener.address.ip();
        if !ip.is_unspecified() && !told.contains(&ip) {
            told.push(ip);
            checks.push(present(listener, machine));
        }
        let guarded = guarded(listener, machine, &read);
        checks.extend(guarded.filter(|check| !checks.contains(check)));
    }
    let pools = config.ue_pools.iter();
    checks.extend(pools.map(|pool| {
        let found = machine.routes.get(pool).and_then(Option::as_ref);
        route(config.name, *pool, found)
    }));
    checks
}

fn present(listener: &SipListener, machine: &Machine) -> Check {
    let ip = listener.address.ip();
    let section = section(listener.key);
    if machine.has(ip) {
        return Check::ok(ADDRESS, format!("{section} {ip} is on {}", machine.device_of(ip)));
    }
    let bits = if ip.is_ipv4() { 24 } else { 64 };
    let device = machine.device.as_deref().unwrap_or("eth0");
    Check::fail(
        ADDRESS,
        format!("{section} {ip} is on no interface of this machine"),
        format!(
            "add it (ip address add {ip}/{bits} dev {device}) or correct {}",
            listener.key
        ),
    )
}

/// That the kernel applies policies to the packets of a protected port. Loopback never does, and is left to tests.
fn guarded(listener: &SipListener, machine: &Machine, read: impl Fn(&str) -> String) -> Option<Check> {
    let ip = listener.address.ip();
    let device = machine.device_of(ip);
    if listener.interface != Interface::GmProtected {
        return None;
    }
    if device == "lo" {
        let found = format!(
            "{ip} is on loopback, to which the kernel applies no IPsec policy: protected ports are not guarded there"
        );
        return Some(Check::skipped(POLICY, found));
    }
    let switches: &[&str] = match ip {
        IpAddr::V4(_) => &["disable_policy", "disable_xfrm"],
        IpAddr::V6(_) => &["disable_policy"],
    };
    let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    for place in ["all", device] {
        for switch in switches {
            if read(&format!("net/{family}/conf/{place}/{switch}")).trim() == "1" {
                return Some(Check::fail(
                    POLICY,
                    format!(
                        "net.{family}.conf.{place}.{switch} is 1, with which the kernel lets clear text to and from the \
                         protected ports of {ip} pass"
                    ),
                    format!("set it to 0 (sysctl -w net.{family}.conf.{place}.{switch}=0)"),
                ));
            }
        }
    }
    let found = format!("the kernel applies IPsec policies on {device}, of {ip}");
    Some(Check::ok(POLICY, found))
}

fn route(name: &str, pool: Cidr, found: Option<&Route>) -> Check {
    let Some(route) = found else {
        return no_route(name, pool);
    };
    let way = way(route);
    if route.is_default && !route.is_local {
        return Check::warn(
            ROUTE,
            format!("ue_pool {pool} is reached only by the default route ({way})"),
            format!(
                "if that is not the way to the UPF, answers never arrive at the UEs: add the route (ip route add {pool} \
                 via GATEWAY, the user plane's gateway)"
            ),
        );
    }
    Check::ok(ROUTE, format!("ue_pool {pool} is reached {way}"))
}

/// Nothing that is sent to these UEs leaves this machine.
pub(super) fn no_route(name: &str, pool: Cidr) -> Check {
    Check::fail(
        ROUTE,
        format!("ue_pool {pool} has no route from this machine"),
        format!(
            "add it (ip route add {pool} via GATEWAY, the user plane's gateway) or correct {name}.ue_pool"
        ),
    )
}

/// `via 10.20.0.1 on eth0`.
fn way(route: &Route) -> String {
    if route.is_local {
        return "on this machine itself".to_owned();
    }
    let device = route.device.as_deref().unwrap_or("an unnamed interface");
    match route.gateway {
        Some(gateway) => format!("via {gateway} on {device}"),
        None => format!("on {device}, without a gateway"),
    }
}

/// `pcscf.gm.address` as operators say it: `gm.address`.
pub(super) fn section(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, rest)| rest)
}

#[cfg(test)]
mod tests;
