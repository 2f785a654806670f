//! Codec: values of a configuration file that carry their own rules: durations, addresses, names.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::steering::SHARDS_MAX;

/// The port of SIP without TLS (RFC 3261 18.1.1).
pub const SIP_PORT: u16 = 5060;
/// The port of Diameter (RFC 6733 2.1).
pub const DIAMETER_PORT: u16 = 3868;

/// Deserializes from text through `FromStr`, serializes through `Display`.
macro_rules! text_value {
    ($name:ty) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// How many shards a node has, 1 to 64.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ShardCount(u8);

impl ShardCount {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for ShardCount {
    fn default() -> Self {
        Self(1)
    }
}

impl<'de> Deserialize<'de> for ShardCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = u64::deserialize(deserializer)?;
        match u8::try_from(count) {
            Ok(count @ 1..=SHARDS_MAX) => Ok(Self(count)),
            _ => Err(serde::de::Error::custom(format!(
                "{count} is no number of shards; expected 1 to {SHARDS_MAX}"
            ))),
        }
    }
}

/// A span of time with its unit: `500ms`, `2s`, `4m`, `1h`, `1d`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DurationText(pub Duration);

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl DurationText {
    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The span.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for DurationText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a whole number with its unit, as 500ms, 2s, 4m, 1h or 1d";
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        if unit.is_empty() {
            return Err(format!("`{text}` has no unit; {expected}"));
        }
        let millis = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .and_then(|(_, scale)| number.parse::<u64>().ok()?.checked_mul(*scale));
        match millis {
            Some(millis) => Ok(Self::millis(millis)),
            None => Err(format!("`{text}` is not a duration; {expected}")),
        }
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        // Whole days and hours print as such only up to where a reader still thinks in them.
        let (unit, scale) = UNITS
            .iter()
            .rev()
            .find(|(_, scale)| millis % scale == 0)
            .copied()
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / scale)
    }
}

text_value!(DurationText);

/// Where to listen for SIP: `IP`, `IP:port` or `[v6]:port`; the port is 5060 unless said.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// Address and port.
    #[must_use]
    pub const fn socket(self) -> SocketAddr {
        self.0
    }

    /// Address alone.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// Port alone.
    #[must_use]
    pub const fn port(self) -> u16 {
        self.0.port()
    }

    /// As a URI and a Via write it: `192.0.2.5` on port 5060, else with the port; IPv6 in brackets.
    #[must_use]
    pub fn host_port(self) -> String {
        match self.0 {
            SocketAddr::V4(v4) if v4.port() == SIP_PORT => v4.ip().to_string(),
            SocketAddr::V6(v6) if v6.port() == SIP_PORT => format!("[{}]", v6.ip()),
            other => other.to_string(),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(socket: SocketAddr) -> Self {
        Self(socket)
    }
}

impl FromStr for ListenAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        socket_address(text, SIP_PORT).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not an address; expected IP, IP:port or [v6]:port (a numeric address, no name)"
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(ListenAddress);

/// Reads `IP`, `[v6]`, `IP:port` or `[v6]:port`.
pub(crate) fn socket_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let ip: IpAddr = bare.parse().ok()?;
    Some(SocketAddr::new(ip, default_port))
}

/// What stands before the address of a peer that is dialled with SCTP.
pub const SCTP_SCHEME: &str = "sctp://";

/// A Diameter peer: `IP:port`, `[v6]:port` or `name:port`; the port is 3868 unless said. With `sctp://` before it the
/// transport is SCTP, else TCP.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PeerAddress(String);

