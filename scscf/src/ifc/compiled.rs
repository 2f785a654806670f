//! Engine: one criterion, ready to be matched: its expressions compiled, its cheap conditions first.

use std::collections::BTreeMap;

use hss_client::user_data::{
    ConditionType, InitialFilterCriterion, ProfilePart, RegistrationType, SessionCase, Spt, SptCondition,
    TriggerPoint,
};
use ims_common::sip::HeaderName;

use super::Subject;
use super::expression::{BadExpression, Expression, Expressions, Scope};
use super::matching;

/// A criterion and its compiled trigger.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) criterion: InitialFilterCriterion,
    /// The set of the configuration that it is of; `None`: the profile itself.
    pub(super) shared_set: Option<u32>,
    pub(super) trigger: Option<Trigger>,
}

#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) condition_type: ConditionType,
    pub(super) spts: Box<[CompiledSpt]>,
    pub(super) groups: Box<[Group]>,
}

/// Conditions that are joined with each other first.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) number: u32,
    /// Places in [`Trigger::spts`].
    places: Box<[u16]>,
}

#[derive(Debug)]
pub(super) struct CompiledSpt {
    /// Its place in the trigger point as it is written.
    pub(super) written: usize,
    pub(super) negated: bool,
    pub(super) condition: Condition,
}

/// A condition whose expressions are compiled.
#[derive(Debug)]
pub(super) enum Condition {
    /// An expression is none: never met, negated or not.
    Never(BadExpression),
    Method {
        method: Box<[u8]>,
        /// Empty: any.
        registration_types: Box<[RegistrationType]>,
    },
    SessionCase(SessionCase),
    RequestUri(Expression),
    Header(Header, Option<Expression>),
    SessionDescription {
        line: Expression,
        content: Option<Expression>,
    },
}

/// Which headers are meant.
#[derive(Debug)]
pub(super) enum Header {
    Known(HeaderName),
    Named(Box<str>),
    /// By an expression that the whole name meets.
    Like(Expression),
}

impl Compiled {
    pub(super) fn of(
        criterion: &InitialFilterCriterion,
        shared_set: Option<u32>,
        expressions: &mut Expressions,
        bad: &mut Vec<BadExpression>,
    ) -> Self {
        let trigger = criterion
            .trigger_point
            .as_ref()
            .map(|point| Trigger::of(point, expressions, bad));
        Self {
            criterion: criterion.clone(),
            shared_set,
            trigger,
        }
    }

    /// The part of the profile first, then the trigger (TS 29.228 B.2.2).
    pub(super) fn is_met(&self, subject: &Subject<'_>) -> bool {
        self.is_of_part(subject.case) && self.trigger.as_ref().is_none_or(|trigger| trigger.fires(subject))
    }

    /// A diverted session belongs to both parts: the case does not say which.
    pub(super) fn is_of_part(&self, case: SessionCase) -> bool {
        match self.criterion.profile_part {
            None => true,
            Some(ProfilePart::Registered) => !matches!(
                case,
                SessionCase::TerminatingUnregistered | SessionCase::OriginatingUnregistered
            ),
            Some(ProfilePart::Unregistered) => !matches!(
                case,
                SessionCase::OriginatingRegistered | SessionCase::TerminatingRegistered
            ),
        }
    }

    pub(super) fn names_case(&self, case: SessionCase) -> bool {
        let mut spts = self.trigger.iter().flat_map(|trigger| &trigger.spts);
        spts.any(|spt| !spt.negated && matches!(spt.condition, Condition::SessionCase(c) if c == case))
    }
}

impl Trigger {
    fn of(point: &TriggerPoint, expressions: &mut Expressions, bad: &mut Vec<BadExpression>) -> Self {
        let mut sorted: Vec<(&Spt, CompiledSpt)> = point
            .spts
            .iter()
            .enumerate()
            .map(|(written, spt)| (spt, CompiledSpt::of(written, spt, expressions, bad)))
            .collect();
        sorted.sort_by_key(|(_, compiled)| compiled.condition.cost());
        let mut groups: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        for (place, (spt, _)) in sorted.iter().enumerate() {
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            for group in &spt.groups {
                groups.entry(*group).or_default().push(place);
            }
        }
        let groups = groups.into_iter().map(|(number, places)| Group {
            number,
            places: places.into_boxed_slice(),
        });
        let mut groups: Vec<Group> = groups.collect();
        // What ends the evaluation soonest comes first: the group whose dearest condition is cheapest.
        groups.sort_by_key(|group| group.places.last().copied());
        Self {
            condition_type: point.condition_type,
            spts: sorted.into_iter().map(|(_, compiled)| compiled).collect(),
            groups: groups.into_boxed_slice(),
        }
    }

