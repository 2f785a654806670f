//! Engine: the catalogue of causes: one file each, in the order in which a phone meets them.
//!
//! A detector reads a [`Case`](super::Case) and nothing else, so that one node's view and the view of all nodes are read
//! alike. A sentence names the cause, the values that prove it and the remedy.

mod access_changed;
mod another_ipsec_user;
mod app_server_failed;
mod callee_unknown;
mod challenge_unanswered;
mod diameter_peer_down;
mod esp_fails_authentication;
mod foreign_realm;
mod grant_not_received;
mod hss_refuses;
mod kernel_refuses;
mod large_datagram_lost;
mod nat_before_us;
mod next_hop_unknown;
mod no_common_algorithm;
mod no_reg_subscription;
mod no_route_to_ues;
mod no_security_client;
mod node_refuses;
mod registration_loop;
mod registration_storm;
mod resynchronisation;
mod selector_forbids;
mod sms_without_gateway;
mod transport_flip;
mod unknown_spi;
mod voice_bearer_refused;
mod wrong_response;
mod wrong_scheme;

use super::detector::Detector;

/// All detectors.
pub const CATALOGUE: &[Detector] = &[
    no_security_client::DETECTOR,
    no_common_algorithm::DETECTOR,
    challenge_unanswered::DETECTOR,
    resynchronisation::DETECTOR,
    wrong_response::DETECTOR,
    wrong_scheme::DETECTOR,
    hss_refuses::DETECTOR,
    nat_before_us::DETECTOR,
    esp_fails_authentication::DETECTOR,
    selector_forbids::DETECTOR,
    unknown_spi::DETECTOR,
    grant_not_received::DETECTOR,
    no_reg_subscription::DETECTOR,
    registration_loop::DETECTOR,
    foreign_realm::DETECTOR,
    registration_storm::DETECTOR,
    node_refuses::DETECTOR,
    access_changed::DETECTOR,
    no_route_to_ues::DETECTOR,
    kernel_refuses::DETECTOR,
    another_ipsec_user::DETECTOR,
    diameter_peer_down::DETECTOR,
    next_hop_unknown::DETECTOR,
    callee_unknown::DETECTOR,
    app_server_failed::DETECTOR,
    voice_bearer_refused::DETECTOR,
    large_datagram_lost::DETECTOR,
    transport_flip::DETECTOR,
    sms_without_gateway::DETECTOR,
];

#[cfg(test)]
mod doctor_tests;
