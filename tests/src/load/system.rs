//! Shell: the systems that are measured, each of P-, I- and S-CSCF with the embedded HSS, on loopback.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::phone::NUMBER_PREFIX;
use super::{Plan, Scenario, kamailio, relay, run, stub};
use crate::daemons::{Daemon, Daemons, binaries, fresh_directory};
use crate::site::{HOME, Site};

/// How long a system may take to register its first phone.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address of the first phone.
const PROBE: Ipv4Addr = Ipv4Addr::new(127, 250, 0, 1);

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// The three daemons of this repository.
    Ours,
    /// The same that keep nothing for whoever asks why.
    Quiet,
    /// The same that send copies of all messages to a capture server, and write charging data records.
    Observed,
    /// Our P-CSCF alone: in the place of the home network, a thread of the load program challenges and accepts everybody.
    Pcscf,
    /// Our S-CSCF alone, with the HSS: phones speak to it as an I-CSCF would.
    Scscf,
    /// Kamailio's IMS modules with the configuration in tests/benchmarks/kamailio and its fast allocator (`-x fm`).
    Kamailio,
    /// The same with the allocator that Debian's package chooses, which checks every block.
    KamailioDefault,
}

impl System {
    /// The network of its addresses.
    const fn network(self) -> [u8; 3] {
        match self {
            Self::Ours | Self::Quiet | Self::Observed | Self::Pcscf | Self::Scscf => [127, 0, 77],
            Self::Kamailio | Self::KamailioDefault => [127, 7, 79],
        }
    }
}

/// The CSCFs as reports call them.
pub(super) const NODES: [&str; 3] = ["pcscf", "icscf", "scscf1"];

/// A system that runs. All of its processes are killed when this value goes away.
pub(super) struct Running {
    cscfs: Daemons,
    hss: Daemon,
    directory: PathBuf,
    /// Where copies of messages go, and nobody reads them.
    _sink: Option<UdpSocket>,
    gm: SocketAddr,
    is_ours: bool,
}

impl Running {
    /// Starts a system whose HSS knows the users of the plan, and registers one user more.
    pub(super) fn start(system: System, plan: &Plan) -> Result<Self> {
        Self::start_site(system, Site::on_network(system.network()), plan)
    }

    /// The same with these addresses.
    pub(super) fn start_site(system: System, mut site: Site, plan: &Plan) -> Result<Self> {
        // Loopback has one of 65536, and nobody who knows that would take TCP for a REGISTER.
        site.mw_path_mtu = Some(u16::MAX);
        let mut common = format!("  shards: {}\n", plan.shards);
        if system == System::Quiet {
            common.push_str("  why: {stories: 0}\n");
        }
        let mut sink = None;
        if system == System::Observed {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            common.push_str(&format!(
                "  export: {{hep: {{collector: \"{}\"}}}}\n",
                socket.local_addr()?
            ));
            sink = Some(socket);
            let records = fresh_directory()?;
            site.scscf_more
                .push_str(&format!("  cdr: {{directory: {}}}\n", records.display()));
        }
        for more in [&mut site.pcscf_more, &mut site.icscf_more, &mut site.scscf_more] {
            more.push_str(&common);
        }
        let directory = fresh_directory()?;
        let config = directory.join("hss.yaml");
        fs::write(&config, hss_file(system, &site, plan))?;
        if plan.app_servers > 0 {
            relay::start_app_servers(&app_servers(&site, plan), site.scscf())?;
        }
        let programs = binaries()?;
        let mut hss = Daemon::start("hss", &programs.join("hss"), &config)?;
        hss.wait_ready()?;
        let cscfs = match system {
            System::Ours | System::Quiet | System::Observed => Daemons::start(&site, &programs)?,
            System::Pcscf => {
                stub::start(site.icscf)?;
                Daemons::start_some(&site, &programs, &["pcscf"])?
            }
            System::Scscf => Daemons::start_some(&site, &programs, &["scscf1"])?,
            System::Kamailio => kamailio::start(&site, &["-x", "fm"])?,
            System::KamailioDefault => kamailio::start(&site, &[])?,
        };
        let running = Self {
            cscfs,
            hss,
            directory,
            _sink: sink,
            gm: match system {
                System::Scscf => site.scscf(),
                System::Ours
                | System::Quiet
                | System::Observed
                | System::Pcscf
                | System::Kamailio
                | System::KamailioDefault => site.gm,
            },
            is_ours: !matches!(system, System::Kamailio | System::KamailioDefault),
        };
        running.wait(plan)?;
        Ok(running)
    }

