//! Codec: what crosses the border of a node, as values. The shell and the simulator speak only these.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cdr::CdrEvent;
use crate::identity::Impu;
use crate::ipsec::{XfrmInput, XfrmOutput};

/// A reference point of TS 23.002, that is, a side of a node with its own address and timers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// UE to P-CSCF, in clear.
    Gm,
    /// UE to P-CSCF inside security associations: our protected ports (TS 33.203 7.1).
    GmProtected,
    /// Between CSCFs.
    Mw,
}

/// A transport of SIP.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

/// A stream connection that the shell holds, numbered by the shell (accepted and opened alike).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// Where a SIP message came from, and the way back: one path between two addresses.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flow {
    /// The side of the node.
    pub interface: Interface,
    /// The transport.
    pub transport: Transport,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port, as the packet carried them.
    pub remote: SocketAddr,
    /// The connection, for streams.
    pub connection: Option<ConnectionId>,
}

/// Where a SIP message is to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// Back along a flow. A stream that is gone makes the send fail.
    Flow(Flow),
    /// To an address; streams are opened or reused by the shell.
    Address {
        /// The side of the node to send from.
        interface: Interface,
        /// The transport.
        transport: Transport,
        /// Whereto.
        remote: SocketAddr,
    },
}

/// One SIP message to be written.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// The printed message.
    pub bytes: Bytes,
    /// Whereto.
    pub destination: Destination,
    /// Given back in [`SipInput::SendFailed`] when the write or the connect fails.
    pub tag: SendTag,
}

/// Who asked for a transmission.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SendTag(pub u64);

/// A question about where a URI is served (RFC 3263).
#[derive(Clone, Debug)]
pub struct ResolveRequest {
    /// Given back in the answer.
    pub id: ResolveId,
    /// Host name, never a numeric address.
    pub host: String,
    /// Explicit port: then only A/AAAA are asked.
    pub port: Option<u16>,
    /// Explicit transport.
    pub transport: Option<Transport>,
}

/// Number of a [`ResolveRequest`], unique in one node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResolveId(pub u64);

/// One place that serves a URI; an answer lists them in the order in which to try.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResolvedTarget {
    /// The transport.
    pub transport: Transport,
    /// The address.
    pub remote: SocketAddr,
}

/// A question for the NAPTR records of a name (RFC 3403), as they are: for ENUM (RFC 6116).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NaptrRequest {
    /// Given back in the answer.
    pub id: NaptrId,
    /// The name, without the dot of the root.
    pub name: String,
}

/// Number of a [`NaptrRequest`], unique in one node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NaptrId(pub u64);

/// One NAPTR record (RFC 3403 4.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Naptr {
    /// Lower ones are heeded first.
    pub order: u16,
    /// Within one order, lower ones are better.
    pub preference: u16,
    /// `u`, `s`, `a` …
    pub flags: String,
    /// `E2U+sip`, `SIP+D2U` …
    pub service: String,
    /// The substitution, or nothing.
    pub regexp: String,
    /// The next name, or `.`.
    pub replacement: String,
}

/// Why a message that came in was not one.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Where it came from.
    pub flow: Flow,
    /// Short reason, a metric label.
    pub reason: &'static str,
    /// What was read (at most the configured message size), for a 400 where the RFC allows one.
    pub bytes: Bytes,
}

/// SIP events for a node.
#[derive(Clone, Debug)]
pub enum SipInput {
    /// A whole message, framed by the shell, scanned and printed as it came.
    Received {
        /// Where it came from.
        flow: Flow,
        /// The message.
        message: crate::sip::Message,
    },
    /// A whole message that came when there was too much to do. If it begins something it is refused with 503, at
    /// little cost; else it is taken like any other.
    Excess {
        /// Where it came from.
        flow: Flow,
        /// The message.
        message: crate::sip::Message,
    },
    /// Something that does not scan as SIP.
    Malformed(Malformed),
    /// A transmission could not be made: no route, refused, connection gone, queue full.
    SendFailed(SendTag),
    /// The answer to a [`ResolveRequest`]; empty when the name serves nothing or DNS is dead.
    Resolved {
        /// Of the question.
        id: ResolveId,
        /// In the order in which to try.
        targets: Vec<ResolvedTarget>,
    },
    /// The answer to a [`NaptrRequest`]; empty when there are none or DNS is dead.
    Naptr {
        /// Of the question.
        id: NaptrId,
        /// In no particular order.
        records: Vec<Naptr>,
    },
    /// A stream is gone. The address says whereto it was opened by us: what was written to it last may not have arrived,
    /// for a peer that has lost it resets it when it hears of it again.
    ConnectionClosed(ConnectionId, Option<SocketAddr>),
}

