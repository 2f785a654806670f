//! Table: one implicit registration set: identities registered together (TS 23.228 5.2.1a).

use std::sync::Arc;
use std::time::Instant;

use hss_client::cx::ChargingInformation;
use hss_client::user_data::ImsSubscription;
use ims_common::identity::{Impi, Impu};

use super::binding::Binding;
use super::services::Services;
use super::stored_profile::{Member, Profile, SharedParts, StoredProfile};
use crate::gruu;
use crate::registration_change::{ContactChange, ContactEvent, Served};

/// Number of an implicit registration set, unique in one registrar.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SetId(pub(crate) u64);

/// A set of public identities and the contacts that all of them are bound to.
#[derive(Debug)]
pub struct ImplicitRegistrationSet {
    pub(crate) id: SetId,
    profile: StoredProfile,
    /// Registered identities that the HSS does not list.
    unlisted: Vec<Member>,
    bindings: Vec<Binding>,
}

impl ImplicitRegistrationSet {
    pub(super) fn new(id: SetId, profile: Profile, registered: &Impu, shared: &mut SharedParts) -> Self {
        let mut set = Self {
            id,
            profile: StoredProfile::default(),
            unlisted: Vec::new(),
            bindings: Vec::new(),
        };
        set.store_profile(profile, registered, shared);
        set
    }

    /// Takes the profile of a registration in. The registered identity stays a member even when the HSS does
    /// not list it: some HSSs spell it otherwise. It is then reachable, but never told in P-Associated-URI.
    /// So do the identities that other private identities have registered.
    pub(super) fn store_profile(&mut self, profile: Profile, registered: &Impu, shared: &mut SharedParts) {
        let before: Vec<Member> = self.members().collect();
        self.replace_profile(profile, shared);
        self.keep(registered, &before);
        let others: Vec<Impu> = self.bindings.iter().map(|b| b.impu.clone()).collect();
        for impu in &others {
            self.keep(impu, &before);
        }
    }

    /// Takes a new profile in, and nothing else is a member any more.
    pub(super) fn replace_profile(&mut self, profile: Profile, shared: &mut SharedParts) {
        self.profile.update(profile, shared);
        self.unlisted = Vec::new();
    }

    fn keep(&mut self, impu: &Impu, before: &[Member]) {
        if self.has_member(impu) {
            return;
        }
        let subscription = self.profile.subscription();
        let listed = subscription
            .as_ref()
            .and_then(|subscription| subscription.find(impu))
            .map(|(_, identity)| identity.barred);
        let was = before.iter().find(|m| m.impu == *impu).map(|m| m.barred);
        self.unlisted.push(Member {
            impu: impu.clone(),
            barred: listed.or(was).unwrap_or(false),
            is_distinct: false,
        });
    }

    /// The identities of the set that the HSS lists, with their services.
    pub(crate) fn subscription(&self) -> Option<ImsSubscription> {
        self.profile.subscription()
    }

    /// The identity of the other kind, SIP or tel, that means the same user.
    pub(crate) fn alias_of(&self, impu: &Impu) -> Option<Impu> {
        self.profile.alias_of(impu)
    }

    /// The services of an identity of the set, with their compiled filter criteria.
    pub(crate) fn services_of(&self, impu: &Impu) -> Option<&Arc<Services>> {
        self.profile.services_of(impu)
    }

    /// All services of the set, each with the identity that application servers are told: `registered` where it can be.
    pub(crate) fn served(&self, registered: &Impu) -> Vec<Served> {
        self.profile.served(registered)
    }

    /// What the HSS wants to be told to charging functions.
    pub(crate) fn charging(&self) -> Option<&ChargingInformation> {
        self.profile.charging.as_deref()
    }

    /// Origin-Host of the HSS: later requests go there (TS 29.228 6.4).
    pub(crate) fn hss_host(&self) -> Option<String> {
        self.profile.hss_host.as_deref().map(str::to_owned)
    }

    /// Those that the HSS lists, in its order, then others. The first one not barred is the default identity
    /// (TS 24.229 3.1).
    pub(crate) fn members(&self) -> impl Iterator<Item = Member> {
        self.profile.listed().chain(self.unlisted.iter().cloned())
    }

