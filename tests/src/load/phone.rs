//! Testkit: one of very many phones: a template of a REGISTER and real AKA, no transaction layer.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ims_common::ipsec::SaSet;
use md5::{Digest as _, Md5};

use super::answer::{Answer, Ticket};
use super::protection::Protection;
use super::talk::Party;
use crate::site::HOME;
use crate::text::param_of;
use crate::usim::{Res, Usim};

/// Timer E of non-INVITE requests on Gm starts with T1 and stays at T2 (TS 24.229 7.7).
const T1: Duration = Duration::from_secs(2);
const T2: Duration = Duration::from_secs(16);

/// A second challenge is answered too: Kamailio answers 401 before it has noted the vector, and challenges anew when
/// the response is faster.
const CHALLENGES_MAX: u8 = 2;

/// Of the contact of a phone that can be called.
const FEATURES: &str = ";+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\";+g.3gpp.smsip";
/// Numbers of phones: this, and the last ten digits of the IMSI.
pub(super) const NUMBER_PREFIX: &str = "+1555";

/// What a phone does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    Register,
    Reregister,
    Deregister,
}

/// What an answer leads to.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It was provisional, late or doubled.
    Nothing,
    /// The next request stands ready.
    Send,
    /// The next request waits until the kernel has this.
    Install(Arc<SaSet>),
    /// Refused for now: to be begun again after this (RFC 3261 21.5.4).
    Wait(Duration),
    /// The operation succeeded.
    Done,
    /// The operation failed, of this kind.
    Failed(String),
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) operation: Operation,
    /// When the plan wanted it to begin.
    pub(super) intended: Instant,
    /// What Timer E waits next.
    wait: Duration,
    /// How often it was challenged.
    pub(super) challenges: u8,
    /// Refused with Retry-After, and not begun again yet.
    pub(super) is_refused: bool,
}

/// The last challenge, answered again in requests that follow.
#[derive(Clone, Debug)]
struct Challenge {
    nonce: String,
    has_qop: bool,
    ha1: String,
    count: u32,
}

/// A phone.
pub(super) struct Phone {
    ticket: Ticket,
    imsi: u64,
    local: SocketAddr,
    usim: Usim,
    expires: u32,
    challenge: Option<Challenge>,
    request: Vec<u8>,
    /// Whether it can be called, and says so in its contact.
    pub(super) can_talk: bool,
    /// The way of its calls, of its last registration.
    service_route: Box<str>,
    /// What protects it, when something is to.
    pub(super) protection: Option<Protection>,
    pub(super) pending: Option<Pending>,
    pub(super) is_registered: bool,
}

impl Phone {
    /// A phone that is switched off.
    pub(super) fn new(run: u32, phone: u32, imsi: u64, local: SocketAddr, usim: Usim, expires: u32) -> Self {
        Self {
            ticket: Ticket {
                run,
                phone,
                call: 0,
                cseq: 0,
            },
            imsi,
            local,
            usim,
            expires,
            challenge: None,
            request: Vec::new(),
            can_talk: false,
            service_route: Box::default(),
            protection: None,
            pending: None,
            is_registered: false,
        }
    }

