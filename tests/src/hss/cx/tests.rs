//! Testkit: the rows of TS 29.228 6.1 to 6.3, one by one.

use hss_client::cx::{AuthItem, AuthScheme, Maa, Mar, Saa, Sar, ServerAssignmentType};
use hss_client::user_data::{self, PublicIdentity};
use ims_common::aka::DigestHash;
use ims_common::node::Seed;

use super::*;
use crate::milenage::{Milenage, Sqn};
use crate::usim::UsimError;

const IMSI: &str = "001010000000001";
const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const SCSCF: &str = "sip:scscf1.ims.mnc001.mcc001.3gppnetwork.org";
const OTHER: &str = "sip:scscf2.ims.mnc001.mcc001.3gppnetwork.org";

fn impi(imsi: &str) -> Impi {
    Impi::parse(&format!("{imsi}@{HOME}")).unwrap()
}

fn impu(text: &str) -> Impu {
    Impu::parse(text).unwrap()
}

fn alice_impu() -> Impu {
    impu(&format!("sip:{IMSI}@{HOME}"))
}

fn hss(subscribers: impl IntoIterator<Item = Subscriber>) -> Subscribers {
    let mut hss = Subscribers::new(Seed::from_number(7).rng(0));
    subscribers.into_iter().for_each(|s| hss.add(s));
    hss
}

fn alice() -> Subscriber {
    Subscriber::new(IMSI)
        .msisdn("15550001")
        .capabilities(&[1, 2], &[3])
}

fn scscf(number: u8) -> DiameterClient {
    DiameterClient {
        host: format!("scscf{number}.{HOME}"),
        realm: HOME.into(),
    }
}

fn uar(authorization_type: UserAuthorizationType) -> Uar {
    Uar {
        user_name: impi(IMSI),
        public_identity: alice_impu(),
        visited_network: HOME.into(),
        authorization_type,
        emergency: false,
    }
}

fn registration() -> Uar {
    uar(UserAuthorizationType::Registration)
}

fn deregistration() -> Uar {
    uar(UserAuthorizationType::DeRegistration)
}

fn mar() -> Mar {
    Mar {
        user_name: impi(IMSI),
        public_identity: alice_impu(),
        scheme: AuthScheme::DigestAkaV1Md5,
        authorization: None,
        server_name: SCSCF.into(),
        destination_host: None,
    }
}

fn sar(assignment_type: ServerAssignmentType) -> Sar {
    Sar {
        user_name: Some(impi(IMSI)),
        public_identities: vec![alice_impu()],
        server_name: SCSCF.into(),
        assignment_type,
        user_data_already_available: false,
        destination_host: None,
    }
}

fn lir(text: &str) -> Lir {
    Lir {
        public_identity: impu(text),
        originating: false,
        authorization_type: None,
    }
}

fn vector(maa: &Maa) -> ims_common::aka::AuthVector {
    match &*maa.items {
        [AuthItem::Aka(vector)] => vector.clone(),
        items => panic!("{} items", items.len()),
    }
}

fn register(hss: &mut Subscribers) -> Saa {
    assert_eq!(hss.on_mar(&mar(), &scscf(1)).result, CxResult::SUCCESS);
    hss.on_sar(&sar(ServerAssignmentType::Registration), &scscf(1))
}

#[test]
fn unknown_identities_and_strangers_are_told_apart() {
    let bob = Subscriber::new("001010000000002");
    let mut hss = hss([alice(), bob]);
    let result = |hss: &mut Subscribers, user: &str, public: &str| {
        hss.on_uar(&Uar {
            user_name: impi(user),
            public_identity: impu(public),
            ..registration()
        })
        .result
    };
    assert_eq!(
        result(&mut hss, "001010000000009", "tel:+15550001"),
        CxResult::USER_UNKNOWN
    );
    assert_eq!(result(&mut hss, IMSI, "tel:+15550009"), CxResult::USER_UNKNOWN);
    let bobs = format!("sip:001010000000002@{HOME}");
    assert_eq!(result(&mut hss, IMSI, &bobs), CxResult::IDENTITIES_DONT_MATCH);
    assert_eq!(
        result(&mut hss, IMSI, "tel:+15550001"),
        CxResult::FIRST_REGISTRATION
    );
}

