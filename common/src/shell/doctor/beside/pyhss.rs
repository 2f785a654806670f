//! Engine: whether PyHSS's config.yaml fits: realm, transport, the name of the S-CSCF that it hands out.

use serde::Deserialize;

use super::super::check::{Check, Snippet};
use super::Texts;
use crate::config::{DIAMETER_PORT, HssSurroundings, SCTP_SCHEME, ShellConfig};

const NAME: &str = "pyhss";

/// config.yaml, as far as it concerns Cx.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PyhssFile {
    #[serde(default)]
    hss: Option<Hss>,
}

#[derive(Debug, Default, Deserialize)]
struct Hss {
    #[serde(default)]
    transport: Option<String>,
    #[serde(default)]
    bind_ip: Option<Texts>,
    #[serde(default)]
    bind_port: Option<u16>,
    #[serde(default, rename = "OriginHost")]
    origin_host: Option<String>,
    #[serde(default, rename = "MCC")]
    mcc: Option<Texts>,
    #[serde(default, rename = "MNC")]
    mnc: Option<Texts>,
    #[serde(default)]
    scscf_pool: Option<Texts>,
}

impl Hss {
    /// The realm that it writes into identities, whatever realm is asked for.
    fn realm(&self) -> Option<String> {
        let digits = |texts: &Option<Texts>| {
            let text = texts.as_ref()?.0.first()?;
            text.chars().all(|c| c.is_ascii_digit()).then(|| text.clone())
        };
        let (mcc, mnc) = (digits(&self.mcc)?, digits(&self.mnc)?);
        Some(format!("ims.mnc{mnc:0>3}.mcc{mcc:0>3}.3gppnetwork.org"))
    }
}

/// What differs.
pub(super) fn judge(config: &ShellConfig, file: &PyhssFile) -> Vec<Check> {
    let Some(own) = &config.surroundings.hss else {
        let found = "PyHSS concerns I-CSCF and S-CSCF: give its file to icscf --doctor and scscf --doctor";
        return vec![Check::skipped(NAME, found)];
    };
    let Some(hss) = &file.hss else {
        return vec![Check::fail(
            NAME,
            "the file has no section `hss`",
            "give PyHSS's config.yaml",
        )];
    };
    let mut checks = Vec::new();
    checks.extend(realm(config, hss));
    checks.extend(transport(own, hss));
    checks.extend(pool(config, hss));
    checks.extend(same_name(own, hss));
    if checks.is_empty() {
        checks.push(Check::ok(
            NAME,
            "realm, transport and S-CSCF name fit this configuration",
        ));
    }
    if own.in_flight > 1 {
        let found = "PyHSS 1.0 loses the second of two messages that arrive together: set cx.in_flight to 1 for it (2.0 needs no such)";
        checks.push(Check::ok(NAME, found));
    }
    checks
}

fn realm(config: &ShellConfig, hss: &Hss) -> Option<Check> {
    let home = &config.surroundings.home_realm;
    let realm = hss.realm().filter(|realm| !realm.eq_ignore_ascii_case(home))?;
    Some(Check::fail(
        NAME,
        format!("its MCC and MNC make identities of {realm}, and home_realm is {home}"),
        format!(
            "correct MCC and MNC there, or set {}.home_realm to {realm}",
            config.name
        ),
    ))
}

