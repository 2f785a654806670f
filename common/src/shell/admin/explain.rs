//! Shell: what the nodes know of one subscriber or call, what they found out, and what happens now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response, sse};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::AdminRequest;
use super::api::{Params, Scope};
use super::client::path;
use super::desk::Desk;
use super::refusal::{Refusal, Told};
use crate::operate::{Explained, FindingRow, Findings, ROWS_DEFAULT, ROWS_MAX};
use crate::why::{Case, Entry, Who, explain};

/// Who is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhyQuery {
    /// The digits of an IMSI or MSISDN, a public or private identity, or a Call-ID.
    #[param(value_type = String)]
    who: Who,
    /// `node`, or `site`: the neighbours of the node too.
    #[param(inline)]
    scope: Option<Scope>,
}

/// What happened to a subscriber or call, and in one sentence each what it means.
#[utoipa::path(get, path = "/api/v1/why", params(WhyQuery), responses(
    (status = 200, description = "Timeline and findings", body = Object),
    (status = 400, description = "The query cannot be read", body = Told),
    (status = 503, description = "The node is busy", body = Told)
))]
pub(super) async fn why(State(desk): State<Arc<Desk>>, Params(query): Params<WhyQuery>) -> Response {
    let cases = desk
        .ask(|answer| AdminRequest::Why(query.who.clone(), answer))
        .await;
    let own = cases.and_then(|all| all.into_iter().reduce(joined));
    let Some(mut case) = own else {
        return Refusal::NoAnswer.into_response();
    };
    let mut unanswered = Vec::new();
    if query.scope == Some(Scope::Site) {
        let wanted = path("/api/v1/why", &[("who", query.who.as_str())]);
        let (answers, silent) = desk.ask_neighbours::<Case>(&wanted).await;
        unanswered = silent;
        case = answers.into_iter().fold(case, joined);
    }
    let subscriber = case.subscriber();
    // A long timeline takes its time: not in the thread that serves calls.
    let explained = tokio::task::spawn_blocking(move || (explain(&case), case)).await;
    let Ok((findings, case)) = explained else {
        return Refusal::NoAnswer.into_response();
    };
    let findings = findings
        .into_iter()
        .map(|finding| FindingRow::new(subscriber.clone(), finding));
    Json(Explained {
        findings: findings.collect(),
        case,
        unanswered,
    })
    .into_response()
}

fn joined(mut sum: Case, other: Case) -> Case {
    sum.merge(other);
    sum
}

/// How many findings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingsQuery {
    /// Findings at most: 100 unless said, at most 1000.
    limit: Option<usize>,
    /// `node`, or `site`: the neighbours of the node too.
    #[param(inline)]
    scope: Option<Scope>,
}

/// What the node found out by itself, newest first.
#[utoipa::path(get, path = "/api/v1/findings", params(FindingsQuery), responses(
    (status = 200, description = "The findings", body = Object),
    (status = 503, description = "The node is busy", body = Told)
))]
pub(super) async fn findings(
    State(desk): State<Arc<Desk>>,
    Params(query): Params<FindingsQuery>,
) -> Response {
    let limit = query.limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
    let Some(lists) = desk.ask(AdminRequest::Findings).await else {
        return Refusal::NoAnswer.into_response();
    };
    let row = |(subscriber, finding)| FindingRow::new(subscriber, finding);
    let mut all = Findings::default();
    let own = Findings {
        findings: lists.into_iter().flatten().map(row).collect(),
        ..Findings::default()
    };
    all.join(own, limit);
    if query.scope == Some(Scope::Site) {
        let wanted = path("/api/v1/findings", &[("limit", &limit.to_string())]);
        let (answers, silent) = desk.ask_neighbours::<Findings>(&wanted).await;
        for answer in answers {
            all.join(answer, limit);
        }
        all.unanswered.extend(silent);
    }
    Json(all).into_response()
}

/// Who is followed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TraceQuery {
    /// As for `why`; everybody unless said.
    #[param(value_type = Option<String>)]
    who: Option<Who>,
    /// `node`, or `site`: the neighbours of the node too.
    #[param(inline)]
    scope: Option<Scope>,
}

/// Entries that may wait for a reader of a live trace; a slower one misses some.
const TRACE_WAITING_MAX: usize = 1_024;

/// What happens from now on: server-sent events, each an entry of a timeline, until the reader goes.
#[utoipa::path(get, path = "/api/v1/trace", params(TraceQuery), responses(
    (status = 200, description = "Server-sent events", body = String, content_type = "text/event-stream"),
    (status = 400, description = "The query cannot be read", body = Told),
    (status = 503, description = "The node is busy, or too many are followed", body = Told)
))]
pub(super) async fn trace(State(desk): State<Arc<Desk>>, Params(query): Params<TraceQuery>) -> Response {
    let Ok(turn) = Arc::clone(&desk.traces).try_acquire_owned() else {
        return Refusal::TooMany.into_response();
    };
    let (sender, entries) = mpsc::channel::<Entry>(TRACE_WAITING_MAX);
    if !desk.tell(|| AdminRequest::Follow(query.who.clone(), sender.clone())) {
        return Refusal::NoAnswer.into_response();
    }
    let who: Vec<(&str, &str)> = query.who.iter().map(|who| ("who", who.as_str())).collect();
    if query.scope == Some(Scope::Site) {
        desk.follow_neighbours(&path("/api/v1/trace", &who), &sender);
    }
    drop(sender);
    let mut entries = entries;
    let events = futures_util::stream::poll_fn(move |task| entries.poll_recv(task)).map(move |entry| {
        // Kept as long as the stream.
        let _turn = &turn;
        sse::Event::default().json_data(entry)
    });
    sse::Sse::new(events)
        .keep_alive(sse::KeepAlive::default())
        .into_response()
}
