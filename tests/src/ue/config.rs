//! Testkit: what a phone is, what it may be told, and what it sees.

use std::net::SocketAddr;

use ims_common::net::Transport;

use super::identity::{Secret, UeIdentity};
use super::message::Received;
use super::register::Procedure;
use super::sas::SaView;
use super::security::{Misdeed, UeSecurity};
use super::shape::{self, Shape};
use super::subscription::RegInfo;
use super::talk::{Answer, CallEvent, CallNumber, Manner, Plan, Text, Twist};
use crate::card::channel::CardError;

/// What a phone is and how it behaves.
#[derive(Clone, Debug)]
pub struct UeConfig {
    /// Its names.
    pub identity: UeIdentity,
    /// What it proves them with.
    pub secret: Secret,
    /// How its messages look.
    pub shape: Shape,
    /// Where it is.
    pub local: SocketAddr,
    /// How it speaks.
    pub transport: Transport,
    /// The P-CSCF it was told of.
    pub pcscf: SocketAddr,
    /// The seconds it asks for.
    pub expires: u32,
    /// What it does wrong.
    pub behaviour: Behaviour,
    /// Refreshes by itself when TS 24.229 5.1.1.4.1 says so.
    pub refreshes: bool,
    /// Comes again by itself when a 503 has said when (RFC 3261 21.5.4).
    pub comes_again: bool,
    /// How it protects Gm; `None`: not at all.
    pub security: Option<UeSecurity>,
    /// How it calls and is called.
    pub manner: Manner,
}

impl UeConfig {
    /// An honest phone of the family `shape`, over UDP, asking for 600 000 s.
    #[must_use]
    pub const fn new(identity: UeIdentity, secret: Secret, local: SocketAddr, pcscf: SocketAddr) -> Self {
        Self {
            identity,
            secret,
            shape: shape::PLAIN,
            local,
            transport: Transport::Udp,
            pcscf,
            expires: 600_000,
            behaviour: Behaviour::Honest,
            refreshes: false,
            comes_again: false,
            security: None,
            manner: Manner::VOLTE,
        }
    }

    /// The same phone that calls and is called like this.
    #[must_use]
    pub const fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// The same phone that does this when it is called.
    #[must_use]
    pub const fn answer(mut self, answer: Answer) -> Self {
        self.manner.answer = answer;
        self
    }

    /// The same phone in another shape.
    #[must_use]
    pub const fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// The same phone over another transport.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The same phone asking for this many seconds.
    #[must_use]
    pub const fn expires(mut self, seconds: u32) -> Self {
        self.expires = seconds;
        self
    }

    /// The same phone with IPsec.
    #[must_use]
    pub const fn security(mut self, security: UeSecurity) -> Self {
        self.security = Some(security);
        self
    }

    /// What it does wrong with security associations.
    #[must_use]
    pub(crate) fn misdeed(&self) -> Misdeed {
        self.security.unwrap_or_default().misdeed
    }

    /// The same phone with a private identity that is not its own.
    pub(crate) fn with_impi_of_another(&self) -> Self {
        let mut other = self.clone();
        other.identity.impi = format!("001010000000099@{}", self.identity.home);
        other
    }

    /// The same phone with this behaviour.
    #[must_use]
    pub const fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }
}

/// What a phone does when it is challenged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Behaviour {
    /// What TS 24.229 5.1.1.5 asks.
    #[default]
    Honest,
    /// Answers with a wrong RES.
    WrongResponse,
    /// Finds every AUTN wrong: an empty response without AUTS.
    MacFailure,
    /// Finds every SQN out of range: AUTS, whatever the network does.
    AlwaysResync,
    /// Never answers a challenge.
    IgnoreChallenge,
    /// Answers a challenge in a new Call-ID.
    NewCallId,
}

