//! Testkit: what a phone saw, as JSON. Keys are in no event.

use serde_json::{Value, json};

use super::message::{Received, SMS};
use super::sas::SaView;
use super::talk::{CallEvent, Cause};
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
        UeEvent::Call { call, what } => json!({"event": "call", "call": call, "what": of_call(what)}),
        UeEvent::MessageReceived(received) => json!({
            "event": "message_received", "from": received.from, "content_type": received.content_type,
            "text": text(received), "octets": received.body.len(), "in_reply_to": received.in_reply_to,
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

/// `kind` says what happened; of an end, `cause` says why.
fn of_call(what: &CallEvent) -> Value {
    match what {
        CallEvent::Incoming { from, called } => json!({"kind": "incoming", "from": from, "called": called}),
        CallEvent::Progress(status) => json!({"kind": "progress", "status": status}),
        CallEvent::Ringing => json!({"kind": "ringing"}),
        CallEvent::Begun => json!({"kind": "begun"}),
        CallEvent::Changed(direction) => json!({"kind": "changed", "direction": direction.token()}),
        CallEvent::ChangeAnswered(status) => json!({"kind": "change_answered", "status": status}),
        CallEvent::Info => json!({"kind": "info"}),
        CallEvent::Ended(cause) => ended(cause),
    }
}

fn ended(cause: &Cause) -> Value {
    let (cause, status, reason) = match cause {
        Cause::Refused(status) => ("refused", Some(status), None),
        Cause::NoAnswer => ("no_answer", None, None),
        Cause::Cancelled => ("cancelled", None, None),
        Cause::HungUp => ("hung_up", None, None),
        Cause::PeerHungUp(reason) => ("peer_hung_up", None, reason.as_ref()),
        Cause::Expired => ("expired", None, None),
        Cause::NotChosen => ("not_chosen", None, None),
    };
    json!({"kind": "ended", "cause": cause, "status": status, "reason": reason})
}

/// What a MESSAGE says, when that is text.
fn text(received: &Received) -> Option<String> {
    match received.content_type.eq_ignore_ascii_case(SMS) {
        true => received.sms_text(),
        false => String::from_utf8(received.body.clone()).ok(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ue::sdp::Direction;

    #[test]
    fn what_happens_to_a_call_is_an_object_and_a_text_has_its_words() {
        let what = |what| json(&UeEvent::Call { call: 1, what })["what"].clone();
        assert_eq!(what(CallEvent::Begun), json!({"kind": "begun"}));
        assert_eq!(
            what(CallEvent::Progress(183)),
            json!({"kind": "progress", "status": 183})
        );
        assert_eq!(
            what(CallEvent::Changed(Direction::SendOnly)),
            json!({"kind": "changed", "direction": "sendonly"})
        );
        assert_eq!(
            what(CallEvent::Ended(Cause::Refused(486))),
            json!({"kind": "ended", "cause": "refused", "status": 486, "reason": null})
        );
        assert_eq!(
            what(CallEvent::Ended(Cause::PeerHungUp(Some(
                "SIP;cause=200".to_owned()
            )))),
            json!({"kind": "ended", "cause": "peer_hung_up", "status": null, "reason": "SIP;cause=200"})
        );
        let message = |content_type: &str, body: &[u8]| {
            let received = Received {
                content_type: content_type.to_owned(),
                body: body.to_vec(),
                ..Received::default()
            };
            json(&UeEvent::MessageReceived(received))
        };
        assert_eq!(message("text/plain", b"Hello")["text"], "Hello");
        assert_eq!(message(SMS, &[1, 2])["text"], Value::Null);
        assert_eq!(message("text/plain", &[0xFF])["text"], Value::Null);
    }
}
