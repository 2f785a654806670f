//! Codec: the little that measuring and naming a SIP message needs, without a scan of the whole.

use memchr::memchr;

use crate::sip::{HeaderName, Message};

/// What a message is, of which transaction and of which call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Glance<'a> {
    /// Of the request, or of the one that is answered.
    pub(crate) method: &'a [u8],
    /// `None` for a request.
    pub(crate) status: Option<u16>,
    /// Of the topmost Via; empty when it has none.
    pub(crate) branch: &'a [u8],
    /// The Call-ID.
    pub(crate) call_id: &'a [u8],
}

impl<'a> Glance<'a> {
    /// Of a printed message. Ends with the last header that it needs, and these stand first as a rule.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (start, mut rest) = line(bytes)?;
        let status = match start.strip_prefix(b"SIP/2.0 ") {
            Some(code) => Some(number(code.get(..3)?)?),
            None => None,
        };
        let (mut branch, mut call_id, mut method) = (None, None, None);
        if status.is_none() {
            method = start.get(..memchr(b' ', start)?);
        }
        while branch.is_none() || call_id.is_none() || method.is_none() {
            let (header, tail) = line(rest)?;
            rest = tail;
            let Some(colon) = memchr(b':', header) else {
                if header.is_empty() {
                    return None;
                }
                continue;
            };
            let (name, value) = header.split_at(colon);
            let value = || value.get(1..).unwrap_or_default().trim_ascii();
            match name.trim_ascii_end() {
                b"Via" | b"v" if branch.is_none() => branch = Some(branch_of(value())),
                b"Call-ID" | b"i" => call_id = Some(value()),
                b"CSeq" if method.is_none() => method = value().rsplit(|b| *b == b' ').next(),
                _ => {}
            }
        }
        Some(Self {
            method: method?,
            status,
            branch: branch?,
            call_id: call_id?,
        })
    }

    /// Of a scanned message.
    pub(crate) fn of_message(message: &'a Message) -> Option<Self> {
        let status = message.status_code();
        let method = match message.request_method() {
            Some(method) => method,
            None => {
                let cseq = message.header(HeaderName::CSeq)?;
                cseq.rsplit(u8::is_ascii_whitespace).next()?
            }
        };
        Some(Self {
            method,
            status,
            branch: branch_of(message.header(HeaderName::Via)?),
            call_id: message.call_id()?,
        })
    }
}

/// The first line, and what follows its end.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let (line, rest) = text.split_at(end);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The branch parameter of the first value of a Via (RFC 3261 20.42).
fn branch_of(via: &[u8]) -> &[u8] {
    let first = via.split(|b| *b == b',').next().unwrap_or_default();
    first
        .split(|b| *b == b';')
        .skip(1)
        .find_map(|param| {
            let (name, value) = param.split_at(memchr(b'=', param)?);
            let is_branch = name.trim_ascii().eq_ignore_ascii_case(b"branch");
            is_branch.then(|| value.get(1..).unwrap_or_default().trim_ascii())
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::limits::SipLimits;

    const ANSWER: &[u8] = b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;Branch=z9hG4bK1;x=1, SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2\r\n\
        From: <sip:a@home.example>;tag=1\r\nTo: <sip:b@home.example>;tag=2\r\nCall-ID: c1@192.0.2.2\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n";
    const REQUEST: &[u8] = b"MESSAGE sip:b@home.example SIP/2.0\r\ni: c2\r\nv: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK3\r\nCSeq: 1 MESSAGE\r\n\
        From: <sip:a@home.example>;tag=1\r\nTo: <sip:b@home.example>\r\nContent-Length: 0\r\n\r\n";

    fn scanned(bytes: &'static [u8]) -> Message {
        Message::parse(Bytes::from_static(bytes), &SipLimits::default()).unwrap()
    }

    #[test]
    fn a_glance_at_the_text_sees_what_a_scan_sees() {
        let seen = Glance::of(ANSWER).unwrap();
        assert_eq!((seen.method, seen.status), (&b"INVITE"[..], Some(180)));
        assert_eq!(
            (seen.branch, seen.call_id),
            (&b"z9hG4bK1"[..], &b"c1@192.0.2.2"[..])
        );
        assert_eq!(Glance::of_message(&scanned(ANSWER)), Some(seen));
        let seen = Glance::of(REQUEST).unwrap();
        assert_eq!((seen.method, seen.status), (&b"MESSAGE"[..], None));
        assert_eq!((seen.branch, seen.call_id), (&b"z9hG4bK3"[..], &b"c2"[..]));
        assert_eq!(Glance::of_message(&scanned(REQUEST)), Some(seen));
    }

    #[test]
    fn what_is_no_message_shows_nothing() {
        for bytes in [
            &b""[..],
            b"\r\n\r\n",
            b"SIP/2.0 1",
            b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n",
            b"A\r\nb",
        ] {
            assert_eq!(Glance::of(bytes), None);
        }
        for end in 0..ANSWER.len() {
            // Never a panic.
            let _ = Glance::of(&ANSWER[..end]);
        }
    }
}
