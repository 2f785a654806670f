//! Table: the profile of one set as it is kept: what is the user's own in little room, what others have too shared.

use std::sync::Arc;

use hss_client::cx::ChargingInformation;
use hss_client::user_data::{IdentityType, ImsSubscription, PublicIdentity, ServiceProfile};
use ims_common::identity::{Impi, Impu};

use super::services::{Services, ServicesTable};
use super::shared::Shared;
use crate::ifc::SharedIfcSets;
use crate::registration_change::Served;

/// What the HSS gave for a set: in SAA and PPR.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    /// `None`: what is held stays.
    pub(crate) subscription: Option<ImsSubscription>,
    /// `None`: what is held stays.
    pub(crate) charging: Option<ChargingInformation>,
    /// Origin-Host of the HSS: later requests go there (TS 29.228 6.4). `None`: what is held stays.
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

/// What users have in common: services, charging addresses, HSSs.
#[derive(Debug, Default)]
pub(crate) struct SharedParts {
    pub(super) services: ServicesTable,
    charging: Shared<ChargingInformation>,
    hss_hosts: Shared<str>,
}

impl SharedParts {
    pub(super) fn set_shared_ifc_sets(&mut self, sets: SharedIfcSets) {
        self.services.set_shared_ifc_sets(sets);
    }

    pub(crate) fn charging(&mut self, charging: ChargingInformation) -> Arc<ChargingInformation> {
        self.charging.of(charging)
    }
}

/// The profile of one set.
#[derive(Debug, Default)]
pub(super) struct StoredProfile {
    subscription: Option<StoredSubscription>,
    pub(super) charging: Option<Arc<ChargingInformation>>,
    pub(super) hss_host: Option<Arc<str>>,
}

#[derive(Debug)]
struct StoredSubscription {
    private_identity: Impi,
    identities: Box<[StoredIdentity]>,
    /// Service profiles without their identities, and their criteria.
    services: Box<[Arc<Services>]>,
}

#[derive(Debug)]
struct StoredIdentity {
    impu: Impu,
    /// All that the HSS said, when it said more than the other fields hold.
    whole: Option<Box<PublicIdentity>>,
    /// Its place in `services`.
    profile: u16,
    barred: bool,
    identity_type: IdentityType,
    /// Neither a pattern nor listed before.
    is_member: bool,
}

impl StoredProfile {
    /// Takes over what the HSS has given.
    pub(super) fn update(&mut self, profile: Profile, shared: &mut SharedParts) {
        if let Some(subscription) = profile.subscription {
            self.subscription = Some(StoredSubscription::of(subscription, shared));
        }
        if let Some(charging) = profile.charging {
            self.charging = Some(shared.charging.of(charging));
        }
        if let Some(host) = profile.hss_host {
            self.hss_host = Some(shared.hss_hosts.of(host));
        }
    }

    /// As the HSS gave it, but for what is not kept: IMSI and the number of unusable identities.
    pub(super) fn subscription(&self) -> Option<ImsSubscription> {
        self.subscription.as_ref().map(StoredSubscription::whole)
    }

    /// The services of an identity. One that the HSS spells otherwise has those of the same number, else the first.
    pub(super) fn services_of(&self, impu: &Impu) -> Option<&Arc<Services>> {
        let stored = self.subscription.as_ref()?;
        let place = stored.place_of(impu).or_else(|| {
            let whole = stored.whole();
            let (_, identity) = whole.find(impu)?;
            stored.place_of(&identity.impu)
        });
        stored.services.get(usize::from(place.unwrap_or(0)))
    }

    /// All services with an identity that is not barred, `registered` before others.
    pub(super) fn served(&self, registered: &Impu) -> Vec<Served> {
        let Some(stored) = &self.subscription else {
            return Vec::new();
        };
        let identity_of = |number: usize| {
            let mut own = stored.identities.iter().filter(|identity| {
                usize::from(identity.profile) == number
                    && !identity.barred
                    && identity.identity_type == IdentityType::DistinctImpu
            });
            let first = own.clone().next();
            own.find(|identity| identity.impu == *registered).or(first)
        };
        let all = stored.services.iter().enumerate();
        all.filter_map(|(number, services)| {
            Some(Served {
                impu: identity_of(number)?.impu.clone(),
                services: services.clone(),
            })
        })
        .collect()
    }

    /// The members that the HSS lists, in its order.
    pub(super) fn listed(&self) -> impl Iterator<Item = Member> {
        let identities = self.subscription.iter().flat_map(|s| &*s.identities);
        identities
            .filter(|identity| identity.is_member)
            .map(|identity| Member {
                impu: identity.impu.clone(),
                barred: identity.barred,
                is_distinct: identity.identity_type == IdentityType::DistinctImpu,
            })
    }

