//! Table: how long things take.

use super::{Section, histogram};

pub(super) const SECTION: Section = Section {
    title: "Durations",
    about: "Told by every daemon.",
    rows: &[
        histogram(
            "ims_driver_turn_duration_seconds",
            &[],
            "How long the thread of a shard is busy before it looks for new messages again.",
        ),
        histogram(
            "ims_queue_wait_duration_seconds",
            &[],
            "How long messages that were served had waited for their turn.",
        ),
    ],
};
