//! Machine: what a node is told and says becomes stories, and stories that may need an explanation become findings.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::case::Case;
use super::detector::{Finding, explain};
use super::diameter_reading::DiameterReading;
use super::entry::{ConnectionStep, Entry, KernelStep, NoteStep, Way, What};
use super::facts::{Fact, Facts};
use super::note::Note;
use super::sip_reading::{ID_MAX, Passage, SipReading};
use super::stories::{Step, Stories, StoryId};
use super::who::Who;
use crate::limits::SipLimits;
use crate::net::{
    ConnectionId, Destination, DiameterInput, DiameterOutput, NetInput, NetOutput, SipInput, SipOutput,
    Transmit,
};
use crate::node::{Counters, Metrics};
use crate::sip::Message;

/// A story is looked at so long after something in it looked like trouble: silence takes time to show.
const RIPENING: Duration = Duration::from_secs(12);
/// Stories that are looked at in one second; the others keep their entries and are explained when somebody asks.
const LOOKS_PER_SECOND: u32 = 100;
/// And in one turn of the node.
const LOOKS_PER_TURN: usize = 4;
/// Of one subscriber, so many of the latest stories are looked at without being asked.
const STORIES_PER_LOOK: usize = 6;
/// Entries that concern the whole node.
const SITE_MAX: usize = 512;
/// Findings that are kept for a list.
const FINDINGS_MAX: usize = 512;
/// Diameter requests whose answers are awaited.
const ASKED_MAX: usize = 20_000;
/// Who is followed live at a time.
const FOLLOWED_MAX: usize = 16;
/// Entries of followed ones that may wait to be fetched.
const FOLLOWED_WAITING_MAX: usize = 4_096;

/// What a recorder has to know.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The node: `pcscf`, `icscf`, `scscf`.
    pub node: &'static str,
    /// Where it speaks SIP.
    pub addresses: Vec<SocketAddr>,
    /// Stories that are kept; about two kilobytes each.
    pub stories: usize,
    /// An instant, and what the calendar said then, in microseconds since 1970 UTC.
    pub calendar: (Instant, u64),
}

/// Somebody who is followed live.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Followed(pub u64);

/// A Diameter request without an answer: its connection and hop-by-hop identifier, and whether this node asks.
type AskedKey = (ConnectionId, u32, bool);

/// See the [module](super).
#[derive(Debug)]
pub struct Recorder {
    settings: RecorderSettings,
    limits: SipLimits,
    stories: Stories,
    site: VecDeque<Step>,
    asked: HashMap<AskedKey, (StoryId, Vec<String>)>,
    asked_order: VecDeque<AskedKey>,
    /// Diameter connections that are there, and whereto.
    links: BTreeMap<ConnectionId, String>,
    /// Those that are dialled.
    dials: BTreeMap<u64, String>,
    ripening: VecDeque<(Instant, StoryId)>,
    second: Option<(Instant, u32)>,
    findings: VecDeque<(String, Finding)>,
    new_findings: VecDeque<(String, Finding)>,
    followed: BTreeMap<Followed, Option<Who>>,
    for_followers: VecDeque<(Followed, Entry)>,
    next_followed: u64,
    by_detector: BTreeMap<String, u64>,
    counters: Counters,
}

