//! Engine: whether this machine rewrites addresses between UEs and the P-CSCF: masquerade rules, docker's networks,
//! reverse path filters.
//!
//! A UE writes its address into Contact and Via and binds its security associations to it. Where the user plane's
//! gateway masquerades the UEs, packets come from another address than they say, and none of it holds.

use std::net::IpAddr;

use serde_json::Value;

use super::check::Check;
use super::machine::Machine;
use crate::config::{Cidr, ShellConfig};
use crate::net::Interface;

const NAME: &str = "nat";

/// What this machine tells of its rules; `None`: the program is not here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ruleset {
    /// `nft -j list ruleset`.
    pub(super) nft: Option<String>,
    /// `iptables-save -t nat`.
    pub(super) iptables: Option<String>,
    /// `ip6tables-save -t nat`.
    pub(super) ip6tables: Option<String>,
}

/// One rule that gives packets another source address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct NatRule {
    /// As the program prints it, or nearly.
    text: String,
    is_ipv6: Option<bool>,
    source: Match,
    destination: Match,
    /// The interface by which packets leave.
    device: Option<(bool, String)>,
}

/// A block of addresses, or all but one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Match {
    #[default]
    Any,
    In(Cidr),
    NotIn(Cidr),
    /// A set or a range, which is not looked into: it may fit.
    Unknown,
}

impl Match {
    /// Whether some address of `block` fits.
    fn may_fit(self, block: Cidr) -> bool {
        match self {
            Self::Any | Self::Unknown => true,
            Self::In(own) => own.contains(block.network) || block.contains(own.network),
            Self::NotIn(own) => !(own.contains(block.network) && own.prefix <= block.prefix),
        }
    }
}

impl NatRule {
    fn may_fit(&self, from: Cidr, to: Cidr, device: Option<&str>) -> bool {
        let family = self
            .is_ipv6
            .is_none_or(|is_ipv6| is_ipv6 == from.network.is_ipv6());
        let leaves = match (&self.device, device) {
            (Some((negated, name)), Some(device)) => is_device(name, device) != *negated,
            (Some(_), None) | (None, _) => true,
        };
        family && leaves && self.source.may_fit(from) && self.destination.may_fit(to)
    }
}

/// `eth+` of iptables and `eth*` of nftables are all that begin so.
fn is_device(pattern: &str, device: &str) -> bool {
    match pattern.strip_suffix(['+', '*']) {
        Some(beginning) => device.starts_with(beginning),
        None => pattern == device,
    }
}

/// Rules of this machine, docker's networks, reverse path filters; nothing without `ue_pool`.
pub(super) fn judge(
    config: &ShellConfig,
    machine: &Machine,
    rules: &Ruleset,
    read: impl Fn(&str) -> String,
) -> Vec<Check> {
    let Some(gm) = gm(config) else {
        return Vec::new();
    };
    let mut checks: Vec<Check> = docker(gm, machine).into_iter().collect();
    if config.ue_pools.is_empty() {
        let found = "ue_pool is not set, so neither routes nor NAT towards the UEs can be looked at";
        checks.push(Check::skipped(NAME, found));
        return checks;
    }
    checks.extend(rewriting(config, gm, machine, rules));
    checks.extend(reverse_path(config, gm, machine, read));
    checks
}

/// The address that UEs know.
fn gm(config: &ShellConfig) -> Option<IpAddr> {
    let listener = config
        .sip
        .iter()
        .find(|listener| listener.interface == Interface::Gm);
    listener.map(|listener| listener.address.ip())
}

fn rewriting(config: &ShellConfig, gm: IpAddr, machine: &Machine, rules: &Ruleset) -> Vec<Check> {
    let Some(found) = source_nat(rules) else {
        let found =
            "neither nft nor iptables-save tells the rules of this machine here: NAT is not looked at";
        return vec![Check::skipped(NAME, found)];
    };
    let own = Cidr {
        network: gm,
        prefix: if gm.is_ipv4() { 32 } else { 128 },
    };
    let mut checks = Vec::new();
    let pools = config.ue_pools.iter().copied();
    for pool in pools.filter(|pool| pool.network.is_ipv4() == gm.is_ipv4()) {
        let route = machine.routes.get(&pool).and_then(Option::as_ref);
        let device = route.and_then(|route| route.device.as_deref());
        for rule in &found {
            if rule.may_fit(own, pool, device) {
                checks.push(Check::warn(
                    NAME,
                    format!(
                        "this machine may give what the P-CSCF sends to UEs of {pool} another source address: {}",
                        rule.text
                    ),
                    format!("let it leave them alone (iptables -t nat -I POSTROUTING -d {pool} -j ACCEPT)"),
                ));
            }
            // What ends on this machine does not come by POSTROUTING.
            if !machine.has(gm) && rule.may_fit(pool, own, None) {
                checks.push(Check::warn(
                    NAME,
                    format!(
                        "UE pool {pool} is NATed between UPF and P-CSCF by this machine: {}",
                        rule.text
                    ),
                    format!(
                        "remove masquerade towards the P-CSCF (iptables -t nat -I POSTROUTING -s {pool} -d {gm} -j ACCEPT)"
                    ),
                ));
            }
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            NAME,
            format!(
                "no rule of this machine ({} looked at) rewrites addresses between UEs and {gm}; the UPF's machine has to \
                 leave them alone too",
                found.len()
            ),
        ));
    }
    checks
}