#[test]
fn a_barred_identity_may_register_only_for_others_of_its_set() {
    let mut open = hss([alice()]);
    assert_eq!(open.on_uar(&registration()).result, CxResult::FIRST_REGISTRATION);
    let alone = Subscriber::new(IMSI)
        .without_impus()
        .barred_impu(&format!("sip:{IMSI}@{HOME}"));
    let mut closed = hss([alone]);
    assert_eq!(
        closed.on_uar(&registration()).result,
        CxResult::AUTHORIZATION_REJECTED
    );
    let emergency = Uar {
        emergency: true,
        ..registration()
    };
    assert_eq!(closed.on_uar(&emergency).result, CxResult::FIRST_REGISTRATION);
}

#[test]
fn roaming_is_checked_after_barring_and_not_for_leaving() {
    let mut hss = hss([alice().allowed_in(&[HOME])]);
    let away = |t| Uar {
        visited_network: "visited.example".into(),
        ..uar(t)
    };
    let registration = UserAuthorizationType::Registration;
    assert_eq!(
        hss.on_uar(&away(registration)).result,
        CxResult::ROAMING_NOT_ALLOWED
    );
    let capabilities = UserAuthorizationType::RegistrationAndCapabilities;
    assert_eq!(
        hss.on_uar(&away(capabilities)).result,
        CxResult::ROAMING_NOT_ALLOWED
    );
    assert_eq!(
        hss.on_uar(&uar(registration)).result,
        CxResult::FIRST_REGISTRATION
    );
    register(&mut hss);
    let leave = UserAuthorizationType::DeRegistration;
    assert_eq!(hss.on_uar(&away(leave)).result, CxResult::SUCCESS);
}

#[test]
fn registration_is_first_with_capabilities_then_subsequent_with_the_name() {
    let mut hss = hss([alice()]);
    let first = hss.on_uar(&registration());
    assert_eq!(
        (first.result, first.server_name),
        (CxResult::FIRST_REGISTRATION, None)
    );
    assert_eq!(first.capabilities.unwrap().mandatory, [1, 2]);
    // The name is stored by the MAR already.
    hss.on_mar(&mar(), &scscf(1));
    let second = hss.on_uar(&registration());
    assert_eq!(second.result, CxResult::SUBSEQUENT_REGISTRATION);
    assert_eq!(second.server_name.as_deref(), Some(SCSCF));
    let capabilities = hss.on_uar(&uar(UserAuthorizationType::RegistrationAndCapabilities));
    assert_eq!(
        (capabilities.result, capabilities.server_name),
        (CxResult::SUCCESS, None)
    );
    assert_eq!(capabilities.capabilities.unwrap().optional, [3]);
}

#[test]
fn a_name_assigned_beforehand_is_subsequent() {
    let mut hss = hss([alice().assigned_to(SCSCF)]);
    let uaa = hss.on_uar(&registration());
    assert_eq!(uaa.result, CxResult::SUBSEQUENT_REGISTRATION);
    assert_eq!(uaa.server_name.as_deref(), Some(SCSCF));
}

#[test]
fn leaving_needs_a_registration() {
    let mut hss = hss([alice()]);
    assert_eq!(
        hss.on_uar(&deregistration()).result,
        CxResult::IDENTITY_NOT_REGISTERED
    );
    register(&mut hss);
    let uaa = hss.on_uar(&deregistration());
    assert_eq!(
        (uaa.result, uaa.server_name.as_deref()),
        (CxResult::SUCCESS, Some(SCSCF))
    );
}

#[test]
fn vectors_are_fresh_and_accepted_by_the_usim_one_after_the_other() {
    let mut hss = hss([alice()]);
    let mut usim = alice().usim();
    let mut rands = BTreeSet::new();
    for _ in 0..70 {
        let vector = vector(&hss.on_mar(&mar(), &scscf(1)));
        assert!(rands.insert(vector.rand));
        let res = usim.authenticate(&vector.rand, &vector.autn).unwrap();
        assert_eq!((res.res, res.ck, res.ik), (vector.xres, vector.ck, vector.ik));
    }
    assert_eq!(usim.sqn_ms(), Sqn::of(70, 70 % 32));
}

