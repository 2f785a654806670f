//! Shell: a site of its own on loopback (HSS and the three daemons), loaded, measured, and stopped.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Plan, Report, run};
use crate::daemons::{Daemon, Daemons, binaries, fresh_directory};
use crate::site::{HOME, Site};

/// Runs a plan against a fresh site on 127.0.77.0/24; the plan's P-CSCF is not asked.
///
/// # Errors
/// When a daemon does not start or end well.
pub fn bench(plan: &Plan) -> Result<Report> {
    let site = Site {
        // Loopback has one of 65536, and nobody who knows that would take TCP for a REGISTER.
        mw_path_mtu: Some(u16::MAX),
        ..Site::on_network([127, 0, 77])
    };
    let directory = fresh_directory()?;
    let config = directory.join("hss.yaml");
    let keys: String = [("k", &plan.k), ("opc", &plan.opc)]
        .iter()
        .filter_map(|(name, value)| Some(format!(", {name}: \"{}\"", value.as_ref()?)))
        .collect();
    let text = format!(
        "hss:\n  listen: {}\n  origin_host: hss.{HOME}\n  origin_realm: {HOME}\n  \
         range: {{first_imsi: \"{:015}\", count: {}{keys}}}\n",
        site.hss, plan.first_imsi, plan.users
    );
    fs::write(&config, text)?;
    let programs = binaries()?;
    let mut hss = Daemon::start("hss", &programs.join("hss"), &config)?;
    hss.wait_ready()?;
    let mut daemons = Daemons::start(&site, &programs)?;
    let mut plan = Plan {
        pcscf: site.gm,
        ..plan.clone()
    };
    for daemon in daemons.all.iter().chain([&hss]) {
        plan.watch.push(format!("{}={}", daemon.name(), daemon.pid()));
    }
    let report = run(&plan).with_context(|| daemons.tails(5));
    let stopped = daemons.stop().and_then(|()| hss.stop());
    let _ = fs::remove_dir_all(directory);
    let report = report?;
    stopped?;
    Ok(report)
}
