//! Testkit: what an HSS knows about a user, by builder or by YAML.

use hss_client::cx::{ChargingInformation, ServerCapabilities};
use hss_client::user_data::{
    self, InitialFilterCriterion, ProfilePart, PublicIdentity, ServiceProfile, SessionCase, SptCondition,
};
use ims_common::aka::{DigestHash, Ha1, Secret};
use ims_common::identity::{Impi, Impu};

use crate::milenage::{Milenage, Sqn};
use crate::usim::Usim;

/// K of subscribers that name none; shared with the simulated phones.
pub const TEST_K: [u8; 16] = [
    0x46, 0x5B, 0x5C, 0xE8, 0xB1, 0x99, 0xB4, 0x9F, 0xAA, 0x5F, 0x0A, 0x2E, 0xE2, 0x38, 0xA6, 0xBC,
];

/// OPc of subscribers that name none.
pub const TEST_OPC: [u8; 16] = [
    0xCD, 0x63, 0xCB, 0x71, 0x95, 0x4A, 0x9F, 0x4E, 0x48, 0xA5, 0x99, 0x4E, 0x37, 0xA0, 0x2B, 0xAF,
];

/// One private identity with its secret and its public identities.
///
/// Public identities stand in implicit registration sets; most users have one set. Two subscribers with
/// a public identity in common are one subscription with two phones.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub(super) impi: Impi,
    pub(super) home: String,
    pub(super) authentication: Authentication,
    pub(super) implicit_sets: Vec<Vec<ServiceProfile>>,
    pub(super) capabilities: Option<ServerCapabilities>,
    pub(super) charging: Option<ChargingInformation>,
    /// `None` allows all.
    pub(super) visited_networks: Option<Vec<String>>,
    pub(super) server_name: Option<String>,
    unregistered_services: Option<bool>,
}

/// What AKA with a subscriber takes.
#[derive(Clone, Debug)]
pub struct SubscriberKeys {
    /// K
    pub k: Secret<[u8; 16]>,
    /// OPc
    pub opc: Secret<[u8; 16]>,
    /// AMF
    pub amf: [u8; 2],
    /// The sequence number that was given out last.
    pub sqn: Sqn,
}

/// What a subscriber proves its identity with.
#[derive(Clone, Debug)]
pub(super) enum Authentication {
    Aka {
        k: Secret<[u8; 16]>,
        opc: Secret<[u8; 16]>,
        amf: [u8; 2],
        sqn: Sqn,
    },
    Digest {
        password: Secret<String>,
        /// The HSS has H(A1) of SHA-256 beside that of MD5.
        sha256: bool,
    },
}

impl Subscriber {
    /// A subscriber of this IMSI, MNC of two digits, with the IMSI-derived identities of TS 23.003 13.3
    /// and 13.4B, the test keys, and no services.
    ///
    /// # Panics
    /// When the text is no IMSI.
    #[must_use]
    pub fn new(imsi: &str) -> Self {
        let is_imsi = (6..=15).contains(&imsi.len()) && imsi.bytes().all(|b| b.is_ascii_digit());
        assert!(is_imsi, "an IMSI has 6 to 15 digits");
        let home = format!("ims.mnc0{}.mcc{}.3gppnetwork.org", &imsi[3..5], &imsi[..3]);
        let imsi_identity = format!("{imsi}@{home}");
        let mut subscriber = Self {
            impi: parse_impi(&imsi_identity),
            home,
            authentication: Authentication::Aka {
                k: Secret::new(TEST_K),
                opc: Secret::new(TEST_OPC),
                amf: [0x80, 0],
                sqn: Sqn::default(),
            },
            implicit_sets: vec![vec![ServiceProfile::default()]],
            capabilities: None,
            charging: None,
            visited_networks: None,
            server_name: None,
            unregistered_services: None,
        };
        subscriber
            .profile()
            .public_identities
            .push(identity(&format!("sip:{imsi_identity}")));
        subscriber
    }

