//! Testkit: what must hold after every step of every world.
//!
//! * A request has one final answer: a second, different one on the same hop is a fault.
//! * No key (`ck`, `ik`) and no charging header ever goes towards a UE (TS 24.229 5.2.2.2, 5.2.6.3).
//! * What a network function sends can be read as SIP.

use std::collections::BTreeMap;

use ims_common::limits::SipLimits;
use ims_common::sip::Message;

use super::record::{Entry, What};
use super::{NodeId, Role};
use crate::text::{SipText, param_of};

/// One hop of one request: who asked whom, the branch, and the method.
type Hop = (NodeId, NodeId, String, String);

#[derive(Debug, Default)]
pub(super) struct Invariants {
    asked: BTreeMap<Hop, Option<Final>>,
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

    /// Requests without a final answer.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.asked
            .iter()
            .filter(|(_, answer)| answer.is_none())
            .map(|((from, to, branch, method), _)| {
                format!("{method} of node {} to node {} ({branch})", from.0, to.0)
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
            self.asked.entry((from, to, branch, method)).or_insert(None);
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
        match self.asked.get_mut(&(to, from, branch, method)) {
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
