//! Codec: what a subscription is made of: identities, profiles, filter criteria (TS 29.228 Annex B).

use ims_common::identity::{Impi, Impu};
use ims_common::telemetry::redact::Redacted;

/// An IMS subscription, as far as one private identity sees it: the element `IMSSubscription`.
///
/// All its public identities are one implicit registration set (TS 29.228 6.6).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ImsSubscription {
    /// `PrivateID`.
    pub private_identity: Impi,
    /// `Extension/IMSI`.
    pub imsi: Option<Redacted<String>>,
    /// In the order of the document; at least one.
    pub profiles: Vec<ServiceProfile>,
    /// How many identities were left out because they are neither a SIP nor a tel URI.
    pub unusable_identities: usize,
}

/// Identities that have the same services: the element `ServiceProfile`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ServiceProfile {
    /// In the order of the document.
    pub public_identities: Vec<PublicIdentity>,
    /// By priority, the first to be tried first.
    pub filter_criteria: Vec<InitialFilterCriterion>,
    /// `Extension/SharedIFCSetID`.
    pub shared_ifc_set_ids: Vec<u32>,
    /// `CoreNetworkServicesAuthorization/SubscribedMediaProfileId`; `None` filters nothing.
    pub subscribed_media_profile: Option<u32>,
    /// `CoreNetworkServicesAuthorization/Extension/ListOfServiceIds`: ICSIs the user may use.
    pub service_ids: Vec<String>,
}

/// One public identity of a profile: the element `PublicIdentity`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PublicIdentity {
    /// `Identity`, canonical.
    pub impu: Impu,
    /// `BarringIndication`: only REGISTER is allowed (TS 29.228 B.2.1).
    pub barred: bool,
    /// `IdentityType`.
    pub identity_type: IdentityType,
    /// `AliasIdentityGroupID`: identities of one group are aliases of each other.
    pub alias_group: Option<String>,
    /// `DisplayName`.
    pub display_name: Option<Redacted<String>>,
    /// `WildcardedPSI`.
    pub wildcarded_psi: Option<String>,
    /// `WildcardedIMPU`.
    pub wildcarded_impu: Option<String>,
    /// `ServiceLevelTraceInfo`.
    pub service_level_trace: Option<String>,
    /// `ServicePriorityLevel`, 0 (highest) to 4.
    pub service_priority: Option<u32>,
    /// `ExtendedPriority`.
    pub extended_priorities: Vec<ExtendedPriority>,
    /// `MaxNumOfAllowedSimultRegistrations`.
    pub simultaneous_registrations_max: Option<u32>,
}

/// A namespace and a level of RFC 4412: the element `ExtendedPriority`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ExtendedPriority {
    /// `PriorityNamespace`.
    pub namespace: String,
    /// `PriorityLevel`.
    pub level: String,
}

/// What an identity names: the element `IdentityType`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum IdentityType {
    /// 0, and the default.
    #[default]
    DistinctImpu,
    /// 1.
    DistinctPsi,
    /// 2.
    WildcardedPsi,
    /// 3: matches a wildcarded identity, but has a profile of its own.
    NonDistinctImpu,
    /// 4.
    WildcardedImpu,
}

/// When which application server is asked: the element `InitialFilterCriteria`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct InitialFilterCriterion {
    /// `Priority`: lower is earlier.
    pub priority: u32,
    /// `TriggerPoint`; absent matches always.
    pub trigger_point: Option<TriggerPoint>,
    /// `ApplicationServer`.
    pub application_server: ApplicationServer,
    /// `ProfilePartIndicator`; absent matches both.
    pub profile_part: Option<ProfilePart>,
}

/// The part of a profile that a criterion belongs to: the element `ProfilePartIndicator`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ProfilePart {
    /// 0.
    Registered,
    /// 1.
    Unregistered,
}

