//! Testkit: HSSs of the field, quirk by quirk, as a CSCF sees them.
//!
//! * [`Personality`]: which one the embedded HSS imitates
//! * `pyhss`: one that is loose, late and mostly silent; it has a base protocol of its own
//! * `open5gs`: one whose base protocol is strict and whose memory is short
//!
//! What is imitated is behaviour on the wire; none of their source is here.

use std::time::Instant;

use ims_common::diameter::LocalPeer;
use ims_common::net::DiameterOutput;
use serde::{Deserialize, Serialize};

pub(super) mod open5gs;
pub(super) mod pyhss;

use open5gs::Open5gs;
use pyhss::PyHss;

/// Which HSS the embedded one imitates.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Personality {
    /// The one of TS 29.228.
    #[default]
    Standard,
    /// PyHSS 1.0.2.
    PyHss1,
    /// PyHSS 2.0.0.
    PyHss2,
    /// Open5GS 2.8.
    Open5gs,
}

impl Personality {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standard, Self::PyHss1, Self::PyHss2, Self::Open5gs];

    /// Whether it dials the peers of its configuration.
    #[must_use]
    pub const fn dials(self) -> bool {
        matches!(self, Self::Standard | Self::Open5gs)
    }
}

/// A personality with what it remembers.
#[derive(Debug)]
pub(super) enum Persona {
    Standard,
    PyHss(Box<PyHss>),
    Open5gs(Open5gs),
}

impl Persona {
    pub(super) fn new(personality: Personality, local: &LocalPeer, pool: Option<String>) -> Self {
        let pyhss = |version| {
            // The pool of a fresh installation is a bare host name.
            let pool = pool.unwrap_or_else(|| format!("scscf.{}", local.origin_realm));
            Self::PyHss(Box::new(PyHss::new(version, local.clone(), pool)))
        };
        match personality {
            Personality::Standard => Self::Standard,
            Personality::PyHss1 => pyhss(pyhss::Version::One),
            Personality::PyHss2 => pyhss(pyhss::Version::Two),
            Personality::Open5gs => Self::Open5gs(Open5gs::default()),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Self::PyHss(pyhss) = self {
            pyhss.handle_timeout(now);
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<DiameterOutput> {
        match self {
            Self::PyHss(pyhss) => pyhss.poll_output(),
            Self::Standard | Self::Open5gs(_) => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::PyHss(pyhss) => pyhss.poll_timeout(),
            Self::Standard | Self::Open5gs(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
