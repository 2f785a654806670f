//! Engine: why criteria are met or not: the very evaluation of [`super::matching`], written down.

use hss_client::user_data::{
    ConditionType, DefaultHandling, ProfilePart, RegistrationType, SessionCase, Spt, SptCondition,
};
use ims_common::ifc_test::{
    AskedServer, ConditionTrial, CriterionTrial, GroupTrial, RegistrationKind, ServedCase, TriggerTrial,
};
use ims_common::sip::{Method, UriBuf};

use super::compiled::{Compiled, CompiledSpt, Condition, Trigger};
use super::{Criteria, Subject};

/// Values that are written down of one condition, and the characters of each.
const VALUES_MAX: usize = 4;
const VALUE_CHARS_MAX: usize = 160;

/// Who is asked, if every server gives the request back unchanged (TS 23.218 5.2).
pub(crate) fn servers(criteria: &Criteria, subject: &Subject<'_>) -> Vec<AskedServer> {
    let mut servers: Vec<AskedServer> = Vec::new();
    let mut from = 0;
    while let Some((place, criterion)) = criteria.next_match(from, subject) {
        from = place + 1;
        let name = &criterion.application_server.server_name;
        let is_told = subject.request.method() == Method::Register
            && servers.iter().any(|server| server.server == *name);
        let is_sip = name.parse::<UriBuf>().is_ok_and(|uri| uri.as_uri().is_sip());
        let problem = match (is_sip, is_told) {
            (false, _) => Some("the server's name is no SIP URI: its default handling applies"),
            (true, true) => Some("told already: a server hears of a registration once"),
            (true, false) => None,
        };
        servers.push(AskedServer {
            priority: criterion.priority,
            server: name.clone(),
            default_handling: handling(criterion.application_server.default_handling),
            problem: problem.map(str::to_owned),
        });
    }
    servers
}

/// Each criterion, by priority.
pub(crate) fn criteria(criteria: &Criteria, subject: &Subject<'_>) -> Vec<CriterionTrial> {
    criteria.criteria.iter().map(|c| criterion(c, subject)).collect()
}

fn criterion(compiled: &Compiled, subject: &Subject<'_>) -> CriterionTrial {
    let criterion = &compiled.criterion;
    let point = criterion.trigger_point.as_ref();
    let written = point.map_or(&[][..], |point| &point.spts);
    let trigger = compiled.trigger.as_ref();
    CriterionTrial {
        priority: criterion.priority,
        shared_set: compiled.shared_set,
        server: criterion.application_server.server_name.clone(),
        default_handling: handling(criterion.application_server.default_handling),
        is_met: compiled.is_met(subject),
        profile_part: criterion.profile_part.map(|part| match part {
            ProfilePart::Registered => "registered".to_owned(),
            ProfilePart::Unregistered => "unregistered".to_owned(),
        }),
        part_fits: compiled.is_of_part(subject.case),
        trigger: trigger.map(|trigger| trigger_trial(trigger, written, subject)),
    }
}

fn trigger_trial(trigger: &Trigger, written: &[Spt], subject: &Subject<'_>) -> TriggerTrial {
    let mut groups: Vec<GroupTrial> = trigger
        .groups
        .iter()
        .map(|group| GroupTrial {
            group: group.number,
            is_met: trigger.holds(group, subject),
        })
        .collect();
    groups.sort_by_key(|group| group.group);
    let mut spts: Vec<&CompiledSpt> = trigger.spts.iter().collect();
    spts.sort_by_key(|spt| spt.written);
    let conditions = spts
        .into_iter()
        .filter_map(|spt| Some(condition(spt, written.get(spt.written)?, subject)));
    TriggerTrial {
        form: match trigger.condition_type {
            ConditionType::Cnf => "CNF".to_owned(),
            ConditionType::Dnf => "DNF".to_owned(),
        },
        fires: trigger.fires(subject),
        conditions: conditions.collect(),
        groups,
    }
}

