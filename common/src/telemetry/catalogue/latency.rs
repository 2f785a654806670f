//! Table: how long things take.

use super::sip::METHODS;
use super::{Label, Section, counter, histogram, one_of};

/// The class of a final status.
pub(crate) const STATUS_CLASSES: &[&str] = &["2xx", "3xx", "4xx", "5xx", "6xx"];
/// Commands of the base protocol and of Cx, and `other`.
pub(crate) const COMMANDS: &[&str] = &[
    "CER", "DWR", "DPR", "UAR", "SAR", "LIR", "MAR", "RTR", "PPR", "other",
];
/// The class of a Diameter result.
pub(crate) const RESULTS: &[&str] = &[
    "success",
    "protocol_error",
    "transient_failure",
    "permanent_failure",
    "other",
];

const METHOD: Label = one_of("method", METHODS);
const SIDE: Label = one_of("side", &["server", "client"]);

pub(super) const SECTION: Section = Section {
    title: "Durations",
    about: "Told by every daemon. Seen from its border: from when a message is taken up to when its answer goes, or from \
            when a request goes until its answer is taken up.",
    rows: &[
        histogram(
            "ims_call_post_dial_delay_seconds",
            &[],
            "From a first INVITE to the first sign of the callee: a provisional response other than 100, or a final one (RFC 6076 4.3).",
        ),
        histogram(
            "ims_call_setup_duration_seconds",
            &[one_of("until", &["ringing", "answer"])],
            "From a first INVITE to its 180, and to its 2xx.",
        ),
        histogram(
            "ims_diameter_request_duration_seconds",
            &[SIDE, one_of("command", COMMANDS), one_of("result", RESULTS)],
            "Requests to Diameter peers (client) and of them (server), until the answer.",
        ),
        histogram(
            "ims_driver_turn_duration_seconds",
            &[],
            "How long the thread of a shard is busy before it looks for new messages again.",
        ),
        counter(
            "ims_latency_unmeasured_total",
            &[],
            "Requests whose duration is not measured, because too many are in progress.",
        ),
        histogram(
            "ims_queue_wait_duration_seconds",
            &[],
            "How long messages that were served had waited for their turn.",
        ),
        histogram(
            "ims_registration_duration_seconds",
            &[one_of("kind", &["initial", "again", "end"])],
            "From a REGISTER to the 200 that it leads to, the phone's answer to a challenge included.",
        ),
        histogram(
            "ims_sip_request_duration_seconds",
            &[
                one_of("interface", &["gm", "gm_protected", "mw"]),
                SIDE,
                METHOD,
                one_of("status", STATUS_CLASSES),
            ],
            "Requests that came (server) and went (client), until the final response.",
        ),
    ],
};
