//! Engine: which contacts a request is sent to, and in what order: q and the caller's preferences (RFC 3841 7.2).
//!
//! Two deviations. A contact that told no capabilities is immune to preferences (RFC 3841 7.2.2), but not to those that
//! are both `require` and `explicit`: a short message for `+g.3gpp.smsip` must not end at a phone that never said so
//! (TS 24.341 5.3.3.4). And what cannot be read is left out, as if the caller had not said it.

mod features;

use ims_common::sip::{HeaderName, Method, Params, Request};

use features::{Predicate, Term};

use crate::registrar::Binding;

/// Header values that are read.
const PREDICATES_MAX: usize = 16;
/// The best score and the best q, in thousandths.
const FULL: u16 = 1_000;

/// What a caller wants of the contacts.
#[derive(Debug)]
pub(crate) struct CallerPreferences {
    accept: Vec<Predicate>,
    reject: Vec<Predicate>,
    /// Method and event package, when the caller has said nothing (RFC 3841 7.2.2).
    implicit: Option<Predicate>,
    disposition: Disposition,
}

/// Request-Disposition (RFC 3841 9.1), as far as it is heeded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Disposition {
    /// `no-fork`: one contact only.
    pub(crate) no_fork: bool,
    /// `no-recurse`: redirections go to the caller.
    pub(crate) no_recurse: bool,
    pub(crate) order: ForkOrder,
}

/// How contacts are tried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ForkOrder {
    /// Those of one rank at once.
    #[default]
    ByRank,
    /// `parallel`.
    AllAtOnce,
    /// `sequential`.
    OneByOne,
}

/// A contact and its rank: the lower the later.
struct Ranked<'b> {
    binding: &'b Binding,
    q: u16,
    score: u16,
}

impl CallerPreferences {
    /// What a request says.
    pub(crate) fn of(request: &Request) -> Self {
        let predicates = |name| {
            let values = request.values(name).take(PREDICATES_MAX);
            values.filter_map(Predicate::parse).collect::<Vec<_>>()
        };
        let accept = predicates(HeaderName::AcceptContact);
        let reject = predicates(HeaderName::RejectContact);
        let implicit = (accept.is_empty() && reject.is_empty()).then(|| implied(request));
        Self {
            accept,
            reject,
            implicit,
            disposition: Disposition::of(request),
        }
    }

    /// How the request is to be forked.
    pub(crate) fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// The contacts to try: one group after the other, those of a group at once. With `instance`, only those of this
    /// `+sip.instance` (a GRUU: RFC 5627 5.3); of several flows of an instance the newest comes first and the others
    /// have their own groups (RFC 5626 6). Contacts of emergency registrations are no targets (TS 24.229 5.4.3.3).
    pub(crate) fn groups<'b>(
        &self,
        bindings: impl Iterator<Item = &'b Binding>,
        instance: Option<&[u8]>,
    ) -> Vec<Vec<&'b Binding>> {
        let candidates: Vec<&Binding> = bindings
            .filter(|binding| binding.contact.uri().as_uri().param("sos").is_none())
            .filter(|binding| instance.is_none_or(|wanted| binding.contact.is_instance(wanted)))
            .collect();
        let mut ranked = self.rank(&candidates);
        ranked.sort_by_key(|contact| (FULL - contact.q, FULL - contact.score));
        let groups = grouped(ranked);
        self.disposition.arrange(groups)
    }

    fn rank<'b>(&self, candidates: &[&'b Binding]) -> Vec<Ranked<'b>> {
        let rank = |implicit: Option<&Predicate>| {
            let rank = |binding: &&'b Binding| {
                let params = binding.contact.params();
                Some(Ranked {
                    binding,
                    q: binding.contact.q().unwrap_or(FULL),
                    score: self.score(&features::terms(params), implicit)?,
                })
            };
            candidates.iter().filter_map(rank).collect::<Vec<_>>()
        };
        match rank(self.implicit.as_ref()) {
            // What nobody has said does not leave nobody to call.
            empty if empty.is_empty() => rank(None),
            ranked => ranked,
        }
    }

    /// Qa of RFC 3841 7.2.4; `None` when the contact is no target.
    fn score(&self, contact: &[Term], implicit: Option<&Predicate>) -> Option<u16> {
        if self.reject.iter().any(|predicate| predicate.rejects(contact)) {
            return None;
        }
        // It excludes, but does not rank: most contacts do not say their methods.
        if implicit.is_some_and(|predicate| predicate.score(contact).is_none()) {
            return None;
        }
        let scores: Option<Vec<u16>> = self
            .accept
            .iter()
            .map(|predicate| predicate.score(contact))
            .collect();
        let scores = scores?;
        let sum: usize = scores.iter().map(|score| usize::from(*score)).sum();
        Some(match sum.checked_div(scores.len()) {
            Some(average) => u16::try_from(average).unwrap_or(FULL),
            None => FULL,
        })
    }
}

