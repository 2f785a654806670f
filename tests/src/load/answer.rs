//! Testkit: what the load program needs of a response, and not a line more.

use std::str;

/// A response to a REGISTER of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: u16,
    /// Which request it answers.
    pub(super) ticket: Ticket,
    /// The value of WWW-Authenticate.
    pub(super) challenge: Option<&'a str>,
    /// The value of Security-Server.
    pub(super) security: Option<&'a str>,
    /// The seconds of Retry-After.
    pub(super) retry_after: Option<u64>,
    /// The value of Service-Route.
    pub(super) service_route: Option<&'a str>,
}

/// What names one request: it is all of the branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ticket {
    /// This run of the program.
    pub(super) run: u32,
    /// The phone.
    pub(super) phone: u32,
    /// The Call-ID.
    pub(super) call: u32,
    /// The CSeq.
    pub(super) cseq: u32,
}

impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "z9hG4bK-{}-{}-{}-{}",
            self.run, self.phone, self.call, self.cseq
        )
    }
}

impl Ticket {
    fn parse(branch: &str) -> Option<Self> {
        let mut numbers = branch.strip_prefix("z9hG4bK-")?.split('-');
        let mut number = || numbers.next()?.parse().ok();
        Some(Self {
            run: number()?,
            phone: number()?,
            call: number()?,
            cseq: number()?,
        })
    }
}

impl<'a> Answer<'a> {
    /// Reads a datagram; `None` when it is no response to us.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let mut lines = str::from_utf8(datagram).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
        let (mut ticket, mut challenge, mut security, mut retry_after) = (None, None, None, None);
        let mut service_route = None;
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            match name.len() {
                1 | 3 if ticket.is_none() && (name.eq_ignore_ascii_case("Via") || name == "v") => {
                    let (_, branch) = value.split_once("branch=")?;
                    ticket = Ticket::parse(branch.split([';', ',']).next()?.trim());
                }
                11 if name.eq_ignore_ascii_case("Retry-After") => {
                    retry_after = value.trim().split([';', ' ']).next()?.parse().ok();
                }
                13 if name.eq_ignore_ascii_case("Service-Route") => service_route = Some(value.trim()),
                15 if name.eq_ignore_ascii_case("Security-Server") => security = Some(value.trim()),
                16 if name.eq_ignore_ascii_case("WWW-Authenticate") => challenge = Some(value.trim()),
                _ => {}
            }
        }
        Some(Self {
            status,
            ticket: ticket?,
            challenge,
            security,
            retry_after,
            service_route,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Ticket = Ticket {
        run: 7,
        phone: 12,
        call: 3,
        cseq: 2,
    };

    #[test]
    fn an_answer_is_found_by_the_branch_of_its_top_via() {
        let text = format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 127.66.0.1:5060;rport=5060;branch={TICKET};received=127.66.0.1\r\n\
             Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-1-1-1-1\r\nWWW-Authenticate: Digest realm=\"a\"\r\n\r\nVia: x"
        );
        let answer = Answer::read(text.as_bytes()).unwrap();
        assert_eq!(answer.ticket, TICKET);
        assert_eq!(
            (answer.status, answer.challenge),
            (401, Some("Digest realm=\"a\""))
        );
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let text = format!(
            "SIP/2.0 503 Busy\r\nv: SIP/2.0/UDP 127.66.0.1;branch={TICKET}\r\nRetry-After: 17\r\n\r\n"
        );
        let answer = Answer::read(text.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.retry_after), (503, Some(17)));
    }

    #[test]
    fn what_is_no_answer_to_us_is_nothing() {
        for text in [
            "",
            "OPTIONS sip:a SIP/2.0\r\n\r\n",
            "SIP/2.0 200 OK\r\n\r\n",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKabc\r\n\r\n",
        ] {
            assert_eq!(Answer::read(text.as_bytes()), None, "{text}");
        }
    }
}
