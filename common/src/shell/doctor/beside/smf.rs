//! Engine: whether Open5GS's SMF tells handsets the address of this P-CSCF (`p-cscf` of smf.yaml, in the PCO).

use std::net::IpAddr;

use serde::Deserialize;

use super::super::check::{Check, Snippet};
use super::{Texts, gm};
use crate::config::{Cidr, ShellConfig};

const NAME: &str = "smf";

/// smf.yaml, as far as it concerns a P-CSCF.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SmfFile {
    #[serde(default)]
    smf: Option<Smf>,
}

#[derive(Debug, Default, Deserialize)]
struct Smf {
    #[serde(default, rename = "p-cscf")]
    p_cscf: Option<Texts>,
    /// Since 2.7.
    #[serde(default)]
    session: Vec<Session>,
    /// Before it.
    #[serde(default)]
    subnet: Vec<Session>,
}

#[derive(Debug, Default, Deserialize)]
struct Session {
    #[serde(default)]
    subnet: Option<String>,
    #[serde(default)]
    addr: Option<String>,
    #[serde(default, alias = "apn")]
    dnn: Option<String>,
}

impl Session {
    fn block(&self) -> Option<Cidr> {
        self.subnet.as_ref().or(self.addr.as_ref())?.parse().ok()
    }
}

/// The list of P-CSCFs against our address, and the blocks of the APN `ims` against `ue_pool`.
pub(super) fn judge(config: &ShellConfig, file: &SmfFile) -> Vec<Check> {
    let Some(gm) = gm(config) else {
        let found = "smf.yaml concerns the P-CSCF: give it to pcscf --doctor";
        return vec![Check::skipped(NAME, found)];
    };
    let Some(smf) = &file.smf else {
        return vec![Check::fail(
            NAME,
            "the file has no section `smf`",
            "give Open5GS's smf.yaml",
        )];
    };
    let mut checks = vec![told(gm, smf)];
    checks.extend(pools(config, smf));
    checks
}

fn told(gm: IpAddr, smf: &Smf) -> Check {
    let paste =
        "paste the lines below into smf.yaml, restart the SMF, and let phones attach anew (flight mode)";
    let list = smf
        .p_cscf
        .as_ref()
        .map(|texts| texts.0.as_slice())
        .unwrap_or_default();
    if list.is_empty() {
        return Check::fail(
            NAME,
            format!("smf.p-cscf is missing: handsets are not told the address of a P-CSCF, {gm}"),
            paste,
        );
    }
    let all: Vec<IpAddr> = list.iter().filter_map(|text| text.parse().ok()).collect();
    let shown = list.join(", ");
    if !all.contains(&gm) {
        let why = if all.iter().any(IpAddr::is_loopback) {
            ": a loopback address, which a handset takes for itself"
        } else if !all.iter().any(|ip| ip.is_ipv4() == gm.is_ipv4()) {
            ": only the other address family"
        } else {
            ""
        };
        return Check::fail(
            NAME,
            format!("smf.p-cscf tells handsets {shown}{why}, and this P-CSCF is at {gm}"),
            paste,
        );
    }
    let loopback = all.iter().find(|ip| ip.is_loopback());
    if let Some(other) = loopback {
        return Check::warn(
            NAME,
            format!("smf.p-cscf has {gm}, and {other} too, which a handset takes for itself"),
            format!("take {other} out of smf.p-cscf"),
        );
    }
    if gm.is_loopback() {
        return Check::fail(
            NAME,
            format!("gm.address {gm} is a loopback address, which a handset takes for itself"),
            "set pcscf.gm.address to an address that handsets reach, and smf.p-cscf to the same",
        );
    }
    if all.len() > 1 {
        let found =
            format!("smf.p-cscf tells handsets {shown}: they may choose any of these, {gm} among them");
        return Check::ok(NAME, found);
    }
    Check::ok(NAME, format!("smf.p-cscf tells handsets {gm}"))
}

/// The addresses that UEs get, where the file names them.
fn pools(config: &ShellConfig, smf: &Smf) -> Vec<Check> {
    let sessions = smf.session.iter().chain(&smf.subnet);
    // Without a name it is for all APNs.
    let of_ims = sessions.filter(|s| s.dnn.as_deref().is_none_or(|dnn| dnn.eq_ignore_ascii_case("ims")));
    let outside = of_ims.filter_map(Session::block).filter(|block| {
        let covers = |pool: &Cidr| pool.contains(block.network) && pool.prefix <= block.prefix;
        let is_spoken = config
            .sip
            .iter()
            .any(|l| l.address.is_ipv4() == block.network.is_ipv4());
        is_spoken && !config.ue_pools.iter().any(covers)
    });
    outside
        .map(|block| {
            Check::warn(
                NAME,
                format!("the SMF gives UEs addresses of {block}, which ue_pool does not have: its route is not looked at"),
                format!("add {block} to {}.ue_pool", config.name),
            )
        })
        .collect()
}

/// The lines for smf.yaml.
pub(super) fn snippet(config: &ShellConfig) -> Option<Snippet> {
    let gm = gm(config)?;
    Some(Snippet {
        file: "Open5GS: smf.yaml, in the section `smf` (replaces its list p-cscf)".to_owned(),
        text: format!("smf:\n  p-cscf:\n    - {gm}\n"),
    })
}
