//! Shell: what leaves a node for capture servers, trace collectors and capture files. Threads of their own do the work; a
//! driver only puts packets into bounded lists and waits for nobody.

pub(super) mod hep;
pub(super) mod otlp;
pub(super) mod pcap;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::ExportConfig;
use crate::node::Metrics;
use crate::telemetry::packet::Packet;

/// Packets that wait for one thread, and their octets. Above: they are left out and counted.
const WAITING_MAX: usize = 8_192;
const WAITING_OCTETS_MAX: usize = 16 << 20;
/// How long a thread rests between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The exports of a process, shared by its shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exports {
    hep: Option<Arc<Outlet>>,
    otlp: Option<Arc<Outlet>>,
    pcap: Option<Arc<pcap::Pcap>>,
}

impl Exports {
    /// Starts what is configured.
    pub(super) fn start(node: &'static str, config: &ExportConfig) -> Self {
        Self {
            hep: config.hep.clone().map(hep::start),
            otlp: config.otlp.clone().map(|config| otlp::start(node, config)),
            pcap: Some(Arc::new(pcap::Pcap::new(&config.pcap))),
        }
    }

    /// Captures on demand.
    pub(super) fn pcap(&self) -> Option<&Arc<pcap::Pcap>> {
        self.pcap.as_ref()
    }

    /// Whether anybody wants packets now.
    pub(super) fn is_wanted(&self) -> bool {
        let is_capturing = self.pcap.as_ref().is_some_and(|pcap| pcap.is_active());
        is_capturing || self.hep.is_some() || self.otlp.is_some()
    }

    /// Gives a packet to all who want it.
    pub(super) fn put(&self, packet: &Packet) {
        for outlet in [&self.hep, &self.otlp].into_iter().flatten() {
            outlet.put(packet.clone());
        }
        if let Some(pcap) = self.pcap.as_ref().filter(|pcap| pcap.is_active()) {
            pcap.outlet().put(packet.clone());
        }
    }

    /// Adds what went, and what did not.
    pub(super) fn metrics(&self, out: &mut Metrics) {
        let outlets = [
            ("hep", self.hep.as_deref()),
            ("otlp", self.otlp.as_deref()),
            ("pcap", self.pcap.as_ref().map(|pcap| pcap.outlet())),
        ];
        for (to, outlet) in outlets {
            let Some(outlet) = outlet else { continue };
            let counts = [
                ("sent", &outlet.sent),
                ("left_out", &outlet.left_out),
                ("failed", &outlet.failed),
            ];
            for (outcome, count) in counts {
                let labels = [("to", to), ("outcome", outcome)];
                out.counter("ims_export_total", &labels, count.load(Relaxed));
            }
        }
        if let Some(pcap) = &self.pcap {
            pcap.metrics(out);
        }
    }
}

impl Drop for Exports {
    fn drop(&mut self) {
        // The last one but the thread's.
        for outlet in [&self.hep, &self.otlp].into_iter().flatten() {
            if Arc::strong_count(outlet) <= 2 {
                outlet.is_over.store(true, Relaxed);
            }
        }
    }
}

/// The list in front of one thread.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    waiting: Mutex<Waiting>,
    is_over: AtomicBool,
    sent: AtomicU64,
    left_out: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    packets: Vec<Packet>,
    octets: usize,
}

impl Outlet {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, packet: Packet) {
        let mut waiting = self.waiting();
        let octets = waiting.octets + packet.bytes.len();
        if waiting.packets.len() >= WAITING_MAX || octets > WAITING_OCTETS_MAX {
            drop(waiting);
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        waiting.octets = octets;
        waiting.packets.push(packet);
    }

    /// All that waits.
    fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut *self.waiting()).packets
    }

    /// All that waits, after a rest; `None` at the end.
    fn next(&self) -> Option<Vec<Packet>> {
        if self.is_over.load(Relaxed) {
            return None;
        }
        thread::sleep(PAUSE);
        Some(self.take())
    }

    fn sent(&self, count: usize) {
        self.sent.fetch_add(wide(count), Relaxed);
    }

    fn failed(&self, count: usize) {
        self.failed.fetch_add(wide(count), Relaxed);
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// In microseconds of the Unix epoch.
pub(super) fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
