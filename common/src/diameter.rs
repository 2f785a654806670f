//! Codec: the Diameter base protocol (RFC 6733): messages, AVPs, dictionary; and its machines.
//!
//! One message is one [`bytes::Bytes`]; [`Message`] checks its header and the lengths of its AVPs once,
//! [`Avps`] walks it without copying, [`MessageBuilder`] prints into one buffer. [`DiameterPeers`] runs
//! [`PeerFsm`] and [`Watchdog`] for every peer.

mod avp;
pub mod base;
mod builder;
pub mod framing;
pub mod grammar;
mod header;
mod message;
mod peer;
mod peers;
mod pending;
#[cfg(test)]
mod testing;
mod watchdog;

pub use avp::{Avp, AvpFlags, Avps, DEPTH_MAX};
pub use base::{Application, Capabilities, Identifiers, LocalPeer};
pub use builder::MessageBuilder;
pub use grammar::{AvpDef, AvpType, CommandDef, Rule};
pub use header::{CommandFlags, Header};
pub use message::{Message, ParseError, Refusal};
pub use peer::{PeerAction, PeerActions, PeerEvent, PeerFsm, PeerState, Responder, wins_election};
pub use peers::{AcceptPolicy, DiameterEvent, DiameterPeers, PeerId, PeersConfig};
pub use pending::{Pending, PendingFull, PendingRequests};
pub use watchdog::{Watchdog, WatchdogAction, WatchdogActions, WatchdogState};
