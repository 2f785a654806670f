//! Codec: CER/CEA, DWR/DWA, DPR/DPA and answers that refuse (RFC 6733 5.3, 5.4, 5.5, 7.2).

use std::net::IpAddr;

use bytes::Bytes;
use rand::Rng;

use super::builder::MessageBuilder;
use super::grammar::{
    self, APPLICATION_BASE, APPLICATION_RELAY, Rule, VENDOR_3GPP, any, avp, command, one, opt, result_code,
};
use super::header::{CommandFlags, Header};
use super::message::{Message, Refusal};
use crate::node::Seed;

/// An application of a vendor, as both sides of a connection advertise it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Application {
    /// Vendor-Id.
    pub vendor: u32,
    /// Auth-Application-Id.
    pub id: u32,
}

impl Application {
    /// Cx and Dx (TS 29.229 6.1).
    pub const CX: Self = Self {
        vendor: VENDOR_3GPP,
        id: 16_777_216,
    };
}

/// What we say about ourselves in CER and CEA.
#[derive(Clone, Debug)]
pub struct LocalPeer {
    /// Origin-Host.
    pub origin_host: String,
    /// Origin-Realm.
    pub origin_realm: String,
    /// Host-IP-Address; empty means the connection's own address.
    pub host_ip_addresses: Vec<IpAddr>,
    /// Product-Name.
    pub product_name: String,
    /// Origin-State-Id: grows with each start (RFC 6733 8.16).
    pub origin_state_id: u32,
    /// Our applications.
    pub applications: Vec<Application>,
    /// Supported-Vendor-Id.
    pub supported_vendors: Vec<u32>,
}

/// Disconnect-Cause (RFC 6733 5.4.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisconnectCause {
    /// 0: will be back.
    Rebooting,
    /// 1: too much load.
    Busy,
    /// 2: no need for a connection.
    DoNotWantToTalkToYou,
}

impl DisconnectCause {
    /// The number of the AVP.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Rebooting => 0,
            Self::Busy => 1,
            Self::DoNotWantToTalkToYou => 2,
        }
    }

    /// The cause of a DPR; an absent or unknown one is a reboot.
    #[must_use]
    pub fn of(dpr: &Message) -> Self {
        match dpr.u32(&avp::DISCONNECT_CAUSE) {
            Some(1) => Self::Busy,
            Some(2) => Self::DoNotWantToTalkToYou,
            _ => Self::Rebooting,
        }
    }
}

/// Both identifiers of the requests that one node sends (RFC 6733 3).
#[derive(Clone, Debug)]
pub struct Identifiers {
    hop_by_hop: u32,
    end_to_end: u32,
}

impl Identifiers {
    /// The shard of a hop-by-hop identifier stands in its highest octet: an answer finds its owner by it.
    #[must_use]
    pub fn new(seed: &Seed, shard: u8, rng: &mut impl Rng) -> Self {
        // RFC 6733 3: high 12 bits the low 12 bits of the time, low 20 bits random: unique over restarts.
        let time = u32::try_from(seed.boot_unix_secs & 0xFFF).unwrap_or(0);
        Self {
            hop_by_hop: (u32::from(shard) << 24) | rng.random_range(0..1 << 24),
            end_to_end: (time << 20) | rng.random_range(0..1 << 20),
        }
    }

    /// The next Hop-by-Hop Identifier.
    pub fn next_hop_by_hop(&mut self) -> u32 {
        let shard = self.hop_by_hop & 0xFF00_0000;
        self.hop_by_hop = shard | (self.hop_by_hop.wrapping_add(1) & 0x00FF_FFFF);
        self.hop_by_hop
    }

    /// The next End-to-End Identifier.
    pub fn next_end_to_end(&mut self) -> u32 {
        self.end_to_end = self.end_to_end.wrapping_add(1);
        self.end_to_end
    }

    /// The header of the next request of the base protocol: flags exactly R.
    fn base_request(&mut self, code: u32) -> Header {
        Header {
            flags: CommandFlags(CommandFlags::REQUEST),
            code,
            application: APPLICATION_BASE,
            hop_by_hop: self.next_hop_by_hop(),
            end_to_end: self.next_end_to_end(),
        }
    }
}

