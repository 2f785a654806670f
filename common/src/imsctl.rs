//! Shell: the operator's command `imsctl`: asks the nodes and prints what they say.
//!
//! * `args`: the command line; `outcome`: exit status
//! * `nodes`: finds the nodes and asks them, by the client of [`shell::admin`](crate::shell::admin)
//! * `lists`, `why`, `ladder`, `ifc`, `live`: what is printed, pure, on `paper` and in a `table`
//! * `screen`: the live trace; `doctor`: the daemons' own doctors; `acts`: what changes something

mod acts;
mod args;
mod doctor;
mod ifc;
mod ladder;
mod lists;
mod live;
mod nodes;
mod outcome;
mod paper;
mod screen;
mod table;
mod why;

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use serde::Serialize;

use self::args::{Command, Ifc, Imsctl, ListArgs};
use self::lists::Status;
use self::nodes::{Gathered, Nodes, unanswered};
use self::outcome::{Outcome, Problem};
use self::paper::Paper;
use self::screen::Wish;
use crate::operate::{Explained, FindingRow, Findings, List, Report, Unanswered};
use crate::why::{Case, explain};

/// Columns of a terminal that does not say.
const COLUMNS: usize = 100;
/// Enough to know whether there are any, and how many.
const ONE: usize = 1;

/// The whole of the program.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Imsctl::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&args)),
        Err(error) => Err(Problem::Failed(format!(
            "no runtime ({error}); raise the limit of open files"
        ))),
    };
    end(result)
}

/// Prints, and says how it ended. A reader that has gone is no failure.
fn end(result: Result<Outcome, Problem>) -> ExitCode {
    match result {
        Ok(outcome) => {
            let _ = stdout().write_all(outcome.text.as_bytes());
            for complaint in &outcome.complaints {
                let _ = writeln!(stderr(), "imsctl: {complaint}");
            }
            outcome.status()
        }
        Err(problem) => {
            let _ = writeln!(stderr(), "imsctl: {problem}");
            ExitCode::from(problem.status())
        }
    }
}

