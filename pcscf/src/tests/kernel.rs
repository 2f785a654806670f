//! Testkit: a pretended kernel that does what it is asked, or says why not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ims_common::ipsec::{SaSet, SaSetId, XfrmFailure, XfrmInput, XfrmOutput};

/// What the kernel has, and what it has been asked.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    /// Sets that are there.
    pub(crate) sets: BTreeMap<SaSetId, Arc<SaSet>>,
    /// How long each is to live, as it was last told.
    pub(crate) lifetimes: BTreeMap<SaSetId, Duration>,
    /// What the next sets fail with.
    pub(crate) failures: VecDeque<XfrmFailure>,
    /// Keeps its answers back.
    pub(crate) is_silent: bool,
    asked: VecDeque<XfrmOutput>,
}

impl Kernel {
    pub(crate) fn ask(&mut self, output: XfrmOutput) {
        self.asked.push_back(output);
    }

    /// Does the next thing that it was asked for.
    pub(crate) fn answer(&mut self) -> Option<XfrmInput> {
        if self.is_silent {
            return None;
        }
        Some(match self.asked.pop_front()? {
            XfrmOutput::Install { set, lifetime } => {
                let id = set.id;
                if let Some(failure) = self.failures.pop_front() {
                    return Some(XfrmInput::InstallFailed { id, failure });
                }
                self.lifetimes.insert(id, lifetime);
                self.sets.insert(id, set);
                XfrmInput::Installed { id }
            }
            XfrmOutput::Extend { set, lifetime } => {
                self.lifetimes.insert(set.id, lifetime);
                XfrmInput::Extended { id: set.id }
            }
            XfrmOutput::Remove { id } => {
                self.sets.remove(&id);
                XfrmInput::Removed { id }
            }
        })
    }

    /// How many sets there are.
    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The latest set.
    pub(crate) fn newest(&self) -> &Arc<SaSet> {
        self.sets.values().next_back().expect("no set")
    }
}
