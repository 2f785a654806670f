//! Table: what happened, by Call-ID, and whose it is. Bounded: the oldest story makes room for a new one.
//!
//! Stories in which the node has said nothing have a part of the room only: what a flood sends that is not even answered
//! does not make the node forget its subscribers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::entry::{SipStep, Way, What};
use super::facts::{Fact, Facts};
use super::who::name_of;
use crate::node::{NumberMap, give_back};

/// Steps of one story. Above, those in the middle make room: how it began and how it ended explain it.
const STEPS_MAX: usize = 64;
/// Of these, the first that stay.
const STEPS_OF_THE_BEGINNING: usize = 16;
/// Stories of one subscriber; of more the oldest is no longer found by his name.
const STORIES_OF_ONE: usize = 24;
/// Names that one subscriber may have.
const NAMES_MAX: usize = 24;
/// Subscribers of one story: a call has two, and whoever sends more to one Call-ID is not told of.
const SUBJECTS_MAX: usize = 8;
/// A Diameter request belongs to what its subscriber did last, if that was not longer ago.
const RECENT: Duration = Duration::from_secs(35);

/// Stories without an answer have this part of the room: one of so many.
const UNANSWERED_PART: usize = 8;

/// A story, by its number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct StoryId(pub(super) u64);

/// A subscriber, by his number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct SubjectId(u64);

/// What happened, without its story.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at: Instant,
    pub(super) what: What,
    pub(super) facts: Facts,
}

#[derive(Debug)]
pub(super) struct Story {
    pub(super) call_id: Box<str>,
    pub(super) icid: Option<Box<str>>,
    pub(super) steps: Vec<Step>,
    subjects: Vec<SubjectId>,
    last: Instant,
    /// It waits to be looked at.
    pub(super) is_ripening: bool,
    /// The node has said something in it.
    is_answered: bool,
}

#[derive(Debug, Default)]
struct Subject {
    names: Vec<Box<str>>,
    stories: VecDeque<StoryId>,
}

/// The stories of a node.
#[derive(Debug)]
pub(super) struct Stories {
    limit: usize,
    next: u64,
    stories: NumberMap<u64, Story>,
    /// Stories in which the node has said something, the oldest first.
    order: VecDeque<StoryId>,
    /// Stories in which it had not when they began.
    unanswered: VecDeque<StoryId>,
    by_call: HashMap<Box<str>, StoryId>,
    subjects: NumberMap<u64, Subject>,
    by_name: HashMap<Box<str>, SubjectId>,
    pub(super) evicted: u64,
}