/// What a node asks of SIP's shell.
#[derive(Clone, Debug)]
pub enum SipOutput {
    /// Send one message.
    Transmit(Transmit),
    /// Ask DNS where a URI is served.
    Resolve(ResolveRequest),
    /// Ask DNS for the NAPTR records of a name.
    Naptr(NaptrRequest),
    /// Close a stream.
    Close(ConnectionId),
}

/// Diameter events for a node. Connections are numbered by the shell, dial attempts by the node.
#[derive(Clone, Debug)]
pub enum DiameterInput {
    /// A connection is up: accepted (`attempt` is `None`) or dialled by us.
    Connected {
        /// Its number.
        connection: ConnectionId,
        /// The dial attempt that made it.
        attempt: Option<u64>,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// A dial attempt failed.
    ConnectFailed {
        /// Of the attempt.
        attempt: u64,
        /// For the log.
        reason: String,
    },
    /// One whole message, framed by its length field.
    Message {
        /// On which connection.
        connection: ConnectionId,
        /// Header and AVPs, not yet checked beyond the length field.
        bytes: Bytes,
    },
    /// The connection is gone (closed, reset, or its framing was lost).
    Closed {
        /// Which.
        connection: ConnectionId,
    },
}

/// What a node asks of Diameter's shell.
#[derive(Clone, Debug)]
pub enum DiameterOutput {
    /// Dial a peer.
    Connect {
        /// Comes back in the event.
        attempt: u64,
        /// `IP:port`, or `name:port` for the shell to resolve.
        address: String,
    },
    /// Write one message with one write.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The whole message.
        bytes: Bytes,
    },
    /// Close a connection.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// What an operator asks of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Finish what is in progress, refuse what is new with 503, then say [`NetOutput::Drained`] (SC-22).
    Drain,
    /// Lift the ban of an address (of IPv6: of its /64), and forget what it did. Only for a P-CSCF.
    Unban(IpAddr),
    /// Change what is registered. Only for an S-CSCF, and of its shards only for the one that serves the identity.
    Registration(RegistrationCommand),
}

/// What an operator does to a registration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RegistrationCommand {
    /// End it, with the whole implicit registration set (TS 24.229 5.4.1.5).
    Deregister {
        /// One identity of the set.
        impu: Impu,
        /// Whether the user should register again at once.
        again: bool,
    },
    /// Want a new authentication soon (TS 24.229 5.4.1.6).
    Reauthenticate {
        /// One identity of the set.
        impu: Impu,
    },
}

/// Everything that can happen to a node.
#[derive(Clone, Debug)]
pub enum NetInput {
    /// On SIP.
    Sip(SipInput),
    /// On Diameter.
    Diameter(DiameterInput),
    /// From the kernel's IPsec.
    Xfrm(XfrmInput),
    /// From the operator.
    Command(Command),
}

/// Everything that a node can ask for.
#[derive(Clone, Debug)]
pub enum NetOutput {
    /// Of SIP.
    Sip(SipOutput),
    /// Of Diameter.
    Diameter(DiameterOutput),
    /// Of the kernel's IPsec.
    Xfrm(XfrmOutput),
    /// Something to be charged has happened: to be written down before anything that the node asks for after it.
    Cdr(Box<CdrEvent>),
    /// The node has nothing in progress any more, after [`Command::Drain`].
    Drained,
}
