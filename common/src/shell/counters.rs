//! Shell: what the sockets count. Tasks add, the driver exports.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::node::Metrics;

macro_rules! counters {
    ($($field:ident: $name:literal [$($label:literal = $value:literal),*];)*) => {
        /// One number per event of the sockets.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $field: Counter,)*
        }

        impl Counters {
            /// Copies everything to `out`.
            pub(crate) fn export(&self, out: &mut Metrics) {
                $(out.counter($name, &[$(($label, $value)),*], self.$field.get());)*
            }
        }
    };
}

counters! {
    udp_received: "ims_sip_received_total" ["transport" = "udp"];
    tcp_received: "ims_sip_received_total" ["transport" = "tcp"];
    udp_sent: "ims_sip_sent_total" ["transport" = "udp"];
    tcp_sent: "ims_sip_sent_total" ["transport" = "tcp"];
    malformed: "ims_sip_unreadable_total" [];
    keep_alive: "ims_sip_keep_alive_total" [];
    dropped_queue_full: "ims_sip_dropped_total" ["reason" = "queue full"];
    handed_over: "ims_shard_handed_over_total" [];
    handed_over_full: "ims_shard_queue_full_total" [];
    udp_dropped_send_buffer: "ims_sip_dropped_total" ["reason" = "send buffer full"];
    udp_receive_errors: "ims_sip_receive_errors_total" [];
    send_no_socket: "ims_sip_send_failed_total" ["reason" = "no socket"];
    send_error: "ims_sip_send_failed_total" ["reason" = "socket error"];
    send_no_connection: "ims_sip_send_failed_total" ["reason" = "connection gone"];
    send_connect_failed: "ims_sip_send_failed_total" ["reason" = "connect failed"];
    send_connections_full: "ims_sip_send_failed_total" ["reason" = "too many connections"];
    send_write_limit: "ims_sip_send_failed_total" ["reason" = "write limit"];
    tcp_accepted: "ims_connections_opened_total" ["protocol" = "sip", "side" = "remote"];
    tcp_dialled: "ims_connections_opened_total" ["protocol" = "sip", "side" = "local"];
    refused_total: "ims_connections_refused_total" ["protocol" = "sip", "reason" = "too many"];
    refused_address: "ims_connections_refused_total" ["protocol" = "sip", "reason" = "too many from one address"];
    closed_peer: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "peer"];
    closed_node: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "node"];
    closed_framing: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "framing lost"];
    closed_slow: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "slow message"];
    closed_idle: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "idle"];
    closed_write_limit: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "write limit"];
    closed_error: "ims_connections_closed_total" ["protocol" = "sip", "reason" = "socket error"];
    accept_errors: "ims_accept_errors_total" [];
    diameter_received: "ims_diameter_received_total" [];
    diameter_sent: "ims_diameter_sent_total" [];
    diameter_accepted: "ims_connections_opened_total" ["protocol" = "diameter", "side" = "remote"];
    diameter_dialled: "ims_connections_opened_total" ["protocol" = "diameter", "side" = "local"];
    diameter_connect_failed: "ims_diameter_connect_failed_total" [];
    diameter_refused: "ims_connections_refused_total" ["protocol" = "diameter", "reason" = "too many"];
    diameter_closed: "ims_connections_closed_total" ["protocol" = "diameter", "reason" = "peer"];
    diameter_closed_node: "ims_connections_closed_total" ["protocol" = "diameter", "reason" = "node"];
    diameter_closed_framing: "ims_connections_closed_total" ["protocol" = "diameter", "reason" = "framing lost"];
    diameter_closed_write_limit: "ims_connections_closed_total" ["protocol" = "diameter", "reason" = "write limit"];
    dns_questions: "ims_dns_questions_total" [];
    dns_empty: "ims_dns_empty_answers_total" ["reason" = "nothing found"];
    dns_overload: "ims_dns_empty_answers_total" ["reason" = "too many questions"];
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// The present value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
