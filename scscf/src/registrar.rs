//! Table: who is registered, with which identities, at which contacts, until when (TS 24.229 5.4.1).
//!
//! Registration is per implicit registration set: registering or de-registering one identity does it for
//! all (TS 23.228 5.2.1a). Bindings belong to the set and remember their private identity, so that several
//! private identities that share a public one keep separate contacts (TS 23.228 5.2.1).

mod announcements;
mod binding;
mod implicit_set;
mod report;
mod services;
mod shared;
mod stored_profile;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hss_client::cx::ChargingInformation;
use hss_client::user_data::ServiceProfile;
use ims_common::identity::{Impi, Impu};
use ims_common::node::{NumberHash, NumberMap, TimerTable, give_back};
use smallvec::SmallVec;

use crate::ifc::SharedIfcSets;
use crate::registration_change::{ContactChange, ContactEvent, RegistrationChange, Served};
use announcements::Announcements;
pub use binding::{Binding, BindingId, ContactAddress};
pub(crate) use binding::{BindingSource, ContactGrant};
pub use implicit_set::{ImplicitRegistrationSet, SetId};
pub(crate) use services::Services;
use stored_profile::SharedParts;
pub(crate) use stored_profile::{Member, Profile, members_of};

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
    Registered(ContactChange),
    Refreshed(ContactChange),
    /// Another contact of the same private identity took its place (TS 24.229 5.4.1.2.2 4A).
    Replaced(ContactChange),
    Removed(ContactChange),
}

/// A binding whose time is over, already removed.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) impi: Impi,
    pub(crate) unbound: Unbound,
}

/// Contacts that were removed from a set, and what was true of it before.
#[derive(Debug)]
pub(crate) struct Unbound {
    pub(crate) set: SetId,
    pub(crate) removed: Vec<Binding>,
    pub(crate) identities: Vec<Impu>,
    pub(crate) hss_host: Option<String>,
    /// No contact of this private identity is left in the set.
    pub(crate) last_of_impi: bool,
    /// Whose services ended: nothing is left of the set.
    pub(crate) served: Vec<Served>,
}

