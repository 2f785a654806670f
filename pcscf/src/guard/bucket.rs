//! Engine: a leaky bucket that is one instant: when it will have run dry.

use std::time::{Duration, Instant};

/// How much a bucket holds and how fast it runs dry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Drops at once.
    pub(crate) burst: u32,
    /// How long one drop takes to leak.
    pub(crate) leak: Duration,
}

impl Size {
    /// So many drops in a time, and as a burst.
    pub(crate) fn new(count: u32, within: Duration, burst: u32) -> Self {
        Self {
            burst: burst.max(1),
            leak: within / count.max(1),
        }
    }
}

/// A bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    dry: Option<Instant>,
}

impl Bucket {
    /// One drop more, if there is room.
    pub(crate) fn fill(&mut self, now: Instant, size: Size) -> bool {
        let dry = self.dry.map_or(now, |dry| dry.max(now)) + size.leak;
        if dry.saturating_duration_since(now) > size.leak * size.burst {
            return false;
        }
        self.dry = Some(dry);
        true
    }

    /// Takes drops out.
    pub(crate) fn relieve(&mut self, size: Size, drops: u32) {
        self.dry = self.dry.and_then(|dry| dry.checked_sub(size.leak * drops));
    }
}
