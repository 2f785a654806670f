//! Shell: captures of single subscribers, as files.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::api::Params;
use super::desk::Desk;
use super::refusal::{Refusal, Told, refused};
use crate::telemetry::capture::{CaptureReject, CaptureRequest, CaptureState};

/// Minutes of a capture unless said.
const MINUTES: u64 = 10;
/// Octets of a capture unless said.
const MAX_BYTES: usize = 8 << 20;
const MEDIA_TYPE: &str = "application/vnd.tcpdump.pcap";

/// What is to be captured.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StartQuery {
    /// The digits of an IMSI or MSISDN, or an identity.
    who: String,
    /// How long: 10 unless said.
    minutes: Option<u64>,
    /// The size of the ring: 8388608 unless said. The oldest packets make room for new ones.
    max_bytes: Option<usize>,
}

/// How a capture does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CaptureRow {
    /// Its number.
    id: u64,
    /// Whom it follows.
    who: String,
    /// When it ends, in seconds of the Unix epoch.
    until: u64,
    /// Packets that it has.
    packets: usize,
    /// Octets that it has.
    bytes: usize,
    /// Packets that made room for others.
    left_out: u64,
}

impl From<CaptureState> for CaptureRow {
    fn from(state: CaptureState) -> Self {
        Self {
            id: state.id,
            who: state.who,
            until: state.until / 1_000_000,
            packets: state.packets,
            bytes: state.bytes,
            left_out: state.left_out,
        }
    }
}

/// Captures all SIP and Diameter of one subscriber at this node, without keys. It ends by itself.
#[utoipa::path(post, path = "/api/v1/pcap", params(StartQuery), responses(
    (status = 201, description = "It captures", body = CaptureRow),
    (status = 400, description = "The query cannot be read, or asks for too much", body = Told),
    (status = 409, description = "There are too many captures", body = Told)
))]
pub(super) async fn start(State(desk): State<Arc<Desk>>, Params(query): Params<StartQuery>) -> Response {
    let Some(pcap) = &desk.pcap else {
        return Refusal::NoAnswer.into_response();
    };
    let request = CaptureRequest {
        who: query.who,
        minutes: query.minutes.unwrap_or(MINUTES),
        max_bytes: query.max_bytes.unwrap_or(MAX_BYTES),
    };
    match pcap.start(&request) {
        Ok(state) => (StatusCode::CREATED, Json(CaptureRow::from(state))).into_response(),
        Err(reject) => {
            let (status, hint) = match reject {
                CaptureReject::WhoTooShort => {
                    (StatusCode::BAD_REQUEST, "give the digits of an IMSI or MSISDN")
                }
                CaptureReject::Minutes => (StatusCode::BAD_REQUEST, "give minutes from 1 to 1440"),
                CaptureReject::TooMany | CaptureReject::TooLarge => (
                    StatusCode::CONFLICT,
                    "stop one (POST /api/v1/pcap/stop?id=N), or raise export.pcap",
                ),
            };
            refused(status, &reject.to_string(), hint)
        }
    }
}

/// Which capture.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StopQuery {
    /// Its number.
    id: u64,
}

/// Ends a capture and forgets it.
#[utoipa::path(post, path = "/api/v1/pcap/stop", params(StopQuery), responses(
    (status = 200, description = "It is forgotten"),
    (status = 404, description = "There is no such capture", body = Told)
))]
pub(super) async fn stop(State(desk): State<Arc<Desk>>, Params(query): Params<StopQuery>) -> Response {
    match desk.pcap.as_ref().is_some_and(|pcap| pcap.remove(query.id)) {
        true => Json(serde_json::json!({})).into_response(),
        false => no_such_capture(),
    }
}

/// Which capture, by its number or by whom it follows; without both, the list of all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FetchQuery {
    /// Its number.
    id: Option<u64>,
    /// The latest one of this subscriber.
    who: Option<String>,
}

/// A capture as a pcap file with raw IP packets, for Wireshark; or the list of captures.
#[utoipa::path(get, path = "/api/v1/pcap", params(FetchQuery), responses(
    (status = 200, description = "The file, or without a query the list", body = Vec<CaptureRow>),
    (status = 404, description = "There is no such capture", body = Told),
    (status = 503, description = "Two are fetched already", body = Told)
))]
pub(super) async fn fetch(State(desk): State<Arc<Desk>>, Params(query): Params<FetchQuery>) -> Response {
    let Some(pcap) = &desk.pcap else {
        return Refusal::NoAnswer.into_response();
    };
    let id = match (query.id, &query.who) {
        (None, None) => {
            let rows: Vec<CaptureRow> = pcap.states().into_iter().map(CaptureRow::from).collect();
            return Json(rows).into_response();
        }
        (Some(id), _) => Some(id),
        (None, Some(who)) => pcap.latest_of(who),
    };
    let Some(id) = id else {
        return no_such_capture();
    };
    let Ok(turn) = Arc::clone(&desk.downloads).try_acquire_owned() else {
        return Refusal::TooMany.into_response();
    };
    let pcap = Arc::clone(pcap);
    // Not in the thread that serves calls. The turn goes when the file is made, though whoever asked may have gone before.
    let made = tokio::task::spawn_blocking(move || (pcap.file(id), turn)).await;
    match made.ok().and_then(|(file, _)| file) {
        Some(file) => {
            let disposition = "attachment; filename=\"capture.pcap\"";
            let headers = [
                (header::CONTENT_TYPE, MEDIA_TYPE),
                (header::CONTENT_DISPOSITION, disposition),
            ];
            (headers, file).into_response()
        }
        None => no_such_capture(),
    }
}

fn no_such_capture() -> Response {
    refused(
        StatusCode::NOT_FOUND,
        "there is no such capture",
        "GET /api/v1/pcap lists those that there are; POST /api/v1/pcap?who=… starts one",
    )
}
