//! Shell: the way of a packet of one phone there and back, while the kernel holds the sets of very many.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ims_common::aka::Secret;
use ims_common::ipsec::{
    Encryption, EspKeys, Integrity, SaSet, SaSetId, SaState, Suite, XfrmInput, XfrmOutput,
};
use ims_common::shell::KernelSets;
use serde::Serialize;

use super::super::protection::{PORT_UC, PORT_US};
use super::{PCSCF, PHONES, PHONES_REQID, PORT_PS, inside, started};

const REQID: u32 = 4_803_923;
const PORT_PC: u16 = 6_102;
/// Where echoes are in clear.
const PORT_CLEAR: u16 = 7;
const LIFETIME: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that wait for the kernel at a time.
const BATCH: u32 = 500;
/// About a short SIP response.
const OCTETS: usize = 400;

/// Among so many sets.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Among {
    pub(super) sets: u32,
    /// Octets of the kernel's slabs for each set.
    pub(super) slab_per_set: u64,
    /// Those that were new here.
    pub(super) installed_per_second: f64,
    pub(super) esp: Times,
    pub(super) clear: Times,
}

/// Milliseconds there and back.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) p50: f64,
    pub(super) p90: f64,
}

/// All findings.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latencies {
    pub(super) among: Vec<Among>,
    pub(super) removed_per_second: f64,
}

/// Installs more and more sets at the P-CSCF's side and times packets among them; then removes all.
pub(super) fn measure(sets: &[u32], packets: u32) -> Result<Latencies> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = [PORT_PS, PORT_PC].map(|port| SocketAddr::new(IpAddr::V4(PCSCF), port));
    let mut kernel = started(REQID, local.to_vec())?;
    let phone = inside(|| {
        let mut kernel = started(PHONES_REQID, Vec::new())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(install(&mut kernel, 0, 1))?;
        Ok(kernel)
    })?;
    let (mut among, mut there, before) = (Vec::new(), 0, slab());
    for wanted in sets.iter().copied() {
        let began = Instant::now();
        runtime.block_on(install(&mut kernel, there, wanted))?;
        let installed_per_second = f64::from(wanted.saturating_sub(there)) / began.elapsed().as_secs_f64();
        there = there.max(wanted);
        let slab_per_set = slab().saturating_sub(before) / u64::from(there.max(1));
        let [esp, clear] = times(packets)?;
        among.push(Among {
            sets: there,
            slab_per_set,
            installed_per_second,
            esp,
            clear,
        });
    }
    let began = Instant::now();
    runtime.block_on(remove(&mut kernel, there))?;
    let removed_per_second = f64::from(there) / began.elapsed().as_secs_f64();
    runtime.block_on(kernel.end());
    runtime.block_on(phone.end());
    Ok(Latencies {
        among,
        removed_per_second,
    })
}

async fn install(kernel: &mut KernelSets, from: u32, to: u32) -> Result<()> {
    let request = |number| XfrmOutput::Install {
        set: set(number),
        lifetime: LIFETIME,
    };
    ask(kernel, (from..to).map(request)).await
}

async fn remove(kernel: &mut KernelSets, count: u32) -> Result<()> {
    let request = |number| XfrmOutput::Remove {
        id: SaSetId(u64::from(number)),
    };
    ask(kernel, (0..count).map(request)).await
}

/// Asks for all of it, some at a time.
async fn ask(kernel: &mut KernelSets, requests: impl Iterator<Item = XfrmOutput>) -> Result<()> {
    let mut waiting = 0;
    for request in requests {
        kernel.ask(request);
        waiting += 1;
        if waiting == BATCH {
            answers(kernel, &mut waiting).await?;
        }
    }
    answers(kernel, &mut waiting).await
}

async fn answers(kernel: &mut KernelSets, waiting: &mut u32) -> Result<()> {
    while *waiting > 0 {
        match kernel.answer().await {
            XfrmInput::Installed { .. } | XfrmInput::Removed { .. } => *waiting -= 1,
            other => bail!("the kernel says {other:?}"),
        }
    }
    Ok(())
}

/// Of the phone with this number; the phone itself and the P-CSCF have the same.
fn set(number: u32) -> Arc<SaSet> {
    let ue = Ipv4Addr::from_bits(PHONES.to_bits() + number);
    let ue = |port| SocketAddr::new(IpAddr::V4(ue), port);
    let pcscf = |port| SocketAddr::new(IpAddr::V4(PCSCF), port);
    let base = 0x1000 + 4 * number;
    let state = |spi, source, destination| SaState {
        spi,
        source,
        destination,
    };
    Arc::new(SaSet {
        id: SaSetId(u64::from(number)),
        suite: Suite {
            integrity: Integrity::HmacSha1_96,
            encryption: Encryption::AesCbc,
        },
        keys: Arc::new(EspKeys {
            integrity: Secret::new(vec![1; 20]),
            encryption: Secret::new(vec![2; 16]),
        }),
        states: [
            state(base, ue(PORT_UC), pcscf(PORT_PS)),
            state(base + 1, pcscf(PORT_PS), ue(PORT_UC)),
            state(base + 2, pcscf(PORT_PC), ue(PORT_US)),
            state(base + 3, ue(PORT_US), pcscf(PORT_PC)),
        ],
    })
}

/// Over ESP and in clear, by turns.
fn times(packets: u32) -> Result<[Times; 2]> {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for port in [PORT_PS, PORT_CLEAR] {
            let socket = UdpSocket::bind((PCSCF, port))?;
            let is_done = &is_done;
            scope.spawn(move || echo(&socket, is_done));
        }
        let times = inside(|| ping(packets));
        is_done.store(true, Ordering::Relaxed);
        times
    })
}

fn echo(socket: &UdpSocket, is_done: &AtomicBool) {
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    let mut buffer = [0; 2_048];
    while !is_done.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}

fn ping(packets: u32) -> Result<[Times; 2]> {
    let connected = |port, to| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((PHONES, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect((PCSCF, to))?;
        Ok(socket)
    };
    let sockets = [connected(PORT_UC, PORT_PS)?, connected(PORT_UC + 1, PORT_CLEAR)?];
    let mut all = [Vec::new(), Vec::new()];
    // The first ones find no neighbour, and cold caches.
    for number in 0..packets + 10 {
        for (socket, times) in sockets.iter().zip(&mut all) {
            let mut buffer = [0; OCTETS];
            let began = Instant::now();
            socket.send(&buffer)?;
            socket.recv(&mut buffer).context("an echo is missing")?;
            if number >= 10 {
                times.push(began.elapsed());
            }
        }
    }
    Ok(all.map(|mut times| {
        times.sort_unstable();
        let at = |percent: usize| {
            let time = times
                .get(times.len() * percent / 100)
                .copied()
                .unwrap_or_default();
            time.as_secs_f64() * 1e3
        };
        Times {
            p50: at(50),
            p90: at(90),
        }
    }))
}

/// Octets of the kernel's slabs.
fn slab() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}
