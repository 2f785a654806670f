//! Testkit: APDUs, data objects and files: what decodes encodes to what decodes to the same.

use std::fmt::Debug;

use ims_tests::card::apdu::{Command, Reply};
use ims_tests::card::contents::{Read, ServiceTable};
use ims_tests::card::files::fcp::Fcp;
use ims_tests::card::files::{
    administrative_data, dir, iccid, imsi, msisdn, pcscf, service_table, smsp, text,
};
use ims_tests::card::tlv;

use super::assert_shown;
use crate::dice::{Dice, change, changed, seed};
use crate::engine::{Target, Verdict};

static TARGET: Target = Target {
    name: "card_files",
    check,
    generate,
    iterations: 40_000,
};

#[test]
fn whatever_is_in_a_file_of_a_card_is_refused_or_goes_both_ways() {
    fuzz!(TARGET);
}

const WORDS: [&[u8]; 16] = [
    b"\x80",
    b"\x80\x05\x01\xC0\x00\x02\x01",
    b"\x80\x00",
    b"\x81\x80",
    b"\x82\x01\x00",
    b"\x61\x09\x4F\x07\xA0\x00\x00\x00\x87\x10\x04",
    b"\x82\x05\x42\x21\x00\xFF\xFF",
    b"\xC6\x06\x90\x01\x80\x83\x01\x01",
    b"\x95\x01\x08",
    b"\xFF\xFF\xFF\xFF",
    b"\x00",
    b"\x06\x91\x51\x55",
    b"sip:",
    b"tel:+",
    b"@ims.example",
    b"\x08\x09\x10\x10",
];

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = if dice.one_in(2) {
        changed(dice, seeds, &WORDS)
    } else {
        let mut octets = seed(dice, seeds);
        change(dice, &mut octets, &WORDS);
        octets
    };
    // Most of what has a length has it in the second octet: let it be right more often than by chance.
    let rest = u8::try_from(octets.len().saturating_sub(2)).unwrap_or(u8::MAX);
    if let Some(length) = octets.get_mut(1)
        && rest < 0x80
        && !dice.one_in(4)
    {
        *length = rest;
    }
    octets
}

fn check(octets: &[u8]) -> Verdict {
    apdus(octets);
    objects(octets);
    // Almost any octets are one of these.
    services(octets);
    both_ways(octets, smsp::decode, |parameters| smsp::encode(parameters, 3));
    both_ways(
        octets,
        administrative_data::decode_isim,
        administrative_data::encode,
    );
    both_ways(
        octets,
        administrative_data::decode_usim,
        administrative_data::encode,
    );
    let known = [
        fcp(octets),
        both_ways(octets, text::decode, |name| text::encode(name)),
        both_ways(octets, text::decode_uri, |uri| text::encode(uri)),
        both_ways(octets, pcscf::decode, pcscf::encode),
        both_ways(octets, dir::decode, dir::encode),
        both_ways(octets, iccid::decode, |digits| iccid::encode(digits)),
        both_ways(octets, imsi::decode, |digits| imsi::encode(digits)),
        both_ways(octets, msisdn::decode, |number| msisdn::encode(number, 3)),
    ];
    Verdict::of(known.contains(&true))
}

fn both_ways<T: Debug + PartialEq>(
    octets: &[u8],
    decode: fn(&[u8]) -> Read<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    match decode(octets) {
        Read::Is(value) => {
            let again = encode(&value);
            assert_eq!(decode(&again), Read::Is(value), "{again:02X?}");
            true
        }
        Read::Malformed { why, octets: told } => {
            assert_shown(&why);
            assert_eq!(told, octets);
            false
        }
        Read::Empty => false,
        other => panic!("octets say nothing of {other:?}"),
    }
}

fn apdus(octets: &[u8]) {
    if let Ok(command) = Command::parse(octets) {
        assert_eq!(Command::parse(&command.encode(false)), Ok(command));
    }
    if let Ok(reply) = Reply::parse(octets) {
        assert_eq!(reply.encode(), octets);
        assert_shown(&reply.status.to_string());
    }
}

fn objects(octets: &[u8]) {
    for object in tlv::all(octets).map_while(Result::ok) {
        let alone = tlv::object(object.tag, object.value);
        assert_eq!(tlv::split_first(&alone), Ok((object, &[][..])));
    }
}

fn services(octets: &[u8]) {
    if let Read::Is(table) = service_table::decode(octets) {
        let numbers: Vec<usize> = table.numbers().collect();
        let again = ServiceTable(service_table::encode(&numbers));
        assert_eq!(again.numbers().collect::<Vec<_>>(), numbers);
    }
}

fn fcp(octets: &[u8]) -> bool {
    let decoded = Fcp::decode(octets);
    if let Ok(fcp) = &decoded {
        assert_eq!(Fcp::decode(&fcp.encode()).as_ref(), Ok(fcp));
        assert!(fcp.pin().is_none_or(|pin| fcp.pins.contains(&pin)));
    }
    decoded.is_ok()
}
