//! Table: what the process and its sockets tell.

use super::{Label, REASON, Section, WHY, counter, gauge, one_of};

const PROTOCOL: Label = one_of("protocol", &["sip", "diameter"]);
const TRANSPORT: &[Label] = &[one_of("transport", &["udp", "tcp"])];

pub(super) const SECTION: Section = Section {
    title: "The process",
    about: "Told by every daemon.",
    rows: &[
        counter(
            "ims_admin_requests_total",
            REASON,
            "Requests of operators, by what was decided: admitted, or why not.",
        ),
        gauge(
            "ims_config_generation",
            &[],
            "How often another configuration was taken since the start.",
        ),
        counter(
            "ims_config_reloads_total",
            REASON,
            "How often the configuration was read again, by what came of it: applied, unchanged, refused, broken.",
        ),
        gauge(
            "ims_draining",
            &[],
            "1 while the node finishes what it has and takes nothing new.",
        ),
        counter(
            "ims_log_lines_left_out_total",
            &[],
            "Lines that are not in the log, because their place in the code wrote more than 200 in a second or the log's reader was too slow.",
        ),
        gauge(
            "ims_queue_delay_seconds",
            &[],
            "How long the message that was served last had waited; of several shards the longest.",
        ),
        gauge(
            "ims_queue_length",
            &[one_of("work", &["in_progress", "new", "events"])],
            "Messages that wait for their turn, by what they belong to; events are those of sockets, DNS and operators.",
        ),
        counter(
            "ims_shard_handed_over_total",
            &[],
            "Messages that came to one shard and belong to another.",
        ),
        counter(
            "ims_shard_queue_full_total",
            &[],
            "Messages for another shard that had too many waiting.",
        ),
        gauge("ims_shards", &[], "Shards that the node has."),
        gauge("ims_uptime_seconds", &[], "Since the node said that it is ready."),
    ],
};

pub(super) const SOCKETS: Section = Section {
    title: "Sockets",
    about: "Told by every daemon.",
    rows: &[
        counter(
            "ims_accept_errors_total",
            &[],
            "Connections that the system could not accept, as when files have run out.",
        ),
        gauge(
            "ims_connections",
            &[PROTOCOL],
            "Stream connections that are open.",
        ),
        counter(
            "ims_connections_closed_total",
            &[PROTOCOL, WHY],
            "Stream connections that have ended, by who or what ended them.",
        ),
        counter(
            "ims_connections_opened_total",
            &[PROTOCOL, one_of("side", &["local", "remote"])],
            "Stream connections that were opened, by who opened them.",
        ),
        counter(
            "ims_connections_refused_total",
            &[PROTOCOL, WHY],
            "Stream connections that were closed at once.",
        ),
        counter(
            "ims_diameter_connect_failed_total",
            &[],
            "Dials of a Diameter peer that failed.",
        ),
        counter("ims_diameter_received_total", &[], "Diameter messages that came."),
        counter("ims_diameter_sent_total", &[], "Diameter messages that went."),
        counter(
            "ims_dns_empty_answers_total",
            REASON,
            "Questions to DNS that nothing came of.",
        ),
        counter("ims_dns_questions_total", &[], "Questions to DNS."),
        counter(
            "ims_sip_dropped_total",
            REASON,
            "SIP messages that were lost here, as on a wire.",
        ),
        counter(
            "ims_sip_keep_alive_total",
            &[],
            "Keep-alives (RFC 5626 3.5.1, and empty datagrams) that came.",
        ),
        counter(
            "ims_sip_receive_errors_total",
            &[],
            "Errors of a UDP socket when it was read.",
        ),
        counter("ims_sip_received_total", TRANSPORT, "SIP messages that came."),
        counter(
            "ims_sip_send_failed_total",
            REASON,
            "SIP messages that a socket did not take.",
        ),
        counter("ims_sip_sent_total", TRANSPORT, "SIP messages that went."),
        counter(
            "ims_sip_unreadable_total",
            &[],
            "What came and does not scan as SIP; why, ims_sip_malformed_total tells.",
        ),
    ],
};
