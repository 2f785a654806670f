//! Testkit: what must hold after every step of every world.
//!
//! * A request has one final answer: a second, different one on the same hop is a fault.
//! * No key (`ck`, `ik`) and no charging header ever goes towards a UE (TS 24.229 5.2.2.2, 5.2.6.3).
//! * What a network function sends can be read as SIP.

use std::collections::BTreeMap;

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::Message;

use super::record::{Entry, What};
use super::{NodeId, Role};
use crate::text::{SipText, param_of};

/// One hop of one request: who was asked, the branch, and the method.
type Hop = (NodeId, String, String);

#[derive(Debug, Default)]
pub(super) struct Invariants {
    asked: BTreeMap<Hop, Asked>,
}

#[derive(Debug)]
struct Asked {
    by: NodeId,
    /// At least one copy of the request came through.
    arrived: bool,
    answer: Option<Final>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Final {
    status: u16,
    to: String,
}

impl Invariants {
    /// Looks at one message; a sentence when it breaks a rule.
    pub(super) fn on_sip(
        &mut self,
        hop: (NodeId, NodeId),
        to: Role,
        entry: &Entry,
        limits: &SipLimits,
    ) -> Option<String> {
        let What::Sip { bytes, .. } = &entry.what else {
            return None;
        };
        if Message::parse(bytes.clone(), limits).is_err() {
            return Some(format!("{} sent something that is not SIP", entry.from));
        }
        let text = SipText::new(bytes)?;
        let wrong = if to == Role::Ue { leaks_to_ue(text) } else { None };
        wrong
            .map(|what| format!("{} sent {what} to {}", entry.from, entry.to))
            .or_else(|| self.one_final_answer(hop, text, entry))
    }

    /// A message came through.
    pub(super) fn on_arrival(&mut self, at: NodeId, message: &Message) {
        if !message.is_request() {
            return;
        }
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

    /// A node forgot everything: what it owed, and what it had answered.
    pub(super) fn on_death(&mut self, node: NodeId) {
        self.asked.retain(|(asked, ..), _| *asked != node);
    }

    /// Requests that arrived and have no final answer.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.asked
            .iter()
            .filter(|(_, asked)| asked.arrived && asked.answer.is_none())
            .map(|((to, branch, method), asked)| {
                format!("{method} of node {} to node {} ({branch})", asked.by.0, to.0)
            })
            .collect()
    }

    fn one_final_answer(
        &mut self,
        (from, to): (NodeId, NodeId),
        text: SipText<'_>,
        entry: &Entry,
    ) -> Option<String> {
        let branch = text.param("Via", "branch")?.to_owned();
        let method = text.header("CSeq")?.split_whitespace().nth(1)?.to_owned();
        if text.method() == Some("ACK") || method == "ACK" {
            return None;
        }
        let Some(status) = text.status() else {
            self.asked.entry((to, branch, method)).or_insert(Asked {
                by: from,
                arrived: false,
                answer: None,
            });
            return None;
        };
        if status < 200 {
            return None;
        }
        let answer = Final {
            status,
            to: text.header("To")?.to_owned(),
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
            Some(Some(known)) if *known == answer || invite_ok => None,
            Some(Some(known)) => Some(format!(
                "{} answered {} and then {status} to one request of {}",
                entry.from, known.status, entry.to
            )),
        }
    }
}

/// What in a message must not go towards a UE.
pub(super) fn leak(bytes: &Bytes) -> Option<&'static str> {
    leaks_to_ue(SipText::new(bytes)?)
}

fn leaks_to_ue(text: SipText<'_>) -> Option<&'static str> {
    let keys = ["WWW-Authenticate", "Proxy-Authenticate"]
        .iter()
        .flat_map(|name| text.headers(name))
        .any(|value| param_of(value, "ck").is_some() || param_of(value, "ik").is_some());
    if keys {
        return Some("a key (ck or ik)");
    }
    ["P-Charging-Vector", "P-Charging-Function-Addresses"]
        .iter()
        .any(|name| text.header(name).is_some())
        .then_some("a charging header")
}
