//! Shell: what IPsec costs: registrations over ESP beside the same in clear, memory, and the way of a packet among many sets.
//!
//! The phones are in a network namespace of their own. All of it wants a kernel with ESP, privileges, and a network that
//! nobody else needs: the program `vm` gives them.

mod latency;
mod table;

use std::cell::RefCell;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow, ensure};
use ims_common::ipsec::ProtectedPorts;
use ims_common::shell::KernelSets;
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use self::latency::Latencies;
use super::protection::{PORT_UC, PORT_US};
use super::run::{Load, read, run};
use super::system::{Running, System};
use super::{FIRST_IMSI, Plan, Report, Scenario};
use crate::site::Site;

const PCSCF: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT_PS: u16 = 6_101;
/// Marks the phones' states and policies.
const PHONES_REQID: u32 = 4_803_924;
const PRIORITY: u32 = 2_080;
/// Of the policies that one line each of `ip` makes for all phones: those with the other one come and go with the shell.
const PHONES_PRIORITY: u32 = 2_081;
/// The phones' network namespace, and their addresses (RFC 2544 C.2.2).
const NAMESPACE: &str = "phones";
const PHONES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const PREFIX: &str = "198.18.0.0/15";
/// Open files that suffice for all phones of a run.
const SOCKETS: u64 = 65_536;
/// Faster than anything: the window decides.
const UNLIMITED: f64 = 1e6;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    /// Pairs of runs, with ESP and without, by turns.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Phones that register in each run; no phone comes again.
    #[arg(long, default_value_t = 200)]
    users: u32,
    /// How many of them at a time.
    #[arg(long, default_value_t = 16)]
    window: usize,
    /// Phones that register in the two runs that memory is read from.
    #[arg(long, default_value_t = 1_000)]
    memory_users: u32,
    /// Sets of other phones that are installed while packets of one phone are timed.
    #[arg(long, value_delimiter = ',', default_value = "1,1000,10000")]
    sets: Vec<u32>,
    /// Packets that are timed among each number of sets.
    #[arg(long, default_value_t = 500)]
    packets: u32,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct ProtectedFigures {
    kernel: String,
    cores: usize,
    load_average: String,
    latencies: Latencies,
    /// With ESP and without, of each turn.
    pairs: Vec<[Report; 2]>,
    /// Likewise, of many phones.
    memory: [Report; 2],
}

/// Measures all of it.
///
/// # Errors
/// When the kernel lacks something, or a process does not start.
pub fn measure(order: &Order) -> Result<ProtectedFigures> {
    make_network()?;
    allow_sockets()?;
    let latencies = latency::measure(&order.sets, order.packets)?;
    eprint!("{latencies}");
    let mut phones = Phones {
        order,
        running: None,
        next: 0,
    };
    let mut pairs = Vec::new();
    for turn in 0..order.runs {
        // Whoever comes second has warmer caches, or more sets around it.
        let (first, second) = (turn % 2 == 0, turn % 2 != 0);
        let (one, other) = (
            phones.load(order.users, first)?,
            phones.load(order.users, second)?,
        );
        pairs.push(if first { [one, other] } else { [other, one] });
    }
    let clear = phones.load(order.memory_users, false)?;
    let memory = [phones.load(order.memory_users, true)?, clear];
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    if let Some(running) = phones.running.take() {
        running.stop()?;
    }
    Ok(ProtectedFigures {
        kernel: read("/proc/sys/kernel/osrelease"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_average: read("/proc/loadavg"),
        latencies,
        pairs,
        memory,
    })
}

/// Each phone has three, and a machine that has just begun allows a thousand.
fn allow_sockets() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.max(SOCKETS);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).context("cannot raise the limit of open files")
}

/// A system that serves phones with IPsec and without, and phones that it has not seen.
struct Phones<'a> {
    order: &'a Order,
    running: Option<Running>,
    next: u32,
}

impl Phones<'_> {
    fn load(&mut self, users: u32, ipsec: bool) -> Result<Report> {
        let plan = Plan {
            base: PHONES,
            users: 2 * (self.order.runs * self.order.users + self.order.memory_users),
            ipsec,
            window: Some(self.order.window),
            rate: UNLIMITED,
            scenario: Scenario::Register,
            ..Plan::default_values()
        };
        let running = match self.running.take() {
            Some(running) => running,
            None => Running::start_site(System::Ours, site(), &plan)?,
        };
        let plan = Plan {
            first_imsi: FIRST_IMSI + u64::from(self.next),
            base: Ipv4Addr::from_bits(PHONES.to_bits() + self.next),
            users,
            addresses: users,
            ..running.plan(&plan)
        };
        self.next += users;
        let report = inside(|| run(&plan)).with_context(|| running.tails())?;
        eprint!("{} {report}", if ipsec { "ESP" } else { "clear" });
        ensure!(
            report.failures.is_empty(),
            "not all could register:\n{}",
            running.tails()
        );
        self.running = Some(running);
        Ok(report)
    }
}

