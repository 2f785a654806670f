//! Codec: configuration files. One YAML per node, a typed promise: unknown keys are refused, units are in the
//! values, and every complaint names file, line, column, key, problem and what was expected.
//!
//! A node derives its own struct and implements [`DaemonConfig`]:
//!
//! ```
//! # use ims_common::config::*;
//! # use serde::{Deserialize, Serialize};
//! #[derive(Deserialize, Serialize)]
//! #[serde(deny_unknown_fields)]
//! struct EchoConfig {
//!     mw: MwConfig,
//!     #[serde(default)]
//!     limits: LimitsConfig,
//!     #[serde(default = "default_drain_timeout")]
//!     drain_timeout: DurationText,
//! }
//! let config: EchoConfig = parse("echo", "echo: {mw: {address: 192.0.2.5}, drain_timeout: 4s}")?;
//! assert_eq!(config.mw.address.port(), 5060);
//! let error = parse::<EchoConfig>("echo", "echo:\n  mw: {adress: 192.0.2.5}\n").err().unwrap();
//! assert_eq!(error.to_string(), "2:8: echo.mw.adress: unknown key; expected one of address, path_mtu");
//! # Ok::<(), ConfigError>(())
//! ```

mod admin;
mod cdr;
mod daemon;
mod documented;
mod environment;
mod error;
mod export;
mod hosts;
mod sections;
mod trusted_peers;
mod values;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use admin::AdminConfig;
pub use cdr::{CdrConfig, CdrSync, OnDiskFull};
pub use daemon::{
    DRAIN_TIMEOUT, DaemonConfig, HssSurroundings, NextHop, ShellConfig, SipListener, Surroundings,
    default_drain_timeout,
};
pub use documented::{check_documented, documented, uncommented};
pub use error::ConfigError;
pub use export::{ExportConfig, HepConfig, HepKey, HepTransport, OtlpConfig, PcapConfig};
pub use hosts::HostsConfig;
pub use sections::{
    CxConfig, GmTimersConfig, Harden, HssConfig, LimitsConfig, LogConfig, LogFormat, LogLevel, MwConfig,
    MwTimersConfig, SHARED_DEFAULTS, SipTimersConfig, WhyConfig, sip_uri,
};
pub use trusted_peers::TrustedPeers;
pub(crate) use values::socket_address;
pub use values::{
    Cidr, DIAMETER_PORT, DomainName, DurationText, ListenAddress, PeerAddress, SCTP_SCHEME, SIP_PORT,
    ShardCount,
};

/// Octets of a configuration file; a larger one is not a configuration.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads a file whose one top-level key is `name`.
///
/// # Errors
/// The file cannot be read, is not YAML, or does not hold a `T` below `name`.
pub fn load<T: DeserializeOwned>(name: &'static str, path: &Path) -> Result<T, ConfigError> {
    let text = read(path)?;
    parse(name, &text).map_err(|error| error.located(&path.display().to_string(), &text))
}

/// The text of a configuration file, each `${NAME}` replaced by what the environment says.
///
/// # Errors
/// The file cannot be read, is too large, is not UTF-8, or names what the environment does not have.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let complain = |problem: String| {
        ConfigError::invalid("", problem, "a readable YAML file").located(&path.display().to_string(), "")
    };
    let size = std::fs::metadata(path)
        .map_err(|e| complain(format!("cannot be read: {e}")))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(complain(format!("has {size} octets, more than {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| complain(format!("cannot be read: {e}")))?;
    environment::expand(&text, |name| std::env::var(name).ok())
        .map_err(|error| error.located(&path.display().to_string(), ""))
}

/// Reads a text whose one top-level key is `name`.
///
/// # Errors
/// As [`load`], without the file's name.
pub fn parse<T: DeserializeOwned>(name: &'static str, text: &str) -> Result<T, ConfigError> {
    let mut track = serde_path_to_error::Track::new();
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        let deserializer = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        TopLevel {
            name,
            value: PhantomData,
        }
        .deserialize(deserializer)
    });
    read.map_err(|error| ConfigError::from_reader(&track.path().to_string(), &error))
}

/// The effective configuration as YAML, defaults filled in.
///
/// # Errors
/// A value that YAML cannot express.
pub fn effective<T: Serialize>(name: &str, config: &T) -> Result<String, ConfigError> {
    let mut top = std::collections::BTreeMap::new();
    top.insert(name, config);
    serde_saphyr::to_string(&top).map_err(|e| ConfigError::invalid(name, e.to_string(), ""))
}

struct TopLevel<T> {
    name: &'static str,
    value: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for TopLevel<T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for TopLevel<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the one top-level key `{}` and its sections", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = None;
        while map.next_key_seed(TopKey(self.name))?.is_some() {
            value = Some(map.next_value()?);
        }
        value.ok_or_else(|| A::Error::custom(format!("missing; expected the top-level key `{}`", self.name)))
    }
}

/// Accepts one key only, so that another one is blamed at its own place.
struct TopKey(&'static str);

impl<'de> DeserializeSeed<'de> for TopKey {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let key = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if key == self.0 {
            return Ok(());
        }
        Err(D::Error::custom(format!(
            "unknown key; expected `{}` alone at the top level",
            self.0
        )))
    }
}

#[cfg(test)]
mod tests;
