//! Codec: a trial of filter criteria: what the operator asks, and what the S-CSCF says (TS 29.228 Annex B, C, F).
//!
//! * [`IfcTest`]: a profile (of a registered user, or as XML) and a request, whole or made of its parts
//! * [`IfcTestAnswer`]: which application servers would be asked, in which order, and why

mod request;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is to be tried. All that is left out has a default.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IfcTest {
    /// The served user, a public identity. Without `profile` the user must be registered here.
    pub user: Option<String>,
    /// A document as the HSS sends it (`IMSSubscription`) instead of what is registered here.
    pub profile: Option<String>,
    /// Whom the request is served for.
    pub case: ServedCase,
    /// What a REGISTER does; of no meaning for other methods.
    pub registration: RegistrationKind,
    /// A whole SIP request. Instead of it, what follows.
    pub request: Option<String>,
    /// INVITE unless said.
    pub method: Option<String>,
    /// Request-URI. Without it: the user, if the request is for them.
    pub uri: Option<String>,
    /// Header lines, `Name: value`.
    pub headers: Vec<String>,
    /// Body, an SDP offer unless a header says otherwise.
    pub body: Option<String>,
}

/// The session case of the trial (TS 29.228 B.2.2 SessionCase).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "imsctl", derive(clap::ValueEnum))]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ServedCase {
    /// From a registered user.
    #[default]
    #[serde(alias = "originating-registered")]
    Originating,
    /// To a registered user.
    #[serde(alias = "terminating-registered")]
    Terminating,
    /// From a user who is not registered.
    OriginatingUnregistered,
    /// To a user who is not registered.
    TerminatingUnregistered,
    /// After a diversion by the user.
    OriginatingCdiv,
}

impl ServedCase {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Originating => "originating",
            Self::Terminating => "terminating",
            Self::OriginatingUnregistered => "originating-unregistered",
            Self::TerminatingUnregistered => "terminating-unregistered",
            Self::OriginatingCdiv => "originating-cdiv",
        }
    }

    /// Whether the request is for the user, not from them.
    #[must_use]
    pub const fn is_terminating(self) -> bool {
        matches!(self, Self::Terminating | Self::TerminatingUnregistered)
    }
}

impl fmt::Display for ServedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a REGISTER of the trial does (TS 29.228 B.2.2 RegistrationType).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "imsctl", derive(clap::ValueEnum))]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationKind {
    /// Binds the first contact.
    #[default]
    Initial,
    /// Refreshes.
    Reregistration,
    /// Ends.
    Deregistration,
}

impl RegistrationKind {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Reregistration => "reregistration",
            Self::Deregistration => "deregistration",
        }
    }
}

/// Why a trial cannot be made, and what would help.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct IfcTestError {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

impl IfcTestError {
    /// An error and its remedy.
    #[must_use]
    pub fn new(error: impl Into<String>, hint: impl Into<String>) -> Self {
        let (error, hint) = (error.into(), hint.into());
        Self { error, hint }
    }
}

/// What the criteria make of the request.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct IfcTestAnswer {
    /// The served user.
    pub user: String,
    /// Where the criteria come from: `registered`, `unregistered` (held for a while) or `given`.
    pub source: String,
    /// Session case.
    pub case: ServedCase,
    /// Only for a REGISTER.
    pub registration: Option<RegistrationKind>,
    /// Method of the request.
    pub method: String,
    /// Its Request-URI.
    pub uri: String,
    /// Who would be asked, in this order.
    pub servers: Vec<AskedServer>,
    /// All criteria by priority, met or not.
    pub criteria: Vec<CriterionTrial>,
    /// Shared sets that the profile names and the configuration does not have.
    pub unknown_shared_sets: Vec<u32>,
}

/// An application server that would be asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct AskedServer {
    /// Priority of the criterion.
    pub priority: u32,
    /// ServerName.
    pub server: String,
    /// `continue` or `terminate`, when it does not answer.
    pub default_handling: String,
    /// Why it is not asked in spite of its criterion.
    pub problem: Option<String>,
}

/// One criterion against the request.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct CriterionTrial {
    /// Lower is earlier.
    pub priority: u32,
    /// The shared set that it is of; `None`: the profile itself.
    pub shared_set: Option<u32>,
    /// ServerName.
    pub server: String,
    /// `continue` or `terminate`.
    pub default_handling: String,
    /// Whether the server would be asked.
    pub is_met: bool,
    /// ProfilePartIndicator: `registered` or `unregistered`; `None`: both.
    pub profile_part: Option<String>,
    /// Whether the case is of that part.
    pub part_fits: bool,
    /// `None`: no trigger, met always.
    pub trigger: Option<TriggerTrial>,
}

/// One trigger point against the request.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TriggerTrial {
    /// `CNF`: all groups, in each any condition; `DNF`: any group, in it all conditions.
    pub form: String,
    /// Whether it fires.
    pub fires: bool,
    /// Its groups by number.
    pub groups: Vec<GroupTrial>,
    /// Its conditions as they are written.
    pub conditions: Vec<ConditionTrial>,
}

/// One group of conditions.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct GroupTrial {
    /// Group.
    pub group: u32,
    /// Whether it is met.
    pub is_met: bool,
}

/// One service point trigger against the request.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ConditionTrial {
    /// Groups that it belongs to.
    pub groups: Vec<u32>,
    /// As it reads, with `not` before it where it is negated.
    pub condition: String,
    /// Whether it is met, negation and all.
    pub is_met: bool,
    /// The values that it looked at, up to the one that decided.
    pub looked_at: Vec<String>,
    /// Why its expression is none: then it is never met, negated or not.
    pub problem: Option<String>,
}
