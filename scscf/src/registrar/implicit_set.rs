//! Table: one implicit registration set: identities registered together (TS 23.228 5.2.1a).

use std::collections::BTreeMap;
use std::time::Instant;

use hss_client::cx::ChargingInformation;
use hss_client::user_data::{IdentityType, ImsSubscription};
use ims_common::identity::{Impi, Impu};

use super::binding::Binding;

/// Number of an implicit registration set, unique in one registrar.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SetId(pub(crate) u64);

/// What the HSS gave for a set: in SAA and PPR.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) subscription: ImsSubscription,
    pub(crate) charging: Option<ChargingInformation>,
    /// Origin-Host of the HSS: later requests go there (TS 29.228 6.4).
    pub(crate) hss_host: Option<String>,
}

/// One member of a set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    pub(crate) impu: Impu,
    pub(crate) barred: bool,
    /// A distinct public user identity, which P-Associated-URI may tell.
    pub(crate) is_distinct: bool,
}

/// A set of public identities and the contacts that all of them are bound to.
#[derive(Debug)]
pub struct ImplicitRegistrationSet {
    pub(crate) id: SetId,
    /// In the order of the profile: the first one not barred is the default identity (TS 24.229 3.1).
    members: Vec<Member>,
    profile: Profile,
    bindings: Vec<Binding>,
    authenticated_at: BTreeMap<Impi, Instant>,
}

impl ImplicitRegistrationSet {
    pub(crate) fn new(id: SetId, profile: Profile, registered: &Impu) -> Self {
        let mut set = Self {
            id,
            members: Vec::new(),
            profile: profile.clone(),
            bindings: Vec::new(),
            authenticated_at: BTreeMap::new(),
        };
        set.store_profile(profile, registered);
        set
    }

    /// Takes the profile of a registration in. The registered identity stays a member even when the HSS does
    /// not list it: some HSSs spell it otherwise. It is then reachable, but never told in P-Associated-URI.
    /// So do the identities that other private identities have registered.
    pub(crate) fn store_profile(&mut self, profile: Profile, registered: &Impu) {
        let before = std::mem::take(&mut self.members);
        self.replace_profile(profile);
        self.keep(registered, &before);
        let others: Vec<Impu> = self.bindings.iter().map(|b| b.impu.clone()).collect();
        for impu in &others {
            self.keep(impu, &before);
        }
    }

    /// Takes a new profile in, and nothing else is a member any more.
    pub(crate) fn replace_profile(&mut self, profile: Profile) {
        self.members = members_of(&profile.subscription);
        self.profile = profile;
    }

    fn keep(&mut self, impu: &Impu, before: &[Member]) {
        if self.has_member(impu) {
            return;
        }
        let listed = self
            .profile
            .subscription
            .find(impu)
            .map(|(_, identity)| identity.barred);
        let was = before.iter().find(|m| m.impu == *impu).map(|m| m.barred);
        self.members.push(Member {
            impu: impu.clone(),
            barred: listed.or(was).unwrap_or(false),
            is_distinct: false,
        });
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    pub(crate) fn profile_mut(&mut self) -> &mut Profile {
        &mut self.profile
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn has_member(&self, impu: &Impu) -> bool {
        self.members.iter().any(|m| m.impu == *impu)
    }

    pub(crate) fn is_barred(&self, impu: &Impu) -> bool {
        self.members.iter().any(|m| m.impu == *impu && m.barred)
    }

    /// The identities for P-Associated-URI, the default one first (TS 24.229 5.4.1.2.2F).
    pub fn associated_identities(&self) -> impl Iterator<Item = &Impu> {
        self.members
            .iter()
            .filter(|m| !m.barred && m.is_distinct)
            .map(|m| &m.impu)
    }

    /// The contacts, in the order in which they were first bound.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    pub(crate) fn bindings_of<'a>(&'a self, impi: &'a Impi) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(move |b| b.impi == *impi)
    }

    pub(crate) fn bindings_mut(&mut self) -> &mut Vec<Binding> {
        &mut self.bindings
    }

    pub(crate) fn authenticated_at(&self, impi: &Impi) -> Option<Instant> {
        self.authenticated_at.get(impi).copied()
    }

    pub(crate) fn set_authenticated_at(&mut self, impi: &Impi, now: Instant) {
        self.authenticated_at.insert(impi.clone(), now);
    }

    pub(crate) fn forget_impi(&mut self, impi: &Impi) {
        self.authenticated_at.remove(impi);
    }
}

/// The identities of a profile in its order; wildcards are patterns, not members.
pub(crate) fn members_of(subscription: &ImsSubscription) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for identity in subscription.public_identities() {
        let is_pattern = matches!(
            identity.identity_type,
            IdentityType::WildcardedPsi | IdentityType::WildcardedImpu
        );
        if !is_pattern && !members.iter().any(|m| m.impu == identity.impu) {
            members.push(Member {
                impu: identity.impu.clone(),
                barred: identity.barred,
                is_distinct: identity.is_distinct(),
            });
        }
    }
    members
}
