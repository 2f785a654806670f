//! Table: who floods and who tries doors on Gm: limits by source, and bans that wear off.
//!
//! In clear a source is an address (of IPv6: a /64), over security associations it is the subscriber.
//!
//! * Too many messages: new requests get a 503 with Retry-After, and twice as many nothing at all.
//! * Too many failures, that is, what no phone does often: a ban. Challenges that come to nothing are failures, too,
//!   some time later.
//! * A sign of a known scanner: a ban at once, over UDP at the third.
//!
//! Who has contacts behind it is limited but never banned, registrations that are granted make up for failures, and the first minutes
//! after a start bear with much: a busy NAT is no scanner. What comes over security associations is never banned.
//! What is dropped under a ban is not read, and costs no allocation.

mod bans;
mod bucket;
mod journal;
mod node;
mod source;
mod watched;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ims_common::config::Cidr;
use ims_common::net::ConnectionId;
use ims_common::node::{Counters, Metrics, earliest};
use ims_common::sip::{HeaderName, Message};
use tracing::{info, warn};

use self::bans::Bans;
pub(crate) use self::bans::{Ban, Terms};
use self::bucket::Size;
use self::journal::Journal;
pub(crate) use self::source::{Source, network_of};
use self::watched::WatchedTable;

/// After the start nobody is registered, and phones of earlier registrations are refused.
const START: Duration = Duration::from_secs(600);
/// How much more is borne with then.
const START_FACTOR: u32 = 10;
/// How many datagrams with the sign of a scanner ban a source: one may be forged.
const SIGNS: u32 = 3;
/// How many failures a registration that is granted makes up for; in a minute no more than the limit.
const RELIEF: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// What the operator wants.
#[derive(Clone, Debug)]
pub(crate) struct GuardPolicy {
    pub(crate) messages: PerSource,
    pub(crate) failures: PerSource,
    /// Of one subscriber over security associations.
    pub(crate) subscriber: PerSource,
    pub(crate) terms: Terms,
    pub(crate) answers_banned: bool,
    /// Parts of User-Agent.
    pub(crate) scanners: Vec<Box<str>>,
    /// Never banned.
    pub(crate) exempt: Vec<Cidr>,
    /// Watched at a time.
    pub(crate) sources: usize,
}

/// A limit that grows with what is registered behind a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerSource {
    pub(crate) count: u32,
    pub(crate) burst: u32,
    pub(crate) per_contact: u32,
}

impl PerSource {
    fn size(self, within: Duration, contacts: usize, factor: u32) -> Size {
        let contacts = u32::try_from(contacts).unwrap_or(u32::MAX);
        let more = self.per_contact.saturating_mul(contacts);
        let count = self.count.saturating_add(more).saturating_mul(factor);
        let burst = self.burst.saturating_add(more).saturating_mul(factor);
        Size::new(count, within, burst)
    }
}

/// What no phone does often.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// What does not scan as SIP.
    Malformed,
    /// A request, not REGISTER, of somebody without a registration.
    NotRegistered,
    /// A REGISTER that is refused.
    Register,
    /// A challenge that was never answered as it should be.
    Challenge,
    /// OPTIONS of somebody without a registration.
    Options,
}

impl Failure {
    fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotRegistered => "not_registered",
            Self::Register => "register_refused",
            Self::Challenge => "challenge_unanswered",
            Self::Options => "options",
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Pass,
    /// Refused with 503 if it begins something.
    Excess,
    Drop,
    /// Answered with 403 without a transaction.
    Forbid,
}

/// Who sends a message, and how many contacts are registered behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) address: IpAddr,
    pub(crate) contacts: usize,
    /// Over UDP, where anybody may have written the address.
    pub(crate) is_forgeable: bool,
}

