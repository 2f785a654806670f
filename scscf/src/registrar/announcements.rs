//! Table: identities that came or went, for the other shards of the node.

use std::collections::VecDeque;

use ims_common::identity::Impu;

/// Those that nobody has heard of yet. A node without other shards tells nobody.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    is_on: bool,
    touched: VecDeque<Impu>,
}

impl Announcements {
    /// From now on there is somebody to tell.
    pub(super) const fn begin(&mut self) {
        self.is_on = true;
    }

    /// Whether there is.
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// An identity may have come or gone. One that goes and comes back at once has stayed.
    pub(super) fn add(&mut self, impu: &Impu) {
        if self.is_on && !self.touched.contains(impu) {
            self.touched.push_back(impu.clone());
        }
    }

    pub(super) fn pop(&mut self) -> Option<Impu> {
        self.touched.pop_front()
    }
}
