//! Testkit: what an HSS answers on Cx, and what it remembers (TS 29.228 6.1 to 6.3).

mod assignment;
mod authentication;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hss_client::cx::{
    CxAnswer, CxRequest, CxResult, DeregistrationReason, Lia, Lir, Ppr, ReasonCode, Rtr, ServerCapabilities,
    Uaa, Uar, UserAuthorizationType,
};
use hss_client::user_data::ServiceProfile;
use ims_common::identity::{Impi, Impu};
use rand::rngs::StdRng;

use super::profile_xml;
use super::subscribers::Subscriber;

/// Who sent a request: the Diameter identity of a CSCF.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DiameterClient {
    /// Origin-Host.
    pub host: String,
    /// Origin-Realm.
    pub realm: String,
}

/// The registration state of a public identity (TS 29.228 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegistrationState {
    /// No S-CSCF serves it.
    NotRegistered,
    /// An S-CSCF keeps its profile, but no phone is there.
    Unregistered,
    /// A phone is there.
    Registered,
}

/// All subscribers and their states.
#[derive(Debug)]
pub struct Subscribers {
    pub(super) subscribers: Vec<Subscriber>,
    by_impi: BTreeMap<Impi, usize>,
    /// Who has a public identity; several phones may share one.
    by_impu: BTreeMap<Impu, Vec<usize>>,
    /// By subscriber: which subscription it belongs to.
    subscription_of: Vec<usize>,
    subscriptions: Vec<Subscription>,
    states: BTreeMap<Impu, ImpuState>,
    pub(super) rng: StdRng,
    /// Whether server names are kept when an S-CSCF asks for it.
    pub keeps_server_names: bool,
    /// Whether the network proof of vectors is broken, as by a wrong K.
    pub breaks_mac: bool,
}

/// What is common to all subscribers that share identities.
#[derive(Debug, Default)]
struct Subscription {
    members: Vec<usize>,
    server_name: Option<String>,
    scscf: Option<DiameterClient>,
}

#[derive(Debug, Default)]
struct ImpuState {
    registered: BTreeSet<Impi>,
    unregistered: bool,
    auth_pending: BTreeSet<Impi>,
}

/// A subscriber and one of its implicit registration sets.
#[derive(Clone, Copy)]
struct Place {
    subscriber: usize,
    set: usize,
}

impl Subscribers {
    /// No subscribers yet.
    #[must_use]
    pub fn new(rng: StdRng) -> Self {
        Self {
            subscribers: Vec::new(),
            by_impi: BTreeMap::new(),
            by_impu: BTreeMap::new(),
            subscription_of: Vec::new(),
            subscriptions: Vec::new(),
            states: BTreeMap::new(),
            rng,
            keeps_server_names: true,
            breaks_mac: false,
        }
    }

    /// Adds a subscriber, to the subscription with which it shares an identity, or to a new one. A
    /// subscriber of the same private identity is replaced, its states stay.
    pub fn add(&mut self, subscriber: Subscriber) {
        if let Some(known) = self.by_impi.get(&subscriber.impi).copied() {
            for holders in self.by_impu.values_mut() {
                holders.retain(|holder| *holder != known);
            }
            self.index(known, &subscriber);
            self.subscribers[known] = subscriber;
            return;
        }
        let shared = subscriber.public_identities().find_map(|i| self.holder(&i.impu));
        let subscription = match shared {
            Some(place) => self.subscription_of[place.subscriber],
            None => {
                let server_name = subscriber.server_name.clone();
                self.subscriptions.push(Subscription {
                    server_name,
                    ..Subscription::default()
                });
                self.subscriptions.len() - 1
            }
        };
        let index = self.subscribers.len();
        self.subscriptions[subscription].members.push(index);
        self.index(index, &subscriber);
        self.subscribers.push(subscriber);
        self.subscription_of.push(subscription);
    }

