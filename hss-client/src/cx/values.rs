//! Codec: values inside Cx commands (TS 29.229 6.3).

use ims_common::aka::{AuthVector, Secret};

macro_rules! enumerated {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name { $($(#[$inner])* $variant,)+ }

        impl $name {
            /// The number of the Enumerated AVP.
            #[must_use]
            pub fn code(self) -> u32 {
                match self { $(Self::$variant => $value,)+ }
            }

            /// The value of a number, or `None` when it is out of range.
            #[must_use]
            pub fn from_code(code: u32) -> Option<Self> {
                match code { $($value => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

enumerated! {
    /// User-Authorization-Type (623). TS 29.229 6.3.24; absent means `Registration`.
    UserAuthorizationType {
        /// Initial registration or re-registration.
        Registration = 0,
        /// All contacts expire now.
        DeRegistration = 1,
        /// The assigned S-CSCF failed; capabilities are wanted.
        RegistrationAndCapabilities = 2,
    }
}

enumerated! {
    /// Server-Assignment-Type (614). TS 29.229 6.3.15. Values 12 and above belong to SWx.
    ServerAssignmentType {
        /// Only fetch the profile or restoration data.
        NoAssignment = 0,
        /// The identity becomes registered.
        Registration = 1,
        /// The identity is registered and something changed.
        ReRegistration = 2,
        /// A request came for an identity that is not registered.
        UnregisteredUser = 3,
        /// The registration expired.
        TimeoutDeregistration = 4,
        /// The UE de-registered.
        UserDeregistration = 5,
        /// As 4, and the S-CSCF keeps its data and wants its name kept.
        TimeoutDeregistrationStoreServerName = 6,
        /// As 5, and the S-CSCF keeps its data and wants its name kept.
        UserDeregistrationStoreServerName = 7,
        /// By decision of the operator.
        AdministrativeDeregistration = 8,
        /// The challenge failed.
        AuthenticationFailure = 9,
        /// The challenge was not answered.
        AuthenticationTimeout = 10,
        /// The profile is too big or not usable.
        DeregistrationTooMuchData = 11,
    }
}

enumerated! {
    /// Reason-Code (616). TS 29.229 6.3.17.
    ReasonCode {
        /// The subscription ended.
        PermanentTermination = 0,
        /// Another S-CSCF serves the user now.
        NewServerAssigned = 1,
        /// Another S-CSCF is to be selected.
        ServerChange = 2,
        /// Drop the data of an unregistered user.
        RemoveScscf = 3,
    }
}

/// Deregistration-Reason (615).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeregistrationReason {
    /// Reason-Code.
    pub code: ReasonCode,
    /// Reason-Info, a text for the operator.
    pub info: Option<String>,
}

/// Server-Capabilities (603). TS 29.229 6.3.4.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServerCapabilities {
    /// Mandatory-Capability: the S-CSCF has all of them.
    pub mandatory: Vec<u32>,
    /// Optional-Capability: the more the better.
    pub optional: Vec<u32>,
    /// Server-Name: if there is one, one of these is used and capabilities are ignored.
    pub server_names: Vec<String>,
}

/// Charging-Information (618). TS 29.229 6.3.19. Each is a Diameter URI.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ChargingInformation {
    /// Primary-Event-Charging-Function-Name, first `ecf`.
    pub primary_event: Option<String>,
    /// Secondary-Event-Charging-Function-Name, second `ecf`.
    pub secondary_event: Option<String>,
    /// Primary-Charging-Collection-Function-Name, first `ccf`.
    pub primary_collection: Option<String>,
    /// Secondary-Charging-Collection-Function-Name, second `ccf`.
    pub secondary_collection: Option<String>,
}

/// SIP-Authentication-Scheme (608). TS 29.229 6.3.9.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthScheme {
    /// `Digest-AKAv1-MD5`.
    DigestAkaV1Md5,
    /// `Digest-AKAv2-SHA-256`, which some HSSs answer.
    DigestAkaV2Sha256,
    /// `SIP Digest`.
    SipDigest,
    /// `Unknown`: the HSS is to choose.
    Unknown,
    /// Any other text.
    Other(String),
}

impl AuthScheme {
    /// The text of the AVP.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::DigestAkaV1Md5 => "Digest-AKAv1-MD5",
            Self::DigestAkaV2Sha256 => "Digest-AKAv2-SHA-256",
            Self::SipDigest => "SIP Digest",
            Self::Unknown => "Unknown",
            Self::Other(text) => text,
        }
    }

    /// The scheme of a text, letters in any case.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let known = [
            Self::DigestAkaV1Md5,
            Self::DigestAkaV2Sha256,
            Self::SipDigest,
            Self::Unknown,
        ];
        known
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text.trim()))
            .unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

/// One SIP-Auth-Data-Item (612) of a MAA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthItem {
    /// An authentication vector of IMS AKA.
    Aka(AuthVector),
    /// What SIP Digest needs.
    Digest(DigestHa1),
    /// An item that cannot be used, and why; the authentication is to be aborted.
    Unusable(&'static str),
}

/// SIP-Digest-Authenticate (635). TS 29.229 6.3.36.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DigestHa1 {
    /// Digest-Realm.
    pub realm: String,
    /// Digest-QoP.
    pub qop: String,
    /// Digest-Algorithm; absent means MD5.
    pub algorithm: Option<String>,
    /// Digest-HA1, hexadecimal.
    pub ha1: Secret<String>,
    /// Alternate-Digest-HA1 of SHA-256, hexadecimal.
    pub ha1_sha256: Option<Secret<String>>,
}
