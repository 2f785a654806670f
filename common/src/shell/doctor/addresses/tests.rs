//! Shell: tests of what is said about addresses and routes, and of what is found on a real machine.

use super::super::at_start;
use super::super::check::Verdict;
use super::*;
use crate::config::ListenAddress;

fn listener(address: &str) -> SipListener {
    let address: ListenAddress = address.parse().unwrap();
    SipListener::new(Interface::Gm, address, "pcscf.gm.address")
}

fn config(addresses: &[&str]) -> ShellConfig {
    ShellConfig::new("pcscf", addresses.iter().map(|a| listener(a)).collect())
}

fn run(config: &ShellConfig) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(at_start(config)).map(|_notes| ())
}

#[test]
fn an_address_that_no_interface_has_is_told_with_key_and_remedy() {
    let machine = Machine {
        device: Some("ens3".to_owned()),
        ..Machine::default()
    };
    assert_eq!(
        present(&listener("192.0.2.5"), &machine).sentence(),
        "gm.address 192.0.2.5 is on no interface of this machine; \
         add it (ip address add 192.0.2.5/24 dev ens3) or correct pcscf.gm.address"
    );
    assert_eq!(
        present(&listener("2001:db8::5"), &Machine::default()).sentence(),
        "gm.address 2001:db8::5 is on no interface of this machine; \
         add it (ip address add 2001:db8::5/64 dev eth0) or correct pcscf.gm.address"
    );
}

#[test]
fn the_kernel_is_asked_which_addresses_there_are() {
    assert_eq!(run(&config(&["127.0.1.1", "127.0.1.2:5070"])), Ok(()));
    let complaint = run(&config(&["127.0.1.1", "192.0.2.5"])).unwrap_err();
    assert!(
        complaint.starts_with("gm.address 192.0.2.5 is on no interface"),
        "{complaint}"
    );
}

#[test]
fn a_pool_of_ues_needs_a_route() {
    let mut config = config(&["127.0.1.1"]);
    config.ue_pools = vec!["127.0.1.0/24".parse().unwrap()];
    assert_eq!(run(&config), Ok(()));
    let pool = "10.45.0.0/16".parse().unwrap();
    assert_eq!(
        route("pcscf", pool, None).sentence(),
        "ue_pool 10.45.0.0/16 has no route from this machine; add it (ip route add 10.45.0.0/16 via GATEWAY, \
         the user plane's gateway) or correct pcscf.ue_pool"
    );
}

#[test]
fn the_way_to_the_ues_is_told_and_the_default_route_is_a_warning() {
    let pool = "10.45.0.0/16".parse().unwrap();
    let mut way = Route {
        device: Some("eth1".to_owned()),
        gateway: Some("192.0.2.1".parse().unwrap()),
        ..Route::default()
    };
    let check = route("pcscf", pool, Some(&way));
    assert_eq!(
        check,
        Check::ok(ROUTE, "ue_pool 10.45.0.0/16 is reached via 192.0.2.1 on eth1")
    );
    way.is_default = true;
    let check = route("pcscf", pool, Some(&way));
    assert_eq!(check.verdict, Verdict::Warn);
    assert!(
        check
            .found
            .contains("only by the default route (via 192.0.2.1 on eth1)"),
        "{check:?}"
    );
}

#[test]
fn the_unspecified_address_is_refused() {
    for (address, printed) in [
        ("0.0.0.0", "gm.address is 0.0.0.0, "),
        ("::", "gm.address is ::, "),
    ] {
        let complaint = run(&config(&[address])).unwrap_err();
        assert!(complaint.starts_with(printed), "{complaint}");
        assert!(
            complaint.contains("set pcscf.gm.address to one address"),
            "{complaint}"
        );
    }
}

#[test]
fn protected_port_where_the_kernel_applies_no_policies_refuses_to_start() {
    let mut machine = Machine::default();
    let protected = |address: &str| SipListener {
        interface: Interface::GmProtected,
        ..listener(address)
    };
    for address in ["192.0.2.5", "2001:db8::5", "192.0.2.6"] {
        machine
            .addresses
            .insert(address.parse().unwrap(), "eth0".to_owned());
    }
    machine
        .addresses
        .insert("192.0.2.6".parse().unwrap(), "lo".to_owned());
    let off =
        |name: &'static str| move |setting: &str| if setting == name { "1\n" } else { "0\n" }.to_owned();
    let verdict = |listener: &SipListener, off: &dyn Fn(&str) -> String| {
        guarded(listener, &machine, off).map(|check| check.verdict)
    };
    let in_clear = off("net/ipv4/conf/eth0/disable_xfrm");
    let refusal = guarded(&protected("192.0.2.5"), &machine, in_clear)
        .unwrap()
        .sentence();
    assert!(
        refusal.ends_with("pass; set it to 0 (sysctl -w net.ipv4.conf.eth0.disable_xfrm=0)"),
        "{refusal}"
    );
    let everywhere = off("net/ipv6/conf/all/disable_policy");
    assert_eq!(
        verdict(&protected("[2001:db8::5]"), &everywhere),
        Some(Verdict::Fail)
    );
    assert_eq!(verdict(&protected("192.0.2.5"), &everywhere), Some(Verdict::Ok));
    let everywhere = off("net/ipv4/conf/all/disable_policy");
    assert_eq!(
        verdict(&listener("192.0.2.5"), &everywhere),
        None,
        "not protected"
    );
    assert_eq!(
        verdict(&protected("192.0.2.6"), &everywhere),
        Some(Verdict::Skipped),
        "loopback"
    );
}
