//! Codec: tests of the check of requests.

use super::*;
use crate::diameter::builder::MessageBuilder;
use crate::diameter::header::{CommandFlags, Header};

const RULES: &[Rule] = &[
    one(&avp::SESSION_ID),
    one(&avp::AUTH_SESSION_STATE),
    opt(&avp::USER_NAME),
    any(&avp::PROXY_INFO),
];

fn verdict(put: impl FnOnce(&mut MessageBuilder)) -> Result<(), (u32, Option<Vec<u8>>)> {
    let mut builder = MessageBuilder::new(Header {
        flags: CommandFlags(0xC0),
        code: 300,
        application: 16_777_216,
        hop_by_hop: 1,
        end_to_end: 2,
    });
    builder.text(&avp::SESSION_ID, "a;1;1");
    put(&mut builder);
    let message = Message::parse(builder.finish()).unwrap();
    check(&message, RULES, &[]).map_err(|refusal| (refusal.code, refusal.failed_avp.map(|avp| avp.to_vec())))
}

fn good(b: &mut MessageBuilder) {
    b.u32(&avp::AUTH_SESSION_STATE, 1);
}

#[test]
fn what_the_abnf_asks_for_is_enough_and_other_known_avps_are_welcome() {
    assert_eq!(verdict(good), Ok(()));
    assert_eq!(
        verdict(|b| {
            good(b);
            b.u32(&avp::ORIGIN_STATE_ID, 5);
        }),
        Ok(())
    );
}

#[test]
fn unknown_avp_with_m_is_5001_with_the_avp_and_without_m_is_ignored() {
    let unknown = |flags| AvpDef {
        name: "unknown",
        code: 0xFFFF,
        vendor: 0,
        flags,
        kind: AvpType::OctetString,
    };
    let mandatory = verdict(|b| {
        good(b);
        b.octets(&unknown(flags::M), &[7]);
    });
    assert_eq!(
        mandatory,
        Err((5001, Some(vec![0, 0, 0xFF, 0xFF, 0x40, 0, 0, 9, 7])))
    );
    let optional = verdict(|b| {
        good(b);
        b.octets(&unknown(flags::PLAIN), &[7]);
    });
    assert_eq!(optional, Ok(()));
}

#[test]
fn unknown_avp_with_m_inside_a_group_is_5001_too() {
    let unknown = AvpDef {
        code: 0xFFFF,
        ..avp::CLASS
    };
    let inside = verdict(|b| {
        good(b);
        b.group(&avp::PROXY_INFO, |b| {
            b.text(&avp::PROXY_HOST, "p")
                .octets(&avp::PROXY_STATE, b"s")
                .octets(&unknown, b"");
        });
    });
    assert_eq!(inside.unwrap_err().0, 5001);
}

#[test]
fn missing_avp_is_5005_with_an_example_of_zero_content() {
    let missing = verdict(|_| {});
    assert_eq!(
        missing,
        Err((5005, Some(vec![0, 0, 1, 0x15, 0x40, 0, 0, 12, 0, 0, 0, 0])))
    );
    let inside = verdict(|b| {
        good(b);
        b.group(&avp::PROXY_INFO, |b| {
            b.text(&avp::PROXY_HOST, "p");
        });
    });
    assert_eq!(inside, Err((5005, Some(vec![0, 0, 0, 33, 0x40, 0, 0, 8]))));
}

#[test]
fn value_out_of_range_is_5004() {
    assert_eq!(
        verdict(|b| _ = b.u32(&avp::AUTH_SESSION_STATE, 2)).unwrap_err().0,
        5004
    );
    let not_text = verdict(|b| {
        good(b);
        b.octets(&avp::USER_NAME, &[0xFF]);
    });
    assert_eq!(not_text.unwrap_err().0, 5004);
}

#[test]
fn wrong_length_of_a_number_is_5014_with_a_sample_of_the_right_length() {
    let short = verdict(|b| _ = b.octets(&avp::AUTH_SESSION_STATE, &[1]));
    assert_eq!(
        short,
        Err((5014, Some(vec![0, 0, 1, 0x15, 0x40, 0, 0, 12, 0, 0, 0, 0])))
    );
    let long = verdict(|b| _ = b.octets(&avp::AUTH_SESSION_STATE, &[0; 8]));
    assert_eq!(long.unwrap_err().0, 5014);
}

#[test]
fn avp_that_occurs_too_often_is_5009() {
    let twice = verdict(|b| {
        good(b);
        b.text(&avp::USER_NAME, "a").text(&avp::USER_NAME, "b");
    });
    assert_eq!(twice, Err((5009, Some(vec![0, 0, 0, 1, 0x40, 0, 0, 9, b'b']))));
}

#[test]
fn broken_member_of_a_group_is_5014() {
    let broken = verdict(|b| {
        good(b);
        b.octets(&avp::PROXY_INFO, &[0, 0, 1, 0x18, 0x40, 0, 0, 99]);
    });
    assert_eq!(broken.unwrap_err().0, 5014);
}

#[test]
fn no_code_stands_twice_in_the_dictionary() {
    let mut codes: Vec<u32> = avp::ALL.iter().map(|def| def.code).collect();
    let before = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), before);
}
