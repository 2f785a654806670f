//! Testkit: a dialog as a phone keeps it (RFC 3261 12), and messages without Via, as text.

use super::register::split_list;
use crate::text::{SipText, param_of};

/// A dialog, as one of its ends sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dialog {
    /// Call-ID
    pub call_id: String,
    /// From of its own requests.
    pub local: String,
    /// To of its own requests.
    pub remote: String,
    /// CSeq of its last request.
    pub local_cseq: u32,
    /// CSeq of the last request of the other.
    pub remote_cseq: Option<u32>,
    /// The route set.
    pub routes: Vec<String>,
    /// The Contact of the other, without brackets.
    pub target: String,
}

/// A request without Via.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Method
    pub method: String,
    /// Request-URI
    pub uri: String,
    /// Route values
    pub routes: Vec<String>,
    /// From
    pub from: String,
    /// To
    pub to: String,
    /// Call-ID
    pub call_id: String,
    /// CSeq
    pub cseq: u32,
    /// Other lines, each with its end.
    pub lines: String,
    /// Content-Type and body.
    pub body: Option<(String, Vec<u8>)>,
}

impl Outgoing {
    /// The same with another line, unless its value is empty.
    #[must_use]
    pub fn line(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.lines += &format!("{name}: {value}\r\n");
        }
        self
    }

    /// The same with a session description.
    #[must_use]
    pub fn sdp(self, description: String) -> Self {
        self.body("application/sdp", description.into_bytes())
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.body = Some((content_type.to_owned(), body));
        self
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} SIP/2.0\r\nMax-Forwards: 70\r\n", self.method, self.uri);
        for route in &self.routes {
            text += &format!("Route: {route}\r\n");
        }
        text += &format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n{}",
            self.from, self.to, self.call_id, self.cseq, self.method, self.lines
        );
        with_body(text, self.body.as_ref())
    }
}

impl Dialog {
    /// What an answer to a request of ours makes (RFC 3261 12.1.2); `None` without a tag or a Contact.
    #[must_use]
    pub fn of_answer(request: &Outgoing, answer: SipText<'_>) -> Option<Self> {
        let remote = answer.header("To")?;
        param_of(remote, "tag")?;
        let mut routes = values(answer, "Record-Route");
        routes.reverse();
        Some(Self {
            call_id: request.call_id.clone(),
            local: request.from.clone(),
            remote: remote.to_owned(),
            local_cseq: request.cseq,
            remote_cseq: None,
            routes,
            target: uri_of(answer.header("Contact")?).to_owned(),
        })
    }

    /// What a request of the other makes (RFC 3261 12.1.1), answered with this tag.
    #[must_use]
    pub fn of_request(request: SipText<'_>, tag: &str) -> Option<Self> {
        Some(Self {
            call_id: request.header("Call-ID")?.to_owned(),
            local: format!("{};tag={tag}", request.header("To")?),
            remote: request.header("From")?.to_owned(),
            local_cseq: 0,
            remote_cseq: cseq_of(request),
            routes: values(request, "Record-Route"),
            target: contact_or_from(request).to_owned(),
        })
    }

    /// The other's tag.
    #[must_use]
    pub fn remote_tag(&self) -> &str {
        param_of(&self.remote, "tag").unwrap_or_default()
    }

    /// Its own tag.
    #[must_use]
    pub fn local_tag(&self) -> &str {
        param_of(&self.local, "tag").unwrap_or_default()
    }

    /// Whether a request of the other belongs to it.
    #[must_use]
    pub fn owns(&self, request: SipText<'_>) -> bool {
        request.header("Call-ID") == Some(self.call_id.as_str())
            && request.param("To", "tag") == Some(self.local_tag())
            && request.param("From", "tag") == Some(self.remote_tag())
    }

    /// The next request in it (RFC 3261 12.2.1.1).
    pub fn request(&mut self, method: &str) -> Outgoing {
        self.local_cseq += 1;
        self.with_cseq(method, self.local_cseq)
    }

    /// A request with the CSeq of another: ACK, or one that is wrong.
    #[must_use]
    pub fn with_cseq(&self, method: &str, cseq: u32) -> Outgoing {
        Outgoing {
            method: method.to_owned(),
            uri: self.target.clone(),
            routes: self.routes.clone(),
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
            ..Outgoing::default()
        }
    }

    /// A target refresh of the other (RFC 3261 12.2.1.2, 12.2.2).
    pub fn refresh(&mut self, message: SipText<'_>) {
        if let Some(contact) = message.header("Contact") {
            uri_of(contact).clone_into(&mut self.target);
        }
    }
}

