//! Table: AVPs and requests of Cx (TS 29.229 6.1, 6.3).

use ims_common::diameter::grammar::{VENDOR_3GPP, any, avp as base, one, opt, some};
use ims_common::diameter::{Application, CommandDef, Rule};

/// Application-Id of Cx and Dx.
pub(crate) const APPLICATION: u32 = Application::CX.id;

/// Command codes (TS 29.229 6.1).
pub(crate) mod code {
    pub(crate) const USER_AUTHORIZATION: u32 = 300;
    pub(crate) const SERVER_ASSIGNMENT: u32 = 301;
    pub(crate) const LOCATION_INFO: u32 = 302;
    pub(crate) const MULTIMEDIA_AUTH: u32 = 303;
    pub(crate) const REGISTRATION_TERMINATION: u32 = 304;
    pub(crate) const PUSH_PROFILE: u32 = 305;
}

/// AVPs of vendor 3GPP (TS 29.229 6.3). `V` is V without M, `VM` is V and M.
#[allow(
    dead_code,
    reason = "a dictionary names what it must recognise, used by us or not"
)]
pub(crate) mod avp {
    use ims_common::diameter::AvpType::{
        Address, DiameterIdentity, DiameterUri, Enumerated, Grouped, OctetString, Time, Unsigned32,
        Utf8String,
    };

    use super::{VENDOR_3GPP, any, base, one, opt, some};

