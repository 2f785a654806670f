//! Shell: the routes of the operator's HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Caller, Right};
use super::desk::Desk;
use super::refusal::{Refusal, Told, refused};
use super::surgery;
use super::{AdminRequest, Health};
use super::{console, explain, ifc_test, pcap};
use crate::config::Cidr;
use crate::identity::Impu;
use crate::net::{Command, RegistrationCommand};
use crate::operate::{
    Filter, List, NodeStatus, Question, ROWS_DEFAULT, ROWS_MAX, ReloadReport, ReloadResult, Report,
};
use crate::telemetry::metrics::{CONTENT_TYPE, prometheus_text};

/// What the description says of the whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "IMS core, operator's API",
        description = "What operators ask of a P-CSCF, I-CSCF or S-CSCF. Refusals are `{\"error\": …, \"hint\": …}`."
    ),
    components(schemas(Told))
)]
struct Described;

/// All routes, and their description.
pub(super) fn routes(desk: &Arc<Desk>) -> Router {
    let (router, description) = described(desk);
    let document: Arc<str> = description.to_json().unwrap_or_default().into();
    let openapi = move || async move { ([(header::CONTENT_TYPE, "application/json")], document.to_string()) };
    let guard = middleware::from_fn_with_state((Arc::clone(desk), Right::Open), admit);
    router
        .merge(
            Router::new()
                .route("/openapi.json", axum::routing::get(openapi))
                .merge(console::routes())
                .layer(guard),
        )
        .fallback(|| async {
            refused(
                StatusCode::NOT_FOUND,
                "there is no such thing",
                "see /openapi.json",
            )
        })
        .method_not_allowed_fallback(|| async {
            refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "this cannot be done so",
                "see /openapi.json",
            )
        })
        .with_state(Arc::clone(desk))
}

/// The routes, by the right that they need, and their description.
pub(super) fn described(desk: &Arc<Desk>) -> (Router<Arc<Desk>>, OpenApi) {
    let open = OpenApiRouter::new().routes(routes!(health));
    let figures = OpenApiRouter::new().routes(routes!(metrics));
    let read = OpenApiRouter::new()
        .routes(routes!(node))
        .routes(routes!(users))
        .routes(routes!(contacts))
        .routes(routes!(sessions))
        .routes(routes!(sas))
        .routes(routes!(peers))
        .routes(routes!(limits))
        .routes(routes!(bans))
        .routes(routes!(surgery::doctor))
        .routes(routes!(explain::why))
        .routes(routes!(explain::findings))
        .routes(routes!(explain::trace))
        .routes(routes!(ifc_test::ifc_test))
        .routes(routes!(pcap::fetch));
    let write = OpenApiRouter::new()
        .routes(routes!(drain))
        .routes(routes!(reload))
        .routes(routes!(deregister))
        .routes(routes!(reauthenticate))
        .routes(routes!(unban))
        .routes(routes!(pcap::start))
        .routes(routes!(pcap::stop));
    OpenApiRouter::with_openapi(Described::openapi())
        .merge(guarded(open, desk, Right::Open))
        .merge(guarded(figures, desk, Right::Figures))
        .merge(guarded(read, desk, Right::Read))
        .merge(guarded(write, desk, Right::Write))
        .split_for_parts()
}

type Guarded = (Arc<Desk>, Right);

fn guarded(routes: OpenApiRouter<Arc<Desk>>, desk: &Arc<Desk>, right: Right) -> OpenApiRouter<Arc<Desk>> {
    routes.layer(middleware::from_fn_with_state((Arc::clone(desk), right), admit))
}

/// Lets a request through when its sender may.
async fn admit(
    State((desk, right)): State<Guarded>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(refusal) = desk
        .access
        .admit(std::time::Instant::now(), caller, right, request.headers())
    {
        return refusal.into_response();
    }
    let Ok(_turn) = desk.turns.try_acquire() else {
        desk.access.count(Refusal::TooMany.label());
        return Refusal::TooMany.into_response();
    };
    next.run(request).await
}

/// The query of a request; what cannot be read is told as all else is.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|rejection| {
                refused(
                    StatusCode::BAD_REQUEST,
                    &rejection.body_text(),
                    "see /openapi.json",
                )
            })
    }
}

