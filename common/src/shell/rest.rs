//! Shell: rests: a thread that has done all sleeps a little before it asks the kernel for more.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::overload::Pace;

/// Longer ones would let timers of SIP fire (RFC 3261 17: T1 is 500 ms) before the answer has passed all nodes.
const REST_MAX: Duration = Duration::from_millis(20);

/// Counts what a driver serves, and lets its thread rest.
#[derive(Clone, Default)]
pub(super) struct Rest {
    served: Arc<AtomicU32>,
}

impl Rest {
    /// One message was served.
    pub(super) fn count(&self) {
        self.served.fetch_add(1, Relaxed);
    }

    /// What the runtime of the thread does when no task has anything to do (`on_thread_park`). The thread itself
    /// sleeps: an event cannot end that early, so that its sender wakes nobody, and no timer of the runtime is set.
    pub(super) fn before_park(&self, rest: Duration) -> impl Fn() + Send + Sync + 'static {
        let rest = rest.min(REST_MAX);
        let served = Arc::clone(&self.served);
        // One thread asks, so that nobody ever waits for this.
        let pace = Mutex::new(Pace::new(rest));
        move || {
            if rest.is_zero() {
                return;
            }
            let served = served.swap(0, Relaxed);
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            let rest = pace.rest(Instant::now(), served);
            if !rest.is_zero() {
                thread::sleep(rest);
            }
        }
    }
}
