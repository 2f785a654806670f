//! Engine: tables of contacts against preferences (SE-15).

use super::*;
use crate::registrar::{BindingId, ContactAddress};
use bytes::Bytes;
use ims_common::identity::{Impi, Impu};
use ims_common::limits::SipLimits;
use ims_common::sip::{Message, NameAddr, SipMessage};
use std::time::Instant;

#[allow(
    clippy::disallowed_methods,
    reason = "any instant serves as the origin of virtual time"
)]
fn origin() -> Instant {
    Instant::now()
}

/// `NAME;params` is a contact `<sip:NAME@192.0.2.10>;params`; a URI parameter stands after a `|`.
fn bindings(contacts: &[&str]) -> Vec<Binding> {
    let binding = |(number, text): (usize, &&str)| {
        let (uri, params) = text.split_once(';').unwrap_or((text, ""));
        let (name, uri_param) = uri.split_once('|').unwrap_or((uri, ""));
        let uri_params = if uri_param.is_empty() {
            String::new()
        } else {
            format!(";{uri_param}")
        };
        let separator = if params.is_empty() { "" } else { ";" };
        let contact = format!("<sip:{name}@192.0.2.10{uri_params}>{separator}{params}");
        Binding {
            id: BindingId(number as u64),
            impi: Impi::parse("alice@home.example").unwrap(),
            impu: Impu::parse("sip:alice@home.example").unwrap(),
            contact: ContactAddress::from_contact(&NameAddr::parse(contact.as_bytes()).unwrap()),
            path: Default::default(),
            call_id: Box::default(),
            cseq: 1,
            expires_at: origin(),
            authenticated_at: None,
            event: crate::registration_change::ContactEvent::Registered,
            gruu: false,
            service_route: "t".into(),
        }
    };
    contacts.iter().enumerate().map(binding).collect()
}

