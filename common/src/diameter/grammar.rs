//! Codec: the dictionary as constant tables, and the check of a request against it (RFC 6733 3.2, 4.4).
//!
//! A table entry is code, vendor, flags and type; a command or a group is a list of [`Rule`]s, its ABNF.
//! Only requests are checked: answers are read leniently, whatever is in them.

use bytes::{BufMut, Bytes, BytesMut};

use super::avp::{Avp, AvpFlags, Avps, DEPTH_MAX};
use super::message::{Message, Refusal};

/// One AVP of the dictionary.
#[derive(Clone, Copy, Debug)]
pub struct AvpDef {
    /// Its name in the specification.
    pub name: &'static str,
    /// Its code.
    pub code: u32,
    /// Its vendor; 0 for the base protocol.
    pub vendor: u32,
    /// The flags with which we send it.
    pub flags: u8,
    /// The type of its data.
    pub kind: AvpType,
}

/// Data formats (RFC 6733 4.2, 4.3).
#[derive(Clone, Copy, Debug)]
pub enum AvpType {
    /// Octets.
    OctetString,
    /// UTF-8 text.
    Utf8String,
    /// Four octets.
    Unsigned32,
    /// Eight octets.
    Unsigned64,
    /// Four octets: 0 up to this number.
    Enumerated(u32),
    /// Four octets: seconds since 1900.
    Time,
    /// Family and address.
    Address,
    /// A host or realm name; a bare word is one too.
    DiameterIdentity,
    /// `aaa://…`.
    DiameterUri,
    /// AVPs, by these rules.
    Grouped(&'static [Rule]),
}

impl AvpType {
    /// The fewest octets of data.
    fn bytes_min(self) -> usize {
        match self {
            Self::OctetString
            | Self::Utf8String
            | Self::DiameterIdentity
            | Self::DiameterUri
            | Self::Grouped(_) => 0,
            Self::Unsigned32 | Self::Enumerated(_) | Self::Time => 4,
            Self::Unsigned64 => 8,
            Self::Address => 6,
        }
    }

    fn has_fixed_length(self) -> bool {
        matches!(
            self,
            Self::Unsigned32 | Self::Enumerated(_) | Self::Time | Self::Unsigned64
        )
    }
}

/// How often an AVP stands in a command or group.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Which.
    pub avp: &'static AvpDef,
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
}

/// `{ AVP }`
#[must_use]
pub const fn one(avp: &'static AvpDef) -> Rule {
    Rule { avp, min: 1, max: 1 }
}

/// `[ AVP ]`
#[must_use]
pub const fn opt(avp: &'static AvpDef) -> Rule {
    Rule { avp, min: 0, max: 1 }
}

/// `*[ AVP ]`
#[must_use]
pub const fn any(avp: &'static AvpDef) -> Rule {
    Rule {
        avp,
        min: 0,
        max: usize::MAX,
    }
}

/// `1*{ AVP }`
#[must_use]
pub const fn some(avp: &'static AvpDef) -> Rule {
    Rule {
        avp,
        min: 1,
        max: usize::MAX,
    }
}

/// A request's code and ABNF.
#[derive(Clone, Copy, Debug)]
pub struct CommandDef {
    /// Its name in the specification.
    pub name: &'static str,
    /// Its code.
    pub code: u32,
    /// Its application.
    pub application: u32,
    /// What stands in the request. Any other known AVP may stand there too: `*[ AVP ]`.
    pub rules: &'static [Rule],
}

/// Vendor 3GPP.
pub const VENDOR_3GPP: u32 = 10415;
/// Vendor ETSI.
pub const VENDOR_ETSI: u32 = 13019;
/// The base protocol's application.
pub const APPLICATION_BASE: u32 = 0;
/// A relay serves every application.
pub const APPLICATION_RELAY: u32 = 0xFFFF_FFFF;

/// Flags with which AVPs are sent. P stays clear: it is deprecated and some peers misread it.
pub mod flags {
    /// Base AVP, no M.
    pub const PLAIN: u8 = 0;
    /// Base AVP, M.
    pub const M: u8 = 0x40;
    /// Vendor's AVP, no M.
    pub const V: u8 = 0x80;
    /// Vendor's AVP, M.
    pub const VM: u8 = 0xC0;
}

