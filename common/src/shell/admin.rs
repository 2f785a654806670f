//! Shell: the operator's HTTP: GET /health, GET /metrics, GET /sas, POST /drain, POST /deregister, POST /reauthenticate.

use std::io;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response, sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::Event;
use super::xfrm::SetFigures;
use crate::identity::Impu;
use crate::net::RegistrationCommand;
use crate::node::Metrics;
use crate::telemetry::metrics::{CONTENT_TYPE, prometheus_text};
use crate::why::{Case, Entry, Finding, Who};

/// What the operator asks of the driver. The driver's answer proves that the driver turns.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    Health(oneshot::Sender<Health>),
    Metrics(oneshot::Sender<Metrics>),
    /// The latest security associations, and what they have carried.
    Sas(oneshot::Sender<Vec<SetFigures>>),
    Drain(oneshot::Sender<Health>),
    /// What this shard knows of one subscriber or call.
    Why(Who, oneshot::Sender<Case>),
    /// The latest findings, newest first, and whose they are.
    Findings(oneshot::Sender<Vec<(String, Finding)>>),
    /// All that happens to one subscriber or call, or to all, until the receiver is gone. Of too many the receiver is gone at once.
    Follow(Option<Who>, mpsc::Sender<Entry>),
    /// Only one shard, of an S-CSCF, has something to do.
    Registration(RegistrationCommand, oneshot::Sender<Health>),
}

/// The answer of /health.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Health {
    /// `serving` or `draining`.
    pub(crate) status: &'static str,
    /// The daemon.
    pub(crate) node: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// Since `ready`.
    pub(crate) uptime_secs: u64,
}

/// [`Health::status`] of a node that takes new work.
pub(crate) const SERVING: &str = "serving";
/// [`Health::status`] of a node that finishes what it has.
pub(crate) const DRAINING: &str = "draining";

/// The drivers of all shards.
type Drivers = Vec<mpsc::Sender<Event>>;

/// Serves HTTP here; the requests go to the drivers. Says where it is bound.
pub(crate) async fn serve(address: SocketAddr, drivers: Drivers) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let routes = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/sas", get(sas))
        .route("/api/v1/why", get(why))
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/trace", get(trace))
        .route("/drain", post(drain))
        .route("/deregister", post(deregister))
        .route("/reauthenticate", post(reauthenticate))
        .with_state(drivers)
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(bound)
}

