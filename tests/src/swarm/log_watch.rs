//! Testkit: no identity and no key stands in the log at the default level (architecture, `Redacted`).

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

/// A key of AKA or ESP has at least so many octets.
const KEY_OCTETS: usize = 16;

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

/// The first line with an identity or a key in it since the last call.
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
        if IDENTITIES.iter().any(|identity| text.contains(identity)) || shows_key(text) {
            SAID.set(Some(text.clone()));
        }
    });
}

/// Whether there is as much hexadecimal text, or a list of as many numbers, as a key has.
fn shows_key(text: &str) -> bool {
    let hex = |word: &str| word.len() >= 2 * KEY_OCTETS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let octets = |list: &str| {
        let numbers = list.split(", ").map(str::parse::<u8>);
        numbers.filter(Result::is_ok).count() >= KEY_OCTETS
    };
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(hex) || text.split(['[', ']']).any(octets)
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
    fn a_key_in_a_line_is_found_however_it_is_printed() {
        let _guard = watch_logs();
        let key = [0xb4_u8; 16];
        tracing::info!(spi = 0x8474_6b8e_u32, ports = ?[1, 2, 3], "associations installed");
        assert_eq!(take_said(), None);
        for text in [format!("{key:?}"), "b40ba9a3c58b2a05bbf0d987b21bf8cb".to_owned()] {
            tracing::info!(key = text, "associations installed");
            assert!(take_said().is_some(), "{text}");
        }
    }

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
