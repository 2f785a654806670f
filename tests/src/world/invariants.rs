//! Testkit: what must hold after every step of every world.
//!
//! * A request has one final answer: a second, different one on the same hop is a fault.
//! * No key (`ck`, `ik`) and no charging header ever goes towards a UE (TS 24.229 5.2.2.2, 5.2.6.3).
//! * What a network function sends can be read as SIP.
//! * What a phone answers to an INVITE with 2xx is acknowledged (`acks`).
//! * What nodes of the network tell each other about a user stays among them (`leak`).

mod acks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::net::Transport;
use ims_common::sip::{HeaderName, Message, SipMessage};

use self::acks::Acks;
use super::record::{Entry, What};
use super::{NodeId, Role};

/// One hop of one request: who was asked, the branch, and the method.
type Hop = (NodeId, String, String);

#[derive(Debug, Default)]
pub(super) struct Invariants {
    asked: BTreeMap<Hop, Asked>,
    acks: Acks,
    /// Nobody waits for their answers.
    excused: BTreeSet<NodeId>,
}

#[derive(Debug)]
struct Asked {
    by: NodeId,
    /// At least one copy of the request came through.
    arrived: bool,
    /// Who asked is no more.
    is_moot: bool,
    answer: Option<Final>,
}

/// How long a server knows a request again that it has answered: timer J between CSCFs (RFC 3261 17.2.2). A copy that
/// the network has held for longer is a new request to it, and may get another answer.
const TIMER_J: Duration = Duration::from_secs(32);

#[derive(Clone, Debug)]
struct Final {
    status: u16,
    to: String,
    /// When it was given first.
    at: Duration,
    /// It was written to a stream that was broken: who asked may ask again on another one, and over streams a server
    /// has no timer J by which it would know that.
    is_lost: bool,
}

impl Final {
    fn says_the_same(&self, other: &Self) -> bool {
        (self.status, &self.to) == (other.status, &other.to)
    }
}

impl Invariants {
    /// Looks at one message; a sentence when it breaks a rule.
    pub(super) fn on_sip(
        &mut self,
        hop: (NodeId, NodeId),
        (from, to): (Role, Role),
        entry: &Entry,
        limits: &SipLimits,
    ) -> Option<String> {
        let What::Sip { bytes, .. } = &entry.what else {
            return None;
        };
        let Ok(message) = Message::parse(bytes.clone(), limits) else {
            return Some(format!("{} sent something that is not SIP", entry.from));
        };
        let wrong = if to == Role::Ue { leak(bytes) } else { None };
        if from == Role::Ue {
            self.acks.on_said(hop.0, bytes);
        }
        wrong
            .map(|what| format!("{} sent {what} to {}", entry.from, entry.to))
            .or_else(|| self.one_final_answer(hop, message, entry))
    }

    /// A message came through.
    pub(super) fn on_arrival(&mut self, at: NodeId, message: &Message) {
        if !message.is_request() {
            return;
        }
        self.acks.on_heard(at, message.bytes());
        let (Ok(via), Ok(cseq)) = (message.top_via(), message.cseq()) else {
            return;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let hop = (
            at,
            text(via.branch().unwrap_or_default()),
            cseq.method.to_string(),
        );
        if let Some(asked) = self.asked.get_mut(&hop) {
            asked.arrived = true;
        }
    }

    /// A final answer that could not be sent is an answer all the same: who asked is out of reach.
    pub(super) fn on_unsendable(&mut self, from: NodeId, message: Message) {
        let (Ok(via), Ok(cseq)) = (message.top_via(), message.cseq()) else {
            return;
        };
        let hop = (
            from,
            text_of(via.branch().unwrap_or_default()),
            cseq.method.to_string(),
        );
        if let SipMessage::Response(response) = message.into_parts()
            && response.status().is_final()
            && let Some(asked) = self.asked.get_mut(&hop)
        {
            asked.is_moot = true;
        }
    }

    /// A node forgot everything: what it owed, what it had answered, and what it waited for.
    pub(super) fn on_death(&mut self, node: NodeId, role: Role) {
        self.acks.on_death(role);
        for ((to, ..), asked) in &mut self.asked {
            if *to == node {
                // A copy that is still on its way will be new to the next life.
                asked.arrived = false;
                asked.answer = None;
            }
            asked.is_moot |= asked.by == node;
        }
    }

    /// This node is known to answer nothing.
    pub(super) fn excuse(&mut self, node: NodeId) {
        self.excused.insert(node);
    }

    /// 2xx to INVITEs that nobody has acknowledged.
    pub(super) fn unacknowledged(&self) -> Vec<String> {
        self.acks.missing()
    }

    /// Calls and registrations that arrived and have no final answer.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.asked
            .iter()
            // RFC 4320 4.2: nobody is told that other requests than INVITE and, by our own budget, REGISTER timed out.
            .filter(|((_, _, method), _)| ["INVITE", "REGISTER"].contains(&method.as_str()))
            .filter(|((to, ..), _)| !self.excused.contains(to))
            .filter(|(_, asked)| asked.arrived && asked.answer.is_none() && !asked.is_moot)
            .map(|((to, branch, method), asked)| {
                format!("{method} of node {} to node {} ({branch})", asked.by.0, to.0)
            })
            .collect()
    }