#[test]
fn resynchronisation_follows_the_usim_and_a_forged_auts_does_not() {
    let mut hss = hss([alice().sqn(Sqn::of(5, 5))]);
    let mut usim = alice().usim().with_sqn(Sqn::of(1000, 31));
    let behind = vector(&hss.on_mar(&mar(), &scscf(1)));
    let Err(UsimError::SyncFailure(auts)) = usim.authenticate(&behind.rand, &behind.autn) else {
        panic!("the network is behind");
    };
    let answer = |hss: &mut Subscribers, octets: Vec<u8>| {
        hss.on_mar(
            &Mar {
                authorization: Some(octets.into()),
                ..mar()
            },
            &scscf(1),
        )
    };
    let good = auts.authorization(&behind.rand);
    let mut forged = good.to_vec();
    forged[29] ^= 1;
    assert_eq!(answer(&mut hss, forged).result, CxResult::UNABLE_TO_COMPLY);
    assert_eq!(answer(&mut hss, good[..29].to_vec()).result, CxResult::Base(5004));
    assert_eq!(answer(&mut hss, Vec::new()).result, CxResult::Base(5004));
    let still_behind = vector(&hss.on_mar(&mar(), &scscf(1)));
    assert!(usim.authenticate(&still_behind.rand, &still_behind.autn).is_err());
    let ahead = vector(&answer(&mut hss, good.to_vec()));
    assert!(usim.authenticate(&ahead.rand, &ahead.autn).is_ok());
    assert_eq!(usim.sqn_ms(), Sqn::of(1001, 0));
}

#[test]
fn a_broken_mac_is_noticed_by_the_usim() {
    let mut hss = hss([alice()]);
    hss.breaks_mac = true;
    let vector = vector(&hss.on_mar(&mar(), &scscf(1)));
    assert_eq!(
        alice().usim().authenticate(&vector.rand, &vector.autn),
        Err(UsimError::MacFailure)
    );
}

#[test]
fn schemes_that_do_not_fit_the_secret_are_refused() {
    let mut aka = hss([alice()]);
    let mut digest = hss([alice().digest_password("swordfish")]);
    let result = |hss: &mut Subscribers, scheme| hss.on_mar(&Mar { scheme, ..mar() }, &scscf(1)).result;
    let refused = CxResult::AUTH_SCHEME_NOT_SUPPORTED;
    assert_eq!(result(&mut aka, AuthScheme::Unknown), CxResult::SUCCESS);
    assert_eq!(result(&mut aka, AuthScheme::SipDigest), refused);
    assert_eq!(
        result(&mut aka, AuthScheme::Other("NASS-Bundled".into())),
        refused
    );
    assert_eq!(result(&mut digest, AuthScheme::DigestAkaV1Md5), refused);
    assert_eq!(result(&mut digest, AuthScheme::SipDigest), CxResult::SUCCESS);
}

#[test]
fn sip_digest_gives_the_hash_of_the_password_and_not_the_password() {
    let mut hss = hss([alice().digest_password("swordfish")]);
    let maa = hss.on_mar(
        &Mar {
            scheme: AuthScheme::Unknown,
            ..mar()
        },
        &scscf(1),
    );
    let [AuthItem::Digest(digest)] = &*maa.items else {
        panic!("a digest item")
    };
    let expected = Ha1Of {
        user: format!("{IMSI}@{HOME}"),
        realm: HOME,
    }
    .hex("swordfish");
    assert_eq!(digest.realm, HOME);
    assert_eq!(*digest.ha1.expose(), expected);
}

struct Ha1Of {
    user: String,
    realm: &'static str,
}

impl Ha1Of {
    fn hex(&self, password: &str) -> String {
        let (user, realm) = (self.user.as_bytes(), self.realm.as_bytes());
        ims_common::aka::Ha1::new(DigestHash::Md5, user, realm, password.as_bytes())
            .expose_hex()
            .to_owned()
    }
}

#[test]
fn a_registration_registers_the_whole_set_and_brings_its_profile() {
    let mut hss = hss([alice()]);
    let saa = register(&mut hss);
    assert_eq!(saa.result, CxResult::SUCCESS);
    let profile = user_data::parse(&saa.user_data.unwrap()).unwrap();
    assert_eq!(profile.private_identity, impi(IMSI));
    let default = profile.default_public_identity().unwrap();
    assert_eq!(default.as_str(), format!("sip:+15550001@{HOME}"));
    for identity in profile.public_identities() {
        assert_eq!(hss.state(&identity.impu), RegistrationState::Registered);
    }
    let known = Sar {
        user_data_already_available: true,
        ..sar(ServerAssignmentType::ReRegistration)
    };
    let saa = hss.on_sar(&known, &scscf(1));
    assert_eq!((saa.result, saa.user_data), (CxResult::SUCCESS, None));
}