    /// Changes what is known about a private identity; says whether it is known.
    pub fn update(&mut self, impi: &Impi, change: impl FnOnce(Subscriber) -> Subscriber) -> bool {
        let Some(known) = self.by_impi(impi) else {
            return false;
        };
        let changed = change(self.subscribers[known].clone());
        self.add(changed);
        true
    }

    /// The state of a public identity.
    #[must_use]
    pub fn state(&self, impu: &Impu) -> RegistrationState {
        match self.states.get(impu) {
            Some(state) if !state.registered.is_empty() => RegistrationState::Registered,
            Some(state) if state.unregistered => RegistrationState::Unregistered,
            _ => RegistrationState::NotRegistered,
        }
    }

    /// The name of the S-CSCF that serves a private identity.
    #[must_use]
    pub fn server_name(&self, impi: &Impi) -> Option<&str> {
        let subscriber = self.by_impi(impi)?;
        self.subscription(subscriber).server_name.as_deref()
    }

    /// The Diameter identity of the S-CSCF that serves a private identity, when it has spoken.
    #[must_use]
    pub fn scscf(&self, impi: &Impi) -> Option<&DiameterClient> {
        let subscriber = self.by_impi(impi)?;
        self.subscription(subscriber).scscf.as_ref()
    }

    /// The User-Data of a private identity's implicit set that has this public identity.
    #[must_use]
    pub fn user_data(&self, impi: &Impi, impu: &Impu) -> Option<Bytes> {
        let place = self.check(impi, impu).ok()?;
        Some(self.print(impi, place))
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &CxRequest, from: &DiameterClient) -> CxAnswer {
        match request {
            CxRequest::Uar(uar) => CxAnswer::Uaa(self.on_uar(uar)),
            CxRequest::Mar(mar) => CxAnswer::Maa(self.on_mar(mar, from)),
            CxRequest::Sar(sar) => CxAnswer::Saa(self.on_sar(sar, from)),
            CxRequest::Lir(lir) => CxAnswer::Lia(self.on_lir(lir)),
        }
    }

    /// Takes a user away from its S-CSCF: the RTR to be sent, if an S-CSCF serves it (TS 29.228 6.1.3).
    pub fn terminate(
        &mut self,
        impi: &Impi,
        impus: &[Impu],
        reason: ReasonCode,
    ) -> Option<(Rtr, DiameterClient)> {
        let subscriber = self.by_impi(impi)?;
        let scscf = self.subscription(subscriber).scscf.clone()?;
        let sets = self.subscribers[subscriber].implicit_sets.len();
        let concerned: Vec<Place> = if impus.is_empty() {
            (0..sets).map(|set| Place { subscriber, set }).collect()
        } else {
            impus
                .iter()
                .filter_map(|impu| self.check(impi, impu).ok())
                .collect()
        };
        for place in concerned {
            self.each_state(place, |state| {
                state.registered.remove(impi);
                state.unregistered = false;
            });
        }
        self.forget_server_when_unused(subscriber);
        let reason = DeregistrationReason {
            code: reason,
            info: Some("by the operator".into()),
        };
        let rtr = Rtr {
            user_name: impi.clone(),
            public_identities: impus.to_vec(),
            associated_identities: Vec::new(),
            reason,
        };
        Some((rtr, scscf))
    }

    /// The PPR that tells the S-CSCF the present profile of the set with this public identity, if an
    /// S-CSCF serves it (TS 29.228 6.2).
    #[must_use]
    pub fn push(&self, impi: &Impi, impu: &Impu) -> Option<(Ppr, DiameterClient)> {
        let place = self.check(impi, impu).ok()?;
        let scscf = self.subscription(place.subscriber).scscf.clone()?;
        let ppr = Ppr {
            user_name: impi.clone(),
            user_data: Some(self.print(impi, place)),
            charging: self.subscribers[place.subscriber].charging.clone(),
            digest: None,
        };
        Some((ppr, scscf))
    }

