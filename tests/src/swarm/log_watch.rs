//! Testkit: no identity stands in the log at the default level (architecture, `Redacted`).

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// What every identity of a simulated subscriber has in it: the IMSI, and the number.
const IDENTITIES: [&str; 2] = ["0010100000", "15550"];

thread_local! {
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Watches the log of this thread until the guard is dropped.
#[must_use]
pub fn watch_logs() -> DefaultGuard {
    let watch = tracing_subscriber::registry().with(LogWatch.with_filter(LevelFilter::INFO));
    tracing::subscriber::set_default(watch)
}

/// The first line with an identity in it since the last call.
pub(super) fn take_said() -> Option<String> {
    SAID.take()
}

struct LogWatch;

impl<S: Subscriber> Layer<S> for LogWatch {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        listen(|line| event.record(line));
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        listen(|line| attributes.record(line));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        listen(|line| values.record(line));
    }
}

fn listen(record: impl FnOnce(&mut Line<'_>)) {
    LINE.with_borrow_mut(|text| {
        text.clear();
        record(&mut Line(text));
        if IDENTITIES.iter().any(|identity| text.contains(identity)) {
            SAID.set(Some(text.clone()));
        }
    });
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_in_a_line_is_found_and_other_lines_are_not() {
        let _guard = watch_logs();
        tracing::info!(outcome = "registered", "REGISTER answered");
        tracing::debug!(impi = "001010000000001@example", "below the level");
        assert_eq!(take_said(), None);
        tracing::info!(impi = "001010000000001@example", "REGISTER answered");
        assert!(take_said().is_some_and(|line| line.contains("REGISTER answered")));
        assert_eq!(take_said(), None);
    }
}
