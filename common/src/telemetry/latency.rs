//! Engine: how long requests, registrations and call setups take, seen from a node's border.
//!
//! Read first: RFC 6076 4.1, 4.3 (registration and session request delay).
//!
//! What crosses the border is looked at once: a request is begun under a keyed hash of its transaction, and its final
//! response ends it. Nothing is asked of the node, nothing grows with what strangers send: what is in progress has its
//! room, what never ends is forgotten, and the histograms are as many as their labels have values.

mod generations;
mod series;

use std::hash::Hasher;
use std::time::Instant;

use siphasher::sip::SipHasher13;

use self::generations::Generations;
use self::series::{Side, SipSeries, command_of, interface_of, method_of, result_of};
#[cfg(feature = "shell")]
use super::catalogue::{COMMANDS, RESULTS};
use super::glance::Glance;
use crate::diameter::Header;
use crate::net::{
    ConnectionId, Destination, DiameterInput, DiameterOutput, Interface, NetInput, NetOutput, SipInput,
    SipOutput, Transmit,
};
use crate::node::{Bounds, Histogram, Metrics};
use crate::overload::answers_a_challenge;
use crate::sip::Message;
use crate::transaction::to_tag;

/// Transactions that are measured at a time; as many may be left from before.
const ROOM: usize = 32_768;

/// Bounds of single requests: from a quick answer in the same room to the end of a transaction.
const REQUESTS: Bounds = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 32_000_000,
];
/// Bounds of what people wait for.
const SETUPS: Bounds = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    8_000_000,
    12_000_000,
    20_000_000,
    30_000_000,
    60_000_000,
    180_000_000,
];

/// Measures one node, or one shard of it.
#[derive(Debug)]
pub struct Latency {
    hasher: SipHasher13,
    requests: Generations<Begun>,
    registrations: Generations<(Instant, RegistrationKind)>,
    calls: Generations<Setup>,
    sip: SipSeries,
    diameter: Vec<Option<Box<Histogram>>>,
    registered: [Histogram; RegistrationKind::ALL.len()],
    post_dial: Histogram,
    ringing: Histogram,
    answer: Histogram,
    unmeasured: u64,
}

/// A request that has no final response yet.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    series: u16,
}

/// A call that has no final response yet.
#[derive(Clone, Copy, Debug)]
struct Setup {
    at: Instant,
    is_indicated: bool,
    rings: bool,
}

/// What a REGISTER is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RegistrationKind {
    Initial,
    Again,
    End,
}

impl RegistrationKind {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Initial, "initial"),
        (Self::Again, "again"),
        (Self::End, "end"),
    ];

    fn of(message: &Message, interface: Interface) -> Self {
        // RFC 3261 10.2.2. Those with `expires=0` in each Contact are rare, and count as what they look like.
        if message.expires() == Some(0) {
            Self::End
        } else if interface == Interface::GmProtected || answers_a_challenge(message) {
            Self::Again
        } else {
            Self::Initial
        }
    }
}

