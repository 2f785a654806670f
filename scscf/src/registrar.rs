//! Table: who is registered, with which identities, at which contacts, until when (TS 24.229 5.4.1).
//!
//! Registration is per implicit registration set: registering or de-registering one identity does it for
//! all (TS 23.228 5.2.1a). Bindings belong to the set and remember their private identity, so that several
//! private identities that share a public one keep separate contacts (TS 23.228 5.2.1).

mod binding;
mod implicit_set;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ims_common::identity::{Impi, Impu};
use ims_common::node::TimerTable;

pub use binding::{Binding, BindingId, ContactAddress};
pub(crate) use binding::{BindingSource, ContactGrant};
pub use implicit_set::{ImplicitRegistrationSet, SetId};
pub(crate) use implicit_set::{Member, Profile, members_of};

/// How large the table may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegistrarLimits {
    /// Contacts of one set.
    pub(crate) bindings_per_impu: usize,
    /// Contacts in all.
    pub(crate) registrations: usize,
}

/// What [`Registrar::bind`] did with one contact.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum BindingEffect {
    Registered(ContactAddress),
    Refreshed(ContactAddress),
    /// Another contact of the same private identity took its place (TS 24.229 5.4.1.2.2 4A).
    Replaced(ContactAddress),
    Removed(ContactAddress),
}

/// A binding whose time is over, already removed.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) impi: Impi,
    /// The identity that was registered.
    pub(crate) impu: Impu,
    pub(crate) contact: ContactAddress,
    pub(crate) identities: Vec<Impu>,
    pub(crate) hss_host: Option<String>,
    /// No contact of this private identity is left in the set.
    pub(crate) last_of_impi: bool,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Registrar {
    limits: RegistrarLimits,
    sets: BTreeMap<SetId, ImplicitRegistrationSet>,
    by_impu: BTreeMap<Impu, SetId>,
    by_impi: BTreeMap<Impi, BTreeSet<SetId>>,
    by_service_route: BTreeMap<String, (SetId, BindingId)>,
    timers: TimerTable<(SetId, BindingId)>,
    last_id: u64,
}

impl Registrar {
    pub(crate) fn new(limits: RegistrarLimits) -> Self {
        Self {
            limits,
            sets: BTreeMap::new(),
            by_impu: BTreeMap::new(),
            by_impi: BTreeMap::new(),
            by_service_route: BTreeMap::new(),
            timers: TimerTable::default(),
            last_id: 0,
        }
    }

    /// The set that an identity is a member of.
    pub(crate) fn set_of(&self, impu: &Impu) -> Option<&ImplicitRegistrationSet> {
        self.sets.get(self.by_impu.get(impu)?)
    }

    /// Whether any private identity has a contact bound to this public one.
    pub(crate) fn has(&self, impu: &Impu) -> bool {
        self.by_impu.contains_key(impu)
    }

    pub(crate) fn set(&self, id: SetId) -> Option<&ImplicitRegistrationSet> {
        self.sets.get(&id)
    }

    pub(crate) fn set_mut(&mut self, id: SetId) -> Option<&mut ImplicitRegistrationSet> {
        self.sets.get_mut(&id)
    }

    /// Whether this private identity has a contact bound to this public one.
    pub(crate) fn is_registered(&self, impi: &Impi, impu: &Impu) -> bool {
        self.set_of(impu)
            .is_some_and(|set| set.bindings_of(impi).next().is_some())
    }

    /// Whether this private identity has any contact here.
    pub(crate) fn knows(&self, impi: &Impi) -> bool {
        self.by_impi.contains_key(impi)
    }

    pub(crate) fn sets_of_impi(&self, impi: &Impi) -> Vec<SetId> {
        self.by_impi
            .get(impi)
            .map_or_else(Vec::new, |ids| ids.iter().copied().collect())
    }

    /// The binding that a Service-Route token belongs to.
    pub(crate) fn by_service_route(&self, token: &str) -> Option<(&ImplicitRegistrationSet, &Binding)> {
        let (set, binding) = self.by_service_route.get(token)?;
        let set = self.sets.get(set)?;
        let binding = set.bindings().iter().find(|b| b.id == *binding)?;
        Some((set, binding))
    }

