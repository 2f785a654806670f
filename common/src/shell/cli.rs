//! Shell: the command line that all daemons share, and the whole of their `main`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};

use super::rest::Rest;
use super::shards::{self, ServeError};
use super::{ShellError, log_writer, seed};
use crate::config::{ConfigError, DaemonConfig, documented, effective, parse, read};
use crate::node::Seed;
use crate::telemetry::log::{self, LeftOut};

/// The daemon could not serve: a missing address, a port in use.
const EXIT_CANNOT_SERVE: u8 = 1;
/// The configuration or the command line is wrong; trying again changes nothing.
const EXIT_CONFIG: u8 = 2;

/// Runs a daemon: reads the command line and the configuration, then serves until told to end.
///
/// ```no_run
/// # use ims_common::config::DaemonConfig;
/// # fn example<PcscfConfig: DaemonConfig>() -> std::process::ExitCode {
/// ims_common::shell::cli::daemon_main::<PcscfConfig>()
/// # }
/// ```
#[must_use]
pub fn daemon_main<C: DaemonConfig>() -> ExitCode {
    let matches = match command::<C>().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return match error.exit_code() {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::from(EXIT_CONFIG),
            };
        }
    };
    if matches.get_flag("print-defaults") {
        print(&documented::<C>());
        return ExitCode::SUCCESS;
    }
    let Some(path) = matches.get_one::<PathBuf>("config") else {
        eprintln!("--config FILE is needed; --print-defaults shows how such a file looks");
        return ExitCode::from(EXIT_CONFIG);
    };
    if matches.get_flag("check") {
        return match check::<C>(path) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(error) => complain(&error, EXIT_CONFIG),
        };
    }
    match serve::<C>(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(error)) => complain(&error, EXIT_CONFIG),
        Err(Failure::Shell(error)) => {
            tracing::error!(%error, "cannot serve");
            ExitCode::from(EXIT_CANNOT_SERVE)
        }
    }
}

/// Reads and checks the file, and prints what it comes to, defaults filled in.
fn check<C: DaemonConfig>(path: &Path) -> Result<String, ConfigError> {
    let text = read(path)?;
    let place = |error: ConfigError| error.located(&path.display().to_string(), &text);
    let config: C = parse(C::NAME, &text).map_err(place)?;
    let printed = effective(C::NAME, &config).map_err(place)?;
    config.build(Seed::from_number(0)).map_err(place)?;
    Ok(printed)
}

enum Failure {
    Config(ConfigError),
    Shell(ShellError),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl<E: Into<ShellError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Shell(error.into())
    }
}

fn serve<C: DaemonConfig>(path: &Path) -> Result<(), Failure> {
    let text = read(path)?;
    let place = |error: ConfigError| error.located(&path.display().to_string(), &text);
    let config: C = parse(C::NAME, &text).map_err(place)?;
    let seed = seed()?;
    let (_, shell_config) = config.clone().build(seed).map_err(place)?;
    let left_out = LeftOut::default();
    let (writer, _until_the_end) = log_writer::start(std::io::stderr(), &left_out);
    log::init(&shell_config.log, std::time::Instant::now, writer, &left_out);
    let rest = Rest::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(rest.before_park(shell_config.limits.rest.get()))
        .build()?;
    runtime
        .block_on(shards::serve(&config, seed, rest, left_out))
        .map_err(|error| match error {
            ServeError::Config(error) => Failure::Config(place(error)),
            ServeError::Shell(error) => Failure::Shell(error),
        })
}

fn complain(error: &ConfigError, code: u8) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(code)
}

/// To standard output; a reader that has gone wants no more.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn command<C: DaemonConfig>() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new(C::NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The configuration"),
        )
        .arg(flag(
            "check",
            "Check the configuration, print it with its defaults, and end",
        ))
        .arg(flag("print-defaults", "Print a documented configuration and end"))
}

#[cfg(test)]
mod tests;
