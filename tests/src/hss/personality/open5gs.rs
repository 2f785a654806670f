//! Testkit: Cx as the HSS of Open5GS speaks it: what it knows of identities it has only in memory.

use bytes::Bytes;
use hss_client::cx::{
    AuthItem, AuthScheme, ChargingInformation, CxAnswer, CxRequest, CxResult, Lia, Lir, Maa, Mar, Saa, Sar,
    ServerAssignmentType, Uaa, Uar,
};
use hss_client::user_data::{InitialFilterCriterion, PublicIdentity, ServiceProfile};
use ims_common::aka::Auts;
use ims_common::identity::{Impi, Impu};
use rand::Rng;

use crate::hss::cx::{DiameterClient, Subscribers};
use crate::hss::profile_xml;
use crate::hss::subscribers::{Authentication, Subscriber, parse_ifcs};
use crate::milenage::Sqn;

/// How far each vector moves the sequence number.
const SQN_STEP: u64 = 32;
/// How far above `SQN_MS` a resynchronisation sets it.
const RESYNC_STEP: u64 = 33;

/// What is lost at a restart: who is who.
#[derive(Debug, Default)]
pub(in crate::hss) struct Open5gs {
    users: Vec<User>,
    /// RAND by subscriber, of the database: it stays until a resynchronisation.
    rands: Vec<Option<[u8; 16]>>,
    /// One more criterion for everybody: short messages.
    sms: Vec<InitialFilterCriterion>,
}

#[derive(Debug)]
struct User {
    impi: Impi,
    subscriber: usize,
    /// In the order in which they were learned.
    impus: Vec<Impu>,
    visited_network: String,
    server_name: Option<String>,
    is_assigned: bool,
}

impl Open5gs {
    /// Every MESSAGE with a short message goes to this server.
    pub(in crate::hss) fn send_sms_to(&mut self, uri: &str) {
        let spt = |group: u8, what: &str| {
            format!(
                "<SPT><ConditionNegated>0</ConditionNegated><Group>{group}</Group>{what}<Extension>\
                 <RegistrationType>0</RegistrationType></Extension></SPT>"
            )
        };
        let xml = format!(
            "<InitialFilterCriteria><Priority>2</Priority><TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF>\
             {}{}{}</TriggerPoint><ApplicationServer><ServerName>{uri}</ServerName>\
             <DefaultHandling>0</DefaultHandling></ApplicationServer></InitialFilterCriteria>",
            spt(1, "<Method>MESSAGE</Method>"),
            spt(
                2,
                "<SIPHeader><Header>Content-Type</Header><Content>application/vnd.3gpp.sms</Content></SIPHeader>"
            ),
            spt(3, "<SessionCase>0</SessionCase>"),
        );
        self.sms = parse_ifcs(&xml).unwrap_or_default();
    }

    /// The process restarts; the database stays.
    pub(in crate::hss) fn lose_memory(&mut self) {
        self.users.clear();
    }

    pub(in crate::hss) fn answer(
        &mut self,
        subscribers: &mut Subscribers,
        request: &CxRequest,
        from: &DiameterClient,
    ) -> CxAnswer {
        match request {
            CxRequest::Uar(uar) => CxAnswer::Uaa(self.on_uar(subscribers, uar)),
            CxRequest::Mar(mar) => CxAnswer::Maa(self.on_mar(subscribers, mar, from)),
            CxRequest::Sar(sar) => CxAnswer::Saa(self.on_sar(subscribers, sar, from)),
            CxRequest::Lir(lir) => CxAnswer::Lia(self.on_lir(lir)),
        }
    }

