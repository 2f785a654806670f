//! Shell: what the program prints: a line for each step, or one JSON object; when something failed, what was said with
//! the network, and one sentence that says what probably is wrong.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ims_tests::card::wording::printable;
use ims_tests::ue::verdict::{Sort, Verdict};
use ims_tests::ue::{UeEvent, events, progress};
use serde_json::{Value, json};

use crate::out;

/// Messages that are kept to be shown when something fails.
const LADDER_MAX: usize = 200;

/// Something failed, and this is why.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.sentence)]
pub(crate) struct Failed(pub(crate) Verdict);

/// Prints. Copies of it print as one.
#[derive(Clone)]
pub(crate) struct Teller {
    is_json: bool,
    shows_ladder: bool,
    ladder: Arc<Mutex<VecDeque<String>>>,
}

impl Teller {
    /// As the options want it.
    pub(crate) fn new(is_json: bool, shows_ladder: bool) -> Self {
        Self {
            is_json,
            shows_ladder,
            ladder: Arc::default(),
        }
    }

    /// Something is so.
    pub(crate) fn fact(&self, line: &str, object: &Value) {
        match self.is_json {
            true => out::line(object),
            false => out::line(printable(line)),
        }
    }

    /// The phone saw something.
    pub(crate) fn event(&self, event: &UeEvent) {
        if self.is_json {
            out::line(events::json(event));
        } else if let Some(line) = progress::line(event) {
            out::line(printable(&line));
        }
    }

    /// A message passed.
    pub(crate) fn rung(&self, line: String) {
        match (self.shows_ladder, self.is_json) {
            (true, false) => out::line(printable(&line)),
            (true, true) => out::line(json!({"event": "message", "line": line})),
            (false, _) => {
                let mut ladder = self.ladder.lock().unwrap_or_else(PoisonError::into_inner);
                ladder.push_back(line);
                if ladder.len() > LADDER_MAX {
                    ladder.pop_front();
                }
            }
        }
    }

    /// It has failed.
    pub(crate) fn failed(&self, error: &anyhow::Error) {
        let ladder = std::mem::take(&mut *self.ladder.lock().unwrap_or_else(PoisonError::into_inner));
        if self.is_json {
            let (sort, status) = match error.downcast_ref::<Failed>() {
                Some(Failed(verdict)) => (verdict.sort, verdict.status),
                // Whatever comes later has its verdict.
                None => (Sort::Start, None),
            };
            let why = format!("{error:#}");
            let object = json!({"event": "failed", "sort": sort.word(), "status": status, "why": why, "ladder": ladder});
            out::line(object);
        } else {
            ladder.iter().for_each(|line| out::line(printable(line)));
        }
    }
}
