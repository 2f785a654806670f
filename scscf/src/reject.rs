//! Engine: why a request is refused, and the one place with the status codes.

use ims_common::aka::DigestReject;
use ims_common::proxy::ForwardFailure;
use ims_common::sip::StatusCode;

use hss_client::cx::{CxError, CxResult};

use crate::blocking::Told;

/// Why a REGISTER is refused (TS 24.229 5.4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RegisterReject {
    /// A header that the registrar needs is missing or cannot be read (RFC 3261 21.4.1).
    Malformed(&'static str),
    /// `Contact: *` with another Expires than 0, or beside other contacts (RFC 3261 10.2.2).
    BadContactStar,
    /// Require lists an extension that the registrar does not have (RFC 3261 8.2.2.3).
    UnsupportedExtension,
    /// A protected REGISTER of a private identity that is not registered here (TS 24.229 5.4.1.2.2).
    UnknownHere,
    /// The response is not the expected one (TS 24.229 5.4.1.2.3A).
    WrongResponse(DigestReject),
    /// Too many synchronisation failures in one attempt (TS 24.229 5.4.1.2.3A).
    TooManyResynchronisations,
    /// The UE refused our challenges too often (TS 24.229 5.4.1.2.3A).
    NetworkRefused,
    /// A lifetime below the minimum (RFC 3261 10.3 step 7).
    IntervalTooBrief { expires_min_secs: u64 },
    /// Same Call-ID, CSeq not higher (RFC 3261 10.3 step 7).
    OutOfOrder,
    /// More contacts than an identity may have (TS 24.229 5.4.1.2.2).
    TooManyBindings,
    /// A contact to be removed is not bound (TS 24.229 5.4.1.4).
    NotBound,
    /// Every identity of the set is barred (TS 23.228 5.2.1a).
    AllIdentitiesBarred,
    /// The HSS refuses the user or the identity (TS 29.228 6.1.2, 6.3).
    HssRefused(CxResult),
    /// The HSS could not do it now (TS 29.228 6.1.2, 6.3).
    HssFailed(CxResult),
    /// The HSS gave no usable answer.
    HssUnavailable(CxError),
    /// No authentication item in the MAA can be used (TS 29.228 6.3).
    NoUsableVector(&'static str),
    /// SAA without a profile, and none is held (TS 29.228 6.1.2).
    ProfileMissing,
    /// The profile is of another private identity: some HSSs do not check whose a public identity is.
    ForeignProfile,
    /// The profile cannot be understood (TS 29.228 Annex E).
    ProfileUnusable,
    /// The HSS ended the registration before it was made (TS 29.228 6.1.3).
    Terminated,
    /// A table is full.
    Overloaded,
    /// Our own fault: the answer is of another command.
    Internal,
}

impl RegisterReject {
    /// What the result of a MAA or SAA means, when it is no success.
    pub(crate) fn of_result(result: CxResult) -> Self {
        match result {
            // TS 29.228: the 3GPP results 5xxx and base AUTHORIZATION_REJECTED are about this user.
            CxResult::Experimental(5000..6000) | CxResult::AUTHORIZATION_REJECTED => Self::HssRefused(result),
            CxResult::Base(_) | CxResult::Experimental(_) | CxResult::Missing => Self::HssFailed(result),
        }
    }

    /// The status code, TS 24.229 5.4.1 in one table. 480 lets the I-CSCF select another S-CSCF
    /// (TS 24.229 5.3.1.3); 504 says that the HSS itself is silent.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BadContactStar => StatusCode::BAD_REQUEST,
            Self::WrongResponse(_)
            | Self::TooManyResynchronisations
            | Self::NetworkRefused
            | Self::TooManyBindings
            | Self::AllIdentitiesBarred
            | Self::ForeignProfile
            | Self::HssRefused(_) => StatusCode::FORBIDDEN,
            Self::UnsupportedExtension => StatusCode::BAD_EXTENSION,
            Self::IntervalTooBrief { .. } => StatusCode::INTERVAL_TOO_BRIEF,
            Self::NotBound => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::UnknownHere | Self::OutOfOrder | Self::Internal => StatusCode::SERVER_INTERNAL_ERROR,
            Self::HssUnavailable(CxError::Timeout) => StatusCode::SERVER_TIMEOUT,
            Self::HssFailed(_)
            | Self::HssUnavailable(CxError::NoPeer | CxError::Overloaded | CxError::Malformed(_))
            | Self::NoUsableVector(_)
            | Self::ProfileMissing
            | Self::Terminated
            | Self::ProfileUnusable => StatusCode::TEMPORARILY_UNAVAILABLE,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BadContactStar => "bad_contact_star",
            Self::UnsupportedExtension => "unsupported_extension",
            Self::UnknownHere => "unknown_here",
            Self::WrongResponse(_) => "wrong_response",
            Self::TooManyResynchronisations => "too_many_resynchronisations",
            Self::NetworkRefused => "network_refused",
            Self::IntervalTooBrief { .. } => "interval_too_brief",
            Self::OutOfOrder => "out_of_order",
            Self::TooManyBindings => "too_many_bindings",
            Self::NotBound => "not_bound",
            Self::AllIdentitiesBarred => "all_identities_barred",
            Self::HssRefused(_) => "hss_refused",
            Self::HssFailed(_) => "hss_failed",
            Self::HssUnavailable(_) => "hss_unavailable",
            Self::NoUsableVector(_) => "no_usable_vector",
            Self::ProfileMissing => "profile_missing",
            Self::ForeignProfile => "foreign_profile",
            Self::ProfileUnusable => "profile_unusable",
            Self::Terminated => "terminated",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }
}

