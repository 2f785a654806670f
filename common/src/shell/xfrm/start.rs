//! Shell: what the kernel must have before the first set: the right to ask, the algorithms, the policies.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use netlink_sys::Socket;
use tokio::sync::mpsc;

use super::figures::Figures;
use super::message::{
    self, Direction, Request, SeenPolicy, StateKey, Verb, delete_state, dump_policies, policy, silence,
};
use super::netlink::{Ack, Netlink, Notices, notices};
use super::sets::Sets;
use super::worker::{Task, Told, Worker};
use crate::ipsec::{Encryption, EspKeys, Integrity, ProtectedPorts, SaSet, SaSetId, SaState, Suite};

/// A state that was made to see whether it can be made is deleted at once; this is for a crash in between.
const PROBE_LIFETIME: Duration = Duration::from_secs(5);
/// Of the first state that is tried; the next ones are tried when somebody else has it.
const PROBE_SPI: u32 = 0x494D_5300;
const PROBE_SPIS: u32 = 16;
const NO_SECURITY: &str = "set gm.security to none";
const BOTH: [Direction; 2] = [Direction::In, Direction::Out];

/// Prepares the kernel and starts the thread.
pub(super) fn start(
    ports: &ProtectedPorts,
    tasks: mpsc::UnboundedReceiver<Task>,
    told: Told,
    figures: Arc<Figures>,
) -> Result<(), String> {
    let netlink = Netlink::open().map_err(|error| no_netlink(&error))?;
    let notices = notices(netlink.port(), None).map_err(|error| no_netlink(&error))?;
    let mut worker = Worker {
        ports: ports.clone(),
        netlink,
        sets: Sets::default(),
        told,
        figures,
    };
    prepare(&mut worker)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_netlink(&error))?;
    thread::Builder::new()
        .name("xfrm".to_owned())
        .spawn(move || runtime.block_on(serve(worker, tasks, notices)))
        .map_err(|error| no_netlink(&error))?;
    Ok(())
}

async fn serve(worker: Worker, tasks: mpsc::UnboundedReceiver<Task>, socket: Socket) {
    match Notices::watch(socket) {
        Ok(notices) => worker.run(tasks, notices).await,
        // Requests are dropped, and answered with that there is no IPsec.
        Err(error) => tracing::error!(%error, "no notices from the kernel's IPsec"),
    }
}

/// What this machine lacks for security associations, and the remedy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lack {
    /// What is missing.
    pub found: String,
    /// What brings it.
    pub remedy: String,
    /// How a P-CSCF does without.
    pub(crate) instead: String,
}

impl Lack {
    fn new(found: impl Into<String>, remedy: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            remedy: remedy.into(),
            instead: instead.into(),
        }
    }

    /// It is a right that this process lacks, and nothing of the kernel.
    #[must_use]
    pub fn is_of_rights(&self) -> bool {
        *self == Self::not_permitted()
    }

    /// What the operator of a P-CSCF may do.
    pub(crate) fn choices(&self) -> String {
        format!("{} or {}", self.remedy, self.instead)
    }

    /// Nobody may ask the kernel for a security association without this right.
    pub(crate) fn not_permitted() -> Self {
        Self::new(
            "CAP_NET_ADMIN is missing, without which no security association can be installed",
            "grant it (systemd: AmbientCapabilities=CAP_NET_ADMIN; container: cap_add NET_ADMIN, in the network namespace \
             that it has)",
            NO_SECURITY,
        )
    }

    pub(super) fn no_netlink(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => Self::new(
                "this kernel has no IPsec to ask for (no XFRM netlink)",
                "load the module (modprobe xfrm_user)",
                NO_SECURITY,
            ),
            Some(libc::EPERM | libc::EACCES) => Self::not_permitted(),
            _ => Self::new(
                format!("the kernel's IPsec cannot be asked (XFRM netlink: {error})"),
                "correct this",
                NO_SECURITY,
            ),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.found, self.choices())
    }
}

fn no_netlink(error: &io::Error) -> String {
    Lack::no_netlink(error).to_string()
}

