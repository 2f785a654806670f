//! Shell: the doctor: whether machine, kernel and neighbours are as a node's configuration needs them.
//!
//! * [`examine`] is all of it, `--doctor` of each daemon: also while the daemon runs, which is not disturbed.
//! * A daemon makes at its start those checks that take no time: a failed one ends the start, a warning is a log line.
//! * What was seen is gathered first; each verdict is made from values alone, in the files below this one.

mod addresses;
mod beside;
mod check;
mod diameter;
mod free_diameter;
mod ipsec;
mod limits;
mod machine;
mod nat;
mod neighbours;
mod next_hops;
mod ports;
mod process;
mod rights;
#[cfg(test)]
mod testing;
mod watch;

use std::path::PathBuf;

pub use self::beside::Files;
pub use self::check::{Check, Diagnosis, Snippet, Verdict};
use self::machine::{Machine, sysctl};
use self::neighbours::Neighbours;
use self::ports::{Holder, Receivers};
pub(super) use self::watch::watch;
use super::xfrm::Trial;
use crate::config::{ConfigError, ShellConfig};
use crate::operate::Endpoint;
use crate::why::Note;

/// Makes the checks of a start. Says what whoever explains failures later should know.
///
/// # Errors
/// One line: what is missing, the key that wants it, and the remedy.
pub(crate) async fn at_start(config: &ShellConfig) -> Result<Vec<Note>, String> {
    let mut checks = addresses::concrete(config);
    if checks.is_empty() {
        let machine = Machine::gather(config).await;
        checks.extend(of_machine(config, machine, &nat::Ruleset::default()));
        checks.extend(warnings_of_start(config));
    }
    let trial = config
        .protected
        .as_ref()
        .and_then(|ports| Trial::look(ports).ok());
    if let (Some(ports), Some(trial)) = (&config.protected, &trial) {
        checks.extend(ipsec::foreign(ports, trial));
    }
    for check in &checks {
        match check.verdict {
            Verdict::Ok | Verdict::Skipped => {}
            Verdict::Warn => tracing::warn!(check = %check.name, "{}", check.sentence()),
            Verdict::Fail => return Err(check.sentence()),
        }
    }
    let mut notes = watch::notes_of(&checks);
    notes.extend(trial.as_ref().and_then(watch::stale));
    Ok(notes)
}

/// Files are told with [`connections`]; ports and the kernel's IPsec tell for themselves when they are taken.
fn warnings_of_start(config: &ShellConfig) -> Vec<Check> {
    let shards = config.surroundings.shards.max(1);
    let mut checks = limits::judge(config, shards, &process::room());
    checks.retain(|check| check.name != "files");
    for check in &mut checks {
        // A clock that is wrong hinders nobody from being served.
        if check.verdict == Verdict::Fail {
            check.verdict = Verdict::Warn;
        }
    }
    if config.protected.is_some() {
        checks.push(ipsec::ike(&ike_daemons(&Receivers::default())));
    }
    checks
}

/// How many of the wanted connections this process may have descriptors for.
pub(crate) fn connections(wanted: usize) -> usize {
    let Some(descriptors) = process::room().descriptors else {
        return wanted;
    };
    let possible = limits::within(wanted, descriptors);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            descriptors,
            "limits.connections is lowered: raise the limit of open files (ulimit -n, LimitNOFILE=)"
        );
    }
    possible
}

/// What the doctor is asked beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// The file of the configuration: by it the daemon that runs is known.
    pub file: Option<PathBuf>,
    /// Files of neighbours, to be compared.
    pub files: Files,
    /// Whether the snippets are wanted even where nothing asks for them.
    pub snippets: bool,
}

