//! Engine: a SIP message as a step of a story: which, whose, and the values that explain something later.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::entry::{SipStep, Way};
use super::facts::{Fact, Facts};
use super::stories::Story;
use crate::net::{Interface, Transport};
use crate::sip::{HeaderName, Message, Method, NameAddr, Uri};

/// Octets of a Call-ID or ICID that is kept; longer ones are cut, so that they may meet, which no phone's do.
pub(super) const ID_MAX: usize = 128;
/// Mechanisms of one header that are looked at.
const MECHANISMS_MAX: usize = 16;
/// Characters of a method that is not known.
const METHOD_MAX: usize = 24;

/// A message, read.
pub(super) struct SipReading {
    pub(super) step: SipStep,
    pub(super) icid: Option<String>,
    /// Identities of the parties, the caller's first; of a REGISTER all are of one subscriber.
    pub(super) identities: Vec<String>,
    pub(super) facts: Facts,
}

/// Which way a message went.
#[derive(Clone, Copy)]
pub(super) struct Passage {
    pub(super) way: Way,
    pub(super) side: Interface,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
}

impl SipReading {
    /// `None`: it has no CSeq.
    pub(super) fn of(message: &Message, passage: Passage, story: Option<&Story>) -> Option<Self> {
        let cseq = message.cseq().ok()?;
        let steps = story.map_or(0, |story| story.steps.len());
        let status = message.status_code();
        let method = known_method(&cseq.method);
        // Whose it is shows when it begins: as it came, and as it was passed on with an asserted identity; a phone says its
        // private identity only when it is challenged.
        let wants_parties = steps < if method == "REGISTER" { 12 } else { 2 };
        let step = SipStep {
            way: passage.way,
            side: passage.side,
            transport: passage.transport,
            peer: passage.peer,
            status,
            cseq: cseq.number,
            octets: u32::try_from(message.bytes().len()).unwrap_or(u32::MAX),
            method,
            again: 0,
        };
        // Between CSCFs it has no other values than when it came.
        let is_passed_on = passage.side == Interface::Mw && story.is_some_and(|story| story.has_heard(&step));
        let mut reading = Self {
            icid: wants_parties.then(|| icid_of(message)).flatten(),
            identities: Vec::new(),
            facts: Facts::new(),
            step,
        };
        if !is_passed_on {
            reading.read(message, wants_parties);
        } else if wants_parties && reading.step.status.is_none() && reading.step.method != "REGISTER" {
            reading.parties(message);
        }
        Some(reading)
    }

    fn read(&mut self, message: &Message, wants_parties: bool) {
        let is_register = self.step.method == "REGISTER";
        match self.step.status {
            None if is_register => self.register(message, wants_parties),
            None => self.request(message, wants_parties),
            Some(401 | 407) => self.challenge(message),
            Some(status) if status >= 300 => self.refusal(message),
            Some(status) if status >= 200 && is_register => self.grant(message),
            Some(_) => {}
        }
        let is_grant = self.step.status.is_some_and(|status| status / 100 == 2);
        if is_register && (is_grant || (wants_parties && self.step.status.is_none())) {
            self.party(message.to().ok());
        }
    }

    fn party(&mut self, address: Option<NameAddr<'_>>) {
        if let Some(address) = address {
            self.identities.push(uri_text(&address.uri));
        }
    }

    fn register(&mut self, message: &Message, wants_parties: bool) {
        let facts = &mut self.facts;
        if let Ok(uri) = Uri::parse(message.request_uri_octets()) {
            facts.put_value(Fact::RequestHost, &uri.host());
        }
        if let Ok(contacts) = message.name_addrs(HeaderName::Contact)
            && let Some(contact) = contacts.first()
        {
            facts.put_value(Fact::ContactHost, &contact.uri.host());
            if let Some(expires) = contact.expires() {
                facts.put_value(Fact::Expires, &expires);
            }
        }
        if !facts.has(Fact::Expires)
            && let Some(expires) = message.expires()
        {
            facts.put_value(Fact::Expires, &expires);
        }
        if let Ok(via) = message.top_via() {
            facts.put_value(Fact::ViaHost, &via.host());
        }
        facts.put_octets(Fact::UserAgent, message.header(HeaderName::UserAgent));
        facts.put_octets(
            Fact::AccessNetwork,
            message.header(HeaderName::PAccessNetworkInfo),
        );
        mechanisms(facts, message, HeaderName::SecurityClient, Fact::SecurityClient);
        if message.header(HeaderName::SecurityVerify).is_some() {
            facts.put(Fact::SecurityVerify, "yes");
        }
        if let Ok(Some(credentials)) = message.authorization() {
            if let Some(username) = credentials.username() {
                facts.put_octets(Fact::Impi, Some(&username));
                if wants_parties {
                    self.identities.push(text(&username, ID_MAX));
                }
            }
            if credentials.auts().is_some() {
                facts.put(Fact::Auts, "yes");
            }
            if credentials.response().is_some_and(|it| !it.is_empty()) {
                facts.put(Fact::Response, "yes");
            }
            facts.put_octets(Fact::Algorithm, credentials.algorithm().as_deref());
            if let Some(nonce) = credentials.nonce().filter(|it| !it.is_empty()) {
                facts.put(Fact::NonceMark, &mark(&nonce));
            }
        }
    }