/// Where the text goes.
fn paper() -> Paper {
    if !stdout().is_terminal() {
        return Paper::PIPE;
    }
    let width = crossterm::terminal::size().map_or(COLUMNS, |(columns, _)| usize::from(columns));
    Paper {
        width: width.max(20),
        is_coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// JSON for standard output.
fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

async fn run(args: &Imsctl) -> Result<Outcome, Problem> {
    let is_json = args.common.json;
    match &args.command {
        // These need no node.
        Command::Completion { shell } => return Ok(completion(*shell)),
        Command::Doctor(doctor) => return doctor::run(doctor, is_json),
        _ => {}
    }
    let nodes = Nodes::find(&args.common)?;
    match &args.command {
        Command::Status => status(&nodes, is_json).await,
        Command::Users(rows) => list(&nodes, List::Users, rows, is_json).await,
        Command::Contacts(rows) => list(&nodes, List::Contacts, rows, is_json).await,
        Command::Sas(rows) => list(&nodes, List::Sas, rows, is_json).await,
        Command::Peers(rows) => list(&nodes, List::Peers, rows, is_json).await,
        Command::Sessions(rows) => list(&nodes, List::Sessions, rows, is_json).await,
        Command::Limits(rows) => list(&nodes, List::Limits, rows, is_json).await,
        Command::Bans(rows) => list(&nodes, List::Bans, rows, is_json).await,
        Command::Why { who, all } => why(&nodes, who.as_str(), *all, is_json).await,
        Command::Findings { limit } => findings(&nodes, *limit, is_json).await,
        Command::Trace { who, plain, duration } => {
            let wish = Wish {
                who: who.as_ref().map(|who| who.as_str()),
                is_plain: *plain,
                is_json,
                duration: duration.map(Duration::from_secs),
            };
            screen::run(&nodes, &wish).await
        }
        Command::Ifc(Ifc::Test(test)) => acts::ifc_test(&nodes, test, is_json, paper()).await,
        Command::Deregister { impu, for_good } => {
            let again = if *for_good { "false" } else { "true" };
            acts::of_user(&nodes, "deregister", impu, &[("again", again)], is_json).await
        }
        Command::Reauthenticate { impu } => acts::of_user(&nodes, "reauthenticate", impu, &[], is_json).await,
        Command::Unban { source } => acts::unban(&nodes, source, is_json).await,
        Command::Drain { names } => acts::of_nodes(&nodes, "drain", names, is_json).await,
        Command::Reload { names } => acts::of_nodes(&nodes, "reload", names, is_json).await,
        Command::Pcap(pcap) => acts::pcap(&nodes, pcap, is_json).await,
        Command::Metrics { filter } => metrics(&nodes, filter.as_deref()).await,
        Command::Openapi => openapi(&nodes).await,
        Command::Completion { .. } | Command::Doctor(_) => unreachable!("these need no node"),
    }
}

fn completion(shell: clap_complete::Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Imsctl::command(), "imsctl", &mut text);
    Outcome::fine(String::from_utf8_lossy(&text))
}

/// Who did not answer, a line each.
fn complaints(unanswered: &[Unanswered]) -> Vec<String> {
    let told = |node: &Unanswered| format!("{}: {}", node.endpoint, node.error);
    unanswered.iter().map(told).collect()
}

async fn list(nodes: &Nodes, list: List, rows: &ListArgs, is_json: bool) -> Result<Outcome, Problem> {
    let who = rows.who.as_ref().map(|who| who.as_str());
    let report = nodes.report(list, who, rows.limit).await?;
    Ok(Outcome {
        text: match is_json {
            true => json(&report),
            false => lists::print(list, &report, paper()),
        },
        complaints: complaints(&report.unanswered),
        has_findings: false,
    })
}

async fn status(nodes: &Nodes, is_json: bool) -> Result<Outcome, Problem> {
    let mut status = Status {
        nodes: nodes.report(List::Nodes, None, 100).await?,
        peers: nodes.report(List::Peers, None, 100).await?,
        bans: nodes.report(List::Bans, None, 100).await?,
        ..Status::default()
    };
    for list in [List::Users, List::Contacts, List::Sessions] {
        let report = nodes.report(list, None, ONE).await?;
        status.counts.push((list, count(list, &report)));
    }
    let found = gathered_findings(nodes, 1_000).await.unwrap_or_default();
    status.findings = found.findings.len();
    let troubles = status.troubles();
    Ok(Outcome {
        text: match is_json {
            true => json(&serde_json::json!({
                "nodes": status.nodes.nodes,
                "peers": status.peers.peers,
                "bans": status.bans.bans,
                "counts": status.counts.iter().map(|(list, n)| (list.name(), *n))
                    .collect::<std::collections::BTreeMap<_, _>>(),
                "findings": status.findings,
                "troubles": troubles,
                "unanswered": status.nodes.unanswered,
            })),
            false => status.print(paper()),
        },
        complaints: complaints(&status.nodes.unanswered),
        has_findings: !troubles.is_empty(),
    })
}

/// How many rows there are, those left out included.
fn count(list: List, report: &Report) -> u64 {
    let rows = match list {
        List::Users => report.users.len(),
        List::Contacts => report.contacts.len(),
        List::Sessions => report.sessions.len(),
        List::Nodes | List::Sas | List::Peers | List::Limits | List::Bans => 0,
    };
    u64::try_from(rows)
        .unwrap_or(u64::MAX)
        .saturating_add(report.left_off)
}

async fn why(nodes: &Nodes, who: &str, is_all: bool, is_json: bool) -> Result<Outcome, Problem> {
    let gathered: Gathered<Explained> = nodes.read("/api/v1/why", &[("who", who)]).await?;
    let mut silent: Vec<Unanswered> = gathered.failures.iter().map(unanswered).collect();
    let mut cases = Vec::new();
    for (_, explained) in gathered.answers {
        silent.extend(explained.unanswered);
        cases.push(explained.case);
    }
    let case = cases.into_iter().reduce(|mut all: Case, other| {
        all.merge(other);
        all
    });
    let case = case.unwrap_or_default();
    let found = explain(&case);
    Ok(Outcome {
        has_findings: !found.is_empty() || case.is_unknown(),
        complaints: complaints(&silent),
        text: match is_json {
            true => {
                let subscriber = case.subscriber();
                let rows = found
                    .into_iter()
                    .map(|it| FindingRow::new(subscriber.clone(), it));
                json(&Explained {
                    findings: rows.collect(),
                    case,
                    unanswered: silent,
                })
            }
            false => why::print(&case, &found, is_all, paper()),
        },
    })
}

async fn gathered_findings(nodes: &Nodes, limit: usize) -> Result<Findings, Problem> {
    let text = limit.to_string();
    let gathered: Gathered<Findings> = nodes.read("/api/v1/findings", &[("limit", &text)]).await?;
    let mut all = Findings::default();
    for (_, findings) in gathered.answers {
        all.join(findings, limit);
    }
    all.unanswered.extend(gathered.failures.iter().map(unanswered));
    Ok(all)
}

async fn findings(nodes: &Nodes, limit: usize, is_json: bool) -> Result<Outcome, Problem> {
    let all = gathered_findings(nodes, limit).await?;
    Ok(Outcome {
        has_findings: !all.findings.is_empty(),
        complaints: complaints(&all.unanswered),
        text: match is_json {
            true => json(&all),
            false => lists::findings(&all, paper()),
        },
    })
}

/// Of several nodes one after the other, each under its endpoint.
async fn metrics(nodes: &Nodes, filter: Option<&str>) -> Result<Outcome, Problem> {
    let gathered = nodes.text("/metrics").await?;
    let is_wanted = |line: &&str| match filter {
        None => true,
        Some(filter) => !line.starts_with('#') && line.contains(filter),
    };
    let mut text = String::new();
    for (endpoint, metrics) in &gathered.answers {
        text.push_str(&format!("# node {endpoint}\n"));
        for line in metrics.lines().filter(is_wanted) {
            text.push_str(line);
            text.push('\n');
        }
    }
    let silent: Vec<Unanswered> = gathered.failures.iter().map(unanswered).collect();
    Ok(Outcome {
        text,
        complaints: complaints(&silent),
        has_findings: false,
    })
}

/// That of the first one: all have the same.
async fn openapi(nodes: &Nodes) -> Result<Outcome, Problem> {
    let gathered = nodes.text("/openapi.json").await?;
    let first = gathered.answers.into_iter().next();
    let document = first.and_then(|(_, text)| serde_json::from_str::<serde_json::Value>(&text).ok());
    match document {
        Some(document) => Ok(Outcome::fine(json(&document))),
        None => Err(Problem::Failed(
            "the node does not describe its API; is it of this version?".to_owned(),
        )),
    }
}