impl Disposition {
    fn of(request: &Request) -> Self {
        let has = |directive| request.has_token(HeaderName::RequestDisposition, directive);
        let order = match (has("parallel"), has("sequential")) {
            (true, false) => ForkOrder::AllAtOnce,
            (false, true) => ForkOrder::OneByOne,
            _ => ForkOrder::ByRank,
        };
        Self {
            no_fork: has("no-fork"),
            no_recurse: has("no-recurse"),
            order,
        }
    }

    fn arrange(self, mut groups: Vec<Vec<&Binding>>) -> Vec<Vec<&Binding>> {
        if self.no_fork {
            groups.truncate(1);
            groups.iter_mut().for_each(|group| group.truncate(1));
        }
        let all = groups.iter().flatten().copied();
        match self.order {
            ForkOrder::ByRank => groups,
            ForkOrder::AllAtOnce if groups.is_empty() => groups,
            ForkOrder::AllAtOnce => vec![all.collect()],
            ForkOrder::OneByOne => all.map(|binding| vec![binding]).collect(),
        }
    }
}

/// Equal ranks are one group, but for further flows of an instance that is in one already.
fn grouped(ranked: Vec<Ranked<'_>>) -> Vec<Vec<&Binding>> {
    let mut groups: Vec<Vec<&Binding>> = Vec::new();
    let mut rest = ranked.as_slice();
    while let Some(first) = rest.first() {
        let is_same = |contact: &&Ranked<'_>| (contact.q, contact.score) == (first.q, first.score);
        let length = rest.iter().take_while(is_same).count();
        let (same, later) = rest.split_at(length);
        rest = later;
        let mut group: Vec<&Binding> = Vec::with_capacity(same.len());
        let mut other_flows: Vec<&Binding> = Vec::new();
        for contact in same {
            let binding = contact.binding;
            let flow = group
                .iter_mut()
                .find(|known| known.contact.is_flow_of_same_instance(&binding.contact));
            match flow {
                // The newest flow is the one whose binding has the higher number.
                Some(known) if known.id < binding.id => other_flows.push(std::mem::replace(known, binding)),
                Some(_) => other_flows.push(binding),
                None => group.push(binding),
            }
        }
        groups.push(group);
        other_flows.sort_by_key(|binding| std::cmp::Reverse(binding.id));
        groups.extend(other_flows.into_iter().map(|binding| vec![binding]));
    }
    groups
}

/// RFC 3841 7.2.2: the method, and the event package if there is one; a contact that contradicts it is no target.
fn implied(request: &Request) -> Predicate {
    let event = matches!(
        request.method(),
        Method::Subscribe | Method::Notify | Method::Publish
    )
    .then(|| request.header(HeaderName::Event))
    .flatten()
    .and_then(|event| event.split(|b| *b == b';').next());
    let method = request.method();
    let mut text = b"methods=".to_vec();
    text.extend_from_slice(method.as_bytes());
    if let Some(event) = event {
        text.extend_from_slice(b";events=");
        text.extend_from_slice(event.trim_ascii());
    }
    text.extend_from_slice(b";require");
    Predicate::of(Params::new(Some(&text)))
}

#[cfg(test)]
mod tests;
