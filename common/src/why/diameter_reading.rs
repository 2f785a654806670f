//! Engine: a Diameter message as a step of a story: which, whose, and the values that explain something later.

use std::borrow::Cow;

use bytes::Bytes;

use super::entry::{DiameterStep, Way};
use super::facts::{Fact, Facts};
use super::sip_reading::text;
use crate::diameter::{Avp, Message};

/// Octets of a Session-Id that is kept.
const ID_MAX: usize = 128;
/// TS 29.229 6.
const VENDOR_3GPP: u32 = 10_415;

/// AVPs of RFC 6733 and TS 29.229 that explain something.
mod code {
    pub(super) const USER_NAME: u32 = 1;
    pub(super) const SESSION_ID: u32 = 263;
    pub(super) const ORIGIN_HOST: u32 = 264;
    pub(super) const RESULT_CODE: u32 = 268;
    pub(super) const ERROR_MESSAGE: u32 = 281;
    pub(super) const DESTINATION_REALM: u32 = 283;
    pub(super) const EXPERIMENTAL_RESULT: u32 = 297;
    pub(super) const EXPERIMENTAL_RESULT_CODE: u32 = 298;
    pub(super) const VISITED_NETWORK: u32 = 600;
    pub(super) const PUBLIC_IDENTITY: u32 = 601;
    pub(super) const SERVER_NAME: u32 = 602;
    pub(super) const NUMBER_AUTH_ITEMS: u32 = 607;
    pub(super) const AUTHENTICATION_SCHEME: u32 = 608;
    pub(super) const AUTH_DATA_ITEM: u32 = 612;
    pub(super) const SERVER_ASSIGNMENT_TYPE: u32 = 614;
}

/// A message, read.
pub(super) struct DiameterReading {
    pub(super) step: DiameterStep,
    pub(super) session_id: String,
    pub(super) hop_by_hop: u32,
    pub(super) is_request: bool,
    pub(super) identities: Vec<String>,
    pub(super) facts: Facts,
}

impl DiameterReading {
    /// `None`: it does not parse, or is a watchdog.
    pub(super) fn of(bytes: &Bytes, way: Way) -> Option<Self> {
        let message = Message::parse(bytes.clone()).ok()?;
        let is_request = message.is_request();
        let command = command(message.header().code, is_request)?;
        let mut reading = Self {
            step: DiameterStep {
                way,
                command,
                result: None,
            },
            session_id: String::new(),
            hop_by_hop: message.header().hop_by_hop,
            is_request,
            identities: Vec::new(),
            facts: Facts::new(),
        };
        for avp in message.avps().flatten() {
            reading.take(&avp);
        }
        Some(reading)
    }

    fn take(&mut self, avp: &Avp<'_>) {
        let data = || Some(avp.data);
        let facts = &mut self.facts;
        match (avp.vendor, avp.code) {
            (0, code::SESSION_ID) => self.session_id = text(avp.data, ID_MAX),
            (0, code::USER_NAME) => {
                facts.put_octets(Fact::Impi, data());
                self.identities.push(text(avp.data, ID_MAX));
            }
            (0, code::RESULT_CODE) => self.step.result = avp.u32(),
            (0, code::EXPERIMENTAL_RESULT) => {
                let inner = avp.members().flatten();
                let code = inner.filter(|it| it.vendor == 0 && it.code == code::EXPERIMENTAL_RESULT_CODE);
                self.step.result = code.last().and_then(|it| it.u32());
                facts.put(Fact::ResultOf3gpp, "yes");
            }
            (0, code::ORIGIN_HOST) if !self.is_request => facts.put_octets(Fact::Peer, data()),
            (0, code::ERROR_MESSAGE) => facts.put_octets(Fact::ErrorMessage, data()),
            (0, code::DESTINATION_REALM) => facts.put_octets(Fact::Realm, data()),
            (VENDOR_3GPP, code::PUBLIC_IDENTITY) => {
                facts.put_octets(Fact::Impu, data());
                self.identities.push(text(avp.data, ID_MAX));
            }
            (VENDOR_3GPP, code::VISITED_NETWORK) => facts.put_octets(Fact::VisitedNetwork, data()),
            (VENDOR_3GPP, code::SERVER_NAME) => facts.put_octets(Fact::ServerName, data()),
            (VENDOR_3GPP, code::NUMBER_AUTH_ITEMS) => put_number(facts, Fact::Vectors, avp),
            (VENDOR_3GPP, code::SERVER_ASSIGNMENT_TYPE) => put_number(facts, Fact::AssignmentType, avp),
            (VENDOR_3GPP, code::AUTH_DATA_ITEM) => {
                let scheme = avp
                    .members()
                    .flatten()
                    .find(|it| it.vendor == VENDOR_3GPP && it.code == code::AUTHENTICATION_SCHEME);
                if let Some(scheme) = scheme {
                    facts.put_octets(Fact::Scheme, Some(scheme.data));
                }
            }
            _ => {}
        }
    }
}

fn put_number(facts: &mut Facts, name: Fact, avp: &Avp<'_>) {
    if let Some(number) = avp.u32() {
        facts.put(name, &number.to_string());
    }
}

/// `None`: watchdogs, which tell nothing.
fn command(code: u32, is_request: bool) -> Option<Cow<'static, str>> {
    let (request, answer) = match code {
        257 => ("CER", "CEA"),
        282 => ("DPR", "DPA"),
        300 => ("UAR", "UAA"),
        301 => ("SAR", "SAA"),
        302 => ("LIR", "LIA"),
        303 => ("MAR", "MAA"),
        304 => ("RTR", "RTA"),
        305 => ("PPR", "PPA"),
        _ => return None,
    };
    Some(Cow::Borrowed(if is_request { request } else { answer }))
}