    /// The request to send.
    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }

    /// What names the request.
    pub(super) const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Who it is in calls over this P-CSCF.
    pub(super) fn party(&self, pcscf: SocketAddr) -> Party {
        let separator = if self.service_route.is_empty() { "" } else { "," };
        Party {
            imsi: self.imsi,
            number: number_of(self.imsi),
            local: self.local,
            route: format!("<sip:{pcscf};lr>{separator}{}", self.service_route),
        }
    }

    /// Begins an operation.
    pub(super) fn start(&mut self, operation: Operation, intended: Instant) {
        if operation == Operation::Register {
            self.ticket.call += 1;
            self.challenge = None;
            self.protection.iter_mut().for_each(Protection::begin);
        }
        self.pending = Some(Pending {
            operation,
            intended,
            wait: T1,
            challenges: 0,
            is_refused: false,
        });
        self.write_request(operation);
    }

    /// Begins an operation again that was refused for a while.
    pub(super) fn begin_again(&mut self) {
        if let Some(pending) = self.pending {
            self.start(pending.operation, pending.intended);
        }
    }

    /// How long Timer E runs now; the next one runs twice as long.
    pub(super) fn next_wait(&mut self) -> Duration {
        let Some(pending) = &mut self.pending else {
            return T1;
        };
        let wait = pending.wait;
        pending.wait = (wait * 2).min(T2);
        wait
    }

    /// Takes an answer.
    pub(super) fn on_answer(&mut self, answer: &Answer<'_>) -> Step {
        let Some(pending) = &mut self.pending else {
            return Step::Nothing;
        };
        if answer.ticket != self.ticket || answer.status < 200 {
            return Step::Nothing;
        }
        let operation = pending.operation;
        if answer.status == 401 && pending.challenges < CHALLENGES_MAX {
            pending.challenges += 1;
            pending.wait = T1;
            return match self.judge(answer.challenge.unwrap_or_default()) {
                Ok(res) => self.next_request(&res, answer, operation),
                Err(kind) => self.fail(kind.to_owned()),
            };
        }
        if let (503, Some(seconds)) = (answer.status, answer.retry_after) {
            pending.is_refused = true;
            // What still comes for this request is nothing any more.
            self.ticket.cseq += 1;
            return Step::Wait(Duration::from_secs(seconds));
        }
        if answer.status != 200 {
            return self.fail(answer.status.to_string());
        }
        self.is_registered = operation != Operation::Deregister;
        if self.can_talk {
            self.service_route = answer.service_route.unwrap_or_default().into();
        }
        self.pending = None;
        Step::Done
    }

    /// What answers a good challenge, at once or when the kernel has the set of four that it goes through.
    fn next_request(&mut self, res: &Res, answer: &Answer<'_>, operation: Operation) -> Step {
        let Some(protection) = &mut self.protection else {
            self.write_request(operation);
            return Step::Send;
        };
        match protection.on_challenge(answer.security.unwrap_or_default(), res, self.ticket.phone) {
            Some(set) => Step::Install(set),
            None => self.fail("challenge without our algorithms".to_owned()),
        }
    }

    /// The kernel has the set: the request stands ready.
    pub(super) fn on_installed(&mut self) -> bool {
        let (Some(pending), Some(protection)) = (&self.pending, &mut self.protection) else {
            return false;
        };
        let operation = pending.operation;
        protection.is_inside = true;
        self.write_request(operation);
        true
    }

    /// Ends the operation under way.
    pub(super) fn fail(&mut self, kind: String) -> Step {
        self.pending = None;
        Step::Failed(kind)
    }

    /// Checks the network's proof (TS 33.203 6.1) and keeps what answers it.
    fn judge(&mut self, value: &str) -> Result<Res, &'static str> {
        let param = |name| param_of(value, name).unwrap_or_default();
        if !param("algorithm").eq_ignore_ascii_case("AKAv1-MD5") {
            return Err("challenge of another algorithm");
        }
        let nonce = STANDARD.decode(param("nonce")).map_err(|_| "bad nonce")?;
        let (rand, rest) = nonce.split_first_chunk::<16>().ok_or("bad nonce")?;
        let autn = rest.first_chunk::<16>().ok_or("bad nonce")?;
        let answer = self
            .usim
            .authenticate(rand, autn)
            .map_err(|_| "challenge refused by USIM")?;
        let mut hash = Md5::new();
        let mut user = [0; 15];
        let _ = write!(&mut user[..], "{:015}", self.imsi);
        for part in [
            &user[..],
            b"@",
            HOME.as_bytes(),
            b":",
            param("realm").as_bytes(),
            b":",
        ] {
            hash.update(part);
        }
        hash.update(answer.res.expose());
        self.challenge = Some(Challenge {
            nonce: param("nonce").to_owned(),
            has_qop: param_of(value, "qop").is_some(),
            ha1: hex(hash),
            count: 0,
        });
        Ok(answer)
    }

    fn write_request(&mut self, operation: Operation) {
        self.ticket.cseq += 1;
        let Self {
            ticket,
            imsi,
            mut local,
            ..
        } = *self;
        if let Some(protection) = &self.protection {
            // What the answer to a protected request ignores; the contact is where the phone listens.
            local = protection.server();
        }
        let Ticket {
            run,
            phone,
            call,
            cseq,
        } = ticket;
        let expires = if operation == Operation::Deregister {
            0
        } else {
            self.expires
        };
        let features = if self.can_talk { FEATURES } else { "" };
        let out = &mut self.request;
        out.clear();
        let _ = write!(
            out,
            "REGISTER sip:{HOME} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={ticket};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{imsi:015}@{HOME}>;tag={run:x}-{call:x}\r\nTo: <sip:{imsi:015}@{HOME}>\r\n\
             Call-ID: {run:08x}{phone:08x}{call:08x}@{local}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{imsi:015}@{local}>;+sip.instance=\"<urn:gsma:imei:35622410-{:06}-0>\"{features}\r\n\
             Expires: {expires}\r\nSupported: path\r\n\
             Authorization: Digest username=\"{imsi:015}@{HOME}\",realm=\"{HOME}\",uri=\"sip:{HOME}\",",
            phone % 1_000_000
        );
        write_proof(out, self.challenge.as_mut());
        if let Some(protection) = &self.protection {
            protection.write(out);
        }
        let _ = write!(out, "\r\nContent-Length: 0\r\n\r\n");
    }
}

