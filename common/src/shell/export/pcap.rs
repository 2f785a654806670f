//! Shell: captures of single subscribers on demand, as files that Wireshark opens.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};

use super::{Outlet, PAUSE, unix_micros};
use crate::config::PcapConfig;
use crate::node::Metrics;
use crate::telemetry::capture::{CaptureLimits, CaptureReject, CaptureRequest, CaptureState, Captures};
use crate::telemetry::ip_packet::IpPrinter;
use crate::telemetry::packet::Packet;

/// The captures of a process.
#[derive(Debug)]
pub(crate) struct Pcap {
    captures: Mutex<Captures>,
    outlet: Outlet,
    /// Whether packets are wanted: a thread runs then.
    is_active: AtomicBool,
}

impl Pcap {
    pub(super) fn new(config: &PcapConfig) -> Self {
        Self {
            captures: Mutex::new(Captures::new(CaptureLimits {
                captures: config.captures,
                bytes: config.max_bytes,
            })),
            outlet: Outlet::default(),
            is_active: AtomicBool::new(false),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.is_active.load(Relaxed)
    }

    pub(super) const fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    fn captures(&self) -> MutexGuard<'_, Captures> {
        self.captures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a capture.
    ///
    /// # Errors
    /// As [`Captures::start`].
    pub(crate) fn start(self: &Arc<Self>, request: &CaptureRequest) -> Result<CaptureState, CaptureReject> {
        let mut captures = self.captures();
        let id = captures.start(unix_micros(), request)?;
        let state = captures.states().into_iter().find(|state| state.id == id);
        if !self.is_active.swap(true, Relaxed) {
            let own = Arc::clone(self);
            let started = thread::Builder::new()
                .name("pcap".into())
                .spawn(move || own.run());
            if let Err(error) = started {
                tracing::warn!(%error, "no thread for captures");
                self.is_active.store(false, Relaxed);
            }
        }
        state.ok_or(CaptureReject::TooMany)
    }

    /// Forgets a capture. Says whether there was one.
    pub(crate) fn remove(&self, id: u64) -> bool {
        self.captures().remove(id)
    }

    /// How all captures do.
    pub(crate) fn states(&self) -> Vec<CaptureState> {
        let mut captures = self.captures();
        // What waits the thread keeps in a moment: a driver asks here.
        captures.forget(unix_micros());
        captures.states()
    }

    /// The number of the latest capture of somebody.
    pub(crate) fn latest_of(&self, who: &str) -> Option<u64> {
        self.captures().latest_of(who)
    }

    /// A capture as a file.
    pub(crate) fn file(&self, id: u64) -> Option<Vec<u8>> {
        let mut captures = self.captures();
        self.settle(&mut captures);
        let packets = captures.packets(id)?;
        drop(captures);
        // Writing to memory does not fail.
        file_of(&packets).ok()
    }

    /// Keeps what waits, and forgets what ended an hour ago.
    fn settle(&self, captures: &mut Captures) {
        for packet in self.outlet.take() {
            captures.offer(packet);
            self.outlet.sent(1);
        }
        captures.forget(unix_micros());
    }

    /// Until nothing is captured any more.
    fn run(&self) {
        loop {
            thread::sleep(PAUSE);
            let mut captures = self.captures();
            self.settle(&mut captures);
            if !captures.is_wanted(unix_micros()) {
                // Under the lock: whoever starts another one starts another thread.
                self.is_active.store(false, Relaxed);
                // What a driver put meanwhile is after the end of all captures.
                drop(self.outlet.take());
                return;
            }
        }
    }

    pub(super) fn metrics(&self, out: &mut Metrics) {
        let states = self.states();
        out.gauge("ims_pcap_captures", &[], states.len() as u64);
        let bytes: usize = states.iter().map(|state| state.bytes).sum();
        out.gauge("ims_pcap_bytes", &[], bytes as u64);
    }
}

fn file_of(packets: &[Packet]) -> Result<Vec<u8>, pcap_file::PcapError> {
    let header = PcapHeader {
        datalink: DataLink::RAW,
        ..PcapHeader::default()
    };
    let mut file = PcapWriter::with_header(io::Cursor::new(Vec::new()), header)?;
    let mut printer = IpPrinter::default();
    for packet in packets {
        let octets = printer.print(packet);
        let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        let at = Duration::from_micros(packet.at);
        file.write_packet(&PcapPacket::new(at, length, &octets))?;
    }
    Ok(file.into_writer().into_inner())
}