/// Makes constants of a table of AVPs, and `ALL`, the list of them.
#[macro_export]
macro_rules! avp_table {
    (vendor $vendor:expr; $($name:ident $code:literal $text:literal $flags:ident $kind:expr,)+) => {
        $(
            #[doc = concat!($text, " (", stringify!($code), ").")]
            pub const $name: $crate::diameter::AvpDef = $crate::diameter::AvpDef {
                name: $text,
                code: $code,
                vendor: $vendor,
                flags: $crate::diameter::grammar::flags::$flags,
                kind: $kind,
            };
        )+
        /// Every AVP of this table.
        pub const ALL: &[&$crate::diameter::AvpDef] = &[$(&$name),+];
    };
}

/// AVPs of the base protocol and of the IETF that Cx uses (RFC 6733 4.5, RFC 4005, RFC 7683, RFC 7944).
pub mod avp {
    use super::AvpType::{
        Address, DiameterIdentity, DiameterUri, Enumerated, Grouped, OctetString, Time, Unsigned32,
        Unsigned64, Utf8String,
    };
    use super::{one, opt};

    crate::avp_table! { vendor 0;
        USER_NAME 1 "User-Name" M Utf8String,
        FRAMED_IP_ADDRESS 8 "Framed-IP-Address" M OctetString,
        CLASS 25 "Class" M OctetString,
        SESSION_TIMEOUT 27 "Session-Timeout" M Unsigned32,
        PROXY_STATE 33 "Proxy-State" M OctetString,
        EVENT_TIMESTAMP 55 "Event-Timestamp" M Time,
        FRAMED_INTERFACE_ID 96 "Framed-Interface-Id" M Unsigned64,
        FRAMED_IPV6_PREFIX 97 "Framed-IPv6-Prefix" M OctetString,
        DIGEST_REALM 104 "Digest-Realm" M Utf8String,
        DIGEST_QOP 110 "Digest-QoP" M Utf8String,
        DIGEST_ALGORITHM 111 "Digest-Algorithm" M Utf8String,
        DIGEST_HA1 121 "Digest-HA1" M Utf8String,
        HOST_IP_ADDRESS 257 "Host-IP-Address" M Address,
        AUTH_APPLICATION_ID 258 "Auth-Application-Id" M Unsigned32,
        ACCT_APPLICATION_ID 259 "Acct-Application-Id" M Unsigned32,
        VENDOR_SPECIFIC_APPLICATION_ID 260 "Vendor-Specific-Application-Id" M
            Grouped(&[one(&VENDOR_ID), opt(&AUTH_APPLICATION_ID), opt(&ACCT_APPLICATION_ID)]),
        REDIRECT_HOST_USAGE 261 "Redirect-Host-Usage" M Enumerated(6),
        REDIRECT_MAX_CACHE_TIME 262 "Redirect-Max-Cache-Time" M Unsigned32,
        SESSION_ID 263 "Session-Id" M Utf8String,
        ORIGIN_HOST 264 "Origin-Host" M DiameterIdentity,
        SUPPORTED_VENDOR_ID 265 "Supported-Vendor-Id" M Unsigned32,
        VENDOR_ID 266 "Vendor-Id" M Unsigned32,
        FIRMWARE_REVISION 267 "Firmware-Revision" PLAIN Unsigned32,
        RESULT_CODE 268 "Result-Code" M Unsigned32,
        PRODUCT_NAME 269 "Product-Name" PLAIN Utf8String,
        DISCONNECT_CAUSE 273 "Disconnect-Cause" M Enumerated(2),
        AUTH_SESSION_STATE 277 "Auth-Session-State" M Enumerated(1),
        ORIGIN_STATE_ID 278 "Origin-State-Id" M Unsigned32,
        FAILED_AVP 279 "Failed-AVP" M Grouped(&[]),
        PROXY_HOST 280 "Proxy-Host" M DiameterIdentity,
        ERROR_MESSAGE 281 "Error-Message" PLAIN Utf8String,
        ROUTE_RECORD 282 "Route-Record" M DiameterIdentity,
        DESTINATION_REALM 283 "Destination-Realm" M DiameterIdentity,
        PROXY_INFO 284 "Proxy-Info" M Grouped(&[one(&PROXY_HOST), one(&PROXY_STATE)]),
        REDIRECT_HOST 292 "Redirect-Host" M DiameterUri,
        DESTINATION_HOST 293 "Destination-Host" M DiameterIdentity,
        ERROR_REPORTING_HOST 294 "Error-Reporting-Host" PLAIN DiameterIdentity,
        TERMINATION_CAUSE 295 "Termination-Cause" M Unsigned32,
        ORIGIN_REALM 296 "Origin-Realm" M DiameterIdentity,
        EXPERIMENTAL_RESULT 297 "Experimental-Result" M
            Grouped(&[one(&VENDOR_ID), one(&EXPERIMENTAL_RESULT_CODE)]),
        EXPERIMENTAL_RESULT_CODE 298 "Experimental-Result-Code" M Unsigned32,
        INBAND_SECURITY_ID 299 "Inband-Security-Id" M Unsigned32,
        DRMP 301 "DRMP" PLAIN Enumerated(15),
        OC_SUPPORTED_FEATURES 621 "OC-Supported-Features" PLAIN Grouped(&[]),
        OC_FEATURE_VECTOR 622 "OC-Feature-Vector" PLAIN Unsigned64,
        OC_OLR 623 "OC-OLR" PLAIN Grouped(&[]),
        OC_SEQUENCE_NUMBER 624 "OC-Sequence-Number" PLAIN Unsigned64,
        OC_VALIDITY_DURATION 625 "OC-Validity-Duration" PLAIN Unsigned32,
        OC_REPORT_TYPE 626 "OC-Report-Type" PLAIN Enumerated(1),
        OC_REDUCTION_PERCENTAGE 627 "OC-Reduction-Percentage" PLAIN Unsigned32,
    }
}

