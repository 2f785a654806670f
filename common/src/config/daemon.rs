//! Codec: what a node's configuration promises to the one `main` that all daemons share.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    AdminConfig, CdrConfig, Cidr, ConfigError, DurationText, ExportConfig, Harden, LimitsConfig,
    ListenAddress, LogConfig, WhyConfig,
};
use crate::ipsec::ProtectedPorts;
use crate::net::{Interface, ResolvedTarget};
use crate::node::{Seed, Sharded};
use crate::sip::UriBuf;
use crate::steering::{ShardPlace, SteeringRule};

/// The configuration of one daemon: the value below the file's one top-level key.
///
/// Derive `Deserialize` and `Serialize`, with `#[serde(deny_unknown_fields)]` on every struct.
pub trait DaemonConfig: Clone + DeserializeOwned + Send + Serialize + Sized + Sync + 'static {
    /// What runs.
    type Node: Sharded + 'static;
    /// The top-level key, and the daemon's name.
    const NAME: &'static str;
    /// The documented file: the top-level key and this node's own sections, at an indentation of two.
    ///
    /// Lines that begin with `##` are prose; lines that begin with `# ` are defaults, commented out;
    /// the rest must be set by the operator and shows documentation values.
    /// [`SHARED_DEFAULTS`](super::SHARED_DEFAULTS) is printed behind it.
    const DEFAULTS: &'static str;
    /// Which shard a message belongs to that names none.
    const STEERING: SteeringRule = SteeringRule::CallId;

    /// Keys below [`NAME`](Self::NAME) that may change while the node serves, each with all that is below it. A change of
    /// any other one needs a restart.
    const LIVE: &'static [&'static str] = &[];

    /// Gives one shard the new values of the [live](Self::LIVE) keys; all others are as they were.
    ///
    /// # Errors
    /// As [`build_shard`](Self::build_shard), which has made a node of the same configuration before.
    fn reconfigure(&self, _node: &mut Self::Node, _place: ShardPlace) -> Result<(), ConfigError> {
        Ok(())
    }

    /// How many shards there are to be.
    fn shards(&self) -> u8 {
        1
    }

    /// Makes the node without other shards and says what its shell must provide. Checks what one value alone cannot
    /// know.
    ///
    /// # Errors
    /// As [`build_shard`](Self::build_shard).
    fn build(self, seed: Seed) -> Result<(Self::Node, ShellConfig), ConfigError> {
        self.build_shard(seed, ShardPlace::ALONE)
    }

    /// Makes one shard of the node and says what its shell must provide; its limits are its part of those of the node.
    ///
    /// # Errors
    /// [`ConfigError::invalid`] with the path of the key, beginning with [`NAME`](Self::NAME).
    fn build_shard(self, seed: Seed, place: ShardPlace) -> Result<(Self::Node, ShellConfig), ConfigError>;
}

/// One address on which SIP is spoken, over UDP and, as a rule, TCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SipListener {
    /// The side of the node.
    pub interface: Interface,
    /// Address and port; never the unspecified address.
    pub address: SocketAddr,
    /// The key that said so, for complaints: `pcscf.gm.address`.
    pub key: &'static str,
    /// Whether TCP connections are accepted there too. Our protected client ports only open connections.
    pub accepts_streams: bool,
}

impl SipListener {
    /// A listener from its configuration.
    #[must_use]
    pub const fn new(interface: Interface, address: ListenAddress, key: &'static str) -> Self {
        Self {
            interface,
            address: address.socket(),
            key,
            accepts_streams: true,
        }
    }

    /// The same without TCP.
    #[must_use]
    pub const fn datagrams_only(self) -> Self {
        Self {
            accepts_streams: false,
            ..self
        }
    }
}

