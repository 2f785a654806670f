//! Codec: why the P-CSCF refuses a request, and the one place with the status codes (TS 24.229 5.2).

use ims_common::sip::StatusCode;

/// A request that is not served, by the sender's fault or the world's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reject {
    /// Authorization does not parse, or there are several: what integrity-protected marks must be one thing
    /// (TS 24.229 5.2.2.2).
    MalformedAuthorization,
    /// Contact or To does not parse (RFC 3261 10.2).
    MalformedContact,
    /// The contact table has no place left. RFC 3261 21.5.4.
    ContactsFull,
    /// No entry point of the home network answers. TS 24.229 5.2.2.1.
    NoEntryPoint,
    /// A REGISTER that came from the home network: nobody registers through Mw. TS 24.229 5.2.1.
    RegisterOnMw,
    /// A request of a UE without a registration. TS 24.229 5.2.1, 5.2.6.3.2A.
    NotRegistered,
    /// A request towards a contact that is not, or no more, registered here. TS 24.229 5.2.6.4.
    UnknownFlowToken,
    /// Nobody answers in time. RFC 3261 16.8; a request that is no INVITE gets no 408 (RFC 4320 4.2).
    Silence,
    /// The flow to the UE is gone. RFC 5626 5.3.1.
    FlowFailed,
    /// The next hop of the home network cannot be reached. RFC 3261 16.9.
    HomeUnreachable,
    /// A REGISTER in clear without Security-Client. RFC 3329 2.3.1.
    SecAgreeRequired,
    /// None of the mechanisms that the UE offers is one of ours. RFC 3329 2.3.1, TS 33.203 7.3.2.1.
    NoCommonMechanism,
    /// A protected REGISTER without the security headers that it needs. TS 24.229 5.2.2.2.
    SecurityHeaderMissing,
    /// The UE does not repeat what was said before. TS 24.229 5.2.2.2, TS 33.203 7.3.2.3.
    SecurityMismatch,
    /// A REGISTER of another private identity than that of its security associations. TS 24.229 5.2.2.2.
    ForeignIdentity,
    /// Another UE at the same address has the ports or SPIs. TS 33.203 7.1.
    PortsTaken,
    /// A challenge without keys, of which no security association can be made. TS 24.229 5.2.2.2.
    KeysMissing,
    /// The home network grants a registration in clear without a challenge, where none is allowed. TS 33.203 6.1.
    NotChallenged,
    /// Too much waits for the kernel already. RFC 3261 21.5.4.
    KernelBusy,
    /// The security associations cannot be had. RFC 3261 21.5.1.
    NoAssociations,
    /// Another REGISTER of this UE came meanwhile, with another offer. TS 24.229 5.2.2.2.
    Overtaken,
    /// The table of security associations has no place left. RFC 3261 21.5.4.
    SetsFull,
    /// An emergency call of a UE without a registration, where none is allowed. TS 23.167 7.4.
    EmergencyNotAllowed,
    /// A request that is no emergency, of an emergency registration. TS 24.229 5.2.10.2.
    EmergencyRegistration,
    /// A UE that would reach us through no Service-Route has nowhere to go. TS 24.229 5.2.6.3.
    NoServiceRoute,
    /// A request that belongs to no dialog of ours but needs one. RFC 3261 12.2.2.
    NoSuchDialog,
    /// A request within a dialog of others. TS 24.229 5.2.6.3.5.
    NotAParty,
    /// A request within a dialog that comes too late in it. RFC 3261 12.2.2.
    CseqTooLow,
    /// A Route with the flow token of another UE. RFC 5626 5.3.
    ForeignToken,
    /// The table of dialogs has no place left. RFC 3261 21.5.4.
    DialogsFull,
}

impl Reject {
    /// The status code of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::MalformedAuthorization
            | Self::MalformedContact
            | Self::SecurityHeaderMissing
            | Self::PortsTaken => StatusCode::BAD_REQUEST,
            Self::SecAgreeRequired => StatusCode::EXTENSION_REQUIRED,
            Self::NoCommonMechanism | Self::SecurityMismatch => StatusCode::SECURITY_AGREEMENT_REQUIRED,
            Self::KeysMissing
            | Self::NotChallenged
            | Self::NoAssociations
            | Self::Overtaken
            | Self::CseqTooLow => StatusCode::SERVER_INTERNAL_ERROR,
            Self::ContactsFull | Self::SetsFull | Self::KernelBusy | Self::DialogsFull => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NoSuchDialog => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::NoEntryPoint | Self::HomeUnreachable => StatusCode::SERVER_TIMEOUT,
            Self::Silence => StatusCode::REQUEST_TIMEOUT,
            Self::RegisterOnMw
            | Self::NotRegistered
            | Self::EmergencyNotAllowed
            | Self::EmergencyRegistration
            | Self::NoServiceRoute
            | Self::ForeignIdentity
            | Self::NotAParty
            | Self::ForeignToken => StatusCode::FORBIDDEN,
            // RFC 5626 5.3: the flow is gone; the S-CSCF may try another contact.
            Self::UnknownFlowToken | Self::FlowFailed => StatusCode::FLOW_FAILED,
        }
    }

    /// The label in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::MalformedAuthorization => "malformed-authorization",
            Self::MalformedContact => "malformed-contact",
            Self::ContactsFull => "contacts-full",
            Self::NoEntryPoint => "no-entry-point",
            Self::RegisterOnMw => "register-on-mw",
            Self::NotRegistered => "not-registered",
            Self::UnknownFlowToken => "unknown-flow-token",
            Self::SecAgreeRequired => "sec-agree-required",
            Self::NoCommonMechanism => "no-common-mechanism",
            Self::SecurityHeaderMissing => "security-header-missing",
            Self::SecurityMismatch => "security-mismatch",
            Self::ForeignIdentity => "foreign-identity",
            Self::PortsTaken => "ports-taken",
            Self::KeysMissing => "keys-missing",
            Self::NotChallenged => "not-challenged",
            Self::NoAssociations => "no-associations",
            Self::Overtaken => "overtaken",
            Self::SetsFull => "sets-full",
            Self::KernelBusy => "kernel-busy",
            Self::EmergencyNotAllowed => "emergency-not-allowed",
            Self::EmergencyRegistration => "emergency-registration",
            Self::NoServiceRoute => "no-service-route",
            Self::NoSuchDialog => "no-such-dialog",
            Self::NotAParty => "not-a-party",
            Self::CseqTooLow => "cseq-too-low",
            Self::ForeignToken => "foreign-token",
            Self::DialogsFull => "dialogs-full",
            Self::Silence => "silence",
            Self::FlowFailed => "flow-failed",
            Self::HomeUnreachable => "home-unreachable",
        }
    }
}
