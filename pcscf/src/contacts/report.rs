//! Table: contacts as an operator sees them.

use std::time::Instant;

use ims_common::net::{Interface, Transport};
use ims_common::operate::{ContactRow, Question, Report, secs_between};

use super::{Contact, ContactTable};

impl ContactTable {
    /// Adds a row for each contact that is asked for. `path` writes our entry of Path for a token.
    pub(crate) fn report(
        &self,
        now: Instant,
        question: &Question,
        path: impl Fn(&str) -> String,
        out: &mut Report,
    ) {
        let address = question.address();
        let keys = question.newest(self.contacts.keys().copied(), &mut out.left_off);
        for contact in keys.iter().filter_map(|key| self.contacts.get(key)) {
            let is_there = address.is_some_and(|address| contact.flow.remote.ip() == address);
            if is_there || contact.is_asked_for(question) {
                out.add(question, || row(now, contact, &path));
            }
        }
    }

    /// Whether the contact of this token is one that is asked for.
    pub(crate) fn is_asked_for(&self, token: &str, question: &Question) -> bool {
        self.get(token)
            .is_some_and(|contact| contact.is_asked_for(question))
    }
}

impl Contact {
    fn is_asked_for(&self, question: &Question) -> bool {
        let registered = self.registrations.iter();
        let identities =
            registered.flat_map(|it| std::iter::once(it.impu.as_str()).chain(it.associated.texts()));
        question.is_about(std::iter::once(self.impi.as_str()).chain(identities))
    }
}

fn row(now: Instant, contact: &Contact, path: impl Fn(&str) -> String) -> ContactRow {
    let mut impus: Vec<String> = Vec::new();
    for registration in &contact.registrations {
        let identities = registration
            .associated
            .texts()
            .chain([registration.impu.as_str()]);
        for identity in identities {
            if !impus.iter().any(|known| known == identity) {
                impus.push(identity.to_owned());
            }
        }
    }
    let transport = match contact.flow.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    let latest = contact.registrations.last();
    let service_route = latest.map(|it| it.service_route.iter().map(|route| route.to_string()));
    ContactRow {
        node: String::new(),
        contact: contact.address.to_string(),
        impi: Some(contact.impi.as_str().to_owned()),
        impus,
        flow: format!("{transport} {}", contact.flow.remote),
        is_protected: contact.flow.interface == Interface::GmProtected,
        expires_in_secs: latest.map_or(0, |it| secs_between(now, it.expires_at)),
        is_emergency: contact.is_emergency(),
        path: vec![path(&contact.token)],
        service_route: service_route.map(Iterator::collect).unwrap_or_default(),
    }
}
