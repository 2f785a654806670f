//! Testkit: what a phone saw, one line each, for whoever watches it. Keys are in no event.

use ims_common::ipsec::SaState;

use super::message::{Received, Rp, SMS};
use super::sas::SaView;
use super::talk::{CallEvent, Cause};
use super::{Granted, UeEvent};
use crate::card::session::AkaFailure;

/// The line of an event; `None` for what says nothing to a person.
#[must_use]
pub fn line(event: &UeEvent) -> Option<String> {
    Some(match event {
        UeEvent::Challenged { algorithm } => format!("challenged: {algorithm}"),
        UeEvent::NetworkAuthentic => "AUTHENTICATE: the network is authentic, RES goes back".to_owned(),
        UeEvent::MacFailure => "AUTHENTICATE: MAC failure, the network does not know K".to_owned(),
        UeEvent::SyncFailure => "AUTHENTICATE: SQN is out of range, AUTS goes back".to_owned(),
        UeEvent::CardFailed(error) => format!("AUTHENTICATE: {}", AkaFailure::Card(error.clone())),
        UeEvent::Registered(granted) => registered(granted),
        UeEvent::Deregistered => "de-registered".to_owned(),
        UeEvent::Bindings(contacts) => format!("bindings: {}", contacts.join(", ")),
        UeEvent::Rejected {
            status, retry_after, ..
        } => match retry_after {
            Some(seconds) => format!("refused: {status}, to be tried again after {seconds} s"),
            None => format!("refused: {status}"),
        },
        UeEvent::NoAnswer => "no answer".to_owned(),
        UeEvent::GaveUp => "given up".to_owned(),
        UeEvent::Answered(status) => format!("answered: {status}"),
        UeEvent::Call { call, what } => format!("call {call}: {}", of_call(what)),
        UeEvent::MessageReceived(received) => text(received),
        UeEvent::Subscribed(seconds) => format!("subscribed to the registration state for {seconds} s"),
        UeEvent::Notified(info) => {
            let all = info.registrations.iter();
            let all: Vec<_> = all.map(|one| format!("{} {}", one.aor, one.state)).collect();
            format!("registration state: {}", all.join(", "))
        }
        UeEvent::Misled(whereto) => {
            format!("the route set of a dialog leads to {whereto}, not to the P-CSCF")
        }
        UeEvent::SaInstalled(view) => installed(view),
        UeEvent::SaFailed(why) => format!("no security associations: {why}"),
        // What it is shows in what comes of it.
        UeEvent::Request(_) => return None,
    })
}

fn registered(granted: &Granted) -> String {
    let or_none = |values: &[String]| match values {
        [] => "none".to_owned(),
        values => values.join(", "),
    };
    format!(
        "registered for {} s; identities: {}; service route: {}",
        granted.expires,
        or_none(&granted.associated),
        or_none(&granted.service_route)
    )
}

/// The four states in the order of TS 33.203 7.1: client to server first, from the phone and from the P-CSCF.
fn installed(view: &SaView) -> String {
    let state = |state: &SaState| format!("{} > {} SPI {}", state.source, state.destination, state.spi);
    format!(
        "security associations: {}/{}: {}",
        view.suite.integrity.token(),
        view.suite.encryption.token(),
        view.states.each_ref().map(state).join(", ")
    )
}

fn of_call(what: &CallEvent) -> String {
    match what {
        CallEvent::Incoming { from, called } => format!("{from} calls {called}"),
        CallEvent::Progress(status) => format!("progress: {status}"),
        CallEvent::Ringing => "ringing".to_owned(),
        CallEvent::Begun => "begun".to_owned(),
        CallEvent::Changed(direction) => format!("changed by the other: {direction:?}"),
        CallEvent::ChangeAnswered(status) => format!("the change was answered: {status}"),
        CallEvent::Info => "INFO came".to_owned(),
        CallEvent::Ended(cause) => ended(cause),
    }
}