/// The guard of Gm.
#[derive(Debug)]
pub(crate) struct Guard {
    policy: GuardPolicy,
    watched: WatchedTable,
    bans: Bans,
    journal: Journal,
    /// What the site's timeline gets.
    notes: Journal,
    counters: Counters,
    started: Option<Instant>,
    closing: VecDeque<ConnectionId>,
    /// Bans that nobody has noted yet.
    fresh: VecDeque<(Source, &'static str, Duration)>,
}

impl Guard {
    pub(crate) fn new(policy: GuardPolicy) -> Self {
        Self {
            watched: WatchedTable::new(policy.sources),
            bans: Bans::new(policy.terms),
            policy,
            journal: Journal::default(),
            notes: Journal::default(),
            counters: Counters::default(),
            started: None,
            closing: VecDeque::new(),
            fresh: VecDeque::new(),
        }
    }

    /// Whether what comes from an address is thrown away unread.
    pub(crate) fn turns_away(&mut self, now: Instant, address: IpAddr) -> bool {
        let is_banned = !self.policy.answers_banned && self.bans.holds(now, Source::of(address));
        if is_banned {
            self.counters.count("ims_pcscf_guard_dropped_total", "banned");
        }
        is_banned
    }

    /// The same, without counting.
    pub(crate) fn is_banned(&self, now: Instant, address: IpAddr) -> bool {
        self.bans.is_in_force(now, Source::of(address))
    }

    /// What becomes of a message in clear.
    pub(crate) fn on_message(&mut self, now: Instant, sender: Sender, message: &Message) -> Verdict {
        let source = Source::of(sender.address);
        if self.bans.holds(now, source) {
            let (verdict, count) = match self.policy.answers_banned {
                true => (Verdict::Forbid, "ims_pcscf_guard_forbidden_total"),
                false => (Verdict::Drop, "ims_pcscf_guard_dropped_total"),
            };
            self.counters.count(count, "banned");
            return verdict;
        }
        if self.is_of_scanner(message) {
            self.counters.count("ims_pcscf_guard_dropped_total", "scanner");
            let is_sure = !sender.is_forgeable || self.watched.of(now, source).sign() >= SIGNS;
            if is_sure {
                self.offended(now, sender, "scanner");
            }
            return Verdict::Drop;
        }
        self.judge_challenges(now, sender);
        self.rated(now, source, self.policy.messages, sender.contacts)
    }

    /// What becomes of a message over security associations.
    pub(crate) fn on_protected(&mut self, now: Instant, subscriber: Source) -> Verdict {
        self.rated(now, subscriber, self.policy.subscriber, 0)
    }

    fn rated(&mut self, now: Instant, source: Source, limit: PerSource, contacts: usize) -> Verdict {
        let size = limit.size(SECOND, contacts, 1);
        let twice = limit.size(SECOND, contacts, 2);
        let watched = self.watched.of(now, source);
        let reason = match source {
            Source::Subscriber(_) => "subscriber_rate",
            Source::V4(_) | Source::V6(_) => "rate",
        };
        if !watched.flood.fill(now, twice) {
            self.counters.count("ims_pcscf_guard_dropped_total", reason);
            return Verdict::Drop;
        }
        if !watched.messages.fill(now, size) {
            self.counters.count("ims_pcscf_guard_excess_total", reason);
            return Verdict::Excess;
        }
        Verdict::Pass
    }

    fn is_of_scanner(&self, message: &Message) -> bool {
        let agent = message.header(HeaderName::UserAgent).unwrap_or_default();
        let names = |pattern: &str| {
            let mut parts = agent.windows(pattern.len());
            parts.any(|part| part.eq_ignore_ascii_case(pattern.as_bytes()))
        };
        !agent.is_empty() && self.policy.scanners.iter().any(|pattern| names(pattern))
    }

    /// A 401 (Unauthorized) goes to a source.
    pub(crate) fn challenged(&mut self, now: Instant, address: IpAddr) {
        self.watched.of(now, Source::of(address)).challenged();
    }

    /// A registration is granted to a source.
    pub(crate) fn registered(&mut self, now: Instant, sender: Sender) {
        let size = self.failure_size(now, sender.contacts);
        let watched = self.watched.of(now, Source::of(sender.address));
        watched.registered();
        let most = (size.burst / RELIEF).max(1);
        if watched.relief.fill(now, Size::new(most, MINUTE, most)) {
            watched.failures.relieve(size, RELIEF);
        }
    }

