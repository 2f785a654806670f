//! Shell: a look at the kernel's IPsec that changes nothing: what it can do, and whose states and policies are there.

use super::message::{SeenPolicy, SeenState, dump_policies, dump_states};
use super::netlink::Netlink;
use super::start::{Lack, may_ask, probe, wanted};
use crate::ipsec::ProtectedPorts;

/// What was seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Trial {
    /// Pairs of algorithms that were tried, each over each family.
    pub(crate) tried: usize,
    /// What the configuration needs and the kernel lacks.
    pub(crate) lacks: Vec<Lack>,
    /// States with our mark at our addresses: of the daemon that runs, or left by one that crashed.
    pub(crate) own_states: usize,
    /// Policies of ours.
    pub(crate) own_policies: usize,
    /// States with our mark between other addresses: another P-CSCF of this host has the same `ipsec.reqid`.
    pub(crate) marked_elsewhere: usize,
    /// States of others that end at our addresses: their SPIs and ours are one space.
    pub(crate) foreign_states: usize,
    /// Policies of others that packets of our protected ports meet.
    pub(crate) foreign_policies: usize,
}

impl Trial {
    /// Tries each pair of algorithms with a state of its own, which is deleted at once, and lists the rest.
    ///
    /// # Errors
    /// The kernel may not be asked.
    pub(crate) fn of(ports: &ProtectedPorts) -> Result<Self, Lack> {
        let mut netlink = Netlink::open().map_err(|error| Lack::no_netlink(&error))?;
        let mut trial = Self::listed(&mut netlink, ports)?;
        for (suite, is_ipv4) in wanted(ports) {
            trial.tried += 1;
            if let Err(lack) = probe(&mut netlink, ports, suite, is_ipv4) {
                trial.lacks.push(lack);
            }
        }
        Ok(trial)
    }

    /// Only lists.
    ///
    /// # Errors
    /// The kernel may not be asked.
    pub(crate) fn look(ports: &ProtectedPorts) -> Result<Self, Lack> {
        let mut netlink = Netlink::open().map_err(|error| Lack::no_netlink(&error))?;
        Self::listed(&mut netlink, ports)
    }

    fn listed(netlink: &mut Netlink, ports: &ProtectedPorts) -> Result<Self, Lack> {
        may_ask(netlink)?;
        let mut trial = Self::default();
        let mut policies = (0, 0);
        // The first list has just succeeded; one that is cut short counts less.
        let _ = netlink.dump(dump_policies(), |body| match SeenPolicy::parse(body) {
            Some(policy) if policy.is_ours(ports) => policies.0 += 1,
            Some(policy) if policy.meets(ports) => policies.1 += 1,
            Some(_) | None => {}
        });
        (trial.own_policies, trial.foreign_policies) = policies;
        let _ = netlink.dump(dump_states(), |body| {
            let Some(state) = SeenState::parse(body) else {
                return;
            };
            if state.is_ours(ports) {
                trial.own_states += 1;
            } else if state.reqid == ports.reqid {
                trial.marked_elsewhere += 1;
            } else if ports
                .local
                .iter()
                .any(|local| local.ip() == state.key.destination)
            {
                trial.foreign_states += 1;
            }
        });
        Ok(trial)
    }
}