    /// With another private identity.
    ///
    /// # Panics
    /// When the text is none.
    #[must_use]
    pub fn impi(mut self, text: &str) -> Self {
        self.impi = parse_impi(text);
        self
    }

    /// With K and OPc.
    #[must_use]
    pub fn key(mut self, k: [u8; 16], opc: [u8; 16]) -> Self {
        let (_, _, amf, sqn) = self.aka();
        self.authentication = Authentication::Aka {
            k: Secret::new(k),
            opc: Secret::new(opc),
            amf,
            sqn,
        };
        self
    }

    /// With another AMF.
    #[must_use]
    pub fn amf(mut self, amf: [u8; 2]) -> Self {
        let (k, opc, _, sqn) = self.aka();
        self.authentication = Authentication::Aka {
            k: Secret::new(k),
            opc: Secret::new(opc),
            amf,
            sqn,
        };
        self
    }

    /// With the sequence number that was given out last.
    #[must_use]
    pub fn sqn(mut self, sqn: Sqn) -> Self {
        let (k, opc, amf, _) = self.aka();
        self.authentication = Authentication::Aka {
            k: Secret::new(k),
            opc: Secret::new(opc),
            amf,
            sqn,
        };
        self
    }

    /// With a password for SIP Digest, instead of AKA.
    #[must_use]
    pub fn digest_password(mut self, password: &str) -> Self {
        self.authentication = Authentication::Digest {
            password: Secret::new(password.to_owned()),
            sha256: true,
        };
        self
    }

    /// With H(A1) of MD5 only, as of an HSS before TS 29.229 release 16; no effect on AKA.
    #[must_use]
    pub const fn md5_only(mut self) -> Self {
        if let Authentication::Digest { sha256, .. } = &mut self.authentication {
            *sha256 = false;
        }
        self
    }

    /// With a number: `sip:+N@home` and `tel:+N`, aliases of each other. The IMSI-derived identity, which
    /// nobody should see, becomes barred (TS 23.003 13.4B).
    #[must_use]
    pub fn msisdn(mut self, number: &str) -> Self {
        let number = number.trim_start_matches('+');
        let sip = format!("sip:+{number}@{}", self.home);
        let imsi_identity = format!("sip:{}", self.impi.as_str());
        let profile = self.profile();
        for entry in &mut profile.public_identities {
            entry.barred |= entry.impu.as_str() == imsi_identity;
        }
        for text in [sip, format!("tel:+{number}")] {
            let entry = PublicIdentity {
                alias_group: Some("1".into()),
                ..identity(&text)
            };
            profile.public_identities.push(entry);
        }
        self
    }

    /// With a further public identity in the present set.
    ///
    /// # Panics
    /// When the text is none.
    #[must_use]
    pub fn impu(self, text: &str) -> Self {
        self.public_identity(identity(text))
    }

    /// With a further, barred, public identity in the present set.
    ///
    /// # Panics
    /// When the text is none.
    #[must_use]
    pub fn barred_impu(self, text: &str) -> Self {
        self.public_identity(PublicIdentity {
            barred: true,
            ..identity(text)
        })
    }

    /// With a further entry in the present profile; one of the same identity is replaced.
    #[must_use]
    pub fn public_identity(mut self, entry: PublicIdentity) -> Self {
        let identities = &mut self.profile().public_identities;
        match identities.iter_mut().find(|it| it.impu == entry.impu) {
            Some(same) => *same = entry,
            None => identities.push(entry),
        }
        self
    }

    /// Without the public identities so far.
    #[must_use]
    pub fn without_impus(mut self) -> Self {
        self.profile().public_identities.clear();
        self
    }

    /// What follows belongs to another service profile of the same implicit registration set.
    #[must_use]
    pub fn next_profile(mut self) -> Self {
        self.set().push(ServiceProfile::default());
        self
    }

    /// What follows belongs to another implicit registration set.
    #[must_use]
    pub fn next_implicit_set(mut self) -> Self {
        self.implicit_sets.push(vec![ServiceProfile::default()]);
        self
    }