    /// The authorization type is not read, no capabilities are said.
    fn on_uar(&mut self, subscribers: &Subscribers, uar: &Uar) -> Uaa {
        let Some(subscriber) = by_digits(subscribers, uar.user_name.as_str()) else {
            return Uaa {
                result: CxResult::USER_UNKNOWN,
                ..Uaa::default()
            };
        };
        let known = self.users.iter().position(|user| user.impi == uar.user_name);
        let place = known.unwrap_or_else(|| {
            self.users.push(User {
                impi: uar.user_name.clone(),
                subscriber,
                impus: Vec::new(),
                visited_network: String::new(),
                server_name: None,
                is_assigned: false,
            });
            self.users.len() - 1
        });
        let user = &mut self.users[place];
        user.visited_network.clone_from(&uar.visited_network);
        user.learn(&uar.public_identity);
        let server_name = user.server_name.clone();
        let result = match server_name {
            Some(_) => CxResult::SUBSEQUENT_REGISTRATION,
            None => CxResult::FIRST_REGISTRATION,
        };
        Uaa {
            result,
            server_name,
            ..Uaa::default()
        }
    }

    fn user<'a>(users: &'a mut [User], impi: &Impi, impu: &Impu) -> Result<&'a mut User, CxResult> {
        users
            .iter_mut()
            .find(|user| user.impi == *impi && user.impus.contains(impu))
            .ok_or(CxResult::IDENTITIES_DONT_MATCH)
    }

    fn on_mar(&mut self, subscribers: &mut Subscribers, mar: &Mar, from: &DiameterClient) -> Maa {
        match self.auth_item(subscribers, mar) {
            Ok((item, subscriber)) => {
                if let Ok(user) = Self::user(&mut self.users, &mar.user_name, &mar.public_identity) {
                    user.server_name = Some(mar.server_name.clone());
                }
                subscribers.assign(subscriber, &mar.server_name, from);
                Maa {
                    result: CxResult::SUCCESS,
                    user_name: Some(mar.user_name.clone()),
                    public_identity: Some(mar.public_identity.clone()),
                    items: vec![item],
                    ..Maa::default()
                }
            }
            Err(result) => Maa {
                result,
                ..Maa::default()
            },
        }
    }

    fn auth_item(&mut self, subscribers: &mut Subscribers, mar: &Mar) -> Result<(AuthItem, usize), CxResult> {
        let place = Self::user(&mut self.users, &mar.user_name, &mar.public_identity)?.subscriber;
        if !matches!(mar.scheme, AuthScheme::Unknown | AuthScheme::DigestAkaV1Md5) {
            return Err(CxResult::AUTH_SCHEME_NOT_SUPPORTED);
        }
        let fresh: [u8; 16] = subscribers.rng.random();
        let subscriber = &mut subscribers.subscribers[place];
        let milenage = subscriber.milenage();
        let Authentication::Aka { amf, sqn, .. } = &mut subscriber.authentication else {
            return Err(CxResult::AUTH_SCHEME_NOT_SUPPORTED);
        };
        if self.rands.len() <= place {
            self.rands.resize(place + 1, None);
        }
        if let Some(authorization) = &mar.authorization {
            let opened = rand_and_auts(authorization).and_then(|(r, auts)| milenage.open_auts(&r, &auts));
            let sqn_ms = opened.ok_or(CxResult::AUTH_SCHEME_NOT_SUPPORTED)?;
            *sqn = Sqn::new(sqn_ms.number() + RESYNC_STEP);
            self.rands[place] = None;
        } else {
            *sqn = Sqn::new(sqn.number() + SQN_STEP);
        }
        let rand = *self.rands[place].get_or_insert(fresh);
        Ok((AuthItem::Aka(milenage.vector(rand, *sqn, *amf)), place))
    }

    fn on_sar(&mut self, subscribers: &mut Subscribers, sar: &Sar, from: &DiameterClient) -> Saa {
        match self.assign(subscribers, sar, from) {
            Ok(saa) => saa,
            Err(result) => Saa {
                result,
                ..Saa::default()
            },
        }
    }

    fn assign(
        &mut self,
        subscribers: &mut Subscribers,
        sar: &Sar,
        from: &DiameterClient,
    ) -> Result<Saa, CxResult> {
        let impi = sar.user_name.as_ref().ok_or(CxResult::USER_UNKNOWN)?;
        let impu = sar
            .public_identities
            .first()
            .ok_or(CxResult::Experimental(5004))?;
        let user = Self::user(&mut self.users, impi, impu)?;
        // Whoever says so serves the user.
        user.server_name = Some(sar.server_name.clone());
        subscribers.assign(user.subscriber, &sar.server_name, from);
        if !std::mem::replace(&mut user.is_assigned, true) {
            for number in numbers(&subscribers.subscribers[user.subscriber]) {
                let impus = [
                    format!("sip:{number}@{}", user.visited_network),
                    format!("tel:{number}"),
                ];
                for impu in impus.iter().filter_map(|text| Impu::parse(text).ok()) {
                    user.learn(&impu);
                }
            }
        }
        let says_profile = matches!(
            sar.assignment_type,
            ServerAssignmentType::Registration | ServerAssignmentType::ReRegistration
        ) && !sar.user_data_already_available;
        let charging = || ChargingInformation {
            primary_collection: Some("pcrf".into()),
            ..ChargingInformation::default()
        };
        // Every other type: nothing is said and nothing is forgotten.
        Ok(Saa {
            result: CxResult::SUCCESS,
            user_name: Some(impi.clone()),
            user_data: says_profile
                .then(|| profile(user, &subscribers.subscribers[user.subscriber], &self.sms)),
            charging: says_profile.then(charging),
            ..Saa::default()
        })
    }

    /// The very string that was learned, else "not stored", unknown users too.
    fn on_lir(&self, lir: &Lir) -> Lia {
        let mut users = self.users.iter();
        let found = users.find(|user| user.impus.contains(&lir.public_identity));
        match found.and_then(|user| user.server_name.clone()) {
            Some(name) => Lia {
                result: CxResult::SUCCESS,
                server_name: Some(name),
                ..Lia::default()
            },
            None => Lia {
                result: CxResult::SERVER_NAME_NOT_STORED,
                ..Lia::default()
            },
        }
    }
}