/// Whether the node is well.
#[utoipa::path(get, path = "/health", responses(
    (status = 200, description = "It takes new work", body = Health),
    (status = 503, description = "It ends, or is stuck")
))]
async fn health(State(desk): State<Arc<Desk>>) -> Response {
    match worst(desk.ask(AdminRequest::Health).await) {
        Some(health) if health.status == NodeStatus::Serving => Json(health).into_response(),
        Some(health) => (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response(),
        None => Refusal::NoAnswer.into_response(),
    }
}

/// Of which shards: of all unless said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ShardQuery {
    /// The number of one shard.
    shard: Option<usize>,
}

/// All counters and gauges, for Prometheus.
#[utoipa::path(get, path = "/metrics", params(ShardQuery), responses(
    (status = 200, description = "OpenMetrics text", body = String)
))]
async fn metrics(State(desk): State<Arc<Desk>>, Params(query): Params<ShardQuery>) -> Response {
    let answers = desk.ask_some(query.shard, AdminRequest::Metrics).await;
    let merged = answers.and_then(|all| {
        all.into_iter().reduce(|mut sum, shard| {
            sum.merge(shard);
            sum
        })
    });
    let Some(mut all) = merged else {
        return Refusal::NoAnswer.into_response();
    };
    if query.shard.is_none_or(|shard| shard == 0) {
        desk.access.export(&mut all);
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], prometheus_text(all)).into_response()
}

/// Which rows of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// About whom: the digits of an IMSI or MSISDN, a public or private identity, or a Call-ID.
    #[param(value_type = Option<String>)]
    who: Option<Filter>,
    /// Rows at most: 100 unless said, at most 1000.
    limit: Option<usize>,
    /// `node`, or `site`: the neighbours of the node too.
    #[param(inline)]
    scope: Option<Scope>,
}

/// Whose answers are wanted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// This node's.
    #[default]
    Node,
    /// Those of its neighbours too.
    Site,
}

impl ListQuery {
    fn question(&self, list: List) -> Question {
        Question {
            list,
            who: self.who.clone(),
            limit: self.limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX),
        }
    }
}

async fn list(desk: &Desk, query: &ListQuery, list: List) -> Response {
    let question = query.question(list);
    let own = desk.report(&question).await;
    let all = match query.scope.unwrap_or_default() {
        Scope::Node => own,
        Scope::Site => Some(desk.gather(&question, own).await),
    };
    match all {
        Some(report) => shown(&report, list),
        None => Refusal::NoAnswer.into_response(),
    }
}

/// The list that was asked for is there, also without rows.
fn shown(report: &Report, list: List) -> Response {
    let text = serde_json::to_string(report).unwrap_or_default();
    let text = match text.strip_prefix('{') {
        Some(rest) if report.is_empty(list) => format!("{{\"{}\":[],{rest}", list.name()),
        _ => text,
    };
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

macro_rules! lists {
    ($($name:ident, $list:ident, $path:literal, $what:literal;)*) => {
        $(
            #[doc = $what]
            #[utoipa::path(get, path = $path, params(ListQuery), responses(
                (status = 200, description = "The rows", body = Report),
                (status = 400, description = "The query cannot be read", body = Told),
                (status = 401, description = "A token is needed, or is wrong", body = Told),
                (status = 403, description = "Only from the node's own machine without a token", body = Told),
                (status = 429, description = "Too many requests", body = Told),
                (status = 503, description = "The node is busy", body = Told)
            ))]
            async fn $name(State(desk): State<Arc<Desk>>, Params(query): Params<ListQuery>) -> Response {
                list(&desk, &query, List::$list).await
            }
        )*
    };
}

lists! {
    node, Nodes, "/api/v1/node", "The node: what it is, and whether it takes new work.";
    users, Users, "/api/v1/users", "Users whom an S-CSCF serves.";
    contacts, Contacts, "/api/v1/contacts", "Contacts that a P-CSCF serves.";
    sessions, Sessions, "/api/v1/sessions", "Dialogs.";
    sas, Sas, "/api/v1/sas", "Security associations of a P-CSCF, the latest first. Never keys.";
    peers, Peers, "/api/v1/peers", "Diameter peers, and next hops that are left out for a while.";
    limits, Limits, "/api/v1/limits", "Limits, what is used of them, and how often they refused.";
    bans, Bans, "/api/v1/bans", "Sources of which nothing is taken for a while.";
}

