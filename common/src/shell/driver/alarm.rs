//! Shell: the one timer of a driver.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context as TaskContext;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

/// The one timer of the driver. Setting it costs more than waking once for nothing: it is only ever set earlier.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set_to: Option<Instant>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep(Duration::ZERO)),
            set_to: None,
        }
    }

    /// Whether it has gone off, at `deadline` or at an earlier one that is no more.
    pub(super) fn poll(&mut self, task: &mut TaskContext<'_>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            return false;
        };
        if self.set_to.is_none_or(|set_to| deadline < set_to) {
            self.sleep.as_mut().reset(deadline.into());
            self.set_to = Some(deadline);
        }
        let has_rung = self.sleep.as_mut().poll(task).is_ready();
        if has_rung {
            self.set_to = None;
        }
        has_rung
    }
}
