//! Testkit: the program `ue` as the phone of a card behind the real PC/SC service, in clear: with IPsec it is in the suite
//! `ipsec`.

use ims_tests::card::apdu::StatusWord;
use ims_tests::card::apdu::instruction::{AUTHENTICATE, VERIFY};
use ims_tests::card::virtual_card::{CardProfile, Fault};
use ims_tests::host;
use ims_tests::hss::{Subscriber, TEST_OPC};
use ims_tests::milenage::Sqn;
use ims_tests::scene::{imsi, subscriber};
use ims_tests::site::Site;
use ims_tests::sms_gateway::{self, SERVICE_CENTRE, SmsGateway};
use ims_tests::ue::{UeCommand, UeEvent, shape};

use crate::card::{Bench, Said};
use crate::network::Network;

const PIN: &str = "83920174";

/// The card of subscriber 1, which names the P-CSCF of a site.
fn card_of(site: &Site) -> CardProfile {
    CardProfile::new(&imsi(1)).pcscfs(&[&site.gm.ip().to_string()])
}

/// Registers with it, and leaves.
fn register(bench: &Bench, site: &Site) -> Said {
    let local = site.ue(1).to_string();
    bench.ue(&["deregister", "--card", "--clear", "--local", &local])
}

#[test]
fn a_card_says_who_the_phone_is_and_where_its_network_and_the_phone_texts() {
    let network = Network::start(Site::on_network([127, 0, 86]), vec![subscriber(1), subscriber(2)]);
    let other = network.phone(2, |config| config);
    network.must(&other, UeCommand::Register);
    let bench = Bench::with(card_of(&network.site).pin(PIN, 3));
    let local = network.site.ue(1).to_string();
    let arguments = [
        "message",
        "--to",
        "+15550002",
        "--card",
        "Virtual",
        "--clear",
        "--local",
        &local,
    ];
    let locked = bench.ue(&arguments);
    locked.failed_with(&["the card wants its PIN (3 tries remain)", "UE_PIN"]);
    assert_eq!((bench.tries(), bench.counted(AUTHENTICATE)), (3, 0));
    let said = bench.ue_with_pin(PIN, &arguments);
    for part in [
        " in Virtual PCD 00 00: ISIM and USIM, PIN verified, ATR 3B",
        "identity by the ISIM (EF_IMPU record 1): 001010000000001@ims.mnc001.mcc001.3gppnetwork.org, registers sip:001010000000001@",
        "network: 127.0.86.11:5060 to the P-CSCF 127.0.86.1:5060 (by EF_P-CSCF) over UDP in clear\n",
        "AUTHENTICATE: the network is authentic, RES goes back\n",
        "registered for 600000 s; identities: ",
        "answered: 200\n",
        "de-registered\n",
    ] {
        assert!(said.good().contains(part), "{part:?} is not in {}", said.out);
    }
    assert!(!said.out.contains(PIN) && !locked.err.contains(PIN));
    assert_eq!(bench.counted(AUTHENTICATE), 2, "to register, and to leave");
    let events = other.take_events();
    let is_text = |event: &UeEvent| matches!(event, UeEvent::MessageReceived(text) if text.body == b"Hello");
    assert!(events.iter().any(is_text), "{events:?}");
    network.stop();
}

