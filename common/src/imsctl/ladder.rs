//! Engine: the timeline of several nodes as one ladder: a message that two nodes saw stands there once.
//!
//! ```text
//!      0.000 UE     > P-CSCF REGISTER              CSeq=1 Expires=600000 auth(no response)
//!      0.010 I-CSCF > HSS    UAR                   sip:alice@home.example
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::paper::{chars, clean, cut};
use crate::net::{Interface, Transport};
use crate::sip::StatusCode;
use crate::why::entry::{DiameterStep, SipStep, Way};
use crate::why::{Entry, Fact, NoteKind, What};

/// How far apart the clocks of two nodes may be, in microseconds.
const CLOCKS_APART: u64 = 1_000_000;
/// The column of what is sent.
const WHAT_WIDTH: usize = 21;
/// The longest value.
const VALUE_WIDTH: usize = 100;

/// One line of a ladder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rung {
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) step: Step,
    /// Who saw it, and when each did.
    pub(super) seen: Vec<(Cow<'static, str>, u64)>,
    pub(super) details: String,
    /// Whether it is bad news.
    pub(super) is_trouble: bool,
}

/// What a line shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// From one to another.
    Message { from: End, to: End, what: String },
    /// Something at one place.
    Remark { at: End, words: String },
}

/// One end of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum End {
    Ue,
    Hss,
    Node(Cow<'static, str>),
    /// Neither a UE nor a node that was asked.
    Other(SocketAddr),
}

impl End {
    fn name(&self) -> String {
        match self {
            Self::Ue => "UE".to_owned(),
            Self::Hss => "HSS".to_owned(),
            Self::Node(node) => node_name(node),
            Self::Other(address) => address.ip().to_string(),
        }
    }
}

/// A node as it is called in a ladder.
pub(super) fn node_name(node: &str) -> String {
    for (short, long) in [("pcscf", "P-CSCF"), ("icscf", "I-CSCF"), ("scscf", "S-CSCF")] {
        if let Some(rest) = node.strip_prefix(short) {
            return format!("{long}{rest}");
        }
    }
    clean(node)
}

/// Where nodes speak SIP.
pub(super) type Places = BTreeMap<SocketAddr, Cow<'static, str>>;

/// Entries of several nodes, in the order of time, as a ladder; `asked` are the nodes that have told all they know.
pub(super) fn rungs(entries: &[Entry], places: &Places, asked: &BTreeSet<Cow<'static, str>>) -> Vec<Rung> {
    let mut rungs: Vec<Rung> = Vec::with_capacity(entries.len());
    let mut is_used = vec![false; entries.len()];
    for (place, entry) in entries.iter().enumerate() {
        if is_used.get(place).copied().unwrap_or(true) {
            continue;
        }
        let mut rung = rung(entry, places);
        if let Some(other) = other_end(place, entries, &is_used, places) {
            if let (Some(flag), Some(theirs)) = (is_used.get_mut(other), entries.get(other)) {
                *flag = true;
                rung.seen.push((theirs.node.clone(), theirs.at));
                rung.step = between(entry, theirs, rung.step);
            }
        } else if is_lost(entry, places, asked) {
            rung.details.push_str(" (not seen there)");
            rung.is_trouble = true;
        }
        rungs.push(rung);
    }
    rungs
}

/// Two nodes saw it: then its ends are known, whatever addresses say.
fn between(one: &Entry, other: &Entry, step: Step) -> Step {
    let (said, heard) = match one.is_heard() {
        true => (other, one),
        false => (one, other),
    };
    match step {
        Step::Message { what, .. } => Step::Message {
            from: End::Node(said.node.clone()),
            to: End::Node(heard.node.clone()),
            what,
        },
        Step::Remark { .. } => step,
    }
}

/// The place of the entry that the other end made of the same message.
fn other_end(place: usize, entries: &[Entry], is_used: &[bool], places: &Places) -> Option<usize> {
    let entry = entries.get(place)?;
    let sip = entry.sip()?;
    let rest = entries.iter().enumerate().skip(place + 1);
    let near = rest.take_while(|(_, other)| other.at <= entry.at + CLOCKS_APART);
    let found = near.filter(|(at, _)| !is_used.get(*at).copied().unwrap_or(true));
    let mut found = found.filter(|(_, other)| {
        let Some(theirs) = other.sip() else { return false };
        let is_same = theirs.method == sip.method && theirs.status == sip.status && theirs.cseq == sip.cseq;
        let crosses = theirs.way != sip.way && entry.call_id == other.call_id && entry.node != other.node;
        is_same && crosses && may_be(sip, &other.node, places) && may_be(theirs, &entry.node, places)
    });
    found.next().map(|(at, _)| at)
}