/// RFC 2617 3.2.2 with the RES as password (RFC 3310 3.4).
fn write_proof(out: &mut Vec<u8>, challenge: Option<&mut Challenge>) {
    let Some(challenge) = challenge else {
        let _ = write!(out, "nonce=\"\",response=\"\"");
        return;
    };
    challenge.count += 1;
    let Challenge {
        nonce, ha1, count, ..
    } = &*challenge;
    let mut hash = Md5::new();
    for part in ["REGISTER:sip:", HOME] {
        hash.update(part);
    }
    let ha2 = hex(hash);
    let mut hash = Md5::new();
    hash.update(format!("{ha1}:{nonce}:"));
    if challenge.has_qop {
        hash.update(format!("{count:08x}:0a4f113b:auth:"));
    }
    hash.update(&ha2);
    let _ = write!(
        out,
        "nonce=\"{nonce}\",response=\"{}\",algorithm=AKAv1-MD5",
        hex(hash)
    );
    if challenge.has_qop {
        let _ = write!(out, ",qop=auth,nc={count:08x},cnonce=\"0a4f113b\"");
    }
}

/// The number of a phone.
pub(crate) fn number_of(imsi: u64) -> String {
    format!("{NUMBER_PREFIX}{:010}", imsi % 10_000_000_000)
}

fn hex(hash: Md5) -> String {
    format!("{:032x}", u128::from_be_bytes(hash.finalize().into()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a beginning of time")]
mod tests {
    use super::*;
    use crate::hss::{TEST_K, TEST_OPC};
    use crate::milenage::{Milenage, Sqn};

    fn phone() -> Phone {
        let usim = Usim::new(&TEST_K, &TEST_OPC);
        Phone::new(
            1,
            2,
            1_010_000_000_001,
            SocketAddr::from(([127, 66, 0, 1], 5060)),
            usim,
            600,
        )
    }

    fn text(phone: &Phone) -> String {
        String::from_utf8(phone.request().to_vec()).unwrap()
    }

    fn challenge(number: u64) -> String {
        let vector = Milenage::new(&TEST_K, &TEST_OPC).vector([5; 16], Sqn::of(number, 1), [0x80, 0]);
        let nonce = STANDARD.encode([vector.rand, vector.autn].concat());
        format!("Digest realm=\"{HOME}\",nonce=\"{nonce}\",algorithm=AKAv1-MD5,qop=\"auth\"")
    }

    #[test]
    fn two_challenges_are_answered_and_a_third_one_is_a_failure() {
        let mut phone = phone();
        phone.start(Operation::Register, Instant::now());
        assert!(text(&phone).contains("nonce=\"\",response=\"\""));
        let challenges = [1, 2, 3].map(challenge);
        let answer = |phone: &Phone, number: usize| Answer {
            status: 401,
            ticket: phone.ticket(),
            challenge: challenges.get(number).map(String::as_str),
            security: None,
            retry_after: None,
            service_route: None,
        };
        let first = answer(&phone, 0);
        assert!(matches!(phone.on_answer(&first), Step::Send));
        assert!(text(&phone).contains("nc=00000001") && text(&phone).contains("CSeq: 2 REGISTER"));
        let doubled = phone.on_answer(&first);
        assert!(
            matches!(doubled, Step::Nothing),
            "the answer to the first one again"
        );
        let second = answer(&phone, 1);
        assert!(matches!(phone.on_answer(&second), Step::Send));
        assert!(text(&phone).contains("CSeq: 3 REGISTER"));
        let third = answer(&phone, 2);
        assert!(matches!(phone.on_answer(&third), Step::Failed(kind) if kind == "401"));
    }

    #[test]
    fn a_phone_that_is_refused_for_a_while_is_silent_and_begins_again() {
        let mut phone = phone();
        phone.start(Operation::Register, Instant::now());
        let refused = phone.ticket();
        let answer = Answer {
            status: 503,
            ticket: refused,
            challenge: None,
            security: None,
            retry_after: Some(9),
            service_route: None,
        };
        assert!(matches!(phone.on_answer(&answer), Step::Wait(wait) if wait == Duration::from_secs(9)));
        assert!(
            matches!(phone.on_answer(&answer), Step::Nothing),
            "the same again"
        );
        phone.begin_again();
        assert_ne!(phone.ticket(), refused);
        assert!(text(&phone).contains("nonce=\"\",response=\"\""));
    }

    #[test]
    fn the_hash_of_a_response_has_all_its_digits() {
        assert_eq!(hex(Md5::new()), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
