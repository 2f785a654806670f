//! Codec: tests of the octets that reach the kernel, against `uapi/linux/xfrm.h`, and of what is read from it.

use std::sync::Arc;

use netlink_packet_core::NlasIterator;

use super::*;
use crate::ipsec::SaSetId;

/// `struct xfrm_usersa_info`.
const INFO: usize = 224;

const CBC_SHA1: Suite = Suite {
    integrity: Integrity::HmacSha1_96,
    encryption: Encryption::AesCbc,
};

fn ports(replay_window: u32) -> ProtectedPorts {
    ProtectedPorts {
        local: Vec::new(),
        reqid: 0x0A0B_0C0D,
        priority: 2_100,
        replay_window,
        requests_max: 8,
        suites: Vec::new(),
    }
}

/// A set of row 1 four times, with keys of these lengths.
fn set(suite: Suite, integrity: u8, encryption: u8, ue: &str, us: &str) -> SaSet {
    let state = SaState {
        spi: 0x8474_6b8e,
        source: ue.parse().unwrap(),
        destination: us.parse().unwrap(),
    };
    SaSet {
        id: SaSetId(1),
        suite,
        keys: Arc::new(EspKeys {
            integrity: (1..=integrity).collect::<Vec<u8>>().into(),
            encryption: (101..=100 + encryption).collect::<Vec<u8>>().into(),
        }),
        states: [state; 4],
    }
}

fn v4(suite: Suite, integrity: u8, encryption: u8) -> SaSet {
    set(
        suite,
        integrity,
        encryption,
        "192.0.2.1:45061",
        "192.0.2.129:6101",
    )
}

fn octets(set: &SaSet, window: u32, verb: Verb, time: Duration) -> Vec<u8> {
    let mut request = state(verb, &ports(window), set, &set.states[0], time);
    request.addressed(7, 4711).to_vec()
}

fn add(set: &SaSet) -> Vec<u8> {
    octets(set, 32, Verb::Add, Duration::from_secs(240))
}

/// Kinds and values of the attributes behind the fixed part.
fn attributes(octets: &[u8], fixed: usize) -> Vec<(u16, Vec<u8>)> {
    NlasIterator::new(&octets[HEADER + fixed..])
        .map(|nla| nla.map(|nla| (nla.kind(), nla.value().to_vec())).unwrap())
        .collect()
}

/// Name, the numbers behind it, and the key.
fn algorithm(value: &[u8], numbers: usize) -> (String, Vec<u32>, Vec<u8>) {
    let name = value[..64].iter().take_while(|b| **b != 0);
    let (numbers, key) = value[64..].split_at(4 * numbers);
    (
        String::from_utf8(name.copied().collect()).unwrap(),
        numbers
            .chunks(4)
            .map(|n| u32::from_ne_bytes(n.try_into().unwrap()))
            .collect(),
        key.to_vec(),
    )
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap())
}

fn u64_at(octets: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(octets[at..at + 8].try_into().unwrap())
}

#[test]
fn state_is_added_with_an_exact_selector_in_transport_mode() {
    let octets = add(&v4(CBC_SHA1, 20, 16));
    assert_eq!(u32_at(&octets, 0) as usize, octets.len());
    assert_eq!(octets[4..6], 0x10_u16.to_ne_bytes(), "XFRM_MSG_NEWSA");
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    assert_eq!(octets[6..8], flags.to_ne_bytes());
    assert_eq!((u32_at(&octets, 8), u32_at(&octets, 12)), (7, 4711));
    let info = &octets[HEADER..HEADER + INFO];
    // struct xfrm_selector: daddr, saddr, dport and its mask, sport and its mask, family, prefix lengths, proto.
    assert_eq!(info[0..4], [192, 0, 2, 129]);
    assert_eq!(info[16..20], [192, 0, 2, 1]);
    assert_eq!(info[32..36], [0x17, 0xD5, 0xFF, 0xFF], "6101 in network order");
    assert_eq!(info[36..40], [0xB0, 0x05, 0xFF, 0xFF], "45061 in network order");
    assert_eq!(info[40..42], 2_u16.to_ne_bytes(), "AF_INET");
    assert_eq!(info[42..45], [32, 32, 0], "any upper protocol");
    // struct xfrm_id: daddr, spi, proto.
    assert_eq!(info[56..60], [192, 0, 2, 129]);
    assert_eq!(info[72..77], [0x84, 0x74, 0x6b, 0x8e, 50]);
    assert_eq!(info[80..84], [192, 0, 2, 1], "saddr");
    // struct xfrm_lifetime_cfg: limits of octets and packets, then of time.
    for at in [96, 104, 112, 120] {
        assert_eq!(u64_at(info, at), u64::MAX, "no limit");
    }
    assert_eq!((u64_at(info, 128), u64_at(info, 136)), (0, 240));
    assert_eq!((u64_at(info, 144), u64_at(info, 152)), (0, 0));
    assert_eq!(u32_at(info, 208), 0x0A0B_0C0D, "reqid");
    assert_eq!(info[212..214], 2_u16.to_ne_bytes());
    assert_eq!(info[214..217], [0, 32, 0], "transport mode, window, no flags");
}

