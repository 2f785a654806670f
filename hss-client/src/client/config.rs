//! Codec: what a Cx client is told once.

use std::net::IpAddr;
use std::time::Duration;

use ims_common::config::HssSurroundings;

/// What a Cx client is told once.
#[derive(Clone, Debug)]
pub struct HssClientConfig {
    /// Our Origin-Host; the same over restarts (TS 29.229 5.5), and no other node's.
    pub origin_host: String,
    /// Our Origin-Realm.
    pub origin_realm: String,
    /// Destination-Realm of our requests.
    pub destination_realm: String,
    /// `IP:port` or `name:port` of each HSS, the preferred one first.
    pub peers: Vec<String>,
    /// How long a request waits for its answer.
    pub request_timeout: Duration,
    /// Tw of RFC 3539, at least 6 s.
    pub watchdog: Duration,
    /// Tc of RFC 6733 2.1: the time between two attempts to connect.
    pub reconnect: Duration,
    /// Most requests that wait for their answers; above, [`CxError::Overloaded`](crate::cx::CxError::Overloaded).
    pub outstanding_max: usize,
    /// Most requests without an answer on one connection; further ones wait for their turn. There are HSSs
    /// that lose the second of two messages that arrive together: 1 serves them.
    pub in_flight_max: usize,
    /// Host-IP-Address of the CER; empty means the connection's own address.
    pub host_ip_addresses: Vec<IpAddr>,
    /// Product-Name of the CER.
    pub product_name: String,
    /// Whether we know shared filter criteria (SiFC, TS 29.229 7.1.1): then the HSS may name them by number only.
    pub shared_ifc: bool,
}

impl HssClientConfig {
    /// What the doctor looks at before the client dials.
    #[must_use]
    pub fn surroundings(&self) -> HssSurroundings {
        HssSurroundings {
            origin_host: self.origin_host.clone(),
            origin_realm: self.origin_realm.clone(),
            destination_realm: self.destination_realm.clone(),
            peers: self.peers.clone(),
            in_flight: self.in_flight_max,
        }
    }

    /// Feature-List 1 of TS 29.229 7.1.1: bit 0 is SiFC.
    pub(crate) const fn features(&self) -> u32 {
        self.shared_ifc as u32
    }
}

impl Default for HssClientConfig {
    fn default() -> Self {
        Self {
            origin_host: String::new(),
            origin_realm: String::new(),
            destination_realm: String::new(),
            peers: Vec::new(),
            request_timeout: Duration::from_secs(5),
            watchdog: Duration::from_secs(30),
            reconnect: Duration::from_secs(30),
            outstanding_max: 10_000,
            in_flight_max: 1_000,
            host_ip_addresses: Vec::new(),
            product_name: "ims-core".to_owned(),
            shared_ifc: false,
        }
    }
}