/// What is asked of a CER. Host-IP-Address, Vendor-Id and Product-Name are required by RFC 6733 5.3.1
/// and not by us: nothing here depends on them.
const CER_RULES: &[Rule] = &[
    one(&avp::ORIGIN_HOST),
    one(&avp::ORIGIN_REALM),
    any(&avp::HOST_IP_ADDRESS),
    opt(&avp::VENDOR_ID),
    opt(&avp::PRODUCT_NAME),
];

/// What a peer says about itself in CER or CEA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// Origin-Host; may be a bare word.
    pub origin_host: String,
    /// Origin-Realm.
    pub origin_realm: String,
    /// Application ids, however they were said.
    pub applications: Vec<u32>,
}

impl Capabilities {
    /// Reads a CER.
    ///
    /// # Errors
    /// What the CEA has to say.
    pub fn of_cer(message: &Message) -> Result<Self, Refusal> {
        grammar::check(message, CER_RULES, &[])?;
        Self::read(message).ok_or_else(|| Refusal::new(result_code::MISSING_AVP))
    }

    /// Reads a CEA.
    ///
    /// # Errors
    /// The Result-Code when it is not a success; 5005 when the peer does not say who it is.
    pub fn of_cea(message: &Message) -> Result<Self, u32> {
        match message.result_code() {
            Some(2000..3000) => Self::read(message).ok_or(result_code::MISSING_AVP),
            Some(code) => Err(code),
            None => Err(result_code::MISSING_AVP),
        }
    }

    fn read(message: &Message) -> Option<Self> {
        let text = |def| message.text(def).filter(|text| !text.is_empty());
        let mut applications = Vec::new();
        for avp in message.avps().map_while(Result::ok) {
            // TS 29.229 5: inside Vendor-Specific-Application-Id. Some peers say it outside, or in another order.
            if avp.is(&avp::VENDOR_SPECIFIC_APPLICATION_ID) {
                let members = avp.members().map_while(Result::ok);
                applications.extend(members.filter(is_application_id).filter_map(|m| m.u32()));
            } else if is_application_id(&avp) {
                applications.extend(avp.u32());
            }
        }
        Some(Self {
            origin_host: text(&avp::ORIGIN_HOST)?.to_owned(),
            origin_realm: text(&avp::ORIGIN_REALM).unwrap_or_default().to_owned(),
            applications,
        })
    }

    /// Whether the peer serves one of these applications, or relays all.
    #[must_use]
    pub fn serves_any_of(&self, applications: &[Application]) -> bool {
        let wanted = |id: &u32| *id == APPLICATION_RELAY || applications.iter().any(|app| app.id == *id);
        self.applications.iter().any(wanted)
    }
}

fn is_application_id(avp: &super::Avp<'_>) -> bool {
    avp.is(&avp::AUTH_APPLICATION_ID) || avp.is(&avp::ACCT_APPLICATION_ID)
}

impl LocalPeer {
    /// Capabilities-Exchange-Request (RFC 6733 5.3.1).
    #[must_use]
    pub fn cer(&self, ids: &mut Identifiers, local: IpAddr) -> Bytes {
        let mut builder = MessageBuilder::new(ids.base_request(command::CAPABILITIES_EXCHANGE));
        self.put_origin(&mut builder);
        self.put_product(&mut builder, local);
        self.put_capabilities(&mut builder);
        builder.finish()
    }

    /// Capabilities-Exchange-Answer (RFC 6733 5.3.2).
    #[must_use]
    pub fn cea(&self, to: &Header, local: IpAddr, result: &Refusal) -> Bytes {
        let mut builder = MessageBuilder::new(to.answer(result.is_protocol_error()));
        builder.u32(&avp::RESULT_CODE, result.code);
        self.put_origin(&mut builder);
        self.put_product(&mut builder, local);
        put_failed_avp(&mut builder, result);
        self.put_capabilities(&mut builder);
        builder.finish()
    }

