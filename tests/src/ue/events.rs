//! Testkit: what a phone saw, as JSON. Keys are in no event.

use serde_json::{Value, json};

use super::sas::SaView;
use super::{Granted, UeEvent};

/// One event as one object.
#[must_use]
pub fn json(event: &UeEvent) -> Value {
    match event {
        UeEvent::Challenged { algorithm } => json!({"event": "challenged", "algorithm": algorithm}),
        UeEvent::NetworkAuthentic => json!({"event": "network_authentic"}),
        UeEvent::MacFailure => json!({"event": "mac_failure"}),
        UeEvent::SyncFailure => json!({"event": "sync_failure"}),
        UeEvent::CardFailed(error) => json!({"event": "card_failed", "why": error.to_string()}),
        UeEvent::Registered(granted) => registered(granted),
        UeEvent::Deregistered => json!({"event": "deregistered"}),
        UeEvent::Bindings(contacts) => json!({"event": "bindings", "contacts": contacts}),
        UeEvent::Rejected {
            status,
            retry_after,
            min_expires,
        } => json!({
            "event": "rejected", "status": status, "retry_after": retry_after, "min_expires": min_expires,
        }),
        UeEvent::NoAnswer => json!({"event": "no_answer"}),
        UeEvent::GaveUp => json!({"event": "gave_up"}),
        UeEvent::Request(method) => json!({"event": "request", "method": method}),
        UeEvent::Answered(status) => json!({"event": "answered", "status": status}),
        UeEvent::Call { call, what } => json!({"event": "call", "call": call, "what": format!("{what:?}")}),
        UeEvent::MessageReceived(received) => json!({
            "event": "message_received", "from": received.from, "content_type": received.content_type,
            "octets": received.body.len(), "in_reply_to": received.in_reply_to,
        }),
        UeEvent::Subscribed(seconds) => json!({"event": "subscribed", "expires": seconds}),
        UeEvent::Notified(info) => json!({
            "event": "notified", "subscription": info.subscription, "version": info.version,
            "registrations": info.registrations.iter().map(|one| format!("{} {}", one.aor, one.state)).collect::<Vec<_>>(),
        }),
        UeEvent::Misled(whereto) => json!({"event": "misled", "whereto": whereto}),
        UeEvent::SaInstalled(view) => installed(view),
        UeEvent::SaFailed(why) => json!({"event": "sa_failed", "why": why}),
    }
}

fn registered(granted: &Granted) -> Value {
    json!({
        "event": "registered", "expires": granted.expires, "contacts": granted.contacts,
        "service_route": granted.service_route, "associated": granted.associated, "path": granted.path,
    })
}

fn installed(view: &SaView) -> Value {
    let states: Vec<_> = view
        .states
        .iter()
        .map(|state| json!({"spi": state.spi, "source": state.source, "destination": state.destination}))
        .collect();
    json!({
        "event": "sa_installed", "set": view.id.0, "alg": view.suite.integrity.token(),
        "ealg": view.suite.encryption.token(), "states": states,
    })
}