/// What leaves docker's networks is masqueraded, and ports are published by NAT, which ESP does not pass.
fn docker(gm: IpAddr, machine: &Machine) -> Option<Check> {
    let device = machine.device_of(gm);
    let of_bridge = device == "docker0" || device == "podman0" || device.starts_with("br-");
    let of_container = machine.container && is_of_docker(gm) && device != "lo";
    if !(of_bridge || of_container) {
        return None;
    }
    Some(Check::warn(
        NAME,
        format!(
            "gm.address {gm} is on a bridge network of containers ({device}): what leaves it is masqueraded, and ESP does \
             not pass published ports"
        ),
        "use the host's network (network_mode: host), or a macvlan or routed network without NAT, so that UEs reach this very \
         address",
    ))
}

/// 172.16.0.0/12 of docker, 10.88.0.0/16 of podman, unless told otherwise.
fn is_of_docker(ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else { return false };
    let [a, b, ..] = ip.octets();
    (a == 172 && (16..32).contains(&b)) || (a == 10 && b == 88)
}

/// With strict reverse path filters the kernel drops packets whose answers would leave by another interface.
fn reverse_path(
    config: &ShellConfig,
    gm: IpAddr,
    machine: &Machine,
    read: impl Fn(&str) -> String,
) -> Vec<Check> {
    const RP_FILTER: &str = "rp_filter";
    let arrives = machine.device_of(gm);
    let setting = |place: &str| {
        read(&format!("net/ipv4/conf/{place}/rp_filter"))
            .trim()
            .to_owned()
    };
    let strict = |device: &str| {
        let [all, own] = [setting("all"), setting(device)];
        // The kernel takes the larger of both.
        all.max(own) == "1"
    };
    let mut checks = Vec::new();
    for pool in config.ue_pools.iter().filter(|pool| pool.network.is_ipv4()) {
        let route = machine.routes.get(pool).and_then(Option::as_ref);
        let leaves = route
            .filter(|r| !r.is_local)
            .and_then(|route| route.device.as_deref());
        if let Some(leaves) = leaves
            && leaves != arrives
            && arrives != "lo"
            && strict(arrives)
        {
            checks.push(Check::warn(
                RP_FILTER,
                format!(
                    "answers to UEs of {pool} leave by {leaves}, and net.ipv4.conf.{arrives}.rp_filter is strict: packets of UEs \
                     that arrive on {arrives} are dropped without a word"
                ),
                format!("route both ways by one interface, or set it to 2 (sysctl -w net.ipv4.conf.{arrives}.rp_filter=2)"),
            ));
        }
    }
    checks
}

/// All rules that change source addresses; `None` when nothing tells them.
fn source_nat(rules: &Ruleset) -> Option<Vec<NatRule>> {
    let saved = [(&rules.iptables, false), (&rules.ip6tables, true)];
    if rules.nft.is_none() && saved.iter().all(|(text, _)| text.is_none()) {
        return None;
    }
    let mut all = rules.nft.as_deref().map(nft_rules).unwrap_or_default();
    for (text, is_ipv6) in saved {
        for rule in iptables_rules(text.as_deref().unwrap_or_default(), is_ipv6) {
            // iptables writes into nftables: the same rule comes twice.
            let is_known = |other: &NatRule| {
                (other.source, other.destination, &other.device)
                    == (rule.source, rule.destination, &rule.device)
            };
            if !all.iter().any(is_known) {
                all.push(rule);
            }
        }
    }
    Some(all)
}