async fn health(State(drivers): State<Drivers>) -> Response {
    match worst(ask(&drivers, AdminRequest::Health).await) {
        Some(health) if health.status == SERVING => Json(health).into_response(),
        Some(health) => (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Of which shards: of all unless said.
#[derive(Debug, Deserialize)]
struct Scope {
    shard: Option<usize>,
}

async fn metrics(State(drivers): State<Drivers>, Query(scope): Query<Scope>) -> Response {
    let drivers = match scope.shard {
        None => drivers,
        Some(shard) => drivers.get(shard).into_iter().cloned().collect(),
    };
    let answers = ask(&drivers, AdminRequest::Metrics).await;
    let merged = answers.and_then(|all| {
        all.into_iter().reduce(|mut sum, shard| {
            sum.merge(shard);
            sum
        })
    });
    match merged {
        Some(all) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], prometheus_text(all)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn sas(State(mut drivers): State<Drivers>) -> Response {
    // The first shard alone speaks with the kernel.
    drivers.truncate(1);
    match ask(&drivers, AdminRequest::Sas).await {
        Some(sets) => Json(sets.concat()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Who is asked for.
#[derive(Debug, Deserialize)]
struct Question {
    who: Who,
}

async fn why(State(drivers): State<Drivers>, Query(question): Query<Question>) -> Response {
    let cases = ask(&drivers, |answer| AdminRequest::Why(question.who.clone(), answer)).await;
    let joined = cases.and_then(|all| {
        all.into_iter().reduce(|mut sum, shard| {
            sum.merge(shard);
            sum
        })
    });
    match joined {
        Some(case) => Json(case).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// One finding of a list.
#[derive(Debug, Serialize)]
struct FindingRow {
    /// A name of the subscriber.
    subscriber: String,
    /// The sentence.
    sentence: String,
    /// What it was made of.
    #[serde(flatten)]
    finding: Finding,
}

async fn findings(State(drivers): State<Drivers>) -> Response {
    let Some(lists) = ask(&drivers, AdminRequest::Findings).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut rows: Vec<FindingRow> = lists
        .into_iter()
        .flatten()
        .map(|(subscriber, finding)| FindingRow {
            subscriber,
            sentence: finding.sentence(),
            finding,
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.finding.at));
    Json(rows).into_response()
}

/// Who is followed: everybody unless said.
#[derive(Debug, Deserialize)]
struct Followed {
    who: Option<Who>,
}

/// Entries that may wait for a reader of a live trace; a slower one misses some.
const TRACE_WAITING_MAX: usize = 1_024;

/// Server-sent events, each an entry, until the reader goes.
async fn trace(State(drivers): State<Drivers>, Query(followed): Query<Followed>) -> Response {
    let (sender, mut entries) = mpsc::channel(TRACE_WAITING_MAX);
    for driver in &drivers {
        let request = AdminRequest::Follow(followed.who.clone(), sender.clone());
        if driver.try_send(Event::Admin(request)).is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    drop(sender);
    let events = futures_util::stream::poll_fn(move |task| entries.poll_recv(task))
        .map(|entry| sse::Event::default().json_data(entry));
    sse::Sse::new(events)
        .keep_alive(sse::KeepAlive::default())
        .into_response()
}

async fn drain(State(drivers): State<Drivers>) -> Response {
    match worst(ask(&drivers, AdminRequest::Drain).await) {
        Some(health) => (StatusCode::ACCEPTED, Json(health)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Whose registration it is about.
#[derive(Debug, Deserialize)]
struct Subject {
    /// A public identity.
    impu: Impu,
    /// Whether the user should register again: yes unless said.
    again: Option<bool>,
}

async fn deregister(drivers: State<Drivers>, peer: Peer, Query(subject): Query<Subject>) -> Response {
    let again = subject.again.unwrap_or(true);
    let impu = subject.impu;
    command(drivers, peer, RegistrationCommand::Deregister { impu, again }).await
}

async fn reauthenticate(drivers: State<Drivers>, peer: Peer, Query(subject): Query<Subject>) -> Response {
    let impu = subject.impu;
    command(drivers, peer, RegistrationCommand::Reauthenticate { impu }).await
}

/// Whoever asks.
type Peer = ConnectInfo<SocketAddr>;

/// Only who is on this machine may change registrations. 202: what came of it, the metrics and the log tell.
async fn command(
    State(drivers): State<Drivers>,
    ConnectInfo(peer): Peer,
    command: RegistrationCommand,
) -> Response {
    if !peer.ip().is_loopback() {
        return StatusCode::FORBIDDEN.into_response();
    }
    match ask(&drivers, |answer| {
        AdminRequest::Registration(command.clone(), answer)
    })
    .await
    {
        Some(_) => StatusCode::ACCEPTED.into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The first one that does not serve speaks for all.
fn worst(all: Option<Vec<Health>>) -> Option<Health> {
    let all = all?;
    let ill = all.iter().find(|health| health.status != SERVING);
    ill.or_else(|| all.first()).cloned()
}

/// The drivers' answers; `None` when one has too many requests waiting, or has ended.
async fn ask<T>(drivers: &Drivers, request: impl Fn(oneshot::Sender<T>) -> AdminRequest) -> Option<Vec<T>> {
    let mut receivers = Vec::with_capacity(drivers.len());
    for driver in drivers {
        let (sender, receiver) = oneshot::channel();
        driver.try_send(Event::Admin(request(sender))).ok()?;
        receivers.push(receiver);
    }
    let mut answers = Vec::with_capacity(receivers.len());
    for receiver in receivers {
        answers.push(receiver.await.ok()?);
    }
    Some(answers)
}