    /// Device-Watchdog-Request (RFC 6733 5.5.1).
    #[must_use]
    pub fn dwr(&self, ids: &mut Identifiers) -> Bytes {
        let mut builder = MessageBuilder::new(ids.base_request(command::DEVICE_WATCHDOG));
        self.put_origin(&mut builder);
        builder.u32(&avp::ORIGIN_STATE_ID, self.origin_state_id);
        builder.finish()
    }

    /// Device-Watchdog-Answer (RFC 6733 5.5.2).
    #[must_use]
    pub fn dwa(&self, to: &Header) -> Bytes {
        let mut builder = MessageBuilder::new(to.answer(false));
        builder.u32(&avp::RESULT_CODE, result_code::SUCCESS);
        self.put_origin(&mut builder);
        builder.u32(&avp::ORIGIN_STATE_ID, self.origin_state_id);
        builder.finish()
    }

    /// Disconnect-Peer-Request (RFC 6733 5.4.1).
    #[must_use]
    pub fn dpr(&self, ids: &mut Identifiers, cause: DisconnectCause) -> Bytes {
        let mut builder = MessageBuilder::new(ids.base_request(command::DISCONNECT_PEER));
        self.put_origin(&mut builder);
        builder.u32(&avp::DISCONNECT_CAUSE, cause.code());
        builder.finish()
    }

    /// Disconnect-Peer-Answer (RFC 6733 5.4.2).
    #[must_use]
    pub fn dpa(&self, to: &Header) -> Bytes {
        let mut builder = MessageBuilder::new(to.answer(false));
        builder.u32(&avp::RESULT_CODE, result_code::SUCCESS);
        self.put_origin(&mut builder);
        builder.finish()
    }

    /// An answer that refuses a request (RFC 6733 7.2): E set for protocol errors only.
    #[must_use]
    pub fn refuse(&self, to: &Header, session_id: Option<&str>, refusal: &Refusal) -> Bytes {
        let mut builder = MessageBuilder::new(to.answer(refusal.is_protocol_error()));
        if let Some(session_id) = session_id {
            builder.text(&avp::SESSION_ID, session_id);
        }
        self.put_origin(&mut builder);
        builder.u32(&avp::RESULT_CODE, refusal.code);
        put_failed_avp(&mut builder, refusal);
        builder.finish()
    }

    /// Adds Origin-Host and Origin-Realm.
    pub fn put_origin(&self, builder: &mut MessageBuilder) {
        builder
            .text(&avp::ORIGIN_HOST, &self.origin_host)
            .text(&avp::ORIGIN_REALM, &self.origin_realm);
    }

    fn put_product(&self, builder: &mut MessageBuilder, local: IpAddr) {
        if self.host_ip_addresses.is_empty() {
            builder.address(&avp::HOST_IP_ADDRESS, local);
        }
        for address in &self.host_ip_addresses {
            builder.address(&avp::HOST_IP_ADDRESS, *address);
        }
        builder
            .u32(&avp::VENDOR_ID, 0)
            .text(&avp::PRODUCT_NAME, &self.product_name)
            .u32(&avp::ORIGIN_STATE_ID, self.origin_state_id);
    }

    fn put_capabilities(&self, builder: &mut MessageBuilder) {
        for vendor in &self.supported_vendors {
            builder.u32(&avp::SUPPORTED_VENDOR_ID, *vendor);
        }
        // RFC 6733 5.3.1: 0 is NO_INBAND_SECURITY.
        builder.u32(&avp::INBAND_SECURITY_ID, 0);
        for application in &self.applications {
            put_application(builder, *application);
        }
    }
}

/// Adds Vendor-Specific-Application-Id.
pub fn put_application(builder: &mut MessageBuilder, application: Application) {
    builder.group(&avp::VENDOR_SPECIFIC_APPLICATION_ID, |b| {
        b.u32(&avp::VENDOR_ID, application.vendor)
            .u32(&avp::AUTH_APPLICATION_ID, application.id);
    });
}

/// Adds Failed-AVP, when the refusal has one.
pub fn put_failed_avp(builder: &mut MessageBuilder, refusal: &Refusal) {
    if let Some(failed) = &refusal.failed_avp {
        builder.group(&avp::FAILED_AVP, |b| {
            b.raw(failed);
        });
    }
}

#[cfg(test)]
pub(in crate::diameter) mod tests;
