//! Codec: the sections that every node's configuration shares. Defaults stand here and nowhere else.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ConfigError, DomainName, DurationText, HostsConfig, ListenAddress, PeerAddress};
use crate::limits::SipLimits;
use crate::net::Interface;
use crate::overload::{RetryAfter, WaitingLimits};
use crate::proxy::{HostsTable, InterfaceConfig, ProxyCoreConfig, ProxyLimits, SipTimers};
use crate::sip::UriBuf;
use crate::steering::ShardPlace;
use crate::token::ShardId;

/// One side of a node: `gm: {address: 10.20.0.5}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MwConfig {
    /// Address of SIP, UDP and TCP; port 5060 unless said.
    pub address: ListenAddress,
    /// MTU of the paths to the other CSCFs, octets, where it is known. A request goes over TCP when it is within 200
    /// octets of it, else above 1300 octets (RFC 3261 18.1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u16>,
}

impl MwConfig {
    /// The side of a node towards the other CSCFs.
    #[must_use]
    pub fn interface(&self, timers: &SipTimersConfig) -> InterfaceConfig {
        let own = timers.interface(Interface::Mw, self.address);
        let known = self
            .path_mtu
            .map(|mtu| usize::from(mtu.saturating_sub(MTU_MARGIN)));
        InterfaceConfig {
            tcp_above_bytes: known.unwrap_or(own.tcp_above_bytes),
            ..own
        }
    }
}

/// RFC 3261 18.1.1: "If a request is within 200 bytes of the path MTU …"
const MTU_MARGIN: u16 = 200;

/// The Diameter side of an I- or S-CSCF towards the HSS (TS 29.229).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HssConfig {
    /// In the order in which to try: `IP:port` or `name:port`, port 3868 unless said; `sctp://` before it for SCTP.
    #[serde(default)]
    pub peers: Vec<PeerAddress>,
    /// Origin-Host of this node.
    pub origin_host: DomainName,
    /// Origin-Realm; the home realm unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_realm: Option<DomainName>,
    /// Destination-Realm; the home realm unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_realm: Option<DomainName>,
    /// Where to accept connections of HSSs that dial us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Timers and limits of Cx: `cx: {request_timeout: 5s}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CxConfig {
    /// Longest wait for the answer of one HSS; another one is tried once after that.
    pub request_timeout: DurationText,
    /// Tw (RFC 3539 3.4.1), before jitter.
    pub watchdog: DurationText,
    /// Tc (RFC 6733 2.1): longest pause between dial attempts, which start with one second.
    pub reconnect: DurationText,
    /// Requests without an answer at a time; above, they fail at once.
    pub outstanding: usize,
    /// Requests without an answer on one connection; further ones wait. PyHSS 1.0 needs 1.
    pub in_flight: usize,
}

impl Default for CxConfig {
    fn default() -> Self {
        Self {
            request_timeout: DurationText::secs(5),
            watchdog: DurationText::secs(30),
            reconnect: DurationText::secs(30),
            outstanding: 20_000,
            in_flight: 1_000,
        }
    }
}

/// Timers of SIP on both sides (TS 24.229 table 7.7.1).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SipTimersConfig {
    /// Towards UEs: 2 s, 16 s, 17 s.
    pub gm: GmTimersConfig,
    /// Between CSCFs: the values of RFC 3261.
    pub mw: MwTimersConfig,
}

/// The SIP URI in `text`, which stands at `key`.
///
/// # Errors
/// A complaint about `key` when it is another URI or none.
pub fn sip_uri(key: &str, text: &str) -> Result<UriBuf, ConfigError> {
    text.parse()
        .ok()
        .filter(|uri: &UriBuf| uri.as_uri().is_sip())
        .ok_or_else(|| {
            let problem = format!("`{text}` is not a SIP URI");
            ConfigError::invalid(key, problem, "sip:host or sip:host:port")
        })
}

/// Above this, a request to an address goes over TCP (RFC 3261 18.1.1: the path MTU is not known).
const TCP_ABOVE_BYTES: usize = 1_300;

