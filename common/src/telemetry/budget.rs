//! Table: how many lines each place in the code may still write in this second.
//!
//! Whoever can make a node decide can make it write. Without a budget a flood of requests that are refused
//! becomes a flood of lines, which costs more than the refusals and buries what an operator looks for.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Lines of one place in one second. What is left out is counted.
pub(crate) const LINES_PER_SECOND: u32 = 200;
const WINDOW: Duration = Duration::from_secs(1);

/// Windows of one second, by place. There are as many as the code has log lines.
#[derive(Debug)]
pub(crate) struct LineBudget<K> {
    windows: HashMap<K, Window>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    written: u32,
}

impl<K> Default for LineBudget<K> {
    fn default() -> Self {
        Self {
            windows: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> LineBudget<K> {
    /// Whether `place` may write one more line.
    pub(crate) fn take(&mut self, now: Instant, place: K) -> bool {
        let window = self.windows.entry(place).or_insert(Window {
            start: now,
            written: 0,
        });
        if now.saturating_duration_since(window.start) >= WINDOW {
            *window = Window {
                start: now,
                written: 0,
            };
        }
        let may = window.written < LINES_PER_SECOND;
        window.written = window.written.saturating_add(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn flooded_place_falls_silent_until_the_next_second_and_others_are_heard() {
        let mut budget = LineBudget::default();
        let now = Instant::now();
        let written = (0..1_000).filter(|_| budget.take(now, "refused")).count();
        assert_eq!(written, 200);
        assert!(budget.take(now, "ready"));
        assert!(!budget.take(now + Duration::from_millis(999), "refused"));
        assert!(budget.take(now + WINDOW, "refused"));
    }
}
