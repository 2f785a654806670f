//! Table: what sources did lately.
//!
//! Two generations: who sends is in the young one; when that is full the old one is forgotten and takes its place. So no
//! number of new addresses drives out a source that goes on sending, and looking one up costs the same at any size. Who is
//! silent for [`GENERATION`] has nothing left that counts, and is forgotten after one to two of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::source::Source;

/// Over which challenges and registrations are counted; a challenge is judged after one to two of them.
pub(crate) const WINDOW: Duration = Duration::from_secs(20);

/// After which the generations change in any case.
pub(crate) const GENERATION: Duration = Duration::from_secs(120);

/// Challenges and what came of them.
#[derive(Clone, Copy, Debug, Default)]
struct Outcomes {
    challenged: u32,
    registered: u32,
}

/// What one source did lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched {
    pub(crate) messages: Bucket,
    /// Twice as large: what overflows this one too is not even refused.
    pub(crate) flood: Bucket,
    pub(crate) failures: Bucket,
    /// Registrations that made up for failures.
    pub(crate) relief: Bucket,
    /// A registration was granted there: what we send arrives.
    is_proven: bool,
    /// Messages that look like a scanner's.
    signs: u32,
    window: Option<Instant>,
    before: Outcomes,
    latest: Outcomes,
}

impl Watched {
    /// A 401 (Unauthorized) went there.
    pub(crate) fn challenged(&mut self) {
        self.latest.challenged = self.latest.challenged.saturating_add(1);
    }

    /// A registration was granted.
    pub(crate) fn registered(&mut self) {
        self.latest.registered = self.latest.registered.saturating_add(1);
        self.is_proven = true;
    }

    /// Whether a registration was granted.
    pub(crate) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// One more message looks like a scanner's; says how many do.
    pub(crate) fn sign(&mut self) -> u32 {
        self.signs = self.signs.saturating_add(1);
        self.signs
    }

    /// How many challenges had their time and came to nothing, each told once.
    pub(crate) fn unanswered(&mut self, now: Instant) -> u32 {
        let since = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed < WINDOW {
            return 0;
        }
        self.window = Some(now);
        let unanswered = self.close_window();
        match elapsed >= 2 * WINDOW {
            true => unanswered + self.close_window(),
            false => unanswered,
        }
    }

    /// Registrations pay for the challenges before them; what is left of them, for those of their own window.
    fn close_window(&mut self) -> u32 {
        let latest = std::mem::take(&mut self.latest);
        let registered = self.before.registered.saturating_add(latest.registered);
        let paid = self.before.challenged.min(registered);
        let unanswered = self.before.challenged - paid;
        self.before = Outcomes {
            challenged: latest.challenged,
            registered: (registered - paid).min(latest.challenged),
        };
        unanswered
    }
}

/// Sources, limited in number.
#[derive(Debug)]
pub(crate) struct WatchedTable {
    limit: usize,
    young: HashMap<Source, Watched>,
    old: HashMap<Source, Watched>,
    forgotten: u64,
    changes_at: Option<Instant>,
}

impl WatchedTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(2),
            young: HashMap::new(),
            old: HashMap::new(),
            forgotten: 0,
            changes_at: None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.changes_at
    }

    /// Forgets who was silent for long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.changes_at.is_none_or(|at| now < at) {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        self.changes_at = (!self.old.is_empty()).then(|| now + GENERATION);
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// How many were forgotten for others.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(crate) fn forget(&mut self, source: Source) {
        self.young.remove(&source);
        self.old.remove(&source);
    }

    /// What a source did.
    pub(crate) fn of(&mut self, now: Instant, source: Source) -> &mut Watched {
        self.changes_at.get_or_insert(now + GENERATION);
        if !self.young.contains_key(&source) {
            let known = self.old.remove(&source).unwrap_or_default();
            if self.young.len() >= self.limit / 2 {
                self.forgotten += self.old.len() as u64;
                self.old.clear();
                std::mem::swap(&mut self.young, &mut self.old);
            }
            self.young.insert(source, known);
        }
        self.young.entry(source).or_default()
    }
}
