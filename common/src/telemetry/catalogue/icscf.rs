//! Table: what an I-CSCF tells.

use super::{REASON, Section, counter, gauge};

pub(super) const SECTION: Section = Section {
    title: "I-CSCF",
    about: "Selection of the S-CSCF (TS 24.229 5.3).",
    rows: &[
        counter(
            "ims_icscf_dropped_total",
            REASON,
            "What nobody may be told a refusal of.",
        ),
        counter(
            "ims_icscf_options_total",
            REASON,
            "OPTIONS that were answered here.",
        ),
        gauge(
            "ims_icscf_queries_pending",
            &[],
            "Requests that wait for the HSS to say where they go.",
        ),
        counter(
            "ims_icscf_register_total",
            REASON,
            "REGISTERs, by what became of them.",
        ),
        gauge(
            "ims_icscf_registers_pending",
            &[],
            "REGISTERs that wait for the S-CSCF.",
        ),
        counter("ims_icscf_rejected_total", REASON, "Requests that were refused."),
        counter(
            "ims_icscf_request_total",
            REASON,
            "Other requests, by what became of them.",
        ),
        gauge(
            "ims_icscf_requests_pending",
            &[],
            "Other requests that are passed on and have no final response yet.",
        ),
    ],
};