/// The answer to a request: the lines that RFC 3261 8.2.6.2 wants, then others, each with its end.
#[must_use]
pub fn reply(
    request: SipText<'_>,
    status: u16,
    tag: &str,
    lines: &str,
    body: Option<&(String, Vec<u8>)>,
) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status} {}\r\n", reason(status));
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"] {
        // RFC 3261 12.1.1: in what makes or refreshes a dialog.
        if name == "Record-Route" && !(101..300).contains(&status) {
            continue;
        }
        for value in request.headers(name) {
            let needs_tag = name == "To" && status > 100 && param_of(value, "tag").is_none();
            match needs_tag {
                true => text += &format!("To: {value};tag={tag}\r\n"),
                false => text += &format!("{name}: {value}\r\n"),
            }
        }
    }
    with_body(text + lines, body)
}

/// The body of a message.
#[must_use]
pub fn body_of(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    end.and_then(|end| bytes.get(end + 4..)).unwrap_or_default()
}

/// What stands in angle brackets, or before the first parameter.
#[must_use]
pub fn uri_of(value: &str) -> &str {
    value.split_once('<').map_or_else(
        || value.split(';').next().unwrap_or_default().trim(),
        |(_, rest)| rest.split('>').next().unwrap_or_default(),
    )
}

/// All values of a header, in order.
#[must_use]
pub fn values(message: SipText<'_>, name: &str) -> Vec<String> {
    let lines = message.headers(name);
    lines.flat_map(split_list).map(ToOwned::to_owned).collect()
}

/// Whether a list of option tags has this one.
#[must_use]
pub fn has_tag(message: SipText<'_>, name: &str, tag: &str) -> bool {
    values(message, name)
        .iter()
        .any(|value| value.eq_ignore_ascii_case(tag))
}

/// The number of CSeq.
#[must_use]
pub fn cseq_of(message: SipText<'_>) -> Option<u32> {
    message.header("CSeq")?.split_whitespace().next()?.parse().ok()
}

fn with_body(mut head: String, body: Option<&(String, Vec<u8>)>) -> Vec<u8> {
    let Some((content_type, body)) = body else {
        return (head + "Content-Length: 0\r\n\r\n").into_bytes();
    };
    head += &format!(
        "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        405 => "Method Not Allowed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        580 => "Precondition Failure",
        603 => "Decline",
        _ => "Answer",
    }
}

/// Where a caller is: strangers forget to say it, or say `*`.
fn contact_or_from(request: SipText<'_>) -> &str {
    let contact = uri_of(request.header("Contact").unwrap_or_default());
    match contact.contains(':') {
        true => contact,
        false => uri_of(request.header("From").unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_dialog_have_the_route_set_in_their_own_order() {
        let invite = Outgoing {
            method: "INVITE".to_owned(),
            uri: "tel:+15550002".to_owned(),
            from: "<sip:a@h.test>;tag=1".to_owned(),
            to: "<tel:+15550002>".to_owned(),
            call_id: "c".to_owned(),
            cseq: 7,
            lines: "Record-Route: <sip:two;lr>, <sip:one;lr>\r\nContact: <sip:a@192.0.2.10:5060>;audio\r\n"
                .to_owned(),
            ..Outgoing::default()
        };
        let bytes = invite.bytes();
        let request = SipText::new(&bytes).unwrap();
        let mut callee = Dialog::of_request(request, "2").unwrap();
        assert_eq!(callee.routes, ["<sip:two;lr>", "<sip:one;lr>"]);
        assert_eq!(callee.target, "sip:a@192.0.2.10:5060");
        let answer = reply(request, 200, "2", "Contact: <sip:b@192.0.2.11>\r\n", None);
        let mut caller = Dialog::of_answer(&invite, SipText::new(&answer).unwrap()).unwrap();
        assert_eq!(caller.routes, ["<sip:one;lr>", "<sip:two;lr>"]);
        let bye = caller.request("BYE").bytes();
        let bye = SipText::new(&bye).unwrap();
        assert!(callee.owns(bye) && !caller.owns(bye));
        assert_eq!(
            (cseq_of(bye), bye.request_uri()),
            (Some(8), Some("sip:b@192.0.2.11"))
        );
        let bye = callee.request("BYE").bytes();
        assert!(caller.owns(SipText::new(&bye).unwrap()));
    }

    #[test]
    fn bodies_are_octets() {
        let message = Outgoing::default().body("application/vnd.3gpp.sms", vec![0, 13, 10, 13, 10, 0xff]);
        assert_eq!(body_of(&message.bytes()), [0, 13, 10, 13, 10, 0xff]);
    }
}