fn ended(cause: &Cause) -> String {
    match cause {
        Cause::Refused(status) => format!("refused: {status}"),
        Cause::NoAnswer => "over: no answer".to_owned(),
        Cause::Cancelled => "over: the caller gave up".to_owned(),
        Cause::HungUp => "over: hung up".to_owned(),
        Cause::PeerHungUp(None) => "over: the other hung up".to_owned(),
        Cause::PeerHungUp(Some(reason)) => format!("over: the other hung up ({reason})"),
        Cause::Expired => "over: it was not refreshed, or not acknowledged".to_owned(),
        Cause::NotChosen => "over: another phone answered".to_owned(),
    }
}

fn text(received: &Received) -> String {
    let from = &received.from;
    if let Some(text) = received.sms_text() {
        return format!("short message from {from}: {text:?}");
    }
    match (received.rp(), std::str::from_utf8(&received.body)) {
        (Some(Rp::Data(_)), _) => format!("short message from {from}, in a coding that is not read here"),
        (Some(Rp::Ack(_)), _) => format!("the service centre {from} has taken the short message"),
        (Some(Rp::Error(_)), _) => format!("the service centre {from} refuses the short message"),
        (None, Ok(text)) if !received.content_type.eq_ignore_ascii_case(SMS) => {
            // Whatever it says stays in its line.
            format!("text from {from}: {text:?}")
        }
        _ => format!(
            "message from {from}: {} octets of {}",
            received.body.len(),
            received.content_type
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ims_common::ipsec::{Encryption, Integrity, SaSetId};

    use super::*;
    use crate::card::channel::{CardError, ReaderError};
    use crate::ue::security::suite;

    fn said(event: &UeEvent) -> String {
        line(event).unwrap()
    }

    #[test]
    fn a_registration_says_how_long_as_whom_and_by_which_way() {
        let granted = Granted {
            expires: 600_000,
            associated: vec!["<sip:a@h.example>".to_owned(), "<tel:+15550001>".to_owned()],
            service_route: vec!["<sip:scscf1.h.example;lr>".to_owned()],
            ..Granted::default()
        };
        assert_eq!(
            said(&UeEvent::Registered(granted)),
            "registered for 600000 s; identities: <sip:a@h.example>, <tel:+15550001>; \
             service route: <sip:scscf1.h.example;lr>"
        );
    }

    #[test]
    fn a_set_says_its_algorithms_ends_and_spis() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let state = |spi, source, destination| SaState {
            spi,
            source: address(source),
            destination: address(destination),
        };
        let (ue, pcscf) = ("192.0.2.9:5062", "192.0.2.1:6101");
        let view = SaView {
            id: SaSetId(1),
            suite: suite(Integrity::HmacSha1_96, Encryption::AesCbc),
            states: [
                state(7, ue, pcscf),
                state(8, pcscf, ue),
                state(9, pcscf, ue),
                state(10, ue, pcscf),
            ],
        };
        let said = said(&UeEvent::SaInstalled(view));
        assert!(
            said.starts_with(
                "security associations: hmac-sha-1-96/aes-cbc: 192.0.2.9:5062 > 192.0.2.1:6101 SPI 7,"
            ),
            "{said}"
        );
        assert_eq!(said.matches(" SPI ").count(), 4);
    }

    #[test]
    fn a_text_stays_in_its_line_and_a_card_that_is_gone_is_told_in_words() {
        let received = Received {
            from: "tel:+15550002".to_owned(),
            content_type: "text/plain".to_owned(),
            body: b"one\ntwo\x1b[2J".to_vec(),
            ..Received::default()
        };
        assert_eq!(
            said(&UeEvent::MessageReceived(received)),
            "text from tel:+15550002: \"one\\ntwo\\u{1b}[2J\""
        );
        let gone = CardError::Reader(ReaderError::Removed);
        let said = said(&UeEvent::CardFailed(gone.clone()));
        assert!(said.contains(&gone.to_string()), "{said}");
    }
}
