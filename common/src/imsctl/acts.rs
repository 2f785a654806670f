//! Shell: what changes something at a node, or tries something there.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{IfcTestArgs, Pcap};
use super::ifc;
use super::ladder::node_name;
use super::nodes::{Named, Nodes, unanswered};
use super::outcome::{Outcome, Problem};
use super::paper::Paper;
use crate::ifc_test::{IfcTest, IfcTestAnswer};
use crate::operate::{List, Report};
use crate::shell::admin::client::{Client, ClientError, path};

/// Octets of a file that comes with a trial.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// What was done, node by node.
fn done(what: &str, results: Vec<(String, Result<Value, ClientError>)>, is_json: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut rows = Vec::new();
    for (node, result) in results {
        match result {
            Ok(answer) => {
                outcome.text.push_str(&format!("{}: {what}\n", node_name(&node)));
                rows.push(json!({"node": node, "answer": answer}));
            }
            Err(error) => {
                outcome.complaints.push(error.to_string());
                rows.push(json!({"node": node, "error": unanswered(&error).error}));
            }
        }
    }
    if is_json {
        outcome.text = super::json(&rows);
    }
    outcome
}

async fn post(client: &Client, wanted: &str, body: String) -> Result<Value, ClientError> {
    let answer = client.post(wanted, body).await?;
    Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
}

/// Something about a registration, at the S-CSCFs that have it.
pub(super) async fn of_user(
    nodes: &Nodes,
    act: &str,
    impu: &str,
    more: &[(&str, &str)],
    is_json: bool,
) -> Result<Outcome, Problem> {
    let mut query = vec![("impu", impu)];
    query.extend(more);
    let wanted = path(&format!("/api/v1/{act}"), &query);
    let users = path(List::Users.path(), &[("who", impu)]);
    let mut results = Vec::new();
    for named in nodes.by_name().await? {
        match named.client.read::<Report>(&users).await {
            Ok(report) if report.users.is_empty() => {}
            Ok(_) => results.push((named.name(), post(&named.client, &wanted, String::new()).await)),
            Err(error) => results.push((named.name(), Err(error))),
        }
    }
    if results.is_empty() {
        return Err(Problem::Failed(format!(
            "no node that was asked serves {impu}; look at `imsctl users`, and name the S-CSCF with --node"
        )));
    }
    let what = match act {
        "deregister" => "the registration ends",
        _ => "the user has to authenticate again soon",
    };
    Ok(done(what, results, is_json))
}

/// Something that whole nodes do; no names are all names.
pub(super) async fn of_nodes(
    nodes: &Nodes,
    act: &str,
    names: &[String],
    is_json: bool,
) -> Result<Outcome, Problem> {
    let all = nodes.by_name().await?;
    let is_all = names.is_empty() || names.iter().any(|name| name == "all");
    let unknown = |name: &&String| *name != "all" && !all.iter().any(|named| named.is_called(name));
    if let Some(unknown) = names.iter().find(unknown) {
        let known: Vec<String> = all.iter().map(Named::name).collect();
        return Err(Problem::Usage(format!(
            "no node is called {unknown}; there are {}",
            known.join(", ")
        )));
    }
    let wanted = format!("/api/v1/{act}");
    let mut results = Vec::new();
    for named in &all {
        if is_all || names.iter().any(|name| named.is_called(name)) {
            results.push((named.name(), post(&named.client, &wanted, String::new()).await));
        }
    }
    let what = match act {
        "drain" => "takes no new work and ends when the last has finished",
        _ => "has read its configuration again",
    };
    Ok(done(what, results, is_json))
}

/// Lifts a ban wherever it is.
pub(super) async fn unban(nodes: &Nodes, source: &str, is_json: bool) -> Result<Outcome, Problem> {
    let bans = path(List::Bans.path(), &[("limit", "1000")]);
    let wanted = path("/api/v1/unban", &[("source", source)]);
    let mut results = Vec::new();
    for named in nodes.by_name().await? {
        match named.client.read::<Report>(&bans).await {
            Ok(report) if report.bans.iter().any(|ban| ban.source == source) => {
                results.push((named.name(), post(&named.client, &wanted, String::new()).await));
            }
            Ok(_) => {}
            Err(error) => results.push((named.name(), Err(error))),
        }
    }
    match results.is_empty() {
        true => Err(Problem::Failed(format!(
            "{source} is not banned; `imsctl bans` shows who is"
        ))),
        false => Ok(done("the ban is lifted", results, is_json)),
    }
}

