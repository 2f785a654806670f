//! Codec: tests of Cx commands: golden octets, both directions, what real HSSs send.

use ims_common::diameter::{CommandFlags, Header, LocalPeer, MessageBuilder};
use proptest::prelude::*;

use super::*;
use crate::cx::RequestHead;

fn local(origin_host: &str) -> LocalPeer {
    LocalPeer {
        origin_host: origin_host.to_owned(),
        origin_realm: "ims.example".to_owned(),
        host_ip_addresses: Vec::new(),
        product_name: "ims-core".to_owned(),
        origin_state_id: 1,
        applications: vec![ims_common::diameter::Application::CX],
        supported_vendors: Vec::new(),
    }
}

fn head(local: &LocalPeer) -> RequestHead<'_> {
    RequestHead {
        local,
        session_id: "icscf;1;2",
        destination_host: None,
        destination_realm: "ims.example",
        hop_by_hop: 0x0A0B_0C0D,
        end_to_end: 0x0102_0304,
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |d: u8| u8::try_from(char::from(d).to_digit(16).unwrap()).unwrap();
    digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn alice() -> Impi {
    Impi::parse("alice@ims.example").unwrap()
}

fn alice_uri() -> Impu {
    Impu::parse("sip:alice@ims.example").unwrap()
}

fn uar() -> Uar {
    Uar {
        user_name: alice(),
        public_identity: alice_uri(),
        visited_network: "ims.example".to_owned(),
        authorization_type: UserAuthorizationType::Registration,
        emergency: false,
    }
}

fn mar() -> Mar {
    Mar {
        user_name: alice(),
        public_identity: alice_uri(),
        scheme: AuthScheme::DigestAkaV1Md5,
        authorization: None,
        server_name: "sip:s.ims.example".to_owned(),
        destination_host: None,
    }
}

/// Session-Id, Vendor-Specific-Application-Id, Auth-Session-State, Origin-Host, Origin-Realm, Destination-Realm,
/// OC-Supported-Features.
const HEAD: &str = "00000107 40000011 69637363663b313b32 000000 \
    00000104 40000020 0000010a4000000c000028af 000001024000000c01000000 \
    00000115 4000000c 00000001 \
    00000108 4000000d 6963736366 000000 \
    00000128 40000013 696d732e6578616d706c65 00 \
    0000011b 40000013 696d732e6578616d706c65 00 \
    0000026d 00000018 0000026e 00000010 00000000 00000001 ";

#[test]
fn uar_is_printed_octet_by_octet_as_ts_29_229_says() {
    let bytes = CxRequest::Uar(uar()).encode(&head(&local("icscf")));
    let expected = format!(
        "0100010c c000012c 01000000 0a0b0c0d 01020304 {HEAD} \
         00000001 40000019 616c69636540696d732e6578616d706c65 000000 \
         00000259 c0000021 000028af 7369703a616c69636540696d732e6578616d706c65 000000 \
         00000258 c0000017 000028af 696d732e6578616d706c65 00 \
         0000026f c0000010 000028af 00000000"
    );
    assert_eq!(bytes[..], hex(&expected)[..]);
}

#[test]
fn mar_is_printed_octet_by_octet_as_ts_29_229_says() {
    let bytes = CxRequest::Mar(mar()).encode(&head(&local("icscf")));
    let expected = format!(
        "0100013c c000012f 01000000 0a0b0c0d 01020304 {HEAD} \
         00000001 40000019 616c69636540696d732e6578616d706c65 000000 \
         00000259 c0000021 000028af 7369703a616c69636540696d732e6578616d706c65 000000 \
         00000264 c0000028 000028af 00000260 c000001c 000028af 4469676573742d414b4176312d4d4435 \
         0000025f c0000010 000028af 00000001 \
         0000025a c000001d 000028af 7369703a732e696d732e6578616d706c65 000000"
    );
    assert_eq!(bytes[..], hex(&expected)[..]);
}

fn over_the_wire(request: &CxRequest) -> Result<CxRequest, Refusal> {
    CxRequest::decode(&Message::parse(request.encode(&head(&local("icscf")))).unwrap())
}

#[test]
fn every_request_reads_as_it_was_written() {
    let emergency = Uar {
        authorization_type: UserAuthorizationType::DeRegistration,
        emergency: true,
        ..uar()
    };
    let CxRequest::Uar(read) = over_the_wire(&CxRequest::Uar(emergency.clone())).unwrap() else {
        panic!()
    };
    assert_eq!(read, emergency);

    let resync = Mar {
        authorization: Some(Bytes::from_static(&[9; 30])),
        scheme: AuthScheme::Unknown,
        ..mar()
    };
    let CxRequest::Mar(read) = over_the_wire(&CxRequest::Mar(resync.clone())).unwrap() else {
        panic!()
    };
    assert_eq!(read, resync);

    let sar = Sar {
        user_name: Some(alice()),
        public_identities: vec![alice_uri(), Impu::parse("tel:+15550001").unwrap()],
        server_name: "sip:s.ims.example".to_owned(),
        assignment_type: ServerAssignmentType::TimeoutDeregistration,
        user_data_already_available: true,
        destination_host: None,
    };
    let CxRequest::Sar(read) = over_the_wire(&CxRequest::Sar(sar.clone())).unwrap() else {
        panic!()
    };
    assert_eq!(read, sar);
}

#[test]
fn user_data_already_available_is_always_said() {
    for (available, value) in [(true, 1), (false, 0)] {
        let sar = Sar {
            user_name: None,
            public_identities: vec![alice_uri()],
            server_name: "sip:s".to_owned(),
            assignment_type: ServerAssignmentType::ReRegistration,
            user_data_already_available: available,
            destination_host: Some("hss".to_owned()),
        };
        let bytes = CxRequest::Sar(sar).encode(&head(&local("scscf")));
        assert_eq!(
            Message::parse(bytes)
                .unwrap()
                .u32(&avp::USER_DATA_ALREADY_AVAILABLE),
            Some(value)
        );
    }
}

#[test]
fn every_assignment_type_has_its_number() {
    for number in 0..=11 {
        assert_eq!(ServerAssignmentType::from_code(number).unwrap().code(), number);
    }
    assert_eq!(ServerAssignmentType::from_code(12), None);
}

fn request_message() -> Message {
    Message::parse(CxRequest::Uar(uar()).encode(&head(&local("icscf")))).unwrap()
}

fn answer(code: u32, put: impl FnOnce(&mut MessageBuilder)) -> Message {
    let mut builder = MessageBuilder::new(Header {
        flags: CommandFlags(0x40),
        code,
        application: APPLICATION,
        hop_by_hop: 1,
        end_to_end: 2,
    });
    builder.text(&base::SESSION_ID, "icscf;1;2");
    put(&mut builder);
    Message::parse(builder.finish()).unwrap()
}

fn put_experimental(b: &mut MessageBuilder, vendor: u32, code: u32) {
    b.group(&base::EXPERIMENTAL_RESULT, |b| {
        b.u32(&base::VENDOR_ID, vendor)
            .u32(&base::EXPERIMENTAL_RESULT_CODE, code);
    });
}

#[test]
fn results_are_told_apart_by_their_avp_and_vendor() {
    let of = |put: &dyn Fn(&mut MessageBuilder)| CxResult::of(&answer(300, put));
    assert_eq!(of(&|b| _ = b.u32(&base::RESULT_CODE, 2001)), CxResult::SUCCESS);
    assert_eq!(
        of(&|b| put_experimental(b, 10415, 2001)),
        CxResult::FIRST_REGISTRATION
    );
    assert_eq!(
        of(&|b| put_experimental(b, 10415, 5003)),
        CxResult::IDENTITY_NOT_REGISTERED
    );
    assert_eq!(
        of(&|b| _ = b.u32(&base::RESULT_CODE, 5003)),
        CxResult::AUTHORIZATION_REJECTED
    );
    assert_eq!(of(&|b| put_experimental(b, 9, 2001)), CxResult::Missing);
    assert_eq!(of(&|_| {}), CxResult::Missing);
}

#[test]
fn experimental_result_is_read_with_its_members_in_either_order() {
    let message = answer(303, |b| {
        b.group(&base::EXPERIMENTAL_RESULT, |b| {
            b.u32(&base::EXPERIMENTAL_RESULT_CODE, 5001)
                .u32(&base::VENDOR_ID, 10415);
        });
    });
    assert_eq!(CxResult::of(&message), CxResult::USER_UNKNOWN);
}

#[test]
fn answer_without_any_result_is_malformed() {
    let missing = CxAnswer::decode(&answer(300, |_| {}));
    assert_eq!(missing.unwrap_err(), CxError::Malformed("no result"));
}

#[test]
fn server_name_without_a_scheme_gets_one() {
    for (sent, read) in [
        ("scscf.ims.example", Some("sip:scscf.ims.example")),
        ("scscf.ims.example:6060", Some("sip:scscf.ims.example:6060")),
        ("sip:scscf.ims.example", Some("sip:scscf.ims.example")),
        ("SIP:scscf.ims.example", Some("SIP:scscf.ims.example")),
        ("sips:scscf.ims.example", Some("sips:scscf.ims.example")),
        ("", None),
    ] {
        let message = answer(300, |b| {
            put_experimental(b, 10415, 2001);
            b.text(&avp::SERVER_NAME, sent);
        });
        let Ok(CxAnswer::Uaa(uaa)) = CxAnswer::decode(&message) else {
            panic!("no UAA")
        };
        assert_eq!(uaa.server_name.as_deref(), read);
    }
}

#[test]
fn unknown_avps_of_an_answer_are_skipped_even_with_m() {
    let unknown = AvpDef {
        code: 0xFFFF,
        ..avp::SERVER_NAME
    };
    let message = answer(302, |b| {
        b.text(&unknown, "x")
            .u32(&base::RESULT_CODE, 2001)
            .u32(&avp::LIA_FLAGS, 1);
        b.text(&avp::SERVER_NAME, "sip:as.example");
    });
    let Ok(CxAnswer::Lia(lia)) = CxAnswer::decode(&message) else {
        panic!("no LIA")
    };
    assert!(lia.psi_direct);
    assert_eq!(lia.server_name.as_deref(), Some("sip:as.example"));
}

fn vector() -> AuthVector {
    AuthVector::from_avps(&[1; 32], &[2; 8], &[3; 16], &[4; 16]).unwrap()
}

fn maa_of(put: impl Fn(&mut MessageBuilder)) -> Maa {
    let message = answer(303, |b| {
        b.u32(&base::RESULT_CODE, 2001);
        b.group(&avp::SIP_AUTH_DATA_ITEM, |b| put(b));
    });
    match CxAnswer::decode(&message) {
        Ok(CxAnswer::Maa(maa)) => maa,
        other => panic!("{other:?}"),
    }
}

fn put_aka(b: &mut MessageBuilder, authenticate: usize, xres: usize, ck: usize, ik: usize) {
    b.text(&avp::SIP_AUTHENTICATION_SCHEME, "Digest-AKAv1-MD5")
        .octets(&avp::SIP_AUTHENTICATE, &vec![1; authenticate])
        .octets(&avp::SIP_AUTHORIZATION, &vec![2; xres])
        .octets(&avp::CONFIDENTIALITY_KEY, &vec![3; ck])
        .octets(&avp::INTEGRITY_KEY, &vec![4; ik]);
}

#[test]
fn vector_of_the_right_lengths_is_usable() {
    for xres in [4, 8, 16] {
        let maa = maa_of(|b| put_aka(b, 32, xres, 16, 16));
        assert!(
            matches!(&maa.items[..], [AuthItem::Aka(_)]),
            "XRES of {xres} octets"
        );
    }
    assert_eq!(
        maa_of(|b| put_aka(b, 32, 8, 16, 16)).items,
        [AuthItem::Aka(vector())]
    );
}

#[test]
fn vector_of_a_wrong_length_is_unusable_and_nothing_panics() {
    for (authenticate, xres, ck, ik, reason) in [
        (31, 8, 16, 16, "SIP-Authenticate is not 32 octets"),
        (64, 8, 16, 16, "SIP-Authenticate is not 32 octets"),
        (0, 8, 16, 16, "SIP-Authenticate is not 32 octets"),
        (32, 3, 16, 16, "SIP-Authorization is not 4 to 16 octets"),
        (32, 17, 16, 16, "SIP-Authorization is not 4 to 16 octets"),
        (32, 8, 32, 16, "Confidentiality-Key is not 16 octets"),
        (32, 8, 16, 15, "Integrity-Key is not 16 octets"),
    ] {
        let maa = maa_of(|b| put_aka(b, authenticate, xres, ck, ik));
        assert_eq!(maa.items, [AuthItem::Unusable(reason)]);
    }
    assert!(matches!(maa_of(|_| {}).items[..], [AuthItem::Unusable(_)]));
}

#[test]
fn scheme_of_the_answer_counts_and_unknown_ones_are_unusable() {
    // Digest-MD5 of PyHSS carries the subscriber's Ki in SIP-Authorization: it must not be used.
    for scheme in ["Digest-MD5", "NASS-Bundled", "Unknown"] {
        let maa = maa_of(|b| {
            b.text(&avp::SIP_AUTHENTICATION_SCHEME, scheme);
            b.octets(&avp::SIP_AUTHENTICATE, &[1; 16])
                .octets(&avp::SIP_AUTHORIZATION, &[b'0'; 32]);
        });
        assert!(matches!(maa.items[..], [AuthItem::Unusable(_)]), "{scheme}");
    }
    let maa = maa_of(|b| {
        b.text(&avp::SIP_AUTHENTICATION_SCHEME, "SIP Digest")
            .group(&avp::SIP_DIGEST_AUTHENTICATE, |b| {
                b.text(&base::DIGEST_REALM, "ims.example")
                    .text(&base::DIGEST_QOP, "auth")
                    .text(&base::DIGEST_HA1, "0123456789abcdef0123456789abcdef");
            });
    });
    let [AuthItem::Digest(digest)] = &maa.items[..] else {
        panic!("{maa:?}")
    };
    assert_eq!(
        (digest.realm.as_str(), digest.qop.as_str()),
        ("ims.example", "auth")
    );
    assert_eq!(digest.ha1.expose(), "0123456789abcdef0123456789abcdef");
}

#[test]
fn auth_items_come_by_number_counted_from_zero_or_one() {
    let item = |b: &mut MessageBuilder, number: u32, xres: usize| {
        b.group(&avp::SIP_AUTH_DATA_ITEM, |b| {
            b.u32(&avp::SIP_ITEM_NUMBER, number);
            put_aka(b, 32, xres, 16, 16);
        });
    };
    let message = answer(303, |b| {
        b.u32(&base::RESULT_CODE, 2001);
        item(b, 2, 16);
        item(b, 0, 8);
    });
    let Ok(CxAnswer::Maa(maa)) = CxAnswer::decode(&message) else {
        panic!("no MAA")
    };
    let lengths: Vec<usize> = maa
        .items
        .iter()
        .map(|item| match item {
            AuthItem::Aka(vector) => vector.xres.expose().len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [8, 16]);
}

#[test]
fn keys_of_a_maa_are_not_printed() {
    let mut maa = maa_of(|b| put_aka(b, 32, 8, 16, 16));
    maa.items.push(AuthItem::Digest(DigestHa1 {
        realm: "ims.example".to_owned(),
        qop: "auth".to_owned(),
        algorithm: None,
        ha1: Secret::new("0123456789abcdef".to_owned()),
        ha1_sha256: Some(Secret::new("fedcba9876543210".to_owned())),
    }));
    let text = format!("{:?}", CxAnswer::Maa(maa));
    assert!(text.contains("<redacted>"));
    for secret in ["2, 2", "3, 3", "4, 4", "0123456789abcdef", "fedcba"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn every_answer_reads_as_it_was_written() {
    let request = request_message();
    let over_the_wire = |code: u32, answer: &CxAnswer| {
        let mut bytes = answer.encode(&local("hss"), &request).to_vec();
        bytes[5..8].copy_from_slice(&code.to_be_bytes()[1..]);
        CxAnswer::decode(&Message::parse(Bytes::from(bytes)).unwrap()).unwrap()
    };
    let capabilities = ServerCapabilities {
        mandatory: vec![1, 2],
        optional: vec![3],
        server_names: vec!["sip:s1.ims.example".to_owned()],
    };
    let uaa = Uaa {
        result: CxResult::FIRST_REGISTRATION,
        server_name: None,
        capabilities: Some(capabilities),
        origin_host: "hss".to_owned(),
    };
    let CxAnswer::Uaa(read) = over_the_wire(300, &CxAnswer::Uaa(uaa.clone())) else {
        panic!()
    };
    assert_eq!(read, uaa);

    let saa = Saa {
        result: CxResult::SUCCESS,
        user_name: Some(alice()),
        user_data: Some(Bytes::from_static(b"<IMSSubscription/>")),
        charging: Some(ChargingInformation {
            primary_event: Some("aaa://ecf1".to_owned()),
            secondary_event: None,
            primary_collection: Some("aaa://ccf1".to_owned()),
            secondary_collection: Some("aaa://ccf2".to_owned()),
        }),
        associated_identities: vec![alice(), Impi::parse("bob@ims.example").unwrap()],
        loose_route: true,
        server_name: Some("sip:other.ims.example".to_owned()),
        wildcarded_public_identity: Some("sip:chat-!.*!@ims.example".to_owned()),
        origin_host: "hss".to_owned(),
    };
    let CxAnswer::Saa(read) = over_the_wire(301, &CxAnswer::Saa(saa.clone())) else {
        panic!()
    };
    assert_eq!(read, saa);

    let lia = Lia {
        result: CxResult::UNREGISTERED_SERVICE,
        server_name: Some("sip:s.ims.example".to_owned()),
        wildcarded_public_identity: Some("sip:chat-!.*!@ims.example".to_owned()),
        psi_direct: true,
        origin_host: "hss".to_owned(),
        capabilities: None,
    };
    let CxAnswer::Lia(read) = over_the_wire(302, &CxAnswer::Lia(lia.clone())) else {
        panic!()
    };
    assert_eq!(read, lia);

    let maa = Maa {
        result: CxResult::SUCCESS,
        user_name: Some(alice()),
        public_identity: Some(alice_uri()),
        items: vec![AuthItem::Aka(vector())],
        origin_host: "hss".to_owned(),
    };
    let CxAnswer::Maa(read) = over_the_wire(303, &CxAnswer::Maa(maa.clone())) else {
        panic!()
    };
    assert_eq!(
        (read.items, read.user_name, read.public_identity),
        (maa.items, maa.user_name, maa.public_identity)
    );
}

#[test]
fn saa_without_user_data_is_an_answer() {
    let message = answer(301, |b| _ = b.u32(&base::RESULT_CODE, 2001));
    let Ok(CxAnswer::Saa(saa)) = CxAnswer::decode(&message) else {
        panic!("no SAA")
    };
    assert_eq!(
        (saa.result, saa.user_data, saa.charging),
        (CxResult::SUCCESS, None, None)
    );
}

#[test]
fn pushes_read_as_they_were_written() {
    let over_the_wire = |push: &CxPush| {
        let local = local("hss");
        let head = RequestHead {
            destination_host: Some("scscf"),
            ..head(&local)
        };
        CxPush::decode(&Message::parse(push.encode(&head)).unwrap()).unwrap()
    };
    let rtr = Rtr {
        user_name: alice(),
        public_identities: vec![alice_uri()],
        associated_identities: vec![Impi::parse("bob@ims.example").unwrap()],
        reason: DeregistrationReason {
            code: ReasonCode::PermanentTermination,
            info: None,
        },
    };
    let CxPush::Rtr(read) = over_the_wire(&CxPush::Rtr(rtr.clone())) else {
        panic!()
    };
    assert_eq!(read, rtr);
    let ppr = Ppr {
        user_name: alice(),
        user_data: Some(Bytes::from_static(b"<IMSSubscription/>")),
        charging: Some(ChargingInformation::default()),
        digest: Some(DigestHa1 {
            realm: "ims.example".to_owned(),
            qop: "auth".to_owned(),
            algorithm: Some("MD5".to_owned()),
            ha1: Secret::new("00".to_owned()),
            ha1_sha256: Some(Secret::new("11".to_owned())),
        }),
    };
    let CxPush::Ppr(read) = over_the_wire(&CxPush::Ppr(ppr.clone())) else {
        panic!()
    };
    assert_eq!(read, ppr);
}

#[test]
fn request_of_the_other_direction_is_an_unknown_command() {
    assert_eq!(CxPush::decode(&request_message()).unwrap_err().code, 3001);
}

#[test]
fn proxy_info_comes_back_in_the_answer() {
    let mut bytes = request_message().bytes().to_vec();
    bytes.extend(hex(
        "0000011c 40000020 00000118 4000000a 7031 0000 00000021 4000000b 616263 00",
    ));
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    bytes[1..4].copy_from_slice(&length[1..]);
    let request = Message::parse(Bytes::from(bytes)).unwrap();
    let answer = CxAnswer::Uaa(Uaa::default()).encode(&local("hss"), &request);
    let answer = Message::parse(answer).unwrap();
    assert_eq!(
        answer.find(&base::PROXY_INFO).unwrap().raw,
        request.find(&base::PROXY_INFO).unwrap().raw
    );
}

#[test]
fn no_code_stands_twice_in_the_dictionary_of_cx() {
    let mut codes: Vec<u32> = avp::ALL.iter().map(|def| def.code).collect();
    let before = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), before);
}

proptest! {
    #[test]
    fn mutated_commands_never_panic(
        changes in proptest::collection::vec((20_usize..400, any::<u8>()), 1..10),
        which in 0_usize..6,
    ) {
        let request = request_message();
        let saa = CxAnswer::Saa(Saa {
            result: CxResult::SUCCESS,
            charging: Some(ChargingInformation::default()),
            ..Saa::default()
        });
        let maa = CxAnswer::Maa(Maa {
            result: CxResult::SUCCESS,
            items: vec![AuthItem::Aka(vector())],
            ..Maa::default()
        });
        let mut bytes = match which {
            0 => request.bytes().to_vec(),
            1 => CxRequest::Mar(mar()).encode(&head(&local("scscf"))).to_vec(),
            2 => saa.encode(&local("hss"), &request).to_vec(),
            _ => maa.encode(&local("hss"), &request).to_vec(),
        };
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        for code in 300..306_u32 {
            bytes[5..8].copy_from_slice(&code.to_be_bytes()[1..]);
            let Ok(message) = Message::parse(Bytes::copy_from_slice(&bytes)) else { continue };
            let _ = CxRequest::decode(&message);
            let _ = CxPush::decode(&message);
            let _ = CxAnswer::decode(&message);
            let _ = CxPushAnswer::decode(&message);
        }
    }
}
