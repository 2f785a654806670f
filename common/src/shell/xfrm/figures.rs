//! Shell: what is counted about security associations: ours, and the kernel's own counters.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::message::SeenState;
use crate::ipsec::{GoneCause, SaState, XfrmFailure};
use crate::node::Metrics;
use crate::operate::SaStateRow;
use crate::shell::counters::Counter;

/// The kernel's counters of IPsec, of the network namespace of the calling thread. Absent without CONFIG_XFRM_STATISTICS.
const XFRM_STAT: &str = "/proc/thread-self/net/xfrm_stat";
const FAILURES: [XfrmFailure; 7] = [
    XfrmFailure::Exists,
    XfrmFailure::NotPermitted,
    XfrmFailure::Unsupported,
    XfrmFailure::KernelFull,
    XfrmFailure::Busy,
    XfrmFailure::NoIpsec,
    XfrmFailure::Other,
];
const CAUSES: [GoneCause; 2] = [GoneCause::Expired, GoneCause::Deleted];

/// Something to count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Installed,
    NotInstalled(XfrmFailure),
    Extended,
    Removed,
    Gone(GoneCause),
    /// A state that the kernel did not let go.
    NotDeleted,
    Resync,
}

/// Numbers that the thread writes and the driver exports.
#[derive(Debug, Default)]
pub(super) struct Figures {
    installed: Counter,
    not_installed: [Counter; FAILURES.len()],
    extended: Counter,
    removed: Counter,
    gone: [Counter; CAUSES.len()],
    not_deleted: Counter,
    resyncs: Counter,
    waiting: AtomicUsize,
    sets: AtomicUsize,
    policies: AtomicUsize,
}

impl Figures {
    pub(super) fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Installed => self.installed.count(),
            Outcome::NotInstalled(failure) => one_of(&FAILURES, &self.not_installed, failure),
            Outcome::Extended => self.extended.count(),
            Outcome::Removed => self.removed.count(),
            Outcome::Gone(cause) => one_of(&CAUSES, &self.gone, cause),
            Outcome::NotDeleted => self.not_deleted.count(),
            Outcome::Resync => self.resyncs.count(),
        }
    }

    /// A request waits; says how many did before it.
    pub(super) fn asked(&self) -> usize {
        self.waiting.fetch_add(1, Relaxed)
    }

    /// A request waits no more.
    pub(super) fn answered(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    pub(super) fn sets(&self, count: usize) {
        self.sets.store(count, Relaxed);
    }

    pub(super) fn policies(&self, count: usize) {
        self.policies.store(count, Relaxed);
    }

    /// Copies everything to `out`, the kernel's counters too.
    pub(super) fn export(&self, out: &mut Metrics) {
        const REQUESTS: &str = "ims_xfrm_requests_total";
        let request = |name, outcome| [("request", name), ("outcome", outcome)];
        out.counter(REQUESTS, &request("install", "done"), self.installed.get());
        for (failure, counter) in FAILURES.iter().zip(&self.not_installed) {
            out.counter(REQUESTS, &request("install", failure.label()), counter.get());
        }
        out.counter(REQUESTS, &request("extend", "done"), self.extended.get());
        out.counter(REQUESTS, &request("remove", "done"), self.removed.get());
        for (cause, counter) in CAUSES.iter().zip(&self.gone) {
            let labels = [("cause", cause.label())];
            out.counter("ims_xfrm_sets_vanished_total", &labels, counter.get());
        }
        out.counter("ims_xfrm_states_not_deleted_total", &[], self.not_deleted.get());
        out.counter("ims_xfrm_resyncs_total", &[], self.resyncs.get());
        let gauge = |n: &AtomicUsize| u64::try_from(n.load(Relaxed)).unwrap_or(u64::MAX);
        out.gauge("ims_xfrm_requests_waiting", &[], gauge(&self.waiting));
        out.gauge("ims_xfrm_states", &[], 4 * gauge(&self.sets));
        out.gauge("ims_xfrm_policies", &[], gauge(&self.policies));
        for (name, value) in kernel_counters(&kernel_figures()) {
            out.counter("ims_xfrm_kernel_total", &[("counter", name)], value);
        }
    }
}

fn one_of<T: PartialEq>(all: &[T], counters: &[Counter], one: T) {
    let found = all.iter().zip(counters).find(|(each, _)| **each == one);
    if let Some((_, counter)) = found {
        counter.count();
    }
}

/// The kernel's counters; empty where it has none.
pub(super) fn kernel_figures() -> String {
    std::fs::read_to_string(XFRM_STAT).unwrap_or_default()
}

/// Names and values of `/proc/net/xfrm_stat`.
pub(super) fn kernel_counters(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// One state for the operator.
pub(super) fn state_row(state: &SaState, seen: Option<&SeenState>) -> SaStateRow {
    SaStateRow {
        spi: format!("{:#010x}", state.spi),
        source: state.source,
        destination: state.destination,
        installed: seen.is_some(),
        bytes: seen.map_or(0, |s| s.bytes),
        packets: seen.map_or(0, |s| s.packets),
        replayed: seen.map_or(0, |s| s.replayed),
        integrity_failed: seen.map_or(0, |s| s.integrity_failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_kernel_are_read_by_name() {
        let text = "XfrmInError             \t0\nXfrmInNoStates          \t17\nnonsense\n";
        let read: Vec<_> = kernel_counters(text).collect();
        assert_eq!(read, [("XfrmInError", 0), ("XfrmInNoStates", 17)]);
    }

    #[test]
    fn each_outcome_is_counted_under_its_own_label() {
        let figures = Figures::default();
        figures.count(Outcome::NotInstalled(XfrmFailure::KernelFull));
        figures.count(Outcome::Gone(GoneCause::Expired));
        figures.count(Outcome::Installed);
        let mut metrics = Metrics::default();
        figures.export(&mut metrics);
        let text = crate::telemetry::metrics::prometheus_text(metrics);
        for line in [
            r#"ims_xfrm_requests_total{request="install",outcome="done"} 1"#,
            r#"ims_xfrm_requests_total{request="install",outcome="kernel_full"} 1"#,
            r#"ims_xfrm_requests_total{request="install",outcome="exists"} 0"#,
            r#"ims_xfrm_sets_vanished_total{cause="expired"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
