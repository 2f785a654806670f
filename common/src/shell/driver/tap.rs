//! Shell: what sees all that a node is told and says, and changes nothing of it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::RngCore;
use tokio::sync::mpsc;

use super::copies::Copies;
use crate::net::{NetInput, NetOutput, SipInput};
use crate::node::Metrics;
use crate::shell::bound::Shell;
use crate::shell::xfrm::Growth;
use crate::telemetry::latency::Latency;
use crate::telemetry::log_context;
use crate::telemetry::redact::Redacted;
use crate::why::{Case, Entry, Fact, Facts, Finding, Followed, Note, Recorder, RecorderSettings, Who};

/// All that looks on.
pub(super) struct Tap {
    /// `None`: nothing is kept.
    recorder: Option<Recorder>,
    followers: Vec<(Followed, mpsc::Sender<Entry>)>,
    latency: Latency,
    copies: Copies,
}

impl Tap {
    pub(super) fn new(shell: &mut Shell) -> Self {
        let stories = shell.why.stories / usize::from(shell.place.of.max(1));
        let settings = RecorderSettings {
            node: shell.name,
            addresses: shell.sip_addresses(),
            stories,
            calendar: (Instant::now(), unix_micros()),
        };
        Self {
            copies: Copies::new(shell, settings.calendar),
            recorder: (shell.why.stories > 0).then(|| Recorder::new(settings)),
            followers: Vec::new(),
            latency: Latency::new((shell.rng.next_u64(), shell.rng.next_u64())),
        }
    }

    /// What the node is about to be told.
    pub(super) fn heard(&mut self, now: Instant, input: &NetInput) {
        log_context::set(message_of(input));
        self.latency.heard(now, input);
        self.copies.heard(now, input);
        if let Some(recorder) = &mut self.recorder {
            recorder.heard(now, input);
            self.tell_followers();
        }
    }

    /// A timer fires.
    pub(super) fn timer(&mut self) {
        log_context::set(None);
        self.copies.next_event();
    }

    /// What the node has said.
    pub(super) fn said(&mut self, now: Instant, output: &NetOutput) {
        self.latency.said(now, output);
        self.copies.said(now, output);
        if let Some(recorder) = &mut self.recorder {
            recorder.said(now, output);
            self.tell_followers();
        }
    }

    pub(super) const fn wants_notes(&self) -> bool {
        self.recorder.is_some()
    }

    pub(super) fn noted(&mut self, now: Instant, note: Note) {
        if let Some(recorder) = &mut self.recorder {
            recorder.noted(now, note);
            self.tell_followers();
        }
    }

    /// A counter of the kernel below has grown.
    pub(super) fn kernel(&mut self, now: Instant, growth: Growth) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let facts = match growth.state {
            Some((spi, address)) => Facts::new().with(Fact::Spi, spi).with(Fact::Address, address),
            None => Facts::new(),
        };
        recorder.kernel(now, growth.counter, growth.more, facts);
        self.tell_followers();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.recorder.as_ref().and_then(Recorder::poll_timeout)
    }

    /// Looks at what is ripe, and tells the log what it means.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        recorder.handle_timeout(now);
        while let Some((name, finding)) = recorder.poll_finding() {
            // The sentence has identities in full, and is to be had from the administration.
            tracing::info!(
                detector = finding.detector,
                subscriber = %Redacted(&name),
                "a failure is explained: imsctl why"
            );
        }
    }

    pub(super) fn case(&self, who: &Who, now: Instant) -> Case {
        match &self.recorder {
            Some(recorder) => recorder.case(who, now),
            None => Case::default(),
        }
    }

    pub(super) fn findings(&self) -> Vec<(String, Finding)> {
        let findings = self.recorder.iter().flat_map(Recorder::findings);
        findings
            .map(|(name, finding)| (name.to_owned(), finding.clone()))
            .collect()
    }

    pub(super) fn follow(&mut self, who: Option<Who>, entries: mpsc::Sender<Entry>) {
        self.drop_gone();
        let followed = self.recorder.as_mut().and_then(|recorder| recorder.follow(who));
        if let Some(followed) = followed {
            self.followers.push((followed, entries));
        }
    }

    fn tell_followers(&mut self) {
        if self.followers.is_empty() {
            return;
        }
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let mut has_gone = false;
        while let Some((followed, entry)) = recorder.poll_followed() {
            let follower = self.followers.iter().find(|(it, _)| *it == followed);
            // A reader that is too slow misses entries.
            if let Some((_, entries)) = follower
                && entries.try_send(entry).is_err()
            {
                has_gone |= entries.is_closed();
            }
        }
        if has_gone {
            self.drop_gone();
        }
    }

    fn drop_gone(&mut self) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        self.followers.retain(|(followed, entries)| {
            let is_there = !entries.is_closed();
            if !is_there {
                recorder.unfollow(*followed);
            }
            is_there
        });
    }

    pub(super) fn metrics(&self, out: &mut Metrics) {
        self.latency.metrics(out);
        self.copies.metrics(out);
        if let Some(recorder) = &self.recorder {
            recorder.metrics(out);
        }
    }
}

fn message_of(input: &NetInput) -> Option<&Bytes> {
    match input {
        NetInput::Sip(SipInput::Received { message, .. } | SipInput::Excess { message, .. }) => {
            Some(message.bytes())
        }
        _ => None,
    }
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