/// Whether the other end of a message may be this node. Of streams that a node has opened, only the address tells.
fn may_be(sip: &SipStep, node: &str, places: &Places) -> bool {
    match places.get(&sip.peer) {
        Some(named) => named == node,
        None => places
            .iter()
            .any(|(at, name)| at.ip() == sip.peer.ip() && name == node),
    }
}

/// Whether a node that was asked should have seen it, and has not.
fn is_lost(entry: &Entry, places: &Places, asked: &BTreeSet<Cow<'static, str>>) -> bool {
    let Some(sip) = entry.sip().filter(|sip| sip.way == Way::Said) else {
        return false;
    };
    let to = places.get(&sip.peer).filter(|node| **node != entry.node);
    to.is_some_and(|node| asked.contains(node))
}

/// One entry as a line of its own.
pub(super) fn rung(entry: &Entry, places: &Places) -> Rung {
    let own = End::Node(entry.node.clone());
    let (step, is_trouble) = match &entry.what {
        What::Sip(sip) => {
            let step = message(sip.way, own, peer(sip, places), sip_label(sip, entry));
            (
                step,
                sip.status.is_some_and(|status| status >= 400 && status != 401),
            )
        }
        What::Diameter(diameter) => {
            let step = message(diameter.way, own, End::Hss, diameter_label(diameter));
            (step, diameter.result.is_some_and(|result| result / 1_000 != 2))
        }
        What::Connection(connection) => match connection.is_up {
            true => (remark(own, "Diameter connection is up"), false),
            false => (remark(own, "Diameter connection is down"), true),
        },
        What::Kernel(kernel) => {
            let words = format!("the kernel counts {} more {}", kernel.grown, kernel.counter);
            (remark(own, &words), true)
        }
        What::Note(note) => (remark(own, &note_words(note.kind)), note.kind.is_trouble()),
    };
    Rung {
        at: entry.at,
        step,
        seen: vec![(entry.node.clone(), entry.at)],
        details: details(entry),
        is_trouble,
    }
}

fn message(way: Way, own: End, other: End, what: String) -> Step {
    let (from, to) = match way {
        Way::Heard => (other, own),
        Way::Said => (own, other),
    };
    Step::Message { from, to, what }
}

fn remark(at: End, words: &str) -> Step {
    Step::Remark {
        at,
        words: words.to_owned(),
    }
}

fn peer(sip: &SipStep, places: &Places) -> End {
    match sip.side {
        Interface::Gm | Interface::GmProtected => End::Ue,
        Interface::Mw => match places.get(&sip.peer) {
            Some(node) => End::Node(node.clone()),
            None => alone_at(sip.peer, places),
        },
    }
}

/// The one node at this address, whatever the port.
fn alone_at(peer: SocketAddr, places: &Places) -> End {
    let here = places.iter().filter(|(at, _)| at.ip() == peer.ip());
    let names: BTreeSet<&Cow<'static, str>> = here.map(|(_, node)| node).collect();
    match names.iter().next() {
        Some(node) if names.len() == 1 => End::Node((*node).clone()),
        _ => End::Other(peer),
    }
}

fn sip_label(sip: &SipStep, entry: &Entry) -> String {
    let Some(status) = sip.status else {
        return clean(&sip.method);
    };
    let phrase = entry.get(Fact::Phrase);
    let phrase = phrase.or_else(|| Some(StatusCode::new(status)?.default_reason()));
    format!("{status} {}", clean(phrase.unwrap_or_default()))
}

fn diameter_label(diameter: &DiameterStep) -> String {
    match diameter.result {
        Some(result) => format!("{} {result}", diameter.command),
        None => diameter.command.to_string(),
    }
}

