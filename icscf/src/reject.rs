//! Codec: what answers of the HSS and failures of S-CSCFs mean in SIP: the one status table
//! (TS 24.229 5.3.1, 5.3.2; TS 29.228 6.1.1, 6.1.4).

use hss_client::cx::{CxError, CxResult};
use ims_common::sip::StatusCode;

/// A request that is not served, by the sender's fault or the world's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reject {
    /// To, Contact or Authorization does not parse. RFC 3261 10.3.
    Malformed,
    /// A REGISTER, or an `orig` Route, from outside the trust domain. TS 24.229 5.3.1.2, 5.3.2.1.
    Untrusted,
    /// The HSS does not know the private identity. TS 24.229 5.3.1.2.
    UserUnknown,
    /// Private and public identity are not of one subscription. TS 24.229 5.3.1.2.
    IdentitiesDontMatch,
    /// De-registration of what is not registered. TS 29.228 6.1.1.
    NotRegistered,
    /// No roaming in the visited network. TS 24.229 5.3.1.2.
    RoamingNotAllowed,
    /// The subscription does not allow it: barred, or no IMS. TS 29.228 6.1.1.
    AuthorizationRejected,
    /// The HSS refused, for a reason that says nothing about the user. TS 24.229 5.3.1.2.
    HssRefused,
    /// The HSS is silent, out of reach or incomprehensible. TS 24.229 5.3.1.2.
    HssUnavailable,
    /// No S-CSCF has the mandatory capabilities. TS 24.229 5.3.1.2, 5.3.2.2.
    NoCapableScscf,
    /// No S-CSCF answers. TS 24.229 5.3.1.3.
    ScscfSilent,
    /// The S-CSCF of a callee does not answer. TS 24.229 5.3.2.2.
    ScscfUnavailable,
    /// The callee is unknown to the HSS. TS 24.229 5.3.2.2.
    CalleeUnknown,
    /// The callee is not registered and has no services for that state. TS 24.229 5.3.2.2.
    CalleeNotRegistered,
    /// The HSS has no server name for the callee. Open5GS says so of whatever it does not have registered in this
    /// spelling (TS 29.229 6.2.1.4).
    CalleeWithoutServer,
    /// Nobody serves URIs of this scheme. RFC 3261 21.4.14.
    UnsupportedScheme,
    /// A service URN does not end at an I-CSCF. TS 24.229 5.3.2.1.
    ServiceUrn,
    /// A request in a dialog that this I-CSCF is no part of. TS 24.229 5.3.2.1.
    NoSuchDialog,
    /// The caller gave up while the HSS was asked. RFC 3261 9.2.
    Cancelled,
}

impl Reject {
    /// The status code of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Untrusted
            | Self::UserUnknown
            | Self::IdentitiesDontMatch
            | Self::NotRegistered
            | Self::RoamingNotAllowed
            | Self::AuthorizationRejected => StatusCode::FORBIDDEN,
            Self::HssRefused
            | Self::HssUnavailable
            | Self::ScscfUnavailable
            | Self::CalleeNotRegistered
            | Self::CalleeWithoutServer => StatusCode::TEMPORARILY_UNAVAILABLE,
            Self::NoCapableScscf => StatusCode::BUSY_EVERYWHERE,
            Self::ScscfSilent => StatusCode::SERVER_TIMEOUT,
            Self::CalleeUnknown | Self::ServiceUrn => StatusCode::NOT_FOUND,
            Self::UnsupportedScheme => StatusCode::UNSUPPORTED_URI_SCHEME,
            Self::NoSuchDialog => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::Cancelled => StatusCode::REQUEST_TERMINATED,
        }
    }

    /// The label in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Untrusted => "untrusted",
            Self::UserUnknown => "user-unknown",
            Self::IdentitiesDontMatch => "identities-dont-match",
            Self::NotRegistered => "not-registered",
            Self::RoamingNotAllowed => "roaming-not-allowed",
            Self::AuthorizationRejected => "authorization-rejected",
            Self::HssRefused => "hss-refused",
            Self::HssUnavailable => "hss-unavailable",
            Self::NoCapableScscf => "no-capable-scscf",
            Self::ScscfSilent => "scscf-silent",
            Self::ScscfUnavailable => "scscf-unavailable",
            Self::CalleeUnknown => "callee-unknown",
            Self::CalleeNotRegistered => "callee-not-registered",
            Self::CalleeWithoutServer => "callee-without-server",
            Self::UnsupportedScheme => "unsupported-scheme",
            Self::ServiceUrn => "service-urn",
            Self::NoSuchDialog => "no-such-dialog",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a UAA means that lets nothing through (TS 29.228 6.1.1); `None` when it lets the REGISTER through.
    pub(crate) fn of_uaa(result: CxResult) -> Option<Self> {
        match result {
            CxResult::FIRST_REGISTRATION | CxResult::SUBSEQUENT_REGISTRATION | CxResult::SUCCESS => None,
            CxResult::USER_UNKNOWN => Some(Self::UserUnknown),
            CxResult::IDENTITIES_DONT_MATCH => Some(Self::IdentitiesDontMatch),
            CxResult::IDENTITY_NOT_REGISTERED => Some(Self::NotRegistered),
            CxResult::ROAMING_NOT_ALLOWED => Some(Self::RoamingNotAllowed),
            CxResult::AUTHORIZATION_REJECTED => Some(Self::AuthorizationRejected),
            CxResult::Missing => Some(Self::HssUnavailable),
            CxResult::Base(_) | CxResult::Experimental(_) => Some(Self::HssRefused),
        }
    }

    /// What an LIA means that leads nowhere (TS 29.228 6.1.4); `None` when it leads on.
    pub(crate) fn of_lia(result: CxResult) -> Option<Self> {
        match result {
            CxResult::SUCCESS | CxResult::UNREGISTERED_SERVICE => None,
            CxResult::USER_UNKNOWN => Some(Self::CalleeUnknown),
            CxResult::IDENTITY_NOT_REGISTERED => Some(Self::CalleeNotRegistered),
            CxResult::SERVER_NAME_NOT_STORED => Some(Self::CalleeWithoutServer),
            CxResult::Missing => Some(Self::HssUnavailable),
            CxResult::Base(_) | CxResult::Experimental(_) => Some(Self::HssRefused),
        }
    }

    /// Whether an HSS that knows the number in another spelling would say so too.
    pub(crate) fn may_be_the_spelling(self) -> bool {
        matches!(self, Self::CalleeUnknown | Self::CalleeWithoutServer)
    }

    /// Without any answer of the HSS.
    pub(crate) fn of_cx_error(_error: CxError) -> Self {
        Self::HssUnavailable
    }
}