fn transport(own: &HssSurroundings, hss: &Hss) -> Vec<Check> {
    let mut checks = Vec::new();
    let wants_sctp = hss
        .transport
        .as_deref()
        .is_some_and(|t| t.eq_ignore_ascii_case("sctp"));
    let dials_sctp = |peer: &String| peer.starts_with(SCTP_SCHEME);
    if !own.peers.is_empty() && !own.peers.iter().any(|peer| dials_sctp(peer) == wants_sctp) {
        let (theirs, ours) = if wants_sctp {
            ("SCTP", "TCP")
        } else {
            ("TCP", "SCTP")
        };
        checks.push(Check::fail(
            NAME,
            format!("it listens on {theirs} (transport), and hss.peers dials {ours}"),
            format!("set transport there to {ours}, or put {SCTP_SCHEME} before the address in hss.peers where it is SCTP"),
        ));
    }
    let port = hss.bind_port.unwrap_or(DIAMETER_PORT);
    let ends_so = |peer: &String| peer.ends_with(&format!(":{port}"));
    if !own.peers.is_empty() && !own.peers.iter().any(ends_so) {
        checks.push(Check::fail(
            NAME,
            format!(
                "it listens on port {port} (bind_port), and hss.peers is {}",
                own.peers.join(", ")
            ),
            "make the ports the same",
        ));
    }
    let binds = hss
        .bind_ip
        .as_ref()
        .map(|texts| texts.0.as_slice())
        .unwrap_or_default();
    let is_loopback = |text: &String| text.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let dials_loopback = |peer: &String| peer.trim_start_matches(SCTP_SCHEME).starts_with("127.");
    if !binds.is_empty() && binds.iter().all(is_loopback) && !own.peers.iter().any(dials_loopback) {
        checks.push(Check::fail(
            NAME,
            format!(
                "it listens on {} only (bind_ip), and hss.peers is {}",
                binds.join(", "),
                own.peers.join(", ")
            ),
            "set bind_ip to an address that this node reaches",
        ));
    }
    checks
}

/// The name that it hands to I-CSCFs for users without an S-CSCF; `sip:` may be missing.
fn pool(config: &ShellConfig, hss: &Hss) -> Option<Check> {
    let names = &config.surroundings.server_names;
    let pool = hss.scscf_pool.as_ref().map(|texts| texts.0.as_slice())?;
    let bare = |name: &str| {
        let bare = name.trim_start_matches("sip:");
        bare.strip_suffix(":5060").unwrap_or(bare).to_ascii_lowercase()
    };
    let known = pool
        .iter()
        .any(|name| names.iter().any(|own| bare(own) == bare(name)));
    if known || names.is_empty() || pool.is_empty() {
        return None;
    }
    Some(Check::fail(
        NAME,
        format!(
            "its scscf_pool hands out {}, and the S-CSCF here is {}",
            pool.join(", "),
            names.join(", ")
        ),
        "paste the lines below into config.yaml, or name the S-CSCF as there",
    ))
}

fn same_name(own: &HssSurroundings, hss: &Hss) -> Option<Check> {
    let theirs = hss
        .origin_host
        .as_ref()
        .filter(|host| host.eq_ignore_ascii_case(&own.origin_host))?;
    Some(Check::fail(
        NAME,
        format!("its OriginHost is {theirs}, and so is our hss.origin_host"),
        "give hss.origin_host a name of this node's own",
    ))
}

/// The lines for config.yaml.
pub(super) fn snippet(config: &ShellConfig) -> Option<Snippet> {
    use std::fmt::Write as _;
    config.surroundings.hss.as_ref()?;
    let mut text = "hss:\n".to_owned();
    // `ims.mnc001.mcc001.3gppnetwork.org`
    let part = |key: &str| {
        let labels = config.surroundings.home_realm.split('.');
        let mut digits = labels.filter_map(|label| label.strip_prefix(key));
        digits
            .next()
            .filter(|d| d.len() == 3 && d.chars().all(|c| c.is_ascii_digit()))
            .map(str::to_owned)
    };
    if let (Some(mcc), Some(mnc)) = (part("mcc"), part("mnc")) {
        let _ = writeln!(text, "  MCC: \"{mcc}\"\n  MNC: \"{mnc}\"");
    }
    if !config.surroundings.server_names.is_empty() {
        let _ = writeln!(text, "  scscf_pool:");
    }
    for name in &config.surroundings.server_names {
        let _ = writeln!(text, "    - \"{name}\"");
    }
    Some(Snippet {
        file: "PyHSS: config.yaml, in the section `hss`".to_owned(),
        text,
    })
}
