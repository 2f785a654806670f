//! Codec: one function for each element of the schema that has children.

use ims_common::identity::{Impi, Impu};
use ims_common::telemetry::redact::Redacted;

use super::UserDataError;
use super::walk::{Tag, Walk};
use crate::user_data::profile::{
    ApplicationServer, ConditionType, DefaultHandling, ExtendedPriority, IdentityType, ImsSubscription,
    InitialFilterCriterion, ProfilePart, PublicIdentity, RegistrationType, ServiceProfile, SessionCase, Spt,
    SptCondition, TriggerPoint,
};

type Read<T> = Result<T, UserDataError>;

/// Reads the present element as the subscription.
pub(super) fn subscription(walk: &mut Walk<'_>) -> Read<ImsSubscription> {
    let mut draft = SubscriptionDraft::default();
    subscription_fields(walk, &mut draft)?;
    let parent = Tag::ImsSubscription;
    let private_identity = required(draft.private_identity, parent, Tag::PrivateId)?;
    let private_identity =
        Impi::parse(&private_identity).map_err(|_| UserDataError::BadValue(Tag::PrivateId.name()))?;
    if draft.profiles.is_empty() {
        return missing(parent, Tag::ServiceProfile);
    }
    Ok(ImsSubscription {
        private_identity,
        imsi: draft.imsi.map(Redacted),
        profiles: draft.profiles,
        unusable_identities: draft.unusable_identities,
    })
}

#[derive(Default)]
struct SubscriptionDraft {
    private_identity: Option<String>,
    imsi: Option<String>,
    profiles: Vec<ServiceProfile>,
    unusable_identities: usize,
}

fn subscription_fields(walk: &mut Walk<'_>, draft: &mut SubscriptionDraft) -> Read<()> {
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::PrivateId => draft.private_identity = optional_text(walk, tag)?,
            Tag::Imsi => draft.imsi = optional_text(walk, tag)?,
            Tag::ServiceProfile => {
                let profile = service_profile(walk, &mut draft.unusable_identities)?;
                push(&mut draft.profiles, profile, walk.limits.profiles_max, tag)?;
            }
            Tag::Extension => subscription_fields(walk, draft)?,
            _ => walk.skip()?,
        }
    }
    Ok(())
}

fn service_profile(walk: &mut Walk<'_>, unusable_identities: &mut usize) -> Read<ServiceProfile> {
    let mut profile = ServiceProfile::default();
    service_profile_fields(walk, &mut profile, unusable_identities)?;
    if profile.public_identities.is_empty() {
        return missing(Tag::ServiceProfile, Tag::PublicIdentity);
    }
    // Lower is earlier; the order of the document decides between equal ones.
    profile
        .filter_criteria
        .sort_by_key(|criterion| criterion.priority);
    Ok(profile)
}

fn service_profile_fields(
    walk: &mut Walk<'_>,
    profile: &mut ServiceProfile,
    unusable_identities: &mut usize,
) -> Read<()> {
    let limits = walk.limits;
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::PublicIdentity => match public_identity(walk)? {
                Some(identity) => {
                    push(
                        &mut profile.public_identities,
                        identity,
                        limits.identities_max,
                        tag,
                    )?;
                }
                None => *unusable_identities += 1,
            },
            Tag::InitialFilterCriteria => {
                let criterion = initial_filter_criterion(walk)?;
                push(&mut profile.filter_criteria, criterion, limits.criteria_max, tag)?;
            }
            Tag::SharedIfcSetId => {
                let id = number(walk, tag)?;
                push(&mut profile.shared_ifc_set_ids, id, limits.entries_max, tag)?;
            }
            Tag::CoreNetworkServicesAuthorization => services_authorization(walk, profile)?,
            Tag::Extension => service_profile_fields(walk, profile, unusable_identities)?,
            _ => walk.skip()?,
        }
    }
    Ok(())
}

/// The fields of `CoreNetworkServicesAuthorization`, and of the list inside it.
fn services_authorization(walk: &mut Walk<'_>, profile: &mut ServiceProfile) -> Read<()> {
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::SubscribedMediaProfileId => profile.subscribed_media_profile = optional_number(walk, tag)?,
            Tag::ServiceId => {
                if let Some(id) = optional_text(walk, tag)? {
                    push(&mut profile.service_ids, id, walk.limits.entries_max, tag)?;
                }
            }
            Tag::ListOfServiceIds | Tag::Extension => services_authorization(walk, profile)?,
            _ => walk.skip()?,
        }
    }
    Ok(())
}

