//! Codec: the twelve Cx commands as values (TS 29.229 6.1).
//!
//! Every answer has `origin_host`, the Origin-Host of the HSS that gave it; when an answer is encoded,
//! the encoder's own Origin-Host is written instead.

use std::fmt;

use bytes::Bytes;
use ims_common::identity::{Impi, Impu};

use super::values::{
    AuthItem, AuthScheme, ChargingInformation, DeregistrationReason, ServerAssignmentType,
    ServerCapabilities, UserAuthorizationType,
};
use super::{CxResult, DigestHa1};

/// User-Authorization-Request (300). TS 29.228 6.1.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uar {
    /// User-Name.
    pub user_name: Impi,
    /// Public-Identity, from the To header.
    pub public_identity: Impu,
    /// Visited-Network-Identifier: the text of P-Visited-Network-ID without quotes.
    pub visited_network: String,
    /// User-Authorization-Type.
    pub authorization_type: UserAuthorizationType,
    /// UAR-Flags bit 0: IMS emergency registration.
    pub emergency: bool,
}

/// User-Authorization-Answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Uaa {
    /// The result.
    pub result: CxResult,
    /// Server-Name: URI of the S-CSCF, always with a scheme.
    pub server_name: Option<String>,
    /// Server-Capabilities.
    pub capabilities: Option<ServerCapabilities>,
    /// Origin-Host.
    pub origin_host: String,
}

/// Location-Info-Request (302). TS 29.228 6.1.4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lir {
    /// Public-Identity.
    pub public_identity: Impu,
    /// Originating-Request: an AS originates on behalf of the user.
    pub originating: bool,
    /// User-Authorization-Type, only to ask for capabilities.
    pub authorization_type: Option<UserAuthorizationType>,
}

/// Location-Info-Answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lia {
    /// The result.
    pub result: CxResult,
    /// Server-Name: URI of the S-CSCF, or of the AS when `psi_direct`, always with a scheme.
    pub server_name: Option<String>,
    /// Server-Capabilities.
    pub capabilities: Option<ServerCapabilities>,
    /// Wildcarded-Public-Identity.
    pub wildcarded_public_identity: Option<String>,
    /// LIA-Flags bit 0: PSI direct routing.
    pub psi_direct: bool,
    /// Origin-Host.
    pub origin_host: String,
}

/// Multimedia-Auth-Request (303). TS 29.228 6.3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mar {
    /// User-Name.
    pub user_name: Impi,
    /// Public-Identity.
    pub public_identity: Impu,
    /// SIP-Authentication-Scheme.
    pub scheme: AuthScheme,
    /// SIP-Authorization, for resynchronisation: RAND (16 octets) and AUTS (14 octets).
    pub authorization: Option<Bytes>,
    /// Server-Name: our SIP URI.
    pub server_name: String,
    /// Destination-Host, when an earlier answer taught it (TS 29.228 6.4).
    pub destination_host: Option<String>,
}

/// Multimedia-Auth-Answer.
#[derive(Clone, Debug, Default)]
pub struct Maa {
    /// The result.
    pub result: CxResult,
    /// User-Name.
    pub user_name: Option<Impi>,
    /// Public-Identity: there on success (TS 29.228 6.3.1); nothing that we decide needs it.
    pub public_identity: Option<Impu>,
    /// SIP-Auth-Data-Item, by SIP-Item-Number.
    pub items: Vec<AuthItem>,
    /// Origin-Host.
    pub origin_host: String,
}

/// Server-Assignment-Request (301). TS 29.228 6.1.2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sar {
    /// User-Name; absent for an unregistered user of unknown IMPI.
    pub user_name: Option<Impi>,
    /// Public-Identity: exactly one for types 0 to 3.
    pub public_identities: Vec<Impu>,
    /// Server-Name: our SIP URI.
    pub server_name: String,
    /// Server-Assignment-Type.
    pub assignment_type: ServerAssignmentType,
    /// User-Data-Already-Available.
    pub user_data_already_available: bool,
    /// Destination-Host, when an earlier answer taught it (TS 29.228 6.4).
    pub destination_host: Option<String>,
}

/// Server-Assignment-Answer. `Debug` shows the length of the profile only.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Saa {
    /// The result.
    pub result: CxResult,
    /// User-Name.
    pub user_name: Option<Impi>,
    /// User-Data: the profile, XML.
    pub user_data: Option<Bytes>,
    /// Charging-Information.
    pub charging: Option<ChargingInformation>,
    /// Associated-Identities: all IMPIs of the subscription.
    pub associated_identities: Vec<Impi>,
    /// Loose-Route-Indication.
    pub loose_route: bool,
    /// Server-Name: with result 5005, who holds the user.
    pub server_name: Option<String>,
    /// Wildcarded-Public-Identity.
    pub wildcarded_public_identity: Option<String>,
    /// Origin-Host: the Destination-Host of further requests for this user.
    pub origin_host: String,
}

impl fmt::Debug for Saa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saa")
            .field("result", &self.result)
            .field("user_name", &self.user_name)
            .field("user_data_bytes", &self.user_data.as_ref().map(Bytes::len))
            .field("charging", &self.charging)
            .field("server_name", &self.server_name)
            .field("origin_host", &self.origin_host)
            .finish_non_exhaustive()
    }
}

/// Registration-Termination-Request (304). TS 29.228 6.1.3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rtr {
    /// User-Name.
    pub user_name: Impi,
    /// Public-Identity; none means all identities of the IMPIs.
    pub public_identities: Vec<Impu>,
    /// Associated-Identities: further IMPIs.
    pub associated_identities: Vec<Impi>,
    /// Deregistration-Reason.
    pub reason: DeregistrationReason,
}

/// Registration-Termination-Answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rta {
    /// The result.
    pub result: CxResult,
}

/// Push-Profile-Request (305). TS 29.228 6.2. `Debug` shows the length of the profile only.
#[derive(Clone, Eq, PartialEq)]
pub struct Ppr {
    /// User-Name.
    pub user_name: Impi,
    /// User-Data: replaces the profile of the identities that it lists.
    pub user_data: Option<Bytes>,
    /// Charging-Information.
    pub charging: Option<ChargingInformation>,
    /// SIP-Auth-Data-Item: the new hash of SIP Digest.
    pub digest: Option<DigestHa1>,
}

impl fmt::Debug for Ppr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ppr")
            .field("user_name", &self.user_name)
            .field("user_data_bytes", &self.user_data.as_ref().map(Bytes::len))
            .field("charging", &self.charging)
            .field("digest", &self.digest)
            .finish()
    }
}

/// Push-Profile-Answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ppa {
    /// The result.
    pub result: CxResult,
}
