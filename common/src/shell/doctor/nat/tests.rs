//! Test: rules that rewrite addresses are found in what nft and iptables-save print, and judged for two directions.

use super::*;
use crate::config::{ListenAddress, SipListener};
use crate::shell::doctor::check::Verdict;
use crate::shell::doctor::machine::Route;

/// The rule that the quick start of Open5GS has its users type.
const OPEN5GS: &str =
    "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.45.0.0/16 ! -o ogstun -j MASQUERADE\nCOMMIT\n";
/// The same as nft prints it.
const OPEN5GS_NFT: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
  {"table": {"family": "ip", "name": "nat", "handle": 1}},
  {"chain": {"family": "ip", "table": "nat", "name": "POSTROUTING", "handle": 1, "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}},
  {"rule": {"family": "ip", "table": "nat", "chain": "POSTROUTING", "handle": 2, "expr": [
    {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.45.0.0", "len": 16}}}},
    {"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "ogstun"}},
    {"counter": {"packets": 0, "bytes": 0}}, {"masquerade": null}]}}]}"#;

fn config() -> ShellConfig {
    let address: ListenAddress = "192.0.2.5".parse().unwrap();
    let mut config = ShellConfig::new(
        "pcscf",
        vec![SipListener::new(Interface::Gm, address, "pcscf.gm.address")],
    );
    config.ue_pools = vec!["10.45.0.0/16".parse().unwrap()];
    config
}

fn machine(gm_is_here: bool) -> Machine {
    let mut machine = Machine::default();
    if gm_is_here {
        machine
            .addresses
            .insert("192.0.2.5".parse().unwrap(), "eth0".to_owned());
    }
    let route = Route {
        device: Some("eth1".to_owned()),
        ..Route::default()
    };
    machine
        .routes
        .insert("10.45.0.0/16".parse().unwrap(), Some(route));
    machine
}

fn iptables(text: &str) -> Ruleset {
    Ruleset {
        iptables: Some(text.to_owned()),
        ..Ruleset::default()
    }
}

fn of_nat(machine: &Machine, rules: &Ruleset) -> Vec<Check> {
    judge(&config(), machine, rules, |_| "0\n".to_owned())
}

#[test]
fn masquerade_of_the_ue_pool_on_the_way_to_the_p_cscf_is_told_with_its_rule() {
    for rules in [
        iptables(OPEN5GS),
        Ruleset {
            nft: Some(OPEN5GS_NFT.to_owned()),
            ..Ruleset::default()
        },
    ] {
        let [check] = of_nat(&machine(false), &rules).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(
            check
                .found
                .starts_with("UE pool 10.45.0.0/16 is NATed between UPF and P-CSCF by this machine: "),
            "{check:?}"
        );
        assert!(check.remedy.starts_with("remove masquerade"), "{check:?}");
        // Where the UEs' packets end on this machine it does not meet them.
        let [check] = of_nat(&machine(true), &rules).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Ok, "{check:?}");
    }
}

#[test]
fn both_programs_tell_one_rule_once() {
    let both = Ruleset {
        nft: Some(OPEN5GS_NFT.to_owned()),
        ..iptables(OPEN5GS)
    };
    assert_eq!(of_nat(&machine(false), &both).len(), 1);
}

#[test]
fn masquerade_of_all_that_leaves_rewrites_what_the_p_cscf_sends() {
    let all = iptables("*nat\n-A POSTROUTING -o eth1 -j MASQUERADE\nCOMMIT\n");
    let [check] = of_nat(&machine(true), &all).try_into().unwrap();
    assert_eq!(check.verdict, Verdict::Warn);
    assert!(
        check
            .found
            .contains("another source address: iptables -t nat -A POSTROUTING -o eth1"),
        "{check:?}"
    );
    let other = iptables("*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n");
    assert_eq!(of_nat(&machine(true), &other)[0].verdict, Verdict::Ok);
    let docker = iptables("*nat\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\nCOMMIT\n");
    assert_eq!(of_nat(&machine(true), &docker)[0].verdict, Verdict::Ok);
    let spared = iptables("*nat\n-A POSTROUTING ! -d 10.0.0.0/8 -o eth1 -j SNAT --to-source 192.0.2.9\n");
    assert_eq!(of_nat(&machine(true), &spared)[0].verdict, Verdict::Ok);
}

#[test]
fn rules_that_change_no_source_and_nonsense_are_passed_over() {
    assert!(
        iptables_rules(
            "*filter\n-A INPUT -j MASQUERADE\n*nat\n-A PREROUTING -j DNAT\n",
            false
        )
        .is_empty()
    );
    assert!(nft_rules("no JSON").is_empty());
    assert!(nft_rules(r#"{"nftables": [{"rule": {"expr": 7}}, {"rule": 1}, 3]}"#).is_empty());
}

#[test]
fn without_programs_that_tell_the_rules_the_check_is_skipped() {
    let [check] = of_nat(&machine(true), &Ruleset::default()).try_into().unwrap();
    assert_eq!(check.verdict, Verdict::Skipped);
}

#[test]
fn a_bridge_of_docker_is_a_warning_in_a_container_and_beside_it() {
    let mut beside = machine(true);
    beside
        .addresses
        .insert("192.0.2.5".parse().unwrap(), "br-0123456789ab".to_owned());
    assert!(docker("192.0.2.5".parse().unwrap(), &beside).is_some());
    let gm = "172.22.0.21".parse().unwrap();
    let mut inside = Machine::default();
    inside.addresses.insert(gm, "eth0".to_owned());
    assert_eq!(docker(gm, &inside), None, "a network of somebody's own");
    inside.container = true;
    let check = docker(gm, &inside).unwrap();
    assert!(check.remedy.contains("network_mode: host"), "{check:?}");
}

#[test]
fn strict_reverse_path_filters_are_told_where_answers_leave_by_another_interface() {
    let strict = |setting: &str| if setting.contains("/eth0/") { "1\n" } else { "0\n" }.to_owned();
    let rules = iptables("");
    let checks = judge(&config(), &machine(true), &rules, strict);
    assert_eq!(
        checks[1].sentence(),
        "answers to UEs of 10.45.0.0/16 leave by eth1, and net.ipv4.conf.eth0.rp_filter is strict: packets of UEs that arrive \
         on eth0 are dropped without a word; route both ways by one interface, or set it to 2 (sysctl -w \
         net.ipv4.conf.eth0.rp_filter=2)"
    );
    let loose = |setting: &str| if setting.contains("/eth0/") { "1\n" } else { "2\n" }.to_owned();
    assert_eq!(judge(&config(), &machine(true), &rules, loose).len(), 1);
}