#[derive(Default)]
struct IdentityDraft {
    identity: Option<String>,
    barred: bool,
    identity_type: IdentityType,
    alias_group: Option<String>,
    display_name: Option<String>,
    wildcarded_psi: Option<String>,
    wildcarded_impu: Option<String>,
    service_level_trace: Option<String>,
    service_priority: Option<u32>,
    extended_priorities: Vec<ExtendedPriority>,
    simultaneous_registrations_max: Option<u32>,
}

/// `None` when the identity is neither a SIP nor a tel URI: one bad entry must not shut the user out.
fn public_identity(walk: &mut Walk<'_>) -> Read<Option<PublicIdentity>> {
    let mut draft = IdentityDraft::default();
    identity_fields(walk, &mut draft)?;
    let identity = required(draft.identity, Tag::PublicIdentity, Tag::Identity)?;
    Ok(Impu::parse(&identity).ok().map(|impu| PublicIdentity {
        impu,
        barred: draft.barred,
        identity_type: draft.identity_type,
        alias_group: draft.alias_group,
        display_name: draft.display_name.map(Redacted),
        wildcarded_psi: draft.wildcarded_psi,
        wildcarded_impu: draft.wildcarded_impu,
        service_level_trace: draft.service_level_trace,
        service_priority: draft.service_priority,
        extended_priorities: draft.extended_priorities,
        simultaneous_registrations_max: draft.simultaneous_registrations_max,
    }))
}

fn identity_fields(walk: &mut Walk<'_>, draft: &mut IdentityDraft) -> Read<()> {
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::Identity => draft.identity = optional_text(walk, tag)?,
            Tag::BarringIndication => draft.barred = boolean(walk, tag)?.unwrap_or(false),
            Tag::IdentityType => draft.identity_type = identity_type(walk, tag)?,
            Tag::AliasIdentityGroupId => draft.alias_group = optional_text(walk, tag)?,
            Tag::DisplayName => draft.display_name = optional_text(walk, tag)?,
            Tag::WildcardedPsi => draft.wildcarded_psi = optional_text(walk, tag)?,
            Tag::WildcardedImpu => draft.wildcarded_impu = optional_text(walk, tag)?,
            Tag::ServiceLevelTraceInfo => draft.service_level_trace = optional_text(walk, tag)?,
            Tag::ServicePriorityLevel => draft.service_priority = optional_number(walk, tag)?,
            Tag::ExtendedPriority => {
                let priority = extended_priority(walk)?;
                push(
                    &mut draft.extended_priorities,
                    priority,
                    walk.limits.entries_max,
                    tag,
                )?;
            }
            Tag::MaxNumOfAllowedSimultRegistrations => {
                draft.simultaneous_registrations_max = optional_number(walk, tag)?;
            }
            Tag::Extension => identity_fields(walk, draft)?,
            _ => walk.skip()?,
        }
    }
    Ok(())
}

fn identity_type(walk: &mut Walk<'_>, tag: Tag) -> Read<IdentityType> {
    match optional_number(walk, tag)? {
        None | Some(0) => Ok(IdentityType::DistinctImpu),
        Some(1) => Ok(IdentityType::DistinctPsi),
        Some(2) => Ok(IdentityType::WildcardedPsi),
        Some(3) => Ok(IdentityType::NonDistinctImpu),
        Some(4) => Ok(IdentityType::WildcardedImpu),
        Some(_) => Err(UserDataError::BadValue(tag.name())),
    }
}

fn extended_priority(walk: &mut Walk<'_>) -> Read<ExtendedPriority> {
    let (mut namespace, mut level) = (None, None);
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::PriorityNamespace => namespace = optional_text(walk, tag)?,
            Tag::PriorityLevel => level = optional_text(walk, tag)?,
            _ => walk.skip()?,
        }
    }
    Ok(ExtendedPriority {
        namespace: required(namespace, Tag::ExtendedPriority, Tag::PriorityNamespace)?,
        level: required(level, Tag::ExtendedPriority, Tag::PriorityLevel)?,
    })
}

