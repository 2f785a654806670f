//! Machine: the proxy core (RFC 3261 16) that every CSCF is built around.
//!
//! Read first: RFC 3261 16 and 18.2, RFC 3263 4, RFC 4320, RFC 5393, RFC 6026.
//!
//! A node gives everything that comes from SIP to [`ProxyCore::handle`], then drains
//! [`ProxyCore::poll_event`] and [`ProxyCore::poll_output`]. Requests come as [`CoreEvent::Request`] with a
//! [`ServerTransactionId`]; each is owed exactly one final response, given by [`ProxyCore::respond`],
//! [`ProxyCore::reject`] or [`ProxyCore::relay`].
//!
//! * `core`: [`ProxyCore`], the tables and the public calls
//! * `receive`: what comes in, and what is refused on sight; `refused`: what was, without a transaction
//! * `forward`: one request towards one next hop, over several targets
//! * `cancel`: the end of a forwarded INVITE; `ack`: the ACK to a 2xx
//! * `relay`: one request towards several next hops, its answers carried back or told; `response_context` picks the best answer
//! * `next_hop`: RFC 3263; `blacklist`: targets that failed lately
//! * [`route`]: RFC 3261 16.4 and 16.6 step 6
//! * `via`, `malformed`: what is written into and read from headers

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{Flow, Interface, ResolvedTarget, Transport};
use crate::overload::RetryAfter;
use crate::sip::{Request, Response, StatusCode, UriBuf};
use crate::token::ShardId;

mod ack;
mod blacklist;
mod cancel;
mod core;
mod forward;
mod malformed;
mod next_hop;
mod receive;
mod refused;
mod relay;
mod response_context;
pub mod route;
mod via;

#[cfg(test)]
mod tests;

pub use self::core::ProxyCore;
pub use crate::transaction::{ServerTransactionId, SipTimers};

/// One side of the node: what stands in our Via, and how patient we are there.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Which side.
    pub interface: Interface,
    /// `host[:port]` for our Via; IPv6 in brackets.
    pub sent_by: String,
    /// The address we listen on.
    pub local_v: SocketAddr,
    /// T1, T2, T4 and timer C.
    pub timers: SipTimers,
    /// Requests longer than this go over TCP first, RFC 3261 18.1.1: 1300.
    pub tcp_above_bytes: usize,
}

/// Names that the operator has resolved for us; numeric hosts never ask.
#[derive(Clone, Debug, Default)]
pub struct HostsTable(pub BTreeMap<String, Vec<ResolvedTarget>>);

/// Limits of one proxy core.
#[derive(Clone, Copy, Debug)]
pub struct ProxyLimits {
    /// Server transactions without a final response, and separately client transactions. Above: 503 with Retry-After.
    /// (INVITE transactions count until they end.)
    pub transactions_max: usize,
    /// Octets of the requests of these server transactions. Above: 503 with Retry-After.
    pub transaction_bytes_max: usize,
    /// Octets that answered non-INVITE transactions may hold for retransmissions (timer J). Above: the oldest of
    /// them are forgotten before their time; a retransmission that comes even later is served like a new request.
    pub completed_bytes_max: usize,
    /// When those who were refused may come again.
    pub retry_after: RetryAfter,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            transactions_max: 400_000,
            transaction_bytes_max: 256 * 1024 * 1024,
            completed_bytes_max: 64 * 1024 * 1024,
            retry_after: RetryAfter::default(),
        }
    }
}

/// What a [`ProxyCore`] is built from.
#[derive(Clone, Debug)]
pub struct ProxyCoreConfig {
    /// The sides of the node.
    pub interfaces: Vec<InterfaceConfig>,
    /// Static names.
    pub hosts: HostsTable,
    /// Written into every token of ours.
    pub shard: ShardId,
    /// Limits.
    pub limits: ProxyLimits,
    /// Value of the Server header in responses that we make; empty for none.
    pub server_header: String,
}

