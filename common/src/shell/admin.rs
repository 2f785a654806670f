//! Shell: the operator's HTTP: GET /health, GET /metrics, GET /sas, POST /drain.

use std::io;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::xfrm::SetFigures;
use super::{Context, Event};
use crate::telemetry::metrics::CONTENT_TYPE;

/// What the operator asks of the driver. The driver's answer proves that the driver turns.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    Health(oneshot::Sender<Health>),
    Metrics(oneshot::Sender<String>),
    /// Security associations, at most some of them.
    Sas(oneshot::Sender<Vec<SetFigures>>),
    Drain(oneshot::Sender<Health>),
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

/// Serves HTTP here; the requests go to the driver. Says where it is bound.
pub(crate) async fn serve(address: SocketAddr, context: Context) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let routes = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/sas", get(sas))
        .route("/drain", post(drain))
        .with_state(context);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(bound)
}

async fn health(State(driver): State<Context>) -> Response {
    match ask(&driver, AdminRequest::Health).await {
        Some(health) if health.status == SERVING => Json(health).into_response(),
        Some(health) => (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn metrics(State(driver): State<Context>) -> Response {
    match ask(&driver, AdminRequest::Metrics).await {
        Some(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn sas(State(driver): State<Context>) -> Response {
    match ask(&driver, AdminRequest::Sas).await {
        Some(sets) => Json(sets).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn drain(State(driver): State<Context>) -> Response {
    match ask(&driver, AdminRequest::Drain).await {
        Some(health) => (StatusCode::ACCEPTED, Json(health)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The driver's answer; `None` when it has too many requests waiting, or has ended.
async fn ask<T>(driver: &Context, request: impl FnOnce(oneshot::Sender<T>) -> AdminRequest) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    driver.events.try_send(Event::Admin(request(sender))).ok()?;
    receiver.await.ok()
}
