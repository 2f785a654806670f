//! Table: tests of the registrar alone.

use super::*;
use bytes::Bytes;
use hss_client::user_data;
use ims_common::sip::NameAddr;

#[allow(
    clippy::disallowed_methods,
    reason = "any instant serves as the origin of virtual time"
)]
fn origin() -> Instant {
    Instant::now()
}

fn impu(text: &str) -> Impu {
    Impu::parse(text).unwrap()
}

fn impi(text: &str) -> Impi {
    Impi::parse(text).unwrap()
}

fn profile(identities: &[&str]) -> Profile {
    let identities: String = identities
        .iter()
        .map(|i| format!("<PublicIdentity><Identity>{i}</Identity></PublicIdentity>"))
        .collect();
    let xml = format!(
        "<IMSSubscription><PrivateID>alice@home.example</PrivateID>\
         <ServiceProfile>{identities}</ServiceProfile></IMSSubscription>"
    );
    Profile {
        subscription: Some(user_data::parse(xml.as_bytes()).unwrap()),
        charging: None,
        hss_host: None,
    }
}

fn grant(contact: &str, expires: u64) -> ContactGrant {
    ContactGrant {
        contact: ContactAddress::from_contact(&NameAddr::parse(contact.as_bytes()).unwrap()),
        expires: (expires > 0).then(|| Duration::from_secs(expires)),
    }
}

fn source(name: &str) -> BindingSource {
    BindingSource {
        impi: impi(name),
        impu: impu(&format!("sip:{name}")),
        path: Vec::new(),
        call_id: Bytes::from_static(b"c1"),
        cseq: 1,
        gruu: false,
    }
}

fn registrar() -> Registrar {
    Registrar::new(RegistrarLimits {
        bindings_per_impu: 2,
        registrations: 3,
    })
}

fn bind(table: &mut Registrar, now: Instant, id: SetId, name: &str, grants: &[ContactGrant]) -> usize {
    let mut tokens = 0;
    let effects = table.bind(now, id, &source(name), grants, || {
        tokens += 1;
        format!("{name}-{tokens}")
    });
    effects.len()
}

#[test]
fn nothing_is_left_of_a_set_whose_last_contact_went() {
    let (mut table, now) = (registrar(), origin());
    let alice = impi("alice@home.example");
    let id = table.store_profile(
        &impu("sip:alice@home.example"),
        profile(&["sip:alice@home.example", "tel:+1555"]),
    );
    bind(
        &mut table,
        now,
        id,
        "alice@home.example",
        &[grant("<sip:a@192.0.2.1>", 60)],
    );
    assert!(table.is_registered(&alice, &impu("tel:+1555")));
    let removed = table.unbind(id, &alice, |_| true).unwrap().removed;
    assert_eq!(removed.len(), 1);
    assert_eq!((table.len(), table.sets_len()), (0, 0));
    assert!(table.by_impu.is_empty() && table.by_impi.is_empty() && table.by_service_route.is_empty());
    assert_eq!(table.next_timeout(), None);
}

#[test]
fn limits_count_what_would_be_bound_after_replacement() {
    let (mut table, now) = (registrar(), origin());
    let identity = impu("sip:alice@home.example");
    let id = table.store_profile(&identity, profile(&["sip:alice@home.example"]));
    bind(
        &mut table,
        now,
        id,
        "alice@home.example",
        &[grant("<sip:a@192.0.2.1>", 60)],
    );
    let two = [grant("<sip:b@192.0.2.1>", 60), grant("<sip:c@192.0.2.1>", 60)];
    assert!(table.fits(&identity, &impi("alice@home.example"), &two));
    assert!(!table.fits(&identity, &impi("other@home.example"), &two));
    let alice = impi("alice@home.example");
    let bob = (impu("sip:bob@home.example"), impi("bob@home.example"));
    assert!(table.has_room_for(&bob.0, &bob.1, &two));
    bind(&mut table, now, id, "alice@home.example", &two);
    assert!(table.has_room_for(&identity, &alice, &two));
    assert!(!table.has_room_for(&bob.0, &bob.1, &two));
}

#[test]
fn expiry_pops_in_order_and_waits_for_a_busy_identity() {
    let (mut table, now) = (registrar(), origin());
    let id = table.store_profile(
        &impu("sip:alice@home.example"),
        profile(&["sip:alice@home.example"]),
    );
    let grants = [grant("<sip:a@192.0.2.1>", 60), grant("<sip:b@192.0.2.1>", 90)];
    bind(&mut table, now, id, "alice@home.example", &grants);
    let late = now + Duration::from_secs(60);
    assert!(table.pop_expired(late, |_| true).is_none());
    assert_eq!(table.next_timeout(), Some(late + Duration::from_secs(1)));
    let later = now + Duration::from_secs(90);
    assert!(!table.pop_expired(later, |_| false).unwrap().unbound.last_of_impi);
    assert!(table.pop_expired(later, |_| false).unwrap().unbound.last_of_impi);
    assert!(table.pop_expired(later, |_| false).is_none());
}

#[test]
fn identity_that_the_profile_does_not_list_is_found_but_not_told() {
    let mut table = registrar();
    let spelled = impu("sip:001010000000001@home.example");
    table.store_profile(&spelled, profile(&["sip:alice@home.example"]));
    let set = table.set_of(&spelled).unwrap();
    assert!(!set.is_barred(&spelled));
    let told: Vec<Impu> = set.associated_identities().collect();
    assert_eq!(told, [impu("sip:alice@home.example")]);
}

#[test]
fn identity_held_by_another_set_stays_there() {
    let mut table = registrar();
    let first = table.store_profile(&impu("sip:a@home.example"), profile(&["sip:a@home.example"]));
    let second = table.store_profile(&impu("sip:b@home.example"), profile(&["sip:b@home.example"]));
    assert_ne!(first, second);
    let both = profile(&["sip:b@home.example", "sip:a@home.example"]);
    assert_eq!(table.store_profile(&impu("sip:b@home.example"), both), second);
    assert_eq!(table.set_of(&impu("sip:a@home.example")).unwrap().id, first);
}

fn announced(table: &mut Registrar) -> Vec<(String, bool)> {
    let next = || table.poll_announcement();
    std::iter::from_fn(next)
        .map(|(impu, is_here)| (impu.as_str().to_owned(), is_here))
        .collect()
}

#[test]
fn other_shards_hear_which_identities_come_stay_and_go() {
    let mut table = registrar();
    table.announce();
    let now = origin();
    let alice = impu("sip:alice@home.example");
    let both = profile(&["sip:alice@home.example", "tel:+1555"]);
    let id = table.store_profile(&alice, both);
    bind(
        &mut table,
        now,
        id,
        "alice@home.example",
        &[grant("<sip:a@192.0.2.1>", 60)],
    );
    let here = |impu: &str, is_here| (impu.to_owned(), is_here);
    assert_eq!(
        announced(&mut table),
        [here("sip:alice@home.example", true), here("tel:+1555", true)]
    );
    // One identity leaves the profile; the other one goes and comes in one step.
    table.store_profile(&alice, profile(&["sip:alice@home.example"]));
    let changed = announced(&mut table);
    assert!(changed.contains(&here("tel:+1555", false)), "{changed:?}");
    assert!(
        changed.contains(&here("sip:alice@home.example", true)),
        "{changed:?}"
    );
    table.unbind(id, &impi("alice@home.example"), |_| true);
    assert_eq!(announced(&mut table), [here("sip:alice@home.example", false)]);
}
