//! Testkit: a SIP message in one line of a ladder.

use bytes::Bytes;
use ims_common::net::{Flow, Interface, Transport};

use crate::sms_gateway::rp::{self, Rp};
use crate::text::{SipText, param_of};
use crate::ue::dialog::body_of;
use crate::ue::sdp;

pub(super) fn summary(bytes: &Bytes, flow: Flow, lost: bool) -> (String, String) {
    let Some(text) = SipText::new(bytes) else {
        return ("(not SIP)".to_owned(), format!("{} octets", bytes.len()));
    };
    let what = text.method().map_or_else(
        || text.start_line().trim_start_matches("SIP/2.0 ").to_owned(),
        ToOwned::to_owned,
    );
    let mut details = Vec::new();
    if flow.interface == Interface::GmProtected {
        // The ports say which security association it went through.
        details.push(format!("ESP({}>{})", flow.remote.port(), flow.local.port()));
    }
    if flow.transport == Transport::Tcp {
        details.push("TCP".to_owned());
    }
    if text.method().is_some() {
        request(text, &mut details);
    } else {
        response(text, &mut details);
    }
    details.extend(session(bytes));
    details.extend(short_message(text, bytes).map(ToOwned::to_owned));
    if lost {
        details.push("LOST".to_owned());
    }
    (what, details.join(" "))
}

fn request(text: SipText<'_>, details: &mut Vec<String>) {
    show(text, "CSeq", |value| value.split(' ').next(), details);
    if text.method() == Some("REGISTER") {
        contact(text, details);
        show(text, "Expires", Some, details);
    }
    if let Some(value) = text.header("Authorization") {
        details.push(authorization(value));
    }
    for name in ["Path", "Security-Client", "Security-Verify"] {
        if text.header(name).is_some() {
            details.push(name.to_owned());
        }
    }
    show(text, "P-Visited-Network-ID", Some, details);
    show(text, "Event", Some, details);
    if text.method() != Some("REGISTER") {
        show(text, "Subscription-State", Some, details);
        for name in ["P-Preferred-Identity", "P-Asserted-Identity", "P-Called-Party-ID"] {
            if text.header(name).is_some() {
                details.push(name.to_owned());
            }
        }
        show(text, "Reason", Some, details);
    }
    invocation(text, details);
}

/// What a session description offers or answers: the direction, and whose resources are there.
fn session(bytes: &Bytes) -> Option<String> {
    let heard = sdp::read(body_of(bytes))?;
    let direction = format!("{:?}", heard.direction).to_ascii_lowercase();
    Some(match heard.qos {
        None => format!("SDP({direction})"),
        Some(qos) => {
            let there = |there| if there { "yes" } else { "no" };
            format!("SDP({direction},qos={}/{})", there(qos.local), there(qos.remote))
        }
    })
}

/// What an S-CSCF and an application server say to each other.
fn invocation(text: SipText<'_>, details: &mut Vec<String>) {
    if let Some(value) = text.header("P-Served-User") {
        let parameters = value.split_once('>').map_or("", |(_, parameters)| parameters);
        details.push(format!("served({})", parameters.trim_start_matches(';')));
    }
    if text.headers("Route").any(|value| value.contains("<sip:odi-")) {
        details.push("ODI".to_owned());
    }
    show(text, "In-Reply-To", |_| Some("…"), details);
}

/// The layer RP of a short message.
fn short_message(text: SipText<'_>, bytes: &Bytes) -> Option<&'static str> {
    let is_sms = text.method().is_some() && text.header("Content-Type") == Some(rp::CONTENT_TYPE);
    Some(match Rp::parse(body_of(bytes)).filter(|_| is_sms)? {
        Rp::Data { .. } => "RP-DATA",
        Rp::Ack { .. } => "RP-ACK",
        Rp::Error { .. } => "RP-ERROR",
        Rp::MemoryAvailable { .. } => "RP-SMMA",
    })
}

fn response(text: SipText<'_>, details: &mut Vec<String>) {
    show(text, "CSeq", |value| value.split(' ').next(), details);
    if let Some(value) = text.header("WWW-Authenticate") {
        let mut parts = vec![param_of(value, "algorithm").unwrap_or("no algorithm")];
        parts.extend(
            ["ck", "ik", "stale"]
                .into_iter()
                .filter(|name| param_of(value, name).is_some()),
        );
        details.push(format!("challenge({})", parts.join(",")));
    }
    if text.status() == Some(200) {
        contact(text, details);
    }
    for name in [
        "Service-Route",
        "P-Associated-URI",
        "Path",
        "Security-Server",
        "Authentication-Info",
    ] {
        if text.header(name).is_some() {
            details.push(name.to_owned());
        }
    }
    if text.header("RSeq").is_some() {
        details.push("100rel".to_owned());
    }
    for name in ["Min-Expires", "Retry-After", "Unsupported", "Warning"] {
        show(text, name, Some, details);
    }
}

fn show<'a>(
    text: SipText<'a>,
    name: &str,
    pick: impl Fn(&'a str) -> Option<&'a str>,
    details: &mut Vec<String>,
) {
    if let Some(value) = text.header(name).and_then(pick) {
        details.push(format!("{name}={value}"));
    }
}

/// How many contacts, and how long each may stay.
fn contact(text: SipText<'_>, details: &mut Vec<String>) {
    for value in text.headers("Contact") {
        if value == "*" {
            details.push("Contact=*".to_owned());
            continue;
        }
        for one in value.split(",<").flat_map(|part| part.split(", <")) {
            details.push(param_of(one, "expires").map_or_else(
                || "Contact".to_owned(),
                |expires| format!("Contact;expires={expires}"),
            ));
        }
    }
}

fn authorization(value: &str) -> String {
    let answer = match (
        param_of(value, "auts"),
        param_of(value, "nonce"),
        param_of(value, "response"),
    ) {
        (Some(_), _, _) => "auts",
        (None, None | Some(""), _) => "no-nonce",
        (None, _, None | Some("")) => "no-response",
        (None, ..) => "response",
    };
    param_of(value, "integrity-protected").map_or_else(
        || format!("auth({answer})"),
        |protected| format!("auth({answer},integrity-protected={protected})"),
    )
}