    /// With an initial filter criterion.
    #[must_use]
    pub fn ifc(mut self, criterion: impl Into<InitialFilterCriterion>) -> Self {
        self.profile().filter_criteria.push(criterion.into());
        self
    }

    /// With sets of criteria that the S-CSCF holds (TS 29.228 `SharedIFCSetID`).
    #[must_use]
    pub fn shared_ifc_sets(mut self, ids: &[u32]) -> Self {
        self.profile().shared_ifc_set_ids.extend(ids);
        self
    }

    /// With initial filter criteria as XML, zero or more elements `InitialFilterCriteria`.
    ///
    /// # Panics
    /// When the XML is none.
    #[must_use]
    pub fn ifc_xml(mut self, xml: &str) -> Self {
        let criteria = parse_ifcs(xml).unwrap_or_else(|e| panic!("initial filter criteria: {e}"));
        self.profile().filter_criteria.extend(criteria);
        self
    }

    /// With capabilities that the S-CSCF must and should have.
    #[must_use]
    pub fn capabilities(mut self, mandatory: &[u32], optional: &[u32]) -> Self {
        self.capabilities = Some(ServerCapabilities {
            mandatory: mandatory.to_vec(),
            optional: optional.to_vec(),
            server_names: Vec::new(),
        });
        self
    }

    /// With charging functions.
    #[must_use]
    pub fn charging(mut self, charging: ChargingInformation) -> Self {
        self.charging = Some(charging);
        self
    }

    /// Allowed only in these visited networks.
    #[must_use]
    pub fn allowed_in(mut self, networks: &[&str]) -> Self {
        self.visited_networks = Some(networks.iter().map(|n| (*n).to_owned()).collect());
        self
    }

    /// With an S-CSCF assigned beforehand.
    #[must_use]
    pub fn assigned_to(mut self, server_name: &str) -> Self {
        self.server_name = Some(server_name.to_owned());
        self
    }

    /// With or without services in the unregistered state, whatever the criteria say.
    #[must_use]
    pub fn unregistered_services(mut self, has: bool) -> Self {
        self.unregistered_services = Some(has);
        self
    }

    /// The private identity.
    #[must_use]
    pub fn private_identity(&self) -> &Impi {
        &self.impi
    }

    /// All public identities, set by set.
    pub fn public_identities(&self) -> impl Iterator<Item = &PublicIdentity> {
        self.implicit_sets
            .iter()
            .flatten()
            .flat_map(|profile| &profile.public_identities)
    }

    /// The public identities of each implicit registration set.
    pub fn implicit_sets(&self) -> impl Iterator<Item = impl Iterator<Item = &PublicIdentity>> {
        let sets = self.implicit_sets.iter();
        sets.map(|profiles| profiles.iter().flat_map(|profile| &profile.public_identities))
    }

    /// It has K and OPc, not a password.
    #[must_use]
    pub const fn has_keys(&self) -> bool {
        matches!(self.authentication, Authentication::Aka { .. })
    }

    /// K, OPc and AMF; none when it has a password.
    #[must_use]
    pub fn keys(&self) -> Option<SubscriberKeys> {
        match &self.authentication {
            Authentication::Aka { k, opc, amf, sqn } => Some(SubscriberKeys {
                k: k.clone(),
                opc: opc.clone(),
                amf: *amf,
                sqn: *sqn,
            }),
            Authentication::Digest { .. } => None,
        }
    }

    /// The same subscriber with other criteria, for a changed profile.
    #[must_use]
    pub fn without_ifcs(mut self) -> Self {
        self.profile().filter_criteria.clear();
        self
    }

    /// A USIM with this subscriber's keys that has accepted nothing yet.
    #[must_use]
    pub fn usim(&self) -> Usim {
        let (k, opc, _, _) = self.aka();
        Usim::new(&k, &opc)
    }

