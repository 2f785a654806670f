//! Table: who is registered through this P-CSCF, and over which flow (TS 24.229 5.2.2.1, 5.2.5.1).
//!
//! One contact is one flow token, that is, one user part in the Path of one UE's contact address. It holds one
//! registration per public identity that was registered with it, replaced whole by each 200 (OK).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use ims_common::identity::{Impi, Impu};
use ims_common::net::Flow;
use ims_common::node::TimerTable;
use ims_common::sip::UriBuf;

/// Public identities that one contact may have registered one by one. The oldest gives way.
const REGISTRATIONS_PER_CONTACT: usize = 8;

/// The user part of our Path URI for one contact.
pub(crate) type FlowToken = String;

/// What one 200 (OK) granted.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// The identity in To. Registered even where `associated` lacks it: then it is barred, good for REGISTER only.
    pub(crate) impu: Impu,
    /// P-Associated-URI in order; the first is the default public identity.
    pub(crate) associated: Vec<UriBuf>,
    /// Service-Route in order, each value as it came.
    pub(crate) service_route: Vec<String>,
    /// When it ends without a refresh.
    pub(crate) expires_at: Instant,
}

impl Registration {
    /// The identity in To and those of its implicit set.
    fn identities(&self) -> impl Iterator<Item = Impu> {
        let associated = self
            .associated
            .iter()
            .filter_map(|uri| Impu::from_bytes(uri.as_uri().as_bytes()).ok());
        std::iter::once(self.impu.clone()).chain(associated)
    }
}

/// A UE's contact address behind one flow.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    /// The way to the UE.
    pub(crate) flow: Flow,
    /// Who registered.
    pub(crate) impi: Impi,
    /// The address as the UE wrote it.
    pub(crate) address: UriBuf,
    registrations: Vec<Registration>,
}

impl Contact {
    /// What was granted, the latest last.
    pub(crate) fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.registrations.iter().map(|r| r.expires_at).min()
    }
}

/// Whose REGISTER it is and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct ContactKey {
    /// The private identity, or what stands for it where no Authorization is (TS 24.229 5.2.2.6).
    pub(crate) impi: Impi,
    /// Where the REGISTER came from.
    pub(crate) flow: Flow,
}

/// All contacts of this P-CSCF, limited in number.
#[derive(Debug)]
pub(crate) struct ContactTable {
    limit: usize,
    contacts: BTreeMap<FlowToken, Contact>,
    by_address: BTreeMap<IpAddr, BTreeSet<FlowToken>>,
    by_impi: BTreeMap<Impi, BTreeSet<FlowToken>>,
    expiries: TimerTable<FlowToken>,
}