#[test]
fn another_implicit_set_stays_unregistered_and_points_to_the_same_scscf() {
    let mut hss = hss([alice().next_implicit_set().impu("sip:work@home.example")]);
    let saa = register(&mut hss);
    assert_eq!(
        user_data::parse(&saa.user_data.unwrap())
            .unwrap()
            .public_identities()
            .count(),
        3
    );
    let work = impu("sip:work@home.example");
    assert_eq!(hss.state(&work), RegistrationState::NotRegistered);
    let uaa = hss.on_uar(&Uar {
        public_identity: work,
        ..registration()
    });
    assert_eq!(uaa.result, CxResult::SUBSEQUENT_REGISTRATION);
    assert_eq!(uaa.server_name.as_deref(), Some(SCSCF));
}

#[test]
fn a_user_of_another_scscf_is_already_registered() {
    let mut hss = hss([alice()]);
    register(&mut hss);
    for assignment_type in [
        ServerAssignmentType::Registration,
        ServerAssignmentType::UnregisteredUser,
    ] {
        let saa = hss.on_sar(
            &Sar {
                server_name: OTHER.into(),
                ..sar(assignment_type)
            },
            &scscf(2),
        );
        assert_eq!(saa.result, CxResult::IDENTITY_ALREADY_REGISTERED);
        assert_eq!(saa.server_name.as_deref(), Some(SCSCF));
        assert_eq!(saa.user_data, None);
    }
    let leave = Sar {
        server_name: OTHER.into(),
        ..sar(ServerAssignmentType::UserDeregistration)
    };
    assert_eq!(hss.on_sar(&leave, &scscf(2)).result, CxResult::UNABLE_TO_COMPLY);
    assert_eq!(hss.state(&alice_impu()), RegistrationState::Registered);
    // The S-CSCF that challenged last takes over.
    hss.on_mar(
        &Mar {
            server_name: OTHER.into(),
            ..mar()
        },
        &scscf(2),
    );
    let saa = hss.on_sar(
        &Sar {
            server_name: OTHER.into(),
            ..sar(ServerAssignmentType::Registration)
        },
        &scscf(2),
    );
    assert_eq!(saa.result, CxResult::SUCCESS);
    assert_eq!(hss.scscf(&impi(IMSI)), Some(&scscf(2)));
}

#[test]
fn deregistration_forgets_the_name_of_the_scscf() {
    for assignment_type in [
        ServerAssignmentType::TimeoutDeregistration,
        ServerAssignmentType::UserDeregistration,
        ServerAssignmentType::AdministrativeDeregistration,
        ServerAssignmentType::DeregistrationTooMuchData,
    ] {
        let mut hss = hss([alice()]);
        register(&mut hss);
        let saa = hss.on_sar(&sar(assignment_type), &scscf(1));
        assert_eq!((saa.result, saa.user_data), (CxResult::SUCCESS, None));
        assert_eq!(
            hss.state(&impu("tel:+15550001")),
            RegistrationState::NotRegistered
        );
        assert_eq!(hss.server_name(&impi(IMSI)), None);
        assert_eq!(hss.on_uar(&registration()).result, CxResult::FIRST_REGISTRATION);
    }
}

#[test]
fn the_name_is_kept_when_the_scscf_asks_and_the_hss_agrees() {
    let kept = ServerAssignmentType::UserDeregistrationStoreServerName;
    let mut hss = hss([alice()]);
    register(&mut hss);
    assert_eq!(hss.on_sar(&sar(kept), &scscf(1)).result, CxResult::SUCCESS);
    assert_eq!(hss.state(&alice_impu()), RegistrationState::Unregistered);
    assert_eq!(hss.server_name(&impi(IMSI)), Some(SCSCF));
    register(&mut hss);
    hss.keeps_server_names = false;
    assert_eq!(
        hss.on_sar(&sar(kept), &scscf(1)).result,
        CxResult::SERVER_NAME_NOT_STORED
    );
    assert_eq!(hss.server_name(&impi(IMSI)), None);
}

#[test]
fn deregistration_by_private_identity_alone_takes_every_set() {
    let mut hss = hss([alice().next_implicit_set().impu("sip:work@home.example")]);
    register(&mut hss);
    let work = vec![impu("sip:work@home.example")];
    hss.on_sar(
        &Sar {
            public_identities: work,
            ..sar(ServerAssignmentType::Registration)
        },
        &scscf(1),
    );
    assert_eq!(
        hss.state(&impu("sip:work@home.example")),
        RegistrationState::Registered
    );
    let all = Sar {
        public_identities: vec![],
        ..sar(ServerAssignmentType::UserDeregistration)
    };
    assert_eq!(hss.on_sar(&all, &scscf(1)).result, CxResult::SUCCESS);
    assert_eq!(
        hss.state(&impu("sip:work@home.example")),
        RegistrationState::NotRegistered
    );
    assert_eq!(hss.state(&alice_impu()), RegistrationState::NotRegistered);
}