#[test]
fn state_of_ipv6_has_prefixes_of_128_bits() {
    let octets = add(&set(
        CBC_SHA1,
        20,
        16,
        "[2001:db8:1::10]:45061",
        "[2001:db8:2::1]:6101",
    ));
    let info = &octets[HEADER..HEADER + INFO];
    assert_eq!(info[0..16], "2001:db8:2::1".parse::<Ipv6Addr>().unwrap().octets());
    assert_eq!(info[40..42], 10_u16.to_ne_bytes(), "AF_INET6");
    assert_eq!(info[42..45], [128, 128, 0]);
    assert_eq!(info[212..214], 10_u16.to_ne_bytes());
}

#[test]
fn sha1_is_cut_to_96_bits_and_goes_with_a_cipher() {
    let attributes = attributes(&add(&v4(CBC_SHA1, 20, 16)), INFO);
    let [(20, auth), (2, crypt)] = attributes.as_slice() else {
        panic!("XFRMA_ALG_AUTH_TRUNC, then XFRMA_ALG_CRYPT: {attributes:?}");
    };
    let key: Vec<u8> = (1..=20).collect();
    assert_eq!(algorithm(auth, 2), ("hmac(sha1)".to_owned(), vec![160, 96], key));
    let key: Vec<u8> = (101..=116).collect();
    assert_eq!(algorithm(crypt, 1), ("cbc(aes)".to_owned(), vec![128], key));
}

#[test]
fn null_encryption_has_a_key_of_no_octets() {
    let suite = Suite {
        integrity: Integrity::HmacMd5_96,
        encryption: Encryption::Null,
    };
    let attributes = attributes(&add(&v4(suite, 16, 0)), INFO);
    assert_eq!(algorithm(&attributes[0].1, 2).0, "hmac(md5)");
    assert_eq!(
        algorithm(&attributes[1].1, 1),
        ("ecb(cipher_null)".to_owned(), vec![0], Vec::new())
    );
    assert_eq!(attributes[1].1.len(), 68);
}

#[test]
fn triple_des_has_its_whole_key() {
    let suite = Suite {
        encryption: Encryption::DesEde3Cbc,
        ..CBC_SHA1
    };
    let attributes = attributes(&add(&v4(suite, 20, 24)), INFO);
    let (name, bits, key) = algorithm(&attributes[1].1, 1);
    assert_eq!((name.as_str(), bits), ("cbc(des3_ede)", vec![192]));
    assert_eq!(key, (101..=124).collect::<Vec<u8>>());
}

#[test]
fn aes_gcm_and_aes_gmac_are_one_algorithm_with_the_salt_in_its_key() {
    let gcm = Suite {
        integrity: Integrity::Null,
        encryption: Encryption::AesGcm,
    };
    let gmac = Suite {
        integrity: Integrity::AesGmac,
        encryption: Encryption::Null,
    };
    let cases = [
        (gcm, v4(gcm, 0, 20), "rfc4106(gcm(aes))", 101..=120),
        (gmac, v4(gmac, 20, 0), "rfc4543(gcm(aes))", 1..=20),
    ];
    for (suite, set, name, key) in cases {
        let attributes = attributes(&add(&set), INFO);
        let [(18, aead)] = attributes.as_slice() else {
            panic!("XFRMA_ALG_AEAD alone for {suite:?}: {attributes:?}");
        };
        let expected = (name.to_owned(), vec![160, 128], key.collect::<Vec<u8>>());
        assert_eq!(algorithm(aead, 2), expected);
    }
}

