//! Codec: the User-Data of Cx: XML once read into types that cannot be wrong (TS 29.228 Annexes B, D, E).
//!
//! * [`parse`]: octets to [`ImsSubscription`]
//! * [`ServiceProfile`], [`PublicIdentity`], [`InitialFilterCriterion`]: what it holds

mod parse;
mod profile;

pub use parse::{UserDataError, UserDataLimits, parse, parse_within};
pub use profile::{
    ApplicationServer, ConditionType, DefaultHandling, ExtendedPriority, IdentityType, ImsSubscription,
    InitialFilterCriterion, ProfilePart, PublicIdentity, RegistrationType, ServiceProfile, SessionCase, Spt,
    SptCondition, TriggerPoint,
};
