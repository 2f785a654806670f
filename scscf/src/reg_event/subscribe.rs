//! Codec: a SUBSCRIBE to the reg event package, read once (RFC 6665 4.1, 8.2; RFC 3680 4).

use ims_common::sip::{Contacts, HeaderName, NameAddr, Request, UriBuf};

use super::subscriptions::Dialog;
use super::{PACKAGE, REGINFO};
use crate::reject::SubscribeReject;

/// Record-Route values of one SUBSCRIBE at most.
const ROUTES_MAX: usize = 16;

/// A SUBSCRIBE.
#[derive(Debug)]
pub(crate) struct Subscribe {
    /// Where NOTIFYs go: the remote target.
    pub(crate) contact: UriBuf,
    pub(crate) cseq: u32,
    /// The Event header, for our NOTIFYs.
    pub(crate) event: Box<str>,
    pub(crate) requested_secs: Option<u32>,
    call_id: Box<[u8]>,
    /// From, with its tag.
    from: Box<str>,
    to: Box<str>,
    /// The Record-Route values in order: the route set (RFC 3261 12.1.1).
    route: Box<[Box<str>]>,
}

impl Subscribe {
    /// Reads a SUBSCRIBE that the transaction layer has validated.
    pub(crate) fn read(request: &Request) -> Result<Self, SubscribeReject> {
        let malformed = |_| SubscribeReject::Malformed("address");
        let from = request.from().map_err(malformed)?;
        if from.tag().is_none() {
            return Err(SubscribeReject::Malformed("From tag"));
        }
        let to = request.to().map_err(malformed)?;
        let contact = match request.contacts().map_err(malformed)? {
            Contacts::List(contacts) => contacts.first().copied(),
            Contacts::None | Contacts::Star => None,
        };
        let contact = contact.filter(|contact| contact.uri.is_sip());
        let contact = contact.ok_or(SubscribeReject::Malformed("Contact"))?;
        let routes = request.name_addrs(HeaderName::RecordRoute).map_err(malformed)?;
        if routes.len() > ROUTES_MAX {
            return Err(SubscribeReject::Malformed("Record-Route"));
        }
        let call_id = request.call_id().ok_or(SubscribeReject::Malformed("Call-ID"))?;
        let cseq = request.cseq().map_err(malformed)?;
        Ok(Self {
            contact: UriBuf::from(contact.uri),
            cseq: cseq.number,
            event: text(request.header(HeaderName::Event).unwrap_or_default()),
            requested_secs: request.expires(),
            call_id: call_id.into(),
            from: text(from.raw()),
            to: text(to.raw()),
            route: routes.iter().map(|route| text(route.raw())).collect(),
        })
    }

    /// The dialog that the 200 with our `tag` makes.
    pub(crate) fn into_dialog(self, tag: &str) -> Dialog {
        Dialog {
            call_id: self.call_id,
            local: format!("{};tag={tag}", self.to).into(),
            local_tag: tag.into(),
            remote: self.from,
            target: self.contact,
            route: self.route,
            remote_cseq: self.cseq,
            local_cseq: 0,
        }
    }
}

impl Dialog {
    /// Whether a SUBSCRIBE belongs to this dialog and comes in order (RFC 3261 12.2.2).
    pub(crate) fn check(&self, request: &Request, subscribe: &Subscribe) -> Result<(), SubscribeReject> {
        let tag_of = |value: &str| {
            let address = NameAddr::parse(value.as_bytes()).ok()?;
            address.tag().map(<[u8]>::to_vec)
        };
        let to = request.to().map_err(|_| SubscribeReject::Malformed("To"))?;
        let is_of_dialog = subscribe.call_id == self.call_id
            && to.tag() == Some(self.local_tag.as_bytes())
            && tag_of(&subscribe.from) == tag_of(&self.remote);
        if !is_of_dialog {
            return Err(SubscribeReject::NoSuchDialog);
        }
        if subscribe.cseq <= self.remote_cseq {
            return Err(SubscribeReject::OutOfOrder);
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// Whether the Event header names our package, whatever its parameters.
pub(super) fn is_reg_event(request: &Request) -> bool {
    let value = request.header(HeaderName::Event).unwrap_or_default();
    let package = value.split(|b| *b == b';').next().unwrap_or_default();
    package.trim_ascii().eq_ignore_ascii_case(PACKAGE.as_bytes())
}

/// RFC 3680 4.5: no Accept means `application/reginfo+xml`.
pub(super) fn check_accept(request: &Request) -> Result<(), SubscribeReject> {
    let mut ranges = request.values(HeaderName::Accept).peekable();
    let is_accepted = ranges.peek().is_none()
        || ranges.any(|range| {
            let range = range
                .split(|b| *b == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            [REGINFO, "application/*", "*/*"]
                .iter()
                .any(|known| range.eq_ignore_ascii_case(known.as_bytes()))
        });
    is_accepted.then_some(()).ok_or(SubscribeReject::NotAcceptable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims_common::limits::SipLimits;
    use ims_common::sip::{Message, SipMessage};

    fn subscribe(headers: &str) -> Request {
        let text = format!(
            "SUBSCRIBE sip:a@home.example SIP/2.0\r\nVia: SIP/2.0/UDP p.example;branch=z9hG4bK1\r\n\
             From: <sip:a@home.example>;tag=f\r\nTo: <sip:a@home.example>\r\nCall-ID: c\r\nCSeq: 1 SUBSCRIBE\r\n\
             {headers}\r\n"
        );
        let message = Message::parse(text.into(), &SipLimits::default()).unwrap();
        let SipMessage::Request(request) = message.into_parts() else {
            panic!("a request")
        };
        request
    }

    #[test]
    fn event_is_known_in_its_compact_form_and_with_parameters() {
        for (header, is_reg) in [
            ("Event: reg", true),
            ("o: reg", true),
            ("Event: reg ;id=7", true),
            ("Event: presence", false),
            ("Event: reg.winfo", false),
            ("X-Event: reg", false),
        ] {
            assert_eq!(
                is_reg_event(&subscribe(&format!("{header}\r\n"))),
                is_reg,
                "{header}"
            );
        }
    }

    #[test]
    fn ranges_that_include_reginfo_are_accepted() {
        for (header, is_accepted) in [
            ("", true),
            ("Accept: application/reginfo+xml\r\n", true),
            (
                "Accept: application/pidf+xml, Application/reginfo+xml;q=0.5\r\n",
                true,
            ),
            ("Accept: text/plain\r\nAccept: */*\r\n", true),
            ("Accept: application/pidf+xml\r\n", false),
        ] {
            assert_eq!(check_accept(&subscribe(header)).is_ok(), is_accepted, "{header}");
        }
    }

    #[test]
    fn subscribe_without_a_sip_contact_makes_no_dialog() {
        for contact in ["", "Contact: *\r\n", "Contact: <tel:+1555>\r\n"] {
            let read = Subscribe::read(&subscribe(contact));
            assert_eq!(
                read.unwrap_err(),
                SubscribeReject::Malformed("Contact"),
                "{contact}"
            );
        }
    }
}
