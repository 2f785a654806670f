//! Testkit: Cx as PyHSS speaks it.

use bytes::Bytes;
use hss_client::cx::{ServerAssignmentType, UserAuthorizationType};
use ims_common::aka::AuthVector;
use ims_common::aka::hex::to_hex;
use ims_common::diameter::base::{Application, put_application};
use ims_common::diameter::grammar::{VENDOR_3GPP, avp};
use ims_common::diameter::{Avp, AvpDef, AvpType, Avps, CommandFlags, Header, Message, MessageBuilder};
use rand::Rng;

use super::{PyHss, Version, profile};
use crate::hss::cx::{DiameterClient, Subscribers};
use crate::hss::subscribers::{Authentication, Subscriber};
use crate::milenage::Sqn;

const SH: u32 = 16_777_217;
/// With more AVPs it reads no message.
const AVPS_MAX: usize = 100;
const USER_UNKNOWN: u32 = 5001;
/// For a SAR, unknown is not 5001.
const SAR_USER_UNKNOWN: u32 = 5005;
/// How far each vector moves the sequence number, a plain integer here.
const SQN_STEP: u64 = 100;
/// The sequence number that a user is provisioned with.
const SQN_FIRST: u64 = 1_000;

const fn cx(code: u32, name: &'static str, kind: AvpType) -> AvpDef {
    AvpDef {
        name,
        code,
        vendor: VENDOR_3GPP,
        flags: 0xC0,
        kind,
    }
}

const PUBLIC_IDENTITY: AvpDef = cx(601, "Public-Identity", AvpType::Utf8String);
const SERVER_NAME: AvpDef = cx(602, "Server-Name", AvpType::Utf8String);
const USER_DATA: AvpDef = cx(606, "User-Data", AvpType::OctetString);
const NUMBER_OF_ITEMS: AvpDef = cx(607, "SIP-Number-Auth-Items", AvpType::Unsigned32);
const SCHEME: AvpDef = cx(608, "SIP-Authentication-Scheme", AvpType::Utf8String);
const AUTHENTICATE: AvpDef = cx(609, "SIP-Authenticate", AvpType::OctetString);
const AUTHORIZATION: AvpDef = cx(610, "SIP-Authorization", AvpType::OctetString);
const ITEM: AvpDef = cx(612, "SIP-Auth-Data-Item", AvpType::Grouped(&[]));
const ITEM_NUMBER: AvpDef = cx(613, "SIP-Item-Number", AvpType::Unsigned32);
const ASSIGNMENT_TYPE: AvpDef = cx(614, "Server-Assignment-Type", AvpType::Enumerated(14));
const AUTHORIZATION_TYPE: AvpDef = cx(623, "User-Authorization-Type", AvpType::Enumerated(2));
const CK: AvpDef = cx(625, "Confidentiality-Key", AvpType::OctetString);
const IK: AvpDef = cx(626, "Integrity-Key", AvpType::OctetString);

/// The AVPs of a request at any depth, by code only; the first of a code counts.
struct Flat<'a>(Vec<Avp<'a>>);

impl<'a> Flat<'a> {
    fn of(message: &'a Message) -> Self {
        let mut flat = Self(Vec::new());
        flat.add(message.avps());
        flat
    }

    fn add(&mut self, avps: Avps<'a>) {
        for avp in avps.map_while(Result::ok) {
            // With the P flag of an AVP it reads in the wrong place, and so does not find it.
            let is_misread = avp.flags.has_vendor() && !matches!(avp.flags.0, 0x80 | 0xC0);
            match avp.code {
                _ if is_misread => {}
                260 | 284 | 297 | 628 | 632 => self.add(avp.members()),
                612 => {
                    self.0.push(avp);
                    self.add(avp.members());
                }
                _ => self.0.push(avp),
            }
        }
    }

    fn find(&self, def: &AvpDef) -> Option<&Avp<'a>> {
        self.0.iter().find(|avp| avp.code == def.code)
    }

    fn text(&self, def: &AvpDef) -> Option<&'a str> {
        self.find(def)?.text()
    }

    fn u32(&self, def: &AvpDef) -> Option<u32> {
        self.find(def)?.u32()
    }

    fn client(&self) -> DiameterClient {
        let text = |def| self.text(def).unwrap_or_default().to_owned();
        let host = self
            .0
            .iter()
            .rfind(|a| a.is(&avp::ROUTE_RECORD))
            .and_then(Avp::text);
        DiameterClient {
            host: host.map_or_else(|| text(&avp::ORIGIN_HOST), str::to_owned),
            realm: text(&avp::ORIGIN_REALM),
        }
    }
}

/// The IMSI of a subscriber.
pub(super) fn imsi(subscriber: &Subscriber) -> &str {
    let impi = subscriber.impi.as_str();
    impi.split_once('@').map_or(impi, |(imsi, _)| imsi)
}

