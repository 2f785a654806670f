//! Codec: tests of the base messages against octets written by hand.

use std::net::Ipv4Addr;

use super::*;
use crate::diameter::grammar::VENDOR_ETSI;

pub(in crate::diameter) fn local(origin_host: &str) -> LocalPeer {
    LocalPeer {
        origin_host: origin_host.to_owned(),
        origin_realm: "ims.example".to_owned(),
        host_ip_addresses: Vec::new(),
        product_name: "ims-core".to_owned(),
        origin_state_id: 0x6955_B900,
        applications: vec![Application::CX],
        supported_vendors: vec![VENDOR_3GPP, VENDOR_ETSI],
    }
}

pub(in crate::diameter) fn ids() -> Identifiers {
    Identifiers {
        hop_by_hop: 0x0000_0010,
        end_to_end: 0x0000_0020,
    }
}

fn ip() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))
}

pub(in crate::diameter) fn cer() -> Bytes {
    local("icscf").cer(&mut ids(), ip())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |d: u8| u8::try_from(char::from(d).to_digit(16).unwrap()).unwrap();
    digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

#[test]
fn cer_is_what_rfc_6733_and_ts_29_229_ask_for() {
    let expected = hex("010000b4 80000101 00000000 00000011 00000021 \
         00000108 4000000d 6963736366 000000 \
         00000128 40000013 696d732e6578616d706c65 00 \
         00000101 4000000e 0001c0000207 0000 \
         0000010a 4000000c 00000000 \
         0000010d 00000010 696d732d636f7265 \
         00000116 4000000c 6955b900 \
         00000109 4000000c 000028af \
         00000109 4000000c 000032db \
         0000012b 4000000c 00000000 \
         00000104 40000020 0000010a4000000c000028af 000001024000000c01000000");
    assert_eq!(cer()[..], expected[..]);
}

#[test]
fn base_requests_have_flags_exactly_r_and_their_answers_none() {
    let local = local("icscf");
    let mut ids = ids();
    for request in [
        local.cer(&mut ids, ip()),
        local.dwr(&mut ids),
        local.dpr(&mut ids, DisconnectCause::Busy),
    ] {
        assert_eq!(request[4], 0x80);
    }
    let header = Header::read(&local.dwr(&mut ids)).unwrap();
    for answer in [
        local.cea(&header, ip(), &Refusal::new(2001)),
        local.dwa(&header),
        local.dpa(&header),
    ] {
        assert_eq!(answer[4], 0);
    }
}

#[test]
fn origin_state_id_is_in_cer_dwr_and_their_answers() {
    let local = local("icscf");
    let header = Header::read(&cer()).unwrap();
    let messages = [
        cer(),
        local.cea(&header, ip(), &Refusal::new(2001)),
        local.dwr(&mut ids()),
        local.dwa(&header),
    ];
    for bytes in messages {
        assert_eq!(
            Message::parse(bytes).unwrap().u32(&avp::ORIGIN_STATE_ID),
            Some(0x6955_B900)
        );
    }
}

#[test]
fn our_own_cer_reads_back() {
    let capabilities = Capabilities::of_cer(&Message::parse(cer()).unwrap()).unwrap();
    assert_eq!(capabilities.origin_host, "icscf");
    assert_eq!(capabilities.applications, [16_777_216]);
    assert!(capabilities.serves_any_of(&[Application::CX]));
}

fn cea(put: impl FnOnce(&mut MessageBuilder)) -> Message {
    let mut builder = MessageBuilder::new(Header::read(&cer()).unwrap().answer(false));
    builder
        .u32(&avp::RESULT_CODE, 2001)
        .text(&avp::ORIGIN_HOST, "hss01");
    put(&mut builder);
    Message::parse(builder.finish()).unwrap()
}

#[test]
fn applications_of_a_cea_are_found_however_they_are_said() {
    let serves = |message: &Message| {
        Capabilities::of_cea(message)
            .unwrap()
            .serves_any_of(&[Application::CX])
    };
    // Inside, with the vendor last, as PyHSS does.
    assert!(serves(&cea(|b| {
        b.group(&avp::VENDOR_SPECIFIC_APPLICATION_ID, |b| {
            b.u32(&avp::AUTH_APPLICATION_ID, 16_777_216)
                .u32(&avp::VENDOR_ID, 10415);
        });
    })));
    // Plain.
    assert!(serves(&cea(|b| {
        b.u32(&avp::AUTH_APPLICATION_ID, 16_777_238)
            .u32(&avp::AUTH_APPLICATION_ID, 16_777_216);
    })));
    // A relay.
    assert!(serves(&cea(|b| {
        b.u32(&avp::AUTH_APPLICATION_ID, APPLICATION_RELAY);
    })));
    // Only others, or none.
    assert!(!serves(&cea(|b| {
        b.u32(&avp::AUTH_APPLICATION_ID, 16_777_217);
    })));
    assert!(!serves(&cea(|_| {})));
}

#[test]
fn cea_that_refuses_gives_its_result_code() {
    let mut builder = MessageBuilder::new(Header::read(&cer()).unwrap().answer(true));
    builder.u32(&avp::RESULT_CODE, 3010);
    let message = Message::parse(builder.finish()).unwrap();
    assert_eq!(Capabilities::of_cea(&message), Err(3010));
}

#[test]
fn refusal_has_e_for_protocol_errors_only_and_carries_the_failed_avp() {
    let local = local("hss");
    let header = Header {
        flags: CommandFlags(0xC0),
        code: 300,
        application: 16_777_216,
        hop_by_hop: 1,
        end_to_end: 2,
    };
    let protocol = Message::parse(local.refuse(&header, Some("a;1;2"), &Refusal::new(3001))).unwrap();
    assert_eq!(protocol.header().flags.0, 0x60);
    assert_eq!(protocol.text(&avp::SESSION_ID), Some("a;1;2"));
    let missing = Refusal {
        code: 5005,
        failed_avp: Some(grammar::example(&avp::USER_NAME)),
    };
    let permanent = Message::parse(local.refuse(&header, None, &missing)).unwrap();
    assert_eq!(permanent.header().flags.0, 0x40);
    let failed = permanent.find(&avp::FAILED_AVP).unwrap();
    assert_eq!(failed.data, [0, 0, 0, 1, 0x40, 0, 0, 8]);
}

#[test]
fn end_to_end_ids_start_with_the_time_of_the_start_and_hop_by_hop_ids_with_the_shard() {
    let mut seed = Seed::from_number(1);
    seed.boot_unix_secs = 0x1234_5ABC;
    let mut ids = Identifiers::new(&seed, 0xA5, &mut seed.rng(0));
    assert_eq!(ids.next_end_to_end() >> 20, 0xABC);
    let first = ids.next_hop_by_hop();
    assert_eq!(first >> 24, 0xA5);
    ids.hop_by_hop = 0xA5FF_FFFF;
    assert_eq!(ids.next_hop_by_hop(), 0xA500_0000);
}