    pub(super) fn milenage(&self) -> Milenage {
        let (k, opc, _, _) = self.aka();
        Milenage::new(&k, &opc)
    }

    /// Whether a request for an identity that is not registered concerns an S-CSCF at all.
    pub(super) fn has_unregistered_services(&self) -> bool {
        self.unregistered_services.unwrap_or_else(|| {
            let mut criteria = self
                .implicit_sets
                .iter()
                .flatten()
                .flat_map(|p| &p.filter_criteria);
            criteria.any(is_for_unregistered)
        })
    }

    pub(super) fn ha1(&self, hash: DigestHash, password: &Secret<String>) -> Secret<String> {
        let user = self.impi.as_str().as_bytes();
        let ha1 = Ha1::new(hash, user, self.home.as_bytes(), password.expose().as_bytes());
        Secret::new(ha1.expose_hex().to_owned())
    }

    pub(super) fn aka(&self) -> ([u8; 16], [u8; 16], [u8; 2], Sqn) {
        match &self.authentication {
            Authentication::Aka { k, opc, amf, sqn } => (*k.expose(), *opc.expose(), *amf, *sqn),
            Authentication::Digest { .. } => (TEST_K, TEST_OPC, [0x80, 0], Sqn::default()),
        }
    }

    fn set(&mut self) -> &mut Vec<ServiceProfile> {
        let last = self.implicit_sets.len() - 1;
        &mut self.implicit_sets[last]
    }

    pub(super) fn profile(&mut self) -> &mut ServiceProfile {
        let set = self.set();
        let last = set.len() - 1;
        &mut set[last]
    }
}

fn is_for_unregistered(criterion: &InitialFilterCriterion) -> bool {
    let is_unregistered_case = |case: &SessionCase| {
        matches!(
            case,
            SessionCase::TerminatingUnregistered | SessionCase::OriginatingUnregistered
        )
    };
    criterion.profile_part == Some(ProfilePart::Unregistered)
        || criterion
            .trigger_point
            .iter()
            .flat_map(|trigger| &trigger.spts)
            .any(
                |spt| matches!(&spt.condition, SptCondition::SessionCase(case) if is_unregistered_case(case)),
            )
}

fn identity(text: &str) -> PublicIdentity {
    let impu = Impu::parse(text).unwrap_or_else(|e| panic!("public identity: {e}"));
    PublicIdentity::new(impu)
}

fn parse_impi(text: &str) -> Impi {
    Impi::parse(text).unwrap_or_else(|e| panic!("private identity: {e}"))
}

pub(super) fn parse_ifcs(xml: &str) -> Result<Vec<InitialFilterCriterion>, user_data::UserDataError> {
    let document = format!(
        "<IMSSubscription><PrivateID>a@h</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:a@h</Identity>\
         </PublicIdentity>{xml}</ServiceProfile></IMSSubscription>"
    );
    let mut subscription = user_data::parse(document.as_bytes())?;
    Ok(subscription
        .profiles
        .pop()
        .map(|profile| profile.filter_criteria)
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impus(subscriber: &Subscriber) -> Vec<(&str, bool)> {
        subscriber
            .public_identities()
            .map(|i| (i.impu.as_str(), i.barred))
            .collect()
    }

    #[test]
    fn a_number_bars_the_imsi_derived_identity() {
        let plain = Subscriber::new("001010000000001");
        let imsi_identity = "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
        assert_eq!(impus(&plain), [(imsi_identity, false)]);
        assert_eq!(
            impus(&plain.msisdn("15550001")),
            [
                (imsi_identity, true),
                ("sip:+15550001@ims.mnc001.mcc001.3gppnetwork.org", false),
                ("tel:+15550001", false)
            ]
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = format!("{:?}", Subscriber::new("001010000000001"));
        assert!(!text.contains("70, 91") && text.contains("<redacted>"), "{text}");
        let text = format!(
            "{:?}",
            Subscriber::new("001010000000001").digest_password("swordfish")
        );
        assert!(!text.contains("swordfish"), "{text}");
    }
}
