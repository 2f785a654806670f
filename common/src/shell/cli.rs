//! Shell: the command line that all daemons share, and the whole of their `main`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::doctor::{Diagnosis, Files, Questions, examine};
use super::rest::Rest;
use super::shards::{self, Origin, ServeError};
use super::{ShellError, harden, log_writer, seed};
use crate::config::{ConfigError, DaemonConfig, documented, effective, parse, read};
use crate::node::Seed;
use crate::telemetry::log::{self, LeftOut};

/// The daemon could not serve: a missing address, a port in use.
const EXIT_CANNOT_SERVE: u8 = 1;
/// The configuration or the command line is wrong; trying again changes nothing.
const EXIT_CONFIG: u8 = 2;

/// Files of neighbours that the doctor compares.
const SMF: &str = "open5gs-smf";
const HSS: &str = "open5gs-hss";
const PYHSS: &str = "pyhss";

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
                if !matches.get_flag("quiet") {
                    print(&text);
                }
                ExitCode::SUCCESS
            }
            Err(error) => complain(&error, EXIT_CONFIG),
        };
    }
    if matches.get_flag("doctor") {
        return match doctor::<C>(path, &matches) {
            Ok(diagnosis) => told(&diagnosis, matches.get_flag("json")),
            Err(Failure::Config(error)) => complain(&error, EXIT_CONFIG),
            Err(Failure::Shell(error)) => {
                eprintln!("{error}");
                ExitCode::from(EXIT_CANNOT_SERVE)
            }
        };
    }
    match serve::<C>(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(error)) => complain(&error, EXIT_CONFIG),
        Err(Failure::Shell(error)) => {
            // What goes wrong before there is a log must be said too.
            if tracing::dispatcher::has_been_set() {
                tracing::error!(%error, "cannot serve");
            } else {
                eprintln!("cannot serve: {error}");
            }
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

/// Looks whether machine, kernel and neighbours are as the file needs them.
fn doctor<C: DaemonConfig>(path: &Path, matches: &ArgMatches) -> Result<Diagnosis, Failure> {
    let text = read(path)?;
    let place = |error: ConfigError| error.located(&path.display().to_string(), &text);
    let config: C = parse(C::NAME, &text).map_err(place)?;
    let (_, shell_config) = config.build(Seed::from_number(0)).map_err(place)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let given = |name: &str| {
        let path = matches.get_one::<PathBuf>(name);
        path.map(|path| Ok::<_, ConfigError>((path.display().to_string(), read(path)?)))
            .transpose()
    };
    let questions = Questions {
        file: Some(path.to_owned()),
        files: Files {
            smf: given(SMF)?,
            hss: given(HSS)?,
            pyhss: given(PYHSS)?,
        },
        snippets: matches.get_flag("snippets"),
    };
    Ok(runtime.block_on(examine(&shell_config, &questions))?)
}

fn told(diagnosis: &Diagnosis, as_json: bool) -> ExitCode {
    let text = match as_json {
        // Nothing in it can fail to be written.
        true => serde_json::to_string_pretty(diagnosis).unwrap_or_default() + "\n",
        false => diagnosis.to_string(),
    };
    print(&text);
    match diagnosis.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_CANNOT_SERVE),
    }
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
    // Before there is another thread: they have what this one has.
    let enclosure = harden::apply(path, &shell_config)?;
    let left_out = LeftOut::default();
    let (writer, _until_the_end) = log_writer::start(std::io::stderr(), &left_out);
    let log = log::init(&shell_config.log, std::time::Instant::now, writer, &left_out);
    enclosure.tell(shell_config.harden);
    let origin = Origin {
        path: path.to_owned(),
        log,
    };
    let rest = Rest::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(rest.before_park(shell_config.limits.rest.get()))
        .build()?;
    runtime
        .block_on(shards::serve(&config, seed, rest, left_out, origin))
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
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .requires("doctor")
            .help(help)
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
        .arg(flag("quiet", "With --check: say nothing of a good configuration").requires("check"))
        .arg(flag("print-defaults", "Print a documented configuration and end"))
        .arg(flag(
            "doctor",
            "Check machine, kernel and neighbours, say what is wrong and what to do, and end",
        ))
        .arg(flag("json", "With --doctor: as JSON").requires("doctor"))
        .arg(
            flag(
                "snippets",
                "With --doctor: print what to paste into files of neighbours",
            )
            .requires("doctor"),
        )
        .arg(file(
            SMF,
            "With --doctor: Open5GS's smf.yaml, compared with the configuration",
        ))
        .arg(file(
            HSS,
            "With --doctor: hss.conf of Open5GS's freeDiameter, compared",
        ))
        .arg(file(PYHSS, "With --doctor: PyHSS's config.yaml, compared"))
}

#[cfg(test)]
mod tests;