/// TS 24.341 5.3.1: RP-DATA to the service centre of the card, its report, and the delivery to the other phone.
#[test]
fn a_short_message_goes_through_the_service_centre_of_the_card() {
    let site = Site::on_network([127, 0, 95]);
    let config = site.sms_gateway(1);
    let served = |number| {
        let criteria = sms_gateway::criteria(&config.uri());
        criteria.into_iter().fold(subscriber(number), Subscriber::ifc)
    };
    let network = Network::start(site, vec![served(1), served(2)]);
    let sockets = host::server_sockets(config.local);
    let seed = ims_common::shell::seed().expect("a clock");
    let gateway = SmsGateway::new(config, &seed);
    let (_gateway, _) = host::host(gateway, sockets, |_, _| {}).expect("the gateway");
    let other = network.phone(2, |config| config.shape(shape::VOLTE));
    network.must(&other, UeCommand::Register);
    let card = card_of(&network.site);
    let bench = Bench::with(card.clone().smsc(&format!("+{SERVICE_CENTRE}")));
    let local = network.site.ue(1).to_string();
    let text = "Grüße ☎";
    let phone = ["--card", "Virtual", "--clear", "--local", &local];
    let short = ["message", "--sms", "--to", "+15550002", "--text", text];
    let said = bench.ue(&[&short[..], &phone[..]].concat());
    for part in [
        "answered: 202\n",
        " has taken the short message\n",
        "de-registered\n",
    ] {
        assert!(said.good().contains(part), "{part:?} is not in {}", said.out);
    }
    let events = other.take_events();
    let is_text = |event: &UeEvent| matches!(event, UeEvent::MessageReceived(it) if it.sms_text().as_deref() == Some(text));
    assert!(events.iter().any(is_text), "{events:?}");
    drop(bench);
    let without = Bench::with(card);
    let said = without.ue(&[&short[..], &phone[..]].concat());
    said.failed_with(&["there is no service centre", "--service-centre"]);
    assert_eq!(without.counted(AUTHENTICATE), 0, "nothing was sent");
    network.stop();
}

#[test]
fn what_a_card_finds_wrong_with_a_challenge_is_told_with_the_remedy() {
    let network = Network::start(Site::on_network([127, 0, 87]), vec![subscriber(1)]);
    let site = &network.site;
    // A USIM has no place for the P-CSCF.
    let ahead = Bench::with(card_of(site).without_isim().sqn(Sqn::of(1 << 20, 0)));
    let (local, pcscf) = (site.ue(1).to_string(), site.gm.to_string());
    let said = ahead.ue(&[
        "register", "--card", "--clear", "--local", &local, "--pcscf", &pcscf,
    ]);
    for part in [
        "identity by the IMSI of the USIM: ",
        "SQN is out of range, AUTS goes back\n",
        "registered for ",
    ] {
        assert!(said.good().contains(part), "{part:?} is not in {}", said.out);
    }
    assert_eq!(ahead.counted(AUTHENTICATE), 2);
    let foreign = Bench::with(card_of(site).keys([0x44; 16], TEST_OPC));
    let said = register(&foreign, site);
    said.failed_with(&[
        "MAC failure",
        "another K or OPc for 001010000000001@",
        "`ue card check`",
    ]);
    assert!(said.out.contains("401 Unauthorized"), "the ladder: {}", said.out);
    let pulled = Bench::with(card_of(site).fault(Fault::RemovedAtAuthenticate));
    let said = register(&pulled, site);
    said.failed_with(&["nothing more was said to the network", "taken out of the reader"]);
    assert_eq!(said.out.matches("REGISTER ").count(), 1, "{}", said.out);
    network.stop();
}

#[test]
fn a_card_that_does_not_tell_of_its_pin_is_tried() {
    let network = Network::start(Site::on_network([127, 0, 78]), vec![subscriber(1)]);
    let site = &network.site;
    let mute = Bench::with(card_of(site).fault(Fault::StatusAt(VERIFY, StatusWord(0x6D00))));
    register(&mute, site).good();
    assert_eq!(mute.counted(AUTHENTICATE), 2, "to register, and to leave");
    network.stop();
}

#[test]
fn a_card_that_names_no_network_is_told_from_one_whose_network_has_no_address() {
    let site = Site::on_network([127, 0, 88]);
    let silent = Bench::with(CardProfile::new(&imsi(1)));
    register(&silent, &site).failed_with(&["does not name one (EF_P-CSCF)", "--pcscf ADDRESS"]);
    let unused = CardProfile::new(&imsi(1)).pcscfs(&["192.0.2.5"]).ist(&[8]);
    register(&Bench::with(unused), &site).failed_with(&["EF_IST has neither service 1", "--pcscf ADDRESS"]);
    let unresolved = Bench::with(CardProfile::new(&imsi(1)).pcscfs(&["pcscf.invalid"]));
    register(&unresolved, &site).failed_with(&["pcscf.invalid has no address", "/etc/hosts"]);
}
