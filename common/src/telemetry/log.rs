//! Engine: the log, one line per decision.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::budget::LineBudget;
use super::log_context::{self, WithCall};
use crate::config::{LogConfig, LogFormat, LogLevel};

/// Libraries that would log whole packets, keys among them, or every step.
const QUIET: &str = "netlink_proto=warn,netlink_packet_core=warn,netlink_packet_xfrm=warn,rtnetlink=warn,netlink_sys=warn,\
                     hickory_resolver=warn,hickory_net=warn,hickory_proto=warn,hyper=warn,hyper_util=warn,axum=warn,mio=warn";

/// How many lines were left out of the log, because their place in the code wrote too many in one second.
#[derive(Clone, Debug, Default)]
pub struct LeftOut(Arc<AtomicU64>);

impl LeftOut {
    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Counts one line.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Sends the log of this process to `writer`. Later calls change nothing. `clock` says the time; lines beyond the
/// budget of their place are counted in `left_out`.
pub(crate) fn init<W>(config: &LogConfig, clock: fn() -> Instant, writer: W, left_out: &LeftOut) -> LogControl
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = lines(config.format, writer).with_filter(Budget::new(clock, left_out));
    let (filter, handle) = reload::Layer::new(EnvFilter::new(directives(config.level)));
    // An error says that a log is there already; then that one stays.
    let _ = Registry::default().with(filter).with(lines).try_init();
    LogControl(handle)
}

/// Changes what is logged while the process runs.
#[derive(Clone)]
pub(crate) struct LogControl(reload::Handle<EnvFilter, Registry>);

impl LogControl {
    /// Lines of this weight and above, from now on.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // A log that is gone needs no level.
        let _ = self.0.reload(EnvFilter::new(directives(level)));
    }
}

fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => {
            log_context::read();
            let lines = lines.json().flatten_event(true);
            lines.map_event_format(WithCall).boxed()
        }
    }
}

/// Leaves out lines beyond the budget of their place. Debug and trace are asked for and come in full.
struct Budget {
    clock: fn() -> Instant,
    lines: Mutex<LineBudget<Identifier>>,
    left_out: LeftOut,
}

impl Budget {
    fn new(clock: fn() -> Instant, left_out: &LeftOut) -> Self {
        Self {
            clock,
            lines: Mutex::default(),
            left_out: left_out.clone(),
        }
    }
}

impl<S: Subscriber> Filter<S> for Budget {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let may = lines.take((self.clock)(), metadata.callsite());
        if !may {
            self.left_out.count();
        }
        may
    }
}

fn directives(level: LogLevel) -> String {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    format!("{level},{QUIET}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, for the test to see.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn noon() -> Instant {
        static NOON: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *NOON.get_or_init(Instant::now)
    }

    #[test]
    fn flood_of_refusals_does_not_write_a_line_per_packet() {
        let (paper, left_out) = (Paper::default(), LeftOut::default());
        let writer = paper.clone();
        let lines = lines(LogFormat::Text, move || writer.clone()).with_filter(Budget::new(noon, &left_out));
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            for _ in 0..10_000 {
                tracing::info!("request rejected");
            }
            tracing::warn!("Diameter peer is down");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("request rejected").count(), 200);
        assert_eq!(text.matches("peer is down").count(), 1);
        assert_eq!(left_out.get(), 9_800);
    }

    #[test]
    fn a_line_for_programs_tells_the_call_that_is_worked_on() {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = lines(LogFormat::Json, move || writer.clone());
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            let message = bytes::Bytes::from_static(
                b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nCall-ID: a\"b\r\n\r\n",
            );
            super::log_context::set(Some(&message));
            tracing::info!(reason = "busy", "request rejected");
            super::log_context::set(None);
            tracing::info!("Diameter peer is up");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["call_id"], "a\"b");
        assert_eq!(lines[0]["reason"], "busy");
        assert_eq!(lines[0]["trace_id"].as_str().unwrap().len(), 32);
        assert!(lines[1].get("call_id").is_none(), "{text}");
    }

    #[test]
    fn every_level_is_a_valid_filter_and_keeps_packet_loggers_quiet() {
        for level in [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ] {
            let filter = EnvFilter::try_new(directives(level)).unwrap().to_string();
            assert!(filter.contains("netlink_proto=warn"), "{filter}");
        }
    }

    #[test]
    fn operator_who_asks_for_everything_does_not_get_the_packets_of_netlink() {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = lines(LogFormat::Text, move || writer.clone());
        let filter = EnvFilter::new(directives(LogLevel::Trace));
        tracing::subscriber::with_default(Registry::default().with(filter).with(lines), || {
            tracing::trace!("a step of ours");
            tracing::trace!(target: "netlink_proto::connection", "key 0x0102");
            tracing::debug!(target: "netlink_proto", "key 0x0102");
            tracing::debug!(target: "netlink_packet_core::nla", "key 0x0102");
            tracing::info!(target: "netlink_proto::protocol", "key 0x0102");
            tracing::warn!(target: "netlink_proto", "socket closed");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("a step of ours") && text.contains("socket closed"),
            "{text}"
        );
        assert!(!text.contains("0x0102"), "{text}");
    }
}