#[test]
fn a_failed_or_unanswered_challenge_leaves_no_trace_of_a_new_user() {
    for assignment_type in [
        ServerAssignmentType::AuthenticationFailure,
        ServerAssignmentType::AuthenticationTimeout,
    ] {
        let mut hss = hss([alice()]);
        hss.on_mar(&mar(), &scscf(1));
        assert_eq!(hss.server_name(&impi(IMSI)), Some(SCSCF));
        assert_eq!(
            hss.on_sar(&sar(assignment_type), &scscf(1)).result,
            CxResult::SUCCESS
        );
        assert_eq!(hss.server_name(&impi(IMSI)), None);
        // A registered user stays registered.
        register(&mut hss);
        hss.on_mar(&mar(), &scscf(1));
        assert_eq!(
            hss.on_sar(&sar(assignment_type), &scscf(1)).result,
            CxResult::SUCCESS
        );
        assert_eq!(hss.state(&alice_impu()), RegistrationState::Registered);
        assert_eq!(hss.server_name(&impi(IMSI)), Some(SCSCF));
    }
}

#[test]
fn an_unregistered_user_gets_a_profile_and_a_registered_one_an_error() {
    let mut hss = hss([alice()]);
    let unregistered = Sar {
        user_name: None,
        ..sar(ServerAssignmentType::UnregisteredUser)
    };
    let saa = hss.on_sar(&unregistered, &scscf(1));
    assert_eq!((saa.result, saa.user_name), (CxResult::SUCCESS, Some(impi(IMSI))));
    assert!(saa.user_data.is_some());
    assert_eq!(hss.state(&alice_impu()), RegistrationState::Unregistered);
    register(&mut hss);
    assert_eq!(
        hss.on_sar(&unregistered, &scscf(1)).result,
        CxResult::IN_ASSIGNMENT_TYPE
    );
}

#[test]
fn the_profile_alone_is_for_the_scscf_that_serves() {
    let mut hss = hss([alice()]);
    let fetch = sar(ServerAssignmentType::NoAssignment);
    assert_eq!(hss.on_sar(&fetch, &scscf(1)).result, CxResult::UNABLE_TO_COMPLY);
    register(&mut hss);
    assert!(hss.on_sar(&fetch, &scscf(1)).user_data.is_some());
    let foreign = Sar {
        server_name: OTHER.into(),
        ..fetch
    };
    assert_eq!(hss.on_sar(&foreign, &scscf(2)).result, CxResult::UNABLE_TO_COMPLY);
    assert_eq!(hss.state(&alice_impu()), RegistrationState::Registered);
}

#[test]
fn a_registration_names_one_identity() {
    let mut hss = hss([alice()]);
    let two = vec![alice_impu(), impu("tel:+15550001")];
    let request = Sar {
        public_identities: two.clone(),
        ..sar(ServerAssignmentType::Registration)
    };
    assert_eq!(hss.on_sar(&request, &scscf(1)).result, CxResult::Base(5009));
    let none = Sar {
        public_identities: vec![],
        ..sar(ServerAssignmentType::Registration)
    };
    assert_eq!(hss.on_sar(&none, &scscf(1)).result, CxResult::Base(5005));
    register(&mut hss);
    let leave = Sar {
        public_identities: two,
        ..sar(ServerAssignmentType::UserDeregistration)
    };
    assert_eq!(hss.on_sar(&leave, &scscf(1)).result, CxResult::SUCCESS);
}

#[test]
fn location_depends_on_state_and_on_services_for_the_unregistered() {
    let mut plain = hss([alice()]);
    assert_eq!(plain.on_lir(&lir("tel:+15550009")).result, CxResult::USER_UNKNOWN);
    assert_eq!(
        plain.on_lir(&lir("tel:+15550001")).result,
        CxResult::IDENTITY_NOT_REGISTERED
    );
    register(&mut plain);
    let lia = plain.on_lir(&lir("tel:+15550001"));
    assert_eq!(
        (lia.result, lia.server_name.as_deref()),
        (CxResult::SUCCESS, Some(SCSCF))
    );

    let voicemail = "<InitialFilterCriteria><Priority>1</Priority><TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF>\
                     <SPT><Group>0</Group><SessionCase>2</SessionCase></SPT></TriggerPoint><ApplicationServer>\
                     <ServerName>sip:voicemail.example</ServerName></ApplicationServer></InitialFilterCriteria>";
    let mut served = hss([alice().ifc_xml(voicemail)]);
    let lia = served.on_lir(&lir("tel:+15550001"));
    assert_eq!(
        (lia.result, lia.server_name),
        (CxResult::UNREGISTERED_SERVICE, None)
    );
    assert_eq!(lia.capabilities.unwrap().mandatory, [1, 2]);
    served.on_sar(&sar(ServerAssignmentType::UnregisteredUser), &scscf(1));
    let lia = served.on_lir(&lir("tel:+15550001"));
    assert_eq!(
        (lia.result, lia.server_name.as_deref()),
        (CxResult::SUCCESS, Some(SCSCF))
    );
}

