//! Engine: the catalogue of causes: one file each, in the order in which a phone meets them.
//!
//! A detector reads a [`Case`](super::Case) and nothing else, so that one node's view and the view of all nodes are read
//! alike. A sentence names the cause, the values that prove it and the remedy.

mod access_changed;
mod another_ipsec_user;
mod app_server_failed;
mod callee_unknown;
mod diameter_peer_down;
mod foreign_realm;
mod kernel_refuses;
mod large_datagram_lost;
mod no_route_to_ues;
mod registration_storm;
mod sms_without_gateway;
mod transport_flip;
mod voice_bearer_refused;

use super::detector::Detector;

/// All detectors.
pub const CATALOGUE: &[Detector] = &[
    foreign_realm::DETECTOR,
    registration_storm::DETECTOR,
    access_changed::DETECTOR,
    no_route_to_ues::DETECTOR,
    kernel_refuses::DETECTOR,
    another_ipsec_user::DETECTOR,
    diameter_peer_down::DETECTOR,
    callee_unknown::DETECTOR,
    app_server_failed::DETECTOR,
    voice_bearer_refused::DETECTOR,
    large_datagram_lost::DETECTOR,
    transport_flip::DETECTOR,
    sms_without_gateway::DETECTOR,
];

#[cfg(test)]
mod doctor_tests;