    /// How many contacts are bound.
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// How many sets have a contact.
    pub(crate) fn sets_len(&self) -> usize {
        self.sets.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the table would stay within its limit after `grants`, which replace what is bound.
    pub(crate) fn has_room_for(&self, impu: &Impu, impi: &Impi, grants: &[ContactGrant]) -> bool {
        let bound = self.set_of(impu).map_or(0, |set| set.bindings_of(impi).count());
        let added = grants.iter().filter(|g| g.expires.is_some()).count();
        let new = added.saturating_sub(bound);
        new == 0 || self.len().saturating_add(new) <= self.limits.registrations
    }

    /// Whether the set of `impu` would stay within its limit after `grants` for `impi`.
    pub(crate) fn fits(&self, impu: &Impu, impi: &Impi, grants: &[ContactGrant]) -> bool {
        let added = grants.iter().filter(|g| g.expires.is_some()).count();
        // All older contacts of this private identity are replaced, so only those of others stay.
        let others = self
            .set_of(impu)
            .map_or(0, |set| set.bindings().iter().filter(|b| b.impi != *impi).count());
        others.saturating_add(added) <= self.limits.bindings_per_impu
    }

    /// The highest CSeq that `call_id` has bound a contact of `impi` with (RFC 3261 10.3 step 7).
    pub(crate) fn cseq_of(&self, impi: &Impi, impu: &Impu, call_id: &[u8]) -> Option<u32> {
        self.set_of(impu)?
            .bindings_of(impi)
            .filter(|b| b.call_id == call_id)
            .map(|b| b.cseq)
            .max()
    }

    /// Finds or makes the set that `registered` belongs to and gives it `profile`.
    pub(crate) fn store_profile(&mut self, registered: &Impu, profile: Profile) -> SetId {
        let known = self.by_impu.get(registered).copied().or_else(|| {
            let members = members_of(&profile.subscription);
            members.iter().find_map(|m| self.by_impu.get(&m.impu).copied())
        });
        let id = known.unwrap_or_else(|| SetId(self.fresh_id()));
        let mut before = Vec::new();
        match self.sets.get_mut(&id) {
            Some(set) => {
                before = set.members().to_vec();
                set.store_profile(profile, registered);
            }
            None => {
                let set = ImplicitRegistrationSet::new(id, profile, registered);
                self.sets.insert(id, set);
            }
        }
        self.index_members(id, &before);
        id
    }

    /// A profile pushed by the HSS replaces that of a set (TS 29.228 6.2.2); says who joined and who left.
    pub(crate) fn replace_profile(&mut self, id: SetId, profile: Profile) -> (Vec<Impu>, Vec<Impu>) {
        let Some(set) = self.sets.get_mut(&id) else {
            return (Vec::new(), Vec::new());
        };
        let members = set.members().to_vec();
        let before: Vec<Impu> = set.associated_identities().cloned().collect();
        set.replace_profile(profile);
        let after: Vec<Impu> = set.associated_identities().cloned().collect();
        self.index_members(id, &members);
        let joined = after.iter().filter(|i| !before.contains(i)).cloned().collect();
        let left = before.into_iter().filter(|i| !after.contains(i)).collect();
        (joined, left)
    }

    /// Binds the granted contacts; the older ones of the same private identity are replaced
    /// (TS 24.229 5.4.1.2.2 4A). `fresh_token` makes Service-Route tokens for new bindings.
    pub(crate) fn bind(
        &mut self,
        now: Instant,
        id: SetId,
        source: &BindingSource,
        grants: &[ContactGrant],
        mut fresh_token: impl FnMut() -> String,
    ) -> Vec<BindingEffect> {
        let Some(mut old) = self.take_bindings(id, &source.impi) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        for grant in grants {
            let position = grant.contact.position_in(old.iter());
            let previous = position.map(|at| old.remove(at));
            let Some(expires) = grant.expires else {
                if let Some(previous) = previous {
                    effects.push(BindingEffect::Removed(previous.contact.clone()));
                    self.forget(id, &previous);
                }
                continue;
            };
            effects.push(if previous.is_some() {
                BindingEffect::Refreshed(grant.contact.clone())
            } else {
                BindingEffect::Registered(grant.contact.clone())
            });
            let binding = Binding {
                id: previous
                    .as_ref()
                    .map_or_else(|| BindingId(self.fresh_id()), |b| b.id),
                impi: source.impi.clone(),
                impu: source.impu.clone(),
                contact: grant.contact.clone(),
                path: source.path.clone(),
                call_id: source.call_id.clone(),
                cseq: source.cseq,
                expires_at: now + expires,
                service_route: previous.map_or_else(&mut fresh_token, |b| b.service_route),
            };
            self.insert(id, binding);
        }
        for replaced in old {
            effects.push(BindingEffect::Replaced(replaced.contact.clone()));
            self.forget(id, &replaced);
        }
        self.drop_if_empty(id, &source.impi);
        effects
    }

    /// Removes the contacts of `impi` in a set that `is_meant` says; empty sets go.
    pub(crate) fn unbind(
        &mut self,
        id: SetId,
        impi: &Impi,
        is_meant: impl Fn(&Binding) -> bool,
    ) -> Vec<Binding> {
        let Some(set) = self.sets.get_mut(&id) else {
            return Vec::new();
        };
        let removed: Vec<Binding> = set
            .bindings_mut()
            .extract_if(.., |b| b.impi == *impi && is_meant(b))
            .collect();
        for binding in &removed {
            self.forget(id, binding);
        }
        self.drop_if_empty(id, impi);
        removed
    }

    /// Takes one binding whose time is over, unless its private identity `is_busy`: then the procedure in
    /// progress decides first, and the binding is asked again a second later.
    pub(crate) fn pop_expired(&mut self, now: Instant, is_busy: impl Fn(&Impi) -> bool) -> Option<Expired> {
        loop {
            let (id, binding_id) = self.timers.pop_expired(now)?;
            let Some(set) = self.sets.get(&id) else { continue };
            let Some(binding) = set.bindings().iter().find(|b| b.id == binding_id) else {
                continue;
            };
            let impi = binding.impi.clone();
            if is_busy(&impi) {
                self.timers.set((id, binding_id), now + Duration::from_secs(1));
                continue;
            }
            let identities = set.associated_identities().cloned().collect();
            let hss_host = set.profile().hss_host.clone();
            let impu = binding.impu.clone();
            let contact = binding.contact.clone();
            self.unbind(id, &impi, |b| b.id == binding_id);
            let last_of_impi = self
                .set(id)
                .is_none_or(|set| set.bindings_of(&impi).next().is_none());
            return Some(Expired {
                impi,
                impu,
                contact,
                identities,
                hss_host,
                last_of_impi,
            });
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn take_bindings(&mut self, id: SetId, impi: &Impi) -> Option<Vec<Binding>> {
        let set = self.sets.get_mut(&id)?;
        Some(set.bindings_mut().extract_if(.., |b| b.impi == *impi).collect())
    }

    fn insert(&mut self, id: SetId, binding: Binding) {
        self.timers.set((id, binding.id), binding.expires_at);
        self.by_service_route
            .insert(binding.service_route.clone(), (id, binding.id));
        self.by_impi.entry(binding.impi.clone()).or_default().insert(id);
        if let Some(set) = self.sets.get_mut(&id) {
            set.bindings_mut().push(binding);
        }
    }

    fn forget(&mut self, id: SetId, binding: &Binding) {
        self.timers.cancel(&(id, binding.id));
        self.by_service_route.remove(&binding.service_route);
    }

    /// After removals: a set without contacts goes, a private identity without contacts is unknown.
    fn drop_if_empty(&mut self, id: SetId, impi: &Impi) {
        let Some(set) = self.sets.get_mut(&id) else { return };
        if set.bindings_of(impi).next().is_some() {
            return;
        }
        set.forget_impi(impi);
        if set.bindings().is_empty()
            && let Some(set) = self.sets.remove(&id)
        {
            self.unindex(id, set.members());
        }
        if let Some(ids) = self.by_impi.get_mut(impi) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_impi.remove(impi);
            }
        }
    }

    fn unindex(&mut self, id: SetId, members: &[Member]) {
        for member in members {
            if self.by_impu.get(&member.impu) == Some(&id) {
                self.by_impu.remove(&member.impu);
            }
        }
    }

    /// Points the index at the members of a set; an identity that another set holds stays there.
    fn index_members(&mut self, id: SetId, before: &[Member]) {
        self.unindex(id, before);
        let Some(set) = self.sets.get(&id) else { return };
        for member in set.members() {
            self.by_impu.entry(member.impu.clone()).or_insert(id);
        }
    }
}

#[cfg(test)]
impl Registrar {
    /// The indexes say the same as the sets.
    pub(crate) fn check(&self) {
        let bindings = || {
            self.sets
                .values()
                .flat_map(|set| set.bindings().iter().map(move |b| (set, b)))
        };
        assert_eq!(self.timers.len(), bindings().count());
        assert_eq!(self.by_service_route.len(), bindings().count());
        assert!(self.sets.values().all(|set| !set.bindings().is_empty()));
        for (set, binding) in bindings() {
            assert!(self.by_impi[&binding.impi].contains(&set.id));
            // Later while its private identity is busy.
            assert!(self.timers.get(&(set.id, binding.id)) >= Some(binding.expires_at));
        }
        for (impi, ids) in &self.by_impi {
            assert!(
                ids.iter()
                    .all(|id| self.sets[id].bindings_of(impi).next().is_some())
            );
        }
        for (impu, id) in &self.by_impu {
            assert!(self.sets[id].has_member(impu));
        }
    }
}

#[cfg(test)]
mod tests;
