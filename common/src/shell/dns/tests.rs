//! Shell: tests of RFC 3263 over records in memory.

use std::collections::BTreeMap;

use rand::SeedableRng;

use super::*;
use crate::net::ResolveId;

#[derive(Default)]
struct Zone {
    naptr: BTreeMap<&'static str, Vec<Naptr>>,
    srv: BTreeMap<&'static str, Vec<Srv>>,
    addresses: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Records for Zone {
    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        self.naptr.get(name).cloned().unwrap_or_default()
    }
    async fn srv(&self, name: &str) -> Vec<Srv> {
        self.srv
            .get(name.trim_end_matches('.'))
            .cloned()
            .unwrap_or_default()
    }
    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let found = self.addresses.get(name.trim_end_matches('.'));
        found.into_iter().flatten().map(|a| a.parse().unwrap()).collect()
    }
}

fn pointer(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
    Naptr {
        order,
        preference,
        flags: "s".to_owned(),
        service: service.to_owned(),
        replacement: replacement.to_owned(),
        ..Naptr::default()
    }
}

fn server(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv {
        priority,
        weight,
        port,
        target: target.to_owned(),
    }
}

fn zone() -> Zone {
    Zone {
        naptr: BTreeMap::from([(
            "ims.example",
            vec![
                pointer(50, 20, "SIP+D2T", "_sip._tcp.ims.example."),
                pointer(50, 10, "SIPS+D2T", "_sips._tcp.ims.example."),
                pointer(50, 15, "SIP+D2U", "_sip._udp.ims.example."),
            ],
        )]),
        srv: BTreeMap::from([
            (
                "_sip._udp.ims.example",
                vec![
                    server(2, 0, 5062, "b.ims.example."),
                    server(1, 0, 5061, "a.ims.example."),
                ],
            ),
            (
                "_sip._tcp.ims.example",
                vec![server(1, 0, 5063, "a.ims.example.")],
            ),
            ("_sip._udp.dead.example", vec![server(1, 0, 5060, ".")]),
        ]),
        addresses: BTreeMap::from([
            ("a.ims.example", vec!["192.0.2.1", "2001:db8::1"]),
            ("b.ims.example", vec!["192.0.2.2"]),
            ("ims.example", vec!["192.0.2.9"]),
            ("plain.example", vec!["192.0.2.7"]),
            ("dead.example", vec!["192.0.2.8"]),
        ]),
    }
}

fn ask(host: &str, port: Option<u16>, transport: Option<Transport>, v6: bool) -> Vec<String> {
    let question = ResolveRequest {
        id: ResolveId(1),
        host: host.to_owned(),
        port,
        transport,
    };
    let families = Families { v4: true, v6 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(targets(&zone(), &question, families, StdRng::seed_from_u64(1)));
    found
        .iter()
        .map(|t| format!("{:?} {}", t.transport, t.remote))
        .collect()
}

#[test]
fn a_bare_name_is_asked_by_naptr_then_srv_then_addresses() {
    assert_eq!(
        ask("ims.example", None, None, true),
        [
            "Udp 192.0.2.1:5061",
            "Udp [2001:db8::1]:5061",
            "Udp 192.0.2.2:5062",
            "Tcp 192.0.2.1:5063",
            "Tcp [2001:db8::1]:5063",
        ]
    );
}

#[test]
fn families_without_a_socket_are_left_out() {
    assert_eq!(
        ask("ims.example", None, Some(Transport::Tcp), false),
        ["Tcp 192.0.2.1:5063"]
    );
}

#[test]
fn a_port_means_addresses_only() {
    assert_eq!(ask("ims.example", Some(5070), None, true), ["Udp 192.0.2.9:5070"]);
    assert_eq!(
        ask("ims.example", Some(5070), Some(Transport::Tcp), true),
        ["Tcp 192.0.2.9:5070"]
    );
}

#[test]
fn a_name_without_srv_is_served_on_the_default_port() {
    assert_eq!(ask("plain.example", None, None, true), ["Udp 192.0.2.7:5060"]);
    assert_eq!(
        ask("plain.example", None, Some(Transport::Tcp), true),
        ["Tcp 192.0.2.7:5060"]
    );
    assert!(ask("nobody.example", None, None, true).is_empty());
}

#[test]
fn weights_share_the_load_within_one_priority() {
    let mut first = BTreeMap::new();
    for seed in 0..400 {
        let mut servers = vec![
            server(1, 300, 1, "heavy"),
            server(1, 100, 1, "light"),
            server(0, 0, 1, "best"),
        ];
        let ordered = in_rfc2782_order(&mut servers, &mut StdRng::seed_from_u64(seed));
        assert_eq!(ordered.len(), 3);
        assert_eq!(ordered[0].target, "best");
        *first.entry(ordered[1].target.clone()).or_insert(0) += 1;
    }
    assert!(
        first["heavy"] > 2 * first["light"] && first["light"] > 40,
        "{first:?}"
    );
}