/// Why another request than REGISTER is refused (TS 24.229 5.4.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestReject {
    /// The Request-URI or a Route cannot be read (RFC 3261 16.3).
    Malformed(&'static str),
    /// The Request-URI has a scheme that names no user (RFC 3261 16.3 step 2).
    UnsupportedScheme,
    /// A barred identity is called (TS 24.229 5.4.3.3).
    Barred,
    /// The HSS does not know who is called (TS 24.229 5.4.3.3).
    UnknownUser,
    /// The identity has no contact here (TS 24.229 5.4.3.3).
    NotRegistered,
    /// The caller's identity is missing, barred, or of somebody else (TS 24.229 5.4.3.2).
    NotServed(&'static str),
    /// Nobody was asked for this by us (TS 24.229 5.4.3.4).
    UnknownDialogId,
    /// A request came back too often (TS 24.229 5.4.3.4).
    TooManyReturns,
    /// An AS without which the session must not go on is silent or out of reach (TS 24.229 5.4.3.2).
    AppServerFailed { is_invite: bool },
    /// An AS that is not trusted originates for a user (TS 24.229 4.4).
    Untrusted,
    /// The HSS refuses the identity (TS 29.228 6.1.2).
    HssRefused(CxResult),
    /// The HSS gave no usable answer.
    HssUnavailable,
    /// A request within a dialog that leads back to ourselves.
    NoSuchDialog,
    /// Digits are missing (TS 24.229 5.4.3.2).
    Incomplete,
    /// There is no way to what was dialled (TS 24.229 5.4.3.2).
    NoRoute,
    /// The caller gave up while we were asking others.
    Cancelled,
    /// A next hop cannot be reached or is silent (RFC 3261 16.7, 16.8).
    Failed(ForwardFailure),
    /// A UE cannot be reached (TS 24.229 5.4.3.3).
    Unreachable,
    /// A next hop has too much to do: 503 does not travel (RFC 3261 16.7 step 6).
    Unavailable,
    /// The operator blocks the number, called or calling.
    Blocked(Told),
    /// The callee does not want to be called by whoever does not say who he is (RFC 5079, TS 24.611).
    Anonymous,
    /// The subscriber has as many calls as he may.
    SubscriberFull(u16),
    /// All trunks have as many calls as they may.
    TrunksFull(u16),
    /// The table of calls has no place left (RFC 3261 21.5.4).
    CallsFull,
}

impl RequestReject {
    /// The status code.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::UnsupportedScheme => StatusCode::UNSUPPORTED_URI_SCHEME,
            Self::NotServed(_) | Self::Untrusted | Self::UnknownDialogId | Self::HssRefused(_) => {
                StatusCode::FORBIDDEN
            }
            Self::Blocked(told) => told.status,
            Self::Anonymous => StatusCode::ANONYMITY_DISALLOWED,
            Self::SubscriberFull(status) => StatusCode::new(status).unwrap_or(StatusCode::BUSY_HERE),
            Self::TrunksFull(status) => StatusCode::new(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            Self::CallsFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::Barred | Self::UnknownUser | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NotRegistered | Self::Unreachable => StatusCode::TEMPORARILY_UNAVAILABLE,
            Self::Incomplete => StatusCode::ADDRESS_INCOMPLETE,
            Self::NoSuchDialog => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::Cancelled => StatusCode::REQUEST_TERMINATED,
            Self::TooManyReturns => StatusCode::LOOP_DETECTED,
            // RFC 4320 4.2: only an INVITE may get 408.
            Self::AppServerFailed { is_invite: true } => StatusCode::REQUEST_TIMEOUT,
            Self::HssUnavailable | Self::AppServerFailed { is_invite: false } => StatusCode::SERVER_TIMEOUT,
            Self::Failed(ForwardFailure::Timeout) => StatusCode::REQUEST_TIMEOUT,
            Self::Failed(ForwardFailure::Unreachable | ForwardFailure::Unresolvable) | Self::Unavailable => {
                StatusCode::SERVER_INTERNAL_ERROR
            }
        }
    }

    /// The metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::Barred => "barred",
            Self::UnknownUser => "unknown_user",
            Self::NotRegistered => "not_registered",
            Self::NotServed(_) => "not_served",
            Self::UnknownDialogId => "unknown_dialog_id",
            Self::TooManyReturns => "too_many_returns",
            Self::AppServerFailed { .. } => "as_failed",
            Self::Untrusted => "untrusted",
            Self::HssRefused(_) => "hss_refused",
            Self::HssUnavailable => "hss_unavailable",
            Self::NoSuchDialog => "no_such_dialog",
            Self::Incomplete => "incomplete",
            Self::NoRoute => "no_route",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "next_hop_failed",
            Self::Unreachable => "unreachable",
            Self::Unavailable => "next_hop_unavailable",
            Self::Blocked(_) => "blocked",
            Self::Anonymous => "anonymous",
            Self::SubscriberFull(_) => "subscriber_full",
            Self::TrunksFull(_) => "trunks_full",
            Self::CallsFull => "calls_full",
        }
    }
}

