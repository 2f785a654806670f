//! Codec: header names (RFC 3261 7.3.1, 20), their compact forms and whether they are lists.

use std::fmt;

/// How often a header may occur and how its lines are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// Once in a message, one value.
    Single,
    /// Comma-separated values; several lines are the same as one (RFC 3261 7.3.1).
    List,
    /// Each line is one value, commas mean nothing here (credentials, dates, free text).
    Lines,
}

macro_rules! header_names {
    ($($variant:ident $text:literal $compact:literal $shape:ident)*) => {
        /// The name of a header: one of those that a CSCF may look at, or [`HeaderName::Other`].
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum HeaderName {
            $(
                #[doc = concat!("`", $text, "`.")]
                $variant,
            )*
            /// A header that is carried but not known here; see [`super::Message::header_named`].
            Other,
        }

        /// Name, compact form or "", header, shape.
        const KNOWN: &[(&str, &str, HeaderName, Shape)] =
            &[$(($text, $compact, HeaderName::$variant, Shape::$shape),)*];
    };
}

header_names! {
    CallId "Call-ID" "i" Single
    From "From" "f" Single
    To "To" "t" Single
    Via "Via" "v" List
    CSeq "CSeq" "" Single
    MaxForwards "Max-Forwards" "" Single
    Contact "Contact" "m" List
    Expires "Expires" "" Single
    MinExpires "Min-Expires" "" Single
    Route "Route" "" List
    RecordRoute "Record-Route" "" List
    Path "Path" "" List
    ServiceRoute "Service-Route" "" List
    Authorization "Authorization" "" Lines
    WwwAuthenticate "WWW-Authenticate" "" Lines
    ProxyAuthorization "Proxy-Authorization" "" Lines
    ProxyAuthenticate "Proxy-Authenticate" "" Lines
    AuthenticationInfo "Authentication-Info" "" Lines
    ProxyAuthenticationInfo "Proxy-Authentication-Info" "" Lines
    SecurityClient "Security-Client" "" List
    SecurityServer "Security-Server" "" List
    SecurityVerify "Security-Verify" "" List
    Require "Require" "" List
    ProxyRequire "Proxy-Require" "" List
    Supported "Supported" "k" List
    Unsupported "Unsupported" "" List
    Allow "Allow" "" List
    PAssociatedUri "P-Associated-URI" "" List
    PAssertedIdentity "P-Asserted-Identity" "" List
    PPreferredIdentity "P-Preferred-Identity" "" List
    PVisitedNetworkId "P-Visited-Network-ID" "" List
    PChargingVector "P-Charging-Vector" "" Lines
    PChargingFunctionAddresses "P-Charging-Function-Addresses" "" List
    PAccessNetworkInfo "P-Access-Network-Info" "" List
    PCalledPartyId "P-Called-Party-ID" "" Lines
    PServedUser "P-Served-User" "" Lines
    PAssertedService "P-Asserted-Service" "" List
    PPreferredService "P-Preferred-Service" "" List
    PProfileKey "P-Profile-Key" "" Lines
    PPrivateNetworkIndication "P-Private-Network-Indication" "" Lines
    PMediaAuthorization "P-Media-Authorization" "" List
    PUserDatabase "P-User-Database" "" Lines
    PEarlyMedia "P-Early-Media" "" List
    PAnswerState "P-Answer-State" "" Lines
    PRefusedUriList "P-Refused-URI-List" "" List
    ContentType "Content-Type" "c" Single
    ContentLength "Content-Length" "l" Lines
    ContentEncoding "Content-Encoding" "e" List
    ContentDisposition "Content-Disposition" "" Single
    ContentLanguage "Content-Language" "" List
    MimeVersion "MIME-Version" "" Single
    RetryAfter "Retry-After" "" Lines
    Reason "Reason" "" List
    Warning "Warning" "" List
    Event "Event" "o" Single
    SubscriptionState "Subscription-State" "" Single
    AllowEvents "Allow-Events" "u" List
    SipEtag "SIP-ETag" "" Lines
    SipIfMatch "SIP-If-Match" "" Lines
    Date "Date" "" Single
    UserAgent "User-Agent" "" Lines
    Server "Server" "" Lines
    Timestamp "Timestamp" "" Lines
    MaxBreadth "Max-Breadth" "" Single
    Accept "Accept" "" List
    AcceptEncoding "Accept-Encoding" "" List
    AcceptLanguage "Accept-Language" "" List
    AcceptContact "Accept-Contact" "a" List
    RejectContact "Reject-Contact" "j" List
    RequestDisposition "Request-Disposition" "d" List
    AlertInfo "Alert-Info" "" List
    CallInfo "Call-Info" "" List
    ErrorInfo "Error-Info" "" List
    InReplyTo "In-Reply-To" "" List
    ReplyTo "Reply-To" "" Lines
    Organization "Organization" "" Lines
    Priority "Priority" "" Lines
    Subject "Subject" "s" Lines
    Privacy "Privacy" "" Lines
    HistoryInfo "History-Info" "" List
    ReferTo "Refer-To" "r" Single
    ReferredBy "Referred-By" "b" Lines
    Replaces "Replaces" "" Lines
    Join "Join" "" Lines
    TargetDialog "Target-Dialog" "" Lines
    SessionExpires "Session-Expires" "x" Single
    MinSe "Min-SE" "" Single
    RSeq "RSeq" "" Single
    RAck "RAck" "" Single
    Identity "Identity" "y" List
    IdentityInfo "Identity-Info" "n" Lines
    ResourcePriority "Resource-Priority" "" List
    AcceptResourcePriority "Accept-Resource-Priority" "" List
    FeatureCaps "Feature-Caps" "" List
    FlowTimer "Flow-Timer" "" Lines
    Geolocation "Geolocation" "" List
    GeolocationRouting "Geolocation-Routing" "" Lines
    InfoPackage "Info-Package" "" Lines
    RecvInfo "Recv-Info" "" List
    SessionId "Session-ID" "" Lines
    RestorationInfo "Restoration-Info" "" Lines
    CellularNetworkInfo "Cellular-Network-Info" "" List
    RelayedCharge "Relayed-Charge" "" Lines
    UserToUser "User-to-User" "" List
}