    ims_common::avp_table! { vendor VENDOR_3GPP;
        VISITED_NETWORK_IDENTIFIER 600 "Visited-Network-Identifier" VM OctetString,
        PUBLIC_IDENTITY 601 "Public-Identity" VM Utf8String,
        SERVER_NAME 602 "Server-Name" VM Utf8String,
        SERVER_CAPABILITIES 603 "Server-Capabilities" VM
            Grouped(&[any(&MANDATORY_CAPABILITY), any(&OPTIONAL_CAPABILITY), any(&SERVER_NAME)]),
        MANDATORY_CAPABILITY 604 "Mandatory-Capability" VM Unsigned32,
        OPTIONAL_CAPABILITY 605 "Optional-Capability" VM Unsigned32,
        USER_DATA 606 "User-Data" VM OctetString,
        SIP_NUMBER_AUTH_ITEMS 607 "SIP-Number-Auth-Items" VM Unsigned32,
        SIP_AUTHENTICATION_SCHEME 608 "SIP-Authentication-Scheme" VM Utf8String,
        SIP_AUTHENTICATE 609 "SIP-Authenticate" VM OctetString,
        SIP_AUTHORIZATION 610 "SIP-Authorization" VM OctetString,
        SIP_AUTHENTICATION_CONTEXT 611 "SIP-Authentication-Context" VM OctetString,
        SIP_AUTH_DATA_ITEM 612 "SIP-Auth-Data-Item" VM Grouped(&[
            opt(&SIP_ITEM_NUMBER), opt(&SIP_AUTHENTICATION_SCHEME), opt(&SIP_AUTHENTICATE), opt(&SIP_AUTHORIZATION),
            opt(&SIP_AUTHENTICATION_CONTEXT), opt(&CONFIDENTIALITY_KEY), opt(&INTEGRITY_KEY),
            opt(&SIP_DIGEST_AUTHENTICATE), opt(&base::FRAMED_IP_ADDRESS), opt(&base::FRAMED_IPV6_PREFIX),
            opt(&base::FRAMED_INTERFACE_ID),
        ]),
        SIP_ITEM_NUMBER 613 "SIP-Item-Number" VM Unsigned32,
        SERVER_ASSIGNMENT_TYPE 614 "Server-Assignment-Type" VM Enumerated(14),
        DEREGISTRATION_REASON 615 "Deregistration-Reason" VM Grouped(&[one(&REASON_CODE), opt(&REASON_INFO)]),
        REASON_CODE 616 "Reason-Code" VM Enumerated(3),
        REASON_INFO 617 "Reason-Info" VM Utf8String,
        CHARGING_INFORMATION 618 "Charging-Information" VM Grouped(&[
            opt(&PRIMARY_EVENT_CHARGING_FUNCTION_NAME), opt(&SECONDARY_EVENT_CHARGING_FUNCTION_NAME),
            opt(&PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME), opt(&SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME),
        ]),
        PRIMARY_EVENT_CHARGING_FUNCTION_NAME 619 "Primary-Event-Charging-Function-Name" VM DiameterUri,
        SECONDARY_EVENT_CHARGING_FUNCTION_NAME 620 "Secondary-Event-Charging-Function-Name" VM DiameterUri,
        PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME 621 "Primary-Charging-Collection-Function-Name" VM DiameterUri,
        SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME 622 "Secondary-Charging-Collection-Function-Name" VM DiameterUri,
        USER_AUTHORIZATION_TYPE 623 "User-Authorization-Type" VM Enumerated(2),
        USER_DATA_ALREADY_AVAILABLE 624 "User-Data-Already-Available" VM Enumerated(1),
        CONFIDENTIALITY_KEY 625 "Confidentiality-Key" VM OctetString,
        INTEGRITY_KEY 626 "Integrity-Key" VM OctetString,
        SUPPORTED_FEATURES 628 "Supported-Features" V
            Grouped(&[one(&base::VENDOR_ID), one(&FEATURE_LIST_ID), one(&FEATURE_LIST)]),
        FEATURE_LIST_ID 629 "Feature-List-ID" V Unsigned32,
        FEATURE_LIST 630 "Feature-List" V Unsigned32,
        SUPPORTED_APPLICATIONS 631 "Supported-Applications" V Grouped(&[]),
        ASSOCIATED_IDENTITIES 632 "Associated-Identities" V Grouped(&[any(&base::USER_NAME)]),
        ORIGINATING_REQUEST 633 "Originating-Request" VM Enumerated(0),
        WILDCARDED_PUBLIC_IDENTITY 634 "Wildcarded-Public-Identity" V Utf8String,
        SIP_DIGEST_AUTHENTICATE 635 "SIP-Digest-Authenticate" V Grouped(&[
            one(&base::DIGEST_REALM), opt(&base::DIGEST_ALGORITHM), one(&base::DIGEST_QOP), one(&base::DIGEST_HA1),
            opt(&ALTERNATE_DIGEST_ALGORITHM), opt(&ALTERNATE_DIGEST_HA1),
        ]),
        WILDCARDED_IMPU 636 "Wildcarded-IMPU" V Utf8String,
        UAR_FLAGS 637 "UAR-Flags" V Unsigned32,
        LOOSE_ROUTE_INDICATION 638 "Loose-Route-Indication" V Enumerated(1),
        SCSCF_RESTORATION_INFO 639 "SCSCF-Restoration-Info" V Grouped(&[one(&base::USER_NAME), some(&RESTORATION_INFO)]),
        PATH 640 "Path" V OctetString,
        CONTACT 641 "Contact" V OctetString,
        SUBSCRIPTION_INFO 642 "Subscription-Info" V Grouped(&[]),
        CALL_ID_SIP_HEADER 643 "Call-ID-SIP-Header" V OctetString,
        FROM_SIP_HEADER 644 "From-SIP-Header" V OctetString,
        TO_SIP_HEADER 645 "To-SIP-Header" V OctetString,
        RECORD_ROUTE 646 "Record-Route" V OctetString,
        ASSOCIATED_REGISTERED_IDENTITIES 647 "Associated-Registered-Identities" V Grouped(&[any(&base::USER_NAME)]),
        MULTIPLE_REGISTRATION_INDICATION 648 "Multiple-Registration-Indication" V Enumerated(1),
        RESTORATION_INFO 649 "Restoration-Info" V Grouped(&[one(&PATH), one(&CONTACT)]),
        SESSION_PRIORITY 650 "Session-Priority" V Enumerated(4),
        IDENTITY_WITH_EMERGENCY_REGISTRATION 651 "Identity-with-Emergency-Registration" V
            Grouped(&[one(&base::USER_NAME), one(&PUBLIC_IDENTITY)]),
        PRIVILEDGED_SENDER_INDICATION 652 "Priviledged-Sender-Indication" V Enumerated(1),
        LIA_FLAGS 653 "LIA-Flags" V Unsigned32,
        INITIAL_CSEQ_SEQUENCE_NUMBER 654 "Initial-CSeq-Sequence-Number" V Unsigned32,
        SAR_FLAGS 655 "SAR-Flags" V Unsigned32,
        ALLOWED_WAF_WWSF_IDENTITIES 656 "Allowed-WAF-WWSF-Identities" V Grouped(&[]),
        WEBRTC_AUTHENTICATION_FUNCTION_NAME 657 "WebRTC-Authentication-Function-Name" V Utf8String,
        WEBRTC_WEB_SERVER_FUNCTION_NAME 658 "WebRTC-Web-Server-Function-Name" V Utf8String,
        RTR_FLAGS 659 "RTR-Flags" V Unsigned32,
        P_CSCF_SUBSCRIPTION_INFO 660 "P-CSCF-Subscription-Info" V Grouped(&[]),
        REGISTRATION_TIME_OUT 661 "Registration-Time-Out" V Time,
        ALTERNATE_DIGEST_ALGORITHM 662 "Alternate-Digest-Algorithm" V Utf8String,
        ALTERNATE_DIGEST_HA1 663 "Alternate-Digest-HA1" V Utf8String,
        FAILED_PCSCF 664 "Failed-PCSCF" V Grouped(&[opt(&PCSCF_FQDN), any(&PCSCF_IP_ADDRESS)]),
        PCSCF_FQDN 665 "PCSCF-FQDN" V DiameterIdentity,
        PCSCF_IP_ADDRESS 666 "PCSCF-IP-Address" V Address,
    }
}

