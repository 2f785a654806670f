//! Engine: a trial of filter criteria as an operator reads it.

use super::paper::{Ink, Paper, clean, cut};
use crate::ifc_test::{ConditionTrial, CriterionTrial, IfcTestAnswer, TriggerTrial};

/// Who is asked on top, then each criterion with what it looked at.
pub(super) fn print(answer: &IfcTestAnswer, paper: Paper) -> String {
    let kind = answer
        .registration
        .map_or(String::new(), |kind| format!(" ({})", kind.as_str()));
    let source = match answer.source.as_str() {
        "given" => "the profile that was given",
        "unregistered" => "a profile kept for a user who is not registered",
        _ => "the profile of the registration",
    };
    let mut text = format!(
        "{}{kind} {} {} {}, by {source}\n",
        paper.ink(Ink::Bold, &clean(&answer.method)),
        clean(&answer.uri),
        if answer.case.is_terminating() {
            "for"
        } else {
            "from"
        },
        clean(&answer.user)
    );
    text.push_str(&format!("session case {}\n\n", answer.case));
    text.push_str(&servers(answer, paper));
    for set in &answer.unknown_shared_sets {
        let line =
            format!("! the profile names shared set {set}, which scscf.shared_ifc_sets does not have\n");
        text.push_str(&paper.ink(Ink::Warn, &line));
    }
    for criterion in &answer.criteria {
        text.push('\n');
        text.push_str(&criterion_lines(criterion, paper));
    }
    text
}

fn servers(answer: &IfcTestAnswer, paper: Paper) -> String {
    if answer.servers.is_empty() {
        let none = match answer.criteria.len() {
            0 => "No application server is asked: there are no filter criteria.".to_owned(),
            n => format!("No application server is asked: none of {n} criteria is met."),
        };
        return format!("{}\n", paper.ink(Ink::Bold, &none));
    }
    let mut text = format!("{}\n", paper.ink(Ink::Bold, "Asked, in this order:"));
    for (nth, server) in answer.servers.iter().enumerate() {
        let handling = match server.default_handling.as_str() {
            "terminate" => "without an answer the request fails",
            _ => "without an answer it goes on",
        };
        let line = format!("  {}. {}  ({handling})", nth + 1, clean(&server.server));
        text.push_str(&line);
        if let Some(problem) = &server.problem {
            text.push_str(&paper.ink(Ink::Warn, &format!("  ! {problem}")));
        }
        text.push('\n');
    }
    text
}

fn criterion_lines(criterion: &CriterionTrial, paper: Paper) -> String {
    let set = criterion
        .shared_set
        .map_or(String::new(), |id| format!(", of shared set {id}"));
    let mut text = format!(
        "{} priority {}{set}: {}\n",
        yes(criterion.is_met, paper),
        criterion.priority,
        clean(&criterion.server)
    );
    if let Some(part) = &criterion.profile_part {
        let fits = if criterion.part_fits {
            "fits"
        } else {
            "does not fit"
        };
        text.push_str(&format!(
            "    {} is for the {part} part of the profile: the case {fits}\n",
            yes(criterion.part_fits, paper)
        ));
    }
    match &criterion.trigger {
        None => text.push_str("        no trigger: always\n"),
        Some(trigger) => text.push_str(&trigger_lines(trigger, paper)),
    }
    text
}

fn trigger_lines(trigger: &TriggerTrial, paper: Paper) -> String {
    let meaning = match trigger.form.as_str() {
        "CNF" => "all groups, in each any condition",
        _ => "any group, in it all conditions",
    };
    let mut text = format!("        {}: {meaning}\n", trigger.form);
    for group in &trigger.groups {
        text.push_str(&format!(
            "    {} group {}\n",
            yes(group.is_met, paper),
            group.group
        ));
        let members = trigger
            .conditions
            .iter()
            .filter(|c| c.groups.contains(&group.group));
        text.extend(members.map(|condition| condition_line(condition, paper)));
    }
    let alone = trigger.conditions.iter().filter(|c| c.groups.is_empty());
    text.extend(alone.map(|condition| condition_line(condition, paper)));
    text
}

