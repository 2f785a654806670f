//! Testkit: a phone's subscription to its own registration state (TS 24.229 5.1.1.3, 5.1.1.5A, 5.1.1.7; RFC 3680).

use std::time::{Duration, Instant};

use super::UeEvent;
use super::agent::Act;
use super::around::Around;
use super::dialog::{Dialog, Outgoing, uri_of};
use super::register::refresh_after;
use crate::text::SipText;

/// The seconds that a phone asks for.
pub(super) const EXPIRES: u32 = 600_000;

/// A NOTIFY of `reg`, as the phone read it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RegInfo {
    /// Subscription-State
    pub subscription: String,
    /// The version of the document.
    pub version: Option<u64>,
    /// It is about everything.
    pub is_full: bool,
    /// Each public identity.
    pub registrations: Vec<RegState>,
}

/// One public identity.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RegState {
    /// The identity
    pub aor: String,
    /// `active`, `terminated` or `init`
    pub state: String,
    /// Its contacts
    pub contacts: Vec<ContactState>,
}

/// One contact of one public identity.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContactState {
    /// The contact
    pub uri: String,
    /// `active` or `terminated`
    pub state: String,
    /// Why
    pub event: String,
    /// The seconds that are left
    pub expires: Option<u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    request: Option<Outgoing>,
    dialog: Option<Dialog>,
}

impl Subscription {
    /// SUBSCRIBE, the first or one in the dialog.
    pub(super) fn request(&mut self, around: &Around, expires: u32, names: (String, String)) -> Outgoing {
        let request = match &mut self.dialog {
            Some(dialog) => dialog.request("SUBSCRIBE"),
            None => Outgoing {
                method: "SUBSCRIBE".to_owned(),
                uri: around.identity.clone(),
                routes: around.routes.clone(),
                from: format!("<{}>;tag={}", around.identity, names.1),
                to: format!("<{}>", around.identity),
                call_id: names.0,
                cseq: 1,
                ..Outgoing::default()
            },
        };
        let request = request
            .line("Event", "reg")
            .line("Expires", &expires.to_string())
            .line("Accept", "application/reginfo+xml")
            .line("Contact", &around.contact)
            .line("P-Preferred-Identity", &around.preferred);
        self.request = Some(request.clone());
        request
    }

    /// It was asked for, and is not over.
    pub(super) const fn is_wanted(&self) -> bool {
        self.request.is_some()
    }

    /// When to subscribe again.
    pub(super) fn on_response(&mut self, text: SipText<'_>, events: &mut Vec<UeEvent>) -> Option<Duration> {
        let status = text.status().filter(|status| *status >= 200)?;
        if status >= 300 {
            *self = Self::default();
            events.push(UeEvent::Answered(status));
            return None;
        }
        let expires: u32 = text.header("Expires")?.trim().parse().ok()?;
        let known = self.dialog.as_mut();
        match known.filter(|dialog| text.param("To", "tag") == Some(dialog.remote_tag())) {
            Some(dialog) => dialog.refresh(text),
            None => self.dialog = Dialog::of_answer(self.request.as_ref()?, text),
        }
        events.push(UeEvent::Subscribed(expires));
        if expires == 0 {
            *self = Self::default();
            return None;
        }
        Some(refresh_after(expires))
    }

    /// A NOTIFY may come before the answer to the SUBSCRIBE that it belongs to (RFC 6665 4.1.2.4).
    pub(super) fn owns(&self, request: SipText<'_>) -> bool {
        match (&self.dialog, &self.request) {
            (Some(dialog), _) => dialog.owns(request),
            (None, Some(sent)) => {
                let own_tag = crate::text::param_of(&sent.from, "tag");
                request.header("Call-ID") == Some(sent.call_id.as_str())
                    && request.param("To", "tag") == own_tag
            }
            (None, None) => false,
        }
    }

