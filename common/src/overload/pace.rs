//! Engine: how long a node rests before it looks at its sockets again, so that one wake-up serves many messages.

use std::time::{Duration, Instant};

/// Rests over which the rate of messages is measured.
const RESTS: u32 = 16;

/// When a rest is worth its latency: while so much comes that, on average, each rest gathers a message or more.
///
/// A wake-up costs several times what a message costs: the kernel changes the process, and caches and branch
/// predictors hold somebody else's work.
#[derive(Clone, Debug)]
pub struct Pace {
    rest: Duration,
    since: Option<Instant>,
    served: u32,
    is_steady: bool,
}

impl Pace {
    /// With rests of this length; zero: none.
    #[must_use]
    pub const fn new(rest: Duration) -> Self {
        Self {
            rest,
            since: None,
            served: 0,
            is_steady: false,
        }
    }

    /// All is done for now, and so many messages were served since the last time. Says how long to rest.
    pub fn rest(&mut self, now: Instant, served: u32) -> Duration {
        self.served = self.served.saturating_add(served);
        let elapsed = now.saturating_duration_since(*self.since.get_or_insert(now));
        if elapsed >= self.rest * RESTS {
            self.is_steady = self.rest * self.served >= elapsed;
            self.since = Some(now);
            self.served = 0;
        }
        if self.is_steady { self.rest } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(2);

    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn start() -> Instant {
        Instant::now()
    }

    /// A second in which this many messages come, one by one: how many of the moments without work were rests.
    fn rests(pace: &mut Pace, start: Instant, messages: u32) -> usize {
        let moments = (1..=messages).map(|n| start + Duration::from_secs(1) * n / messages);
        moments.filter(|at| pace.rest(*at, 1) == REST).count()
    }

    #[test]
    fn who_hears_more_than_one_message_in_a_rest_rests() {
        let mut pace = Pace::new(REST);
        assert!(rests(&mut pace, start(), 1_200) > 1_100);
    }

    #[test]
    fn who_hears_less_serves_each_message_at_once() {
        let mut pace = Pace::new(REST);
        assert_eq!(rests(&mut pace, start(), 400), 0);
    }

    #[test]
    fn a_storm_that_has_passed_leaves_no_rests_behind() {
        let (mut pace, start) = (Pace::new(REST), start());
        rests(&mut pace, start, 1_200);
        assert_eq!(rests(&mut pace, start + Duration::from_secs(2), 100), 0);
    }

    #[test]
    fn a_long_silence_does_not_hide_a_storm() {
        let (mut pace, start) = (Pace::new(REST), start());
        rests(&mut pace, start, 10);
        assert!(rests(&mut pace, start + Duration::from_secs(3_600), 1_200) > 1_100);
    }

    #[test]
    fn no_rest_is_none() {
        let mut pace = Pace::new(Duration::ZERO);
        let start = start();
        for n in 0..100 {
            assert_eq!(pace.rest(start + Duration::from_micros(n), 1), Duration::ZERO);
        }
    }
}