/// What a phone is told to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UeCommand {
    /// Initial registration, in a new Call-ID.
    Register,
    /// Registration again, same Call-ID, CSeq + 1, last nonce with the next nonce count.
    Refresh,
    /// De-registration of its own contact.
    Deregister,
    /// De-registration of all contacts (`Contact: *`).
    DeregisterAll,
    /// Asks for the bindings (REGISTER without Contact).
    Query,
    /// Sends another request, the text of which has the places of a [`shape`]; `To` and all before the Via is in it.
    Request(&'static str),
    /// Calls.
    Call(Plan),
    /// Answers the call that rings.
    PickUp,
    /// Ends the newest call: CANCEL, BYE, or 603.
    HangUp,
    /// Puts the other of the newest call on hold.
    Hold,
    /// Ends that.
    Resume,
    /// An UPDATE in the newest call that changes nothing (RFC 3311).
    Update,
    /// INFO in the newest call, with this Content-Type and body.
    Info(&'static str, Vec<u8>),
    /// Sends a MESSAGE.
    Message(Text),
    /// Subscribes to its registration state, for so many seconds.
    Subscribe(u32),
    /// Any request in the dialog of the newest call, and what is wrong with it.
    InDialog(&'static str, Twist),
}

impl UeCommand {
    /// A call to this URI.
    #[must_use]
    pub fn call(uri: &str) -> Self {
        Self::Call(Plan::to(uri))
    }

    /// What is to be done by a REGISTER.
    pub(super) const fn procedure(&self) -> Option<Procedure> {
        match self {
            Self::Register => Some(Procedure::Register),
            Self::Refresh => Some(Procedure::Refresh),
            Self::Deregister => Some(Procedure::Deregister),
            Self::DeregisterAll => Some(Procedure::DeregisterAll),
            Self::Query => Some(Procedure::Query),
            _ => None,
        }
    }
}

/// What a phone saw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UeEvent {
    /// A challenge came.
    Challenged {
        /// Its algorithm.
        algorithm: String,
    },
    /// The challenge was good and is being answered.
    NetworkAuthentic,
    /// AUTN did not verify.
    MacFailure,
    /// SQN was out of range; AUTS goes back.
    SyncFailure,
    /// The card did not judge the challenge: the phone stops, and says nothing to the network.
    CardFailed(CardError),
    /// 200 to a registration.
    Registered(Granted),
    /// 200 to a de-registration.
    Deregistered,
    /// 200 to a query: the Contact values.
    Bindings(Vec<String>),
    /// A final answer that is neither 200 nor a challenge.
    Rejected {
        /// Its status.
        status: u16,
        /// Retry-After, when there.
        retry_after: Option<u32>,
        /// Min-Expires, when there.
        min_expires: Option<u32>,
    },
    /// No final answer before the phone's own timers ended.
    NoAnswer,
    /// Two challenges in a row were bad: the phone stops (TS 24.229 5.1.1.5.1).
    GaveUp,
    /// A request came from the network.
    Request(String),
    /// The final answer to a request that was no REGISTER and of no call.
    Answered(u16),
    /// Something happened to a call.
    Call {
        /// Which, in the order in which they began at this phone.
        call: CallNumber,
        /// What.
        what: CallEvent,
    },
    /// A MESSAGE came.
    MessageReceived(Received),
    /// The subscription to the registration state is granted for so many seconds.
    Subscribed(u32),
    /// A NOTIFY of the registration state came.
    Notified(RegInfo),
    /// The network sent it elsewhere than to the P-CSCF: the route set of a dialog names this.
    Misled(String),
    /// The kernel has the states of a set.
    SaInstalled(SaView),
    /// A set could not be had, or vanished.
    SaFailed(&'static str),
}

/// What a 200 to a registration gave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Granted {
    /// The seconds of the phone's own contact.
    pub expires: u32,
    /// All Contact values.
    pub contacts: Vec<String>,
    /// Service-Route values.
    pub service_route: Vec<String>,
    /// P-Associated-URI values.
    pub associated: Vec<String>,
    /// Path values.
    pub path: Vec<String>,
}
