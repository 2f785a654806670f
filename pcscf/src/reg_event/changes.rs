//! Engine: what a notification means for one registration of one contact (TS 24.229 5.2.3, 5.2.5.2; RFC 3680 5.1).
//!
//! The document speaks of public identities one by one, each with its contacts; a registration here is one contact with
//! all identities of an implicit set. It ends when none of its identities is left to the contact, and not at once: the
//! S-CSCF tells the UE through us, and ends its sessions (TS 24.229 5.4.1.5). What the UE begins meanwhile the S-CSCF
//! refuses.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use ims_common::identity::Impu;
use ims_common::sip::{Request, Uri, UriBuf};

use super::reginfo::{ContactEvent, ContactInfo, RegInfo, RegistrationState};
use crate::contacts::{Registration, UriList, same_contact};

/// Identities of one registration at most; what is beyond is not learnt.
const IDENTITIES_MAX: usize = 256;
/// A notification that was sent before the latest REGISTER was granted may be on its way for so long: timer F of Mw.
const ON_ITS_WAY: Duration = Duration::from_secs(32);
/// How long a contact that the network has ended may still be reached: timer F of Mw.
const FAREWELL: Duration = Duration::from_secs(32);

/// Which REGISTER a registration goes back to, and when it was granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RegisterStamp {
    granted_at: Instant,
    call: u32,
    cseq: u32,
}

impl RegisterStamp {
    /// Of a REGISTER that is granted now.
    pub(crate) fn of(now: Instant, register: &Request) -> Self {
        Self {
            granted_at: now,
            call: hashed(register.call_id().unwrap_or_default()),
            cseq: register.cseq().map_or(0, |cseq| cseq.number),
        }
    }

    /// Whether what is said of a contact was said before this REGISTER was granted.
    fn outdates(&self, now: Instant, contact: &ContactInfo) -> bool {
        match (&contact.call_id, contact.cseq) {
            (Some(call_id), Some(cseq)) if hashed(call_id.as_bytes()) == self.call => cseq < self.cseq,
            (Some(call_id), None) if hashed(call_id.as_bytes()) == self.call => false,
            (Some(_), _) => self.is_fresh(now),
            (None, _) => false,
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.granted_at) < ON_ITS_WAY
    }
}

fn hashed(call_id: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    call_id.hash(&mut hasher);
    // Half of it tells two Call-IDs of one phone apart.
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// Nothing.
    Unchanged,
    /// Other identities, or an earlier end.
    Changed,
    /// It is over soon.
    Ends(ContactEvent),
}

/// What a document says of one contact.
#[derive(Debug, Default)]
struct Said {
    active: Vec<Impu>,
    terminated: Vec<(Impu, ContactEvent)>,
    shortened_to: Option<u32>,
}

impl Said {
    fn of(now: Instant, info: &RegInfo, address: &UriBuf, stamp: &RegisterStamp) -> Self {
        let mut said = Self::default();
        for registration in &info.registrations {
            let of_us = registration
                .contacts
                .iter()
                .filter(|c| same_contact(&c.uri, address));
            let mut is_named = false;
            for contact in of_us {
                is_named = true;
                if contact.is_active && registration.state == RegistrationState::Active {
                    said.active.push(registration.impu.clone());
                    if contact.event == ContactEvent::Shortened {
                        said.shortened_to = earlier(said.shortened_to, contact.expires);
                    }
                } else if !stamp.outdates(now, contact) {
                    said.terminated.push((registration.impu.clone(), contact.event));
                }
            }
            // Without any contact, or the last one gone.
            let is_over = match registration.state {
                RegistrationState::Terminated => true,
                RegistrationState::Init => info.is_full,
                RegistrationState::Active => false,
            };
            if is_over && !is_named && !stamp.is_fresh(now) {
                said.terminated
                    .push((registration.impu.clone(), ContactEvent::Other));
            }
        }
        // A contact that went and came back is listed twice.
        let Self {
            active, terminated, ..
        } = &mut said;
        terminated.retain(|(impu, _)| !active.contains(impu));
        said
    }
}

fn earlier(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Makes one registration of the contact with this address what the document says.
pub(crate) fn revise(
    now: Instant,
    registration: &mut Registration,
    address: &UriBuf,
    info: &RegInfo,
) -> Fate {
    let said = Said::of(now, info, address, &registration.stamp);
    let known: Vec<Impu> = registration.identities().collect();
    let is_about_us = |impu: &Impu| known.contains(impu);
    let event = said.terminated.iter().find(|(impu, _)| is_about_us(impu));
    let event = event.map(|(_, event)| *event);
    if event.is_none() && !said.active.iter().any(is_about_us) {
        return Fate::Unchanged;
    }
    let kept = kept_identities(registration, &said, info.is_full);
    // The identity in To may be barred, and is not spoken of then.
    let stays = !kept.is_empty() || said.active.contains(&registration.impu) || event.is_none();
    if !stays {
        registration.expires_at = registration.expires_at.min(now + FAREWELL);
        return Fate::Ends(event.unwrap_or(ContactEvent::Other));
    }
    let associated: UriList = kept
        .iter()
        .filter_map(|text| Uri::parse(text.as_bytes()).ok())
        .collect();
    let ends_at = said
        .shortened_to
        .map(|secs| now + Duration::from_secs(secs.into()))
        .filter(|at| *at < registration.expires_at);
    if associated == registration.associated && ends_at.is_none() {
        return Fate::Unchanged;
    }
    registration.associated = associated;
    if let Some(at) = ends_at {
        registration.expires_at = at;
    }
    Fate::Changed
}

/// The identities in their old order, the default one first, without those that went; then the new ones.
fn kept_identities(registration: &Registration, said: &Said, is_full: bool) -> Vec<String> {
    let is_kept = |impu: &Impu| {
        let went = said.terminated.iter().any(|(gone, _)| gone == impu);
        let unsaid = is_full && !said.active.is_empty() && !said.active.contains(impu);
        !went && !unsaid
    };
    let mut kept = Vec::new();
    let mut known = Vec::new();
    for uri in registration.associated.iter() {
        let Ok(impu) = Impu::from_bytes(uri.as_bytes()) else {
            continue;
        };
        if is_kept(&impu) {
            kept.push(String::from_utf8_lossy(uri.as_bytes()).into_owned());
        }
        known.push(impu);
    }
    for impu in &said.active {
        if kept.len() < IDENTITIES_MAX && !known.contains(impu) {
            kept.push(impu.as_str().to_owned());
            known.push(impu.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests;
