//! Shell: the doctor's quick checks, asked of a node that serves.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use tokio::sync::Mutex;

use super::refusal::{Told, refused};
use crate::config::ShellConfig;
use crate::shell::doctor::{Diagnosis, glance};

/// What the doctor needs; one look at a time.
pub(super) struct Surgery {
    config: ShellConfig,
    turn: Mutex<()>,
}

impl Surgery {
    pub(super) fn new(config: &ShellConfig) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            turn: Mutex::new(()),
        })
    }
}

/// Whether machine and kernel are as the configuration needs them: those checks of `--doctor` that ask no neighbour.
#[utoipa::path(get, path = "/api/v1/doctor", responses(
    (status = 200, description = "The checks: `{node, version, checks: [{name, verdict, found, remedy}]}`"),
    (status = 401, description = "A token is needed, or is wrong", body = Told),
    (status = 403, description = "Only from the node's own machine without a token", body = Told),
    (status = 429, description = "Too many requests", body = Told)
))]
pub(super) async fn doctor(Extension(surgery): Extension<Arc<Surgery>>) -> Response {
    let _turn = surgery.turn.lock().await;
    let config = surgery.config.clone();
    // Reading /proc waits for nobody, but takes its time: not in the thread that serves calls.
    let look = tokio::task::spawn_blocking(move || -> std::io::Result<Diagnosis> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(glance(&config)))
    });
    match look.await {
        Ok(Ok(diagnosis)) => Json(diagnosis).into_response(),
        Ok(Err(_)) | Err(_) => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "the doctor cannot look now",
            "run the daemon's --doctor",
        ),
    }
}
