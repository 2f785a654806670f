//! Codec: what the peer table is told, and what it tells.

use std::time::Duration;

use crate::diameter::base::LocalPeer;
use crate::diameter::header::Header;
use crate::diameter::message::Message;
use crate::net::ConnectionId;

/// Number of a peer: its place in the configuration, or higher when it came by itself.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(pub u32);

/// Whose connections are accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AcceptPolicy {
    /// Those that come from the address of a configured peer; others get 3010.
    ConfiguredAddresses,
    /// All, each known by its Origin-Host.
    Anyone,
}

/// What the peer table is told once.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// Who we are.
    pub local: LocalPeer,
    /// `IP:port` or `name:port` of the peers to dial, the preferred one first.
    pub peers: Vec<String>,
    /// Whose connections are accepted.
    pub accept: AcceptPolicy,
    /// Tw of RFC 3539.
    pub tw: Duration,
    /// Tc of RFC 6733 2.1: the longest time between two attempts to connect. A lost connection is dialled
    /// again after one second, then after twice as long each time, up to Tc.
    pub tc: Duration,
    /// Connections at most; of those that come by themselves, more are closed.
    pub connections_max: usize,
    /// Which shard of the node this is.
    pub shard: u8,
}

/// What the peer table tells its owner.
#[derive(Clone, Debug)]
pub enum DiameterEvent {
    /// The peer may be used (again).
    Up {
        /// Which.
        peer: PeerId,
        /// Its connection.
        connection: ConnectionId,
    },
    /// The peer must not be used: what waits on this connection goes elsewhere.
    Down {
        /// Which.
        peer: PeerId,
        /// Its connection, which may still be there.
        connection: ConnectionId,
    },
    /// A request of an application. It wants an answer by [`DiameterPeers::send`](super::DiameterPeers::send).
    Request {
        /// Of which peer.
        peer: PeerId,
        /// On which connection.
        connection: ConnectionId,
        /// The request.
        message: Message,
    },
    /// An answer to a request of the owner, or to none.
    Answer {
        /// On which connection.
        connection: ConnectionId,
        /// The answer.
        message: Message,
    },
    /// An answer whose AVPs do not fit into it.
    BadAnswer {
        /// On which connection.
        connection: ConnectionId,
        /// Its header.
        header: Header,
    },
    /// Every connection is closed, after [`DiameterPeers::stop`](super::DiameterPeers::stop).
    Stopped,
}