/// Slots of the name table: a power of two, large enough to keep it sparse.
const SLOTS: usize = 512;
const EMPTY: u8 = u8::MAX;

/// Open addressing over [`KNOWN`], made by the compiler. A slot holds an index into `KNOWN`.
static TABLE: [u8; SLOTS] = table();

const fn table() -> [u8; SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let mut index: u8 = 0;
    while (index as usize) < KNOWN.len() {
        let (text, compact, _, _) = KNOWN[index as usize];
        place(&mut slots, text.as_bytes(), index);
        if !compact.is_empty() {
            place(&mut slots, compact.as_bytes(), index);
        }
        index += 1;
    }
    slots
}

const fn place(slots: &mut [u8; SLOTS], name: &[u8], index: u8) {
    let mut slot = hash(name);
    while slots[slot] != EMPTY {
        slot = (slot + 1) % SLOTS;
    }
    slots[slot] = index;
}

/// Length and three letters: enough to tell the names apart, and blind to case.
const fn hash(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    let last = (name[length - 1] | 0x20) as usize;
    (length * 37 + first * 11 + middle * 101 + last * 5) % SLOTS
}

impl HeaderName {
    /// The header that `name` names, in any case, long or compact.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        let mut slot = hash(name);
        loop {
            let index = TABLE.get(slot).copied().unwrap_or(EMPTY);
            let Some((text, compact, header, _)) = KNOWN.get(usize::from(index)) else {
                return Self::Other;
            };
            let text = text.as_bytes();
            if text == name
                || name.eq_ignore_ascii_case(text)
                || (name.len() == 1 && name.eq_ignore_ascii_case(compact.as_bytes()))
            {
                return *header;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The canonical long form; "" for [`HeaderName::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        KNOWN.get(self as usize).map_or("", |(text, ..)| *text)
    }

    pub(crate) fn shape(self) -> Shape {
        KNOWN
            .get(self as usize)
            .map_or(Shape::Lines, |(_, _, _, shape)| *shape)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_in_its_compact_form() {
        for (index, (text, compact, header, _)) in KNOWN.iter().enumerate() {
            assert_eq!(*header as usize, index);
            assert_eq!(header.as_str(), *text);
            assert_eq!(HeaderName::from_bytes(text.as_bytes()), *header);
            assert_eq!(HeaderName::from_bytes(text.to_uppercase().as_bytes()), *header);
            assert_eq!(HeaderName::from_bytes(text.to_lowercase().as_bytes()), *header);
            if !compact.is_empty() {
                assert_eq!(HeaderName::from_bytes(compact.as_bytes()), *header);
                assert_eq!(HeaderName::from_bytes(compact.to_uppercase().as_bytes()), *header);
            }
        }
        assert!(KNOWN.len() < usize::from(EMPTY));
    }

    #[test]
    fn unknown_names_are_other() {
        for name in ["", "X-Foo", "Vi", "Viaa", "q", "-"] {
            assert_eq!(HeaderName::from_bytes(name.as_bytes()), HeaderName::Other);
        }
        assert_eq!(HeaderName::Other.as_str(), "");
    }

    #[test]
    fn credentials_and_dates_are_not_comma_lists() {
        assert_eq!(HeaderName::WwwAuthenticate.shape(), Shape::Lines);
        assert_eq!(HeaderName::Date.shape(), Shape::Single);
        assert_eq!(HeaderName::Route.shape(), Shape::List);
    }
}