fn initial_filter_criterion(walk: &mut Walk<'_>) -> Read<InitialFilterCriterion> {
    let (mut priority, mut trigger, mut server, mut part) = (None, None, None, None);
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::Priority => priority = optional_number(walk, tag)?,
            Tag::TriggerPoint => trigger = Some(trigger_point(walk)?),
            Tag::ApplicationServer => server = Some(application_server(walk)?),
            Tag::ProfilePartIndicator => {
                part = match optional_number(walk, tag)? {
                    None => None,
                    Some(0) => Some(ProfilePart::Registered),
                    Some(1) => Some(ProfilePart::Unregistered),
                    Some(_) => return Err(UserDataError::BadValue(tag.name())),
                };
            }
            _ => walk.skip()?,
        }
    }
    let parent = Tag::InitialFilterCriteria;
    Ok(InitialFilterCriterion {
        priority: required(priority, parent, Tag::Priority)?,
        trigger_point: trigger,
        application_server: required(server, parent, Tag::ApplicationServer)?,
        profile_part: part,
    })
}

fn trigger_point(walk: &mut Walk<'_>) -> Read<TriggerPoint> {
    let mut condition_type = None;
    let mut spts = Vec::new();
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::ConditionTypeCnf => condition_type = boolean(walk, tag)?,
            Tag::Spt => {
                let spt = service_point_trigger(walk)?;
                push(&mut spts, spt, walk.limits.entries_max, tag)?;
            }
            _ => walk.skip()?,
        }
    }
    let is_cnf = required(condition_type, Tag::TriggerPoint, Tag::ConditionTypeCnf)?;
    if spts.is_empty() {
        return missing(Tag::TriggerPoint, Tag::Spt);
    }
    let condition_type = if is_cnf {
        ConditionType::Cnf
    } else {
        ConditionType::Dnf
    };
    Ok(TriggerPoint { condition_type, spts })
}

#[derive(Default)]
struct SptDraft {
    negated: bool,
    groups: Vec<u32>,
    condition: Option<SptCondition>,
    registration_types: Vec<RegistrationType>,
}

fn service_point_trigger(walk: &mut Walk<'_>) -> Read<Spt> {
    let mut draft = SptDraft::default();
    spt_fields(walk, &mut draft)?;
    if draft.groups.is_empty() {
        return missing(Tag::Spt, Tag::Group);
    }
    let Some(condition) = draft.condition else {
        return Err(UserDataError::Missing {
            parent: Tag::Spt.name(),
            element: "condition",
        });
    };
    Ok(Spt {
        negated: draft.negated,
        groups: draft.groups,
        condition,
        registration_types: draft.registration_types,
    })
}

fn spt_fields(walk: &mut Walk<'_>, draft: &mut SptDraft) -> Read<()> {
    let entries_max = walk.limits.entries_max;
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::ConditionNegated => draft.negated = boolean(walk, tag)?.unwrap_or(false),
            Tag::Group => push(&mut draft.groups, number(walk, tag)?, entries_max, tag)?,
            Tag::RequestUri => draft.condition = optional_text(walk, tag)?.map(SptCondition::RequestUri),
            Tag::Method => draft.condition = optional_text(walk, tag)?.map(SptCondition::Method),
            Tag::SessionCase => draft.condition = Some(SptCondition::SessionCase(session_case(walk, tag)?)),
            Tag::SipHeader => {
                let (header, content) = name_and_content(walk, tag, Tag::Header)?;
                draft.condition = Some(SptCondition::SipHeader { header, content });
            }
            Tag::SessionDescription => {
                let (line, content) = name_and_content(walk, tag, Tag::Line)?;
                draft.condition = Some(SptCondition::SessionDescription { line, content });
            }
            Tag::RegistrationType => {
                let registration_type = registration_type(walk, tag)?;
                push(&mut draft.registration_types, registration_type, entries_max, tag)?;
            }
            Tag::Extension => spt_fields(walk, draft)?,
            _ => walk.skip()?,
        }
    }
    Ok(())
}

/// `SIPHeader` and `SessionDescription`: a name, and a pattern that may be absent.
fn name_and_content(walk: &mut Walk<'_>, parent: Tag, name: Tag) -> Read<(String, Option<String>)> {
    let (mut name_text, mut content) = (None, None);
    while let Some(tag) = walk.child()? {
        if tag == name {
            name_text = optional_text(walk, tag)?;
        } else if tag == Tag::Content {
            content = optional_text(walk, tag)?;
        } else {
            walk.skip()?;
        }
    }
    Ok((required(name_text, parent, name)?, content))
}