/// Command codes of the base protocol.
pub mod command {
    /// CER, CEA.
    pub const CAPABILITIES_EXCHANGE: u32 = 257;
    /// DWR, DWA.
    pub const DEVICE_WATCHDOG: u32 = 280;
    /// DPR, DPA.
    pub const DISCONNECT_PEER: u32 = 282;
}

/// Result-Codes (RFC 6733 7.1).
pub mod result_code {
    /// Done.
    pub const SUCCESS: u32 = 2001;
    /// Protocol error: unknown command.
    pub const COMMAND_UNSUPPORTED: u32 = 3001;
    /// Protocol error: no way to the host.
    pub const UNABLE_TO_DELIVER: u32 = 3002;
    /// Protocol error: not now.
    pub const TOO_BUSY: u32 = 3004;
    /// Protocol error: our own name is in the Route-Record.
    pub const LOOP_DETECTED: u32 = 3005;
    /// Protocol error: unknown application.
    pub const APPLICATION_UNSUPPORTED: u32 = 3007;
    /// Protocol error: R, P, E, T do not fit together.
    pub const INVALID_HDR_BITS: u32 = 3008;
    /// Protocol error: an AVP's flags are wrong.
    pub const INVALID_AVP_BITS: u32 = 3009;
    /// Protocol error: a CER of a stranger.
    pub const UNKNOWN_PEER: u32 = 3010;
    /// Transient: the other connection is kept.
    pub const ELECTION_LOST: u32 = 4003;
    /// Permanent: an AVP with M that we do not know.
    pub const AVP_UNSUPPORTED: u32 = 5001;
    /// Permanent: a value out of range.
    pub const INVALID_AVP_VALUE: u32 = 5004;
    /// Permanent: a required AVP is not there.
    pub const MISSING_AVP: u32 = 5005;
    /// Permanent: an AVP is there too often.
    pub const AVP_OCCURS_TOO_MANY_TIMES: u32 = 5009;
    /// Permanent: CER and CEA share no application.
    pub const NO_COMMON_APPLICATION: u32 = 5010;
    /// Permanent: version is not 1.
    pub const UNSUPPORTED_VERSION: u32 = 5011;
    /// Permanent: no better word for it.
    pub const UNABLE_TO_COMPLY: u32 = 5012;
    /// Permanent: an AVP's length is wrong.
    pub const INVALID_AVP_LENGTH: u32 = 5014;
    /// Permanent: the message's length is wrong.
    pub const INVALID_MESSAGE_LENGTH: u32 = 5015;
}

/// An AVP of this name with zero content, for Failed-AVP (RFC 6733 7.1.5, 7.5).
#[must_use]
pub fn example(def: &AvpDef) -> Bytes {
    sample(def.code, def.vendor, def.flags, def.kind.bytes_min())
}