/// Where a request goes next.
#[derive(Clone, Debug)]
pub enum NextHop {
    /// RFC 3263: numeric host, hosts table, else DNS.
    Uri(UriBuf),
    /// Along a path on which something came before (a UE behind its flow).
    Flow(Flow),
    /// To an address that the node knows.
    Address {
        /// The transport.
        transport: Transport,
        /// Whereto.
        remote: SocketAddr,
    },
}

/// One branch of [`ProxyCore::relay`].
#[derive(Clone, Debug)]
pub struct NextHopTarget {
    /// Request-URI of this branch; `None` keeps that of the request.
    pub request_uri: Option<UriBuf>,
    /// Route values put above those of the request, first one topmost (the Path of a binding).
    pub route: Vec<String>,
    /// Where the branch goes.
    pub hop: NextHop,
}

impl NextHopTarget {
    /// A branch that changes nothing in the request.
    #[must_use]
    pub fn unchanged(hop: NextHop) -> Self {
        Self {
            request_uri: None,
            route: Vec::new(),
            hop,
        }
    }
}

/// Branches of [`ProxyCore::fork`].
#[derive(Clone, Debug)]
pub struct ForkPlan {
    /// Tried one after the other; the branches of one group at once.
    pub groups: Vec<Vec<NextHopTarget>>,
    /// How long a group may go without a final answer before it is cancelled and the next one has its turn; the
    /// last one has all the time it needs. `None`: no such limit.
    pub group_time: Option<Duration>,
}

impl ForkPlan {
    /// All at once.
    #[must_use]
    pub fn at_once(targets: Vec<NextHopTarget>) -> Self {
        Self {
            groups: vec![targets],
            group_time: None,
        }
    }
}

/// What comes of a [`ProxyCore::fork`].
#[derive(Clone, Debug)]
pub enum ForkAnswer {
    /// Provisional (never 100), a 2xx, of which an INVITE may have several, or the best of all final answers (RFC
    /// 3261 16.7), a 503 as it is.
    Response(Response),
    /// There is no final answer; no branch had a better end than this one.
    Failed(ForwardFailure),
    /// A 100, which never travels: a branch has reached somebody.
    Trying,
}

/// Number of one [`ProxyCore::forward`], unique in one node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ForwardId(pub(crate) u64);

/// Why a forwarded request got no final response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ForwardFailure {
    /// Timer B, C or F at the last target.
    Timeout,
    /// No target could be written to.
    Unreachable,
    /// The name of the next hop serves nothing, or its scheme is not SIP's.
    Unresolvable,
}

impl ForwardFailure {
    /// RFC 3261 16.8 and 16.9: a time-out is as good as a 408, a transport error as a 503.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unreachable | Self::Unresolvable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What the core tells its node. Drained before outputs.
#[derive(Clone, Debug)]
pub enum CoreEvent {
    /// A new request, validated, with `received` and `rport` in its top Via; never ACK or CANCEL.
    Request {
        /// Owed exactly one final response.
        transaction: ServerTransactionId,
        /// The request.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// An ACK to a 2xx, to be forwarded with [`ProxyCore::forward_ack`].
    Ack {
        /// The ACK.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// The INVITE was cancelled and the CANCEL answered; the node cancels its forwards and answers the INVITE. A fork
    /// of it is cancelled already, and its best answer, 487 as a rule, is still to come.
    Cancelled {
        /// Of the INVITE.
        transaction: ServerTransactionId,
    },
    /// A response to a forwarded request: provisional (never 100) or final, our Via removed. More than one 2xx
    /// may come for one INVITE; each is to be sent upstream.
    Response {
        /// Which.
        forward: ForwardId,
        /// The response.
        response: Response,
    },
    /// An answer of a fork, to be passed on with [`ProxyCore::respond`] or made good in another way.
    Forked {
        /// Of the request that was forked.
        transaction: ServerTransactionId,
        /// The answer.
        answer: ForkAnswer,
    },
    /// No final response will come; all targets were tried.
    Failed {
        /// Which.
        forward: ForwardId,
        /// Why.
        cause: ForwardFailure,
    },
}