/// Rules of `iptables-save`: `-A POSTROUTING -s 10.45.0.0/16 ! -o ogstun -j MASQUERADE`.
pub(super) fn iptables_rules(text: &str, is_ipv6: bool) -> Vec<NatRule> {
    let mut table = "";
    let mut rules = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        }
        if table != "nat" || !line.starts_with("-A ") {
            continue;
        }
        let mut rule = NatRule {
            text: format!("iptables -t nat {line}"),
            is_ipv6: Some(is_ipv6),
            ..NatRule::default()
        };
        let mut is_source_nat = false;
        let mut negated = false;
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "!" => {
                    negated = true;
                    continue;
                }
                "-s" => rule.source = block(words.next(), negated),
                "-d" => rule.destination = block(words.next(), negated),
                "-o" => rule.device = words.next().map(|name| (negated, name.to_owned())),
                "-j" => {
                    is_source_nat = matches!(words.next(), Some("MASQUERADE" | "SNAT" | "NETMAP"));
                }
                _ => {}
            }
            negated = false;
        }
        if is_source_nat {
            rules.push(rule);
        }
    }
    rules
}

fn block(text: Option<&str>, negated: bool) -> Match {
    let text = text.unwrap_or_default();
    let read = text.parse().ok().or_else(|| {
        let network: IpAddr = text.parse().ok()?;
        let prefix = if network.is_ipv4() { 32 } else { 128 };
        Some(Cidr { network, prefix })
    });
    match (read, negated) {
        (Some(block), false) => Match::In(block),
        (Some(block), true) => Match::NotIn(block),
        (None, _) => Match::Unknown,
    }
}

/// Rules of `nft -j list ruleset`.
pub(super) fn nft_rules(text: &str) -> Vec<NatRule> {
    let root: Value = serde_json::from_str(text).unwrap_or_default();
    let objects = root.get("nftables").and_then(Value::as_array);
    let rules = objects.into_iter().flatten().filter_map(|o| o.get("rule"));
    rules.filter_map(nft_rule).collect()
}

fn nft_rule(rule: &Value) -> Option<NatRule> {
    let word = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    let expressions = rule.get("expr")?.as_array()?;
    let statement = expressions.iter().find_map(source_nat_statement)?;
    let (family, table, chain) = (word("family"), word("table"), word("chain"));
    let mut found = NatRule {
        is_ipv6: match family {
            "ip" => Some(false),
            "ip6" => Some(true),
            _ => None,
        },
        ..NatRule::default()
    };
    let mut said = Vec::new();
    for test in expressions.iter().filter_map(|e| e.get("match")) {
        let negated = test.get("op").and_then(Value::as_str) == Some("!=");
        let (Some(left), Some(right)) = (test.get("left"), test.get("right")) else {
            continue;
        };
        let field = left.pointer("/payload/field").and_then(Value::as_str);
        let key = left.pointer("/meta/key").and_then(Value::as_str);
        let sign = if negated { "!= " } else { "" };
        match (field, key) {
            (Some("saddr"), _) => {
                found.source = nft_block(right, negated);
                said.push(format!("saddr {sign}{}", nft_text(right)));
            }
            (Some("daddr"), _) => {
                found.destination = nft_block(right, negated);
                said.push(format!("daddr {sign}{}", nft_text(right)));
            }
            (_, Some("oifname" | "oif")) => {
                // A set of names is not looked into.
                found.device = right.as_str().map(|name| (negated, name.to_owned()));
                said.push(format!("oifname {sign}{}", nft_text(right)));
            }
            _ => {}
        }
    }
    said.push(statement);
    found.text = format!("nft table {family} {table}, chain {chain}: {}", said.join(" "));
    Some(found)
}

fn source_nat_statement(expression: &Value) -> Option<String> {
    for statement in ["masquerade", "snat"] {
        if expression.get(statement).is_some() {
            return Some(statement.to_owned());
        }
    }
    // A rule of iptables-nft that nft does not translate.
    let target = expression.pointer("/xt/name").and_then(Value::as_str)?;
    matches!(target, "MASQUERADE" | "SNAT" | "NETMAP").then(|| target.to_lowercase())
}

/// `"192.0.2.1"`, or `{"prefix": {"addr": "10.45.0.0", "len": 16}}`.
fn nft_block(value: &Value, negated: bool) -> Match {
    block(Some(&nft_text(value)), negated)
}

fn nft_text(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let prefix = value.get("prefix");
    let part = |key: &str| prefix.and_then(|prefix| prefix.get(key));
    match (part("addr").and_then(Value::as_str), part("len")) {
        (Some(address), Some(length)) => format!("{address}/{length}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
