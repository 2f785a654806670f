//! Testkit: our Diameter codec against the `diameter` crate, an independent second opinion.

use std::io::Cursor;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use diameter::avp::{Address, AvpType as OracleType, AvpValue, Grouped, OctetString, UTF8String, Unsigned32};
use diameter::dictionary::{AvpDefinition, Dictionary};
use diameter::{ApplicationId, CommandCode, DiameterMessage};
use hss_client::cx::{AuthScheme, CxRequest, Mar, RequestHead};
use ims_common::diameter::grammar::{VENDOR_3GPP, avp};
use ims_common::diameter::{
    Application, AvpDef, AvpFlags, AvpType, CommandFlags, Header, LocalPeer, Message, MessageBuilder,
};
use ims_common::identity::{Impi, Impu};
use proptest::prelude::*;

/// Data of a random AVP.
#[derive(Clone, Debug)]
enum Data {
    Octets(Vec<u8>),
    Text(String),
    Number(u32),
    Address(IpAddr),
    Group(Vec<Random>),
}

/// A random AVP.
#[derive(Clone, Debug)]
struct Random {
    code: u32,
    vendor: Option<u32>,
    mandatory: bool,
    data: Data,
}

fn random_avp() -> impl Strategy<Value = Random> {
    let leaf = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..50).prop_map(Data::Octets),
        "[a-zé@:.]{0,30}".prop_map(Data::Text),
        any::<u32>().prop_map(Data::Number),
        any::<IpAddr>().prop_map(Data::Address),
    ];
    let named = |data: BoxedStrategy<Data>| {
        let vendor = proptest::option::of(1_u32..20_000);
        (1_u32..100_000, vendor, any::<bool>(), data).prop_map(|(code, vendor, mandatory, data)| Random {
            code,
            vendor,
            mandatory,
            data,
        })
    };
    named(leaf.boxed()).prop_recursive(3, 24, 4, move |inner| {
        named(
            proptest::collection::vec(inner, 0..4)
                .prop_map(Data::Group)
                .boxed(),
        )
    })
}

fn flags(avp: &Random) -> u8 {
    let mandatory = if avp.mandatory { AvpFlags::MANDATORY } else { 0 };
    mandatory | avp.vendor.map_or(0, |_| AvpFlags::VENDOR)
}

fn put(builder: &mut MessageBuilder, random: &Random) {
    let def = AvpDef {
        name: "random",
        code: random.code,
        vendor: random.vendor.unwrap_or(0),
        flags: flags(random),
        kind: AvpType::Grouped(&[]),
    };
    match &random.data {
        Data::Octets(octets) => _ = builder.octets(&def, octets),
        Data::Text(text) => _ = builder.text(&def, text),
        Data::Number(number) => _ = builder.u32(&def, *number),
        Data::Address(address) => _ = builder.address(&def, *address),
        Data::Group(members) => _ = builder.group(&def, |b| members.iter().for_each(|member| put(b, member))),
    }
}

fn value(data: &Data, dictionary: &Arc<Dictionary>) -> AvpValue {
    match data {
        Data::Octets(octets) => OctetString::new(octets.clone()).into(),
        Data::Text(text) => UTF8String::new(text).into(),
        Data::Number(number) => Unsigned32::new(*number).into(),
        Data::Address(IpAddr::V4(v4)) => Address::from_ipv4(*v4).into(),
        Data::Address(IpAddr::V6(v6)) => Address::from_ipv6(*v6).into(),
        Data::Group(members) => {
            let mut group = Grouped::new(Vec::new(), Arc::clone(dictionary));
            for member in members {
                let data = value(&member.data, dictionary);
                group.add_avp(member.code, member.vendor, flags(member), data);
            }
            group.into()
        }
    }
}

proptest! {
    #[test]
    fn both_codecs_print_the_same_octets(
        avps in proptest::collection::vec(random_avp(), 0..12),
        flags_of_message in prop_oneof![Just(0xC0_u8), Just(0x80), Just(0x40), Just(0xD0)],
        ids in any::<(u32, u32)>(),
    ) {
        let dictionary = Arc::new(Dictionary::new(&[]));
        let code = CommandCode::AA;
        let mut oracle =
            DiameterMessage::new(code, ApplicationId::Rx, flags_of_message, ids.0, ids.1, Arc::clone(&dictionary));
        let mut ours = MessageBuilder::new(Header {
            flags: CommandFlags(flags_of_message),
            code: 265,
            application: 16_777_236,
            hop_by_hop: ids.0,
            end_to_end: ids.1,
        });
        for random in &avps {
            put(&mut ours, random);
            oracle.add_avp(random.code, random.vendor, flags(random), value(&random.data, &dictionary));
        }
        let mut expected = Vec::new();
        oracle.encode_to(&mut expected).unwrap();
        let bytes = ours.finish();
        prop_assert_eq!(&bytes[..], &expected[..]);
        // What either prints, we read.
        let message = Message::parse(Bytes::from(expected)).unwrap();
        let read: Vec<(u32, u32)> = message.avps().map(|avp| avp.map(|avp| (avp.code, avp.vendor)).unwrap()).collect();
        let printed: Vec<(u32, u32)> = avps.iter().map(|avp| (avp.code, avp.vendor.unwrap_or(0))).collect();
        prop_assert_eq!(read, printed);
    }
}

