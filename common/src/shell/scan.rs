//! Shell: octets from a socket become an input of the node.

use bytes::Bytes;

use super::Context;
use crate::net::{Flow, Malformed, NetInput, SipInput};
use crate::sip::Message;

/// Line ends and NULs alone keep a NAT binding open; they are no message.
pub(crate) fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.iter().all(|octet| matches!(octet, b'\r' | b'\n' | 0))
}

/// One framed message, scanned; what does not scan still goes to the node, which may owe it a 400.
pub(crate) fn scan(flow: Flow, bytes: Bytes, context: &Context) -> NetInput {
    match Message::parse(bytes.clone(), &context.limits.sip()) {
        Ok(message) => NetInput::Sip(SipInput::Received { flow, message }),
        Err(error) => {
            context.counters.malformed.count();
            let kept = bytes.len().min(context.limits.message_bytes);
            NetInput::Sip(SipInput::Malformed(Malformed {
                flow,
                reason: error.reason(),
                bytes: bytes.slice(..kept),
            }))
        }
    }
}
