//! Testkit: what nodes tell an operator of users, contacts, calls, peers and limits.

use std::time::Duration;

use ims_common::operate::{List, Question, Report};
use ims_tests::scene::{Scene, impi, imsi, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;

fn ask(scene: &Scene, node: &str, list: List, who: &str) -> Report {
    let question = Question {
        who: who.parse().ok(),
        ..Question::of(list)
    };
    scene.world.report(node, &question)
}

#[test]
fn users_and_contacts_are_found_by_imsi_number_identity_and_address() {
    let mut scene = Scene::talking(6_001);
    let all = ask(&scene, "S-CSCF", List::Users, "");
    assert_eq!((all.users.len(), all.left_off), (2, 0));
    let (imsi, private) = (imsi(1), impi(1));
    let private = private.as_str();
    for who in [imsi.as_str(), "+15550001", "15550001", "tel:+15550001", private] {
        let users = ask(&scene, "S-CSCF", List::Users, who).users;
        let [user] = users.as_slice() else {
            panic!("{who}: {users:?}");
        };
        assert_eq!(user.impis, [private], "{who}");
        let has_number = user
            .impus
            .iter()
            .any(|row| row.impu == "tel:+15550001" && !row.barred);
        assert!(has_number && user.state == "registered", "{user:?}");
        assert!(
            user.contacts.len() == 1 && user.contacts[0].path[0].contains(";lr;term"),
            "{user:?}"
        );
        assert!(user.expires_in_secs.is_some_and(|left| left > 60), "{user:?}");
        let contacts = ask(&scene, "P-CSCF", List::Contacts, who).contacts;
        let [contact] = contacts.as_slice() else {
            panic!("{who}: {contacts:?}");
        };
        assert_eq!(contact.impi.as_deref(), Some(private));
        assert!(
            !contact.is_protected && contact.flow.contains(" 192.0.2."),
            "{contact:?}"
        );
        assert!(
            !contact.service_route.is_empty() && contact.path[0].contains("term"),
            "{contact:?}"
        );
    }
    let contact = ask(&scene, "P-CSCF", List::Contacts, &imsi).contacts.remove(0);
    let address = contact.flow.split([' ', ':']).nth(1).unwrap_or_default();
    assert!(
        ask(&scene, "P-CSCF", List::Contacts, address)
            .contacts
            .contains(&contact)
    );
    assert!(ask(&scene, "S-CSCF", List::Users, "999").users.is_empty());
    let first = Question {
        limit: 1,
        ..Question::of(List::Users)
    };
    let first = scene.world.report("S-CSCF", &first);
    assert_eq!((first.users.len(), first.left_off), (1, 1));
    scene.tell("A", UeCommand::Deregister);
    assert!(ask(&scene, "S-CSCF", List::Users, "+15550001").users.is_empty());
    assert!(
        ask(&scene, "P-CSCF", List::Contacts, "+15550001")
            .contacts
            .is_empty()
    );
}

#[test]
fn protected_contacts_say_so() {
    let site = Site::on_network([192, 0, 2]).with_ipsec();
    let subscribers = vec![subscriber(1), subscriber(2)];
    let scene = Scene::talking_with(6_002, site, subscribers, |_, config| config);
    let contacts = ask(&scene, "P-CSCF", List::Contacts, "").contacts;
    assert_eq!(contacts.len(), 2);
    assert!(
        contacts.iter().all(|contact| contact.is_protected),
        "{contacts:?}"
    );
}

#[test]
fn a_call_is_found_by_its_parties_and_its_call_id_while_it_lasts() {
    let mut scene = Scene::talking(6_003);
    scene.talk("A", 2);
    for node in ["P-CSCF", "S-CSCF"] {
        let sessions = ask(&scene, node, List::Sessions, "").sessions;
        let is_call = |row: &&ims_common::operate::SessionRow| row.called.contains("15550002");
        let calls: Vec<_> = sessions.iter().filter(is_call).collect();
        for side in ["originating", "terminating"] {
            assert!(
                calls.iter().any(|row| row.side == side),
                "{node} {side}: {sessions:?}"
            );
        }
        assert!(
            calls.iter().all(|row| row.state == "confirmed"),
            "{node} {calls:?}"
        );
        let call_id = calls[0].call_id.as_str();
        let by_call_id = ask(&scene, node, List::Sessions, call_id).sessions;
        assert!(!by_call_id.is_empty(), "{node}");
        assert!(
            by_call_id.iter().all(|row| row.call_id == call_id),
            "{by_call_id:?}"
        );
        for who in ["+15550002", imsi(1).as_str()] {
            let found = ask(&scene, node, List::Sessions, who).sessions;
            assert!(
                found.iter().any(|row| row.call_id == call_id),
                "{node} {who}: {found:?}"
            );
        }
    }
    scene.tell("A", UeCommand::HangUp);
    scene.world.run_until_idle();
    let left = ask(&scene, "S-CSCF", List::Sessions, "").sessions;
    assert!(
        left.iter().all(|row| !row.called.contains("15550002")),
        "{left:?}"
    );
}

#[test]
fn peers_and_limits_are_told_with_state_and_use() {
    let scene = Scene::talking(6_004);
    for node in ["I-CSCF", "S-CSCF"] {
        let peers = ask(&scene, node, List::Peers, "").peers;
        let [hss] = peers.as_slice() else {
            panic!("{node}: {peers:?}");
        };
        assert_eq!((hss.protocol.as_str(), hss.state.as_str()), ("diameter", "open"));
        assert!(hss.host.is_some() && hss.since_secs.is_some(), "{hss:?}");
    }
    for (node, limit) in [
        ("P-CSCF", "pcscf.contacts"),
        ("S-CSCF", "scscf.registration.bindings"),
    ] {
        let limits = ask(&scene, node, List::Limits, "").limits;
        let row = limits.iter().find(|row| row.limit == limit);
        assert!(
            row.is_some_and(|row| row.used == Some(2) && row.value > 2),
            "{limits:?}"
        );
    }
}

#[test]
fn a_dead_hss_is_told_as_a_peer_that_is_not_open() {
    let mut scene = Scene::new(6_005);
    scene.world.crash("HSS");
    scene.world.advance(Duration::from_secs(5));
    let peers = ask(&scene, "I-CSCF", List::Peers, "").peers;
    assert!(peers.len() == 1 && peers[0].state != "open", "{peers:?}");
    assert!(peers[0].last_error.is_some(), "{peers:?}");
}