    /// The plan for this system.
    pub(super) fn plan(&self, plan: &Plan) -> Plan {
        let mut plan = Plan {
            pcscf: self.gm,
            ..plan.clone()
        };
        for daemon in self.cscfs.all.iter().chain([&self.hss]) {
            plan.watch.push(format!("{}={}", daemon.name(), daemon.pid()));
        }
        plan
    }

    /// Kills the S-CSCF and starts it again.
    pub(super) fn restart_scscf(&mut self) -> Result<()> {
        self.cscfs.get("scscf1").restart()
    }

    /// The last lines of all logs.
    pub(super) fn tails(&self) -> String {
        self.cscfs.tails(5)
    }

    /// Ends all; ours has to end well.
    pub(super) fn stop(mut self) -> Result<()> {
        if self.is_ours {
            self.cscfs.stop()?;
            self.hss.stop()?;
        }
        Ok(())
    }

    /// Waits until the user after the last one of the plan can register.
    fn wait(&self, plan: &Plan) -> Result<()> {
        let probe = Plan {
            pcscf: self.gm,
            base: PROBE,
            addresses: 1,
            first_imsi: plan.first_imsi + u64::from(plan.users),
            users: 1,
            operations: Some(1),
            scenario: Scenario::Register,
            patience: 1,
            window: None,
            ipsec: false,
            settle: 0,
            ..plan.clone()
        };
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if run(&probe)?.succeeded == 1 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("the system does not register a phone:\n{}", self.tails())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn hss_file(system: System, site: &Site, plan: &Plan) -> String {
    let keys: String = [("k", &plan.k), ("opc", &plan.opc)]
        .iter()
        .filter_map(|(name, value)| Some(format!(", {name}: \"{}\"", value.as_ref()?)))
        .collect();
    let origin_host = match system {
        System::Ours | System::Quiet | System::Observed | System::Pcscf | System::Scscf => {
            format!("hss.{HOME}")
        }
        // Kamailio connects to what the resolver makes of the name.
        System::Kamailio | System::KamailioDefault => site.hss.ip().to_string(),
    };
    let talk = match plan.scenario.talk() {
        Some(_) => {
            let criteria = criteria(site, plan);
            format!(", msisdn_prefix: \"{NUMBER_PREFIX}\", ifcs: '{criteria}'")
        }
        None => String::new(),
    };
    format!(
        "hss:\n  listen: {}\n  origin_host: \"{origin_host}\"\n  origin_realm: {HOME}\n  \
         range: {{first_imsi: \"{:015}\", count: {}{keys}{talk}}}\n",
        site.hss,
        plan.first_imsi,
        plan.users + 1
    )
}

/// One for each application server in the way.
fn app_servers(site: &Site, plan: &Plan) -> Vec<SocketAddr> {
    let mut next = site.gm;
    (0..plan.app_servers)
        .map(|index| {
            let IpAddr::V4(ip) = site.gm.ip() else {
                return next;
            };
            next.set_ip(Ipv4Addr::from_bits(ip.to_bits() + 100 + index).into());
            next
        })
        .collect()
}

/// Criteria that look at each INVITE and MESSAGE of the caller: those that do not match, then those of the application
/// servers.
fn criteria(site: &Site, plan: &Plan) -> String {
    let spt = |group: u32, condition: &str| {
        format!("<SPT><ConditionNegated>0</ConditionNegated><Group>{group}</Group>{condition}</SPT>")
    };
    let methods = ["INVITE", "MESSAGE"].map(|method| spt(0, &format!("<Method>{method}</Method>")));
    let originating = spt(1, "<SessionCase>0</SessionCase>");
    let of = |priority: u32, more: &str, server: SocketAddr| {
        format!(
            "<InitialFilterCriteria><Priority>{priority}</Priority><TriggerPoint>\
             <ConditionTypeCNF>1</ConditionTypeCNF>{methods}{originating}{more}</TriggerPoint>\
             <ApplicationServer><ServerName>sip:{server}</ServerName><DefaultHandling>1</DefaultHandling>\
             </ApplicationServer></InitialFilterCriteria>",
            methods = methods.concat()
        )
    };
    let header =
        "<SIPHeader><Header>Content-Type</Header><Content>application/vnd\\.3gpp\\.sms</Content></SIPHeader>";
    let other = (0..plan.criteria).map(|priority| of(priority, &spt(2, header), site.icscf));
    let servers = app_servers(site, plan);
    let servers = (plan.criteria..)
        .zip(servers)
        .map(|(priority, server)| of(priority, "", server));
    other.chain(servers).collect()
}
