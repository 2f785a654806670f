//! Testkit: the engines that read what strangers and profiles say, lent to the fuzz targets of another crate.

use std::time::Instant;

use hss_client::user_data::{RegistrationType, ServiceProfile, SessionCase};
use ims_common::identity::{Impi, Impu};
use ims_common::net::Naptr;
use ims_common::sip::{NameAddr, Request, Uri};

use crate::caller_preferences::CallerPreferences;
use crate::config::NumbersConfig;
use crate::enum_lookup::EnumAnswer;
use crate::ifc::{Criteria, Expressions, SharedIfcSets, Subject};
use crate::numbers::{Normaliser, Number};
use crate::registrar::{Binding, BindingId, ContactAddress};

/// For each subject the criteria that it meets, by their places; and how many there are.
#[must_use]
pub fn criteria(profile: &ServiceProfile, subjects: &[(&Request, SessionCase)]) -> (Vec<Vec<usize>>, usize) {
    let criteria = Criteria::of(profile, &SharedIfcSets::default(), &mut Expressions::default());
    let places = |(request, case): &(&Request, SessionCase)| {
        let subject = Subject {
            request,
            case: *case,
            registration: Some(RegistrationType::Initial),
        };
        let mut places = Vec::new();
        let mut from = 0;
        while let Some((place, _)) = criteria.next_match(from, &subject) {
            places.push(place);
            from = place + 1;
        }
        places
    };
    (subjects.iter().map(places).collect(), criteria.len())
}

/// The groups of contacts that a request goes to, by their places in `contacts`.
#[must_use]
pub fn contacts(now: Instant, request: &Request, contacts: &[NameAddr<'_>]) -> Vec<Vec<u64>> {
    let Ok((impi, impu)) =
        Impi::parse("alice@home.example").and_then(|impi| Ok((impi, Impu::parse("sip:alice@home.example")?)))
    else {
        unreachable!("both are identities");
    };
    let bindings: Vec<Binding> = (0..)
        .zip(contacts)
        .map(|(number, contact)| Binding {
            id: BindingId(number),
            impi: impi.clone(),
            impu: impu.clone(),
            contact: ContactAddress::from_contact(contact),
            path: smallvec::SmallVec::new(),
            call_id: Box::default(),
            cseq: 1,
            expires_at: now,
            authenticated_at: None,
            event: crate::registration_change::ContactEvent::Registered,
            gruu: false,
            service_route: "t".into(),
        })
        .collect();
    let groups = CallerPreferences::of(request).groups(bindings.iter(), None);
    let ids = |group: &Vec<&Binding>| group.iter().map(|binding| binding.id.0).collect();
    groups.iter().map(ids).collect()
}

/// What a URI names by a dial plan: `tel:+…`, `local …`, `incomplete`, or nothing.
#[must_use]
pub fn number(plan: &NumbersConfig, home_realm: &str, uri: &Uri<'_>) -> Option<String> {
    match Normaliser::new(plan, home_realm).read(uri) {
        Number::Global(number) => Some(number.to_tel()),
        Number::Local(number) => Some(format!("local {}", number.digits)),
        Number::Incomplete => Some("incomplete".to_owned()),
        Number::Name => None,
    }
}

/// The URI that a substitution of a NAPTR record makes of a global number.
#[must_use]
pub fn substituted(number: &Uri<'_>, regexp: &str) -> Option<String> {
    let Number::Global(number) = Normaliser::new(&NumbersConfig::default(), "home.example").read(number)
    else {
        return None;
    };
    let record = Naptr {
        flags: "u".to_owned(),
        service: "E2U+sip".to_owned(),
        regexp: regexp.to_owned(),
        ..Naptr::default()
    };
    match EnumAnswer::of(&number, &[record]) {
        EnumAnswer::Sip(uri) | EnumAnswer::Tel(uri) => Some(uri.to_string()),
        EnumAnswer::None => None,
    }
}
