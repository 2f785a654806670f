//! Codec: what the operator wants of the security agreement (TS 33.203 7).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ims_common::ipsec::Suite;

/// The configuration as the security agreement and the sets read it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IpsecPolicy {
    /// Our address towards UEs, protected or not.
    pub address: IpAddr,
    /// Our protected server port.
    pub port_ps: u16,
    /// Our protected client ports, three or more, in turns (TS 33.203 7.1).
    pub port_pc: Vec<u16>,
    /// What is accepted, the preferred first; never empty.
    pub algorithms: Vec<Suite>,
    /// Whether a REGISTER without Security-Client is served.
    pub allow_unprotected: bool,
    /// Life of a temporary set (TS 24.229 7.8, reg-await-auth).
    pub reg_await_auth: Duration,
    /// 64*T1 towards UEs: how long an old set lives beside a new one that is in use, and the last one after the
    /// de-registration (TS 24.229 5.2.2.2, 5.2.5.1).
    pub overlap: Duration,
    /// Sets at a time.
    pub sets_max: usize,
}

impl IpsecPolicy {
    /// Our server port's address, then those of the client ports.
    pub fn protected_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        std::iter::once(self.port_ps)
            .chain(self.port_pc.iter().copied())
            .map(|port| SocketAddr::new(self.address, port))
    }

    /// What a Via, a Record-Route and the UE's Route name: `host:port_ps`.
    #[must_use]
    pub fn server_host_port(&self) -> String {
        SocketAddr::new(self.address, self.port_ps).to_string()
    }
}