impl SipTimersConfig {
    /// The side of a node at `address`.
    #[must_use]
    pub fn interface(&self, interface: Interface, address: ListenAddress) -> InterfaceConfig {
        let [t1, t2, t4, timer_c] = match interface {
            Interface::Gm | Interface::GmProtected => [self.gm.t1, self.gm.t2, self.gm.t4, self.gm.timer_c],
            Interface::Mw => [self.mw.t1, self.mw.t2, self.mw.t4, self.mw.timer_c],
        }
        .map(DurationText::get);
        InterfaceConfig {
            interface,
            sent_by: address.host_port(),
            local_v: address.socket(),
            timers: SipTimers { t1, t2, t4, timer_c },
            tcp_above_bytes: TCP_ABOVE_BYTES,
        }
    }
}

impl ProxyCoreConfig {
    /// The proxy core of a node with these sides, from the sections that all nodes' files have.
    #[must_use]
    pub fn of(interfaces: Vec<InterfaceConfig>, hosts: &HostsConfig, limits: &LimitsConfig) -> Self {
        Self {
            interfaces,
            hosts: HostsTable(hosts.targets()),
            shard: ShardId::default(),
            limits: ProxyLimits {
                transactions_max: limits.transactions,
                transaction_bytes_max: limits.transaction_bytes,
                completed_bytes_max: limits.completed_bytes,
                retry_after: RetryAfter {
                    min: limits.retry_after_min.get(),
                    max: limits.retry_after_max.get(),
                },
            },
            server_header: String::new(),
        }
    }
}

/// Timers towards UEs (TS 24.229 table 7.7.1, column of the P-CSCF towards the UE).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GmTimersConfig {
    /// Round-trip estimate.
    pub t1: DurationText,
    /// Longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: DurationText,
    /// Longest time a message stays in the network.
    pub t4: DurationText,
    /// Proxy's INVITE timeout after a provisional response (RFC 3261 16.6 item 11).
    pub timer_c: DurationText,
}

impl Default for GmTimersConfig {
    fn default() -> Self {
        Self {
            t1: DurationText::secs(2),
            t2: DurationText::secs(16),
            t4: DurationText::secs(17),
            timer_c: DurationText::secs(185),
        }
    }
}

/// Timers between CSCFs (TS 24.229 table 7.7.1, column between IM CN subsystem elements).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MwTimersConfig {
    /// Round-trip estimate.
    pub t1: DurationText,
    /// Longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: DurationText,
    /// Longest time a message stays in the network.
    pub t4: DurationText,
    /// Proxy's INVITE timeout after a provisional response (RFC 3261 16.6 item 11).
    pub timer_c: DurationText,
}

impl Default for MwTimersConfig {
    fn default() -> Self {
        Self {
            t1: DurationText::millis(500),
            t2: DurationText::secs(4),
            t4: DurationText::secs(5),
            timer_c: DurationText::secs(185),
        }
    }
}