    /// TS 29.228 6.1.1.
    fn on_uar(&mut self, uar: &Uar) -> Uaa {
        // 1. known, 2. associated with each other.
        let place = match self.check(&uar.user_name, &uar.public_identity) {
            Ok(place) => place,
            Err(result) => {
                return Uaa {
                    result,
                    ..Uaa::default()
                };
            }
        };
        let refuse = |result| Uaa {
            result,
            ..Uaa::default()
        };
        let subscriber = &self.subscribers[place.subscriber];
        // 3. An emergency registration is exempt from barring and roaming restrictions.
        if !uar.emergency {
            let identities = || self.identities(place);
            let is_barred = identities().any(|i| i.barred && i.impu == uar.public_identity);
            if is_barred && identities().all(|i| i.barred) {
                return refuse(CxResult::AUTHORIZATION_REJECTED);
            }
            // 4. Roaming is not asked about when the user leaves.
            let may_roam = |networks: &Vec<String>| networks.contains(&uar.visited_network);
            if uar.authorization_type != UserAuthorizationType::DeRegistration
                && !subscriber.visited_networks.as_ref().is_none_or(may_roam)
            {
                return refuse(CxResult::ROAMING_NOT_ALLOWED);
            }
        }
        // 5. The state.
        let server_name = self.subscription(place.subscriber).server_name.clone();
        let capabilities = subscriber.capabilities.clone();
        let is_pending = self
            .states
            .get(&uar.public_identity)
            .is_some_and(|s| !s.auth_pending.is_empty());
        let state = self.state(&uar.public_identity);
        match uar.authorization_type {
            UserAuthorizationType::RegistrationAndCapabilities => Uaa {
                result: CxResult::SUCCESS,
                capabilities: Some(capabilities.unwrap_or_default()),
                ..Uaa::default()
            },
            UserAuthorizationType::DeRegistration
                if state == RegistrationState::NotRegistered && !is_pending =>
            {
                refuse(CxResult::IDENTITY_NOT_REGISTERED)
            }
            UserAuthorizationType::DeRegistration => Uaa {
                result: CxResult::SUCCESS,
                server_name,
                ..Uaa::default()
            },
            UserAuthorizationType::Registration if server_name.is_some() => Uaa {
                result: CxResult::SUBSEQUENT_REGISTRATION,
                server_name,
                ..Uaa::default()
            },
            UserAuthorizationType::Registration => Uaa {
                result: CxResult::FIRST_REGISTRATION,
                capabilities,
                ..Uaa::default()
            },
        }
    }

    /// TS 29.228 6.1.4.
    fn on_lir(&mut self, lir: &Lir) -> Lia {
        let Some(place) = self.holder(&lir.public_identity) else {
            return Lia {
                result: CxResult::USER_UNKNOWN,
                ..Lia::default()
            };
        };
        let subscriber = &self.subscribers[place.subscriber];
        let server_name = self.subscription(place.subscriber).server_name.clone();
        let capabilities: Option<ServerCapabilities> = subscriber.capabilities.clone();
        if lir.authorization_type == Some(UserAuthorizationType::RegistrationAndCapabilities) {
            let capabilities = Some(capabilities.unwrap_or_default());
            return Lia {
                result: CxResult::SUCCESS,
                capabilities,
                ..Lia::default()
            };
        }
        match self.state(&lir.public_identity) {
            RegistrationState::Registered | RegistrationState::Unregistered if server_name.is_some() => Lia {
                result: CxResult::SUCCESS,
                server_name,
                ..Lia::default()
            },
            _ if subscriber.has_unregistered_services() => {
                let capabilities = capabilities.filter(|_| server_name.is_none());
                let result = CxResult::UNREGISTERED_SERVICE;
                Lia {
                    result,
                    server_name,
                    capabilities,
                    ..Lia::default()
                }
            }
            _ => Lia {
                result: CxResult::IDENTITY_NOT_REGISTERED,
                ..Lia::default()
            },
        }
    }

