//! Table: targets that failed lately (RFC 3263 4.3: what failed is not tried first again).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::net::Transport;
use crate::operate::{PeerRow, Question, Report};

/// How long a target is passed over.
const PASSED_OVER_FOR: Duration = Duration::from_secs(30);
const TARGETS_MAX: usize = 4_096;

/// Failed targets with the time of their rehabilitation.
#[derive(Debug, Default)]
pub(super) struct Blacklist {
    until: BTreeMap<(Transport, SocketAddr), Instant>,
}

impl Blacklist {
    pub(super) fn add(&mut self, now: Instant, transport: Transport, remote: SocketAddr) {
        if self.until.len() >= TARGETS_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < TARGETS_MAX {
            self.until.insert((transport, remote), now + PASSED_OVER_FOR);
        }
    }

    /// A target that answers is good again.
    pub(super) fn remove(&mut self, transport: Transport, remote: SocketAddr) {
        self.until.remove(&(transport, remote));
    }

    pub(super) fn contains(&self, now: Instant, transport: Transport, remote: SocketAddr) -> bool {
        self.until
            .get(&(transport, remote))
            .is_some_and(|until| *until > now)
    }

    /// Adds a row for each target that is passed over now.
    pub(super) fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        for ((transport, remote), until) in self.until.iter().filter(|(_, until)| **until > now) {
            let left = until.saturating_duration_since(now);
            out.add(question, || PeerRow {
                protocol: "sip".to_owned(),
                address: match transport {
                    Transport::Udp => format!("{remote};transport=udp"),
                    Transport::Tcp => format!("{remote};transport=tcp"),
                },
                state: "left_out".to_owned(),
                since_secs: Some(PASSED_OVER_FOR.saturating_sub(left).as_secs()),
                last_error: Some("did not answer, or refused".to_owned()),
                ..PeerRow::default()
            });
        }
    }
}