impl Latency {
    /// Nothing measured yet. The keys keep strangers from choosing branches that share a place.
    #[must_use]
    pub fn new(keys: (u64, u64)) -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(keys.0, keys.1),
            requests: Generations::new(ROOM),
            registrations: Generations::new(ROOM),
            calls: Generations::new(ROOM),
            sip: SipSeries::default(),
            diameter: vec![None; series::DIAMETER_SERIES],
            registered: [Histogram::new(SETUPS); RegistrationKind::ALL.len()],
            post_dial: Histogram::new(SETUPS),
            ringing: Histogram::new(SETUPS),
            answer: Histogram::new(SETUPS),
            unmeasured: 0,
        }
    }

    /// What the node is about to be told.
    pub fn heard(&mut self, now: Instant, input: &NetInput) {
        match input {
            NetInput::Sip(SipInput::Received { flow, message } | SipInput::Excess { flow, message }) => {
                self.heard_sip(now, flow.interface, message);
            }
            NetInput::Diameter(DiameterInput::Message { connection, bytes }) => {
                self.diameter(now, *connection, bytes, Side::Server);
            }
            NetInput::Sip(_) | NetInput::Diameter(_) | NetInput::Xfrm(_) | NetInput::Command(_) => {}
        }
    }

    /// What the node has said.
    pub fn said(&mut self, now: Instant, output: &NetOutput) {
        match output {
            NetOutput::Sip(SipOutput::Transmit(transmit)) => self.said_sip(now, transmit),
            NetOutput::Diameter(DiameterOutput::Send { connection, bytes }) => {
                self.diameter(now, *connection, bytes, Side::Client);
            }
            _ => {}
        }
    }

    fn heard_sip(&mut self, now: Instant, interface: Interface, message: &Message) {
        let Some(glance) = Glance::of_message(message) else {
            return;
        };
        if let Some(status) = glance.status {
            return self.answered(now, &glance, status, Side::Client);
        }
        self.asked(now, &glance, interface, Side::Server);
        let is_kept = match glance.method {
            b"REGISTER" => {
                let kind = RegistrationKind::of(message, interface);
                let key = self.key(&[b"R", glance.call_id]);
                self.registrations.begin(now, key, (now, kind))
            }
            b"INVITE" if to_tag(message).is_none_or(<[u8]>::is_empty) => {
                let key = self.key(&[b"I", glance.call_id]);
                let setup = Setup {
                    at: now,
                    is_indicated: false,
                    rings: false,
                };
                self.calls.begin(now, key, setup)
            }
            _ => true,
        };
        self.unmeasured += u64::from(!is_kept);
    }

    fn said_sip(&mut self, now: Instant, transmit: &Transmit) {
        let Some(glance) = Glance::of(&transmit.bytes) else {
            return;
        };
        let interface = match transmit.destination {
            Destination::Flow(flow) => flow.interface,
            Destination::Address { interface, .. } => interface,
        };
        let Some(status) = glance.status else {
            return self.asked(now, &glance, interface, Side::Client);
        };
        self.answered(now, &glance, status, Side::Server);
        match glance.method {
            b"REGISTER" => self.registration_answered(now, glance.call_id, status),
            b"INVITE" => self.call_answered(now, glance.call_id, status),
            _ => {}
        }
    }

    fn asked(&mut self, now: Instant, glance: &Glance<'_>, interface: Interface, side: Side) {
        // No response ends an ACK.
        if glance.method == b"ACK" {
            return;
        }
        let key = self.key(&[side.letter(), glance.method, glance.branch]);
        let series = SipSeries::number(interface_of(interface), side, method_of(glance.method));
        let is_kept = self.requests.begin(now, key, Begun { at: now, series });
        self.unmeasured += u64::from(!is_kept);
    }

    fn answered(&mut self, now: Instant, glance: &Glance<'_>, status: u16, side: Side) {
        if status < 200 {
            return;
        }
        let key = self.key(&[side.letter(), glance.method, glance.branch]);
        if let Some(begun) = self.requests.end(key) {
            self.sip.observe(
                begun.series,
                status,
                now.saturating_duration_since(begun.at),
                REQUESTS,
            );
        }
    }

    fn registration_answered(&mut self, now: Instant, call_id: &[u8], status: u16) {
        // The phone answers the challenge.
        if status < 200 || status == 401 || status == 407 {
            return;
        }
        let key = self.key(&[b"R", call_id]);
        let Some((at, kind)) = self.registrations.end(key) else {
            return;
        };
        if status < 300
            && let Some(place) = RegistrationKind::ALL.iter().position(|(it, _)| *it == kind)
            && let Some(histogram) = self.registered.get_mut(place)
        {
            histogram.observe(now.saturating_duration_since(at));
        }
    }

    fn call_answered(&mut self, now: Instant, call_id: &[u8], status: u16) {
        if status == 100 {
            return;
        }
        let key = self.key(&[b"I", call_id]);
        let Some(setup) = self.calls.get_mut(key) else {
            return;
        };
        let since = now.saturating_duration_since(setup.at);
        if !setup.is_indicated {
            setup.is_indicated = true;
            self.post_dial.observe(since);
        }
        if status == 180 && !setup.rings {
            setup.rings = true;
            self.ringing.observe(since);
        }
        if status >= 200 {
            self.calls.end(key);
            if status < 300 {
                self.answer.observe(since);
            }
        }
    }

    /// `asker`: who has asked, when this is a request.
    fn diameter(&mut self, now: Instant, connection: ConnectionId, bytes: &[u8], asker: Side) {
        let Some(header) = Header::read(bytes) else {
            return;
        };
        let is_request = header.flags.is_request();
        let side = if is_request { asker } else { asker.other() };
        let hop = header.hop_by_hop.to_be_bytes();
        let key = self.key(&[b"D", side.letter(), &connection.0.to_be_bytes(), &hop]);
        let command = command_of(header.code);
        if is_request {
            let begun = Begun {
                at: now,
                series: command,
            };
            let is_kept = self.requests.begin(now, key, begun);
            self.unmeasured += u64::from(!is_kept);
        } else if let Some(begun) = self.requests.end(key) {
            let number = series::diameter_number(side, begun.series, result_of(bytes));
            let since = now.saturating_duration_since(begun.at);
            series::observe(&mut self.diameter, number, since, REQUESTS);
        }
    }

    fn key(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.hasher;
        for part in parts {
            hasher.write(part);
            hasher.write_u8(0xFF);
        }
        hasher.finish()
    }

    /// Adds all that was measured.
    pub fn metrics(&self, out: &mut Metrics) {
        self.sip.export(out);
        series::export_diameter(&self.diameter, out);
        for ((_, label), histogram) in RegistrationKind::ALL.iter().zip(&self.registered) {
            out.histogram("ims_registration_duration_seconds", &[("kind", label)], histogram);
        }
        out.histogram("ims_call_post_dial_delay_seconds", &[], &self.post_dial);
        let setup = "ims_call_setup_duration_seconds";
        out.histogram(setup, &[("until", "ringing")], &self.ringing);
        out.histogram(setup, &[("until", "answer")], &self.answer);
        out.counter("ims_latency_unmeasured_total", &[], self.unmeasured);
    }
}

/// What a Diameter answer says, as a label.
#[cfg(feature = "shell")]
pub(crate) fn result_class(answer: &[u8]) -> &'static str {
    RESULTS.get(result_of(answer)).copied().unwrap_or("other")
}

/// A Diameter command, as a label.
#[cfg(feature = "shell")]
pub(crate) fn command_name(code: u32) -> &'static str {
    COMMANDS
        .get(usize::from(command_of(code)))
        .copied()
        .unwrap_or("other")
}

#[cfg(test)]
mod tests;