    pub(super) fn assign(&mut self, subscriber: usize, server_name: &str, from: &DiameterClient) {
        let subscription = &mut self.subscriptions[self.subscription_of[subscriber]];
        subscription.server_name = Some(server_name.to_owned());
        subscription.scscf = Some(from.clone());
    }

    pub(super) fn unassign(&mut self, subscriber: usize) {
        let subscription = &mut self.subscriptions[self.subscription_of[subscriber]];
        subscription.server_name = None;
        subscription.scscf = None;
    }

    pub(super) fn server_name_of(&self, subscriber: usize) -> &Option<String> {
        &self.subscription(subscriber).server_name
    }

    /// The S-CSCF's name goes when none of the subscription's identities needs it any more.
    fn forget_server_when_unused(&mut self, subscriber: usize) {
        let members = &self.subscription(subscriber).members;
        let mut impus = members
            .iter()
            .flat_map(|m| self.subscribers[*m].public_identities());
        let is_used = impus.any(|identity| {
            self.states.get(&identity.impu).is_some_and(|state| {
                !state.registered.is_empty() || state.unregistered || !state.auth_pending.is_empty()
            })
        });
        drop(impus);
        if !is_used {
            self.unassign(subscriber);
        }
    }

    /// Known (5001) and associated with each other (5002).
    fn check(&self, impi: &Impi, impu: &Impu) -> Result<Place, CxResult> {
        let subscriber = self.by_impi(impi).ok_or(CxResult::USER_UNKNOWN)?;
        if self.holder(impu).is_none() {
            return Err(CxResult::USER_UNKNOWN);
        }
        self.place_in(subscriber, impu)
            .ok_or(CxResult::IDENTITIES_DONT_MATCH)
    }

    fn by_impi(&self, impi: &Impi) -> Option<usize> {
        self.by_impi.get(impi).copied()
    }

    /// The first subscriber with this public identity.
    fn holder(&self, impu: &Impu) -> Option<Place> {
        self.place_in(*self.by_impu.get(impu)?.first()?, impu)
    }

    fn index(&mut self, index: usize, subscriber: &Subscriber) {
        self.by_impi.insert(subscriber.impi.clone(), index);
        for identity in subscriber.public_identities() {
            self.by_impu.entry(identity.impu.clone()).or_default().push(index);
        }
    }

    fn place_in(&self, subscriber: usize, impu: &Impu) -> Option<Place> {
        let has = |set: &Vec<ServiceProfile>| {
            set.iter()
                .flat_map(|profile| &profile.public_identities)
                .any(|i| i.impu == *impu)
        };
        let set = self.subscribers[subscriber].implicit_sets.iter().position(has)?;
        Some(Place { subscriber, set })
    }

    fn subscription(&self, subscriber: usize) -> &Subscription {
        &self.subscriptions[self.subscription_of[subscriber]]
    }

    fn profiles(&self, place: Place) -> &[ServiceProfile] {
        &self.subscribers[place.subscriber].implicit_sets[place.set]
    }

    fn identities(&self, place: Place) -> impl Iterator<Item = &hss_client::user_data::PublicIdentity> {
        self.profiles(place)
            .iter()
            .flat_map(|profile| &profile.public_identities)
    }

    fn print(&self, impi: &Impi, place: Place) -> Bytes {
        profile_xml::print(impi, self.profiles(place)).into()
    }

    /// Changes the state of every identity of an implicit registration set.
    fn each_state(&mut self, place: Place, change: impl Fn(&mut ImpuState)) {
        let impus: Vec<Impu> = self.identities(place).map(|i| i.impu.clone()).collect();
        for impu in impus {
            change(self.states.entry(impu).or_default());
        }
    }
}

#[cfg(test)]
mod tests;
