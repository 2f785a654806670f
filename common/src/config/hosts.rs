//! Codec: the table of names that are answered from the configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{SIP_PORT, is_host_name, socket_address};
use crate::net::{ResolvedTarget, Transport};

/// `hosts: {name: "IP:port"}` or a list of addresses in the order in which to try.
///
/// An address may end in `;transport=tcp`; without it the transport is UDP. Names are kept in lower case.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct HostsConfig(BTreeMap<HostName, HostTargets>);

impl HostsConfig {
    /// What each name is answered with.
    #[must_use]
    pub fn targets(&self) -> BTreeMap<String, Vec<ResolvedTarget>> {
        self.0
            .iter()
            .map(|(name, targets)| (name.0.clone(), targets.0.iter().map(|t| t.0).collect()))
            .collect()
    }
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
struct HostName(String);

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        if is_host_name(&text) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(D::Error::custom(format!(
            "`{text}` is not a host name; expected a name such as scscf1.example"
        )))
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct HostTargets(Vec<HostTarget>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct HostTarget(ResolvedTarget);

impl FromStr for HostTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, transport) = match text.split_once(';') {
            None => (text, Some(Transport::Udp)),
            Some((address, "transport=udp")) => (address, Some(Transport::Udp)),
            Some((address, "transport=tcp")) => (address, Some(Transport::Tcp)),
            Some((address, _)) => (address, None),
        };
        match (socket_address(address.trim(), SIP_PORT), transport) {
            (Some(remote), Some(transport)) => Ok(Self(ResolvedTarget { transport, remote })),
            _ => Err(format!(
                "`{text}` is not a target; expected IP:port or [v6]:port, with ;transport=tcp for TCP"
            )),
        }
    }
}

impl fmt::Display for HostTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.transport {
            Transport::Udp => write!(f, "{}", self.0.remote),
            Transport::Tcp => write!(f, "{};transport=tcp", self.0.remote),
        }
    }
}

impl Serialize for HostTargets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for HostTargets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HostTargetsVisitor)
    }
}

struct HostTargetsVisitor;

impl<'de> Visitor<'de> for HostTargetsVisitor {
    type Value = HostTargets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IP:port or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HostTargets, E> {
        Ok(HostTargets(vec![text.parse().map_err(E::custom)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<HostTargets, A::Error> {
        let mut targets = Vec::new();
        while let Some(text) = seq.next_element::<Cow<'_, str>>()? {
            targets.push(text.parse().map_err(A::Error::custom)?);
        }
        if targets.is_empty() {
            return Err(A::Error::custom(
                "has no target; expected IP:port or a list of them",
            ));
        }
        Ok(HostTargets(targets))
    }
}
