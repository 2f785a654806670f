//! Table: what transactions, the proxy core and Diameter tell.

use super::{Label, REASON, Section, Values, counter, gauge, one_of};

/// The methods that are known, and `other` for all else.
pub(crate) const METHODS: &[&str] = &[
    "REGISTER",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "INFO",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "REFER",
    "other",
];

const CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

pub(super) const SECTION: Section = Section {
    title: "SIP transactions",
    about: "Told by every daemon.",
    rows: &[
        counter(
            "ims_sip_acks_dropped_total",
            REASON,
            "ACKs for a 2xx that could not be passed on.",
        ),
        counter(
            "ims_sip_failovers_total",
            REASON,
            "Requests that went on to another server of the same name (RFC 3263 4.3).",
        ),
        gauge(
            "ims_sip_forwards",
            &[],
            "Requests that have been passed on and wait for their final response.",
        ),
        counter(
            "ims_sip_malformed_total",
            REASON,
            "Messages that came and are no SIP, or lack what every message has.",
        ),
        counter(
            "ims_sip_refusals_forgotten_total",
            REASON,
            "Refusals that found no room in the list of those that are repeated without work.",
        ),
        counter(
            "ims_sip_refusals_total",
            REASON,
            "Requests that were refused before a procedure saw them: overload, limits, unknown extensions, draining.",
        ),
        counter(
            "ims_sip_requests_total",
            &[one_of("method", METHODS)],
            "Requests that came, repeated ones among them.",
        ),
        counter(
            "ims_sip_resolve_failures_total",
            REASON,
            "Requests whose next hop has no address in DNS.",
        ),
        gauge(
            "ims_sip_response_contexts",
            &[],
            "Requests that are forked or relayed and wait for their best response (RFC 3261 16.7).",
        ),
        counter(
            "ims_sip_responses_dropped_total",
            REASON,
            "Responses that may not be passed on.",
        ),
        counter(
            "ims_sip_responses_total",
            &[one_of("reason", CLASSES)],
            "Responses that went to who asked, by class of status.",
        ),
        counter(
            "ims_sip_responses_unmatched_total",
            REASON,
            "Responses that belong to no request (RFC 6026 8.2).",
        ),
        counter(
            "ims_sip_retransmissions_total",
            REASON,
            "Messages that came or went once more.",
        ),
        counter(
            "ims_sip_send_failures_total",
            REASON,
            "Messages of transactions that could not be sent.",
        ),
        counter(
            "ims_sip_timeouts_total",
            REASON,
            "Transactions that a timer ended, by its name in RFC 3261.",
        ),
        gauge(
            "ims_sip_transaction_bytes",
            &[one_of("state", &["running", "completed"])],
            "Octets of messages that transactions keep, for as long as they may have to be repeated.",
        ),
        gauge(
            "ims_sip_transactions",
            &[one_of("side", &["server", "client"])],
            "Transactions that are alive.",
        ),
        counter(
            "ims_sip_transactions_evicted_total",
            REASON,
            "Transactions that were forgotten early for want of room.",
        ),
        counter(
            "ims_sip_transactions_overdue_total",
            REASON,
            "Requests that nothing had answered when the last moment came; each is a fault of this program.",
        ),
    ],
};

pub(super) const DIAMETER: Section = Section {
    title: "Diameter and Cx",
    about: "Told by I-CSCF and S-CSCF.",
    rows: &[
        counter(
            "ims_cx_answers_total",
            REASON,
            "What became of requests to the HSS.",
        ),
        gauge(
            "ims_cx_overload_reports",
            &[],
            "Reports of overload (RFC 7683) that hold now.",
        ),
        counter(
            "ims_cx_overload_reports_total",
            REASON,
            "Reports of overload (RFC 7683) that came.",
        ),
        gauge(
            "ims_cx_peer_requests_pending",
            &[Label {
                name: "peer",
                values: Values::Peer,
            }],
            "Requests that this peer has not answered yet.",
        ),
        gauge(
            "ims_cx_pushes_remembered",
            &[],
            "Answers to requests of the HSS that are kept, in case it repeats them.",
        ),
        counter("ims_cx_pushes_total", REASON, "Requests of the HSS (RTR, PPR)."),
        gauge(
            "ims_cx_requests_pending",
            &[],
            "Requests to the HSS that have no answer yet, sent or waiting.",
        ),
        counter(
            "ims_cx_requests_total",
            REASON,
            "Requests to the HSS, by command; left_out are those that an overloaded HSS asked to be spared.",
        ),
        gauge(
            "ims_cx_requests_waiting",
            &[],
            "Requests to the HSS that wait for its window or for a peer.",
        ),
        counter(
            "ims_diameter_events_total",
            REASON,
            "What happened to Diameter peers.",
        ),
        gauge(
            "ims_diameter_peers_open",
            &[],
            "Diameter peers that have exchanged capabilities and answer.",
        ),
    ],
};
