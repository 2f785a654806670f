//! Testkit: MESSAGEs of a phone, and the short messages in them (RFC 3428, TS 24.341 5.3, TS 24.011 8.2, TS 23.040 9.2.2).

use super::around::Around;
use super::dialog::{Outgoing, uri_of};
use super::talk::Text;
use crate::bcd;
use crate::sms_gateway::rp::{self, Submit};
use crate::text::SipText;

/// Content-Type of RP messages.
pub const SMS: &str = "application/vnd.3gpp.sms";

/// A MESSAGE that came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Received {
    /// P-Asserted-Identity, or From when there is none.
    pub from: String,
    /// Call-ID
    pub call_id: String,
    /// In-Reply-To
    pub in_reply_to: Option<String>,
    /// Content-Type
    pub content_type: String,
    /// The body
    pub body: Vec<u8>,
}

impl Received {
    /// The RP message in it.
    #[must_use]
    pub fn rp(&self) -> Option<Rp> {
        Rp::parse(self.body.as_slice()).filter(|_| self.content_type.eq_ignore_ascii_case(SMS))
    }

    /// The text of a short message that is delivered in UCS-2.
    #[must_use]
    pub fn sms_text(&self) -> Option<String> {
        match (self.rp()?, rp::Rp::parse(&self.body)?) {
            (Rp::Data(_), rp::Rp::Data { tpdu, .. }) => rp::delivered_text(&tpdu),
            _ => None,
        }
    }
}

/// What an RP message is (TS 24.011 8.2.2), and its reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rp {
    /// To the network, or from it.
    Data(u8),
    /// It was taken.
    Ack(u8),
    /// It was not.
    Error(u8),
}

impl Rp {
    /// Reads the head of an RP message; `None` when it is none.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let reference = *body.get(1)?;
        match body.first()? {
            0 | 1 => Some(Self::Data(reference)),
            2 | 3 => Some(Self::Ack(reference)),
            4 | 5 => Some(Self::Error(reference)),
            _ => None,
        }
    }
}

impl Text {
    /// A plain text to this URI (TS 24.247 6.3.1.1).
    #[must_use]
    pub fn plain(to: &str, text: &str) -> Self {
        Self {
            to: to.to_owned(),
            content_type: "text/plain".to_owned(),
            body: text.as_bytes().to_vec(),
            lines: String::new(),
        }
    }

    /// A short message with this reference to the number `to` (digits of an international number), by the service
    /// centre `centre` and its PSI.
    #[must_use]
    pub fn sms(psi: &str, centre: &str, to: &str, reference: u8, octets: &[u8]) -> Self {
        Self {
            to: psi.to_owned(),
            content_type: SMS.to_owned(),
            body: rp_data(reference, centre, &submit(reference, to, octets)),
            lines: "Request-Disposition: no-fork\r\nAccept-Contact: *;+g.3gpp.smsip\r\n".to_owned(),
        }
    }

    /// The same with a text; `None` when it does not fit into one short message.
    #[must_use]
    pub fn sms_text(psi: &str, centre: &str, to: &str, reference: u8, text: &str) -> Option<Self> {
        let submit = Submit::of_text(to, text)?;
        Some(Self {
            body: rp_data(reference, centre, &submit.print(reference)),
            ..Self::sms(psi, centre, to, reference, &[])
        })
    }
}

pub(super) fn request(around: &Around, text: &Text, call_id: &str, tag: &str) -> Outgoing {
    let mut request = Outgoing {
        method: "MESSAGE".to_owned(),
        uri: text.to.clone(),
        routes: around.routes.clone(),
        from: format!("{};tag={tag}", around.from),
        to: format!("<{}>", text.to),
        call_id: call_id.to_owned(),
        cseq: 1,
        ..Outgoing::default()
    }
    .line("P-Preferred-Identity", &around.preferred);
    request.lines += &text.lines;
    request.body(&text.content_type, text.body.clone())
}

pub(super) fn received(text: SipText<'_>, body: &[u8]) -> Received {
    let said = |name: &str| text.header(name).map(ToOwned::to_owned);
    Received {
        from: said("P-Asserted-Identity")
            .or_else(|| said("From"))
            .unwrap_or_default(),
        call_id: said("Call-ID").unwrap_or_default(),
        in_reply_to: said("In-Reply-To"),
        content_type: said("Content-Type").unwrap_or_default(),
        body: body.to_vec(),
    }
}