/// Phones with IPsec and without are served alike.
fn site() -> Site {
    Site {
        gm: SocketAddr::new(IpAddr::V4(PCSCF), 5060),
        ipsec: true,
        allow_unprotected: true,
        ..Site::on_network([127, 0, 77])
    }
}

/// Binds the protected ports of all phones, and asks the kernel for them until they have no more to ask.
pub(super) async fn attend(plan: &Plan, load: &Rc<RefCell<Load>>) -> Result<JoinHandle<()>> {
    ensure!(
        plan.scenario == Scenario::Register && plan.addresses >= plan.users,
        "with IPsec, phones register once, each at an address of its own"
    );
    for index in 0..plan.users {
        let address = IpAddr::V4(Ipv4Addr::from_bits(plan.base.to_bits() + index));
        let bind = async |port| {
            let socket = UdpSocket::bind(SocketAddr::new(address, port)).await;
            socket.with_context(|| format!("cannot have port {port} of {address} (see `ulimit -n`)"))
        };
        let (client, server) = (bind(PORT_UC).await?, Rc::new(bind(PORT_US).await?));
        client.writable().await?;
        tokio::task::spawn_local(read(server, usize::try_from(index)?, Rc::clone(load)));
        load.borrow_mut().protected.push(Rc::new(client));
    }
    let mut kernel = started(PHONES_REQID, Vec::new())?;
    let (sender, mut requests) = unbounded_channel();
    load.borrow_mut().kernel = Some(sender);
    let load = Rc::clone(load);
    Ok(tokio::task::spawn_local(async move {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => kernel.ask(request),
                    None => break,
                },
                answer = kernel.answer() => load.borrow_mut().on_kernel(&answer),
            }
        }
        kernel.end().await;
    }))
}

/// The kernel's IPsec of this thread's namespace.
fn started(reqid: u32, local: Vec<SocketAddr>) -> Result<KernelSets> {
    let ports = ProtectedPorts {
        local,
        reqid,
        priority: PRIORITY,
        replay_window: 64,
        requests_max: 1_024,
        suites: Vec::new(),
    };
    KernelSets::start(&ports).map_err(|error| anyhow!(error))
}

/// Does something in a thread among the phones.
fn inside<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let entered = || {
        setns(
            File::open(format!("/run/netns/{NAMESPACE}"))?,
            CloneFlags::CLONE_NEWNET,
        )?;
        act()
    };
    let result = std::thread::scope(|scope| scope.spawn(entered).join());
    result.map_err(|_| anyhow!("the thread among the phones has panicked"))?
}

/// A cable between the P-CSCF and the phones, all of whose addresses are there without being listed.
fn make_network() -> Result<()> {
    let template = format!(
        "priority {PHONES_PRIORITY} tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid {PHONES_REQID} mode transport"
    );
    let policy = |words: String| format!("-n {NAMESPACE} xfrm policy add {words} {template}");
    let lines = [
        format!("netns add {NAMESPACE}"),
        format!("link add name gm0 type veth peer name gm0 netns {NAMESPACE}"),
        format!("addr add {PCSCF}/24 dev gm0"),
        "link set gm0 up".to_owned(),
        format!("-n {NAMESPACE} addr add 192.0.2.2/24 dev gm0"),
        format!("-n {NAMESPACE} link set lo up"),
        format!("-n {NAMESPACE} link set gm0 up"),
        format!("route add {PREFIX} via 192.0.2.2"),
        format!("-n {NAMESPACE} route add local {PREFIX} dev lo"),
        policy(format!("src {PREFIX} dst {PCSCF} dport {PORT_PS} dir out")),
        policy(format!("src {PREFIX} dst {PCSCF} sport {PORT_US} dir out")),
        policy(format!("src {PCSCF} dst {PREFIX} dport {PORT_UC} dir in")),
        policy(format!("src {PCSCF} dst {PREFIX} dport {PORT_US} dir in")),
    ];
    for line in lines {
        let output = Command::new("ip").args(line.split_whitespace()).output();
        let output = output.context("cannot run ip, of iproute2")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip {line}: {}", complaint.trim());
    }
    Ok(())
}
