//! Shell: spans to a collector, as OTLP over HTTP.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use super::Outlet;
use crate::config::OtlpConfig;
use crate::telemetry::spans::{self, SpanSettings, Spans};

/// Spans of one request to the collector.
const BATCH: usize = 512;
/// The longest that a span waits for others.
const PAUSE: Duration = Duration::from_secs(1);
/// A collector that is slower is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts the thread.
pub(super) fn start(node: &'static str, config: OtlpConfig) -> Arc<Outlet> {
    let outlet = Arc::new(Outlet::default());
    let own = Arc::clone(&outlet);
    let run = move || {
        if let Err(error) = run(&own, node, &config) {
            tracing::warn!(error, "no spans are exported");
        }
    };
    if let Err(error) = thread::Builder::new().name("otlp".into()).spawn(run) {
        tracing::warn!(%error, "no thread for spans");
    }
    outlet
}

fn run(outlet: &Outlet, node: &'static str, config: &OtlpConfig) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut exporter = {
        let _inside = runtime.enter();
        opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?
    };
    exporter.set_resource(&Resource::builder_empty().with_service_name(node).build());
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    let mut all = Spans::new(SpanSettings {
        sample: config.sample,
        identities: config.identities,
    });
    let mut batch = Vec::new();
    let mut last = Instant::now();
    while let Some(packets) = outlet.next() {
        for packet in packets {
            all.offer(&packet);
        }
        while let Some(span) = all.poll() {
            batch.push(span_data(span, &scope));
        }
        while batch.len() >= BATCH || (!batch.is_empty() && last.elapsed() >= PAUSE) {
            let some: Vec<_> = batch.drain(..batch.len().min(BATCH)).collect();
            let count = some.len();
            // A timeout wants the runtime when it is made.
            let exported =
                runtime.block_on(async { tokio::time::timeout(PATIENCE, exporter.export(some)).await });
            match exported {
                Ok(Ok(())) => outlet.sent(count),
                // Old spans are worth less than new ones.
                Ok(Err(_)) | Err(_) => {
                    outlet.failed(count + batch.len());
                    batch.clear();
                }
            }
            last = Instant::now();
        }
    }
    Ok(())
}

fn span_data(span: spans::Span, scope: &InstrumentationScope) -> SpanData {
    let at = |micros| -> SystemTime { UNIX_EPOCH + Duration::from_micros(micros) };
    let id = SpanId::from_bytes(span.id);
    let attributes = span.attributes.into_iter();
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace),
            id,
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.kind == spans::SpanKind::Server,
        span_kind: match span.kind {
            spans::SpanKind::Server => SpanKind::Server,
            spans::SpanKind::Client => SpanKind::Client,
        },
        name: span.name.into(),
        start_time: at(span.start),
        end_time: at(span.end),
        attributes: attributes.map(|(key, value)| KeyValue::new(key, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.is_error {
            true => Status::error(""),
            false => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    }
}
