//! Machine: the transaction layer (RFC 3261 17) with the corrections of RFC 6026 and RFC 4320.
//!
//! Read first: RFC 3261 17, RFC 6026 7 and 8, RFC 4320 4.
//!
//! * [`timers`]: timers A to M by name, with values per interface (TS 24.229 table 7.7.1)
//! * `invite_client`, `invite_server`, `non_invite_client`, `non_invite_server`: the four machines, one row
//!   of the RFC per arm, free of messages and clocks
//! * `key`: what makes two messages belong to one transaction
//! * `layer`: the tables of running transactions, the only place that prints or matches messages

use std::time::Duration;

use smallvec::SmallVec;

pub mod timers;

mod invite_client;
mod invite_server;
pub(crate) mod key;
pub(crate) mod layer;
mod non_invite_client;
mod non_invite_server;
pub(crate) mod response_route;
pub(crate) mod wire;

pub(crate) use key::{from_tag, to_tag};
pub use timers::{SipTimers, TimerName};

/// Number of a server transaction, unique in one node for its whole life.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerTransactionId(pub(crate) u64);

/// Number of a client transaction, unique in one node for its whole life.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClientTransactionId(pub(crate) u64);

/// What a machine must know about its surroundings: the timers of the interface, and the transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) timers: SipTimers,
    /// Streams do not lose messages: no retransmissions, no waiting for stragglers.
    pub(crate) reliable: bool,
}

impl Wire {
    /// The first value of a timer here.
    pub(crate) fn first(&self, name: TimerName) -> Duration {
        self.timers.first(name, self.reliable)
    }
}

/// What a machine asks of the layer, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Client: transmit the request (again). Server: transmit the last response (again).
    Send,
    /// Acknowledge the final response that was received.
    Ack,
    /// Send 100 (Trying).
    Trying,
    /// Give the received message to the transaction user.
    Pass,
    /// Arm or re-arm a timer.
    Set(TimerName, Duration),
    /// Stop a timer.
    Stop(TimerName),
    /// Tell the transaction user that no answer (or no ACK) will come.
    Inform(Failure),
    /// Forget the transaction.
    Terminate,
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// Timer B, F or H.
    Timeout,
    /// The transport refused the message.
    Transport,
}

pub(crate) type Actions = SmallVec<[Action; 4]>;

/// The three kinds of responses that the machines tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Class {
    /// 1xx
    Provisional,
    /// 2xx
    Success,
    /// 300 to 699
    Failure,
}

impl Class {
    pub(crate) fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            _ => Self::Failure,
        }
    }
}

/// Ends a transaction after a linger timer, or at once where the timer is zero.
fn linger(actions: &mut Actions, wire: &Wire, name: TimerName) -> bool {
    let wait = wire.first(name);
    if wait.is_zero() {
        actions.push(Action::Terminate);
        return false;
    }
    actions.push(Action::Set(name, wait));
    true
}
