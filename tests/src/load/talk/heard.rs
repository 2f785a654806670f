//! Testkit: what the load program reads of a request or response of a call, and not a line more.

use std::str;

/// A message of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Heard<'a> {
    pub(super) start: Start<'a>,
    /// Values of Via, one for each line.
    pub(super) vias: Vec<&'a str>,
    /// Values of Record-Route, one for each line.
    pub(super) record_routes: Vec<&'a str>,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: &'a str,
    pub(super) contact: &'a str,
}

/// The first line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start<'a> {
    /// Of a request: its method.
    Request(&'a str),
    /// Of a response: its status.
    Response(u16),
}

impl<'a> Heard<'a> {
    /// Reads a datagram; `None` when it is no SIP.
    pub(crate) fn read(datagram: &'a [u8]) -> Option<Self> {
        let mut lines = str::from_utf8(datagram).ok()?.split("\r\n");
        let first = lines.next()?;
        let start = match first.strip_prefix("SIP/2.0 ") {
            Some(rest) => Start::Response(rest.get(..3)?.parse().ok()?),
            None => Start::Request(first.strip_suffix(" SIP/2.0")?.split(' ').next()?),
        };
        let mut heard = Self {
            start,
            vias: Vec::with_capacity(6),
            record_routes: Vec::with_capacity(6),
            from: "",
            to: "",
            call_id: "",
            cseq: "",
            contact: "",
        };
        for line in lines.take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(':') {
                heard.take(name.trim_end(), value.trim());
            }
        }
        Some(heard)
    }

    fn take(&mut self, name: &str, value: &'a str) {
        let is = |long: &str, short: &str| name.eq_ignore_ascii_case(long) || name == short;
        match name.len() {
            1 | 2 | 3 | 4 | 7 | 12 => {}
            _ => return,
        }
        if is("Via", "v") {
            self.vias.push(value);
        } else if name.eq_ignore_ascii_case("Record-Route") {
            self.record_routes.push(value);
        } else if is("From", "f") {
            self.from = value;
        } else if is("To", "t") {
            self.to = value;
        } else if is("Call-ID", "i") {
            self.call_id = value;
        } else if name.eq_ignore_ascii_case("CSeq") {
            self.cseq = value;
        } else if is("Contact", "m") {
            self.contact = value;
        }
    }

    /// Whether it belongs to a registration.
    pub(crate) fn is_of_a_registration(&self) -> bool {
        self.cseq.ends_with("REGISTER")
    }

    /// The number of the call in this run of the program.
    pub(super) fn number(&self, run: u32) -> Option<u32> {
        let (id, _) = self.call_id.split_once('@')?;
        let (of, number) = id.split_at_checked(8)?;
        let of_this_run = u32::from_str_radix(of, 16) == Ok(run);
        u32::from_str_radix(number, 16).ok().filter(|_| of_this_run)
    }

    /// The number in CSeq.
    pub(super) fn sequence(&self) -> Option<u32> {
        self.cseq.split(' ').next()?.parse().ok()
    }

    /// The URI of Contact.
    pub(super) fn target(&self) -> Option<&'a str> {
        let (_, rest) = self.contact.split_once('<')?;
        Some(rest.split_once('>')?.0)
    }

    /// The Route that a caller makes of Record-Route: its entries from the last one to the first (RFC 3261 12.1.2).
    pub(super) fn route_set(&self) -> String {
        let entries: Vec<&str> = self.record_routes.iter().flat_map(|line| entries(line)).collect();
        entries.into_iter().rev().collect::<Vec<_>>().join(",")
    }
}

/// The entries of a line; commas inside of angle brackets separate nothing.
fn entries(line: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let split = line.split(move |c| {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    split.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_names_its_call_and_the_way_of_what_follows() {
        let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.66.0.1;branch=z9hG4bK1\r\n\
                    Record-Route: <sip:a;lr>, <sip:b;x=1,2;lr>\r\nrecord-route: <sip:c;lr>\r\n\
                    CALL-ID: 0000000700000010@127.66.0.1\r\nCSeq: 2 BYE\r\nm: <sip:u@127.66.0.2>;q=1\r\n\r\nVia: body";
        let heard = Heard::read(text.as_bytes()).unwrap();
        assert_eq!(heard.start, Start::Response(200));
        assert_eq!((heard.number(7), heard.number(8)), (Some(16), None));
        assert_eq!(heard.sequence(), Some(2));
        assert_eq!(heard.target(), Some("sip:u@127.66.0.2"));
        assert_eq!(heard.route_set(), "<sip:c;lr>,<sip:b;x=1,2;lr>,<sip:a;lr>");
        assert_eq!(heard.vias.len(), 1);
    }

    #[test]
    fn what_is_no_sip_is_nothing() {
        assert_eq!(Heard::read(b""), None);
        assert_eq!(Heard::read(b"\r\n\r\n"), None);
        let request = Heard::read(b"BYE sip:a SIP/2.0\r\n\r\n").unwrap();
        assert_eq!(request.start, Start::Request("BYE"));
        assert_eq!(request.number(0), None);
    }
}
