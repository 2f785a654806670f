//! Testkit: documents and what they mean for a registration (checklist GM-54, RG-25).

use super::*;

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{Message, SipMessage};

const ADDRESS: &str = "sip:u@192.0.2.10:5060";

#[allow(clippy::disallowed_methods, reason = "where virtual time begins")]
fn epoch() -> Instant {
    Instant::now()
}

/// A registration that was granted at `now`, by REGISTER 5 of call `c1@ue`.
struct Bench {
    now: Instant,
    granted_at: Instant,
    registration: Registration,
}

fn register() -> Request {
    let text = "REGISTER sip:h.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\nFrom: <sip:a@h.test>;tag=1\r\n\
                To: <sip:a@h.test>\r\nCall-ID: c1@ue\r\nCSeq: 5 REGISTER\r\n\r\n";
    let message = Message::parse(Bytes::from_static(text.as_bytes()), &SipLimits::default()).unwrap();
    match message.into_parts() {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => panic!("a request"),
    }
}

impl Bench {
    fn new() -> Self {
        let now = epoch();
        let associated = ["sip:a@h.test", "tel:+15550001"];
        Self {
            now: now + Duration::from_secs(100),
            granted_at: now,
            registration: Registration {
                impu: Impu::parse("sip:temporary@h.test").unwrap(),
                associated: associated
                    .iter()
                    .map(|text| Uri::parse(text.as_bytes()).unwrap())
                    .collect(),
                service_route: Default::default(),
                expires_at: now + Duration::from_secs(3_600),
                stamp: RegisterStamp::of(now, &register()),
            },
        }
    }

    fn fresh(mut self) -> Self {
        self.now = self.granted_at + Duration::from_secs(1);
        self
    }

    fn told(&mut self, state: &str, registrations: &str) -> Fate {
        let text = format!("<reginfo version=\"1\" state=\"{state}\">{registrations}</reginfo>");
        let info = RegInfo::parse(text.as_bytes()).unwrap();
        let address: UriBuf = ADDRESS.parse().unwrap();
        revise(self.now, &mut self.registration, &address, &info)
    }

    fn identities(&self) -> Vec<String> {
        let all = self.registration.associated.iter();
        all.map(|uri| uri.to_string()).collect()
    }

    fn left(&self) -> u64 {
        self.registration
            .expires_at
            .saturating_duration_since(self.now)
            .as_secs()
    }
}

fn element(aor: &str, state: &str, contacts: &[&str]) -> String {
    let contacts: String = contacts
        .iter()
        .map(|attributes| format!("<contact id=\"c\" {attributes}><uri>{ADDRESS}</uri></contact>"))
        .collect();
    format!("<registration aor=\"{aor}\" id=\"r\" state=\"{state}\">{contacts}</registration>")
}

fn all(state: &str, contact: &str) -> String {
    element("sip:a@h.test", state, &[contact]) + &element("tel:+15550001", state, &[contact])
}

#[test]
fn what_is_as_it_was_changes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.told("full", &all("active", "state=\"active\" event=\"registered\"")),
        Fate::Unchanged
    );
    assert_eq!(bench.told("partial", ""), Fate::Unchanged);
    assert_eq!(bench.told("full", ""), Fate::Unchanged);
    let others = element(
        "sip:b@h.test",
        "terminated",
        &["state=\"terminated\" event=\"expired\""],
    );
    assert_eq!(bench.told("full", &others), Fate::Unchanged);
    assert_eq!(bench.left(), 3_500);
}

#[test]
fn a_contact_that_the_network_ended_goes_after_a_farewell() {
    for (state, event) in [
        ("terminated", ContactEvent::Deactivated),
        ("terminated", ContactEvent::Rejected),
        ("active", ContactEvent::Probation),
        ("active", ContactEvent::Expired),
        ("terminated", ContactEvent::Unregistered),
    ] {
        for document in ["full", "partial"] {
            let mut bench = Bench::new();
            let contact = format!("state=\"terminated\" event=\"{event}\" callid=\"c1@ue\" cseq=\"5\"");
            assert_eq!(bench.told(document, &all(state, &contact)), Fate::Ends(event));
            assert_eq!(bench.left(), FAREWELL.as_secs());
        }
    }
}

#[test]
fn a_registration_that_is_over_needs_no_contacts_to_say_so() {
    let over = |state| element("sip:a@h.test", state, &[]) + &element("tel:+15550001", state, &[]);
    assert!(matches!(
        Bench::new().told("partial", &over("terminated")),
        Fate::Ends(_)
    ));
    assert!(matches!(Bench::new().told("full", &over("init")), Fate::Ends(_)));
    assert_eq!(Bench::new().told("partial", &over("init")), Fate::Unchanged);
    assert_eq!(Bench::new().told("full", &over("active")), Fate::Unchanged);
    assert_eq!(
        Bench::new().fresh().told("partial", &over("terminated")),
        Fate::Unchanged
    );
}

