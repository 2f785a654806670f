//! Testkit: what we print of Diameter against what the `diameter` crate prints, AVP by AVP. Only its encoder is asked: its
//! decoder refuses AVPs that it does not know, knows no command of Cx, and cannot be given what strangers send.

use std::io::Cursor;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use diameter::avp::{Address, AvpType as OracleType, AvpValue, Grouped, OctetString, UTF8String, Unsigned32};
use diameter::dictionary::{AvpDefinition, Dictionary};
use diameter::{ApplicationId, CommandCode, DiameterMessage};
use hss_client::cx::{CxRequest, RequestHead};
use ims_common::diameter::grammar::{VENDOR_3GPP, avp};
use ims_common::diameter::{
    Avp, AvpDef, AvpType, Avps, CommandFlags, Header, Identifiers, Message, MessageBuilder,
};

use super::message as generate;
use super::message::local;
use crate::engine::{Target, Verdict, corpus};

static TARGET: Target = Target {
    name: "diameter_against_oracle",
    check,
    generate,
    iterations: 6_000,
};

#[test]
fn both_codecs_print_the_same_octets() {
    fuzz!(TARGET);
}

/// AAR of Rx: the oracle has no command of Cx.
const CODE: u32 = 265;
const APPLICATION: u32 = 16_777_236;

/// Groups of Cx, by code.
const GROUPS: [u32; 5] = [603, 612, 615, 618, 635];

/// An AVP as a value that both can print.
enum Value<'a> {
    Octets(&'a [u8]),
    Text(&'a str),
    Number(u32),
    Address(IpAddr),
    Group(Vec<(Avp<'a>, Self)>),
}

fn value<'a>(read: &Avp<'a>, depth: usize) -> Value<'a> {
    let known = avp::ALL.iter().find(|def| read.is(def)).map(|def| def.kind);
    let is_group = GROUPS.contains(&read.code) && read.vendor == VENDOR_3GPP;
    let members: Result<Vec<_>, _> = read.members().collect();
    match (known, members) {
        (Some(AvpType::Grouped(_)), Ok(members)) if depth < 8 => group(members, depth),
        (None, Ok(members)) if is_group && depth < 8 => group(members, depth),
        (Some(AvpType::Unsigned32 | AvpType::Enumerated(_)), _) => {
            read.u32().map_or(Value::Octets(read.data), Value::Number)
        }
        (Some(AvpType::Address), _) => read.address().map_or(Value::Octets(read.data), Value::Address),
        _ => read.text().map_or(Value::Octets(read.data), Value::Text),
    }
}

fn group(members: Vec<Avp<'_>>, depth: usize) -> Value<'_> {
    Value::Group(
        members
            .into_iter()
            .map(|member| (member, value(&member, depth + 1)))
            .collect(),
    )
}

fn put(builder: &mut MessageBuilder, read: &Avp<'_>, value: &Value<'_>) {
    let def = AvpDef {
        name: "read",
        code: read.code,
        vendor: read.vendor,
        flags: read.flags.0,
        kind: AvpType::Grouped(&[]),
    };
    match value {
        Value::Octets(octets) => _ = builder.octets(&def, octets),
        Value::Text(text) => _ = builder.text(&def, text),
        Value::Number(number) => _ = builder.u32(&def, *number),
        Value::Address(address) => _ = builder.address(&def, *address),
        Value::Group(members) => {
            builder.group(&def, |b| {
                members.iter().for_each(|(read, value)| put(b, read, value))
            });
        }
    }
}

/// V and M; the oracle derives V from the vendor.
fn vendor(read: &Avp<'_>) -> Option<u32> {
    read.flags.has_vendor().then_some(read.vendor)
}

fn oracle(value: &Value<'_>, dictionary: &Arc<Dictionary>) -> AvpValue {
    match value {
        Value::Octets(octets) => OctetString::new(octets.to_vec()).into(),
        Value::Text(text) => UTF8String::new(text).into(),
        Value::Number(number) => Unsigned32::new(*number).into(),
        Value::Address(IpAddr::V4(v4)) => Address::from_ipv4(*v4).into(),
        Value::Address(IpAddr::V6(v6)) => Address::from_ipv6(*v6).into(),
        Value::Group(members) => {
            let mut group = Grouped::new(Vec::new(), Arc::clone(dictionary));
            for (read, value) in members {
                group.add_avp(read.code, vendor(read), read.flags.0, oracle(value, dictionary));
            }
            group.into()
        }
    }
}

/// Flag bits that the oracle keeps: V, M and P.
fn plain_flags(avps: Avps<'_>, depth: usize) -> bool {
    avps.map_while(Result::ok)
        .all(|avp| avp.flags.0 & 0x1f == 0 && (depth > 8 || plain_flags(avp.members(), depth + 1)))
}

fn check(bytes: &[u8]) -> Verdict {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return Verdict::Refused;
    };
    if !plain_flags(message.avps(), 0) {
        return Verdict::Refused;
    }
    let avps: Vec<_> = message
        .avps()
        .map_while(Result::ok)
        .map(|avp| (avp, value(&avp, 0)))
        .collect();
    let dictionary = Arc::new(Dictionary::new(&[]));
    let (flags, ids) = (message.header().flags.0 & 0xf0, *message.header());
    let mut theirs = DiameterMessage::new(
        CommandCode::AA,
        ApplicationId::Rx,
        flags,
        ids.hop_by_hop,
        ids.end_to_end,
        Arc::clone(&dictionary),
    );
    let mut ours = MessageBuilder::new(Header {
        flags: CommandFlags(flags),
        code: CODE,
        application: APPLICATION,
        ..ids
    });
    for (read, value) in &avps {
        put(&mut ours, read, value);
        theirs.add_avp(read.code, vendor(read), read.flags.0, oracle(value, &dictionary));
    }
    let mut expected = Vec::new();
    theirs.encode_to(&mut expected).expect("the oracle prints it");
    let ours = ours.finish();
    assert_eq!(&ours[..], &expected[..]);
    assert_eq!(
        without_padding(&ours),
        without_padding(message.bytes()),
        "what was read is what is printed"
    );
    Verdict::Accepted
}

/// What was read, but for padding, which we print as zeros.
fn without_padding(bytes: &[u8]) -> Vec<Vec<u8>> {
    let message = Message::parse(rewritten(bytes)).expect("it parses");
    flat(message.avps(), 0)
}

fn flat(avps: Avps<'_>, depth: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for avp in avps.map_while(Result::ok) {
        let is_group = matches!(value(&avp, depth), Value::Group(_));
        out.push(
            [
                &avp.code.to_be_bytes()[..],
                &avp.vendor.to_be_bytes(),
                &[avp.flags.0],
            ]
            .concat(),
        );
        if is_group {
            out.extend(flat(avp.members(), depth + 1));
        } else {
            out.push(avp.data.to_vec());
        }
    }
    out
}