    /// The identity of the other kind, SIP or tel, that means the same user with the same services: of the same alias
    /// group when the HSS says groups (TS 23.008 3.1.3), else of the same number.
    pub(super) fn alias_of(&self, impu: &Impu) -> Option<Impu> {
        let subscription = self.subscription.as_ref()?;
        let own = subscription.identities.iter().find(|own| own.impu == *impu)?;
        let is_alias = |other: &&StoredIdentity| {
            other.impu.is_tel() != impu.is_tel()
                && !other.barred
                && other.profile == own.profile
                && other.identity_type == IdentityType::DistinctImpu
                && match (own.alias_group(), other.alias_group()) {
                    (None, None) => has_same_number(impu, &other.impu),
                    (own, other) => own == other,
                }
        };
        let alias = subscription.identities.iter().find(is_alias)?;
        Some(alias.impu.clone())
    }

    /// The wildcarded identities that are not barred, with their patterns.
    pub(super) fn wildcarded(&self) -> impl Iterator<Item = (Impu, Option<String>)> {
        let identities = self.subscription.iter().flat_map(|s| &*s.identities);
        identities
            .filter(|identity| identity.identity_type == IdentityType::WildcardedImpu && !identity.barred)
            .filter_map(|identity| {
                let pattern = identity.whole.as_ref()?.wildcarded_impu.clone()?;
                Some((identity.impu.clone(), Some(pattern)))
            })
    }

    /// The application servers that the filter criteria name.
    pub(super) fn application_servers(&self) -> impl Iterator<Item = &str> {
        let services = self.subscription.iter().flat_map(|s| &*s.services);
        services.flat_map(|services| services.criteria.application_servers())
    }

    /// Makes the private identity share its text with an equal one.
    pub(super) fn share(&mut self, impi: &Impi) {
        if let Some(subscription) = &mut self.subscription
            && subscription.private_identity == *impi
        {
            subscription.private_identity = impi.clone();
        }
    }
}

impl StoredSubscription {
    fn of(subscription: ImsSubscription, shared: &mut SharedParts) -> Self {
        let mut identities: Vec<StoredIdentity> = Vec::new();
        let mut services = Vec::with_capacity(subscription.profiles.len());
        for (number, mut profile) in subscription.profiles.into_iter().enumerate() {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            for identity in std::mem::take(&mut profile.public_identities) {
                let mut stored = StoredIdentity::of(identity, number);
                // The first of two entries of one identity counts.
                let is_known = |known: &StoredIdentity| known.is_member && known.impu == stored.impu;
                stored.is_member &= !identities.iter().any(is_known);
                identities.push(stored);
            }
            services.push(shared.services.of(profile));
        }
        Self {
            private_identity: subscription.private_identity,
            identities: identities.into_boxed_slice(),
            services: services.into_boxed_slice(),
        }
    }

    /// Which of the services an identity has.
    fn place_of(&self, impu: &Impu) -> Option<u16> {
        let mut identities = self.identities.iter();
        identities.find(|i| i.impu == *impu).map(|i| i.profile)
    }

    fn whole(&self) -> ImsSubscription {
        let profiles = self.services.iter().enumerate().map(|(number, services)| {
            let own = |identity: &&StoredIdentity| usize::from(identity.profile) == number;
            let mut profile = ServiceProfile::clone(&services.profile);
            profile.public_identities = self
                .identities
                .iter()
                .filter(own)
                .map(StoredIdentity::whole)
                .collect();
            profile
        });
        ImsSubscription {
            private_identity: self.private_identity.clone(),
            imsi: None,
            profiles: profiles.collect(),
            unusable_identities: 0,
        }
    }
}

impl StoredIdentity {
    fn alias_group(&self) -> Option<&str> {
        self.whole.as_ref()?.alias_group.as_deref()
    }

    fn of(identity: PublicIdentity, profile: u16) -> Self {
        let mut stored = Self {
            impu: identity.impu.clone(),
            whole: None,
            profile,
            barred: identity.barred,
            identity_type: identity.identity_type,
            is_member: !is_pattern(identity.identity_type),
        };
        if stored.whole() != identity {
            stored.whole = Some(Box::new(identity));
        }
        stored
    }

    fn whole(&self) -> PublicIdentity {
        match &self.whole {
            Some(whole) => PublicIdentity::clone(whole),
            None => PublicIdentity {
                barred: self.barred,
                identity_type: self.identity_type,
                ..PublicIdentity::new(self.impu.clone())
            },
        }
    }
}

/// Whether both user parts are one global number, whatever is written before it.
fn has_same_number(one: &Impu, other: &Impu) -> bool {
    let digits = |impu: &Impu| {
        let user = impu.user()?;
        let digits = user.strip_prefix('+').unwrap_or(user);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.to_owned())
    };
    digits(one).is_some_and(|own| digits(other) == Some(own))
}

fn is_pattern(identity_type: IdentityType) -> bool {
    matches!(
        identity_type,
        IdentityType::WildcardedPsi | IdentityType::WildcardedImpu
    )
}