/// Tries filter criteria at the S-CSCF that can.
pub(super) async fn ifc_test(
    nodes: &Nodes,
    args: &IfcTestArgs,
    is_json: bool,
    paper: Paper,
) -> Result<Outcome, Problem> {
    let test = IfcTest {
        user: args.user.clone(),
        profile: args.profile.as_deref().map(file).transpose()?,
        case: args.case,
        registration: args.registration,
        request: args.request.as_deref().map(file).transpose()?,
        method: args.method.clone(),
        uri: args.uri.clone(),
        headers: args.header.clone(),
        body: args.body.as_deref().map(file).transpose()?,
    };
    let body = serde_json::to_string(&test).unwrap_or_default();
    let mut failure = None;
    let all = nodes.by_name().await?;
    for Named { client, .. } in all.iter().filter(|named| named.row.node.starts_with("scscf")) {
        let answer = client.post("/api/v1/ifc-test", body.clone()).await;
        match answer.map(|answer| serde_json::from_slice::<IfcTestAnswer>(&answer.body)) {
            Ok(Ok(answer)) => {
                return Ok(Outcome::fine(match is_json {
                    true => super::json(&answer),
                    false => ifc::print(&answer, paper),
                }));
            }
            Ok(Err(error)) => failure = Some(format!("{}: {error}", client.endpoint())),
            Err(error) => failure = Some(error.to_string()),
        }
    }
    Err(Problem::Failed(failure.unwrap_or_else(|| {
        "none of the nodes is an S-CSCF; name one with --node".to_owned()
    })))
}

/// The text of a file; `-` is standard input.
fn file(path: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().take(FILE_OCTETS_MAX).read_to_string(&mut text),
        false => fs::File::open(path).and_then(|file| file.take(FILE_OCTETS_MAX).read_to_string(&mut text)),
    };
    read.map(|_| text)
        .map_err(|error| Problem::Usage(format!("{}: {error}; give a text file", path.display())))
}

/// Packets of a subscriber.
pub(super) async fn pcap(nodes: &Nodes, pcap: &Pcap, is_json: bool) -> Result<Outcome, Problem> {
    let all = nodes.by_name().await?;
    let mut results = Vec::new();
    match pcap {
        Pcap::Start { who, minutes } => {
            let minutes = minutes.to_string();
            let wanted = path(PCAP, &[("who", who.as_str()), ("minutes", &minutes)]);
            for named in &all {
                results.push((named.name(), post(&named.client, &wanted, String::new()).await));
            }
            Ok(done("keeps its packets", results, is_json))
        }
        Pcap::Stop { who } => {
            for named in &all {
                for id in captures_of(named, who.as_str()).await? {
                    let wanted = path("/api/v1/pcap/stop", &[("id", &id.to_string())]);
                    results.push((named.name(), post(&named.client, &wanted, String::new()).await));
                }
            }
            match results.is_empty() {
                true => Err(Problem::Failed(format!(
                    "nobody keeps packets of {}; `imsctl pcap start` begins",
                    who.as_str()
                ))),
                false => Ok(done("keeps them no more", results, is_json)),
            }
        }
        Pcap::Save { who, file } => save(&all, who.as_str(), file, is_json).await,
    }
}

/// Where captures are.
const PCAP: &str = "/api/v1/pcap";

/// The numbers of the captures of somebody at a node.
async fn captures_of(named: &Named, who: &str) -> Result<Vec<u64>, Problem> {
    let rows: Vec<Value> = named
        .client
        .read(PCAP)
        .await
        .map_err(|error| Problem::Failed(error.to_string()))?;
    let theirs = rows
        .iter()
        .filter(|row| row.get("who").and_then(Value::as_str) == Some(who));
    Ok(theirs.filter_map(|row| row.get("id")?.as_u64()).collect())
}

async fn save(all: &[Named], who: &str, file: &Path, is_json: bool) -> Result<Outcome, Problem> {
    let wanted = path(PCAP, &[("who", who)]);
    let mut results = Vec::new();
    for named in all {
        let answer = match named.client.get(&wanted).await {
            Ok(answer) => answer,
            Err(error) => {
                results.push((named.name(), Err(error)));
                continue;
            }
        };
        let name = format!("{}.{}.pcap", file.display(), named.name());
        fs::write(&name, &answer.body)
            .map_err(|error| Problem::Usage(format!("{name}: {error}; choose another file")))?;
        results.push((
            named.name(),
            Ok(json!({"file": name, "octets": answer.body.len()})),
        ));
    }
    Ok(done("written", results, is_json))
}