/// The dictionary of the oracle, filled from our own table and with what a MAR has besides.
fn dictionary() -> Arc<Dictionary> {
    let mut dictionary = Dictionary::new(&[]);
    for def in avp::ALL {
        let avp_type = match def.kind {
            AvpType::OctetString => OracleType::OctetString,
            AvpType::Utf8String => OracleType::UTF8String,
            AvpType::Unsigned32 => OracleType::Unsigned32,
            AvpType::Unsigned64 => OracleType::Unsigned64,
            AvpType::Enumerated(_) => OracleType::Enumerated,
            AvpType::Time => OracleType::Time,
            AvpType::Address => OracleType::Address,
            AvpType::DiameterIdentity => OracleType::Identity,
            AvpType::DiameterUri => OracleType::DiameterURI,
            AvpType::Grouped(_) => OracleType::Grouped,
        };
        dictionary.add_avp(define(def.code, None, avp_type));
    }
    for (code, avp_type) in [
        (601, OracleType::UTF8String),
        (602, OracleType::UTF8String),
        (607, OracleType::Unsigned32),
        (608, OracleType::UTF8String),
        (610, OracleType::OctetString),
        (612, OracleType::Grouped),
    ] {
        dictionary.add_avp(define(code, Some(VENDOR_3GPP), avp_type));
    }
    Arc::new(dictionary)
}

fn define(code: u32, vendor_id: Option<u32>, avp_type: OracleType) -> AvpDefinition {
    AvpDefinition {
        code,
        vendor_id,
        name: code.to_string(),
        avp_type,
        m_flag: true,
    }
}

fn local() -> LocalPeer {
    LocalPeer {
        origin_host: "scscf.ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        origin_realm: "ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        host_ip_addresses: vec![
            "2001:db8::1".parse().expect("an address"),
            "192.0.2.1".parse().expect("an address"),
        ],
        product_name: "ims-core".to_owned(),
        origin_state_id: 7,
        applications: vec![Application::CX],
        supported_vendors: vec![10415, 13019],
    }
}

/// The oracle reads these octets and prints them again.
fn through_the_oracle(octets: &[u8]) -> (DiameterMessage, Vec<u8>) {
    let message =
        DiameterMessage::decode_from(&mut Cursor::new(octets), dictionary()).expect("the oracle reads it");
    let mut printed = Vec::new();
    message.encode_to(&mut printed).expect("the oracle prints it");
    (message, printed)
}

#[test]
fn oracle_reads_our_cer() {
    let seed = ims_common::node::Seed::from_number(1);
    let mut ids = ims_common::diameter::Identifiers::new(&seed, 0, &mut seed.rng(0));
    let cer = local().cer(&mut ids, "192.0.2.1".parse().unwrap());
    let (message, printed) = through_the_oracle(&cer);
    assert_eq!(message.get_command_code(), CommandCode::CapabilitiesExchange);
    assert_eq!(
        message
            .get_avps()
            .iter()
            .filter(|avp| avp.get_code() == 257)
            .count(),
        2
    );
    assert_eq!(printed, cer);
}

#[test]
fn oracle_reads_our_mar() {
    let local = local();
    let mar = CxRequest::Mar(Mar {
        user_name: Impi::parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        public_identity: Impu::parse("sip:alice@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        scheme: AuthScheme::DigestAkaV1Md5,
        authorization: Some(Bytes::from_static(&[5; 30])),
        server_name: "sip:scscf.ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        destination_host: Some("hss01".to_owned()),
    });
    let mut octets = mar
        .encode(&RequestHead {
            local: &local,
            session_id: "scscf;1;2",
            destination_host: mar.destination_host(),
            destination_realm: "ims.mnc001.mcc001.3gppnetwork.org",
            hop_by_hop: 1,
            end_to_end: 2,
        })
        .to_vec();
    // The oracle knows neither Cx nor its commands: it reads the AVPs under AAR of Rx.
    octets[5..8].copy_from_slice(&265_u32.to_be_bytes()[1..]);
    octets[8..12].copy_from_slice(&16_777_236_u32.to_be_bytes());
    let (message, printed) = through_the_oracle(&octets);
    let codes: Vec<u32> = message
        .get_avps()
        .iter()
        .map(diameter::avp::Avp::get_code)
        .collect();
    assert_eq!(codes, [263, 260, 277, 264, 296, 293, 283, 1, 601, 612, 607, 602]);
    assert_eq!(printed, octets);
}
