//! Engine: how long a node rests before it looks at its sockets again, so that one wake-up serves many messages.

use std::time::{Duration, Instant};

/// Rests over which the rate of messages is measured.
const RESTS: u32 = 16;
/// How many messages one rest is to gather: more would hardly make them cheaper.
const GATHERED: u32 = 8;
/// Fewer than these in the longest rest are not worth their latency.
const GATHERED_MIN: u32 = 3;

/// How long a rest is worth its latency: as long as it takes some messages to come, if they come soon enough.
///
/// A wake-up costs several times what a message costs: the kernel changes the process, and caches and branch
/// predictors hold somebody else's work.
#[derive(Clone, Debug)]
pub struct Pace {
    longest: Duration,
    rest: Duration,
    since: Option<Instant>,
    served: u32,
}

impl Pace {
    /// With rests of at most this length; zero: none.
    #[must_use]
    pub const fn new(longest: Duration) -> Self {
        Self {
            longest,
            rest: Duration::ZERO,
            since: None,
            served: 0,
        }
    }

    /// All is done for now, and so many messages were served since the last time. Says how long to rest.
    pub fn rest(&mut self, now: Instant, served: u32) -> Duration {
        self.served = self.served.saturating_add(served);
        let elapsed = now.saturating_duration_since(*self.since.get_or_insert(now));
        if elapsed >= self.longest * RESTS {
            let is_worth_it = self.longest * self.served >= elapsed * GATHERED_MIN;
            self.rest = if is_worth_it {
                (elapsed * GATHERED / self.served.max(1)).min(self.longest)
            } else {
                Duration::ZERO
            };
            self.since = Some(now);
            self.served = 0;
        }
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(5);

    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn start() -> Instant {
        Instant::now()
    }

    /// A second in which this many messages come, one by one: the last rest of it.
    fn second(pace: &mut Pace, start: Instant, messages: u32) -> Duration {
        let moments = (1..=messages).map(|n| start + Duration::from_secs(1) * n / messages);
        moments.map(|at| pace.rest(at, 1)).last().unwrap_or_default()
    }

    #[test]
    fn some_messages_in_the_longest_rest_are_worth_it() {
        assert_eq!(second(&mut Pace::new(LONGEST), start(), 1_200), LONGEST);
    }

    #[test]
    fn who_hears_less_serves_each_message_at_once() {
        assert_eq!(second(&mut Pace::new(LONGEST), start(), 400), Duration::ZERO);
    }

    #[test]
    fn the_more_comes_the_shorter_are_the_rests() {
        let rest = second(&mut Pace::new(LONGEST), start(), 8_000);
        assert!(
            rest.abs_diff(Duration::from_millis(1)) < Duration::from_micros(50),
            "{rest:?}"
        );
    }

    #[test]
    fn a_storm_that_has_passed_leaves_no_rests_behind() {
        let (mut pace, start) = (Pace::new(LONGEST), start());
        second(&mut pace, start, 1_200);
        assert_eq!(
            second(&mut pace, start + Duration::from_secs(2), 100),
            Duration::ZERO
        );
    }

    #[test]
    fn a_long_silence_does_not_hide_a_storm() {
        let (mut pace, start) = (Pace::new(LONGEST), start());
        second(&mut pace, start, 10);
        assert_eq!(
            second(&mut pace, start + Duration::from_secs(3_600), 1_200),
            LONGEST
        );
    }

    #[test]
    fn no_rest_is_none() {
        assert_eq!(
            second(&mut Pace::new(Duration::ZERO), start(), 1_200),
            Duration::ZERO
        );
    }
}