impl ContactTable {
    /// An empty table.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            contacts: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_impi: BTreeMap::new(),
            expiries: TimerTable::default(),
        }
    }

    /// How many contacts are registered.
    pub(crate) fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether a further contact has no place. `pending` REGISTERs may each become one.
    pub(crate) fn is_full(&self, pending: usize) -> bool {
        self.contacts.len().saturating_add(pending) >= self.limit
    }

    /// The contact of a token.
    pub(crate) fn get(&self, token: &str) -> Option<&Contact> {
        self.contacts.get(token)
    }

    /// The token of this private identity's contact behind this flow, or else with this contact address:
    /// a UE that comes back keeps its Path.
    pub(crate) fn token_of(&self, key: &ContactKey, address: Option<&UriBuf>) -> Option<&FlowToken> {
        let tokens = self.by_impi.get(&key.impi)?;
        let behind = |token: &&FlowToken| self.get(token).is_some_and(|c| same_way(&c.flow, &key.flow));
        let with = |token: &&FlowToken| {
            address.is_some_and(|address| {
                self.get(token)
                    .is_some_and(|c| c.address.as_uri().equivalent(&address.as_uri()))
            })
        };
        tokens.iter().find(behind).or_else(|| tokens.iter().find(with))
    }

    /// Whether a registration of this private identity stands for exactly this address and port
    /// (the IP association of TS 24.229 5.2.2.3).
    pub(crate) fn vouches_for(&self, key: &ContactKey) -> bool {
        self.by_impi.get(&key.impi).is_some_and(|tokens| {
            tokens
                .iter()
                .any(|token| self.get(token).is_some_and(|c| same_way(&c.flow, &key.flow)))
        })
    }

    /// Contacts behind a flow: those at exactly this address and port first, then others of the same address.
    /// (A handset registers on TCP and subscribes on UDP, from another port.)
    pub(crate) fn behind(&self, flow: &Flow) -> Vec<(&FlowToken, &Contact)> {
        let mut found: Vec<_> = self
            .by_address
            .get(&flow.remote.ip())
            .into_iter()
            .flatten()
            .filter_map(|token| self.contacts.get_key_value(token))
            .collect();
        found.sort_by_key(|(_, contact)| contact.flow.remote != flow.remote);
        found
    }

    /// Keeps what a 200 (OK) granted; everything known of this identity before is replaced.
    pub(crate) fn bind(
        &mut self,
        token: &FlowToken,
        key: ContactKey,
        address: UriBuf,
        registration: Registration,
    ) {
        let earlier = self.take(token);
        let stale: Vec<FlowToken> = self
            .by_impi
            .get(&key.impi)
            .into_iter()
            .flatten()
            .filter(|other| {
                self.get(other)
                    .is_some_and(|c| c.address.as_uri().equivalent(&address.as_uri()))
            })
            .cloned()
            .collect();
        for other in stale {
            self.take(&other);
        }
        let mut registrations = match earlier {
            Some(contact) if contact.impi == key.impi => contact.registrations,
            Some(_) | None => Vec::new(),
        };
        registrations.retain(|r| r.impu != registration.impu);
        if registrations.len() >= REGISTRATIONS_PER_CONTACT {
            registrations.remove(0);
        }
        registrations.push(registration);
        self.put(
            token.clone(),
            Contact {
                flow: key.flow,
                impi: key.impi,
                address,
                registrations,
            },
        );
    }

    /// De-registration of an identity of one contact, with its implicit set; the contact goes with its last.
    pub(crate) fn unbind(&mut self, token: &str, impu: &Impu) {
        let Some(mut contact) = self.take(token) else {
            return;
        };
        // TS 24.229 5.2.5.1: an identity goes with its implicit set, whichever of the set was named.
        let mut set = vec![impu.clone()];
        for registration in &contact.registrations {
            let identities: Vec<Impu> = registration.identities().collect();
            if identities.contains(impu) {
                set.extend(identities);
            }
        }
        contact
            .registrations
            .retain(|registration| !set.contains(&registration.impu));
        if !contact.registrations.is_empty() {
            self.put(token.to_owned(), contact);
        }
    }

    /// De-registration of an identity of every contact of a private identity (Contact `*`).
    pub(crate) fn unbind_all(&mut self, impi: &Impi, impu: &Impu) {
        let tokens: Vec<FlowToken> = self.by_impi.get(impi).into_iter().flatten().cloned().collect();
        for token in tokens {
            self.unbind(&token, impu);
        }
    }

    /// When the next registration ends.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiries.next()
    }

    /// Drops what ended without a refresh; says how many registrations that were. No message goes to the UE
    /// (TS 24.229 5.2.2.1).
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        while let Some(token) = self.expiries.pop_expired(now) {
            let Some(mut contact) = self.take(&token) else {
                continue;
            };
            let before = contact.registrations.len();
            contact.registrations.retain(|r| r.expires_at > now);
            ended += before - contact.registrations.len();
            if !contact.registrations.is_empty() {
                self.put(token, contact);
            }
        }
        ended
    }

    fn put(&mut self, token: FlowToken, contact: Contact) {
        self.by_address
            .entry(contact.flow.remote.ip())
            .or_default()
            .insert(token.clone());
        self.by_impi
            .entry(contact.impi.clone())
            .or_default()
            .insert(token.clone());
        if let Some(at) = contact.next_expiry() {
            self.expiries.set(token.clone(), at);
        }
        self.contacts.insert(token, contact);
    }

    fn take(&mut self, token: &str) -> Option<Contact> {
        let contact = self.contacts.remove(token)?;
        forget(&mut self.by_address, &contact.flow.remote.ip(), token);
        forget(&mut self.by_impi, &contact.impi, token);
        self.expiries.cancel(&token.to_owned());
        Some(contact)
    }
}

/// The same transport between the same addresses: for a stream, also the same connection.
fn same_way(a: &Flow, b: &Flow) -> bool {
    a.interface == b.interface
        && a.transport == b.transport
        && a.remote == b.remote
        && a.connection == b.connection
}

fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<FlowToken>>, key: &K, token: &str) {
    if let Some(tokens) = index.get_mut(key) {
        tokens.remove(token);
        if tokens.is_empty() {
            index.remove(key);
        }
    }
}