fn prepare(worker: &mut Worker) -> Result<(), String> {
    may_ask(&mut worker.netlink).map_err(|lack| lack.to_string())?;
    let leftovers = worker.remove_states() + worker.remove_policies();
    for (suite, is_ipv4) in wanted(&worker.ports) {
        probe(&mut worker.netlink, &worker.ports, suite, is_ipv4).map_err(|lack| lack.to_string())?;
    }
    if let Err(reason) = install_policies(worker) {
        worker.remove_policies();
        return Err(reason);
    }
    if leftovers > 0 {
        tracing::warn!(
            leftovers,
            "stale security associations and policies of a previous run: cleaned"
        );
    }
    tracing::info!(
        ports = ?worker.ports.local,
        reqid = worker.ports.reqid,
        leftovers,
        "protected ports are guarded (TS 33.203 7.1)"
    );
    Ok(())
}

/// Every request of XFRM needs CAP_NET_ADMIN, a list too.
pub(super) fn may_ask(netlink: &mut Netlink) -> Result<(), Lack> {
    netlink
        .dump(dump_policies(), |_| {})
        .map_err(|error| Lack::no_netlink(&error))
}

/// The pairs of algorithms that the configuration needs, over IPv4 or not.
pub(super) fn wanted(ports: &ProtectedPorts) -> Vec<(Suite, bool)> {
    let families = [true, false].into_iter();
    let spoken = families.filter(|is_ipv4| ports.local.iter().any(|local| local.is_ipv4() == *is_ipv4));
    spoken
        .flat_map(|is_ipv4| ports.suites.iter().map(move |suite| (*suite, is_ipv4)))
        .collect()
}

/// Makes and deletes a state between two addresses that nobody has.
pub(super) fn probe(
    netlink: &mut Netlink,
    ports: &ProtectedPorts,
    suite: Suite,
    is_ipv4: bool,
) -> Result<(), Lack> {
    let Err(errno) = try_suite(netlink, ports, suite, is_ipv4) else {
        return Ok(());
    };
    if errno == libc::EPERM {
        return Err(Lack::not_permitted());
    }
    let family = if is_ipv4 { "IPv4" } else { "IPv6" };
    let (alg, ealg) = (suite.integrity.token(), suite.encryption.token());
    let said = io::Error::from_raw_os_error(errno);
    if matches!(errno, libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) {
        let module = if is_ipv4 { "esp4" } else { "esp6" };
        return Err(Lack::new(
            format!("this kernel has no ESP over {family} ({said})"),
            format!("load its module on the machine itself (modprobe {module}), take a kernel that has it,"),
            NO_SECURITY,
        ));
    }
    let (algorithm, modules) = lacking(netlink, ports, suite, is_ipv4);
    Err(Lack::new(
        format!(
            "this kernel lacks {algorithm}, which alg={alg} with ealg={ealg} needs over {family} ({said})"
        ),
        format!("load its modules on the machine itself (modprobe -a {modules})"),
        format!("take {alg}/{ealg} out of ipsec.algorithms"),
    ))
}

/// Which of the two algorithms it is, and the modules that bring it.
fn lacking(
    netlink: &mut Netlink,
    ports: &ProtectedPorts,
    suite: Suite,
    is_ipv4: bool,
) -> (&'static str, &'static str) {
    let of_integrity = match suite.integrity {
        Integrity::HmacMd5_96 => ("hmac(md5)", "authenc hmac md5"),
        Integrity::HmacSha1_96 => ("hmac(sha1)", "authenc hmac sha1_generic"),
        Integrity::AesGmac => ("rfc4543(gcm(aes))", "gcm seqiv ghash-generic aes_generic"),
        Integrity::Null => ("rfc4106(gcm(aes))", "gcm seqiv ghash-generic aes_generic"),
    };
    let of_encryption = match suite.encryption {
        Encryption::Null => ("ecb(cipher_null)", "crypto_null authenc"),
        Encryption::AesCbc => ("cbc(aes)", "cbc aes_generic echainiv authenc"),
        Encryption::DesEde3Cbc => ("cbc(des3_ede)", "cbc des_generic echainiv authenc"),
        Encryption::AesGcm => return of_integrity,
    };
    if suite.integrity == Integrity::AesGmac {
        return of_integrity;
    }
    // With another algorithm for the other half: if that can be had, it is this half.
    let other = match suite.encryption {
        Encryption::Null => Encryption::AesCbc,
        Encryption::AesCbc | Encryption::DesEde3Cbc | Encryption::AesGcm => Encryption::Null,
    };
    let with_other = Suite {
        encryption: other,
        ..suite
    };
    match try_suite(netlink, ports, with_other, is_ipv4) {
        Ok(()) => of_encryption,
        Err(_) => of_integrity,
    }
}

