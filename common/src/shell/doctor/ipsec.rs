//! Engine: whether the kernel's IPsec serves the configuration, and who else uses it on this machine.

use super::check::Check;
use super::ports::Holder;
use crate::ipsec::ProtectedPorts;
use crate::shell::xfrm::{Lack, Trial};

const IPSEC: &str = "ipsec";
const IKE: &str = "ike";
/// Programs that negotiate security associations and install policies.
pub(super) const IKE_DAEMONS: [&str; 8] = [
    "charon",
    "charon-systemd",
    "charon-nm",
    "pluto",
    "iked",
    "racoon",
    "starter",
    "isakmpd",
];

/// What the trial of the kernel has shown. Whether our own daemon runs decides what states with our mark are.
pub(super) fn judge(ports: &ProtectedPorts, trial: &Result<Trial, Lack>, is_running: bool) -> Vec<Check> {
    let trial = match trial {
        Ok(trial) => trial,
        Err(lack) => return vec![failed(lack)],
    };
    let mut checks = Vec::new();
    for lack in &trial.lacks {
        let check = failed(lack);
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
    if checks.is_empty() {
        let found = format!("the kernel has ESP and all {} configured algorithms", trial.tried);
        checks.push(Check::ok(IPSEC, found));
    }
    checks.extend(own(ports, trial, is_running));
    checks.extend(foreign(ports, trial));
    checks
}

fn failed(lack: &Lack) -> Check {
    Check::fail(IPSEC, lack.found.clone(), lack.choices())
}

fn own(ports: &ProtectedPorts, trial: &Trial, is_running: bool) -> Option<Check> {
    let (states, policies) = (trial.own_states, trial.own_policies);
    match (states + policies, is_running) {
        (0, _) => None,
        (_, true) => Some(Check::ok(
            IPSEC,
            format!(
                "{states} states and {policies} policies with reqid {} are of the daemon that runs",
                ports.reqid
            ),
        )),
        (_, false) => Some(Check::warn(
            IPSEC,
            format!(
                "{states} states and {policies} policies with reqid {} are stale: of a previous run",
                ports.reqid
            ),
            "nothing to do: the next start cleans them, and each state has a lifetime of its own",
        )),
    }
}

pub(super) fn foreign(ports: &ProtectedPorts, trial: &Trial) -> Vec<Check> {
    let mut checks = Vec::new();
    if trial.marked_elsewhere > 0 {
        checks.push(Check::warn(
            IPSEC,
            format!(
                "{} states of other addresses bear our reqid {}: another P-CSCF of this host has the same mark",
                trial.marked_elsewhere, ports.reqid
            ),
            "give each P-CSCF of a host its own ipsec.reqid",
        ));
    }
    if trial.foreign_states > 0 {
        checks.push(Check::warn(
            IPSEC,
            format!(
                "{} security associations of another program end at our addresses: an SPI that it has cannot be ours",
                trial.foreign_states
            ),
            "let no other P-CSCF or IKE daemon use these addresses (ip xfrm state), or move one of them to another address",
        ));
    }
    if trial.foreign_policies > 0 {
        checks.push(Check::warn(
            IPSEC,
            format!(
                "{} IPsec policies of another program cover our protected ports",
                trial.foreign_policies
            ),
            format!(
                "see `ip xfrm policy`: remove them, choose other ports, or an ipsec.priority lower than theirs (ours is {})",
                ports.priority
            ),
        ));
    }
    checks
}

/// Another IKE daemon: by its process, or by who has UDP port 500 or 4500.
pub(super) fn ike(holders: &[Holder]) -> Check {
    let Some(first) = holders.first() else {
        return Check::ok(IKE, "no IKE daemon runs here");
    };
    Check::warn(
        IKE,
        format!("another IKE daemon is here: {first}"),
        "it and the P-CSCF share the kernel's IPsec: keep its traffic selectors off the Gm address and the protected ports, \
         and its reqids off ipsec.reqid; stop it if nothing needs it",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::protected;
    use super::*;
    use crate::shell::doctor::check::Verdict;

    fn words(checks: &[Check]) -> Vec<(Verdict, String)> {
        checks.iter().map(|c| (c.verdict, c.sentence())).collect()
    }

    #[test]
    fn a_kernel_that_has_everything_is_ok() {
        let trial = Trial {
            tried: 8,
            ..Trial::default()
        };
        let said = words(&judge(&protected("192.0.2.5:6101"), &Ok(trial), false));
        assert_eq!(
            said,
            [(
                Verdict::Ok,
                "the kernel has ESP and all 8 configured algorithms".to_owned()
            )]
        );
    }

    #[test]
    fn each_lack_is_told_once_and_fails() {
        let lack = Lack {
            found: "this kernel has no ESP over IPv4".to_owned(),
            remedy: "load its module".to_owned(),
            instead: "set gm.security to none".to_owned(),
        };
        let trial = Trial {
            tried: 2,
            lacks: vec![lack.clone(), lack],
            ..Trial::default()
        };
        let said = words(&judge(&protected("192.0.2.5:6101"), &Ok(trial), false));
        assert_eq!(
            said,
            [(
                Verdict::Fail,
                "this kernel has no ESP over IPv4; load its module or set gm.security to none".to_owned()
            )]
        );
    }

    #[test]
    fn states_with_our_mark_are_of_the_daemon_that_runs_or_stale() {
        let trial = Trial {
            own_states: 8,
            own_policies: 11,
            ..Trial::default()
        };
        let ports = protected("192.0.2.5:6101");
        let running = judge(&ports, &Ok(trial.clone()), true);
        assert_eq!(running[1].verdict, Verdict::Ok);
        let stale = judge(&ports, &Ok(trial), false);
        assert_eq!(stale[1].verdict, Verdict::Warn);
        assert_eq!(
            stale[1].found,
            "8 states and 11 policies with reqid 33203 are stale: of a previous run"
        );
    }

    #[test]
    fn what_others_have_in_the_kernel_is_a_warning_each() {
        let trial = Trial {
            marked_elsewhere: 4,
            foreign_states: 2,
            foreign_policies: 1,
            ..Trial::default()
        };
        let checks = judge(&protected("192.0.2.5:6101"), &Ok(trial), true);
        let [_, others @ ..] = checks.as_slice() else {
            panic!()
        };
        assert!(others.iter().all(|c| c.verdict == Verdict::Warn), "{others:?}");
        assert!(
            others[0].sentence().contains("reqid 33203") && others[0].remedy.contains("ipsec.reqid"),
            "{others:?}"
        );
        assert_eq!(others.len(), 3);
    }

    #[test]
    fn another_ike_daemon_is_named() {
        let holder = Holder {
            pid: 812,
            name: "charon".to_owned(),
            config: None,
        };
        let check = ike(&[holder]);
        assert_eq!(check.verdict, Verdict::Warn);
        assert_eq!(check.found, "another IKE daemon is here: charon (pid 812)");
        assert_eq!(ike(&[]).verdict, Verdict::Ok);
    }
}