/// A condition on a request: the element `TriggerPoint`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TriggerPoint {
    /// `ConditionTypeCNF`.
    pub condition_type: ConditionType,
    /// At least one.
    pub spts: Vec<Spt>,
}

/// How the groups of a trigger point are joined.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConditionType {
    /// 1: AND over the groups, OR within each.
    Cnf,
    /// 0: OR over the groups, AND within each.
    Dnf,
}

/// A service point trigger: the element `SPT`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Spt {
    /// `ConditionNegated`.
    pub negated: bool,
    /// `Group`; at least one.
    pub groups: Vec<u32>,
    /// The one element of the choice.
    pub condition: SptCondition,
    /// `Extension/RegistrationType`; empty matches any REGISTER.
    pub registration_types: Vec<RegistrationType>,
}

/// What a service point trigger looks at.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SptCondition {
    /// `RequestURI`: an extended regular expression.
    RequestUri(String),
    /// `Method`.
    Method(String),
    /// `SIPHeader`.
    SipHeader {
        /// `Header`.
        header: String,
        /// `Content`: an extended regular expression; absent asks for presence.
        content: Option<String>,
    },
    /// `SessionCase`.
    SessionCase(SessionCase),
    /// `SessionDescription`.
    SessionDescription {
        /// `Line`: the type of the SDP line.
        line: String,
        /// `Content`: an extended regular expression; absent asks for presence.
        content: Option<String>,
    },
}

/// Whom a request is served for: the element `SessionCase`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SessionCase {
    /// 0.
    OriginatingRegistered,
    /// 1.
    TerminatingRegistered,
    /// 2.
    TerminatingUnregistered,
    /// 3.
    OriginatingUnregistered,
    /// 4: originating after call diversion.
    OriginatingCdiv,
}

/// What a REGISTER does: the element `RegistrationType`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RegistrationType {
    /// 0.
    Initial,
    /// 1.
    Reregistration,
    /// 2.
    Deregistration,
}

/// Whom a criterion invokes, and what if that fails: the element `ApplicationServer`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ApplicationServer {
    /// `ServerName`: a SIP URI.
    pub server_name: String,
    /// `DefaultHandling`.
    pub default_handling: DefaultHandling,
    /// `ServiceInfo`: goes into the body of the third-party REGISTER.
    pub service_info: Option<String>,
    /// `Extension/IncludeRegisterRequest`.
    pub include_register_request: bool,
    /// `Extension/IncludeRegisterResponse`.
    pub include_register_response: bool,
}

/// What happens when an application server does not answer: the element `DefaultHandling`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DefaultHandling {
    /// 0, and the default.
    #[default]
    SessionContinued,
    /// 1.
    SessionTerminated,
}

impl PublicIdentity {
    /// An ordinary identity: distinct, not barred, without alias.
    #[must_use]
    pub fn new(impu: Impu) -> Self {
        Self {
            impu,
            barred: false,
            identity_type: IdentityType::DistinctImpu,
            alias_group: None,
            display_name: None,
            wildcarded_psi: None,
            wildcarded_impu: None,
            service_level_trace: None,
            service_priority: None,
            extended_priorities: Vec::new(),
            simultaneous_registrations_max: None,
        }
    }

    /// Whether this is a distinct public user identity: neither a PSI nor wildcarded.
    #[must_use]
    pub fn is_distinct(&self) -> bool {
        self.identity_type == IdentityType::DistinctImpu
    }
}

impl ImsSubscription {
    /// All identities, in the order of the document: the implicit registration set.
    pub fn public_identities(&self) -> impl Iterator<Item = &PublicIdentity> {
        self.profiles
            .iter()
            .flat_map(|profile| &profile.public_identities)
    }

    /// The identities of P-Associated-URI, the default one first: distinct and not barred, in the order
    /// of the document (TS 24.229 5.4.1.2.2F).
    pub fn non_barred(&self) -> impl Iterator<Item = &Impu> {
        self.public_identities()
            .filter(|i| !i.barred && i.is_distinct())
            .map(|i| &i.impu)
    }