/// Limits of messages, transactions and connections. A node's own tables have theirs in its own sections.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Octets of one SIP message. Above: 513 on datagrams, close on streams.
    pub message_bytes: usize,
    /// Header lines of one message. Above: 400.
    pub headers: usize,
    /// Octets of one header line. Above: 400.
    pub header_bytes: usize,
    /// Octets of a URI. Above: 414.
    pub uri_bytes: usize,
    /// Via values of one message. Above: 400.
    pub vias: usize,
    /// SIP transactions in progress at a time. Above: 503 with Retry-After.
    pub transactions: usize,
    /// Octets of the requests of these transactions. Above: 503 with Retry-After.
    pub transaction_bytes: usize,
    /// Octets of answers kept for retransmitted requests. Above: the oldest are forgotten early.
    pub completed_bytes: usize,
    /// Messages that wait for the node. Above: the oldest new request gets a 503, streams are not read.
    pub queue: usize,
    /// How long a request that begins something may wait for the node while more comes than it can do. Above: 503.
    pub queue_delay: DurationText,
    /// The longest rest before a node looks at its sockets again, while messages come steadily.
    pub rest: DurationText,
    /// Retry-After of a 503 is at least this.
    pub retry_after_min: DurationText,
    /// Retry-After of a 503 is at most this; it is spread, so that not all come back at once.
    pub retry_after_max: DurationText,
    /// TCP connections of SIP at a time. Above: a new one is closed at once.
    pub connections: usize,
    /// TCP connections of SIP with one remote address, of those that it opened.
    pub connections_per_address: usize,
    /// Octets that wait to be written on one connection. Above: it is closed.
    pub connection_write_bytes: usize,
    /// How long a started message may take to be complete. Above: its connection is closed.
    pub slow_message: DurationText,
    /// How long a connection may be silent.
    pub idle_connection: DurationText,
    /// Longest wait for a TCP connection to open.
    pub connect: DurationText,
    /// Octets of one Diameter message. Above: its connection is closed.
    pub diameter_message_bytes: usize,
    /// DNS questions at a time. Above: a question gets an empty answer.
    pub dns_questions: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let (sip, core) = (SipLimits::default(), ProxyLimits::default());
        Self {
            message_bytes: sip.message_bytes_max,
            headers: sip.headers_max,
            header_bytes: sip.header_bytes_max,
            uri_bytes: sip.uri_bytes_max,
            vias: sip.vias_max,
            transactions: core.transactions_max,
            transaction_bytes: core.transaction_bytes_max,
            completed_bytes: core.completed_bytes_max,
            queue: 4_096,
            queue_delay: DurationText::millis(50),
            rest: DurationText::millis(3),
            retry_after_min: DurationText::secs(5),
            retry_after_max: DurationText::secs(60),
            connections: 20_000,
            connections_per_address: 64,
            connection_write_bytes: 1_048_576,
            slow_message: DurationText::secs(30),
            idle_connection: DurationText::secs(1_800),
            connect: DurationText::secs(4),
            diameter_message_bytes: 1_048_576,
            dns_questions: 1_024,
        }
    }
}

impl LimitsConfig {
    /// The part of one shard: of what the node has in all, not of what one message or one connection may have.
    #[must_use]
    pub fn part_of(&self, place: ShardPlace) -> Self {
        Self {
            transactions: place.part_of(self.transactions),
            transaction_bytes: place.part_of(self.transaction_bytes),
            completed_bytes: place.part_of(self.completed_bytes),
            queue: place.part_of(self.queue),
            connections: place.part_of(self.connections),
            dns_questions: place.part_of(self.dns_questions),
            ..self.clone()
        }
    }

    /// How much may wait for a node; one message at least.
    #[must_use]
    pub fn waiting(&self) -> WaitingLimits {
        WaitingLimits {
            places: self.queue.max(1),
            delay: self.queue_delay.get(),
        }
    }

    /// The part that the SIP scanner checks.
    #[must_use]
    pub const fn sip(&self) -> SipLimits {
        SipLimits {
            message_bytes_max: self.message_bytes,
            headers_max: self.headers,
            header_bytes_max: self.header_bytes,
            uri_bytes_max: self.uri_bytes,
            vias_max: self.vias,
        }
    }
}

/// What is logged, and how: `log: {level: info, format: text}`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Lines of this weight and above.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// What is kept for whoever asks why something failed: `why: {stories: 20000}`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WhyConfig {
    /// Calls and registrations whose course is kept, of about two kilobytes each; 0 for none.
    pub stories: usize,
}

impl Default for WhyConfig {
    fn default() -> Self {
        Self { stories: 20_000 }
    }
}

/// Weight of a log line.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs an operator now.
    Error,
    /// What may need an operator.
    Warn,
    /// Decisions.
    #[default]
    Info,
    /// Steps.
    Debug,
    /// Everything.
    Trace,
}

/// Whether a daemon locks itself in when it starts: `harden: auto`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Harden {
    /// As far as the system lets it.
    #[default]
    Auto,
    /// Not at all: core dumps, debuggers.
    Off,
    /// All of it, or no start.
    Require,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The documented sections of this file, commented out, as `--print-defaults` shows them after a node's own.
pub const SHARED_DEFAULTS: &str = include_str!("defaults.yaml");