    /// TS 29.228 Annex C: CNF: AND over the groups of OR; DNF: OR over the groups of AND.
    pub(super) fn fires(&self, subject: &Subject<'_>) -> bool {
        match self.condition_type {
            ConditionType::Cnf => self.groups.iter().all(|group| self.holds(group, subject)),
            ConditionType::Dnf => self.groups.iter().any(|group| self.holds(group, subject)),
        }
    }

    /// Whether one of its groups is met.
    pub(super) fn holds(&self, group: &Group, subject: &Subject<'_>) -> bool {
        let is_met = |place: &u16| {
            let spt = self.spts.get(usize::from(*place));
            spt.is_some_and(|spt| spt.is_met(subject))
        };
        match self.condition_type {
            ConditionType::Cnf => group.places.iter().any(is_met),
            ConditionType::Dnf => group.places.iter().all(is_met),
        }
    }
}

impl CompiledSpt {
    fn of(written: usize, spt: &Spt, expressions: &mut Expressions, bad: &mut Vec<BadExpression>) -> Self {
        let condition = Condition::of(spt, expressions).unwrap_or_else(|error| {
            bad.push(error);
            Condition::Never(error)
        });
        Self {
            written,
            negated: spt.negated,
            condition,
        }
    }

    fn is_met(&self, subject: &Subject<'_>) -> bool {
        self.turned(matching::is_met(&self.condition, subject))
    }

    /// The same; `see` is shown each value that is looked at, until one decides.
    pub(super) fn is_met_seeing(&self, subject: &Subject<'_>, see: impl FnMut(&[u8])) -> bool {
        self.turned(matching::is_met_seeing(&self.condition, subject, see))
    }

    fn turned(&self, is_met: bool) -> bool {
        !matches!(self.condition, Condition::Never(_)) && is_met != self.negated
    }
}

impl Condition {
    fn of(spt: &Spt, expressions: &mut Expressions) -> Result<Self, BadExpression> {
        let search = Scope::Search;
        let mut optional = |ere: &Option<String>| {
            let ere = ere.as_deref();
            ere.map(|ere| expressions.of(ere, search)).transpose()
        };
        Ok(match &spt.condition {
            SptCondition::RequestUri(ere) => Self::RequestUri(expressions.of(ere, search)?),
            SptCondition::Method(method) => Self::Method {
                method: method.as_bytes().into(),
                registration_types: spt.registration_types.as_slice().into(),
            },
            SptCondition::SipHeader { header, content } => {
                let content = optional(content)?;
                Self::Header(Header::of(header, expressions)?, content)
            }
            SptCondition::SessionCase(case) => Self::SessionCase(*case),
            SptCondition::SessionDescription { line, content } => {
                let content = optional(content)?;
                let line = expressions.of(line, Scope::WholeName)?;
                Self::SessionDescription { line, content }
            }
        })
    }

    /// Dearer ones are looked at later.
    fn cost(&self) -> u8 {
        match self {
            Self::Never(_) | Self::Method { .. } | Self::SessionCase(_) => 0,
            Self::Header(Header::Known(_), None) => 1,
            Self::RequestUri(_) | Self::Header(..) => 2,
            Self::SessionDescription { .. } => 3,
        }
    }
}

impl Header {
    /// A name is a name; anything else is an expression, as TS 29.228 Annex F lets it be read.
    fn of(text: &str, expressions: &mut Expressions) -> Result<Self, BadExpression> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'!' | b'%' | b'~');
        if !text.bytes().all(is_plain) {
            return expressions.of(text, Scope::WholeName).map(Self::Like);
        }
        Ok(match HeaderName::from_bytes(text.as_bytes()) {
            HeaderName::Other => Self::Named(text.into()),
            known => Self::Known(known),
        })
    }
}