/// The delivery report to a short message, to whom P-Asserted-Identity names (TS 24.341 5.3.2.4).
pub(super) fn report(received: &Received) -> Option<Text> {
    let Rp::Data(reference) = received.rp()? else {
        return None;
    };
    Some(Text {
        to: uri_of(&received.from).to_owned(),
        content_type: SMS.to_owned(),
        body: vec![2, reference],
        lines: format!(
            "In-Reply-To: {}\r\nRequest-Disposition: no-fork\r\nAccept-Contact: *;+g.3gpp.smsip\r\n",
            received.call_id
        ),
    })
}

/// RP-DATA to the network (TS 24.011 7.3.1.2): no originator, the service centre, the TPDU.
#[must_use]
pub fn rp_data(reference: u8, centre: &str, tpdu: &[u8]) -> Vec<u8> {
    let centre = bcd::encode(centre);
    let mut body = vec![0, reference, 0, length(&centre) + 1, 0x91];
    body.extend(centre);
    body.push(length(tpdu));
    body.extend_from_slice(tpdu);
    body
}

/// SMS-SUBMIT of 8-bit data (TS 23.040 9.2.2.2).
fn submit(reference: u8, to: &str, octets: &[u8]) -> Vec<u8> {
    let mut tpdu = vec![0x01, reference, length(to.as_bytes()), 0x91];
    tpdu.extend(bcd::encode(to));
    tpdu.extend([0, 0x04, length(octets)]);
    tpdu.extend_from_slice(octets);
    tpdu
}

fn length(octets: &[u8]) -> u8 {
    u8::try_from(octets.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_message_is_an_rp_data_with_a_submit_in_it() {
        let text = Text::sms("tel:+15550009", "15550009", "15550002", 7, &[0, 13, 10]);
        let expected = [
            0, 7, 0, 5, 0x91, 0x51, 0x55, 0x00, 0x90, 14, 1, 7, 8, 0x91, 0x51, 0x55, 0x00, 0x20, 0, 4, 3, 0,
            13, 10,
        ];
        assert_eq!(text.body, expected);
        assert_eq!(Rp::parse(&text.body), Some(Rp::Data(7)));
    }

    #[test]
    fn a_text_goes_in_ucs_2_and_comes_back_from_its_delivery() {
        let words = "Grüße ☎ 1";
        let text = Text::sms_text("tel:+15550009", "15550009", "+15550002", 7, words).unwrap();
        let Some(rp::Rp::Data { tpdu, .. }) = rp::Rp::parse(&text.body) else {
            panic!("{:?}", text.body)
        };
        let delivery = rp::Rp::Data {
            from_ms: false,
            reference: 1,
            service_centre: "15550009".to_owned(),
            tpdu: Submit::parse(&tpdu).unwrap().delivery("15550001"),
        };
        let received = |body: Vec<u8>| Received {
            content_type: SMS.to_owned(),
            body,
            ..Received::default()
        };
        assert_eq!(received(delivery.print()).sms_text().as_deref(), Some(words));
        let octets = Text::sms("tel:+15550009", "15550009", "15550002", 7, &[1]);
        assert_eq!(received(octets.body).sms_text(), None);
        assert_eq!(received(vec![1, 9, 0]).sms_text(), None);
        let long = |characters| Text::sms_text("tel:+1", "1", "1", 1, &"ä".repeat(characters));
        assert!(long(70).is_some() && long(71).is_none());
    }

    #[test]
    fn a_delivered_message_is_reported_to_whom_is_asserted() {
        let bytes =
            b"MESSAGE sip:a SIP/2.0\r\nP-Asserted-Identity: <sip:gw.h.test>\r\nFrom: <tel:+1>;tag=1\r\n\
                      Call-ID: c\r\nContent-Type: application/vnd.3gpp.sms\r\n\r\n";
        let received = received(SipText::new(bytes).unwrap(), &[1, 9, 0]);
        let report = report(&received).unwrap();
        assert_eq!(
            (report.to.as_str(), report.body.as_slice()),
            ("sip:gw.h.test", &[2, 9][..])
        );
        assert!(report.lines.starts_with("In-Reply-To: c\r\n"));
    }
}