/// The head of every request that may go without Destination-Host (TS 29.229 6.1).
macro_rules! request {
    ($($rule:expr),* $(,)?) => {
        &[
            one(&base::SESSION_ID), one(&base::VENDOR_SPECIFIC_APPLICATION_ID), one(&base::AUTH_SESSION_STATE),
            one(&base::ORIGIN_HOST), one(&base::ORIGIN_REALM), opt(&base::DESTINATION_HOST),
            one(&base::DESTINATION_REALM), any(&avp::SUPPORTED_FEATURES), any(&base::PROXY_INFO),
            any(&base::ROUTE_RECORD), $($rule),*
        ]
    };
}

const UAR_RULES: &[Rule] = request![
    one(&base::USER_NAME),
    one(&avp::PUBLIC_IDENTITY),
    one(&avp::VISITED_NETWORK_IDENTIFIER),
    opt(&avp::USER_AUTHORIZATION_TYPE),
    opt(&avp::UAR_FLAGS),
];
const SAR_RULES: &[Rule] = request![
    opt(&base::USER_NAME),
    any(&avp::PUBLIC_IDENTITY),
    opt(&avp::WILDCARDED_PUBLIC_IDENTITY),
    one(&avp::SERVER_NAME),
    one(&avp::SERVER_ASSIGNMENT_TYPE),
    one(&avp::USER_DATA_ALREADY_AVAILABLE),
];
const LIR_RULES: &[Rule] = request![
    opt(&avp::ORIGINATING_REQUEST),
    one(&avp::PUBLIC_IDENTITY),
    opt(&avp::USER_AUTHORIZATION_TYPE),
];
const MAR_RULES: &[Rule] = request![
    one(&base::USER_NAME),
    one(&avp::PUBLIC_IDENTITY),
    one(&avp::SIP_AUTH_DATA_ITEM),
    one(&avp::SIP_NUMBER_AUTH_ITEMS),
    one(&avp::SERVER_NAME),
];
/// RTR and PPR require Destination-Host. Deviates: a RTR without it reached us all the same.
const RTR_RULES: &[Rule] = request![
    one(&base::USER_NAME),
    opt(&avp::ASSOCIATED_IDENTITIES),
    any(&avp::PUBLIC_IDENTITY),
    one(&avp::DEREGISTRATION_REASON),
    opt(&avp::RTR_FLAGS),
];
const PPR_RULES: &[Rule] = request![
    one(&base::USER_NAME),
    opt(&avp::USER_DATA),
    opt(&avp::CHARGING_INFORMATION),
    opt(&avp::SIP_AUTH_DATA_ITEM),
    opt(&avp::ALLOWED_WAF_WWSF_IDENTITIES),
];

const fn request(name: &'static str, code: u32, rules: &'static [Rule]) -> CommandDef {
    CommandDef {
        name,
        code,
        application: APPLICATION,
        rules,
    }
}

/// The requests of Cx, in the order of their codes.
pub(crate) const REQUESTS: [CommandDef; 6] = [
    request("UAR", code::USER_AUTHORIZATION, UAR_RULES),
    request("SAR", code::SERVER_ASSIGNMENT, SAR_RULES),
    request("LIR", code::LOCATION_INFO, LIR_RULES),
    request("MAR", code::MULTIMEDIA_AUTH, MAR_RULES),
    request("RTR", code::REGISTRATION_TERMINATION, RTR_RULES),
    request("PPR", code::PUSH_PROFILE, PPR_RULES),
];