/// Why a SUBSCRIBE to the reg event package is refused (TS 24.229 5.4.2.1.1; RFC 6665 4.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SubscribeReject {
    /// A header that a dialog needs is missing or cannot be read.
    Malformed(&'static str),
    /// Neither the user, nor its P-CSCF, nor one of its application servers (TS 24.229 5.4.2.1.1).
    Forbidden,
    /// The identity has no contact here (TS 24.229 5.4.2.1.1).
    NotRegistered,
    /// `application/reginfo+xml` is not accepted (RFC 3680 4.5).
    NotAcceptable,
    /// A lifetime below the minimum (RFC 6665 4.2.1.1).
    IntervalTooBrief { expires_min_secs: u64 },
    /// No such subscription, or one of somebody else (RFC 3261 12.2.2).
    NoSuchDialog,
    /// Another event package (RFC 6665 4.2.1.3).
    BadEvent,
    /// CSeq not higher than the last one of the dialog (RFC 3261 12.2.2).
    OutOfOrder,
    /// The table is full.
    Full,
}

impl SubscribeReject {
    /// The status code.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotRegistered => StatusCode::TEMPORARILY_UNAVAILABLE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::IntervalTooBrief { .. } => StatusCode::INTERVAL_TOO_BRIEF,
            Self::NoSuchDialog => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::BadEvent => StatusCode::BAD_EVENT,
            Self::OutOfOrder => StatusCode::SERVER_INTERNAL_ERROR,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Forbidden => "forbidden",
            Self::NotRegistered => "not_registered",
            Self::NotAcceptable => "not_acceptable",
            Self::IntervalTooBrief { .. } => "interval_too_brief",
            Self::NoSuchDialog => "no_such_dialog",
            Self::BadEvent => "bad_event",
            Self::OutOfOrder => "out_of_order",
            Self::Full => "full",
        }
    }
}
