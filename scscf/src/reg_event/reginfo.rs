//! Codec: `application/reginfo+xml`: what a user's registration is now, and what has just gone (RFC 3680 5;
//! TS 24.229 5.4.2.1.2).

use std::fmt::{self, Display, Write};
use std::time::Instant;

use ims_common::identity::Impu;

use super::subscriptions::Departures;
use crate::gruu;
use crate::registrar::{Binding, BindingId, ContactAddress, ImplicitRegistrationSet};
use crate::registration_change::{ContactChange, ContactEvent};
use crate::xml::Escaped;

/// The namespaces of the document: the wildcarded identities of TS 24.229 7.10.2 need the last one.
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                    <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\" \
                    xmlns:ere=\"urn:3gpp:ns:extRegExp:1.0\"";

/// Seconds after which a contact that was put off may register again (RFC 3680 5.3.3 `retry-after`).
const PROBATION_SECS: u32 = 300;

/// The full state: each identity of the set that is registered and not barred with each contact, then what has gone.
/// `set` is `None` when nothing is left.
pub(super) fn document(
    now: Instant,
    version: u32,
    set: Option<&ImplicitRegistrationSet>,
    departures: &Departures,
) -> String {
    let mut out = String::with_capacity(2_048);
    put(
        &mut out,
        format_args!("{HEAD} version=\"{version}\" state=\"full\">\n"),
    );
    if let Some(set) = set {
        for (impu, pattern) in set.told_identities() {
            open(&mut out, &impu, "active");
            if let Some(pattern) = pattern {
                let pattern = Escaped(&pattern);
                put(
                    &mut out,
                    format_args!("<ere:wildcardedIdentity>{pattern}</ere:wildcardedIdentity>\n"),
                );
            }
            for binding in set.bindings() {
                active(&mut out, now, &impu, binding);
            }
            for (contact, event) in &departures.contacts {
                terminated(&mut out, &impu, contact, *event);
            }
            out.push_str("</registration>\n");
        }
    }
    for (impu, event) in &departures.identities {
        if set.is_some_and(|set| set.told_identities().any(|(told, _)| told == *impu)) {
            continue;
        }
        open(&mut out, impu, "terminated");
        for binding in set.into_iter().flat_map(|set| set.bindings()) {
            terminated(&mut out, impu, &ContactChange::from(binding), *event);
        }
        for (contact, event) in &departures.contacts {
            terminated(&mut out, impu, contact, *event);
        }
        out.push_str("</registration>\n");
    }
    out.push_str("</reginfo>\n");
    out
}

fn open(out: &mut String, impu: &Impu, state: &str) {
    let (aor, id) = (Escaped(impu.as_str()), RegistrationId(impu));
    put(
        out,
        format_args!("<registration aor=\"{aor}\" id=\"{id}\" state=\"{state}\">\n"),
    );
}

/// What was registered by name is `registered`, what came with it `created`.
fn active(out: &mut String, now: Instant, impu: &Impu, binding: &Binding) {
    let event = match binding.event {
        ContactEvent::Registered if binding.impu != *impu => ContactEvent::Created,
        event => event,
    };
    let expires = Some(binding.expires_secs(now));
    let change = ContactChange::from(binding);
    let gruu = gruu::public(impu, binding);
    contact(out, impu, &change, ("active", event), (expires, gruu));
}

fn terminated(out: &mut String, impu: &Impu, change: &ContactChange, event: ContactEvent) {
    contact(out, impu, change, ("terminated", event), (None, None));
}

fn contact(
    out: &mut String,
    impu: &Impu,
    change: &ContactChange,
    (state, event): (&str, ContactEvent),
    (expires, gruu): (Option<u64>, Option<String>),
) {
    let (registration, BindingId(number)) = (RegistrationId(impu), change.id);
    let name = event.attribute().unwrap_or_default();
    put(
        out,
        format_args!("<contact id=\"{registration}-{number}\" state=\"{state}\" event=\"{name}\""),
    );
    if let Some(expires) = expires {
        put(out, format_args!(" expires=\"{expires}\""));
    }
    if event == ContactEvent::Probation {
        put(out, format_args!(" retry-after=\"{PROBATION_SECS}\""));
    }
    let call_id = String::from_utf8_lossy(&change.call_id);
    put(
        out,
        format_args!(" callid=\"{}\" cseq=\"{}\"", Escaped(&call_id), change.cseq),
    );
    let address = &change.address;
    let parameters = parameters(address);
    if let Some((_, Some(q))) = parameters.iter().find(|(name, _)| is_q(name)) {
        put(out, format_args!(" q=\"{}\"", Escaped(q)));
    }
    put(
        out,
        format_args!(">\n<uri>{}</uri>\n", Escaped(address.uri().as_str())),
    );
    for (name, value) in parameters.iter().filter(|(name, _)| !is_q(name)) {
        let (name, value) = (Escaped(name), Escaped(value.as_deref().unwrap_or_default()));
        put(
            out,
            format_args!("<unknown-param name=\"{name}\">{value}</unknown-param>\n"),
        );
    }
    if let Some(gruu) = gruu {
        // RFC 5628 5.
        put(out, format_args!("<gr:pub-gruu uri=\"{}\"/>\n", Escaped(&gruu)));
    }
    out.push_str("</contact>\n");
}

fn is_q(name: &str) -> bool {
    name.eq_ignore_ascii_case("q")
}

/// RFC 3680 5.3.3: header parameters that have no attribute of their own, quotes kept.
fn parameters(address: &ContactAddress) -> Vec<(String, Option<String>)> {
    address.with_parameters(|parameters| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parameters
            .iter()
            .map(|(name, value)| (text(name), value.map(text)))
            .collect()
    })
}

/// The same for one identity in every document: FNV-1a of its text.
struct RegistrationId<'a>(&'a Impu);

impl Display for RegistrationId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self
            .0
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        write!(f, "r{hash:016x}")
    }
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_has_one_id_for_ever() {
        let impu = Impu::parse("tel:+15550001").unwrap();
        assert_eq!(
            RegistrationId(&impu).to_string(),
            RegistrationId(&impu).to_string()
        );
        let other = Impu::parse("tel:+15550002").unwrap();
        assert_ne!(
            RegistrationId(&impu).to_string(),
            RegistrationId(&other).to_string()
        );
    }
}
