//! Testkit: the table of the steering function.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::limits::SipLimits;
use crate::net::Transport;

const SHARDS: u8 = 4;

#[derive(Default)]
struct Known(BTreeMap<IdentityKey, ShardId>);

impl Directory for Known {
    fn shard_of(&self, key: IdentityKey) -> Option<ShardId> {
        self.0.get(&key).copied()
    }
}

fn steering(rule: SteeringRule) -> Steering {
    Steering::new(rule, SHARDS, (7, 11))
}

fn token(shard: u8) -> String {
    token::fresh(ShardId(shard), &mut StdRng::seed_from_u64(3))
}

fn flow(interface: Interface, remote: &str) -> Flow {
    let local: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    Flow {
        interface,
        transport: Transport::Udp,
        local,
        remote: remote.parse().unwrap(),
        connection: None,
    }
}

fn message(start: &str, lines: &[&str]) -> Message {
    let mut text = format!("{start}\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    for (name, value) in [
        ("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKforeign"),
        ("From", "<sip:alice@h.test>;tag=1"),
        ("To", "<sip:alice@h.test>"),
        ("Call-ID", "call-1"),
        ("CSeq", "1 REGISTER"),
    ] {
        if !lines.iter().any(|line| line.starts_with(&format!("{name}:"))) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    Message::parse(Bytes::from(text), &SipLimits::default()).unwrap()
}

fn owner(rule: SteeringRule, interface: Interface, message: &Message) -> ShardId {
    steering(rule).owner(&flow(interface, "198.51.100.7:5060"), message, &Known::default())
}

#[test]
fn what_we_have_printed_finds_its_shard_whatever_the_rule() {
    for shard in 0..SHARDS {
        let token = token(shard);
        let via = format!("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{token}0123456789abcdef;rport");
        let path = format!("Route: <sip:{token}@192.0.2.1;lr;term>, <sip:elsewhere.test;lr>");
        let service_route = format!("Route: <sip:orig-{token}@scscf1.h.test;lr>");
        let uri = format!("INVITE sip:{token}@192.0.2.1 SIP/2.0");
        let rows = [
            ("a response", message("SIP/2.0 200 OK", &[&via])),
            (
                "a request for a UE",
                message("INVITE sip:a@h.test SIP/2.0", &[&path]),
            ),
            (
                "a request of a UE",
                message("INVITE sip:a@h.test SIP/2.0", &[&service_route]),
            ),
            ("a request to us", message(&uri, &[])),
        ];
        for (name, message) in rows {
            for rule in [SteeringRule::Source, SteeringRule::CallId, SteeringRule::Identity] {
                assert_eq!(
                    owner(rule, Interface::Mw, &message),
                    ShardId(shard),
                    "{name}, {rule:?}"
                );
            }
        }
    }
}

#[test]
fn what_others_have_printed_means_nothing() {
    // Of a node with more shards; of no token's shape; in a Route that is not the topmost.
    let of_more = format!("Route: <sip:{}@192.0.2.1;lr>", token(SHARDS));
    let second = format!("Route: <sip:elsewhere.test;lr>, <sip:{}@192.0.2.1;lr>", token(1));
    let sign = format!("Route: <sip:+1{}@192.0.2.1;lr>", &token(1)[2..]);
    let plain = owner(
        SteeringRule::CallId,
        Interface::Mw,
        &message("INVITE sip:a@h.test SIP/2.0", &[]),
    );
    for line in [of_more, second, sign] {
        let invite = message("INVITE sip:a@h.test SIP/2.0", &[&line]);
        assert_eq!(
            owner(SteeringRule::CallId, Interface::Mw, &invite),
            plain,
            "{line}"
        );
    }
}

#[test]
fn everything_of_one_ue_is_of_one_shard_of_a_pcscf() {
    let steering = steering(SteeringRule::Source);
    let register = message("REGISTER sip:h.test SIP/2.0", &[]);
    let foreign = format!("Route: <sip:orig-{}@scscf1.h.test;lr>", token(1));
    let invite = message("INVITE sip:b@h.test SIP/2.0", &[&foreign, "Call-ID: call-2"]);
    let mut used = [false; SHARDS as usize];
    for last in 1..=64 {
        let from = |port: u16| flow(Interface::Gm, &format!("198.51.100.{last}:{port}"));
        let own = steering.of_address(from(1).remote.ip());
        used[usize::from(own.0)] = true;
        assert_eq!(steering.owner(&from(5060), &register, &Known::default()), own);
        assert_eq!(steering.owner(&from(49_152), &invite, &Known::default()), own);
    }
    assert_eq!(used, [true; SHARDS as usize]);
}

#[test]
fn a_request_with_its_ack_its_cancel_and_its_copies_is_of_one_shard() {
    for rule in [SteeringRule::Source, SteeringRule::CallId, SteeringRule::Identity] {
        let of = |method: &str, call: &str| {
            let start = format!("{method} sip:bob@h.test SIP/2.0");
            owner(
                rule,
                Interface::Mw,
                &message(&start, &[&format!("Call-ID: {call}")]),
            )
        };
        for call in ["a", "b", "c", "d"] {
            let invite = of("INVITE", call);
            assert_eq!(of("ACK", call), invite);
            assert_eq!(of("CANCEL", call), invite);
            assert_eq!(of("INVITE", call), invite);
        }
    }
}

#[test]
fn all_shards_have_as_much_to_do() {
    let counts = |rule| {
        let mut counts = [0; SHARDS as usize];
        for call in 0..1_000 {
            let line = format!("Call-ID: {call}@phone.test");
            let options = message("OPTIONS urn:none SIP/2.0", &[&line]);
            counts[usize::from(owner(rule, Interface::Mw, &options).0)] += 1;
        }
        counts
    };
    let even = counts(SteeringRule::Source);
    assert!(even.iter().all(|count| (180..320).contains(count)), "{even:?}");
    // The first shard has the HSS client too.
    for rule in [SteeringRule::CallId, SteeringRule::Identity] {
        let [first, others @ ..] = counts(rule);
        assert!((35..95).contains(&first), "{first}");
        assert!(
            others.iter().all(|count| (250..380).contains(count)),
            "{others:?}"
        );
    }
}

/// A REGISTER of `impi` for `impu`, in a call of its own.
fn register(impi: Option<&str>, impu: &str, call: u32) -> Message {
    let to = format!("To: <{impu}>");
    let call = format!("Call-ID: {call}");
    let authorization = impi.map(|impi| {
        format!("Authorization: Digest username=\"{impi}\",realm=\"h.test\",uri=\"sip:h.test\",nonce=\"\",response=\"\"")
    });
    let mut lines = vec![&*to, &*call];
    lines.extend(authorization.as_deref());
    message("REGISTER sip:h.test SIP/2.0", &lines)
}

#[test]
fn a_private_identity_has_one_shard_of_an_scscf() {
    let steering = steering(SteeringRule::Identity);
    let mw = flow(Interface::Mw, "192.0.2.2:5060");
    let of = |message: &Message| steering.owner(&mw, message, &Known::default());
    for user in 0..32 {
        let impi = format!("{user}@h.test");
        let first = of(&register(Some(&impi), &format!("sip:{user}@h.test"), 1));
        assert_eq!(of(&register(Some(&impi), "sip:other@h.test", 2)), first);
        // TS 24.229 5.4.1.2.1: without Authorization the private identity comes from the public one.
        assert_eq!(of(&register(None, &format!("sip:{user}@h.test"), 3)), first);
    }
}

#[test]
fn a_served_identity_is_found_where_it_is_served() {
    let steering = steering(SteeringRule::Identity);
    let mw = flow(Interface::Mw, "192.0.2.2:5060");
    let impu = Impu::parse("tel:+49301234").unwrap();
    let invite = message("INVITE tel:+49301234 SIP/2.0", &[]);
    let without_plus = message("INVITE tel:49301234 SIP/2.0", &["Call-ID: call-3"]);
    for shard in (0..SHARDS).map(ShardId) {
        let known = Known(BTreeMap::from([(steering.key_of(&impu), shard)]));
        assert_eq!(steering.owner(&mw, &invite, &known), shard);
        assert_eq!(steering.owner(&mw, &without_plus, &known), shard);
        // A second private identity that shares the public one comes to the same set.
        let shared = register(Some("second@h.test"), "tel:+49301234", 9);
        assert_eq!(steering.owner(&mw, &shared, &known), shard);
    }
}

#[test]
fn what_an_application_server_originates_is_of_the_user_it_speaks_for() {
    let alice = Impu::parse("sip:alice@h.test").unwrap();
    let of = |lines: &[&str]| {
        let steering = steering(SteeringRule::Identity);
        let served = Known([(steering.key_of(&alice), ShardId(3))].into());
        let invite = message("INVITE sip:bob@h.test SIP/2.0", lines);
        steering.owner(&flow(Interface::Mw, "198.51.100.7:5060"), &invite, &served)
    };
    let (route, served) = (
        "Route: <sip:scscf1.h.test;lr;orig>",
        "P-Served-User: <sip:alice@h.test>",
    );
    assert_eq!(of(&[route, served]), ShardId(3));
    let asserted = "P-Asserted-Identity: <sip:alice@h.test>";
    assert_eq!(of(&[route, asserted]), ShardId(3));
    assert_ne!(of(&["Route: <sip:scscf1.h.test;lr>", served]), ShardId(3));
    assert_ne!(of(&[route]), ShardId(3));
}

#[test]
fn a_node_without_other_shards_owns_everything() {
    let alone = Steering::new(SteeringRule::Identity, 1, (1, 2));
    let flow = flow(Interface::Gm, "[2001:db8::7]:5060");
    for message in [
        message("SIP/2.0 200 OK", &[]),
        message("OPTIONS sip:h.test SIP/2.0", &[]),
        register(None, "sip:a@h.test", 1),
    ] {
        assert_eq!(alone.owner(&flow, &message, &Known::default()), ShardId(0));
    }
}

#[test]
fn the_parts_of_a_limit_are_at_least_the_whole() {
    let place = |of| ShardPlace {
        shard: ShardId(0),
        of,
    };
    assert_eq!(ShardPlace::ALONE.part_of(400_000), 400_000);
    assert_eq!(place(2).part_of(400_000), 200_000);
    assert_eq!(place(3).part_of(10), 4);
    assert_eq!(place(64).part_of(10), 1);
    assert_eq!(place(4).part_of(0), 0);
}
