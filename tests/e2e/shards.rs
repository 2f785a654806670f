//! Shell: the daemons with several shards each.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ims_common::net::Transport;
use ims_common::node::{Metrics, Node as _};
use ims_common::operate::{List, Report};
use ims_tests::daemons::http_get;
use ims_tests::host::Phone;
use ims_tests::scene::subscriber;
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;

use crate::network::{Network, PATIENCE};

/// Of these, with the test's own numbers, every shard of four gets some: the hash is keyed, so that it takes many.
const PHONES: u8 = 24;

fn site(network: u8, shards: u8) -> Site {
    let mut site = Site::on_network([127, 0, network]);
    let line = format!("  shards: {shards}\n");
    site.pcscf_more.push_str(&line);
    site.icscf_more.push_str(&line);
    site.scscf_more.push_str(&line);
    site.admin = Some([9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port)));
    site
}

fn start(network: u8, shards: u8) -> Network {
    Network::start(site(network, shards), (1..=PHONES).map(subscriber).collect())
}

/// Half of them over TCP.
fn phones(network: &Network) -> Vec<Phone> {
    let phone = |number: u8| {
        let transport = match number % 2 {
            0 => Transport::Tcp,
            _ => Transport::Udp,
        };
        network.phone(number, |config| config.transport(transport))
    };
    (1..=PHONES).map(phone).collect()
}

/// The value of a series without labels; of one shard when that is said.
fn metric(admin: SocketAddr, name: &str, shard: Option<u8>) -> u64 {
    let path = shard.map_or_else(
        || "/metrics".to_owned(),
        |shard| format!("/metrics?shard={shard}"),
    );
    let (status, text) = http_get(admin, &path).expect("metrics");
    assert!(status.contains("200"), "{status} {text}");
    let value = text.lines().find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        (series.trim_end_matches("{}") == name).then(|| value.parse().expect("a number"))
    });
    value.unwrap_or(0)
}

fn live(shards: u8, number: u8) {
    let network = start(number, shards);
    let admin = network.site.admin.expect("operators");
    let phones = phones(&network);
    for command in [UeCommand::Register, UeCommand::Refresh, UeCommand::Query] {
        for phone in &phones {
            network.must(phone, command.clone());
        }
    }
    for (address, gauge) in [(admin[0], "ims_pcscf_contacts"), (admin[2], "ims_scscf_bindings")] {
        let parts: Vec<u64> = (0..shards)
            .map(|shard| metric(address, gauge, Some(shard)))
            .collect();
        assert_eq!(metric(address, gauge, None), u64::from(PHONES), "{gauge}");
        assert_eq!(parts.iter().sum::<u64>(), u64::from(PHONES), "{gauge} {parts:?}");
        let holders = parts.iter().filter(|part| **part > 0).count();
        assert!(holders > 1, "{gauge} {parts:?}");
    }
    for (address, list) in [(admin[0], List::Contacts), (admin[2], List::Users)] {
        let (_, text) = http_get(address, list.path()).expect("rows");
        let report: Report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let rows = report.contacts.len() + report.users.len();
        assert_eq!((rows, report.left_off), (usize::from(PHONES), 0), "{text}");
    }
    for address in admin {
        assert_eq!(metric(address, "ims_shards", None), u64::from(shards));
        let (_, health) = http_get(address, "/health").expect("health");
        assert!(health.contains("serving"), "{health}");
    }
    // One client per node, whatever the shards.
    let open = network.hss.ask(|_, hss| {
        let mut metrics = Metrics::default();
        hss.metrics(&mut metrics);
        metrics.sum("ims_diameter_peers_open", &[])
    });
    assert_eq!(open, Some(2));
    for phone in &phones {
        network.must(phone, UeCommand::Deregister);
    }
    assert_eq!(metric(admin[0], "ims_pcscf_contacts", None), 0);
    assert_eq!(metric(admin[2], "ims_scscf_bindings", None), 0);
    network.stop();
}

#[test]
fn phones_live_with_two_shards_of_each_daemon() {
    live(2, 41);
}

#[test]
fn phones_live_with_four_shards_of_each_daemon() {
    live(4, 42);
}

fn options(branch: &str, target: SocketAddr) -> String {
    format!(
        "OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.33.99:5999;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:ping@example.com>;tag=1\r\nTo: <sip:{target}>\r\n\
         Call-ID: {branch}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_copy_that_another_socket_takes_in_gets_the_same_answer() {
    let network = start(43, 4);
    let admin = network.site.admin.expect("operators");
    for (admin, target) in [
        (admin[0], network.site.gm),
        (admin[1], network.site.icscf),
        (admin[2], network.site.scscf()),
    ] {
        let before = metric(admin, "ims_shard_handed_over_total", None);
        let home = UdpSocket::bind("127.0.33.99:5999").expect("a socket");
        home.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = options("copied", target);
        // The kernel chooses the socket by both ends: of sixteen ports, some come to one of another shard.
        home.send_to(request.as_bytes(), target).expect("sent");
        let mut tags = BTreeSet::from([tag_of(&home)]);
        for _ in 0..16 {
            let other = UdpSocket::bind("127.0.33.99:0").expect("a socket");
            other.send_to(request.as_bytes(), target).expect("sent");
            // RFC 3261 18.2.2: the answer goes back to where the first copy came from.
            tags.insert(tag_of(&home));
        }
        assert_eq!(tags.len(), 1, "{target} {tags:?}");
        let handed_over = metric(admin, "ims_shard_handed_over_total", None) - before;
        // Where the address decides, the kernel gives each copy to the owner.
        assert_eq!(
            handed_over == 0,
            target == network.site.gm,
            "{target} {handed_over}"
        );
    }
    network.stop();
}

/// The To tag of the next answer.
fn tag_of(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut buffer).expect("an answer");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(text.starts_with("SIP/2.0 200"), "{text}");
    let to = text.lines().find(|line| line.starts_with("To:")).expect("To");
    to.rsplit_once("tag=").expect("a tag").1.to_owned()
}

#[test]
fn all_shards_finish_what_they_have_begun_before_the_daemon_ends() {
    use ims_tests::hss::{Fault, Faulty};
    let mut network = start(44, 4);
    network.hss.act(|_, hss| {
        hss.set_fault(Faulty::Uar, Fault::Delay(Duration::from_millis(1_500)));
    });
    let phones = phones(&network);
    for phone in &phones {
        phone.tell(UeCommand::Register);
    }
    let admin = network.site.admin.expect("operators");
    let end = Instant::now() + PATIENCE;
    while metric(admin[1], "ims_icscf_queries_pending", None) < u64::from(PHONES) {
        assert!(Instant::now() < end, "not all ask\n{}", network.daemons.tails(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    network.daemons.get("icscf").terminate().expect("a signal");
    let status = network.daemons.get("icscf").wait_end().expect("an end");
    assert!(status.success(), "{status}\n{}", network.daemons.tails(20));
    let log = network.daemons.get("icscf").log();
    assert!(!log.contains("drain timed out"), "{log}");
}
