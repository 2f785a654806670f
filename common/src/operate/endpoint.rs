//! Codec: where a node answers operators.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::socket_address;

/// The port of the operator's HTTP where none is said.
pub const ADMIN_PORT: u16 = 9091;

/// Where a node answers operators: `http://IP:port`, or the path of a Unix socket.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Endpoint {
    /// HTTP over TCP.
    Tcp(SocketAddr),
    /// HTTP over a Unix socket.
    Socket(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = text.len() <= 255 && !text.chars().any(char::is_control);
        if text.starts_with('/') && is_plain {
            return Ok(Self::Socket(PathBuf::from(text)));
        }
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.strip_suffix('/').unwrap_or(address);
        socket_address(address, ADMIN_PORT).map(Self::Tcp).ok_or_else(|| {
            let shown = if is_plain { text } else { "this" };
            format!("`{shown}` is no endpoint; expected http://IP:port, or the path of a Unix socket")
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_or_a_path() {
        for (text, printed) in [
            ("http://127.0.0.1:9091", "http://127.0.0.1:9091"),
            ("127.0.0.1", "http://127.0.0.1:9091"),
            ("http://[2001:db8::5]:80/", "http://[2001:db8::5]:80"),
            ("/run/ims/pcscf.sock", "/run/ims/pcscf.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), printed);
        }
        for wrong in ["", "https://127.0.0.1", "pcscf.sock", "localhost:9091", "/a\nb"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