/// The identities of a profile in its order; wildcards are patterns, not members.
pub(crate) fn members_of(subscription: &ImsSubscription) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for identity in subscription.public_identities() {
        if !is_pattern(identity.identity_type) && !members.iter().any(|m| m.impu == identity.impu) {
            members.push(Member {
                impu: identity.impu.clone(),
                barred: identity.barred,
                is_distinct: identity.is_distinct(),
            });
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use hss_client::user_data;

    const TWO_PROFILES: &str = "<IMSSubscription><PrivateID>alice@home.example</PrivateID>\
        <ServiceProfile><PublicIdentity><Identity>sip:a@home.example</Identity><BarringIndication>1</BarringIndication>\
        </PublicIdentity><PublicIdentity><Identity>sip:chat@home.example</Identity><Extension><IdentityType>2\
        </IdentityType><WildcardedPSI>sip:chat!.*!@home.example</WildcardedPSI></Extension></PublicIdentity>\
        <InitialFilterCriteria><Priority>1</Priority><ApplicationServer><ServerName>sip:as.home.example</ServerName>\
        </ApplicationServer></InitialFilterCriteria></ServiceProfile>\
        <ServiceProfile><PublicIdentity><Identity>tel:+15550001</Identity></PublicIdentity></ServiceProfile>\
        </IMSSubscription>";

    fn stored(xml: &str, shared: &mut SharedParts) -> StoredProfile {
        let mut stored = StoredProfile::default();
        let profile = Profile {
            subscription: Some(user_data::parse(xml.as_bytes()).unwrap()),
            ..Profile::default()
        };
        stored.update(profile, shared);
        stored
    }

    #[test]
    fn nothing_of_a_subscription_is_lost_by_storing_it() {
        let stored = stored(TWO_PROFILES, &mut SharedParts::default());
        let given = user_data::parse(TWO_PROFILES.as_bytes()).unwrap();
        assert_eq!(stored.subscription(), Some(given.clone()));
        assert_eq!(stored.listed().collect::<Vec<_>>(), members_of(&given));
    }

    #[test]
    fn users_with_the_same_services_hold_them_once() {
        let mut shared = SharedParts::default();
        let alice = stored(TWO_PROFILES, &mut shared);
        let bob = stored(
            &TWO_PROFILES.replace("alice@", "bob@").replace("sip:a@", "sip:b@"),
            &mut shared,
        );
        let services = |stored: &StoredProfile| stored.subscription.as_ref().unwrap().services[0].clone();
        assert!(Arc::ptr_eq(&services(&alice), &services(&bob)));
    }

    #[test]
    fn an_identity_has_the_services_of_its_profile_in_whatever_spelling() {
        let stored = stored(TWO_PROFILES, &mut SharedParts::default());
        let criteria = |text: &str| {
            let services = stored.services_of(&Impu::parse(text).unwrap()).unwrap();
            services.criteria.len()
        };
        assert_eq!(criteria("sip:a@home.example"), 1);
        assert_eq!(criteria("tel:+15550001"), 0);
        assert_eq!(criteria("sip:15550001@home.example"), 0);
        assert_eq!(criteria("sip:unlisted@home.example"), 1);
    }

    #[test]
    fn an_alias_is_of_the_other_kind_and_of_the_same_group_or_number() {
        let identity = |text: &str, group: &str| {
            let group = match group {
                "" => String::new(),
                group => format!(
                    "<Extension><IdentityType>0</IdentityType><Extension>\
                     <AliasIdentityGroupID>{group}</AliasIdentityGroupID></Extension></Extension>"
                ),
            };
            format!("<PublicIdentity><Identity>{text}</Identity>{group}</PublicIdentity>")
        };
        let alias = |identities: [String; 3], of: &str| {
            let xml = format!(
                "<IMSSubscription><PrivateID>a@h.example</PrivateID><ServiceProfile>{}</ServiceProfile>\
                 </IMSSubscription>",
                identities.concat()
            );
            let stored = stored(&xml, &mut SharedParts::default());
            let alias = stored.alias_of(&Impu::parse(of).unwrap());
            alias.map(|alias| alias.as_str().to_owned())
        };
        let by_number = || ["sip:+1555@h.example", "tel:+1666", "tel:1555"].map(|text| identity(text, ""));
        assert_eq!(
            alias(by_number(), "sip:+1555@h.example").as_deref(),
            Some("tel:1555")
        );
        assert_eq!(alias(by_number(), "tel:+1666"), None);
        let by_group = [
            identity("sip:alice@h.example", "1"),
            identity("tel:+1555", "2"),
            identity("tel:+1666", "1"),
        ];
        assert_eq!(
            alias(by_group, "sip:alice@h.example").as_deref(),
            Some("tel:+1666")
        );
    }

    #[test]
    fn what_an_answer_does_not_say_stays_as_it_was() {
        let mut shared = SharedParts::default();
        let mut stored = stored(TWO_PROFILES, &mut shared);
        let profile = Profile {
            hss_host: Some("hss1.example".to_owned()),
            ..Profile::default()
        };
        stored.update(profile, &mut shared);
        stored.update(Profile::default(), &mut shared);
        assert_eq!(stored.hss_host.as_deref(), Some("hss1.example"));
        assert!(stored.subscription().is_some());
    }
}