    /// The default public user identity: the first distinct one that is not barred (TS 29.228 6.6).
    #[must_use]
    pub fn default_public_identity(&self) -> Option<&Impu> {
        self.non_barred().next()
    }

    /// The profile and the entry of an identity.
    ///
    /// The very same identity is looked for first, then one that names the same number: of `tel:X`,
    /// `tel:+X`, `sip:X@home` and `sip:+X@home` an HSS may list one and a UE may use another.
    #[must_use]
    pub fn find(&self, impu: &Impu) -> Option<(&ServiceProfile, &PublicIdentity)> {
        self.find_by(|identity| identity.impu == *impu)
            .or_else(|| self.find_by(|identity| self.is_same_number(&identity.impu, impu)))
    }

    /// The profile and the entry of a wildcarded identity, by its pattern as the HSS writes it in
    /// Wildcarded-Public-Identity (TS 29.229 6.3.35).
    #[must_use]
    pub fn find_wildcarded(&self, pattern: &str) -> Option<(&ServiceProfile, &PublicIdentity)> {
        self.find_by(|identity| {
            identity.wildcarded_impu.as_deref() == Some(pattern)
                || identity.wildcarded_psi.as_deref() == Some(pattern)
        })
    }

    /// The identities of the same alias group as `impu`, itself included; empty when it has no group.
    pub fn aliases(&self, impu: &Impu) -> impl Iterator<Item = &PublicIdentity> {
        let found = self
            .find(impu)
            .and_then(|(profile, identity)| identity.alias_group.as_ref().map(|group| (profile, group)));
        found.into_iter().flat_map(|(profile, group)| {
            profile
                .public_identities
                .iter()
                .filter(move |i| i.alias_group.as_ref() == Some(group))
        })
    }

    fn find_by(
        &self,
        is_wanted: impl Fn(&PublicIdentity) -> bool,
    ) -> Option<(&ServiceProfile, &PublicIdentity)> {
        self.profiles.iter().find_map(|profile| {
            let identity = profile.public_identities.iter().find(|i| is_wanted(i))?;
            Some((profile, identity))
        })
    }

    fn is_same_number(&self, listed: &Impu, used: &Impu) -> bool {
        let (Some(listed_digits), Some(used_digits)) = (digits(listed), digits(used)) else {
            return false;
        };
        listed_digits == used_digits
            && match (listed.host(), used.host()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => true,
                // A number at a foreign domain is not this user's.
                (Some(host), None) | (None, Some(host)) => self.is_home(host),
            }
    }

    fn is_home(&self, host: &str) -> bool {
        self.private_identity
            .realm()
            .is_some_and(|realm| realm.eq_ignore_ascii_case(host))
            || self.public_identities().any(|i| i.impu.host() == Some(host))
    }
}