impl Stories {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            next: 0,
            stories: NumberMap::default(),
            order: VecDeque::new(),
            unanswered: VecDeque::new(),
            by_call: HashMap::new(),
            subjects: NumberMap::default(),
            by_name: HashMap::new(),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stories.len()
    }

    pub(super) fn names(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, id: StoryId) -> Option<&Story> {
        self.stories.get(&id.0)
    }

    pub(super) fn get_mut(&mut self, id: StoryId) -> Option<&mut Story> {
        self.stories.get_mut(&id.0)
    }

    /// The story of a call, a new one if need be.
    pub(super) fn of_call(&mut self, now: Instant, call_id: &str) -> StoryId {
        match self.by_call.get(call_id) {
            Some(id) => *id,
            None => self.begin(now, call_id),
        }
    }

    /// What this subscriber did just now.
    pub(super) fn recent_of(&self, now: Instant, identity: &str) -> Option<StoryId> {
        let subject = self.by_name.get(name_of(identity)?.as_str())?;
        let id = *self.subjects.get(&subject.0)?.stories.back()?;
        let story = self.get(id)?;
        (now.saturating_duration_since(story.last) <= RECENT).then_some(id)
    }

    fn begin(&mut self, now: Instant, call_id: &str) -> StoryId {
        while self.unanswered.len() >= (self.limit / UNANSWERED_PART).max(1) {
            self.evict_unanswered();
        }
        while self.stories.len() >= self.limit && self.evict() {}
        let id = StoryId(self.next);
        self.next += 1;
        let story = Story {
            call_id: call_id.into(),
            icid: None,
            steps: Vec::new(),
            subjects: Vec::new(),
            last: now,
            is_ripening: false,
            is_answered: false,
        };
        self.by_call.insert(story.call_id.clone(), id);
        self.stories.insert(id.0, story);
        self.unanswered.push_back(id);
        id
    }

    /// The oldest story in which nothing was said goes, if it is still so.
    fn evict_unanswered(&mut self) -> bool {
        let Some(id) = self.unanswered.pop_front() else {
            return false;
        };
        if self.get(id).is_some_and(|story| !story.is_answered) {
            self.remove(id);
        }
        true
    }

    /// The oldest story goes; whether there was one.
    fn evict(&mut self) -> bool {
        let Some(id) = self.order.pop_front() else {
            return self.evict_unanswered();
        };
        self.remove(id);
        true
    }

    fn remove(&mut self, id: StoryId) {
        let Some(story) = self.stories.remove(&id.0) else {
            return;
        };
        self.evicted += 1;
        self.by_call.remove(&story.call_id);
        for subject in story.subjects {
            self.forget(subject, id);
        }
        give_back(&mut self.by_call);
        give_back(&mut self.by_name);
    }

    fn forget(&mut self, subject: SubjectId, story: StoryId) {
        let Some(known) = self.subjects.get_mut(&subject.0) else {
            return;
        };
        known.stories.retain(|it| *it != story);
        if known.stories.is_empty()
            && let Some(known) = self.subjects.remove(&subject.0)
        {
            for name in known.names {
                if self.by_name.get(&name) == Some(&subject) {
                    self.by_name.remove(&name);
                }
            }
        }
    }

    /// Something happened in a story.
    pub(super) fn push(&mut self, id: StoryId, step: Step) {
        let Some(story) = self.stories.get_mut(&id.0) else {
            return;
        };
        story.last = step.at;
        if !story.is_answered && is_said(&step.what) {
            story.is_answered = true;
            self.order.push_back(id);
        }
        if story.is_again(&step) {
            return;
        }
        if story.steps.len() >= STEPS_MAX {
            story.steps.remove(STEPS_OF_THE_BEGINNING);
        }
        story.steps.push(step);
    }

    /// A story is of these identities, each of its own subscriber.
    pub(super) fn belongs_to(&mut self, id: StoryId, identities: &[String]) {
        for identity in identities {
            self.belongs_to_one(id, std::slice::from_ref(identity));
        }
    }

    /// A story is of one subscriber, who has all these identities.
    pub(super) fn belongs_to_one(&mut self, id: StoryId, identities: &[String]) {
        let names: Vec<String> = identities.iter().filter_map(|it| name_of(it)).collect();
        let Some(first) = names.first() else { return };
        let known = names
            .iter()
            .find_map(|name| self.by_name.get(name.as_str()).copied());
        let Some(story) = self.get(id) else { return };
        let is_his = known.is_some_and(|subject| story.subjects.contains(&subject));
        if !is_his && story.subjects.len() >= SUBJECTS_MAX {
            return;
        }
        let subject = known.unwrap_or_else(|| {
            self.next += 1;
            let subject = SubjectId(self.next);
            self.by_name.insert(first.as_str().into(), subject);
            self.subjects.insert(
                subject.0,
                Subject {
                    names: vec![first.as_str().into()],
                    stories: VecDeque::new(),
                },
            );
            subject
        });
        for name in &names {
            self.name(subject, name);
        }
        self.tell(subject, id);
    }

    /// A subscriber has this name; whoever had it before is the same one.
    fn name(&mut self, subject: SubjectId, name: &str) {
        let other = self.by_name.get(name).copied();
        if other == Some(subject) {
            return;
        }
        let Some(known) = self.subjects.get_mut(&subject.0) else {
            return;
        };
        if known.names.len() >= NAMES_MAX {
            return;
        }
        known.names.push(name.into());
        self.by_name.insert(name.into(), subject);
        if let Some(other) = other {
            self.join(subject, other);
        }
    }

    /// Two subscribers are one.
    fn join(&mut self, subject: SubjectId, other: SubjectId) {
        let Some(other_subject) = self.subjects.remove(&other.0) else {
            return;
        };
        for name in other_subject.names {
            if self.by_name.get(&name) == Some(&other) {
                self.by_name.insert(name.clone(), subject);
                if let Some(known) = self.subjects.get_mut(&subject.0)
                    && known.names.len() < NAMES_MAX
                {
                    known.names.push(name);
                } else {
                    self.by_name.remove(&name);
                }
            }
        }
        for id in other_subject.stories {
            if let Some(story) = self.stories.get_mut(&id.0) {
                story.subjects.retain(|it| *it != other);
            }
            self.tell(subject, id);
        }
    }

    /// A subscriber takes part in a story; it is his latest.
    fn tell(&mut self, subject: SubjectId, id: StoryId) {
        let (Some(known), Some(story)) = (self.subjects.get_mut(&subject.0), self.stories.get_mut(&id.0))
        else {
            return;
        };
        if known.stories.back() == Some(&id) {
            return;
        }
        if !story.subjects.contains(&subject) {
            story.subjects.push(subject);
        }
        known.stories.retain(|it| *it != id);
        known.stories.push_back(id);
        if known.stories.len() > STORIES_OF_ONE
            && let Some(oldest) = known.stories.pop_front()
            && let Some(story) = self.stories.get_mut(&oldest.0)
        {
            story.subjects.retain(|it| *it != subject);
        }
    }

    /// The stories that a subscriber's name, or a Call-ID, stands for.
    pub(super) fn of_name(&self, text: &str, name: Option<&str>) -> Vec<StoryId> {
        let mut all: Vec<StoryId> = self.by_call.get(text).copied().into_iter().collect();
        let subject = name.and_then(|name| self.by_name.get(name));
        if let Some(subject) = subject.and_then(|it| self.subjects.get(&it.0)) {
            all.extend(&subject.stories);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// A name of whom a story is, the first that was known.
    pub(super) fn subject_names(&self, id: StoryId) -> impl Iterator<Item = &str> {
        let subjects = self.get(id).map(|it| it.subjects.as_slice()).unwrap_or_default();
        subjects
            .iter()
            .filter_map(|it| self.subjects.get(&it.0))
            .filter_map(|it| it.names.first().map(|it| &**it))
    }

    /// All names of one subscriber, by one of them.
    pub(super) fn names_of(&self, name: &str) -> HashSet<String> {
        let subject = self.by_name.get(name).and_then(|it| self.subjects.get(&it.0));
        let names = subject.map(|it| it.names.as_slice()).unwrap_or_default();
        names.iter().map(|it| it.to_string()).collect()
    }
}

impl Story {
    /// The IMPI that the REGISTER with this CSeq names.
    pub(super) fn impi_of(&self, cseq: u32) -> Option<String> {
        let of_request = |step: &&Step| matches!(&step.what, What::Sip(sip) if sip.status.is_none() && sip.method == "REGISTER" && sip.cseq == cseq);
        let mut requests = self.steps.iter().rev().filter(of_request);
        requests.find_map(|step| step.facts.get(Fact::Impi).map(str::to_owned))
    }

    /// Whether what is said now was heard just before.
    pub(super) fn has_heard(&self, said: &SipStep) -> bool {
        said.way == Way::Said
            && self.steps.iter().rev().take(3).any(|step| {
                matches!(&step.what, What::Sip(heard) if heard.way == Way::Heard
                    && heard.cseq == said.cseq
                    && heard.status == said.status
                    && heard.method == said.method)
            })
    }

    /// Whether the same message went the same way just before; then it is counted and not kept again.
    fn is_again(&mut self, step: &Step) -> bool {
        let What::Sip(new) = &step.what else {
            return false;
        };
        let near = self.steps.len().saturating_sub(6);
        for old in self.steps.iter_mut().skip(near) {
            let What::Sip(old_step) = &mut old.what else {
                continue;
            };
            let is_same = old_step.way == new.way
                && old_step.cseq == new.cseq
                && old_step.method == new.method
                && old_step.status == new.status
                && old_step.octets == new.octets
                && old_step.peer == new.peer
                && old.facts == step.facts;
            if is_same {
                old_step.again = old_step.again.saturating_add(1);
                return true;
            }
        }
        false
    }
}

fn is_said(what: &What) -> bool {
    match what {
        What::Sip(step) => step.way == Way::Said,
        What::Diameter(step) => step.way == Way::Said,
        _ => false,
    }
}