impl User {
    fn learn(&mut self, impu: &Impu) {
        if !self.impus.contains(impu) {
            self.impus.push(impu.clone());
        }
    }
}

/// All identities; the first, with which the phone registers, is barred.
fn profile(user: &User, subscriber: &Subscriber, sms: &[InitialFilterCriterion]) -> Bytes {
    let identity = |(index, impu): (usize, &Impu)| PublicIdentity {
        barred: index == 0,
        ..PublicIdentity::new(impu.clone())
    };
    let profiles = subscriber.implicit_sets.iter().flatten();
    let own = profiles.flat_map(|profile| &profile.filter_criteria);
    let profile = ServiceProfile {
        public_identities: user.impus.iter().enumerate().map(identity).collect(),
        filter_criteria: own.chain(sms).cloned().collect(),
        ..ServiceProfile::default()
    };
    profile_xml::print(&user.impi, &[profile]).into()
}

/// As an operator types them: without `+`.
fn numbers(subscriber: &Subscriber) -> Vec<String> {
    subscriber
        .public_identities()
        .filter_map(|i| {
            Some(
                i.impu
                    .as_str()
                    .strip_prefix("tel:")?
                    .trim_start_matches('+')
                    .to_owned(),
            )
        })
        .collect()
}

/// The digits before `@`, an IMSI or a number.
fn by_digits(subscribers: &Subscribers, user_name: &str) -> Option<usize> {
    let digits = user_name.split('@').next().unwrap_or_default();
    let is_imsi = |s: &Subscriber| s.impi.as_str().split('@').next() == Some(digits);
    let has_number = |s: &Subscriber| numbers(s).iter().any(|number| number == digits);
    let mut all = subscribers.subscribers.iter();
    all.position(|s| is_imsi(s) || has_number(s))
}

fn rand_and_auts(authorization: &[u8]) -> Option<([u8; 16], Auts)> {
    let (rand, auts) = authorization.split_first_chunk::<16>()?;
    Some((*rand, Auts(auts.try_into().ok()?)))
}