/// The number of an identity that is one, without `+`.
fn digits(impu: &Impu) -> Option<&str> {
    let user = impu.user()?;
    if impu.is_tel() && impu.as_str().contains(';') {
        // A local number means something only in its context.
        return None;
    }
    let digits = user.strip_prefix('+').unwrap_or(user);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

    fn identity(text: &str) -> PublicIdentity {
        PublicIdentity::new(Impu::parse(text).unwrap())
    }

    fn subscription(identities: Vec<PublicIdentity>) -> ImsSubscription {
        ImsSubscription {
            private_identity: Impi::parse(&format!("001010000000001@{HOME}")).unwrap(),
            imsi: None,
            profiles: vec![ServiceProfile {
                public_identities: identities,
                ..ServiceProfile::default()
            }],
            unusable_identities: 0,
        }
    }

    fn found(subscription: &ImsSubscription, text: &str) -> Option<String> {
        let impu = Impu::parse(text).unwrap();
        subscription.find(&impu).map(|(_, i)| i.impu.as_str().to_owned())
    }

    #[test]
    fn the_default_identity_is_the_first_that_is_distinct_and_not_barred() {
        let mut barred = identity("sip:001010000000001@h.example");
        barred.barred = true;
        let mut psi = identity("sip:chat@h.example");
        psi.identity_type = IdentityType::DistinctPsi;
        let s = subscription(vec![
            barred.clone(),
            psi,
            identity("sip:a@h.example"),
            identity("tel:+1"),
        ]);
        assert_eq!(s.default_public_identity().unwrap().as_str(), "sip:a@h.example");
        let list: Vec<_> = s.non_barred().map(Impu::as_str).collect();
        assert_eq!(list, ["sip:a@h.example", "tel:+1"]);
        assert_eq!(subscription(vec![barred]).default_public_identity(), None);
    }

    #[test]
    fn a_number_is_found_in_any_of_its_four_forms() {
        let sip = format!("sip:12025550101@{HOME}");
        for listed in [
            &sip,
            &format!("sip:+12025550101@{HOME}"),
            "tel:12025550101",
            "tel:+12025550101",
        ] {
            let s = subscription(vec![
                identity(listed),
                identity("sip:001010000000001@other.example"),
            ]);
            for used in ["tel:12025550101", "tel:+1-202-555-0101", &sip] {
                assert_eq!(found(&s, used).as_deref(), Some(listed), "{used}");
            }
        }
    }

    #[test]
    fn the_very_same_identity_wins_over_the_same_number() {
        let s = subscription(vec![identity("tel:12025550101"), identity("tel:+12025550101")]);
        assert_eq!(found(&s, "tel:+12025550101").as_deref(), Some("tel:+12025550101"));
        assert_eq!(found(&s, "tel:12025550101").as_deref(), Some("tel:12025550101"));
    }

    #[test]
    fn other_numbers_foreign_domains_and_local_numbers_are_not_found() {
        let s = subscription(vec![
            identity("tel:+12025550101"),
            identity("tel:911;phone-context=h.example"),
        ]);
        assert_eq!(found(&s, "tel:+12025550102"), None);
        assert_eq!(found(&s, "sip:+12025550101@foreign.example"), None);
        assert_eq!(found(&s, "tel:911;phone-context=other.example"), None);
        assert_eq!(found(&s, "sip:alice@h.example"), None);
    }

    #[test]
    fn aliases_are_those_of_one_group() {
        let in_group = |text, group: &str| PublicIdentity {
            alias_group: Some(group.into()),
            ..identity(text)
        };
        let s = subscription(vec![
            in_group("sip:+1@h.example", "1"),
            in_group("tel:+1", "1"),
            in_group("tel:+2", "2"),
            identity("tel:+3"),
        ]);
        let aliases = |text: &str| -> Vec<String> {
            s.aliases(&Impu::parse(text).unwrap())
                .map(|i| i.impu.as_str().to_owned())
                .collect()
        };
        assert_eq!(aliases("tel:+1"), ["sip:+1@h.example", "tel:+1"]);
        assert_eq!(aliases("tel:+2"), ["tel:+2"]);
        assert!(aliases("tel:+3").is_empty());
    }

    #[test]
    fn a_wildcarded_identity_is_found_by_its_pattern() {
        let mut wildcarded = identity("sip:pbx@h.example");
        wildcarded.wildcarded_impu = Some("sip:+1555!.*!@h.example".into());
        let s = subscription(vec![wildcarded]);
        assert!(s.find_wildcarded("sip:+1555!.*!@h.example").is_some());
        assert!(s.find_wildcarded("sip:+1556!.*!@h.example").is_none());
    }

    #[test]
    fn a_subscription_is_not_printed_with_its_identities() {
        let mut s = subscription(vec![identity("tel:+12025550101")]);
        s.imsi = Some(Redacted("001010000000001".into()));
        let text = format!("{s:?}");
        assert!(
            !text.contains("2025550101") && !text.contains("0000000001"),
            "{text}"
        );
    }
}
