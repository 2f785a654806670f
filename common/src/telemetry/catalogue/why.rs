//! Table: what the record of what happened to subscribers tells of itself.

use super::{Label, REASON, Section, Values, counter, gauge};

pub(super) const SECTION: Section = Section {
    title: "What happened to subscribers",
    about: "Told by every daemon that keeps the record from which `imsctl why` explains.",
    rows: &[
        counter(
            "ims_why_findings_total",
            &[Label {
                name: "detector",
                values: Values::Reason,
            }],
            "Failures that were explained, by the detector that did.",
        ),
        counter(
            "ims_why_follow_left_out_total",
            REASON,
            "Steps that a reader who follows live was too slow for.",
        ),
        counter(
            "ims_why_follow_refused_total",
            REASON,
            "Readers who could not follow live.",
        ),
        gauge("ims_why_names", &[], "Names by which a record can be found."),
        counter(
            "ims_why_not_looked_total",
            REASON,
            "Failures that nobody looked at, for want of room.",
        ),
        gauge(
            "ims_why_stories",
            &[],
            "Records that are kept, one for each Call-ID.",
        ),
        counter(
            "ims_why_stories_evicted_total",
            &[],
            "Records that were forgotten early for want of room.",
        ),
        counter(
            "ims_why_unread_total",
            REASON,
            "Messages that the record could not read.",
        ),
    ],
};
