//! Engine: how much new work to pass on to a next hop that refuses some of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::Rng;

/// How much more is passed on than was taken lately, in per cent: what shows that the next hop can take more again.
const PROBE_PERCENT: u64 = 120;
/// The same when the next hop has refused nothing in the last intervals.
const RECOVERY_PERCENT: u64 = 200;
const RECOVERY_INTERVALS: usize = 2;
/// One interval of counting, and how many of them count.
const INTERVAL: Duration = Duration::from_millis(500);
const INTERVALS: usize = 10;
/// Fewer requests than these say nothing.
const REQUESTS_MIN: u64 = 20;
/// The largest share that is shed, in thousandths: what is left shows when the next hop is well again.
const PERMILLE_MAX: u64 = 980;

/// Counts of one interval.
#[derive(Clone, Copy, Debug)]
struct Counts {
    since: Instant,
    taken: u32,
    /// By the next hop.
    refused: u32,
    /// By us, in its place.
    shed: u32,
}

/// A throttle that passes on a little more than what was taken in the last seconds.
///
/// It needs no agreement with the next hop: the share that is shed here follows from the share that comes back
/// refused, and goes back to nothing when all is taken.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    intervals: VecDeque<Counts>,
}

impl Throttle {
    /// Whether one more request is to be refused here.
    pub fn sheds(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        self.forget(now);
        let permille = self.permille();
        let sheds = permille > 0 && rng.random_range(0..1_000) < permille;
        if sheds {
            self.now(now).shed += 1;
        }
        sheds
    }

    /// The next hop took one.
    pub fn on_taken(&mut self, now: Instant) {
        self.forget(now);
        self.now(now).taken += 1;
    }

    /// The next hop refused one because it has too much to do.
    pub fn on_refused(&mut self, now: Instant) {
        self.forget(now);
        self.now(now).refused += 1;
    }

    /// The share of new work that is refused here, in thousandths: what came in the last seconds, without what was
    /// taken and a little more.
    #[must_use]
    pub fn permille(&self) -> u64 {
        let sum = |count: fn(&Counts) -> u32| self.intervals.iter().map(|c| u64::from(count(c))).sum::<u64>();
        let (taken, refused, shed) = (sum(|c| c.taken), sum(|c| c.refused), sum(|c| c.shed));
        let all = taken + refused + shed;
        if refused + shed == 0 || all < REQUESTS_MIN {
            return 0;
        }
        let mut latest = self.intervals.iter().rev().take(RECOVERY_INTERVALS);
        let percent = match latest.all(|counts| counts.refused == 0) {
            true => RECOVERY_PERCENT,
            false => PROBE_PERCENT,
        };
        let surplus = (all * 100).saturating_sub(taken * percent);
        (surplus * 10 / all).min(PERMILLE_MAX)
    }

    fn forget(&mut self, now: Instant) {
        let lasts = INTERVAL * u32::try_from(INTERVALS).unwrap_or(1);
        while let Some(first) = self.intervals.front() {
            if now.saturating_duration_since(first.since) < lasts {
                return;
            }
            self.intervals.pop_front();
        }
    }

    fn now(&mut self, now: Instant) -> &mut Counts {
        let is_over = |counts: &Counts| now.saturating_duration_since(counts.since) >= INTERVAL;
        let fresh = Counts {
            since: now,
            taken: 0,
            refused: 0,
            shed: 0,
        };
        match self.intervals.pop_back() {
            Some(last) if !is_over(&last) => self.intervals.push_back(last),
            last => self.intervals.extend(last.into_iter().chain([fresh])),
        }
        let Some(counts) = self.intervals.back_mut() else {
            unreachable!("one was pushed");
        };
        counts
    }
}