    /// Those that the HSS lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = Member> {
        self.profile.listed()
    }

    pub(crate) fn has_member(&self, impu: &Impu) -> bool {
        self.members().any(|m| m.impu == *impu)
    }

    pub(crate) fn is_barred(&self, impu: &Impu) -> bool {
        self.members().any(|m| m.impu == *impu && m.barred)
    }

    /// The identities for P-Associated-URI, the default one first (TS 24.229 5.4.1.2.2F).
    pub fn associated_identities(&self) -> impl Iterator<Item = Impu> {
        self.members()
            .filter(|m| !m.barred && m.is_distinct)
            .map(|m| m.impu)
    }

    /// The identities that the reg event package tells: those of P-Associated-URI, and wildcarded ones with their
    /// patterns (TS 24.229 5.4.2.1.2).
    pub(crate) fn told_identities(&self) -> impl Iterator<Item = (Impu, Option<String>)> {
        let distinct = self.associated_identities().map(|impu| (impu, None));
        distinct.chain(self.profile.wildcarded())
    }

    /// The application servers that the filter criteria of the set name.
    pub(crate) fn application_servers(&self) -> impl Iterator<Item = &str> {
        self.profile.application_servers()
    }

    /// The identity that the GRUU of a contact is told for in a 200: that of the REGISTER, or the first SIP URI if that is
    /// barred.
    pub(crate) fn gruu_of(&self, binding: &Binding) -> Option<String> {
        if !binding.gruu {
            return None;
        }
        let told: Vec<Impu> = self
            .associated_identities()
            .filter(|impu| !impu.is_tel())
            .collect();
        let own = told
            .iter()
            .find(|impu| **impu == binding.impu)
            .or_else(|| told.first())?;
        gruu::public(own, binding)
    }

    /// The contacts, in the order in which they were first bound.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    pub(crate) fn bindings_of<'a>(&'a self, impi: &'a Impi) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(move |b| b.impi == *impi)
    }

    /// Adds a contact. Its identities share their texts with those of the set, and most sets have one contact: no
    /// room is taken for more.
    pub(super) fn push_binding(&mut self, mut binding: Binding) {
        let member = self.members().find(|m| m.impu == binding.impu);
        if let Some(member) = member {
            binding.impu = member.impu;
        }
        self.profile.share(&binding.impi);
        self.bindings.reserve_exact(1);
        self.bindings.push(binding);
    }

    /// Takes the contacts out that `is_meant` says.
    pub(super) fn take_bindings(&mut self, is_meant: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        self.bindings.extract_if(.., |b| is_meant(b)).collect()
    }

    /// When this private identity has last proved itself.
    pub(crate) fn authenticated_at(&self, impi: &Impi) -> Option<Instant> {
        self.bindings_of(impi).filter_map(|b| b.authenticated_at).max()
    }

    pub(crate) fn set_authenticated_at(&mut self, impi: &Impi, now: Instant) {
        let own = self.bindings.iter_mut().filter(|b| b.impi == *impi);
        own.for_each(|b| b.authenticated_at = Some(now));
    }

    pub(super) fn shorten(&mut self, impi: &Impi, at: Instant) -> Vec<ContactChange> {
        let own = self.bindings.iter_mut().filter(|b| b.impi == *impi);
        own.filter(|b| !b.contact.is_for_emergency())
            .map(|binding| {
                binding.expires_at = binding.expires_at.min(at);
                binding.event = ContactEvent::Shortened;
                ContactChange::from(&*binding)
            })
            .collect()
    }

    /// Whether the network has asked this private identity to prove itself anew (TS 24.229 5.4.1.6).
    pub(crate) fn awaits_proof_of(&self, impi: &Impi) -> bool {
        self.bindings_of(impi).any(|b| b.event == ContactEvent::Shortened)
    }

    pub(super) fn set_charging(&mut self, charging: Arc<ChargingInformation>) {
        self.profile.charging = Some(charging);
    }
}