fn condition_line(condition: &ConditionTrial, paper: Paper) -> String {
    let seen: Vec<String> = condition.looked_at.iter().map(|value| clean(value)).collect();
    let found = match (&condition.problem, seen.is_empty()) {
        (Some(problem), _) => format!("! never met: {problem}"),
        (None, true) => "the request has none".to_owned(),
        (None, false) => seen.join(" | "),
    };
    let line = format!("{:<46} {found}", clean(&condition.condition));
    let room = paper.width.saturating_sub(12).max(40);
    format!("        {} {}\n", yes(condition.is_met, paper), cut(&line, room))
}

fn yes(is_met: bool, paper: Paper) -> String {
    match is_met {
        true => paper.ink(Ink::Good, "yes"),
        false => paper.ink(Ink::Dim, "no "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ifc_test::{AskedServer, GroupTrial, ServedCase};

    fn condition(group: u32, text: &str, is_met: bool, seen: &[&str]) -> ConditionTrial {
        ConditionTrial {
            groups: vec![group],
            condition: text.to_owned(),
            is_met,
            looked_at: seen.iter().map(|value| (*value).to_owned()).collect(),
            problem: None,
        }
    }

    fn answer() -> IfcTestAnswer {
        let trigger = TriggerTrial {
            form: "CNF".into(),
            fires: true,
            groups: vec![
                GroupTrial {
                    group: 0,
                    is_met: true,
                },
                GroupTrial {
                    group: 1,
                    is_met: true,
                },
            ],
            conditions: vec![
                condition(0, "Method = INVITE", true, &["INVITE"]),
                condition(0, "Method = MESSAGE", false, &["INVITE"]),
                condition(1, "not SIPHeader Accept-Contact ~ mmtel", true, &[]),
            ],
        };
        IfcTestAnswer {
            user: "sip:alice@home.example".into(),
            source: "registered".into(),
            case: ServedCase::Originating,
            registration: None,
            method: "INVITE".into(),
            uri: "tel:+15550002".into(),
            servers: vec![AskedServer {
                priority: 1,
                server: "sip:tas.home.example".into(),
                default_handling: "terminate".into(),
                problem: None,
            }],
            criteria: vec![
                CriterionTrial {
                    priority: 1,
                    server: "sip:tas.home.example".into(),
                    is_met: true,
                    part_fits: true,
                    trigger: Some(trigger),
                    ..CriterionTrial::default()
                },
                CriterionTrial {
                    priority: 5,
                    shared_set: Some(7),
                    server: "sip:vm.home.example".into(),
                    profile_part: Some("unregistered".into()),
                    ..CriterionTrial::default()
                },
            ],
            unknown_shared_sets: vec![9],
        }
    }

    #[test]
    fn a_trial_names_the_servers_first_and_then_why() {
        assert_eq!(
            print(&answer(), Paper::PIPE),
            "INVITE tel:+15550002 from sip:alice@home.example, by the profile of the registration\n\
             session case originating\n\
             \n\
             Asked, in this order:\n  \
               1. sip:tas.home.example  (without an answer the request fails)\n\
             ! the profile names shared set 9, which scscf.shared_ifc_sets does not have\n\
             \n\
             yes priority 1: sip:tas.home.example\n        \
                     CNF: all groups, in each any condition\n    \
                 yes group 0\n        \
                     yes Method = INVITE                                INVITE\n        \
                     no  Method = MESSAGE                               INVITE\n    \
                 yes group 1\n        \
                     yes not SIPHeader Accept-Contact ~ mmtel           the request has none\n\
             \n\
             no  priority 5, of shared set 7: sip:vm.home.example\n    \
                 no  is for the unregistered part of the profile: the case does not fit\n        \
                     no trigger: always\n"
        );
    }

    #[test]
    fn nobody_asked_is_said_and_a_bad_expression_is_named() {
        let mut answer = answer();
        answer.servers.clear();
        assert!(
            print(&answer, Paper::PIPE)
                .contains("No application server is asked: none of 2 criteria is met.\n")
        );
        answer.criteria.clear();
        assert!(print(&answer, Paper::PIPE).contains("there are no filter criteria"));
        let bad = ConditionTrial {
            problem: Some("a parenthesis is not closed".into()),
            ..condition(0, "RequestURI ~ (", false, &[])
        };
        assert!(condition_line(&bad, Paper::PIPE).contains("! never met: a parenthesis is not closed"));
    }
}