#[test]
fn two_phones_of_one_subscription_share_the_scscf_and_the_identity() {
    let shared = format!("sip:+15550001@{HOME}");
    let tablet = "001010000000002";
    let mut hss = hss([alice(), Subscriber::new(tablet).without_impus().impu(&shared)]);
    register(&mut hss);
    let uaa = hss.on_uar(&Uar {
        user_name: impi(tablet),
        public_identity: impu(&shared),
        ..registration()
    });
    assert_eq!(uaa.result, CxResult::SUBSEQUENT_REGISTRATION);
    let second = Sar {
        user_name: Some(impi(tablet)),
        public_identities: vec![impu(&shared)],
        ..sar(ServerAssignmentType::Registration)
    };
    let saa = hss.on_sar(&second, &scscf(1));
    assert_eq!(saa.associated_identities, [impi(IMSI), impi(tablet)]);
    // The phone leaves; the tablet is still there.
    hss.on_sar(&sar(ServerAssignmentType::UserDeregistration), &scscf(1));
    assert_eq!(hss.state(&impu(&shared)), RegistrationState::Registered);
    assert_eq!(
        hss.state(&impu("tel:+15550001")),
        RegistrationState::NotRegistered
    );
    assert_eq!(hss.server_name(&impi(IMSI)), Some(SCSCF));
}

#[test]
fn a_termination_goes_to_the_scscf_that_serves_and_changes_the_state() {
    let mut hss = hss([alice()]);
    assert!(
        hss.terminate(&impi(IMSI), &[], ReasonCode::PermanentTermination)
            .is_none()
    );
    register(&mut hss);
    let (rtr, to) = hss
        .terminate(&impi(IMSI), &[], ReasonCode::PermanentTermination)
        .unwrap();
    assert_eq!(to, scscf(1));
    assert_eq!((rtr.user_name, rtr.public_identities), (impi(IMSI), vec![]));
    assert_eq!(rtr.reason.code, ReasonCode::PermanentTermination);
    assert_eq!(hss.state(&alice_impu()), RegistrationState::NotRegistered);
    assert_eq!(hss.on_uar(&registration()).result, CxResult::FIRST_REGISTRATION);
}

#[test]
fn a_push_brings_the_changed_profile() {
    let mut hss = hss([alice()]);
    assert!(hss.push(&impi(IMSI), &alice_impu()).is_none());
    register(&mut hss);
    let new = PublicIdentity::new(impu("tel:+15550002"));
    assert!(hss.update(&impi(IMSI), |s| s.public_identity(new)));
    assert!(!hss.update(&impi("001010000000009"), |s| s));
    let (ppr, to) = hss.push(&impi(IMSI), &alice_impu()).unwrap();
    assert_eq!(to, scscf(1));
    let profile = user_data::parse(&ppr.user_data.unwrap()).unwrap();
    assert!(
        profile
            .public_identities()
            .any(|i| i.impu == impu("tel:+15550002"))
    );
    assert_eq!(
        hss.on_lir(&lir("tel:+15550002")).result,
        CxResult::IDENTITY_NOT_REGISTERED
    );
}

#[test]
fn keys_are_those_of_the_subscriber() {
    let other = alice().key([9; 16], [8; 16]).amf([0, 0]);
    let mut hss = hss([other.clone()]);
    let vector = vector(&hss.on_mar(&mar(), &scscf(1)));
    assert_eq!(vector.autn[6..8], [0, 0]);
    assert_eq!(
        vector,
        Milenage::new(&[9; 16], &[8; 16]).vector(vector.rand, Sqn::of(1, 1), [0, 0])
    );
    assert!(other.usim().authenticate(&vector.rand, &vector.autn).is_ok());
}
