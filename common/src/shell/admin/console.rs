//! Shell: the console, compiled in: pages for a browser that read the API, with nothing to build and nothing from elsewhere.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

/// What a browser may do with the pages: run what came with them, ask the node that served them, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "src/console/"]
struct Pages;

/// The pages; they hold nothing that is not public.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/",
            get(|| async { page("index.html", "text/html; charset=utf-8") }),
        )
        .route(
            "/console.css",
            get(|| async { page("console.css", "text/css; charset=utf-8") }),
        )
        .route(
            "/console.js",
            get(|| async { page("console.js", "text/javascript; charset=utf-8") }),
        )
}

fn page(name: &str, content_type: &'static str) -> Response {
    let Some(file) = Pages::get(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, file.data.into_owned()).into_response()
}