/// Reads the configuration again: all of it counts from now on, or nothing.
#[utoipa::path(post, path = "/api/v1/reload", responses(
    (status = 200, description = "The new values count, or there are none", body = ReloadReport),
    (status = 409, description = "A key has changed that needs a restart; nothing has changed", body = ReloadReport),
    (status = 422, description = "The file is no configuration; nothing has changed", body = ReloadReport),
    (status = 403, description = "Only from the node's own machine without a token", body = Told)
))]
async fn reload(State(desk): State<Arc<Desk>>) -> Response {
    let asked = desk.ask_some(Some(0), AdminRequest::Reload).await;
    let Some(report) = asked.and_then(|mut all| all.pop()) else {
        return Refusal::NoAnswer.into_response();
    };
    let status = match report.result {
        ReloadResult::Applied | ReloadResult::Unchanged => StatusCode::OK,
        ReloadResult::Refused => StatusCode::CONFLICT,
        ReloadResult::Broken => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (status, Json(report)).into_response()
}

/// Takes no new work, finishes what there is, and ends.
#[utoipa::path(post, path = "/api/v1/drain", responses(
    (status = 202, description = "It drains", body = Health),
    (status = 403, description = "Only from the node's own machine without a token", body = Told)
))]
async fn drain(State(desk): State<Arc<Desk>>) -> Response {
    match worst(desk.ask(AdminRequest::Drain).await) {
        Some(health) => (StatusCode::ACCEPTED, Json(health)).into_response(),
        None => Refusal::NoAnswer.into_response(),
    }
}

/// Whose registration it is about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Subject {
    /// A public identity.
    #[param(value_type = String)]
    impu: Impu,
    /// Whether the user should register again: yes unless said.
    again: Option<bool>,
}

/// Ends a registration at an S-CSCF. What came of it, the metrics and the log tell.
#[utoipa::path(post, path = "/api/v1/deregister", params(Subject), responses(
    (status = 202, description = "The node was told"),
    (status = 400, description = "The identity cannot be read", body = Told),
    (status = 403, description = "Only from the node's own machine without a token", body = Told)
))]
async fn deregister(State(desk): State<Arc<Desk>>, Params(subject): Params<Subject>) -> Response {
    let again = subject.again.unwrap_or(true);
    let impu = subject.impu;
    let wanted = RegistrationCommand::Deregister { impu, again };
    command(&desk, &Command::Registration(wanted)).await
}

/// Has a user of an S-CSCF authenticate again soon.
#[utoipa::path(post, path = "/api/v1/reauthenticate", params(Subject), responses(
    (status = 202, description = "The node was told"),
    (status = 400, description = "The identity cannot be read", body = Told),
    (status = 403, description = "Only from the node's own machine without a token", body = Told)
))]
async fn reauthenticate(State(desk): State<Arc<Desk>>, Params(subject): Params<Subject>) -> Response {
    let wanted = RegistrationCommand::Reauthenticate { impu: subject.impu };
    command(&desk, &Command::Registration(wanted)).await
}

/// Who is banned.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Banned {
    /// The source, as `bans` lists it: an address, or a block of IPv6.
    source: String,
}

/// Lifts a ban at a P-CSCF, and forgets what the source did.
#[utoipa::path(post, path = "/api/v1/unban", params(Banned), responses(
    (status = 202, description = "The node was told"),
    (status = 400, description = "The source cannot be read", body = Told),
    (status = 403, description = "Only from the node's own machine without a token", body = Told)
))]
async fn unban(State(desk): State<Arc<Desk>>, Params(banned): Params<Banned>) -> Response {
    let block = || banned.source.parse::<Cidr>().map(|block| block.network);
    match banned.source.parse::<IpAddr>().or_else(|_| block()) {
        Ok(address) => command(&desk, &Command::Unban(address)).await,
        Err(_) => refused(
            StatusCode::BAD_REQUEST,
            "source is no address",
            "give it as `bans` lists it, as 192.0.2.66 or 2001:db8::/64",
        ),
    }
}

async fn command(desk: &Desk, command: &Command) -> Response {
    match desk
        .ask(|answer| AdminRequest::Command(command.clone(), answer))
        .await
    {
        Some(_) => (StatusCode::ACCEPTED, Json(serde_json::json!({}))).into_response(),
        None => Refusal::NoAnswer.into_response(),
    }
}

/// The first one that does not serve speaks for all.
pub(super) fn worst(all: Option<Vec<Health>>) -> Option<Health> {
    let all = all?;
    let ill = all.iter().find(|health| health.status != NodeStatus::Serving);
    ill.or_else(|| all.first()).cloned()
}