#[test]
fn a_contact_of_another_phone_is_not_ours() {
    let mut bench = Bench::new();
    let document =
        all("active", "state=\"terminated\" event=\"rejected\"").replace(ADDRESS, "sip:u@192.0.2.11:5060");
    assert_eq!(bench.told("full", &document), Fate::Unchanged);
    let sos =
        all("active", "state=\"terminated\" event=\"rejected\"").replace(ADDRESS, &format!("{ADDRESS};sos"));
    assert_eq!(bench.told("full", &sos), Fate::Unchanged);
}

#[test]
fn what_was_said_before_the_latest_register_counts_no_more() {
    for (contact, is_old, is_old_later) in [
        ("callid=\"c1@ue\" cseq=\"4\"", true, true),
        ("callid=\"c1@ue\" cseq=\"5\"", false, false),
        ("callid=\"c1@ue\" cseq=\"6\"", false, false),
        ("callid=\"c1@ue\"", false, false),
        ("callid=\"c0@ue\" cseq=\"9\"", true, false),
        ("callid=\"c0@ue\"", true, false),
        ("", false, false),
    ] {
        let document = all(
            "terminated",
            &format!("state=\"terminated\" event=\"unregistered\" {contact}"),
        );
        let fate = Bench::new().fresh().told("full", &document);
        assert_eq!(fate == Fate::Unchanged, is_old, "{contact}");
        let fate = Bench::new().told("full", &document);
        assert_eq!(fate == Fate::Unchanged, is_old_later, "{contact}");
    }
}

#[test]
fn a_contact_that_went_and_came_back_is_there() {
    let mut bench = Bench::new();
    let both = [
        "state=\"terminated\" event=\"unregistered\"",
        "state=\"active\" event=\"registered\"",
    ];
    let document = element("sip:a@h.test", "active", &both) + &element("tel:+15550001", "active", &both);
    assert_eq!(bench.told("full", &document), Fate::Unchanged);
}

#[test]
fn a_shortened_contact_ends_earlier_and_never_later() {
    let mut bench = Bench::new();
    let shortened = |secs| {
        all(
            "active",
            &format!("state=\"active\" event=\"shortened\" expires=\"{secs}\""),
        )
    };
    assert_eq!(bench.told("full", &shortened(600)), Fate::Changed);
    assert_eq!(bench.left(), 600);
    assert_eq!(bench.told("full", &shortened(900)), Fate::Unchanged);
    assert_eq!(bench.left(), 600);
    let refreshed = all("active", "state=\"active\" event=\"refreshed\" expires=\"60\"");
    assert_eq!(bench.told("full", &refreshed), Fate::Unchanged);
}

#[test]
fn identities_come_and_go_with_the_profile() {
    let active = "state=\"active\" event=\"created\"";
    let gone = "state=\"terminated\" event=\"deactivated\"";
    let mut bench = Bench::new();
    let document = all("active", active) + &element("sip:new@h.test", "active", &[active]);
    assert_eq!(bench.told("partial", &document), Fate::Changed);
    assert_eq!(
        bench.identities(),
        ["sip:a@h.test", "tel:+15550001", "sip:new@h.test"]
    );
    let document = element("sip:a@h.test", "terminated", &[gone]);
    assert_eq!(bench.told("partial", &document), Fate::Changed);
    assert_eq!(bench.identities(), ["tel:+15550001", "sip:new@h.test"]);
    assert_eq!(bench.left(), 3_500);
    // What the full state leaves out is gone too.
    let document = element("sip:new@h.test", "active", &[active]);
    assert_eq!(bench.told("full", &document), Fate::Changed);
    assert_eq!(bench.identities(), ["sip:new@h.test"]);
    let document = element("sip:new@h.test", "terminated", &[gone]);
    assert_eq!(
        bench.told("partial", &document),
        Fate::Ends(ContactEvent::Deactivated)
    );
}

#[test]
fn identities_without_number_are_not_learnt() {
    let mut bench = Bench::new();
    let active = "state=\"active\" event=\"created\"";
    for part in 0..3 {
        let document: String = (0..200)
            .map(|n| element(&format!("sip:u{part}-{n}@h.test"), "active", &[active]))
            .collect();
        let document = document + &element("sip:a@h.test", "active", &[active]);
        bench.told("partial", &document);
    }
    assert_eq!(bench.identities().len(), IDENTITIES_MAX);
}
