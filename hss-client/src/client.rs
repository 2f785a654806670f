//! Machine: the Cx client of a CSCF: peers, pending requests, pushes.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ims_common::net::{DiameterInput, DiameterOutput};
use ims_common::node::{Metrics, Node, Seed};

use crate::cx::{CxError, CxInput, CxOutput};

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
    /// Most requests that wait for their answers; above, [`CxError::Overloaded`].
    pub outstanding_max: usize,
    /// Host-IP-Address of the CER; empty means the connection's own address.
    pub host_ip_addresses: Vec<IpAddr>,
    /// Product-Name of the CER.
    pub product_name: String,
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
            host_ip_addresses: Vec::new(),
            product_name: "ims-core".to_owned(),
        }
    }
}

/// What happens to an [`HssClient`].
#[derive(Clone, Debug)]
pub enum HssClientInput {
    /// On Diameter.
    Diameter(DiameterInput),
    /// From the CSCF.
    Cx(CxOutput),
    /// Say goodbye to all peers, then [`HssClientOutput::Stopped`].
    Stop,
}

/// What an [`HssClient`] asks for.
#[derive(Clone, Debug)]
pub enum HssClientOutput {
    /// Of Diameter's shell.
    Diameter(DiameterOutput),
    /// To the CSCF.
    Cx(CxInput),
    /// No connection is left, after [`HssClientInput::Stop`].
    Stopped,
}

/// The Cx client of a CSCF.
#[derive(Debug)]
pub struct HssClient {
    outputs: VecDeque<HssClientOutput>,
}

impl HssClient {
    /// A client that dials its peers as soon as its outputs are drained.
    #[must_use]
    pub fn new(_config: HssClientConfig, _seed: &Seed) -> Self {
        Self {
            outputs: VecDeque::new(),
        }
    }
}

impl Node for HssClient {
    type Input = HssClientInput;
    type Output = HssClientOutput;

    fn handle(&mut self, _now: Instant, input: Self::Input) {
        match input {
            HssClientInput::Cx(CxOutput::Request { id, .. }) => {
                let answer = Err(CxError::NoPeer);
                self.outputs
                    .push_back(HssClientOutput::Cx(CxInput::Answer { id, answer }));
            }
            HssClientInput::Stop => self.outputs.push_back(HssClientOutput::Stopped),
            HssClientInput::Cx(CxOutput::PushAnswer { .. }) | HssClientInput::Diameter(_) => {}
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn metrics(&self, _out: &mut Metrics) {}
}