/// What is around a node: its shell provides none of it, and the doctor looks whether it is there.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Domain of the home network.
    pub home_realm: String,
    /// Threads that share the work.
    pub shards: u8,
    /// What the node says of itself to HSSs, and which.
    pub hss: Option<HssSurroundings>,
    /// The S-CSCF's own URI, or those that an I-CSCF may choose.
    pub server_names: Vec<String>,
    /// Where the node's requests go first.
    pub next_hops: Vec<NextHop>,
    /// Names that are answered from the configuration.
    pub hosts: BTreeMap<String, Vec<ResolvedTarget>>,
}

/// A node towards its HSSs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HssSurroundings {
    /// Our Origin-Host.
    pub origin_host: String,
    /// Our Origin-Realm.
    pub origin_realm: String,
    /// Destination-Realm of our requests.
    pub destination_realm: String,
    /// `IP:port` or `name:port` of each, the preferred one first.
    pub peers: Vec<String>,
    /// Requests without an answer on one connection.
    pub in_flight: usize,
}

/// Another node to which requests go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NextHop {
    /// What it is: `I-CSCF`.
    pub role: &'static str,
    /// The key that names it: `pcscf.icscf`.
    pub key: &'static str,
    /// Its URI.
    pub uri: UriBuf,
}

/// Everything that a node's shell must provide.
#[derive(Clone, Debug)]
pub struct ShellConfig {
    /// The daemon's name, for the log.
    pub name: &'static str,
    /// Where SIP is spoken; one per interface and address family, and of [`Interface::GmProtected`] one per port.
    pub sip: Vec<SipListener>,
    /// The network device that all SIP goes by, whatever the routes say; `None`: as they say.
    pub device: Option<String>,
    /// Where Diameter connections are accepted.
    pub diameter_listen: Option<SocketAddr>,
    /// Our end of the Diameter connections that we dial.
    pub diameter_local: Option<IpAddr>,
    /// What protected ports need of the kernel, which are bound only when it has that; `None`: no IPsec.
    pub protected: Option<ProtectedPorts>,
    /// Blocks of UE addresses: each needs a route.
    pub ue_pools: Vec<Cidr>,
    /// What is around the node, for the doctor.
    pub surroundings: Surroundings,
    /// Where the operator's HTTP is served.
    pub admin: Option<AdminConfig>,
    /// DNS servers; empty: those of the machine.
    pub dns_servers: Vec<SocketAddr>,
    /// Where charging data records go, when there are to be any.
    pub cdr: Option<CdrConfig>,
    /// What is logged.
    pub log: LogConfig,
    /// What is kept for whoever asks why something failed.
    pub why: WhyConfig,
    /// Where copies of messages go.
    pub export: ExportConfig,
    /// Limits of messages, queues and connections.
    pub limits: LimitsConfig,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// Whether the process locks itself in.
    pub harden: Harden,
    /// Files that are read while it serves, beside the configuration itself.
    pub reads: Vec<PathBuf>,
    /// Folders in which it makes and writes files while it serves.
    pub writes: Vec<PathBuf>,
}

/// Default of `drain_timeout`.
pub const DRAIN_TIMEOUT: DurationText = DurationText::secs(30);

impl ShellConfig {
    /// A shell that speaks SIP on these listeners and has defaults for all else.
    #[must_use]
    pub fn new(name: &'static str, sip: Vec<SipListener>) -> Self {
        Self {
            name,
            sip,
            device: None,
            diameter_listen: None,
            diameter_local: None,
            protected: None,
            ue_pools: Vec::new(),
            surroundings: Surroundings::default(),
            admin: None,
            dns_servers: Vec::new(),
            cdr: None,
            log: LogConfig::default(),
            why: WhyConfig::default(),
            export: ExportConfig::default(),
            limits: LimitsConfig::default(),
            drain_timeout: DRAIN_TIMEOUT.get(),
            harden: Harden::default(),
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }
}

/// `drain_timeout` when the file has none, for `#[serde(default = "…")]`.
#[must_use]
pub const fn default_drain_timeout() -> DurationText {
    DRAIN_TIMEOUT
}
