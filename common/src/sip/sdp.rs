//! Codec: the session descriptions in a message, as lines (RFC 8866 5), also inside multipart bodies (RFC 2046 5.1).

use super::{HeaderName, Message};

/// Parts of one multipart body that are looked at.
const PARTS_MAX: usize = 16;
/// Multipart bodies inside multipart bodies.
const DEPTH_MAX: usize = 4;

/// The bodies of type `application/sdp`, in order. A body that is encoded is none.
#[must_use]
pub fn bodies(message: &Message) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let is_encoded = message
        .header(HeaderName::ContentEncoding)
        .is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    if let Some(content_type) = message.header(HeaderName::ContentType)
        && !is_encoded
        && !message.body().is_empty()
    {
        collect(content_type, message.body(), DEPTH_MAX, &mut found);
    }
    found
}

/// Each line as its type and its value; what is no `x=…` is left out.
pub fn lines(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    body.split(|b| *b == b'\n').filter_map(|line| match line {
        [kind, b'=', value @ ..] => Some((*kind, value.strip_suffix(b"\r").unwrap_or(value))),
        _ => None,
    })
}

fn collect<'a>(content_type: &[u8], body: &'a [u8], depth: usize, found: &mut Vec<&'a [u8]>) {
    let mut parts = content_type.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let media_type = parts.next().unwrap_or_default();
    if media_type.eq_ignore_ascii_case(b"application/sdp") {
        found.push(body);
        return;
    }
    let is_multipart = media_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let boundary = parts.find_map(|part| {
        let (name, value) = part.split_at_checked(part.iter().position(|b| *b == b'=')?)?;
        let value = value.get(1..)?.trim_ascii();
        let value = value
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""))
            .unwrap_or(value);
        name.trim_ascii()
            .eq_ignore_ascii_case(b"boundary")
            .then_some(value)
    });
    let Some(boundary) = boundary.filter(|boundary| is_multipart && depth > 0 && !boundary.is_empty()) else {
        return;
    };
    for part in parts_of(body, boundary) {
        let (head, content) = head_and_body(part);
        if let Some(content_type) = content_type_of(head) {
            collect(content_type, content, depth - 1, found);
        }
    }
}

/// What stands between delimiter lines: `--boundary`, the last one with `--` at its end.
fn parts_of<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut begin = None;
    let mut at = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let text = line.trim_ascii_end();
        let tail = text
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(boundary));
        if let Some(tail) = tail.filter(|tail| tail.is_empty() || *tail == b"--") {
            if let Some(begin) = begin {
                parts.push(without_line_end(body.get(begin..at).unwrap_or_default()));
            }
            begin = (tail.is_empty() && parts.len() < PARTS_MAX).then_some(at + line.len());
            if begin.is_none() {
                break;
            }
        }
        at += line.len();
    }
    parts
}

/// The line end before a delimiter belongs to the delimiter (RFC 2046 5.1.1).
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

fn head_and_body(part: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in part.split_inclusive(|b| *b == b'\n') {
        let next = at + line.len();
        if matches!(line, b"\r\n" | b"\n") {
            return (
                part.get(..at).unwrap_or_default(),
                part.get(next..).unwrap_or_default(),
            );
        }
        at = next;
    }
    (part, &[])
}

fn content_type_of(head: &[u8]) -> Option<&[u8]> {
    head.split(|b| *b == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|b| *b == b':')?)?;
        let is_wanted = name.trim_ascii().eq_ignore_ascii_case(b"content-type");
        is_wanted.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SipLimits;

    fn message(content_type: &str, body: &str) -> Message {
        let text = format!(
            "INVITE sip:b@home.example SIP/2.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::parse(text.into(), &SipLimits::default()).unwrap()
    }

    const SDP: &str = "v=0\r\nm=audio 4000 RTP/AVP 96\r\n";

    #[test]
    fn a_plain_body_is_found_and_read_by_lines() {
        let message = message("Application/SDP; charset=utf-8", SDP);
        let bodies = bodies(&message);
        assert_eq!(bodies, [SDP.as_bytes()]);
        let lines: Vec<_> = lines(bodies[0]).collect();
        assert_eq!(lines, [(b'v', &b"0"[..]), (b'm', &b"audio 4000 RTP/AVP 96"[..])]);
    }

    #[test]
    fn a_body_inside_multiparts_is_found() {
        let inner = format!("--in\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--in--\r\n");
        let outer = format!(
            "preamble\r\n--out\r\nContent-Type: text/plain\r\n\r\nhello\r\n--out\r\n\
             content-type: multipart/alternative;boundary=in\r\n\r\n{inner}\r\n--out--\r\n--out\r\n\
             Content-Type: application/sdp\r\n\r\nv=1\r\n--out--"
        );
        let message = message("multipart/mixed; boundary=\"out\"", &outer);
        assert_eq!(bodies(&message), [SDP.as_bytes()]);
    }

    #[test]
    fn what_is_no_session_description_is_none() {
        for (content_type, body) in [
            ("text/plain", SDP),
            ("multipart/mixed", SDP),
            ("multipart/mixed;boundary=", SDP),
            ("multipart/mixed;boundary=x", "--x"),
            ("multipart/mixed;boundary=x", "--x\r\n--x--"),
            ("application/sdp", ""),
            ("", SDP),
        ] {
            assert_eq!(bodies(&message(content_type, body)), [b""; 0], "{content_type}");
        }
    }
}