/// What a line says of a message, in this order.
const SHOWN: [(Fact, &str); 34] = [
    (Fact::RequestUri, ""),
    (Fact::ContactHost, "Contact="),
    (Fact::Expires, "Expires="),
    (Fact::Algorithm, "challenge="),
    (Fact::Auts, "auth(auts)"),
    (Fact::Response, "auth(response)"),
    (Fact::SecurityClient, "Security-Client="),
    (Fact::SecurityServer, "Security-Server="),
    (Fact::SecurityVerify, "Security-Verify"),
    (Fact::Event, "Event="),
    (Fact::SubscriptionState, "state="),
    (Fact::ContentType, ""),
    (Fact::RetryAfter, "Retry-After="),
    (Fact::Reason, "Reason="),
    (Fact::Warning, "Warning="),
    (Fact::Impu, ""),
    (Fact::Impi, "user="),
    (Fact::ServerName, "server="),
    (Fact::Scheme, "scheme="),
    (Fact::AssignmentType, "assignment="),
    (Fact::Vectors, "vectors="),
    (Fact::ErrorMessage, "error="),
    (Fact::AppServer, ""),
    (Fact::DefaultHandling, "default="),
    (Fact::Dialled, "dialled="),
    (Fact::LookedUp, "looked-up="),
    (Fact::Expected, "expected="),
    (Fact::Count, "count="),
    (Fact::Seconds, "seconds="),
    (Fact::Limit, "limit="),
    (Fact::Address, ""),
    (Fact::OtherAddress, "other="),
    (Fact::Spi, "spi="),
    (Fact::Words, ""),
];

fn details(entry: &Entry) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(sip) = entry.sip() {
        match (sip.side, sip.transport) {
            (Interface::GmProtected, _) => parts.push("ESP".to_owned()),
            (_, Transport::Tcp) => parts.push("TCP".to_owned()),
            (_, Transport::Udp) => {}
        }
        match sip.status {
            Some(_) => parts.push(format!("CSeq={} {}", sip.cseq, clean(&sip.method))),
            None => parts.push(format!("CSeq={}", sip.cseq)),
        }
    }
    for (fact, label) in SHOWN {
        if !shows(entry, fact) {
            continue;
        }
        let Some(value) = entry.get(fact) else { continue };
        let is_flag = matches!(fact, Fact::Auts | Fact::Response | Fact::SecurityVerify);
        parts.push(match is_flag {
            true => label.to_owned(),
            false => format!("{label}{}", cut(&clean(value), VALUE_WIDTH)),
        });
    }
    if let Some(again) = entry.sip().map(|sip| sip.again).filter(|again| *again > 0) {
        parts.push(format!("(sent {} times)", u64::from(again) + 1));
    }
    parts.join(" ")
}

/// Some values say nothing: the Request-URI within a dialog, and what an answer to a challenge repeats.
fn shows(entry: &Entry, fact: Fact) -> bool {
    match fact {
        Fact::RequestUri => !["REGISTER", "ACK", "BYE", "PRACK"]
            .iter()
            .any(|it| entry.is_request(it)),
        Fact::Algorithm => entry.sip().is_some_and(|sip| sip.status.is_some()),
        _ => true,
    }
}

/// The name of the kind as words.
fn note_words(kind: NoteKind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().replace('-', " ")
}

/// How wide the names at the ends are.
pub(super) fn name_width(rungs: &[Rung]) -> usize {
    let widths = rungs.iter().filter_map(|rung| match &rung.step {
        Step::Message { from, to, .. } => Some(chars(&from.name()).max(chars(&to.name()))),
        Step::Remark { .. } => None,
    });
    widths.max().unwrap_or(0).max(6)
}

/// A line, with the time since `began` and names that are so wide.
pub(super) fn line(rung: &Rung, began: u64, names: usize) -> String {
    let since = rung.at.saturating_sub(began) / 1_000;
    let time = format!("{:>6}.{:03}", since / 1_000, since % 1_000);
    let text = match &rung.step {
        Step::Message { from, to, what } => {
            let (from, to) = (from.name(), to.name());
            format!(
                "{time} {from:<names$} > {to:<names$} {what:<WHAT_WIDTH$} {}",
                rung.details
            )
        }
        Step::Remark { at, words } => {
            let colon = if rung.details.is_empty() { "" } else { ":" };
            format!("{time} -- {}: {words}{colon} {}", at.name(), rung.details)
        }
    };
    text.trim_end().to_owned()
}

#[cfg(test)]
pub(super) mod tests;