fn session_case(walk: &mut Walk<'_>, tag: Tag) -> Read<SessionCase> {
    match number(walk, tag)? {
        0 => Ok(SessionCase::OriginatingRegistered),
        1 => Ok(SessionCase::TerminatingRegistered),
        2 => Ok(SessionCase::TerminatingUnregistered),
        3 => Ok(SessionCase::OriginatingUnregistered),
        4 => Ok(SessionCase::OriginatingCdiv),
        _ => Err(UserDataError::BadValue(tag.name())),
    }
}

fn registration_type(walk: &mut Walk<'_>, tag: Tag) -> Read<RegistrationType> {
    match number(walk, tag)? {
        0 => Ok(RegistrationType::Initial),
        1 => Ok(RegistrationType::Reregistration),
        2 => Ok(RegistrationType::Deregistration),
        _ => Err(UserDataError::BadValue(tag.name())),
    }
}

#[derive(Default)]
struct ServerDraft {
    server_name: Option<String>,
    default_handling: DefaultHandling,
    service_info: Option<String>,
    include_register_request: bool,
    include_register_response: bool,
}

fn application_server(walk: &mut Walk<'_>) -> Read<ApplicationServer> {
    let mut draft = ServerDraft::default();
    server_fields(walk, &mut draft)?;
    Ok(ApplicationServer {
        server_name: required(draft.server_name, Tag::ApplicationServer, Tag::ServerName)?,
        default_handling: draft.default_handling,
        service_info: draft.service_info,
        include_register_request: draft.include_register_request,
        include_register_response: draft.include_register_response,
    })
}

fn server_fields(walk: &mut Walk<'_>, draft: &mut ServerDraft) -> Read<()> {
    while let Some(tag) = walk.child()? {
        match tag {
            Tag::ServerName => draft.server_name = optional_text(walk, tag)?,
            Tag::ServiceInfo => draft.service_info = optional_text(walk, tag)?,
            Tag::DefaultHandling => {
                draft.default_handling = match optional_number(walk, tag)? {
                    None | Some(0) => DefaultHandling::SessionContinued,
                    Some(1) => DefaultHandling::SessionTerminated,
                    Some(_) => return Err(UserDataError::BadValue(tag.name())),
                };
            }
            // Empty elements by schema; what they hold is of no meaning.
            Tag::IncludeRegisterRequest => {
                draft.include_register_request = true;
                walk.skip()?;
            }
            Tag::IncludeRegisterResponse => {
                draft.include_register_response = true;
                walk.skip()?;
            }
            Tag::Extension => server_fields(walk, draft)?,
            _ => walk.skip()?,
        }
    }
    Ok(())
}

fn push<T>(list: &mut Vec<T>, entry: T, max: usize, tag: Tag) -> Read<()> {
    if list.len() >= max {
        return Err(UserDataError::TooMany(tag.name()));
    }
    list.push(entry);
    Ok(())
}

fn required<T>(value: Option<T>, parent: Tag, element: Tag) -> Read<T> {
    value.map_or_else(|| missing(parent, element), Ok)
}

fn missing<T>(parent: Tag, element: Tag) -> Read<T> {
    Err(UserDataError::Missing {
        parent: parent.name(),
        element: element.name(),
    })
}

/// The text of a leaf; an empty element is as good as none.
fn optional_text(walk: &mut Walk<'_>, tag: Tag) -> Read<Option<String>> {
    let text = walk.text(tag)?;
    Ok((!text.is_empty()).then_some(text))
}

fn optional_number(walk: &mut Walk<'_>, tag: Tag) -> Read<Option<u32>> {
    match optional_text(walk, tag)? {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| UserDataError::BadValue(tag.name())),
    }
}

fn number(walk: &mut Walk<'_>, tag: Tag) -> Read<u32> {
    optional_number(walk, tag)?.ok_or_else(|| UserDataError::BadValue(tag.name()))
}

/// A boolean of XML Schema: `0`, `1`, `true`, `false`; in any case, for hand-made templates.
fn boolean(walk: &mut Walk<'_>, tag: Tag) -> Read<Option<bool>> {
    let Some(text) = optional_text(walk, tag)? else {
        return Ok(None);
    };
    if text == "1" || text.eq_ignore_ascii_case("true") {
        Ok(Some(true))
    } else if text == "0" || text.eq_ignore_ascii_case("false") {
        Ok(Some(false))
    } else {
        Err(UserDataError::BadValue(tag.name()))
    }
}
