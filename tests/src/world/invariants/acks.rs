//! Testkit: each 2xx that a phone gives to an INVITE reaches somebody who acknowledges it (RFC 3261 13.2.2.4).

use std::collections::BTreeSet;

use super::super::{NodeId, Role};
use crate::text::SipText;

/// A 2xx: who gave it, Call-ID, the tag of who gave it, CSeq.
type Success = (NodeId, String, String, String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Acks {
    awaited: BTreeSet<Success>,
    /// A phone is no more, and with it perhaps who owes ACKs.
    is_moot: bool,
}

impl Acks {
    /// A phone says something.
    pub(super) fn on_said(&mut self, node: NodeId, bytes: &[u8]) {
        let Some(text) = SipText::new(bytes) else { return };
        let is_success = text.status().is_some_and(|status| (200..300).contains(&status));
        let is_invite = text.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        if is_success && is_invite {
            self.awaited.extend(success(node, text));
        }
    }

    /// A request came through.
    pub(super) fn on_heard(&mut self, node: NodeId, bytes: &[u8]) {
        let Some(text) = SipText::new(bytes).filter(|text| text.method() == Some("ACK")) else {
            return;
        };
        if let Some(success) = success(node, text) {
            self.awaited.remove(&success);
        }
    }

    /// Somebody is no more: an ACK may have been with it.
    pub(super) fn on_death(&mut self, role: Role) {
        self.is_moot |= role == Role::Ue;
        self.awaited.clear();
    }

    /// What nobody has acknowledged.
    pub(super) fn missing(&self) -> Vec<String> {
        if self.is_moot {
            return Vec::new();
        }
        let sentence = |(node, call_id, ..): &Success| format!("2xx of node {} in {call_id}", node.0);
        self.awaited.iter().map(sentence).collect()
    }
}

fn success(node: NodeId, text: SipText<'_>) -> Option<Success> {
    let cseq = text.header("CSeq")?.split_whitespace().next()?;
    let (call_id, tag) = (text.header("Call-ID")?, text.param("To", "tag")?);
    Some((node, call_id.to_owned(), tag.to_owned(), cseq.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_2xx_is_awaited_until_its_own_ack_came() {
        let mut acks = Acks::default();
        let node = NodeId(1);
        acks.on_said(
            node,
            b"SIP/2.0 200 OK\r\nTo: <sip:b>;tag=1\r\nCall-ID: c\r\nCSeq: 4 INVITE\r\n\r\n",
        );
        acks.on_said(
            node,
            b"SIP/2.0 200 OK\r\nTo: <sip:b>;tag=1\r\nCall-ID: c\r\nCSeq: 5 BYE\r\n\r\n",
        );
        acks.on_heard(
            node,
            b"ACK sip:b SIP/2.0\r\nTo: <sip:b>;tag=1\r\nCall-ID: c\r\nCSeq: 3 ACK\r\n\r\n",
        );
        assert_eq!(acks.missing(), ["2xx of node 1 in c"]);
        acks.on_heard(
            node,
            b"ACK sip:b SIP/2.0\r\nTo: <sip:b>;tag=1\r\nCall-ID: c\r\nCSeq: 4 ACK\r\n\r\n",
        );
        assert!(acks.missing().is_empty());
    }
}