/// The only number of a subscriber, without `+`: the database strips it.
pub(super) fn msisdn(subscriber: &Subscriber) -> Option<&str> {
    let mut impus = subscriber.public_identities().map(|i| i.impu.as_str());
    impus
        .find_map(|impu| impu.strip_prefix("tel:"))
        .map(|number| number.trim_start_matches('+'))
}

fn by_imsi(subscribers: &Subscribers, wanted: &str) -> Option<usize> {
    subscribers.subscribers.iter().position(|s| imsi(s) == wanted)
}

impl PyHss {
    /// The answer, if there is one.
    pub(super) fn cx(&self, request: &Message, subscribers: &mut Subscribers) -> Option<Bytes> {
        let avps = Flat::of(request);
        if avps.0.len() > AVPS_MAX {
            return None;
        }
        avps.find(&avp::SESSION_ID)?;
        match request.header().code {
            300 => self.uar(request, &avps, subscribers),
            301 => self.sar(request, &avps, subscribers),
            302 => self.lir(request, &avps, subscribers),
            303 => self.mar(request, &avps, subscribers),
            _ => None,
        }
    }

    /// Matched by the digits of the user part: 15 or 16 characters are an IMSI, others a number. Exactly
    /// four characters are cut off the front, whatever they are; only 2.0.0 strips a `+`.
    fn by_impu(&self, subscribers: &Subscribers, impu: &str) -> Option<usize> {
        let user = impu.get(4..)?.split('@').next().unwrap_or_default();
        if matches!(user.len(), 15 | 16) {
            return by_imsi(subscribers, user);
        }
        let number = match self.version {
            Version::One => user,
            Version::Two => user.trim_start_matches('+'),
        };
        let mut all = subscribers.subscribers.iter();
        all.position(|s| msisdn(s) == Some(number))
    }

    fn head(&self, request: &Message, application: u32) -> MessageBuilder {
        let mut b = MessageBuilder::new(Header {
            flags: CommandFlags(CommandFlags::PROXIABLE),
            application,
            ..*request.header()
        });
        b.text(
            &avp::SESSION_ID,
            request.text(&avp::SESSION_ID).unwrap_or_default(),
        );
        self.local.put_origin(&mut b);
        b.u32(&avp::AUTH_SESSION_STATE, 1);
        put_application(&mut b, Application::CX);
        b
    }

    fn uar(&self, request: &Message, avps: &Flat<'_>, subscribers: &mut Subscribers) -> Option<Bytes> {
        let mut b = self.head(request, Application::CX.id);
        let name = avps.text(&avp::USER_NAME);
        if name.is_none() && self.version == Version::One {
            return None;
        }
        let imsi = name.and_then(|name| name.split_once('@')).map(|(imsi, _)| imsi);
        let Some(index) = imsi.and_then(|imsi| by_imsi(subscribers, imsi)) else {
            put_experimental(&mut b, USER_UNKNOWN);
            return Some(b.finish());
        };
        let stored = subscribers.server_name_of(index).clone();
        let leaves = avps.u32(&AUTHORIZATION_TYPE) == Some(UserAuthorizationType::DeRegistration.code());
        match stored {
            // The S-CSCF was not asked yet, but its name is gone.
            Some(name) if leaves => {
                subscribers.unassign(index);
                b.text(&SERVER_NAME, &name).u32(&avp::RESULT_CODE, 2001);
            }
            Some(name) => put_experimental(b.text(&SERVER_NAME, &name), 2002),
            None => put_experimental(b.text(&SERVER_NAME, &self.pool), 2001),
        }
        Some(b.finish())
    }

    fn lir(&self, request: &Message, avps: &Flat<'_>, subscribers: &Subscribers) -> Option<Bytes> {
        let mut b = self.head(request, Application::CX.id);
        match self.by_impu(subscribers, avps.text(&PUBLIC_IDENTITY)?) {
            None => put_experimental(&mut b, USER_UNKNOWN),
            // Whether the user is registered is not said.
            Some(index) => {
                let name = subscribers.server_name_of(index).as_ref().unwrap_or(&self.pool);
                b.text(&SERVER_NAME, name).u32(&avp::RESULT_CODE, 2001);
            }
        }
        Some(b.finish())
    }

    fn sar(&self, request: &Message, avps: &Flat<'_>, subscribers: &mut Subscribers) -> Option<Bytes> {
        let assignment_type = avps.u32(&ASSIGNMENT_TYPE)?;
        let server_name = avps.text(&SERVER_NAME)?;
        let impu = avps.text(&PUBLIC_IDENTITY);
        let Some(index) = impu.and_then(|impu| self.by_impu(subscribers, impu)) else {
            let mut b = self.head(request, SH);
            put_experimental(&mut b, SAR_USER_UNKNOWN);
            return Some(b.finish());
        };
        let assigns = [
            ServerAssignmentType::Registration.code(),
            ServerAssignmentType::ReRegistration.code(),
        ];
        if assigns.contains(&assignment_type) {
            let name = server_name
                .strip_prefix("sip:")
                .filter(|rest| rest.starts_with("sip:"));
            subscribers.assign(index, name.unwrap_or(server_name), &avps.client());
        } else if self.version == Version::One
            || subscribers.server_name_of(index).as_deref() == Some(server_name)
        {
            // Every other type de-registers, those that only ask as well.
            subscribers.unassign(index);
        }
        let subscriber = subscribers.subscribers.get(index)?;
        let mut b = self.head(request, Application::CX.id);
        b.text(
            &avp::USER_NAME,
            &format!("{}@{}", imsi(subscriber), subscriber.home),
        )
        .octets(&USER_DATA, profile::print(subscriber).as_bytes())
        .u32(&avp::RESULT_CODE, 2001);
        Some(b.finish())
    }

