//! Engine: which call a thread works on, for lines of the log that programs read.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::glance::Glance;
use super::spans::trace_id;

/// Whether anybody reads it.
static IS_READ: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The message that is worked on. It is read only when a line is written.
    static MESSAGE: RefCell<Option<Bytes>> = const { RefCell::new(None) };
}

/// From now on lines tell it.
pub(super) fn read() {
    IS_READ.store(true, Relaxed);
}

/// This thread works on a message now, or on none.
pub(crate) fn set(message: Option<&Bytes>) {
    if IS_READ.load(Relaxed) {
        MESSAGE.with_borrow_mut(|current| *current = message.cloned());
    }
}

/// Adds `call_id` and `trace_id` to JSON objects.
pub(super) struct WithCall<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for WithCall<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match (line.trim_end().strip_suffix('}'), call()) {
            (Some(open), Some((call_id, trace_id))) => {
                let call_id = serde_json::to_string(&call_id).map_err(|_| fmt::Error)?;
                writeln!(
                    writer,
                    "{open},\"call_id\":{call_id},\"trace_id\":\"{trace_id}\"}}"
                )
            }
            _ => writer.write_str(&line),
        }
    }
}

fn call() -> Option<(String, String)> {
    MESSAGE.with_borrow(|current| {
        let glance = Glance::of(current.as_ref()?)?;
        let call_id = String::from_utf8_lossy(glance.call_id).into_owned();
        let trace_id = trace_id(&call_id);
        Some((call_id, trace_id))
    })
}
