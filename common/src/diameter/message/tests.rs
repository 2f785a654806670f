//! Codec: tests of whole messages, random ones among them.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::diameter::grammar::{check, one};
use crate::diameter::{AvpType, Rule, framing};

fn request(avps: &[(u32, Vec<u8>)]) -> Bytes {
    let mut builder = MessageBuilder::new(Header {
        flags: CommandFlags(0xC0),
        code: 300,
        application: 16_777_216,
        hop_by_hop: 1,
        end_to_end: 2,
    });
    for (code, data) in avps {
        let def = AvpDef {
            name: "random",
            code: *code,
            vendor: if code % 2 == 0 { 10415 } else { 0 },
            flags: if code % 2 == 0 { 0xC0 } else { 0x40 },
            kind: AvpType::OctetString,
        };
        builder.octets(&def, data);
    }
    builder.finish()
}

#[test]
fn length_that_is_not_the_number_of_octets_is_refused() {
    let good = request(&[(1, b"abc".to_vec())]);
    assert!(Message::parse(good.clone()).is_ok());
    assert_eq!(Message::parse(good.slice(..16)).unwrap_err(), ParseError::Length);
    assert_eq!(Message::parse(good.slice(..28)).unwrap_err(), ParseError::Length);
    let mut bad = good.to_vec();
    bad[0] = 2;
    assert_eq!(Message::parse(Bytes::from(bad)).unwrap_err(), ParseError::Version);
}

#[test]
fn avp_that_does_not_fit_is_refused_with_5014_and_a_sample_of_it() {
    let mut bad = request(&[(1, b"a".to_vec()), (278 - 1, vec![0, 0, 0, 1])]).to_vec();
    bad[32 + 7] = 200;
    let Err(ParseError::Avp { header, refusal }) = Message::parse(Bytes::from(bad)) else {
        panic!("accepted");
    };
    assert_eq!((header.hop_by_hop, refusal.code), (1, 5014));
    // Auth-Session-State with four octets of zero.
    assert_eq!(
        refusal.failed_avp.unwrap()[..],
        [0, 0, 1, 0x15, 0x40, 0, 0, 12, 0, 0, 0, 0]
    );
}

#[test]
fn retransmission_differs_in_hop_by_hop_and_t_only() {
    let first = request(&[(1, b"abc".to_vec()), (602, b"sip:x".to_vec())]);
    let second = Message::parse(first.clone()).unwrap().retransmission(9);
    let again = Message::parse(second.clone()).unwrap();
    assert_eq!(again.header().flags.0, 0xD0);
    assert_eq!((again.header().hop_by_hop, again.header().end_to_end), (9, 2));
    assert_eq!(first[20..], second[20..]);
}

#[test]
fn debug_of_a_message_shows_no_avp() {
    let message = Message::parse(request(&[(1, b"001010000000001".to_vec())])).unwrap();
    let text = format!("{message:?}");
    assert!(!text.contains("00101") && !text.contains("48, 48"), "{text}");
}

/// Everything that production code does with a message of the network.
fn exercise(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    let _ = framing::split(&mut buffer, 4096);
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let rules: &[Rule] = &[one(&avp::SESSION_ID), one(&avp::VENDOR_SPECIFIC_APPLICATION_ID)];
    let _ = check(&message, rules, &[]);
    let _ = crate::diameter::Capabilities::of_cer(&message);
    let _ = crate::diameter::Capabilities::of_cea(&message);
    for item in message.avps().map_while(Result::ok) {
        let _ = (item.u32(), item.text(), item.address(), item.members().count());
    }
}

proptest! {
    #[test]
    fn avps_that_were_printed_are_read(
        avps in proptest::collection::vec((1_u32..700, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let bytes = request(&avps);
        prop_assert_eq!(bytes.len() % 4, 0);
        let message = Message::parse(bytes).unwrap();
        let read: Vec<(u32, Vec<u8>)> =
            message.avps().map(|avp| avp.map(|avp| (avp.code, avp.data.to_vec())).unwrap()).collect();
        prop_assert_eq!(read, avps);
    }

    #[test]
    fn random_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&octets);
    }

    #[test]
    fn mutated_cers_never_panic(
        changes in proptest::collection::vec((0_usize..200, any::<u8>()), 1..8),
        cut in 0_usize..200,
    ) {
        let mut octets = crate::diameter::base::tests::cer().to_vec();
        for (at, value) in changes {
            let at = at % octets.len();
            octets[at] = value;
        }
        exercise(&octets);
        octets.truncate(cut);
        exercise(&octets);
    }
}
