//! Codec: the rows of an operator's lists.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::count;

/// A node.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct NodeRow {
    /// The daemon: `pcscf`, `icscf`, `scscf`.
    pub node: String,
    /// Whether it takes new work.
    pub status: NodeStatus,
    /// Its version.
    pub version: String,
    /// Seconds since `ready`.
    pub uptime_secs: u64,
    /// Threads that share the work.
    pub shards: usize,
    /// Where it speaks SIP.
    #[serde(default)]
    #[cfg_attr(feature = "shell", schema(value_type = Vec<String>))]
    pub sip: Vec<SocketAddr>,
    /// The other nodes that it asks for `scope=site`.
    #[serde(default)]
    pub neighbours: Vec<String>,
    /// How often another configuration was taken since the start.
    #[serde(default)]
    pub config_generation: u64,
    /// What came of the last reload, if there was one.
    #[serde(default)]
    pub last_reload: Option<super::ReloadResult>,
}

/// Whether a node takes new work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// It does.
    Serving,
    /// It finishes what it has.
    Draining,
}

/// A user that an S-CSCF serves.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UserRow {
    /// The node that told it.
    pub node: String,
    /// The private identities.
    pub impis: Vec<String>,
    /// The implicit registration set, the default public identity first.
    pub impus: Vec<ImpuRow>,
    /// `registered`, or `unregistered` for a user without contacts that is served all the same (TS 29.228 6.5.1).
    pub state: String,
    /// Where the user is reached.
    pub contacts: Vec<UserContactRow>,
    /// Seconds until the last contact expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_secs: Option<u64>,
    /// Service profiles of the user.
    pub profiles: usize,
    /// Application servers that the profiles name, each once.
    pub application_servers: Vec<String>,
}

/// A public identity of a user.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ImpuRow {
    /// The identity.
    pub impu: String,
    /// Whether it is barred: it may be registered with, not used.
    pub barred: bool,
}

/// A contact of a user at an S-CSCF.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UserContactRow {
    /// The URI.
    pub contact: String,
    /// The private identity that registered it.
    pub impi: String,
    /// Seconds until it expires.
    pub expires_in_secs: u64,
    /// The way to it.
    pub path: Vec<String>,
    /// Whether it is for emergency calls only.
    pub is_emergency: bool,
}

/// A contact that a P-CSCF serves.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ContactRow {
    /// The node that told it.
    pub node: String,
    /// The URI.
    pub contact: String,
    /// The private identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impi: Option<String>,
    /// The public identities, the default one first.
    pub impus: Vec<String>,
    /// Where the UE is: `udp 10.45.0.2:5060`.
    pub flow: String,
    /// Whether it is protected by security associations.
    pub is_protected: bool,
    /// Seconds until it expires.
    pub expires_in_secs: u64,
    /// Whether it is for emergency calls only.
    pub is_emergency: bool,
    /// The way from the home network to us.
    pub path: Vec<String>,
    /// The way into the home network.
    pub service_route: Vec<String>,
}

/// A dialog that a node is on the path of.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SessionRow {
    /// The node that told it.
    pub node: String,
    /// Its Call-ID.
    pub call_id: String,
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub called: String,
    /// `early` or `confirmed`.
    pub state: String,
    /// Whose side of it the node serves: `originating`, `terminating`.
    pub side: String,
    /// The charging identifier (TS 24.229 4.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icid: Option<String>,
    /// Seconds since it began.
    pub since_secs: u64,
}

/// A set of four security associations, and what the kernel has counted. Never keys.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SaRow {
    /// The node that told it.
    pub node: String,
    /// Its number.
    pub id: u64,
    /// Rows 1 to 4 of TS 33.203 7.1.
    pub states: Vec<SaStateRow>,
}

/// One security association.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct SaStateRow {
    /// Its SPI, hexadecimal.
    pub spi: String,
    /// Address and port that send.
    #[cfg_attr(feature = "shell", schema(value_type = String))]
    pub source: SocketAddr,
    /// Address and port that receive.
    #[cfg_attr(feature = "shell", schema(value_type = String))]
    pub destination: SocketAddr,
    /// Whether the kernel has it.
    pub installed: bool,
    /// Octets that it has carried.
    pub bytes: u64,
    /// Packets that it has carried.
    pub packets: u64,
    /// Packets that the replay check dropped.
    pub replayed: u32,
    /// Packets whose ICV was wrong: another key.
    pub integrity_failed: u32,
}

/// A peer of a node.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PeerRow {
    /// The node that told it.
    pub node: String,
    /// `diameter` or `sip`.
    pub protocol: String,
    /// The address that is dialled, or from which it dialled.
    pub address: String,
    /// Its Origin-Host, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of Diameter `open`, `suspect`, `on_trial`, `down` (RFC 3539), `closed`, `dialling`, `awaits_cea`, `closing`
    /// (RFC 6733); of SIP `left_out`.
    pub state: String,
    /// Seconds since it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_secs: Option<u64>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Requests without an answer.
    pub pending: usize,
}

/// A limit, and what is used of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct LimitRow {
    /// The node that told it.
    pub node: String,
    /// The configuration key: `limits.transactions`.
    pub limit: String,
    /// Its value, over all shards.
    pub value: u64,
    /// What is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// How often it refused, since the start.
    pub refused: u64,
}

impl LimitRow {
    /// A limit, by its key.
    #[must_use]
    pub fn new(limit: &str, value: usize) -> Self {
        Self {
            limit: limit.to_owned(),
            value: count(value),
            ..Self::default()
        }
    }

    /// With what is used of it.
    #[must_use]
    pub fn used(self, used: usize) -> Self {
        Self {
            used: Some(count(used)),
            ..self
        }
    }

    /// With how often it refused.
    #[must_use]
    pub fn refused(self, refused: u64) -> Self {
        Self { refused, ..self }
    }

    /// Adds another part of the same limit.
    pub(super) fn add(&mut self, part: &Self) {
        self.value = self.value.saturating_add(part.value);
        self.refused = self.refused.saturating_add(part.refused);
        self.used = match (self.used, part.used) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }
}

/// A source of which nothing is taken for a while.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct BanRow {
    /// The node that told it.
    pub node: String,
    /// The address or block.
    pub source: String,
    /// Why.
    pub cause: String,
    /// Seconds since it began.
    pub since_secs: u64,
    /// Seconds until it ends.
    pub ends_in_secs: u64,
    /// Messages that were dropped since.
    pub dropped: u64,
}
