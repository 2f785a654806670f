//! Engine: for whom a UE speaks (TS 24.229 5.2.6.3.1, RFC 3325 6).
//!
//! A UE may say in P-Preferred-Identity which of its identities it means; what it says in From plays no role. What is not
//! registered, or barred, is not asserted; the default public identity stands in.

use ims_common::identity::Impu;
use ims_common::sip::{HeaderName, NameAddr, Request, Uri, UriBuf};

use crate::contacts::{Contact, Registration};

/// What the network asserts of the sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Asserted {
    uris: Vec<UriBuf>,
}

impl Asserted {
    /// With the default identity of the other kind besides: who answers a call for help calls back by number
    /// (TS 24.229 5.2.10.3).
    pub(crate) fn with_the_other_kind(mut self, registration: &Registration) -> Self {
        let is_new = |uri: &Uri<'_>| {
            self.uris
                .iter()
                .all(|known| known.as_uri().is_sip() != uri.is_sip())
        };
        let other = registration.associated.iter().find(is_new).map(UriBuf::from);
        self.uris.extend(other);
        self
    }

    /// The value of P-Asserted-Identity: one SIP URI, one tel URI, or one of each (RFC 3325 9.1).
    pub(crate) fn value(&self) -> String {
        let values: Vec<String> = self.uris.iter().map(|uri| format!("<{uri}>")).collect();
        values.join(", ")
    }
}

/// The identities that a UE prefers. Values that are none are skipped.
pub(crate) fn preferred(request: &Request) -> Vec<Wish> {
    let values = request.values(HeaderName::PPreferredIdentity);
    values.filter_map(Wish::of).collect()
}

/// An identity that a UE names.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    impu: Impu,
    /// Of a tel URI, or a SIP URI with `user=phone`.
    number: Option<String>,
}

impl Wish {
    /// Of one value. Without brackets `;` would end the URI (RFC 3261 20), but UEs write `tel:7042;phone-context=…` so.
    fn of(value: &[u8]) -> Option<Self> {
        let named = NameAddr::parse(value).ok();
        let bare = || Uri::parse(value.trim_ascii()).ok();
        let uri = match named {
            Some(named) if named.has_brackets() => named.uri,
            named => bare().or_else(|| named.map(|named| named.uri))?,
        };
        Self::of_uri(&uri)
    }

    /// Of a URI.
    pub(crate) fn of_uri(uri: &Uri<'_>) -> Option<Self> {
        Some(Self {
            impu: Impu::from_uri(uri).ok()?,
            number: uri.tel_number().filter(|number| number.starts_with('+')),
        })
    }

    /// Whether it is this registered identity: itself, or the same number in the other form.
    fn is(&self, registered: &Uri<'_>) -> bool {
        let same = Impu::from_uri(registered).is_ok_and(|impu| impu == self.impu);
        let by_number = || {
            let number = registered
                .tel_number()
                .filter(|_| Impu::from_uri(registered).is_ok_and(|it| it.is_tel()));
            self.number.is_some() && self.number == number
        };
        same || by_number()
    }
}

/// Whether one of these is an identity of the contact.
pub(crate) fn names_one_of(contact: &Contact, wishes: &[Wish]) -> bool {
    let mut registered = contact.registrations().iter().flat_map(|r| r.associated.iter());
    registered.any(|uri| wishes.iter().any(|wish| wish.is(&uri)))
}

/// The registration that serves a request of a contact, and what is asserted of its sender.
pub(crate) fn asserted<'a>(contact: &'a Contact, wishes: &[Wish]) -> Option<(&'a Registration, Asserted)> {
    for registration in contact.registrations().iter().rev() {
        let uris = granted_wishes(registration, wishes);
        if !uris.is_empty() {
            return Some((registration, Asserted { uris }));
        }
    }
    let registration = contact.registrations().last()?;
    let uris = vec![UriBuf::from(registration.associated.iter().next()?)];
    Some((registration, Asserted { uris }))
}

/// At most one SIP and one tel URI, in the order wished.
fn granted_wishes(registration: &Registration, wishes: &[Wish]) -> Vec<UriBuf> {
    let mut granted: Vec<UriBuf> = Vec::new();
    for wish in wishes {
        let Some(uri) = registration.associated.iter().find(|uri| wish.is(uri)) else {
            continue;
        };
        let is_of_a_new_kind = granted
            .iter()
            .all(|other| other.as_uri().is_sip() != uri.is_sip());
        if is_of_a_new_kind {
            granted.push(UriBuf::from(uri));
        }
    }
    granted
}

/// TS 24.229 5.2.6.4.4: the identity under which a UE was called is that under which it answers; where the home network did
/// not say, its default public identity.
pub(crate) fn asserted_callee(contact: &Contact, request: &Request) -> Option<String> {
    let called = request
        .header(HeaderName::PCalledPartyId)
        .and_then(|value| NameAddr::parse(value).ok())
        .map(|called| UriBuf::from(called.uri));
    let default = || {
        contact
            .registrations()
            .last()?
            .associated
            .iter()
            .next()
            .map(UriBuf::from)
    };
    called.or_else(default).map(|uri| format!("<{uri}>"))
}
