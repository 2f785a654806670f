//! Shell: an HSS that takes each read of its socket for whole messages, as PyHSS does: each of ours is one write.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ims_tests::scene::subscriber;
use ims_tests::site::Site;
use ims_tests::ue::{UeCommand, UeEvent};

use crate::network::{Network, PATIENCE};

/// What a reader saw.
#[derive(Debug, Default)]
struct Reads {
    whole: AtomicUsize,
    lost: AtomicUsize,
}

/// Whether octets are whole Diameter messages, one after the other.
fn are_whole_messages(mut octets: &[u8]) -> bool {
    while let [1, a, b, c, ..] = *octets {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match octets.get(length..) {
            Some(rest) if length >= 20 => octets = rest,
            _ => return false,
        }
    }
    octets.is_empty()
}

/// Stands before the HSS, and passes on what it read when those are whole messages; anything else is lost.
fn stand_before(hss: SocketAddr, at: SocketAddr) -> Arc<Reads> {
    let listener = TcpListener::bind(at).expect("a socket");
    let reads = Arc::new(Reads::default());
    let counted = Arc::clone(&reads);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(hss) else {
                return;
            };
            let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else {
                return;
            };
            let counted = Arc::clone(&counted);
            thread::spawn(move || {
                pass(from_client, server, |octets| {
                    let is_whole = are_whole_messages(octets);
                    let counter = if is_whole { &counted.whole } else { &counted.lost };
                    counter.fetch_add(1, Ordering::Relaxed);
                    is_whole
                });
            });
            thread::spawn(move || pass(from_server, client, |_| true));
        }
    });
    reads
}

fn pass(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if passes(&buffer[..read]) && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn every_message_to_the_hss_arrives_in_one_read() {
    const PHONES: u8 = 8;
    let mut site = Site::on_network([127, 0, 34]);
    let reader = SocketAddr::new(site.hss.ip(), 3869);
    site.diameter = vec![reader.to_string()];
    let reads = stand_before(site.hss, reader);
    let network = Network::start(site, (1..=PHONES).map(subscriber).collect());
    let phones: Vec<_> = (1..=PHONES)
        .map(|number| network.phone(number, |config| config))
        .collect();
    for round in 0..3 {
        // All at once, so that requests meet on the same connection.
        phones.iter().for_each(|phone| phone.tell(UeCommand::Register));
        let end = Instant::now() + PATIENCE;
        for phone in &phones {
            let mut events = Vec::new();
            while !events.iter().any(|event| matches!(event, UeEvent::Registered(_))) {
                assert!(
                    Instant::now() < end,
                    "round {round}: {events:?} {reads:?}\n{}",
                    network.daemons.tails(20)
                );
                thread::sleep(Duration::from_millis(10));
                events.extend(phone.take_events());
            }
        }
    }
    network.stop();
    assert_eq!(reads.lost.load(Ordering::Relaxed), 0, "{reads:?}");
    assert!(
        reads.whole.load(Ordering::Relaxed) > usize::from(PHONES),
        "{reads:?}"
    );
}

#[test]
fn reader_of_whole_messages_loses_one_that_comes_in_two_segments() {
    let message = [&[1, 0, 0, 20], &[0; 16][..]].concat();
    assert!(are_whole_messages(&message));
    assert!(are_whole_messages(&[&message[..], &message].concat()));
    for cut in 1..message.len() {
        assert!(!are_whole_messages(&message[..cut]), "{cut}");
        assert!(!are_whole_messages(&message[cut..]), "{cut}");
    }
}
