//! Engine: whether the process has the rights that its configuration needs: CAP_NET_ADMIN, CAP_NET_BIND_SERVICE.

use std::net::SocketAddr;

use super::check::Check;
use crate::config::ShellConfig;
use crate::shell::xfrm::Lack;

const NAME: &str = "rights";

/// What the process may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rights {
    /// CAP_NET_ADMIN is effective.
    pub(super) net_admin: bool,
    /// CAP_NET_BIND_SERVICE is effective.
    pub(super) net_bind_service: bool,
    /// `net.ipv4.ip_unprivileged_port_start`: ports from here on need no right.
    pub(super) unprivileged_port_start: u16,
}

/// What is needed of them, each with what it is needed for.
pub(super) fn judge(config: &ShellConfig, rights: Rights) -> Vec<Check> {
    let mut checks = Vec::new();
    if config.protected.is_some() {
        checks.push(match rights.net_admin {
            true => Check::ok(
                NAME,
                "CAP_NET_ADMIN is effective: security associations may be installed",
            ),
            false => {
                let lack = Lack::not_permitted();
                Check::fail(NAME, lack.found.clone(), lack.choices())
            }
        });
    }
    let low: Vec<SocketAddr> = low_ports(config, rights.unprivileged_port_start);
    if let Some(address) = low.first() {
        checks.push(match rights.net_bind_service {
            true => Check::ok(NAME, format!("CAP_NET_BIND_SERVICE is effective, for {address}")),
            false => Check::fail(
                NAME,
                format!("CAP_NET_BIND_SERVICE is missing, and {address} has a port below {}", rights.unprivileged_port_start),
                "grant it (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; container: cap_add NET_BIND_SERVICE) or choose \
                 another port",
            ),
        });
    }
    if checks.is_empty() {
        checks.push(Check::ok(NAME, "no right beyond those of any user is needed"));
    }
    checks
}

fn low_ports(config: &ShellConfig, start: u16) -> Vec<SocketAddr> {
    let sip = config.sip.iter().map(|listener| listener.address);
    let all = sip.chain(config.diameter_listen);
    all.filter(|address| (1..start).contains(&address.port()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::protected;
    use super::*;
    use crate::config::{ListenAddress, SipListener};
    use crate::net::Interface;
    use crate::shell::doctor::check::Verdict;

    const NONE: Rights = Rights {
        net_admin: false,
        net_bind_service: false,
        unprivileged_port_start: 1_024,
    };

    fn config(address: &str) -> ShellConfig {
        let address: ListenAddress = address.parse().unwrap();
        ShellConfig::new(
            "pcscf",
            vec![SipListener::new(Interface::Gm, address, "pcscf.gm.address")],
        )
    }

    #[test]
    fn without_ipsec_and_low_ports_no_right_is_needed() {
        let [check] = judge(&config("192.0.2.5"), NONE).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Ok);
    }

    #[test]
    fn ipsec_without_cap_net_admin_fails_and_says_how_to_grant_it() {
        let mut config = config("192.0.2.5");
        config.protected = Some(protected("192.0.2.5:6101"));
        let [check] = judge(&config, NONE).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(
            check.sentence().starts_with("CAP_NET_ADMIN is missing"),
            "{check:?}"
        );
        assert!(
            check.remedy.contains("AmbientCapabilities=CAP_NET_ADMIN"),
            "{check:?}"
        );
        let rights = Rights {
            net_admin: true,
            ..NONE
        };
        let [check] = judge(&config, rights).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Ok);
    }

    #[test]
    fn a_low_port_needs_cap_net_bind_service_unless_the_kernel_gives_it_to_all() {
        let low = config("192.0.2.5:506");
        let [check] = judge(&low, NONE).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(
            check.found.contains("192.0.2.5:506 has a port below 1024"),
            "{check:?}"
        );
        let open = Rights {
            unprivileged_port_start: 0,
            ..NONE
        };
        let [check] = judge(&low, open).try_into().unwrap();
        assert_eq!(check.verdict, Verdict::Ok);
    }
}
