//! Codec: who is inside the trust domain (TS 24.229 4.4).

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Cidr;

/// Hosts of the trust domain: `any`, a block of addresses, or a list of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum TrustedPeers {
    /// Whoever reaches our address.
    #[default]
    Any,
    /// These blocks.
    Blocks(Vec<Cidr>),
}

impl TrustedPeers {
    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Blocks(blocks) => blocks.iter().any(|block| block.contains(address)),
        }
    }
}

impl Serialize for TrustedPeers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::Blocks(blocks) => serializer.collect_seq(blocks),
        }
    }
}

impl<'de> Deserialize<'de> for TrustedPeers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TrustedPeersVisitor)
    }
}

struct TrustedPeersVisitor;

impl<'de> Visitor<'de> for TrustedPeersVisitor {
    type Value = TrustedPeers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any, or a list of blocks of addresses")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TrustedPeers, E> {
        match text {
            "any" => Ok(TrustedPeers::Any),
            block => Ok(TrustedPeers::Blocks(vec![block.parse().map_err(E::custom)?])),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TrustedPeers, A::Error> {
        let mut blocks = Vec::new();
        while let Some(text) = seq.next_element::<Cow<'_, str>>()? {
            blocks.push(text.parse().map_err(serde::de::Error::custom)?);
        }
        Ok(TrustedPeers::Blocks(blocks))
    }
}
