//! Codec: where copies of messages go.

use std::net::SocketAddr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Copies of messages, for capture servers, trace collectors and capture files.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportConfig {
    /// HEP3 to a capture server.
    pub hep: Option<HepConfig>,
    /// Spans to a collector.
    pub otlp: Option<OtlpConfig>,
    /// Captures on demand.
    pub pcap: PcapConfig,
}

/// A capture server: `{collector: 192.0.2.9:9060, transport: udp, agent: 2001, key: null}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HepConfig {
    /// Its address and port.
    pub collector: SocketAddr,
    /// How it is spoken to.
    #[serde(default)]
    pub transport: HepTransport,
    /// The number of this capture agent.
    #[serde(default = "agent")]
    pub agent: u32,
    /// Its authentication key.
    #[serde(default)]
    pub key: Option<String>,
}

const fn agent() -> u32 {
    2_001
}

/// How a capture server is spoken to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HepTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// One stream.
    Tcp,
}

/// A collector of spans: `{endpoint: "http://192.0.2.9:4318", sample: 0.01, identities: false}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// Its URL without a path; HTTP in clear.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: String,
    /// The part of all calls and registrations that is traced.
    #[serde(default = "sample", deserialize_with = "part")]
    pub sample: f64,
    /// Whether spans tell who calls whom.
    #[serde(default)]
    pub identities: bool,
}

const fn sample() -> f64 {
    0.01
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let host = text.strip_prefix("http://").unwrap_or_default();
    if host.is_empty() || host.trim_end_matches('/').contains('/') {
        return Err(D::Error::custom(format!(
            "`{text}` is no endpoint; expected http://HOST:4318"
        )));
    }
    Ok(text)
}

fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let part = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&part) {
        return Ok(part);
    }
    Err(D::Error::custom(format!("`{part}` is no part; expected 0 to 1")))
}

/// Captures of single subscribers on demand: `{captures: 8, max_bytes: 67108864}`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PcapConfig {
    /// Captures at a time; one that has ended counts for an hour.
    pub captures: usize,
    /// Octets of all captures together.
    pub max_bytes: usize,
}

impl Default for PcapConfig {
    fn default() -> Self {
        Self {
            captures: 8,
            max_bytes: 64 << 20,
        }
    }
}