fn try_suite(netlink: &mut Netlink, ports: &ProtectedPorts, suite: Suite, is_ipv4: bool) -> Result<(), i32> {
    for spi in PROBE_SPI..PROBE_SPI + PROBE_SPIS {
        let set = probe_set(suite, spi, is_ipv4);
        let [state, ..] = &set.states;
        let add = message::state(Verb::Add, ports, &set, state, PROBE_LIFETIME);
        match netlink.ask(add) {
            Ack::Done => {
                netlink.ask(delete_state(&StateKey::from(state)));
                return Ok(());
            }
            Ack::Refused(libc::EEXIST) => {}
            Ack::Refused(errno) => return Err(errno),
            Ack::Unknown => return Err(libc::EIO),
        }
    }
    Err(libc::EEXIST)
}

/// Of addresses for documentation (RFC 5737, RFC 3849), with keys that protect nothing.
fn probe_set(suite: Suite, spi: u32, is_ipv4: bool) -> SaSet {
    let address = |last: u8| -> IpAddr {
        if is_ipv4 {
            Ipv4Addr::new(192, 0, 2, last).into()
        } else {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)).into()
        }
    };
    let state = SaState {
        spi,
        source: SocketAddr::new(address(1), 5061),
        destination: SocketAddr::new(address(2), 5062),
    };
    let integrity = match suite.integrity {
        Integrity::HmacMd5_96 => 16,
        Integrity::HmacSha1_96 | Integrity::AesGmac => 20,
        Integrity::Null => 0,
    };
    let encryption = match suite.encryption {
        Encryption::Null => 0,
        Encryption::AesCbc => 16,
        Encryption::DesEde3Cbc => 24,
        Encryption::AesGcm => 20,
    };
    SaSet {
        id: SaSetId(0),
        suite,
        keys: Arc::new(EspKeys {
            integrity: (0..integrity).collect::<Vec<u8>>().into(),
            encryption: (0..encryption).collect::<Vec<u8>>().into(),
        }),
        states: [state; 4],
    }
}

/// What guards a protected port, or an address of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Guard {
    Port(SocketAddr, Direction),
    Errors(IpAddr),
}

impl Guard {
    fn all(ports: &ProtectedPorts) -> Vec<Self> {
        let locals = ports.local.iter();
        let addresses: BTreeSet<IpAddr> = locals.clone().map(SocketAddr::ip).collect();
        let guards = locals.flat_map(|local| BOTH.map(|direction| Self::Port(*local, direction)));
        guards.chain(addresses.into_iter().map(Self::Errors)).collect()
    }

    fn request(&self, ports: &ProtectedPorts) -> Request {
        match self {
            Self::Port(local, direction) => policy(ports, *local, *direction),
            Self::Errors(local) => silence(ports, *local),
        }
    }

    fn is_in(&self, seen: &[SeenPolicy]) -> bool {
        seen.iter().any(|policy| match self {
            Self::Port(local, direction) => policy.guards(*local, *direction),
            Self::Errors(local) => policy.silences(*local),
        })
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(local, _) => write!(f, "{local}"),
            Self::Errors(local) => write!(f, "ICMP errors of {local}"),
        }
    }
}

/// All of them, and they are there when the kernel is asked.
fn install_policies(worker: &mut Worker) -> Result<(), String> {
    let guards = Guard::all(&worker.ports);
    let mut requests: Vec<Request> = guards.iter().map(|guard| guard.request(&worker.ports)).collect();
    for (guard, ack) in guards.iter().zip(worker.netlink.exchange(&mut requests)) {
        match ack {
            Ack::Done => {}
            Ack::Refused(libc::EEXIST) => {
                return Err(format!(
                    "another program has an IPsec policy for {guard} with the priority {} already: see `ip xfrm \
                     policy`, and remove it or choose other ports or another ipsec.priority",
                    worker.ports.priority
                ));
            }
            Ack::Refused(libc::EPERM) => return Err(Lack::not_permitted().to_string()),
            Ack::Refused(errno) => {
                let said = io::Error::from_raw_os_error(errno);
                return Err(format!("the kernel refuses an IPsec policy for {guard}: {said}"));
            }
            Ack::Unknown => return Err(format!("the kernel does not answer for a policy of {guard}")),
        }
    }
    let seen = worker.policies();
    if let Some(guard) = guards.iter().find(|guard| !guard.is_in(&seen)) {
        return Err(format!(
            "the IPsec policy of {guard} is not there after it was installed: clear text would pass; does another \
             program remove policies?"
        ));
    }
    worker.figures.policies(seen.len());
    Ok(())
}
