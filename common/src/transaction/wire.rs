//! Codec: the octets that transactions touch: Via values, the hop-by-hop ACK, the CANCEL.

use std::io::Write;

use bytes::Bytes;

use crate::net::{Flow, Transport};
use crate::sip::{HeaderName, Message, Request, Response, Via};

/// The request with the source of the packet in its top Via, see [`marked_via`].
pub(crate) fn mark_received(request: &Request, flow: &Flow) -> Request {
    match marked_via(request, flow) {
        Some(value) => request
            .edit()
            .replace_line_bytes(HeaderName::Via, 0, &value)
            .finish_request(),
        None => request.clone(),
    }
}

/// The first Via line with the source of the packet in its first value (RFC 3261 18.2.1, RFC 3581 4); `None` when
/// it may stay as it is.
///
/// `received` is written when the sent-by is not the source address, and always with `rport`; whatever the
/// sender claimed in `received` is removed.
pub(crate) fn marked_via(message: &Message, flow: &Flow) -> Option<Vec<u8>> {
    let line = message.headers(HeaderName::Via).next()?;
    let via = Via::parse(message.values(HeaderName::Via).next()?).ok()?;
    let asks_rport = via.rport().is_some();
    let claimed = via.param("received").is_some();
    let is_source = via.host().ip() == Some(flow.remote.ip());
    if is_source && !asks_rport && !claimed {
        return None;
    }
    let raw = via.raw();
    let head = raw.split(|b| *b == b';').next().unwrap_or(raw);
    let mut value = Vec::with_capacity(line.len() + ";received=:65535".len() + 45);
    value.extend_from_slice(head.trim_ascii_end());
    for (name, written) in via.params().iter() {
        if name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        value.push(b';');
        value.extend_from_slice(name);
        if name.eq_ignore_ascii_case(b"rport") {
            // Writing to a Vec does not fail.
            let _ = write!(value, "={}", flow.remote.port());
        } else if let Some(written) = written {
            value.push(b'=');
            value.extend_from_slice(written);
        }
    }
    if !is_source || asks_rport {
        let _ = write!(value, ";received={}", flow.remote.ip());
    }
    value.extend_from_slice(rest_of_line(line, via.raw()));
    Some(value)
}

/// What follows the first value of a Via line, with its comma.
fn rest_of_line<'a>(line: &'a [u8], first: &[u8]) -> &'a [u8] {
    if line.starts_with(first) {
        line.get(first.len()..).unwrap_or(b"")
    } else {
        b""
    }
}

/// `UDP` or `TCP`, as the Via has it.
pub(crate) fn transport_token(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    }
}

/// The ACK to a final response of 300 to 699 (RFC 3261 17.1.1.3): Request-URI, Call-ID, From, Route and the
/// top Via of the INVITE as it was sent, To of the response.
pub(crate) fn ack(invite: &Request, response: &Response) -> Bytes {
    let mut out = start(invite, b"ACK");
    line(&mut out, "To", response.header(HeaderName::To).unwrap_or(b""));
    finish(out)
}

/// The CANCEL of an INVITE as it was sent (RFC 3261 9.1), with the Reason lines given (RFC 3326).
pub(crate) fn cancel(invite: &Request, reasons: &[Bytes]) -> Bytes {
    let mut out = start(invite, b"CANCEL");
    line(&mut out, "To", invite.header(HeaderName::To).unwrap_or(b""));
    for reason in reasons {
        line(&mut out, "Reason", reason);
    }
    finish(out)
}

fn start(invite: &Request, method: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(invite.request_uri_bytes());
    out.extend_from_slice(b" SIP/2.0\r\n");
    line(
        &mut out,
        "Via",
        invite.values(HeaderName::Via).next().unwrap_or(b""),
    );
    for route in invite.headers(HeaderName::Route) {
        line(&mut out, "Route", route);
    }
    line(&mut out, "Max-Forwards", b"70");
    line(&mut out, "From", invite.header(HeaderName::From).unwrap_or(b""));
    line(&mut out, "Call-ID", invite.call_id().unwrap_or(b""));
    let number = invite.cseq().map_or(1, |cseq| cseq.number);
    let cseq = [number.to_string().as_bytes(), b" ", method].concat();
    line(&mut out, "CSeq", &cseq);
    out
}

/// Folds become spaces: those of a peer may end with a bare LF, which is not sent on (RFC 3261 7).
fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let unfolded = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.iter().map(unfolded));
    out.extend_from_slice(b"\r\n");
}

fn finish(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Bytes::from(out)
}

/// The values of all Reason lines, to be copied from one CANCEL to the next.
pub(crate) fn reasons(message: &Message) -> Vec<Bytes> {
    message
        .headers(HeaderName::Reason)
        .map(Bytes::copy_from_slice)
        .collect()
}