fn condition(spt: &CompiledSpt, written: &Spt, subject: &Subject<'_>) -> ConditionTrial {
    let mut looked_at = Vec::new();
    let is_met = spt.is_met_seeing(subject, |value| {
        let text = shown(value);
        if looked_at.len() < VALUES_MAX && !looked_at.contains(&text) {
            looked_at.push(text);
        }
    });
    match &written.condition {
        SptCondition::SessionCase(_) => looked_at.push(served_case(subject.case).to_string()),
        SptCondition::Method(_) if !written.registration_types.is_empty() => {
            let kind = subject.registration.map(registration_kind);
            looked_at.extend(kind.map(|kind| kind.as_str().to_owned()));
        }
        SptCondition::Method(_)
        | SptCondition::RequestUri(_)
        | SptCondition::SipHeader { .. }
        | SptCondition::SessionDescription { .. } => {}
    }
    let not = if spt.negated { "not " } else { "" };
    ConditionTrial {
        groups: written.groups.clone(),
        condition: format!("{not}{}", text_of(written)),
        is_met,
        looked_at,
        problem: match &spt.condition {
            Condition::Never(bad) => Some(bad.to_string()),
            _ => None,
        },
    }
}

fn text_of(spt: &Spt) -> String {
    let content = |content: &Option<String>| match content {
        Some(ere) => format!("~ {ere}"),
        None => "is there".to_owned(),
    };
    match &spt.condition {
        SptCondition::RequestUri(ere) => format!("RequestURI ~ {ere}"),
        SptCondition::Method(method) if spt.registration_types.is_empty() => format!("Method = {method}"),
        SptCondition::Method(method) => {
            let kinds = spt.registration_types.iter().copied().map(registration_kind);
            let kinds: Vec<&str> = kinds.map(RegistrationKind::as_str).collect();
            format!("Method = {method} ({})", kinds.join(" or "))
        }
        SptCondition::SipHeader { header, content: c } => format!("SIPHeader {header} {}", content(c)),
        SptCondition::SessionCase(case) => format!("SessionCase = {}", served_case(*case)),
        SptCondition::SessionDescription { line, content: c } => {
            format!("SessionDescription {line}= {}", content(c))
        }
    }
}

fn handling(handling: DefaultHandling) -> String {
    match handling {
        DefaultHandling::SessionContinued => "continue".to_owned(),
        DefaultHandling::SessionTerminated => "terminate".to_owned(),
    }
}

fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The case of the trial as profiles name it.
pub(crate) const fn session_case(case: ServedCase) -> SessionCase {
    match case {
        ServedCase::Originating => SessionCase::OriginatingRegistered,
        ServedCase::Terminating => SessionCase::TerminatingRegistered,
        ServedCase::OriginatingUnregistered => SessionCase::OriginatingUnregistered,
        ServedCase::TerminatingUnregistered => SessionCase::TerminatingUnregistered,
        ServedCase::OriginatingCdiv => SessionCase::OriginatingCdiv,
    }
}

const fn served_case(case: SessionCase) -> ServedCase {
    match case {
        SessionCase::OriginatingRegistered => ServedCase::Originating,
        SessionCase::TerminatingRegistered => ServedCase::Terminating,
        SessionCase::OriginatingUnregistered => ServedCase::OriginatingUnregistered,
        SessionCase::TerminatingUnregistered => ServedCase::TerminatingUnregistered,
        SessionCase::OriginatingCdiv => ServedCase::OriginatingCdiv,
    }
}

/// The registration type of the trial as profiles name it.
pub(crate) const fn registration_type(kind: RegistrationKind) -> RegistrationType {
    match kind {
        RegistrationKind::Initial => RegistrationType::Initial,
        RegistrationKind::Reregistration => RegistrationType::Reregistration,
        RegistrationKind::Deregistration => RegistrationType::Deregistration,
    }
}

const fn registration_kind(kind: RegistrationType) -> RegistrationKind {
    match kind {
        RegistrationType::Initial => RegistrationKind::Initial,
        RegistrationType::Reregistration => RegistrationKind::Reregistration,
        RegistrationType::Deregistration => RegistrationKind::Deregistration,
    }
}