    fn request(&mut self, message: &Message, wants_parties: bool) {
        if wants_parties {
            self.parties(message);
        }
        self.facts
            .put_octets(Fact::RequestUri, Some(message.request_uri_octets()));
        for (name, fact) in [
            (HeaderName::ContentType, Fact::ContentType),
            (HeaderName::Event, Fact::Event),
            (HeaderName::SubscriptionState, Fact::SubscriptionState),
            (HeaderName::Reason, Fact::Reason),
        ] {
            self.facts.put_octets(fact, message.header(name));
        }
    }

    fn parties(&mut self, message: &Message) {
        let asserted = message
            .name_addrs(HeaderName::PAssertedIdentity)
            .ok()
            .and_then(|it| it.first().map(|it| uri_text(&it.uri)))
            .or_else(|| {
                let preferred = message.name_addrs(HeaderName::PPreferredIdentity).ok()?;
                preferred.first().map(|it| uri_text(&it.uri))
            });
        if let Some(asserted) = asserted {
            self.facts.put(Fact::Identity, &asserted);
            self.identities.push(asserted);
        }
        if let Ok(from) = message.from() {
            let from = uri_text(&from.uri);
            self.facts.put(Fact::From, &from);
            self.identities.push(from);
        }
        if let Ok(to) = message.to() {
            let to = uri_text(&to.uri);
            self.facts.put(Fact::To, &to);
            self.identities.push(to);
        }
    }

    fn challenge(&mut self, message: &Message) {
        mechanisms(
            &mut self.facts,
            message,
            HeaderName::SecurityServer,
            Fact::SecurityServer,
        );
        if let Ok(Some(challenge)) = message.www_authenticate() {
            self.facts
                .put_octets(Fact::Algorithm, challenge.algorithm().as_deref());
            if let Some(nonce) = challenge.nonce() {
                self.facts.put(Fact::NonceMark, &mark(&nonce));
            }
        }
    }

    fn refusal(&mut self, message: &Message) {
        if let Some(phrase) = message.reason_phrase() {
            self.facts.put_octets(Fact::Phrase, Some(phrase));
        }
        for (name, fact) in [
            (HeaderName::Reason, Fact::Reason),
            (HeaderName::Warning, Fact::Warning),
            (HeaderName::RetryAfter, Fact::RetryAfter),
        ] {
            self.facts.put_octets(fact, message.header(name));
        }
        mechanisms(
            &mut self.facts,
            message,
            HeaderName::SecurityServer,
            Fact::SecurityServer,
        );
    }

    fn grant(&mut self, message: &Message) {
        if let Ok(uris) = message.name_addrs(HeaderName::PAssociatedUri) {
            let mut all = String::new();
            for uri in &uris {
                let uri = uri_text(&uri.uri);
                let _ = write!(all, "{}{uri}", if all.is_empty() { "" } else { " " });
                self.identities.push(uri);
            }
            self.facts.put(Fact::AssociatedUris, &all);
        }
        let granted = message
            .name_addrs(HeaderName::Contact)
            .ok()
            .and_then(|it| it.iter().find_map(NameAddr::expires))
            .or_else(|| message.expires());
        if let Some(granted) = granted {
            self.facts.put(Fact::Expires, &granted.to_string());
        }
    }
}

fn known_method(method: &Method) -> Cow<'static, str> {
    match method.known_name() {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(method.as_str().chars().take(METHOD_MAX).collect()),
    }
}

fn mechanisms(facts: &mut Facts, message: &Message, header: HeaderName, fact: Fact) {
    let mut pairs = String::new();
    for mechanism in message.security_mechanisms(header).take(MECHANISMS_MAX) {
        let alg = mechanism.alg().unwrap_or_default();
        let pair = format!(
            "{}/{}",
            String::from_utf8_lossy(&alg),
            String::from_utf8_lossy(&mechanism.ealg())
        );
        if !pairs.split(' ').any(|known| known == pair) {
            let _ = write!(pairs, "{}{pair}", if pairs.is_empty() { "" } else { " " });
        }
    }
    if !pairs.is_empty() {
        facts.put(fact, &pairs);
    }
}

/// Tells two nonces apart and says nothing of either: a few bits of a sum (FNV-1a) of all octets.
fn mark(nonce: &[u8]) -> String {
    let sum = nonce.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
        (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:06x}", sum >> 40)
}

fn uri_text(uri: &Uri<'_>) -> String {
    let octets = uri.as_bytes();
    let end = octets.iter().position(|it| *it == b'?').unwrap_or(octets.len());
    text(octets.get(..end).unwrap_or_default(), ID_MAX)
}

pub(super) fn text(octets: &[u8], octets_max: usize) -> String {
    let cut = octets.get(..octets_max).unwrap_or(octets);
    String::from_utf8_lossy(cut).into_owned()
}

/// RFC 7315 4.6.
fn icid_of(message: &Message) -> Option<String> {
    let vector = message.header(HeaderName::PChargingVector)?;
    let value = crate::sip::Params::new(Some(vector)).unquoted("icid-value")?;
    Some(text(&value, ID_MAX))
}
