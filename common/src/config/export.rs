//! Codec: where copies of messages go.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::OnceLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

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
    /// Its authentication key; it is not printed.
    #[serde(default)]
    pub key: Option<HepKey>,
}

/// What a capture server knows its agents by.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct HepKey(Zeroizing<String>);

impl HepKey {
    /// The key in clear.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for HepKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with(REDACTED) {
            return Err("the key was left out when this was printed; expected the key itself");
        }
        Ok(Self(Zeroizing::new(text)))
    }
}

/// How a key that is not shown begins.
const REDACTED: &str = "<redacted";

/// Another key is written otherwise, so that a reload sees the change; what is written says nothing outside of the process.
impl Serialize for HepKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        static STATE: OnceLock<RandomState> = OnceLock::new();
        let mark = STATE.get_or_init(RandomState::new).hash_one(self.reveal());
        serializer.collect_str(&format_args!("{REDACTED} {mark:016x}>"))
    }
}

impl fmt::Debug for HepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{effective, parse};

    #[derive(Debug, Deserialize, Serialize)]
    struct Echo {
        export: ExportConfig,
    }

    #[test]
    fn the_key_of_a_capture_server_is_read_and_never_shown() {
        let text = "echo:\n  export: {hep: {collector: '192.0.2.9:9060', key: s3cr3t}}\n";
        let config: Echo = parse("echo", text).unwrap();
        let key = config.export.hep.as_ref().and_then(|hep| hep.key.as_ref());
        assert_eq!(key.map(HepKey::reveal), Some("s3cr3t"));
        assert!(!format!("{config:?}").contains("s3cr3t"));
        let printed = effective("echo", &config).unwrap();
        assert!(
            printed.contains("192.0.2.9") && !printed.contains("s3cr3t"),
            "{printed}"
        );
        let complaint = parse::<Echo>("echo", &printed).unwrap_err().to_string();
        assert!(complaint.contains("the key itself"), "{complaint}");
        let read = |key: &str| {
            let config: Echo = parse("echo", &text.replace("s3cr3t", key)).unwrap();
            effective("echo", &config).unwrap()
        };
        assert_eq!(read("s3cr3t"), printed);
        assert_ne!(read("another"), printed, "a reload sees it");
    }
}
