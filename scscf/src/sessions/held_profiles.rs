//! Table: profiles of users who are not registered, kept for a while (TS 24.229 5.4.3.3, TS 29.228 6.1.2).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::identity::{Impi, Impu};
use ims_common::node::{TimerTable, give_back};

use crate::registrar::Services;

/// What the HSS said of an identity.
#[derive(Clone, Debug)]
pub(crate) struct HeldProfile {
    pub(crate) impi: Impi,
    pub(crate) impu: Impu,
    pub(crate) hss_host: Option<String>,
    pub(crate) is_barred: bool,
    /// `None`: the HSS gave no profile.
    pub(crate) services: Option<Arc<Services>>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct HeldProfiles {
    by_impu: HashMap<Impu, HeldProfile>,
    by_impi: HashMap<Impi, Vec<Impu>>,
    timers: TimerTable<Impu>,
    lifetime: Duration,
    max: usize,
}

impl HeldProfiles {
    pub(crate) fn new(lifetime: Duration, max: usize) -> Self {
        Self {
            by_impu: HashMap::new(),
            by_impi: HashMap::new(),
            timers: TimerTable::default(),
            lifetime,
            max: max.max(1),
        }
    }

    pub(super) fn get(&self, impu: &Impu) -> Option<&HeldProfile> {
        self.by_impu.get(impu)
    }

    /// The services of a user who is not registered.
    pub(crate) fn services_of(&self, impu: &Impu) -> Option<&Arc<Services>> {
        self.get(impu)?.services.as_ref()
    }

    /// Keeps a profile. When there are too many, the oldest one is given up, and returned.
    pub(crate) fn hold(&mut self, now: Instant, profile: HeldProfile) -> Option<HeldProfile> {
        self.remove(&profile.impu);
        let oldest = match self.by_impu.len() >= self.max {
            true => self.pop_expired(now + self.lifetime),
            false => None,
        };
        let of_impi = self.by_impi.entry(profile.impi.clone()).or_default();
        of_impi.push(profile.impu.clone());
        self.timers.set(profile.impu.clone(), now + self.lifetime);
        self.by_impu.insert(profile.impu.clone(), profile);
        oldest
    }

    /// Forgets what is held for a private identity: its profile has changed, or it is registered now. Whether there
    /// was anything.
    pub(crate) fn forget(&mut self, impi: &Impi) -> bool {
        let meant = self.by_impi.remove(impi).unwrap_or_default();
        for impu in &meant {
            self.remove(impu);
        }
        !meant.is_empty()
    }

    fn remove(&mut self, impu: &Impu) -> Option<HeldProfile> {
        self.timers.cancel(impu);
        let profile = self.by_impu.remove(impu)?;
        if let Some(of_impi) = self.by_impi.get_mut(&profile.impi) {
            of_impi.retain(|other| other != impu);
            if of_impi.is_empty() {
                self.by_impi.remove(&profile.impi);
            }
        }
        give_back(&mut self.by_impu);
        give_back(&mut self.by_impi);
        Some(profile)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_impu.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// One whose time is over, already removed.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<HeldProfile> {
        let impu = self.timers.pop_expired(now)?;
        self.remove(&impu)
    }
}
