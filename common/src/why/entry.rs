//! Codec: one line of a timeline.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::facts::{Fact, Facts};
use super::note::NoteKind;
use crate::net::{Interface, Transport};

/// What happened at a node, when, and in which story.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// Microseconds since 1970 UTC, of the node's clock.
    pub at: u64,
    /// `pcscf`, `icscf`, `scscf`.
    pub node: Cow<'static, str>,
    /// Call-ID, Session-Id of Diameter, or nothing for what concerns the whole node.
    pub call_id: String,
    /// ICID of P-Charging-Vector, when one was seen: joins what a B2BUA has split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icid: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
    /// The values.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
}

/// What happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A SIP message.
    Sip(SipStep),
    /// A Diameter message.
    Diameter(DiameterStep),
    /// A Diameter connection.
    Connection(ConnectionStep),
    /// A counter of the kernel grew.
    Kernel(KernelStep),
    /// Something that no wire shows.
    Note(NoteStep),
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// To the node.
    Heard,
    /// From the node.
    Said,
}

/// A SIP message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SipStep {
    /// Which way.
    pub way: Way,
    /// The side of the node.
    pub side: Interface,
    /// The transport.
    pub transport: Transport,
    /// The other end.
    pub peer: SocketAddr,
    /// The method, of the request or of that which is answered.
    pub method: Cow<'static, str>,
    /// Of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Number of CSeq.
    pub cseq: u32,
    /// Octets of the message.
    pub octets: u32,
    /// How often more the same message was heard or said: retransmissions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: u32,
}

/// A Diameter message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DiameterStep {
    /// Which way.
    pub way: Way,
    /// `UAR` for the request and `UAA` for its answer …
    pub command: Cow<'static, str>,
    /// Result-Code or Experimental-Result-Code of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<u32>,
}

/// What became of a Diameter connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConnectionStep {
    /// Whether it is there now.
    pub is_up: bool,
}

/// A counter of the kernel.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KernelStep {
    /// Its name, as in /proc/net/xfrm_stat.
    pub counter: Cow<'static, str>,
    /// By how much it grew.
    pub grown: u64,
}

/// Something that no wire shows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NoteStep {
    /// What.
    pub kind: NoteKind,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Entry {
    /// The SIP message, when it is one.
    #[must_use]
    pub const fn sip(&self) -> Option<&SipStep> {
        match &self.what {
            What::Sip(step) => Some(step),
            _ => None,
        }
    }

    /// The Diameter message, when it is one.
    #[must_use]
    pub const fn diameter(&self) -> Option<&DiameterStep> {
        match &self.what {
            What::Diameter(step) => Some(step),
            _ => None,
        }
    }

    /// The note, when it is one.
    #[must_use]
    pub const fn note(&self) -> Option<NoteKind> {
        match &self.what {
            What::Note(step) => Some(step.kind),
            _ => None,
        }
    }

    /// The step of a kernel's counter, when it is one.
    #[must_use]
    pub const fn kernel(&self) -> Option<&KernelStep> {
        match &self.what {
            What::Kernel(step) => Some(step),
            _ => None,
        }
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: Fact) -> Option<&str> {
        self.facts.get(name)
    }

    /// Whether it is a SIP request with this method.
    #[must_use]
    pub fn is_request(&self, method: &str) -> bool {
        self.sip()
            .is_some_and(|sip| sip.status.is_none() && sip.method == method)
    }

    /// The status, when it is an answer to this method.
    #[must_use]
    pub fn answer_to(&self, method: &str) -> Option<u16> {
        self.sip().filter(|sip| sip.method == method)?.status
    }

    /// Whether it crossed the side towards UEs.
    #[must_use]
    pub fn is_gm(&self) -> bool {
        self.sip()
            .is_some_and(|sip| matches!(sip.side, Interface::Gm | Interface::GmProtected))
    }

    /// Whether the node heard it.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        match &self.what {
            What::Sip(step) => step.way == Way::Heard,
            What::Diameter(step) => step.way == Way::Heard,
            _ => false,
        }
    }

    /// Whether it is this Diameter message.
    #[must_use]
    pub fn is_diameter(&self, command: &str) -> bool {
        self.diameter().is_some_and(|step| step.command == command)
    }

    /// Seconds from this entry to a later instant.
    #[must_use]
    pub const fn secs_until(&self, at: u64) -> u64 {
        at.saturating_sub(self.at) / 1_000_000
    }
}
