//! Engine: the log, one line per decision, on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Libraries that would log whole packets, keys among them, or every step.
const QUIET: &str = "netlink_proto=warn,netlink_packet_core=warn,rtnetlink=warn,netlink_sys=warn,\
                     hickory_resolver=warn,hickory_net=warn,hickory_proto=warn,hyper=warn,hyper_util=warn,axum=warn,mio=warn";

/// Sends the log of this process to standard error. Later calls change nothing.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::new(directives(config.level));
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    // An error says that a log is there already; then that one stays.
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
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
}