/// The header of an AVP whose length is wrong, with as much zero content as its type has at least.
pub(crate) fn example_of_broken(rest: &[u8], dictionary: &[&[&'static AvpDef]]) -> Option<Bytes> {
    let (code, rest) = rest.split_first_chunk::<4>()?;
    let (flags, rest) = rest.split_first()?;
    let code = u32::from_be_bytes(*code);
    let vendor = match rest.get(3..7).and_then(|v| v.try_into().ok()) {
        Some(vendor) if AvpFlags(*flags).has_vendor() => u32::from_be_bytes(vendor),
        _ => 0,
    };
    let bytes_min = lookup(dictionary, code, vendor).map_or(0, |def| def.kind.bytes_min());
    Some(sample(code, vendor, *flags, bytes_min))
}

fn sample(code: u32, vendor: u32, flags: u8, bytes: usize) -> Bytes {
    let with_vendor = AvpFlags(flags).has_vendor();
    let length = if with_vendor { 12 } else { 8 } + bytes;
    let mut buffer = BytesMut::with_capacity(length);
    buffer.put_u32(code);
    buffer.put_u32((u32::from(flags) << 24) | u32::try_from(length).unwrap_or(0));
    if with_vendor {
        buffer.put_u32(vendor);
    }
    buffer.resize(length, 0);
    buffer.freeze()
}

fn lookup(dictionary: &[&[&'static AvpDef]], code: u32, vendor: u32) -> Option<&'static AvpDef> {
    let mut all = dictionary.iter().flat_map(|table| table.iter());
    all.find(|def| def.code == code && def.vendor == vendor).copied()
}

/// Checks a request against its ABNF and the dictionary of its application; the base dictionary is
/// always part of it.
///
/// # Errors
/// The first thing wrong, as the answer to give: 5001, 5004, 5005, 5009 or 5014 with Failed-AVP.
pub fn check(message: &Message, rules: &[Rule], dictionary: &[&'static AvpDef]) -> Result<(), Refusal> {
    let dictionary = [avp::ALL, dictionary];
    check_avps(message.avps(), rules, &dictionary, 1)
}

fn check_avps(
    avps: Avps<'_>,
    rules: &[Rule],
    dictionary: &[&[&'static AvpDef]],
    depth: usize,
) -> Result<(), Refusal> {
    let mut counts: smallvec::SmallVec<[usize; 24]> = smallvec::smallvec![0; rules.len()];
    for item in avps {
        let avp = item.map_err(|bad| Refusal {
            code: result_code::INVALID_AVP_LENGTH,
            failed_avp: example_of_broken(bad.rest, dictionary),
        })?;
        let position = rules.iter().position(|rule| avp.is(rule.avp));
        if let Some((rule, count)) = position.and_then(|i| Some((rules.get(i)?, counts.get_mut(i)?))) {
            *count += 1;
            if *count > rule.max {
                return Err(Refusal::of(result_code::AVP_OCCURS_TOO_MANY_TIMES, &avp));
            }
            check_value(&avp, rule.avp, dictionary, depth)?;
        } else if let Some(def) = lookup(dictionary, avp.code, avp.vendor) {
            check_value(&avp, def, dictionary, depth)?;
        } else if avp.flags.is_mandatory() {
            // RFC 6733 4.1: an unrecognised AVP with the M bit set MUST be rejected.
            return Err(Refusal::of(result_code::AVP_UNSUPPORTED, &avp));
        }
    }
    let missing = rules.iter().zip(&counts).find(|(rule, count)| **count < rule.min);
    missing.map_or(Ok(()), |(rule, _)| {
        Err(Refusal {
            code: result_code::MISSING_AVP,
            failed_avp: Some(example(rule.avp)),
        })
    })
}

fn check_value(
    avp: &Avp<'_>,
    def: &AvpDef,
    dictionary: &[&[&'static AvpDef]],
    depth: usize,
) -> Result<(), Refusal> {
    let length = avp.data.len();
    let bytes_min = def.kind.bytes_min();
    if length < bytes_min || (def.kind.has_fixed_length() && length > bytes_min) {
        let failed_avp = Some(sample(avp.code, avp.vendor, avp.flags.0, bytes_min));
        let code = result_code::INVALID_AVP_LENGTH;
        return Err(Refusal { code, failed_avp });
    }
    let is_valid = match def.kind {
        AvpType::Enumerated(max) => avp.u32().is_some_and(|value| value <= max),
        AvpType::Utf8String => avp.text().is_some(),
        AvpType::DiameterIdentity | AvpType::DiameterUri => avp.text().is_some_and(|text| !text.is_empty()),
        AvpType::Address => avp.address().is_some(),
        // Groups without rules (Failed-AVP, overload) are not looked into.
        AvpType::Grouped([]) => true,
        AvpType::Grouped(rules) if depth < DEPTH_MAX => {
            return check_avps(avp.members(), rules, dictionary, depth + 1);
        }
        AvpType::Grouped(_) => false,
        AvpType::OctetString | AvpType::Unsigned32 | AvpType::Unsigned64 | AvpType::Time => true,
    };
    if is_valid {
        return Ok(());
    }
    Err(Refusal::of(result_code::INVALID_AVP_VALUE, avp))
}

#[cfg(test)]
mod tests;
