//! Testkit: what an HSS answers on Cx, and what it remembers (TS 29.228 6.1 to 6.3).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hss_client::cx::{
    AuthItem, AuthScheme, CxAnswer, CxRequest, CxResult, DeregistrationReason, DigestHa1, Lia, Lir, Maa, Mar,
    Ppr, ReasonCode, Rtr, Saa, Sar, ServerAssignmentType, ServerCapabilities, Uaa, Uar,
    UserAuthorizationType,
};
use hss_client::user_data::ServiceProfile;
use ims_common::aka::{Auts, DigestHash};
use ims_common::identity::{Impi, Impu};
use rand::Rng;
use rand::rngs::StdRng;

use super::profile_xml;
use super::subscribers::{Authentication, Subscriber};

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
    subscribers: Vec<Subscriber>,
    by_impi: BTreeMap<Impi, usize>,
    /// Who has a public identity; several phones may share one.
    by_impu: BTreeMap<Impu, Vec<usize>>,
    /// By subscriber: which subscription it belongs to.
    subscription_of: Vec<usize>,
    subscriptions: Vec<Subscription>,
    states: BTreeMap<Impu, ImpuState>,
    rng: StdRng,
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

    /// TS 29.228 6.3.1.
    fn on_mar(&mut self, mar: &Mar, from: &DiameterClient) -> Maa {
        let refuse = |result| Maa {
            result,
            ..Maa::default()
        };
        let place = match self.check(&mar.user_name, &mar.public_identity) {
            Ok(place) => place,
            Err(result) => return refuse(result),
        };
        let item = match self.auth_item(place.subscriber, mar) {
            Ok(item) => item,
            Err(result) => return refuse(result),
        };
        // The S-CSCF that challenges becomes the one that serves; the identity is now being authenticated.
        self.assign(place.subscriber, &mar.server_name, from);
        let state = self.states.entry(mar.public_identity.clone()).or_default();
        state.auth_pending.insert(mar.user_name.clone());
        Maa {
            result: CxResult::SUCCESS,
            user_name: Some(mar.user_name.clone()),
            items: vec![item],
            ..Maa::default()
        }
    }

    fn auth_item(&mut self, index: usize, mar: &Mar) -> Result<AuthItem, CxResult> {
        let breaks_mac = self.breaks_mac;
        let rand: [u8; 16] = self.rng.random();
        let subscriber = &mut self.subscribers[index];
        let milenage = subscriber.milenage();
        let is_digest = matches!(subscriber.authentication, Authentication::Digest { .. });
        let fits = match mar.scheme {
            AuthScheme::DigestAkaV1Md5 | AuthScheme::DigestAkaV2Sha256 => !is_digest,
            AuthScheme::SipDigest => is_digest,
            AuthScheme::Unknown => true,
            AuthScheme::Other(_) => false,
        };
        if !fits {
            return Err(CxResult::AUTH_SCHEME_NOT_SUPPORTED);
        }
        match &mut subscriber.authentication {
            Authentication::Aka { amf, sqn, .. } => {
                if let Some(authorization) = &mar.authorization {
                    // TS 33.102 6.3.5: SQN_HE follows SQN_MS only when MAC-S is right.
                    *sqn = rand_and_auts(authorization)
                        .ok_or(CxResult::Base(5004))
                        .and_then(|(rand, auts)| {
                            milenage.open_auts(&rand, &auts).ok_or(CxResult::UNABLE_TO_COMPLY)
                        })?;
                }
                *sqn = sqn.next();
                let mut vector = milenage.vector(rand, *sqn, *amf);
                vector.autn[15] ^= u8::from(breaks_mac);
                Ok(AuthItem::Aka(vector))
            }
            Authentication::Digest { password } => {
                let password = password.clone();
                Ok(AuthItem::Digest(DigestHa1 {
                    realm: subscriber.home.clone(),
                    qop: "auth".into(),
                    algorithm: None,
                    ha1: subscriber.ha1(DigestHash::Md5, &password),
                    ha1_sha256: Some(subscriber.ha1(DigestHash::Sha256, &password)),
                }))
            }
        }
    }

    /// TS 29.228 6.1.2.
    fn on_sar(&mut self, sar: &Sar, from: &DiameterClient) -> Saa {
        match self.assign_by_sar(sar, from) {
            Ok(saa) => saa,
            Err(saa) => *saa,
        }
    }

    fn assign_by_sar(&mut self, sar: &Sar, from: &DiameterClient) -> Result<Saa, Box<Saa>> {
        use ServerAssignmentType as Type;
        let refuse = |result| {
            Box::new(Saa {
                result,
                ..Saa::default()
            })
        };
        let (impi, places) = self.concerned(sar).map_err(refuse)?;
        let Some(&place) = places.first() else {
            return Err(refuse(CxResult::USER_UNKNOWN));
        };
        let stored = self.subscription(place.subscriber).server_name.clone();
        let is_other = stored.as_ref().is_some_and(|name| *name != sar.server_name);
        let is_served = sar
            .public_identities
            .iter()
            .any(|i| self.state(i) != RegistrationState::NotRegistered);
        match sar.assignment_type {
            Type::NoAssignment if stored.is_none() || is_other => Err(refuse(CxResult::UNABLE_TO_COMPLY)),
            Type::NoAssignment => Ok(self.profile_answer(sar, &impi, place)),
            // Another S-CSCF serves the user, and says so to nobody but its own clients.
            Type::Registration | Type::ReRegistration | Type::UnregisteredUser if is_other && is_served => {
                let server_name = stored;
                let result = CxResult::IDENTITY_ALREADY_REGISTERED;
                Err(Box::new(Saa {
                    result,
                    server_name,
                    ..Saa::default()
                }))
            }
            Type::Registration | Type::ReRegistration => {
                self.assign(place.subscriber, &sar.server_name, from);
                self.each_state(place, |state| {
                    state.registered.insert(impi.clone());
                    state.auth_pending.remove(&impi);
                    state.unregistered = false;
                });
                Ok(self.profile_answer(sar, &impi, place))
            }
            Type::UnregisteredUser => {
                if sar
                    .public_identities
                    .iter()
                    .any(|i| self.state(i) == RegistrationState::Registered)
                {
                    return Err(refuse(CxResult::IN_ASSIGNMENT_TYPE));
                }
                self.assign(place.subscriber, &sar.server_name, from);
                self.each_state(place, |state| state.unregistered = true);
                Ok(self.profile_answer(sar, &impi, place))
            }
            // TS 29.228 6.1.2.1: only the S-CSCF that serves the user may take it down.
            _ if is_other => Err(refuse(CxResult::UNABLE_TO_COMPLY)),
            Type::AuthenticationFailure | Type::AuthenticationTimeout => {
                places.iter().for_each(|place| {
                    self.each_state(*place, |state| {
                        state.auth_pending.remove(&impi);
                    });
                });
                self.forget_server_when_unused(place.subscriber);
                Ok(Saa {
                    result: CxResult::SUCCESS,
                    user_name: Some(impi),
                    ..Saa::default()
                })
            }
            Type::TimeoutDeregistrationStoreServerName | Type::UserDeregistrationStoreServerName => {
                let keeps = self.keeps_server_names;
                Ok(self.deregister(&impi, &places, keeps))
            }
            Type::TimeoutDeregistration
            | Type::UserDeregistration
            | Type::AdministrativeDeregistration
            | Type::DeregistrationTooMuchData => {
                let mut saa = self.deregister(&impi, &places, false);
                saa.result = CxResult::SUCCESS;
                Ok(saa)
            }
        }
    }

    /// Whom a SAR is about: known identities that belong together, one for the types that need one.
    fn concerned(&self, sar: &Sar) -> Result<(Impi, Vec<Place>), CxResult> {
        let wants_one = sar.assignment_type.code() <= ServerAssignmentType::UnregisteredUser.code();
        if wants_one && sar.public_identities.len() > 1 {
            // RFC 6733 7.1.5: DIAMETER_AVP_OCCURS_TOO_MANY_TIMES.
            return Err(CxResult::Base(5009));
        }
        match (&sar.user_name, sar.public_identities.first()) {
            (Some(impi), None) if !wants_one => {
                let subscriber = self.by_impi(impi).ok_or(CxResult::USER_UNKNOWN)?;
                let sets = self.subscribers[subscriber].implicit_sets.len();
                Ok((
                    impi.clone(),
                    (0..sets).map(|set| Place { subscriber, set }).collect(),
                ))
            }
            (_, None) => Err(CxResult::Base(5005)),
            (Some(impi), Some(_)) => {
                let places = sar.public_identities.iter().map(|impu| self.check(impi, impu));
                Ok((impi.clone(), places.collect::<Result<_, _>>()?))
            }
            (None, Some(impu)) => {
                let place = self.holder(impu).ok_or(CxResult::USER_UNKNOWN)?;
                Ok((self.subscribers[place.subscriber].impi.clone(), vec![place]))
            }
        }
    }

    fn deregister(&mut self, impi: &Impi, places: &[Place], keeps_name: bool) -> Saa {
        for place in places {
            self.each_state(*place, |state| {
                state.registered.remove(impi);
                state.auth_pending.remove(impi);
                state.unregistered = keeps_name && state.registered.is_empty();
            });
        }
        if let Some(place) = places.first() {
            self.forget_server_when_unused(place.subscriber);
        }
        let result = if keeps_name {
            CxResult::SUCCESS
        } else {
            CxResult::SERVER_NAME_NOT_STORED
        };
        Saa {
            result,
            user_name: Some(impi.clone()),
            ..Saa::default()
        }
    }

    fn profile_answer(&self, sar: &Sar, impi: &Impi, place: Place) -> Saa {
        let subscriber = &self.subscribers[place.subscriber];
        let members = &self.subscription(place.subscriber).members;
        let associated: Vec<Impi> = members
            .iter()
            .map(|m| self.subscribers[*m].impi.clone())
            .collect();
        Saa {
            result: CxResult::SUCCESS,
            user_name: Some(impi.clone()),
            user_data: (!sar.user_data_already_available).then(|| self.print(impi, place)),
            charging: subscriber.charging.clone(),
            associated_identities: if associated.len() > 1 {
                associated
            } else {
                Vec::new()
            },
            ..Saa::default()
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

    fn assign(&mut self, subscriber: usize, server_name: &str, from: &DiameterClient) {
        let subscription = &mut self.subscriptions[self.subscription_of[subscriber]];
        subscription.server_name = Some(server_name.to_owned());
        subscription.scscf = Some(from.clone());
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
        if !is_used {
            let subscription = &mut self.subscriptions[self.subscription_of[subscriber]];
            subscription.server_name = None;
            subscription.scscf = None;
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

/// RAND and AUTS of a SIP-Authorization.
fn rand_and_auts(authorization: &[u8]) -> Option<([u8; 16], Auts)> {
    let (rand, auts) = authorization.split_at_checked(16)?;
    Some((rand.try_into().ok()?, Auts(auts.try_into().ok()?)))
}

#[cfg(test)]
mod tests;