/// Looks at everything, and disturbs nothing: not the daemon that may run with this file, not its peers.
///
/// # Errors
/// A file of a neighbour cannot be read.
pub async fn examine(config: &ShellConfig, questions: &Questions) -> Result<Diagnosis, ConfigError> {
    let compared = beside::judge(config, &questions.files)?;
    let file = questions.file.as_ref();
    let file: Option<PathBuf> = file.map(|path| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    let receivers = process::all_receivers();
    let own = ports::running(config, file.as_ref(), &receivers);
    let daemon = match own {
        Some(_) => Daemon::Runs,
        None if ports::is_held_unseen(config, &receivers) => Daemon::MayRun,
        None => Daemon::IsNotThere,
    };
    let mut checks = addresses::concrete(config);
    let rules = match config.ue_pools.is_empty() {
        true => nat::Ruleset::default(),
        false => process::ruleset().await,
    };
    checks.extend(of_machine(config, Machine::gather(config).await, &rules));
    checks.extend(rights::judge(config, process::rights()));
    if let Some(protected) = &config.protected {
        checks.extend(ipsec::judge(
            protected,
            &Trial::of(protected),
            daemon != Daemon::IsNotThere,
        ));
        checks.push(ipsec::ike(&ike_daemons(&receivers)));
    }
    checks.extend(ports::judge(config, own, &receivers));
    let mut room = process::room();
    if room.synchronised.is_none() {
        room.synchronised = process::synchronised().await;
    }
    checks.extend(limits::judge(config, config.surroundings.shards.max(1), &room));
    checks.extend(of_neighbours(config, daemon).await);
    checks.extend(compared);
    let mut diagnosis = Diagnosis::new(config.name, checks);
    let wanted = diagnosis.checks.iter().any(Check::asks_for_a_snippet);
    if questions.snippets || wanted {
        diagnosis.snippets = beside::snippets(config);
    }
    Ok(diagnosis)
}

/// Whether our own daemon runs beside us.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Daemon {
    Runs,
    /// Somebody who cannot be seen holds a port of it.
    MayRun,
    IsNotThere,
}

/// The HSSs and the next hops.
async fn of_neighbours(config: &ShellConfig, daemon: Daemon) -> Vec<Check> {
    let around = &config.surroundings;
    let mut neighbours = match Neighbours::new(config) {
        Ok(neighbours) => neighbours,
        Err(error) => return vec![Check::skipped("dns", error)],
    };
    let mut checks = Vec::new();
    if let Some(hss) = &around.hss {
        if hss.peers.is_empty() {
            checks.push(diameter::without_peers(config.diameter_listen));
        } else if daemon == Daemon::MayRun {
            checks.push(diameter::not_tried());
        } else if daemon == Daemon::Runs {
            let told = match endpoint(config) {
                Some(endpoint) => process::peers(endpoint).await,
                None => process::PeersTold::default(),
            };
            checks.push(diameter::of_the_daemon(hss, told.open, &told.last_errors));
        } else {
            for peer in &hss.peers {
                let outcome = neighbours.try_hss(hss, peer).await;
                checks.push(diameter::judge(hss, peer, &outcome));
            }
        }
    }
    let servers = match config.dns_servers.as_slice() {
        [] => "the DNS servers of this machine".to_owned(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    for hop in &around.next_hops {
        let seen = neighbours.try_hop(hop, config).await;
        checks.extend(next_hops::judge(hop, &servers, &seen));
    }
    checks
}

/// Where the daemon answers operators.
fn endpoint(config: &ShellConfig) -> Option<Endpoint> {
    let admin = config.admin.as_ref()?;
    let socket = admin.socket.clone().map(Endpoint::Socket);
    socket.or_else(|| admin.listen.map(Endpoint::Tcp))
}

/// The part that may be asked of a daemon that serves: it takes no time, asks no neighbour, and starts no program, which
/// daemons may not.
pub async fn glance(config: &ShellConfig) -> Diagnosis {
    let machine = Machine::gather(config).await;
    let mut checks = of_machine(config, machine, &nat::Ruleset::default());
    checks.extend(rights::judge(config, process::rights()));
    if config.protected.is_some() {
        checks.push(ipsec::ike(&ike_daemons(&process::all_receivers())));
    }
    let shards = config.surroundings.shards.max(1);
    checks.extend(limits::judge(config, shards, &process::room()));
    Diagnosis::new(config.name, checks)
}

/// Addresses, routes and what is between the UEs and us.
fn of_machine(config: &ShellConfig, machine: Result<Machine, String>, rules: &nat::Ruleset) -> Vec<Check> {
    let machine = match machine {
        Ok(machine) => machine,
        Err(error) => {
            let found =
                format!("netlink does not tell the addresses of this machine ({error}); binding will");
            return vec![Check::skipped("address", found)];
        }
    };
    let mut checks = addresses::judge(config, &machine, sysctl);
    checks.extend(nat::judge(config, &machine, rules, sysctl));
    checks
}

fn ike_daemons(receivers: &Receivers) -> Vec<Holder> {
    let mut all = process::ike_daemons();
    for holder in receivers.on_ike_ports() {
        if !all.iter().any(|other| other.pid == holder.pid) {
            all.push(holder);
        }
    }
    all
}