impl Unbound {
    /// What is to be told.
    pub(crate) fn change(&self, impi: &Impi, event: ContactEvent) -> RegistrationChange {
        RegistrationChange {
            impi: impi.clone(),
            set: self.set,
            identities: self.identities.clone(),
            contacts: self.removed.iter().map(ContactChange::from).collect(),
            event,
            served: self.served.clone(),
            cause: None,
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Registrar {
    limits: RegistrarLimits,
    sets: NumberMap<SetId, Box<ImplicitRegistrationSet>>,
    by_impu: HashMap<Impu, SetId>,
    /// In order.
    by_impi: HashMap<Impi, SmallVec<[SetId; 2]>>,
    by_service_route: HashMap<Arc<str>, SetId>,
    /// When the next contact of a set expires.
    timers: TimerTable<SetId, NumberHash>,
    shared: SharedParts,
    /// How many contacts are bound.
    bindings: usize,
    last_id: u64,
    announcements: Announcements,
}

impl Registrar {
    pub(crate) fn new(limits: RegistrarLimits) -> Self {
        Self {
            limits,
            sets: NumberMap::default(),
            by_impu: HashMap::new(),
            by_impi: HashMap::new(),
            by_service_route: HashMap::new(),
            timers: TimerTable::default(),
            shared: SharedParts::default(),
            bindings: 0,
            last_id: 0,
            announcements: Announcements::default(),
        }
    }

    /// Criteria that the configuration gives to profiles by number.
    pub(crate) fn with_shared_ifc_sets(mut self, sets: SharedIfcSets) -> Self {
        self.shared.set_shared_ifc_sets(sets);
        self
    }

    /// The services of a profile that came for somebody who is not registered, compiled as all others are.
    pub(crate) fn services(&mut self, profile: ServiceProfile) -> Arc<Services> {
        self.shared.services.of(profile)
    }

    /// The sets of criteria that profiles name by number.
    pub(crate) const fn shared_ifc_sets(&self) -> &SharedIfcSets {
        self.shared.services.shared_ifc_sets()
    }

    /// How many expressions in filter criteria were none, and how many shared sets nobody knows.
    pub(crate) fn bad_criteria(&self) -> (u64, u64) {
        self.shared.services.bad_criteria()
    }

    /// From now on, says which identities come and go, for [`Self::poll_announcement`].
    pub(crate) const fn announce(&mut self) {
        self.announcements.begin();
    }

    /// Whether there are other shards, which may hold what is not here.
    pub(crate) const fn is_announcing(&self) -> bool {
        self.announcements.is_on()
    }

    /// The next identity that came or went, and whether it is here now.
    pub(crate) fn poll_announcement(&mut self) -> Option<(Impu, bool)> {
        let impu = self.announcements.pop()?;
        let is_here = self.has(&impu);
        Some((impu, is_here))
    }

    /// The set that an identity is a member of.
    pub(crate) fn set_of(&self, impu: &Impu) -> Option<&ImplicitRegistrationSet> {
        self.set(*self.by_impu.get(impu)?)
    }

    /// Whether any private identity has a contact bound to this public one.
    pub(crate) fn has(&self, impu: &Impu) -> bool {
        self.by_impu.contains_key(impu)
    }

    pub(crate) fn set(&self, id: SetId) -> Option<&ImplicitRegistrationSet> {
        self.sets.get(&id).map(Box::as_ref)
    }

    pub(crate) fn set_mut(&mut self, id: SetId) -> Option<&mut ImplicitRegistrationSet> {
        self.sets.get_mut(&id).map(Box::as_mut)
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
        self.by_impi.get(impi).map_or_else(Vec::new, |ids| ids.to_vec())
    }

    /// The binding that a Service-Route token belongs to.
    pub(crate) fn by_service_route(&self, token: &str) -> Option<(&ImplicitRegistrationSet, &Binding)> {
        let set = self.set(*self.by_service_route.get(token)?)?;
        let binding = set.bindings().iter().find(|b| *b.service_route == *token)?;
        Some((set, binding))
    }

    /// All contacts.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.sets.values().flat_map(|set| set.bindings())
    }

    /// How many contacts are bound.
    pub(crate) fn len(&self) -> usize {
        self.bindings
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
            .filter(|b| *b.call_id == *call_id)
            .map(|b| b.cseq)
            .max()
    }

    /// Finds or makes the set that `registered` belongs to and gives it `profile`.
    pub(crate) fn store_profile(&mut self, registered: &Impu, profile: Profile) -> SetId {
        let known = self.by_impu.get(registered).copied().or_else(|| {
            let members = members_of(profile.subscription.as_ref()?);
            members.iter().find_map(|m| self.by_impu.get(&m.impu).copied())
        });
        let id = known.unwrap_or_else(|| SetId(self.fresh_id()));
        let mut before = Vec::new();
        match self.sets.get_mut(&id) {
            Some(set) => {
                before = set.members().collect();
                set.store_profile(profile, registered, &mut self.shared);
            }
            None => {
                let set = ImplicitRegistrationSet::new(id, profile, registered, &mut self.shared);
                self.sets.insert(id, Box::new(set));
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
        let members: Vec<Member> = set.members().collect();
        let before: Vec<Impu> = set.associated_identities().collect();
        set.replace_profile(profile, &mut self.shared);
        let after: Vec<Impu> = set.associated_identities().collect();
        self.index_members(id, &members);
        let joined = after.iter().filter(|i| !before.contains(i)).cloned().collect();
        let left = before.into_iter().filter(|i| !after.contains(i)).collect();
        (joined, left)
    }

    /// Charging addresses pushed by the HSS replace those of a set.
    pub(crate) fn set_charging(&mut self, id: SetId, charging: ChargingInformation) {
        if let Some(set) = self.sets.get_mut(&id) {
            set.set_charging(self.shared.charging(charging));
        }
    }

    /// Binds the granted contacts; the older ones of the same private identity are replaced
    /// (TS 24.229 5.4.1.2.2 4A), emergency registrations by such alone (5.4.8.2). `fresh_token` makes Service-Route tokens for new bindings.
    pub(crate) fn bind(
        &mut self,
        now: Instant,
        id: SetId,
        source: &BindingSource,
        grants: &[ContactGrant],
        mut fresh_token: impl FnMut() -> String,
    ) -> Vec<BindingEffect> {
        let authenticated_at = self.set(id).and_then(|set| set.authenticated_at(&source.impi));
        let is_of_their_sort = |b: &Binding| grants.iter().any(|g| g.contact.is_of_sort_of(&b.contact));
        let Some(mut old) = self.take_bindings(id, &source.impi, is_of_their_sort) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        for grant in grants {
            let position = grant.contact.position_in(old.iter());
            let previous = position.map(|at| old.remove(at));
            let Some(expires) = grant.expires else {
                if let Some(previous) = previous {
                    effects.push(BindingEffect::Removed(ContactChange::from(&previous)));
                    self.forget(id, &previous);
                }
                continue;
            };
            let is_known = previous.is_some();
            let binding = Binding {
                id: previous
                    .as_ref()
                    .map_or_else(|| BindingId(self.fresh_id()), |b| b.id),
                impi: source.impi.clone(),
                impu: source.impu.clone(),
                contact: grant.contact.clone(),
                path: source.path.iter().map(|path| path.as_str().into()).collect(),
                call_id: source.call_id.as_ref().into(),
                cseq: source.cseq,
                expires_at: now + expires,
                authenticated_at,
                gruu: source.gruu,
                event: match is_known {
                    true => ContactEvent::Refreshed,
                    false => ContactEvent::Registered,
                },
                service_route: previous.map_or_else(|| fresh_token().into(), |b| b.service_route),
            };
            let change = ContactChange::from(&binding);
            effects.push(match is_known {
                true => BindingEffect::Refreshed(change),
                false => BindingEffect::Registered(change),
            });
            self.insert(id, binding);
        }
        for replaced in old {
            effects.push(BindingEffect::Replaced(ContactChange::from(&replaced)));
            self.forget(id, &replaced);
        }
        self.rearm(id);
        self.drop_if_empty(id, &source.impi);
        effects
    }

    /// Removes the contacts of `impi` in a set that `is_meant` says; empty sets go.
    pub(crate) fn unbind(
        &mut self,
        id: SetId,
        impi: &Impi,
        is_meant: impl Fn(&Binding) -> bool,
    ) -> Option<Unbound> {
        let set = self.sets.get_mut(&id)?;
        let registered = set.bindings_of(impi).next().map(|b| b.impu.clone());
        let served = registered.map_or_else(Vec::new, |impu| set.served(&impu));
        let identities = set.associated_identities().collect();
        let hss_host = set.hss_host();
        let removed = set.take_bindings(|b| b.impi == *impi && is_meant(b));
        self.bindings -= removed.len();
        for binding in &removed {
            self.forget(id, binding);
        }
        self.rearm(id);
        self.drop_if_empty(id, impi);
        let left = self.set(id);
        Some(Unbound {
            set: id,
            removed,
            identities,
            hss_host,
            last_of_impi: left.is_none_or(|set| set.bindings_of(impi).next().is_none()),
            served: if left.is_none() { served } else { Vec::new() },
        })
    }

    /// Lets the contacts of `impi` in a set end at `at` if they would not end before (TS 24.229 5.4.1.6).
    pub(crate) fn shorten(&mut self, id: SetId, impi: &Impi, at: Instant) -> Vec<ContactChange> {
        let Some(set) = self.sets.get_mut(&id) else {
            return Vec::new();
        };
        let shortened = set.shorten(impi, at);
        self.rearm(id);
        shortened
    }

    /// Takes one binding whose time is over, unless its private identity `is_busy`: then the procedure in
    /// progress decides first, and the binding is asked again a second later.
    pub(crate) fn pop_expired(&mut self, now: Instant, is_busy: impl Fn(&Impi) -> bool) -> Option<Expired> {
        loop {
            let id = self.timers.pop_expired(now)?;
            let Some(set) = self.sets.get(&id) else { continue };
            let mut over = set.bindings().iter().filter(|b| b.expires_at <= now).peekable();
            if over.peek().is_none() {
                self.rearm(id);
                continue;
            }
            let Some(binding) = over.find(|b| !is_busy(&b.impi)) else {
                self.timers.set(id, now + Duration::from_secs(1));
                continue;
            };
            let (binding_id, impi) = (binding.id, binding.impi.clone());
            let unbound = self.unbind(id, &impi, |b| b.id == binding_id)?;
            return Some(Expired { impi, unbound });
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn take_bindings(
        &mut self,
        id: SetId,
        impi: &Impi,
        is_meant: impl Fn(&Binding) -> bool,
    ) -> Option<Vec<Binding>> {
        let set = self.sets.get_mut(&id)?;
        let taken = set.take_bindings(|b| b.impi == *impi && is_meant(b));
        self.bindings -= taken.len();
        Some(taken)
    }

    fn insert(&mut self, id: SetId, binding: Binding) {
        self.by_service_route.insert(binding.service_route.clone(), id);
        let sets = self.by_impi.entry(binding.impi.clone()).or_default();
        if let Err(at) = sets.binary_search(&id) {
            sets.insert(at, id);
        }
        if let Some(set) = self.sets.get_mut(&id) {
            set.push_binding(binding);
            self.bindings += 1;
        }
    }

    /// The timer of a set is that of the contact that expires first.
    fn rearm(&mut self, id: SetId) {
        let bindings = self.sets.get(&id).into_iter().flat_map(|set| set.bindings());
        match bindings.map(|b| b.expires_at).min() {
            Some(at) => self.timers.set(id, at),
            None => self.timers.cancel(&id),
        }
    }

    fn forget(&mut self, id: SetId, binding: &Binding) {
        if self.by_service_route.get(&binding.service_route) == Some(&id) {
            self.by_service_route.remove(&binding.service_route);
            give_back(&mut self.by_service_route);
        }
    }

    /// After removals: a set without contacts goes, a private identity without contacts is unknown.
    fn drop_if_empty(&mut self, id: SetId, impi: &Impi) {
        let Some(set) = self.sets.get_mut(&id) else { return };
        if set.bindings_of(impi).next().is_some() {
            return;
        }
        if set.bindings().is_empty()
            && let Some(set) = self.sets.remove(&id)
        {
            give_back(&mut self.sets);
            self.unindex(id, set.members());
        }
        if let Some(ids) = self.by_impi.get_mut(impi) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.by_impi.remove(impi);
                give_back(&mut self.by_impi);
            }
        }
    }

    fn unindex(&mut self, id: SetId, members: impl Iterator<Item = Member>) {
        for member in members {
            if self.by_impu.get(&member.impu) == Some(&id) {
                self.by_impu.remove(&member.impu);
                self.announcements.add(&member.impu);
            }
        }
        give_back(&mut self.by_impu);
    }

    /// Points the index at the members of a set; an identity that another set holds stays there.
    fn index_members(&mut self, id: SetId, before: &[Member]) {
        self.unindex(id, before.iter().cloned());
        let Some(set) = self.sets.get(&id) else { return };
        for member in set.members() {
            self.announcements.add(&member.impu);
            self.by_impu.entry(member.impu).or_insert(id);
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
        assert_eq!(self.bindings, bindings().count());
        assert_eq!(self.timers.len(), self.sets.len());
        assert_eq!(self.by_service_route.len(), bindings().count());
        assert!(self.sets.values().all(|set| !set.bindings().is_empty()));
        for (set, binding) in bindings() {
            assert!(self.by_impi[&binding.impi].contains(&set.id));
            assert_eq!(self.by_service_route[&binding.service_route], set.id);
        }
        // Later while a private identity is busy.
        let first = |set: &ImplicitRegistrationSet| set.bindings().iter().map(|b| b.expires_at).min();
        assert!(
            self.sets
                .values()
                .all(|set| self.timers.get(&set.id) >= first(set))
        );
        let has_binding = |impi, id| self.sets[id].bindings_of(impi).next().is_some();
        assert!(
            self.by_impi
                .iter()
                .all(|(impi, ids)| ids.iter().all(|id| has_binding(impi, id)))
        );
        assert!(
            self.by_impu
                .iter()
                .all(|(impu, id)| self.sets[id].has_member(impu))
        );
    }
}

#[cfg(test)]
mod tests;