    fn one_final_answer(
        &mut self,
        (from, to): (NodeId, NodeId),
        message: Message,
        entry: &Entry,
    ) -> Option<String> {
        let branch = text_of(message.top_via().ok()?.branch()?);
        let method = message.cseq().ok()?.method.to_string();
        if method == "ACK" {
            return None;
        }
        let response = match message.into_parts() {
            SipMessage::Response(response) => response,
            SipMessage::Request(_) => {
                self.asked.entry((to, branch, method)).or_insert(Asked {
                    by: from,
                    arrived: false,
                    is_moot: false,
                    answer: None,
                });
                return None;
            }
        };
        let status = response.status().as_u16();
        if status < 200 {
            return None;
        }
        let answer = Final {
            status,
            to: text_of(response.header(HeaderName::To)?),
            at: entry.at,
            is_lost: is_lost_with_its_stream(entry),
        };
        let invite_ok = method == "INVITE" && (200..300).contains(&status);
        let asked = self.asked.get_mut(&(from, branch, method));
        match asked
            .filter(|asked| asked.by == to)
            .map(|asked| &mut asked.answer)
        {
            None => Some(format!(
                "{} answered {status} to a request that {} never sent",
                entry.from, entry.to
            )),
            Some(known @ None) => {
                *known = Some(answer);
                None
            }
            Some(Some(known)) if known.says_the_same(&answer) || invite_ok => None,
            Some(Some(known)) if known.is_lost || answer.at >= known.at + TIMER_J => {
                *known = answer;
                None
            }
            Some(Some(known)) => Some(format!(
                "{} answered {} and then {status} to one request of {}",
                entry.from, known.status, entry.to
            )),
        }
    }
}

fn is_lost_with_its_stream(entry: &Entry) -> bool {
    matches!(&entry.what, What::Sip { lost: true, flow, .. } if flow.transport == Transport::Tcp)
}

/// What in a message must not go towards a UE.
pub(super) fn leak(bytes: &Bytes) -> Option<&'static str> {
    let lines = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let keys = ["ck", "ik"].iter().any(|name| {
        let starts = [',', ' ', ';', '\t'].map(|before| format!("{before}{name}="));
        starts.iter().any(|start| lines.contains(start))
    });
    if keys {
        return Some("a key (ck or ik)");
    }
    // TS 24.229 4.4.2 and 5.2.6: of the trust domain, or between its nodes. What a body holds is the sender's.
    let head = lines.split("\r\n\r\n").next().unwrap_or_default();
    [
        ("\np-charging-vector", "a charging header"),
        ("\np-charging-function-addresses", "a charging header"),
        ("\np-served-user", "P-Served-User"),
        ("\np-user-database", "P-User-Database"),
        ("\np-profile-key", "P-Profile-Key"),
        ("\np-visited-network-id", "P-Visited-Network-ID"),
        ("\np-private-network-indication", "P-Private-Network-Indication"),
    ]
    .iter()
    .find(|(name, _)| head.contains(name))
    .map(|(_, what)| *what)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
