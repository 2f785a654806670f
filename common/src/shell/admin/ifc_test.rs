//! Shell: a trial of filter criteria, over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::AdminRequest;
use super::desk::Desk;
use super::refusal::{Refusal, Told, refused};
use crate::ifc_test::{IfcTest, IfcTestAnswer};

/// Octets of a trial at most.
const OCTETS_MAX: usize = 256 * 1024;

/// Which application servers a request would visit by filter criteria, in which order, and why. Nothing is sent.
#[utoipa::path(post, path = "/api/v1/ifc-test", request_body = IfcTest, responses(
    (status = 200, description = "Servers, and each criterion with what it looked at", body = IfcTestAnswer),
    (status = 400, description = "It cannot be tried", body = Told),
    (status = 404, description = "This node has no filter criteria", body = Told),
    (status = 503, description = "The node is busy", body = Told)
))]
pub(super) async fn ifc_test(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    if body.len() > OCTETS_MAX {
        return refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the trial is too large",
            "give 256 kB at most",
        );
    }
    let test: IfcTest = match serde_json::from_slice(&body) {
        Ok(test) => test,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string(), "see /openapi.json"),
    };
    let asked = desk.ask(|answer| AdminRequest::IfcTest(test.clone(), answer));
    let Some(answers) = asked.await else {
        return Refusal::NoAnswer.into_response();
    };
    // The shard that has the user speaks for all.
    let mut problem = None;
    for answer in answers.into_iter().flatten() {
        match answer {
            Ok(answer) => return Json(answer).into_response(),
            Err(error) => problem = Some(error),
        }
    }
    match problem {
        Some(problem) => refused(StatusCode::BAD_REQUEST, &problem.error, &problem.hint),
        None => refused(
            StatusCode::NOT_FOUND,
            "this node has no filter criteria",
            "ask an S-CSCF",
        ),
    }
}