    fn mar(&self, request: &Message, avps: &Flat<'_>, subscribers: &mut Subscribers) -> Option<Bytes> {
        let impu = avps.text(&PUBLIC_IDENTITY)?;
        let user_name = avps.text(&avp::USER_NAME)?;
        let (imsi, _) = user_name.split_once('@')?;
        avps.find(&ITEM)?;
        let Some(index) = by_imsi(subscribers, imsi) else {
            let mut b = self.head(request, Application::CX.id);
            // The only answer with this order.
            b.group(&avp::EXPERIMENTAL_RESULT, |b| {
                b.u32(&avp::EXPERIMENTAL_RESULT_CODE, USER_UNKNOWN)
                    .u32(&avp::VENDOR_ID, VENDOR_3GPP);
            });
            return Some(b.finish());
        };
        let rand: [u8; 16] = subscribers.rng.random();
        let authorization = avps.find(&AUTHORIZATION).map(|avp| avp.data);
        let subscriber = subscribers.subscribers.get_mut(index)?;
        let item = match avps.text(&SCHEME) {
            Some("Digest-MD5") => AuthItem::KeyAsPassword(rand, subscriber.aka().0),
            _ => AuthItem::Aka(next_vector(subscriber, rand, authorization)?),
        };
        let mut b = MessageBuilder::new(Header {
            flags: CommandFlags(CommandFlags::PROXIABLE),
            ..*request.header()
        });
        b.text(&avp::SESSION_ID, avps.text(&avp::SESSION_ID)?);
        put_application(&mut b, Application::CX);
        b.u32(&avp::AUTH_SESSION_STATE, 1);
        self.local.put_origin(&mut b);
        b.text(&PUBLIC_IDENTITY, impu)
            .text(&avp::USER_NAME, user_name)
            .group(&ITEM, |b| put_item(b, &item))
            .u32(&NUMBER_OF_ITEMS, 1)
            .u32(&avp::RESULT_CODE, 2001);
        Some(b.finish())
    }
}

enum AuthItem {
    Aka(AuthVector),
    /// A random challenge, and K in letters: of no use to anyone.
    KeyAsPassword([u8; 16], [u8; 16]),
}

/// The next vector; AUTS is believed whatever its MAC-S.
fn next_vector(
    subscriber: &mut Subscriber,
    rand: [u8; 16],
    authorization: Option<&[u8]>,
) -> Option<AuthVector> {
    let milenage = subscriber.milenage();
    let Authentication::Aka { amf, sqn, .. } = &mut subscriber.authentication else {
        return None;
    };
    if *sqn == Sqn::default() {
        *sqn = Sqn::new(SQN_FIRST);
    }
    if let Some((rand, auts)) = authorization.and_then(|a| a.split_first_chunk::<16>()) {
        let (hidden, _) = auts.split_first_chunk::<6>()?;
        let mut sqn_ms = milenage.f5_star(rand);
        sqn_ms.iter_mut().zip(hidden).for_each(|(a, b)| *a ^= b);
        *sqn = Sqn::new(Sqn::from_octets(sqn_ms).number() + SQN_STEP);
    }
    let vector = milenage.vector(rand, *sqn, *amf);
    *sqn = Sqn::new(sqn.number() + SQN_STEP);
    Some(vector)
}

fn put_item(b: &mut MessageBuilder, item: &AuthItem) {
    b.u32(&ITEM_NUMBER, 0);
    match item {
        AuthItem::Aka(vector) => {
            b.text(&SCHEME, "Digest-AKAv1-MD5")
                .octets(&AUTHENTICATE, &vector.authenticate())
                .octets(&AUTHORIZATION, vector.xres.expose())
                .octets(&CK, vector.ck.expose())
                .octets(&IK, vector.ik.expose());
        }
        AuthItem::KeyAsPassword(rand, k) => {
            b.text(&SCHEME, "Digest-MD5")
                .octets(&AUTHENTICATE, rand)
                .text(&AUTHORIZATION, &to_hex(k));
        }
    }
}

fn put_experimental(b: &mut MessageBuilder, code: u32) {
    b.group(&avp::EXPERIMENTAL_RESULT, |b| {
        b.u32(&avp::VENDOR_ID, VENDOR_3GPP)
            .u32(&avp::EXPERIMENTAL_RESULT_CODE, code);
    });
}