    /// What follows from it (TS 24.229 5.1.1.5A, 5.1.1.7).
    pub(super) fn on_notify(
        &mut self,
        _: Instant,
        around: &Around,
        text: SipText<'_>,
        body: &[u8],
        events: &mut Vec<UeEvent>,
    ) -> Option<Act> {
        if self.dialog.is_none() {
            self.dialog = self.dialog_of_notify(text);
        }
        if let Some(dialog) = &mut self.dialog {
            dialog.remote_cseq = super::dialog::cseq_of(text);
        }
        let info = read(text.header("Subscription-State").unwrap_or_default(), body);
        let own = uri_of(&around.contact).split(';').next().unwrap_or_default();
        let contacts = info.registrations.iter().flat_map(|reg| &reg.contacts);
        let mine: Vec<_> = contacts.filter(|contact| contact.uri.contains(own)).collect();
        let is_gone = !mine.is_empty() && mine.iter().all(|contact| contact.state == "terminated");
        let event = mine.iter().find(|contact| !contact.event.is_empty());
        let event = event.map(|contact| contact.event.clone()).unwrap_or_default();
        if info.subscription.starts_with("terminated") {
            *self = Self::default();
        }
        events.push(UeEvent::Notified(info));
        match (is_gone, event.as_str()) {
            (true, "deactivated") => Some(Act::RegisterAnew),
            (false, "shortened") => Some(Act::RegisterAgain),
            _ => None,
        }
    }

    fn dialog_of_notify(&self, text: SipText<'_>) -> Option<Dialog> {
        let request = self.request.as_ref()?;
        Some(Dialog {
            local: request.from.clone(),
            local_cseq: request.cseq,
            // RFC 3261 12.1.1: it is the other's request that makes it.
            ..Dialog::of_request(text, "")?
        })
    }
}

/// Reads a document of RFC 3680 in so far as a phone cares.
#[must_use]
pub fn read(subscription: &str, body: &[u8]) -> RegInfo {
    let text = String::from_utf8_lossy(body);
    let mut info = RegInfo {
        subscription: subscription.to_owned(),
        ..RegInfo::default()
    };
    let mut in_uri = false;
    for piece in text.split('<').skip(1) {
        let (tag, content) = piece.split_once('>').unwrap_or((piece, ""));
        let attribute = |name: &str| {
            let at = tag.split_once(&format!(" {name}=\""))?.1;
            Some(unescaped(at.split('"').next()?))
        };
        let name = tag.split([' ', '/', '\n']).next().unwrap_or_default();
        match name {
            "reginfo" => {
                info.version = attribute("version").and_then(|version| version.parse().ok());
                info.is_full = attribute("state").as_deref() == Some("full");
            }
            "registration" => info.registrations.push(RegState {
                aor: attribute("aor").unwrap_or_default(),
                state: attribute("state").unwrap_or_default(),
                contacts: Vec::new(),
            }),
            "contact" => {
                if let Some(registration) = info.registrations.last_mut() {
                    registration.contacts.push(ContactState {
                        uri: String::new(),
                        state: attribute("state").unwrap_or_default(),
                        event: attribute("event").unwrap_or_default(),
                        expires: attribute("expires").and_then(|seconds| seconds.parse().ok()),
                    });
                    in_uri = false;
                }
            }
            "uri" if !in_uri => {
                in_uri = true;
                let last = info.registrations.last_mut();
                if let Some(contact) = last.and_then(|registration| registration.contacts.last_mut()) {
                    contact.uri = unescaped(content.trim());
                }
            }
            _ => {}
        }
    }
    info
}

fn unescaped(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_who_is_registered_where() {
        let body = br#"<?xml version="1.0"?>
<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="3" state="full">
  <registration aor="sip:+15550001@h.test" id="a" state="active">
    <contact id="1" state="active" event="registered" expires="3600" callid="x" cseq="2">
      <uri>sip:u@192.0.2.10:5060;a=&quot;b&quot;</uri>
      <unknown-param name="+sip.instance">"&lt;urn:gsma:imei:1&gt;"</unknown-param>
    </contact>
  </registration>
  <registration aor="tel:+15550001" id="b" state="terminated"/>
</reginfo>"#;
        let info = read("active;expires=600000", body);
        assert_eq!((info.version, info.is_full), (Some(3), true));
        let [first, second] = &info.registrations[..] else {
            panic!("{info:?}")
        };
        assert_eq!(
            (second.aor.as_str(), second.state.as_str()),
            ("tel:+15550001", "terminated")
        );
        let [contact] = &first.contacts[..] else {
            panic!("{first:?}")
        };
        assert_eq!(contact.uri, "sip:u@192.0.2.10:5060;a=\"b\"");
        assert_eq!(
            (contact.event.as_str(), contact.expires),
            ("registered", Some(3600))
        );
    }
}