/// The same octets under the oracle's command.
fn rewritten(bytes: &[u8]) -> Bytes {
    let mut octets = bytes.to_vec();
    octets[5..8].copy_from_slice(&CODE.to_be_bytes()[1..]);
    octets[8..12].copy_from_slice(&APPLICATION.to_be_bytes());
    octets.into()
}

/// The dictionary of the oracle, filled from our own table and with what Cx has besides.
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
    let octets = [600, 606, 609, 610, 625, 626];
    let numbers = [604, 605, 607, 613, 614, 616, 623, 624, 633, 637, 638];
    for code in 600..664 {
        let avp_type = match code {
            632 => OracleType::Grouped,
            _ if GROUPS.contains(&code) => OracleType::Grouped,
            _ if octets.contains(&code) => OracleType::OctetString,
            _ if numbers.contains(&code) => OracleType::Unsigned32,
            _ => OracleType::UTF8String,
        };
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
    let mut ids = Identifiers::new(&seed, 0, &mut seed.rng(0));
    let mut peer = local();
    peer.host_ip_addresses
        .push("2001:db8::1".parse().expect("an address"));
    let cer = peer.cer(&mut ids, "192.0.2.1".parse().expect("an address"));
    let (message, printed) = through_the_oracle(&cer);
    assert_eq!(message.get_command_code(), CommandCode::CapabilitiesExchange);
    let addresses = message.get_avps().iter().filter(|avp| avp.get_code() == 257);
    assert_eq!(addresses.count(), 2);
    assert_eq!(printed, cer);
}

#[test]
fn oracle_reads_every_request_that_we_print_of_the_corpus() {
    let mut read = 0;
    for (path, bytes) in corpus(&TARGET) {
        let Ok(message) = Message::parse(bytes.into()) else {
            continue;
        };
        let Ok(request) = CxRequest::decode(&message) else {
            continue;
        };
        let printed = request.encode(&RequestHead {
            local: &local(),
            session_id: "scscf;1;2",
            destination_host: request.destination_host(),
            destination_realm: "h.example",
            hop_by_hop: 1,
            end_to_end: 2,
        });
        let octets = rewritten(&printed);
        let (theirs, again) = through_the_oracle(&octets);
        let ours = Message::parse(octets.clone()).expect("it parses");
        let codes: Vec<u32> = ours.avps().map_while(Result::ok).map(|avp| avp.code).collect();
        let their_codes: Vec<u32> = theirs
            .get_avps()
            .iter()
            .map(diameter::avp::Avp::get_code)
            .collect();
        assert_eq!(their_codes, codes, "{}", path.display());
        assert_eq!(again, octets, "{}", path.display());
        read += 1;
    }
    assert!(
        read >= 4,
        "the corpus has UAR, SAR, LIR and MAR; {read} were read"
    );
}