impl Recorder {
    /// A recorder that knows nothing yet.
    #[must_use]
    pub fn new(settings: RecorderSettings) -> Self {
        Self {
            stories: Stories::new(settings.stories),
            settings,
            limits: SipLimits::default(),
            site: VecDeque::new(),
            asked: HashMap::new(),
            asked_order: VecDeque::new(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            ripening: VecDeque::new(),
            second: None,
            findings: VecDeque::new(),
            new_findings: VecDeque::new(),
            followed: BTreeMap::new(),
            for_followers: VecDeque::new(),
            next_followed: 0,
            by_detector: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// What the node is about to be told.
    pub fn heard(&mut self, now: Instant, input: &NetInput) {
        match input {
            NetInput::Sip(SipInput::Received { flow, message } | SipInput::Excess { flow, message }) => {
                let passage = Passage {
                    way: Way::Heard,
                    side: flow.interface,
                    transport: flow.transport,
                    peer: flow.remote,
                };
                self.sip(now, message, passage);
            }
            NetInput::Diameter(DiameterInput::Message { connection, bytes }) => {
                self.diameter(now, *connection, bytes, Way::Heard);
            }
            NetInput::Diameter(DiameterInput::Connected {
                connection,
                attempt,
                remote,
                ..
            }) => {
                let address = attempt.and_then(|it| self.dials.remove(&it));
                let address = address.unwrap_or_else(|| remote.to_string());
                self.connection(now, true, &address, "up");
                self.links.insert(*connection, address);
            }
            NetInput::Diameter(DiameterInput::ConnectFailed { attempt, reason }) => {
                let address = self.dials.remove(attempt).unwrap_or_default();
                self.connection(now, false, &address, &format!("not reached: {reason}"));
            }
            NetInput::Diameter(DiameterInput::Closed { connection }) => {
                if let Some(address) = self.links.remove(connection) {
                    self.connection(now, false, &address, "closed");
                }
            }
            NetInput::Sip(_) | NetInput::Xfrm(_) | NetInput::Command(_) => {}
        }
    }

    /// What the node has said.
    pub fn said(&mut self, now: Instant, output: &NetOutput) {
        match output {
            NetOutput::Sip(SipOutput::Transmit(transmit)) => self.transmitted(now, transmit),
            NetOutput::Diameter(DiameterOutput::Send { connection, bytes }) => {
                self.diameter(now, *connection, bytes, Way::Said);
            }
            NetOutput::Diameter(DiameterOutput::Connect { attempt, address }) => {
                self.dials.insert(*attempt, address.clone());
            }
            NetOutput::Diameter(DiameterOutput::Close { connection }) => {
                if let Some(address) = self.links.remove(connection) {
                    self.connection(now, false, &address, "closed by this node");
                }
            }
            NetOutput::Sip(_) | NetOutput::Xfrm(_) | NetOutput::Cdr(_) | NetOutput::Drained => {}
        }
    }

    /// What the node has noted.
    pub fn noted(&mut self, now: Instant, note: Note) {
        let what = What::Note(NoteStep { kind: note.kind });
        let identities: Vec<String> = note.identities.iter().map(|it| it.to_string()).collect();
        if note.call_id.is_empty() && identities.is_empty() {
            return self.of_site(now, what, note.facts);
        }
        let id = match note.call_id.is_empty() {
            false => self.stories.of_call(now, &note.call_id),
            true => self.recent_or(now, &identities, "noted"),
        };
        self.stories.belongs_to(id, &identities);
        if note.kind.is_trouble() {
            self.ripen(now, id);
        }
        self.step(
            id,
            Step {
                at: now,
                what,
                facts: note.facts,
            },
        );
    }

    /// A counter of the kernel has grown.
    pub fn kernel(&mut self, now: Instant, counter: &'static str, grown: u64, facts: Facts) {
        let counter = Cow::Borrowed(counter);
        self.of_site(now, What::Kernel(KernelStep { counter, grown }), facts);
    }

    /// One that fails again and again is told once.
    fn connection(&mut self, now: Instant, is_up: bool, address: &str, words: &str) {
        let what = What::Connection(ConnectionStep { is_up });
        let facts = Facts::new().with(Fact::Address, address).with(Fact::Words, words);
        let is_known = self.site.iter().rev().find(|step| {
            matches!(step.what, What::Connection(_)) && step.facts.get(Fact::Address) == Some(address)
        });
        if is_known.is_none_or(|step| step.what != what || step.facts != facts) {
            self.of_site(now, what, facts);
        }
    }

    fn transmitted(&mut self, now: Instant, transmit: &Transmit) {
        let Ok(message) = Message::parse(transmit.bytes.clone(), &self.limits) else {
            return;
        };
        let (side, transport, peer) = match transmit.destination {
            Destination::Flow(flow) => (flow.interface, flow.transport, flow.remote),
            Destination::Address {
                interface,
                transport,
                remote,
            } => (interface, transport, remote),
        };
        let passage = Passage {
            way: Way::Said,
            side,
            transport,
            peer,
        };
        self.sip(now, &message, passage);
    }

    fn sip(&mut self, now: Instant, message: &Message, passage: Passage) {
        let Some(call_id) = message.call_id() else {
            return self.counters.count("ims_why_unread_total", "sip");
        };
        let cut = call_id.get(..ID_MAX).unwrap_or(call_id);
        let id = self.stories.of_call(now, &String::from_utf8_lossy(cut));
        let Some(reading) = SipReading::of(message, passage, self.stories.get(id)) else {
            return self.counters.count("ims_why_unread_total", "sip");
        };
        if let (Some(icid), Some(story)) = (&reading.icid, self.stories.get_mut(id)) {
            story.icid.get_or_insert_with(|| icid.as_str().into());
        }
        let is_grant = reading.step.method == "REGISTER" && reading.step.status.is_some();
        if is_grant {
            // What the home network has granted is of one subscriber; what a request says may be anybody's.
            let mut identities = reading.identities;
            let impi = self
                .stories
                .get(id)
                .and_then(|story| story.impi_of(reading.step.cseq));
            identities.extend(impi);
            self.stories.belongs_to_one(id, &identities);
        } else {
            self.stories.belongs_to(id, &reading.identities);
        }
        let is_trouble = match reading.step.status {
            Some(status) => status >= 300 || (status >= 200 && reading.step.method == "REGISTER"),
            None => matches!(&*reading.step.method, "CANCEL") || reading.facts.has(Fact::Auts),
        };
        if is_trouble {
            self.ripen(now, id);
        }
        let what = What::Sip(reading.step);
        self.step(
            id,
            Step {
                at: now,
                what,
                facts: reading.facts,
            },
        );
    }

    fn diameter(&mut self, now: Instant, connection: ConnectionId, bytes: &Bytes, way: Way) {
        let Some(reading) = DiameterReading::of(bytes, way) else {
            return;
        };
        let is_ours = (way == Way::Said) == reading.is_request;
        let key = (connection, reading.hop_by_hop, is_ours);
        let what = What::Diameter(reading.step);
        if matches!(&what, What::Diameter(step) if matches!(&*step.command, "CER" | "CEA" | "DPR" | "DPA")) {
            // Which connection it is about: the peer's name does not say.
            let facts = match self.links.get(&connection) {
                Some(address) => reading.facts.with(Fact::Address, address),
                None => reading.facts,
            };
            return self.of_site(now, what, facts);
        }
        let id = match reading.is_request {
            true => {
                let id = self.recent_or(now, &reading.identities, &reading.session_id);
                self.stories.belongs_to(id, &reading.identities);
                self.await_answer(key, id, reading.identities);
                id
            }
            false => {
                let Some((id, asked)) = self.asked.remove(&key) else {
                    return self.counters.count("ims_why_unread_total", "diameter_answer");
                };
                let is_success =
                    matches!(&what, What::Diameter(step) if step.result.is_some_and(|it| it / 1000 == 2));
                if is_success {
                    // The HSS says that this IMPI and this IMPU are of one subscriber.
                    self.stories.belongs_to_one(id, &asked);
                }
                id
            }
        };
        if matches!(&what, What::Diameter(step) if step.result.is_some_and(|it| it / 1000 != 2)) {
            self.ripen(now, id);
        }
        self.step(
            id,
            Step {
                at: now,
                what,
                facts: reading.facts,
            },
        );
    }

    fn await_answer(&mut self, key: AskedKey, id: StoryId, identities: Vec<String>) {
        self.asked.insert(key, (id, identities));
        self.asked_order.push_back(key);
        if self.asked_order.len() > ASKED_MAX
            && let Some(oldest) = self.asked_order.pop_front()
        {
            self.asked.remove(&oldest);
        }
    }

    /// What one of them did just now, or else a story of its own.
    fn recent_or(&mut self, now: Instant, identities: &[String], call_id: &str) -> StoryId {
        let recent = identities.iter().find_map(|it| self.stories.recent_of(now, it));
        recent.unwrap_or_else(|| {
            let name = match identities.first() {
                Some(identity) if call_id == "noted" => format!("noted {identity}"),
                _ => call_id.to_owned(),
            };
            self.stories.of_call(now, &name)
        })
    }

    fn step(&mut self, id: StoryId, step: Step) {
        if !self.followed.is_empty() {
            self.follow_step(id, &step);
        }
        self.stories.push(id, step);
    }

    fn of_site(&mut self, now: Instant, what: What, facts: Facts) {
        let step = Step { at: now, what, facts };
        if !self.followed.is_empty() {
            let entry = self.entry(None, &step);
            let everybody: Vec<Followed> = self.followed.keys().copied().collect();
            for followed in everybody {
                self.for_follower(followed, entry.clone());
            }
        }
        self.site.push_back(step);
        if self.site.len() > SITE_MAX {
            self.site.pop_front();
        }
    }

    fn ripen(&mut self, now: Instant, id: StoryId) {
        if let Some(story) = self.stories.get_mut(id)
            && !std::mem::replace(&mut story.is_ripening, true)
        {
            self.ripening.push_back((now + RIPENING, id));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ripening.front().map(|(at, _)| *at)
    }

    /// Looks at some of the stories that are ripe; the others want the next call at once, so that no turn of a node is long.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..LOOKS_PER_TURN {
            let Some((_, id)) = self.ripening.front().copied().filter(|(at, _)| *at <= now) else {
                return;
            };
            self.ripening.pop_front();
            if let Some(story) = self.stories.get_mut(id) {
                story.is_ripening = false;
            }
            match self.may_look(now) {
                true => self.look(now, id),
                false => self.counters.count("ims_why_not_looked_total", "too_many"),
            }
        }
    }

    fn may_look(&mut self, now: Instant) -> bool {
        let (since, looks) = self.second.unwrap_or((now, 0));
        let (since, looks) = match now.saturating_duration_since(since) >= Duration::from_secs(1) {
            true => (now, 0),
            false => (since, looks),
        };
        self.second = Some((since, looks + 1));
        looks < LOOKS_PER_SECOND
    }

    fn look(&mut self, now: Instant, id: StoryId) {
        let names: Vec<String> = self.stories.subject_names(id).map(str::to_owned).collect();
        for name in names {
            let Ok(who) = Who::parse(&name) else { continue };
            let case = self.case_of(&who, now, STORIES_PER_LOOK);
            for finding in explain(&case) {
                self.found(name.clone(), finding);
            }
        }
    }

    fn found(&mut self, name: String, finding: Finding) {
        let is_known = self.findings.iter().any(|(whose, known)| {
            *whose == name && known.detector == finding.detector && known.at == finding.at
        });
        if is_known {
            return;
        }
        *self.by_detector.entry(finding.detector.clone()).or_insert(0) += 1;
        self.findings.push_back((name.clone(), finding.clone()));
        self.new_findings.push_back((name, finding));
        for list in [&mut self.findings, &mut self.new_findings] {
            if list.len() > FINDINGS_MAX {
                list.pop_front();
            }
        }
    }

    /// The next finding that nobody was told yet, and whose it is.
    pub fn poll_finding(&mut self) -> Option<(String, Finding)> {
        self.new_findings.pop_front()
    }

    /// The latest findings, newest first, with whose they are.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.findings
            .iter()
            .rev()
            .map(|(name, finding)| (name.as_str(), finding))
    }

    /// What this node knows of one subscriber or call.
    #[must_use]
    pub fn case(&self, who: &Who, now: Instant) -> Case {
        self.case_of(who, now, usize::MAX)
    }

    fn case_of(&self, who: &Who, now: Instant, stories_max: usize) -> Case {
        let name = who.name();
        let mut case = Case {
            who: who.to_string(),
            now: self.calendar(now),
            site: self.site.iter().map(|step| self.entry(None, step)).collect(),
            ..Case::default()
        };
        if let Some(name) = &name {
            case.names.extend(self.stories.names_of(name));
        }
        case.nodes.insert(Cow::Borrowed(self.settings.node));
        for address in &self.settings.addresses {
            case.places.insert(*address, Cow::Borrowed(self.settings.node));
        }
        let ids = self.stories.of_name(who.as_str(), name.as_deref());
        for id in ids.iter().copied().rev().take(stories_max) {
            let steps = self
                .stories
                .get(id)
                .map(|it| it.steps.as_slice())
                .unwrap_or_default();
            case.entries
                .extend(steps.iter().map(|step| self.entry(Some(id), step)));
        }
        case.in_order();
        case
    }

    fn entry(&self, id: Option<StoryId>, step: &Step) -> Entry {
        let story = id.and_then(|id| self.stories.get(id));
        Entry {
            at: self.calendar(step.at),
            node: Cow::Borrowed(self.settings.node),
            call_id: story.map(|it| it.call_id.to_string()).unwrap_or_default(),
            icid: story.and_then(|it| it.icid.as_deref()).map(str::to_owned),
            what: step.what.clone(),
            facts: step.facts.clone(),
        }
    }

    fn calendar(&self, at: Instant) -> u64 {
        let (origin, micros) = self.settings.calendar;
        let since = at.saturating_duration_since(origin).as_micros();
        micros.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// From now on every entry of one subscriber or call, or of all, is to be had from
    /// [`poll_followed`](Self::poll_followed). `None`: too many are followed already.
    pub fn follow(&mut self, who: Option<Who>) -> Option<Followed> {
        if self.followed.len() >= FOLLOWED_MAX {
            self.counters.count("ims_why_follow_refused_total", "full");
            return None;
        }
        self.next_followed += 1;
        let followed = Followed(self.next_followed);
        self.followed.insert(followed, who);
        Some(followed)
    }

    /// Ends that.
    pub fn unfollow(&mut self, followed: Followed) {
        self.followed.remove(&followed);
        self.for_followers.retain(|(of, _)| *of != followed);
    }

    /// The next entry of somebody who is followed.
    pub fn poll_followed(&mut self) -> Option<(Followed, Entry)> {
        self.for_followers.pop_front()
    }

    fn follow_step(&mut self, id: StoryId, step: &Step) {
        let wanted: Vec<Followed> = self
            .followed
            .iter()
            .filter(|(_, who)| who.as_ref().is_none_or(|who| self.is_of(id, who)))
            .map(|(followed, _)| *followed)
            .collect();
        if wanted.is_empty() {
            return;
        }
        let entry = self.entry(Some(id), step);
        for followed in wanted {
            self.for_follower(followed, entry.clone());
        }
    }

    fn is_of(&self, id: StoryId, who: &Who) -> bool {
        let name = who.name();
        self.stories.of_name(who.as_str(), name.as_deref()).contains(&id)
    }

    fn for_follower(&mut self, followed: Followed, entry: Entry) {
        if self.for_followers.len() >= FOLLOWED_WAITING_MAX {
            return self.counters.count("ims_why_follow_left_out_total", "full");
        }
        self.for_followers.push_back((followed, entry));
    }

    /// Adds counters and gauges to `out`.
    pub fn metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        out.gauge("ims_why_stories", &[], self.stories.len() as u64);
        out.gauge("ims_why_names", &[], self.stories.names() as u64);
        out.counter("ims_why_stories_evicted_total", &[], self.stories.evicted);
        for (detector, count) in &self.by_detector {
            out.counter("ims_why_findings_total", &[("detector", detector)], *count);
        }
    }
}