    fn judge_challenges(&mut self, now: Instant, sender: Sender) {
        let unanswered = self.watched.of(now, Source::of(sender.address)).unanswered(now);
        // More than the limit of a minute is as bad as the limit.
        let most = self.failure_size(now, sender.contacts).burst.saturating_add(1);
        for _ in 0..unanswered.min(most) {
            self.failed(now, sender, Failure::Challenge);
        }
    }

    /// A source did what no phone does often.
    pub(crate) fn failed(&mut self, now: Instant, sender: Sender, failure: Failure) {
        self.counters
            .count("ims_pcscf_guard_failures_total", failure.label());
        let size = self.failure_size(now, sender.contacts);
        let watched = self.watched.of(now, Source::of(sender.address));
        if !watched.failures.fill(now, size) {
            self.offended(now, sender, failure.label());
        }
    }

    fn failure_size(&mut self, now: Instant, contacts: usize) -> Size {
        let started = *self.started.get_or_insert(now);
        let is_start = now.saturating_duration_since(started) < START;
        let factor = if is_start { START_FACTOR } else { 1 };
        self.policy.failures.size(MINUTE, contacts, factor)
    }

    /// Bans a source, unless it may not be. Who may have been forged is banned for the first term, however often.
    fn offended(&mut self, now: Instant, sender: Sender, reason: &'static str) {
        let source = Source::of(sender.address);
        let is_exempt = self
            .policy
            .exempt
            .iter()
            .any(|block| block.contains(sender.address));
        if is_exempt || sender.contacts > 0 {
            self.counters.count("ims_pcscf_guard_spared_total", reason);
            return;
        }
        if self.bans.is_in_force(now, source) {
            return;
        }
        let grows = !sender.is_forgeable || self.watched.of(now, source).is_proven();
        let lasts = self.bans.ban(now, source, reason, grows);
        self.watched.forget(source);
        self.counters.count("ims_pcscf_guard_bans_total", reason);
        // Forged addresses must not drive all else out of the timeline.
        if self.notes.line(now).is_some() {
            self.fresh.push_back((source, reason, lasts));
        }
        if let Some(kept_back) = self.journal.line(now) {
            warn!(%source, reason, ?lasts, contacts = sender.contacts, kept_back, "source banned from Gm");
        }
    }

    /// A ban since the last time: whose, why and for how long.
    pub(crate) fn poll_fresh(&mut self) -> Option<(Source, &'static str, Duration)> {
        self.fresh.pop_front()
    }

    /// The operator lifts a ban.
    pub(crate) fn unban(&mut self, address: IpAddr) -> bool {
        let source = Source::of(address);
        self.watched.forget(source);
        let was_banned = self.bans.lift(source);
        info!(%source, was_banned, "ban lifted by the operator");
        was_banned
    }

    /// The bans in force.
    pub(crate) fn bans(&self, now: Instant) -> Vec<Ban> {
        self.bans.list(now)
    }

    /// A connection of somebody whose messages are dropped is not kept.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        self.closing.push_back(connection);
    }

    pub(crate) fn poll_close(&mut self) -> Option<ConnectionId> {
        self.closing.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.bans.poll_timeout(), self.watched.poll_timeout())
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.watched.handle_timeout(now);
        while let Some(source) = self.bans.poll_ended(now) {
            if let Some(kept_back) = self.journal.line(now) {
                info!(%source, kept_back, "ban over");
            }
        }
    }

    pub(crate) fn export_metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        out.gauge("ims_pcscf_guard_bans", &[], self.bans.len() as u64);
        out.gauge("ims_pcscf_guard_sources", &[], self.watched.len() as u64);
        out.counter(
            "ims_pcscf_guard_sources_forgotten_total",
            &[],
            self.watched.forgotten(),
        );
    }
}

#[cfg(test)]
mod tests;
