//! Testkit: our phones against the real binaries.

use ims_common::net::Transport;
use ims_tests::scene::subscriber;
use ims_tests::site::Site;
use ims_tests::ue::{Behaviour, UeCommand, UeEvent, shape};

use crate::network::{Network, PATIENCE};

const LIFE: [UeCommand; 4] = [
    UeCommand::Register,
    UeCommand::Refresh,
    UeCommand::Query,
    UeCommand::Deregister,
];

#[test]
fn phones_over_udp_and_tcp_register_register_again_ask_and_leave() {
    let network = Network::start(Site::on_network([127, 0, 20]), vec![subscriber(1), subscriber(2)]);
    let udp = network.phone(1, |config| config.shape(shape::SAMSUNG));
    let tcp = network.phone(2, |config| config.shape(shape::HUAWEI).transport(Transport::Tcp));
    for command in LIFE {
        for phone in [&udp, &tcp] {
            network.must(phone, command.clone());
        }
    }
    network.stop();
}

#[test]
fn phones_register_over_ipv6() {
    let network = Network::start(Site::on_ipv6_ports(25_060), vec![subscriber(1), subscriber(2)]);
    let udp = network.phone(1, |config| config.shape(shape::IPHONE));
    let tcp = network.phone(2, |config| config.shape(shape::IPHONE).transport(Transport::Tcp));
    for command in LIFE {
        for phone in [&udp, &tcp] {
            network.must(phone, command.clone());
        }
    }
    network.stop();
}

#[test]
fn strangers_and_liars_are_refused() {
    let network = Network::start(Site::on_network([127, 0, 25]), vec![subscriber(1)]);
    let stranger = network.phone(9, |config| config);
    let liar = network.phone(1, |config| config.behaviour(Behaviour::WrongResponse));
    for phone in [&stranger, &liar] {
        let events = phone
            .tell_and_wait(UeCommand::Register, PATIENCE)
            .expect("an end");
        assert!(
            matches!(events.last(), Some(UeEvent::Rejected { status: 403, .. })),
            "{} {events:?}\n{}",
            phone.name(),
            network.daemons.tails(40)
        );
    }
    network.stop();
}

#[test]
fn no_key_and_no_identity_stands_in_a_log() {
    let mut network = Network::start(Site::on_network([127, 0, 26]), vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    network.must(&phone, UeCommand::Deregister);
    for name in ["pcscf", "icscf", "scscf1"] {
        let log = network.daemons.get(name).log();
        for secret in ["001010000000001", "15550001", "nonce=", "ck=", "ik=", "response="] {
            assert!(!log.contains(secret), "{name} logs {secret}:\n{log}");
        }
    }
    network.stop();
}
