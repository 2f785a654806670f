//! Shell: Kamailio as an application server on ISC, and as the border of a telephone network.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use ims_tests::daemons::{Daemon, fresh_directory};
use ims_tests::hss::Ifc;
use ims_tests::site::{HOME, Site};

use super::sipp::{call, callee, phone};
use super::{client, impu};
use crate::network::Network;

/// Starts Kamailio with this file and waits until it answers.
fn start(name: &str, text: &str, [listen, line, scscf]: [SocketAddr; 3]) -> Daemon {
    let directory = fresh_directory().expect("a directory");
    let config = directory.join(format!("{name}.cfg"));
    let text = text
        .replace("LISTEN", &listen.to_string())
        .replace("LINE", &line.to_string())
        .replace("SCSCF", &scscf.to_string());
    fs::write(&config, text).expect("a file");
    let mut command = Command::new("kamailio");
    command
        .args(["-DD", "-E", "-m", "16", "-M", "4", "-f"])
        .arg(&config)
        .arg("-w")
        .arg(&directory)
        .arg("-Y")
        .arg(&directory)
        .arg("-P")
        .arg(directory.join("pid"));
    let daemon = Daemon::run(name, command, directory.join(format!("{name}.log")))
        .expect("kamailio is not installed: `apt-get install kamailio` (make test does it)");
    wait_for_answer(&daemon, listen);
    daemon
}

fn wait_for_answer(daemon: &Daemon, listen: SocketAddr) {
    let socket = UdpSocket::bind(SocketAddr::new(listen.ip(), 0)).expect("a socket");
    let wait = Duration::from_millis(50);
    socket.set_read_timeout(Some(wait)).expect("a socket");
    let own = socket.local_addr().expect("an address");
    let end = Instant::now() + Duration::from_secs(20);
    for number in 0.. {
        let question = format!(
            "OPTIONS sip:nobody@{listen} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{number}\r\nMax-Forwards: 1\r\n\
             From: <sip:t@{own}>;tag=t\r\nTo: <sip:nobody@{listen}>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let _ = socket.send_to(question.as_bytes(), listen);
        let mut buffer = [0; 2_048];
        if socket.recv_from(&mut buffer).is_ok() {
            return;
        }
        assert!(
            Instant::now() < end,
            "Kamailio does not serve:\n{}",
            daemon.tail(30)
        );
        // Refused while nobody listens: that comes at once.
        std::thread::sleep(wait);
    }
}

/// A call passes Kamailio by a filter criterion, and so does the registration.
#[test]
fn kamailio_is_an_application_server() {
    let site = Site::on_network([127, 0, 53]);
    let places = [site.app_server(1), site.app_server(3), site.scscf()];
    let _server = start("server", include_str!("../kamailio/as.cfg"), places);
    let uri = format!("sip:{}", places[0]);
    let caller = client(93)
        .ifc(Ifc::to(&uri, 1).method(&["INVITE"]).originating().terminates())
        .ifc(Ifc::to(&uri, 2).registers(&[]).terminates());
    let network = Network::start(site, vec![caller, client(94)]);
    let phone = phone(&network, 94, "u1");
    call(&network, 93, "u1", &impu(94));
    let seen = phone.messages();
    assert!(seen.contains("X-Passed: kamailio"), "{seen}");
    network.stop();
}

/// A number of another country goes to the telephone network.
#[test]
fn kamailio_is_a_telephone_network() {
    let mut site = Site::on_network([127, 0, 55]);
    let places = [site.app_server(2), site.app_server(3), site.scscf()];
    let _trunk = start("trunk", include_str!("../kamailio/trunk.cfg"), places);
    site.scscf_more += &format!(
        "  routes:\n    - {{prefix: \"+49\", to: [\"sip:{}\"]}}\n",
        places[0]
    );
    let network = Network::start(site, vec![client(97)]);
    let mut subscriber = callee(&network, places[1], "u1");
    call(&network, 97, "u1", &format!("sip:+4930123456@{HOME};user=phone"));
    let seen = subscriber.end(&network);
    assert!(seen.contains("X-Passed: trunk"), "{seen}");
    network.stop();
}