impl PeerAddress {
    /// Always with the port, as the shell dials it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, address) = match text.strip_prefix(SCTP_SCHEME) {
            Some(address) => (SCTP_SCHEME, address),
            None => ("", text),
        };
        if let Some(socket) = socket_address(address, DIAMETER_PORT) {
            return Ok(Self(format!("{scheme}{socket}")));
        }
        let (name, port) = match address.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None => (address, Some(DIAMETER_PORT)),
        };
        match port {
            Some(port) if is_host_name(name) => {
                Ok(Self(format!("{scheme}{}:{port}", name.to_ascii_lowercase())))
            }
            _ => Err(format!(
                "`{text}` is not a peer; expected IP:port, [v6]:port or name:port, sctp:// before it for SCTP"
            )),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(PeerAddress);

/// A DNS or Diameter name: realm, host, domain. Kept in lower case.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DomainName(String);

impl DomainName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if is_host_name(text) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!(
            "`{text}` is not a domain name; expected a name such as ims.mnc001.mcc001.3gppnetwork.org"
        ))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(DomainName);

/// RFC 1123 2.1: letters, digits, hyphens, in labels of at most 63; a last label that is not a number.
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let last_is_number = text
        .rsplit('.')
        .next()
        .is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !last_is_number
}

/// A block of addresses: `10.45.0.0/16`, `2001:db8::/48`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cidr {
    /// The first address.
    pub network: IpAddr,
    /// Leading bits that all addresses of the block share.
    pub prefix: u8,
}

impl Cidr {
    /// Whether the block has this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a block of addresses; expected IP/bits, as 10.45.0.0/16");
        let (network, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let network: IpAddr = network.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(wrong());
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

text_value!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_their_unit_and_need_one() {
        for (text, millis, printed) in [
            ("500ms", 500, "500ms"),
            ("2s", 2_000, "2s"),
            ("240s", 240_000, "4m"),
            ("0s", 0, "0s"),
            ("600000s", 600_000_000, "10000m"),
        ] {
            let value: DurationText = text.parse().unwrap();
            assert_eq!(value.get(), Duration::from_millis(millis), "{text}");
            assert_eq!(value.to_string(), printed);
        }
        for wrong in [
            "",
            "4",
            "s",
            "4 weeks",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(wrong.parse::<DurationText>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn listen_addresses_default_to_port_5060() {
        for (text, socket, host_port) in [
            ("192.0.2.5", "192.0.2.5:5060", "192.0.2.5"),
            ("192.0.2.5:5070", "192.0.2.5:5070", "192.0.2.5:5070"),
            ("2001:db8::5", "[2001:db8::5]:5060", "[2001:db8::5]"),
            ("[2001:db8::5]", "[2001:db8::5]:5060", "[2001:db8::5]"),
            ("[2001:db8::5]:5070", "[2001:db8::5]:5070", "[2001:db8::5]:5070"),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), socket);
            assert_eq!(address.host_port(), host_port);
        }
        for wrong in [
            "",
            "pcscf.example",
            "192.0.2.5:",
            "192.0.2.5:70000",
            "192.0.2.256",
        ] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn peers_may_be_names_and_default_to_port_3868() {
        for (text, printed) in [
            ("127.0.1.5", "127.0.1.5:3868"),
            ("[2001:db8::5]:3870", "[2001:db8::5]:3870"),
            ("HSS1.example", "hss1.example:3868"),
            ("hss1.example:3869", "hss1.example:3869"),
            ("sctp://127.0.1.5", "sctp://127.0.1.5:3868"),
            ("sctp://[2001:db8::5]:3870", "sctp://[2001:db8::5]:3870"),
            ("sctp://HSS1.example", "sctp://hss1.example:3868"),
        ] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().as_str(), printed);
        }
        for wrong in ["", "hss one", "hss:port", "10.0.0.300", "aaa://hss", "sctp://"] {
            assert!(wrong.parse::<PeerAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_block_of_addresses_knows_its_own() {
        let block: Cidr = "10.45.0.0/16".parse().unwrap();
        assert!(block.contains("10.45.255.1".parse().unwrap()));
        assert!(!block.contains("10.46.0.1".parse().unwrap()));
        assert!(!block.contains("2001:db8::1".parse().unwrap()));
        let all: Cidr = "::/0".parse().unwrap();
        assert!(all.contains("2001:db8::1".parse().unwrap()));
        assert!("10.45.0.0/33".parse::<Cidr>().is_err());
        assert!("10.45.0.0".parse::<Cidr>().is_err());
    }
}
