//! Engine: how many lines the guard may write, so that no flood fills the log.

use std::time::{Duration, Instant};

use super::bucket::{Bucket, Size};

/// Lines a minute.
const LINES: u32 = 30;

/// A budget of lines.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    bucket: Bucket,
    kept_back: u64,
}

impl Journal {
    /// Whether one more line may be written; if so, how many were kept back before it.
    pub(crate) fn line(&mut self, now: Instant) -> Option<u64> {
        if self
            .bucket
            .fill(now, Size::new(LINES, Duration::from_secs(60), LINES))
        {
            return Some(std::mem::take(&mut self.kept_back));
        }
        self.kept_back = self.kept_back.saturating_add(1);
        None
    }
}