fn request(method: &str, headers: &[&str]) -> Request {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!(
        "{method} sip:alice@home.example SIP/2.0\r\nCSeq: 1 {method}\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
    match message.into_parts() {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => unreachable!("a request was written"),
    }
}

/// The names of the contacts, `|` between groups.
fn order_of(request: &Request, instance: Option<&[u8]>, contacts: &[&str]) -> String {
    let bindings = bindings(contacts);
    let groups = CallerPreferences::of(request).groups(bindings.iter(), instance);
    let name = |binding: &&Binding| {
        let user = binding.contact.uri().as_uri().user().unwrap();
        String::from_utf8(user.to_vec()).unwrap()
    };
    let group = |group: &Vec<&Binding>| group.iter().map(name).collect::<Vec<_>>().join(" ");
    groups.iter().map(group).collect::<Vec<_>>().join(" | ")
}

fn order(headers: &[&str], contacts: &[&str]) -> String {
    order_of(&request("INVITE", headers), None, contacts)
}

#[test]
fn contacts_of_equal_q_are_tried_at_once_and_of_lower_q_later() {
    let contacts = ["a;q=0.5", "b", "c;q=1.0", "d;q=0.5", "e;q=0.1"];
    assert_eq!(order(&[], &contacts), "b c | a d | e");
    assert_eq!(order(&[], &[]), "");
}

#[test]
fn a_disposition_makes_it_parallel_sequential_or_one() {
    let contacts = ["a;q=0.5", "b", "c"];
    for (disposition, expected) in [
        ("parallel", "b c a"),
        ("sequential", "b | c | a"),
        ("no-fork", "b"),
        ("fork, proxy", "b c | a"),
        ("no-fork, parallel", "b"),
        ("parallel, sequential", "b c | a"),
    ] {
        let header = format!("Request-Disposition: {disposition}");
        assert_eq!(order(&[&header], &contacts), expected, "{disposition}");
    }
    assert_eq!(order(&["d: parallel"], &[]), "");
    let no_recurse = CallerPreferences::of(&request("INVITE", &["d: No-Recurse"]));
    assert!(no_recurse.disposition().no_recurse);
}

/// RFC 3841 7.2.4: what becomes of contacts that say it, contradict it, say a part of it, and say nothing of it.
#[test]
fn require_and_explicit_decide_what_becomes_of_a_contact() {
    let contacts = [
        "all;audio;video",
        "part;audio",
        "other;text",
        "against;audio;video=\"FALSE\"",
        "nothing",
    ];
    for (parameters, expected) in [
        ("audio;video", "all nothing | part | other against"),
        ("audio;video;require", "all nothing | part | other"),
        ("audio;video;explicit", "all nothing | part other against"),
        ("audio;video;require;explicit", "all"),
    ] {
        let header = format!("Accept-Contact: *;{parameters}");
        assert_eq!(order(&[&header], &contacts), expected, "{parameters}");
    }
}

#[test]
fn several_preferences_are_averaged_and_each_may_exclude() {
    let contacts = ["a;audio", "v;video", "av;audio;video"];
    let wants = |first: &str, second: &str| {
        let lines = [format!("Accept-Contact: *;{first}"), format!("a: *;{second}")];
        order(&[&lines[0], &lines[1]], &contacts)
    };
    assert_eq!(wants("audio", "video"), "av | a v");
    assert_eq!(wants("audio", "video;require;explicit"), "av | v");
    let one_line = "Accept-Contact: *;audio;require;explicit, *;video;require;explicit";
    assert_eq!(order(&[one_line], &contacts), "av");
}

#[test]
fn q_counts_before_preferences() {
    let header = "Accept-Contact: *;video";
    assert_eq!(order(&[header], &["a;audio", "v;video;q=0.5"]), "a | v");
}

#[test]
fn a_rejection_needs_all_of_it_said() {
    let contacts = [
        "machine;automata",
        "person;automata=\"FALSE\"",
        "silent;audio",
        "nothing",
    ];
    for (header, expected) in [
        ("Reject-Contact: *;automata", "person silent nothing"),
        ("Reject-Contact: *;automata=\"FALSE\"", "machine silent nothing"),
        ("j: *;automata;audio", "machine person silent nothing"),
        ("Reject-Contact: *", "machine person silent nothing"),
        ("Reject-Contact: sip:x", "machine person silent nothing"),
    ] {
        assert_eq!(order(&[header], &contacts), expected, "{header}");
    }
}

#[test]
fn a_short_message_goes_only_to_phones_that_take_it() {
    let header = "Accept-Contact: *;+g.3gpp.smsip;require;explicit";
    let contacts = ["phone;+g.3gpp.smsip;audio", "tablet;audio", "silent"];
    assert_eq!(order(&[header], &contacts), "phone");
    assert_eq!(order(&[header], &["tablet;audio", "silent"]), "");
}

#[test]
fn a_telephony_service_prefers_those_that_have_it() {
    let mmtel = "urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel";
    let header = format!("Accept-Contact: *;+g.3gpp.icsi-ref=\"{mmtel}\"");
    let phone = format!(
        "phone;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3Aother,{}\"",
        mmtel.to_uppercase()
    );
    assert_eq!(order(&[&header], &["old;audio", &phone]), "phone | old");
}

#[test]
fn values_are_lists_exclusions_texts_and_numbers() {
    for (wanted, contact, is_met) in [
        ("language=\"en,de\"", "language=\"fr,DE\"", true),
        ("language=\"en\"", "language=\"fr\"", false),
        ("language=\"!en\"", "language=\"en\"", false),
        ("language=\"!en\"", "language=\"en,fr\"", true),
        ("language=\"!en\"", "language=\"!fr\"", true),
        ("language=\"en\"", "language=\"!en\"", false),
        ("language=\"en,fr\"", "language=\"!en\"", true),
        ("description=\"<A b>\"", "description=\"<A b>\"", true),
        ("description=\"<A b>\"", "description=\"<a b>\"", false),
        ("priority=\"#>=5\"", "priority=\"#7\"", true),
        ("priority=\"#>=5\"", "priority=\"#4.999\"", false),
        ("priority=\"#1:5\"", "priority=\"#<=0.5\"", false),
        ("priority=\"#-1.5\"", "priority=\"#-2:-1\"", true),
        ("+x.y=TRUE", "+X.Y", true),
        ("isfocus", "isfocus=\"FALSE\"", false),
    ] {
        let header = format!("Accept-Contact: *;{wanted};require;explicit");
        let expected = if is_met { "a" } else { "" };
        assert_eq!(
            order(&[&header], &[&format!("a;{contact}")]),
            expected,
            "{wanted} {contact}"
        );
    }
}

#[test]
fn without_preferences_method_and_event_are_wanted_unless_nobody_is_left() {
    let contacts = [
        "caller;methods=\"INVITE,BYE\"",
        "texter;methods=\"MESSAGE\"",
        "silent;audio",
    ];
    let order = |method: &str, headers: &[&str], contacts: &[&str]| {
        order_of(&request(method, headers), None, contacts)
    };
    assert_eq!(order("MESSAGE", &[], &contacts), "texter silent");
    assert_eq!(order("INFO", &[], &contacts[..2]), "caller texter");
    let packages = ["p;events=\"presence\"", "r;events=\"reg,dialog\""];
    assert_eq!(order("SUBSCRIBE", &["Event: dialog;id=1"], &packages), "r");
}

#[test]
fn a_gruu_is_one_instance() {
    let contacts = [
        "a;+sip.instance=\"<urn:x:1>\"",
        "b;+sip.instance=\"<urn:x:2>\"",
        "c",
    ];
    let invite = request("INVITE", &[]);
    assert_eq!(order_of(&invite, Some(b"<urn:x:2>"), &contacts), "b");
    assert_eq!(order_of(&invite, Some(b"<urn:x:3>"), &contacts), "");
}

#[test]
fn flows_of_one_instance_are_tried_in_turn_the_newest_first() {
    let flow = |name: &str, id: u32| format!("{name};+sip.instance=\"<urn:x:1>\";reg-id={id}");
    let contacts = [
        flow("old", 1),
        "other".to_owned(),
        flow("newer", 2),
        flow("newest", 3),
    ];
    let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
    assert_eq!(order(&[], &contacts), "newest other | newer | old");
}

#[test]
fn contacts_of_emergency_registrations_are_no_targets() {
    assert_eq!(order(&[], &["a|sos", "b"]), "b");
}