#[test]
fn replay_window_above_32_needs_an_attribute() {
    let octets = octets(&v4(CBC_SHA1, 20, 16), 100, Verb::Add, Duration::from_secs(240));
    assert_eq!(octets[HEADER + 215], 0, "the small window must be zero then");
    let attributes = attributes(&octets, INFO);
    let (kind, value) = &attributes[2];
    assert_eq!(*kind, 23, "XFRMA_REPLAY_ESN_VAL");
    // struct xfrm_replay_state_esn: bmp_len in words, four sequence numbers, the window, the bitmap.
    assert_eq!((u32_at(value, 0), u32_at(value, 20)), (4, 100));
    assert_eq!(value.len(), 24 + 4 * 4);
}

#[test]
fn lifetimes_are_rounded_up_and_never_for_ever() {
    let set = v4(CBC_SHA1, 20, 16);
    for (time, seconds) in [(0, 1), (1, 1), (240_000, 240), (240_001, 241)] {
        let octets = octets(&set, 32, Verb::Update, Duration::from_millis(time));
        assert_eq!(u64_at(&octets, HEADER + 136), seconds);
        assert_eq!(octets[4..6], 0x1a_u16.to_ne_bytes(), "XFRM_MSG_UPDSA");
    }
}

#[test]
fn keys_are_wiped_in_the_message_once_it_is_printed() {
    let set = v4(CBC_SHA1, 20, 16);
    let mut message = XfrmMessage::AddSa(StateMessage {
        user_sa_info: UserSaInfo::default(),
        nlas: algorithms(set.suite, &set.keys),
    });
    wipe(&mut message);
    let XfrmMessage::AddSa(state) = &message else {
        unreachable!("it was one");
    };
    for attribute in &state.nlas {
        match attribute {
            XfrmAttrs::AuthenticationAlgTrunc(alg) => assert!(alg.alg_key.is_empty()),
            XfrmAttrs::EncryptionAlg(alg) => assert!(alg.alg_key.is_empty()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn state_is_deleted_by_destination_and_spi() {
    let key = StateKey {
        destination: "192.0.2.129".parse().unwrap(),
        spi: 0x8474_6b8e,
    };
    let octets = delete_state(&key).addressed(1, 1).to_vec();
    assert_eq!(octets[4..6], 0x11_u16.to_ne_bytes(), "XFRM_MSG_DELSA");
    assert_eq!(octets.len(), HEADER + 24);
    assert_eq!(octets[HEADER..HEADER + 4], [192, 0, 2, 129]);
    assert_eq!(
        octets[HEADER + 16..HEADER + 23],
        [0x84, 0x74, 0x6b, 0x8e, 2, 0, 50]
    );
}

#[test]
fn policies_name_our_end_only_and_any_state_with_our_reqid() {
    let local: SocketAddr = "192.0.2.129:6101".parse().unwrap();
    let cases = [
        (Direction::In, 0, [0x17, 0xD5, 0xFF, 0xFF, 0, 0, 0, 0], [32, 0]),
        (Direction::Out, 16, [0, 0, 0, 0, 0x17, 0xD5, 0xFF, 0xFF], [0, 32]),
    ];
    for (direction, address, ports_of, prefixes) in cases {
        let octets = policy(&ports(32), local, direction).addressed(1, 1).to_vec();
        assert_eq!(octets[4..6], 0x13_u16.to_ne_bytes(), "XFRM_MSG_NEWPOLICY");
        let info = &octets[HEADER..HEADER + 168];
        assert_eq!(info[address..address + 4], [192, 0, 2, 129]);
        assert_eq!(info[16 - address..20 - address], [0; 4], "any UE");
        assert_eq!(info[32..40], ports_of);
        assert_eq!(info[42..45], [prefixes[0], prefixes[1], 0]);
        assert_eq!(u32_at(info, 152), 2_100, "priority");
        assert_eq!(info[160..162], [direction.number(), 0], "direction, allow");
        let attributes = attributes(&octets, 168);
        let [(5, template)] = attributes.as_slice() else {
            panic!("XFRMA_TMPL alone: {attributes:?}");
        };
        // struct xfrm_user_tmpl: id, family, saddr, reqid, mode, share, optional, algorithms.
        assert_eq!(template.len(), 64);
        assert_eq!(template[..20], [0; 20], "addresses of the packet, any SPI");
        assert_eq!((template[20], u32_at(template, 44)), (50, 0x0A0B_0C0D));
        assert_eq!(template[48..51], [0, 0, 0], "transport mode, required");
        assert_eq!(u32_at(template, 52), u32::MAX);
        let seen = SeenPolicy::parse(&octets[HEADER..]).unwrap();
        let ours = || ProtectedPorts {
            local: vec![SocketAddr::new(local.ip(), 9)],
            ..ports(32)
        };
        assert!(seen.is_ours(&ours()) && seen.guards(local, direction));
        let mut others = [ours(), ours(), ours()];
        others[0].priority = 2_101;
        others[1].reqid = 1;
        others[2].local = vec!["192.0.2.9:6101".parse().unwrap()];
        assert!(others.iter().all(|other| !seen.is_ours(other)));
    }
}

#[test]
fn errors_that_would_quote_decrypted_messages_are_blocked_by_type_and_code() {
    let cases = [
        ("192.0.2.129", 1, [0, 3, 0xFF, 0xFF, 0, 3, 0xFF, 0xFF]),
        ("2001:db8::1", 58, [0, 4, 0xFF, 0xFF, 0, 1, 0xFF, 0xFF]),
    ];
    for (local, proto, code_and_type) in cases {
        let local = local.parse().unwrap();
        let ours = ProtectedPorts {
            local: vec![SocketAddr::new(local, 9)],
            ..ports(32)
        };
        let octets = silence(&ours, local).addressed(1, 1).to_vec();
        let info = &octets[HEADER..HEADER + 168];
        assert_eq!(info[32..40], code_and_type);
        assert_eq!(info[42..45], [0, bits(local), proto]);
        assert_eq!(info[160..162], [1, 1], "out, block");
        let seen = SeenPolicy::parse(&octets[HEADER..]).unwrap();
        assert!(seen.is_ours(&ours) && seen.silences(local));
        assert!(!seen.guards(SocketAddr::new(local, 3), Direction::Out));
    }
}

#[test]
fn expiry_is_told_when_it_is_hard_and_deletion_always() {
    let set = v4(CBC_SHA1, 20, 16);
    let key = StateKey::from(&set.states[0]);
    let mut expire = add(&set)[HEADER..HEADER + INFO].to_vec();
    expire.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(notice(0x18, &expire), Some(Notice::Expired(key)));
    expire[INFO] = 0;
    assert_eq!(notice(0x18, &expire), None, "a soft lifetime ends nothing");
    let deleted = delete_state(&key).addressed(1, 1)[HEADER..].to_vec();
    assert_eq!(notice(0x11, &deleted), Some(Notice::Deleted(key)));
    assert_eq!(notice(0x1c, &[50]), Some(Notice::Flushed));
    assert_eq!(notice(0x10, &expire), None);
    for length in 0..deleted.len() {
        assert_eq!(notice(0x11, &deleted[..length]), None);
    }
}

#[test]
fn datagram_is_cut_where_its_lengths_make_sense() {
    let header = |length: u32, kind: u16, sequence: u32, first: i32| {
        let mut octets = length.to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 2]);
        octets.extend(sequence.to_ne_bytes());
        octets.extend([0; 4]);
        octets.extend(first.to_ne_bytes());
        octets
    };
    let datagram = [
        header(20, 2, 5, 0),
        header(20, 2, 6, -libc::EEXIST),
        header(20, 3, 7, 0),
        header(20, 0x10, 8, 42),
        header(99, 0x10, 9, 42),
    ]
    .concat();
    let expected = [
        Segment::Answer {
            sequence: 5,
            errno: 0,
        },
        Segment::Answer {
            sequence: 6,
            errno: libc::EEXIST,
        },
        Segment::Done {
            sequence: 7,
            errno: 0,
        },
        Segment::Message {
            sequence: 8,
            kind: 0x10,
            body: &42_i32.to_ne_bytes(),
        },
    ];
    assert_eq!(segments(&datagram).collect::<Vec<_>>(), expected);
    for length in 0..datagram.len() {
        assert!(segments(&datagram[..length]).count() <= 4, "and no panic");
    }
}
