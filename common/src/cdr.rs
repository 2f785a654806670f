//! Codec: charging data records: what an S-CSCF says of a session or message for whoever charges it.
//!
//! Read first: TS 32.260 5.2 and 6.1 (who writes what, and when), TS 32.298 5.1.3 (fields of the S-CSCF CDR), TS 32.299
//! (Rf).
//!
//! There is one record per session or message **and served side**: the S-CSCF of the caller writes one, that of the
//! callee another one, and a callee who diverts a call has two, as the one who was called and as the one who calls on.
//! They have one ICID. A record is made of one to many [`CdrEvent`]s of one `id`:
//!
//! | [`CdrKind`] | when | Accounting-Record-Type of Rf (TS 32.299 7.2) |
//! | --- | --- | --- |
//! | `Start` | a session is answered | START_RECORD (2) |
//! | `Interim` | its media change | INTERIM_RECORD (3) |
//! | `Stop` | it ends; holds all that is known | STOP_RECORD (4) |
//! | `Event` | a message is answered, or a session is not answered; holds all that is known | EVENT_RECORD (1) |
//!
//! Each leaves the node before the SIP message that it belongs to: before the 200 of an answered INVITE, before the BYE
//! goes on. A value per event and nothing of files in it: whoever wants Rf maps [`CdrEvent`] to an ACR and sends that from
//! where the writer of the shell stands, one ACR each; `id` becomes the Session-Id, [`Cause`] the Cause-Code
//! ([`Cause::rf_cause_code`]), the rest the fields of IMS-Information of the same names (the manual's chapter on CDRs has
//! the table).
//!
//! The events hold instants of the node's clock. [`CdrEvent::line`] makes a [`CdrLine`] with wall time of it, which is a
//! line of a file; [`Book`] follows such lines and says which records are open, and how they are closed when the node
//! died meanwhile.

mod book;
mod utc;

use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use book::Book;
pub use utc::{UtcMillis, WallClock};

/// Octets of one text in a record; what is longer is cut.
const TEXT_MAX: usize = 512;
/// Entries of one list in a record; further ones are left out.
const LIST_MAX: usize = 16;

/// Which part of a record an event is. TS 32.299 7.2, Accounting-Record-Type.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CdrKind {
    /// The session is answered: the record is open.
    Start,
    /// Something of an open record has changed.
    Interim,
    /// The session has ended: the record is whole.
    Stop,
    /// A whole record of something that has no duration.
    Event,
}

impl CdrKind {
    /// A label for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interim => "interim",
            Self::Stop => "stop",
            Self::Event => "event",
        }
    }
}

/// What is charged.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CdrService {
    /// An INVITE and what comes of it.
    Session,
    /// A MESSAGE; also an SMS over IP (TS 24.341).
    Message,
}

/// Role of the served user. TS 32.298 5.1.3.1 (Role of Node), TS 24.229 5.4.3.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CdrCase {
    /// The served user calls.
    Originating,
    /// An application server calls for a user who is not registered.
    OriginatingUnregistered,
    /// The served user was called and diverts the call.
    OriginatingDiverted,
    /// The served user is called.
    Terminating,
    /// A user who is not registered is called.
    TerminatingUnregistered,
}

/// A side of a session, or who is between them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CdrParty {
    /// Who calls.
    Calling,
    /// Who is called.
    Called,
    /// This network.
    Network,
}

/// How a session or message came to its end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CdrEnding {
    /// An answered session was ended by a BYE.
    Released,
    /// The caller gave up before there was an answer.
    Cancelled,
    /// There was a final answer other than 2xx.
    Refused,
    /// The message was taken.
    Delivered,
    /// Nobody has ended the session, and nothing was heard of it for too long (RFC 4028 10).
    Expired,
    /// The node was started again while the session lasted; when it really ended is not known.
    NodeRestarted,
}

/// Why a session or message came to its end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// How.
    pub ending: CdrEnding,
    /// Who wanted it.
    pub by: CdrParty,
    /// Status of the final response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The Reason header (RFC 3326) of BYE or final response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cause {
    /// Cause-Code of Rf. TS 32.299 7.2.35: 0 for the normal end of a session, -1 for 2xx of what has no session, status
    /// codes as they are, 1 for all else.
    #[must_use]
    pub fn rf_cause_code(&self) -> i32 {
        match (self.ending, self.status) {
            (CdrEnding::Released, _) => 0,
            (CdrEnding::Delivered, _) => -1,
            (CdrEnding::Refused | CdrEnding::Cancelled, Some(status)) => i32::from(status),
            _ => 1,
        }
    }
}

/// An application server that was in the way of a session.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CdrAppServer {
    /// Its SIP URI.
    pub uri: String,
    /// It did not do its part, and the default handling decided.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// All that is said of one session or message but its times.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// One for all events of a record, and no other record has it.
    pub id: String,
    /// What is charged.
    pub service: CdrService,
    /// SIP URI of the node that says so (TS 32.298: Node Address).
    pub node: String,
    /// Role of the served user.
    pub case: CdrCase,
    /// Public identity of the served user.
    pub served: String,
    /// Who calls, as the network asserts it (P-Asserted-Identity of the request).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calling: Vec<String>,
    /// Who has answered, as the network asserts it (P-Asserted-Identity of the response).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub called: Vec<String>,
    /// The Request-URI as it came: what was dialled (TS 32.298: Requested Party Address).
    pub dialled: String,
    /// The Request-URI with which it went on, where that is another one (TS 32.298: Called Party Address).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// IMS charging identifier (RFC 7315 4.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icid: Option<String>,
    /// Network of the side that it came from, with the type before it where it came so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orig_ioi: Option<String>,
    /// Network of the side that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_ioi: Option<String>,
    /// Call-ID of the served side; behind it, those of legs that application servers made of it.
    pub call_ids: Vec<String>,
    /// P-Access-Network-Info of request and answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<String>,
    /// Application servers that it went to, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_servers: Vec<CdrAppServer>,
    /// The next hop by which it left this network, or went to a gateway of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Types of media: those of the answer, before that those that were offered; later offers add theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// Content-Type of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Octets of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_octets: Option<usize>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl Record {
    /// Text for a record: at most so long, and something that can be printed.
    #[must_use]
    pub fn text(octets: &[u8]) -> String {
        let cut = octets.get(..TEXT_MAX).unwrap_or(octets);
        let text = String::from_utf8_lossy(cut);
        text.chars().filter(|c| !c.is_control()).collect()
    }

    /// Adds something to a list of a record, unless it is there or the list is full.
    pub fn add(list: &mut Vec<String>, octets: &[u8]) {
        let text = Self::text(octets);
        if list.len() < LIST_MAX && !text.is_empty() && !list.contains(&text) {
            list.push(text);
        }
    }

    /// Adds an application server, the next one in the way.
    pub fn add_app_server(&mut self, uri: &[u8]) {
        if self.app_servers.len() < LIST_MAX {
            self.app_servers.push(CdrAppServer {
                uri: Self::text(uri),
                failed: false,
            });
        }
    }
}

/// When what happened; in a node by its clock, in a file by the wall's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Times<T> {
    /// The request came.
    pub start: T,
    /// The callee was alerted (180).
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub ring: Option<T>,
    /// A 2xx came.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub answer: Option<T>,
    /// It was over.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub end: Option<T>,
}

const fn none<T>() -> Option<T> {
    None
}

impl<T: Copy> Times<T> {
    /// Something that has just begun.
    pub const fn begun(start: T) -> Self {
        Self {
            start,
            ring: None,
            answer: None,
            end: None,
        }
    }

    fn map<U>(&self, f: impl Fn(T) -> U) -> Times<U> {
        Times {
            start: f(self.start),
            ring: self.ring.map(&f),
            answer: self.answer.map(&f),
            end: self.end.map(&f),
        }
    }
}

/// What a node says when something of a record has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct CdrEvent {
    /// Which part of a record this is.
    pub kind: CdrKind,
    /// By the node's clock.
    pub times: Times<Instant>,
    /// All else that is known so far.
    pub record: Record,
}

impl CdrEvent {
    /// The line of a file that says this.
    #[must_use]
    pub fn line(&self, clock: WallClock) -> CdrLine {
        let between = |from: Instant, to: Instant| {
            let span = to.saturating_duration_since(from).as_millis();
            u64::try_from(span).unwrap_or(u64::MAX)
        };
        let Times { answer, end, .. } = self.times;
        CdrLine {
            kind: self.kind,
            times: self.times.map(|at| clock.at(at)),
            // By the node's clock, which nobody sets.
            duration_ms: answer.zip(end).map(|(answer, end)| between(answer, end)),
            record: self.record.clone(),
        }
    }
}

/// One line of a file of records: a [`CdrEvent`] with wall time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CdrLine {
    /// Which part of a record this is.
    pub kind: CdrKind,
    /// In UTC.
    #[serde(flatten)]
    pub times: Times<UtcMillis>,
    /// From answer to end, not disturbed by whoever set the clock meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// All else.
    #[serde(flatten)]
    pub record: Record,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_record_is_short_and_printable() {
        let long = vec![b'x'; 10 * TEXT_MAX];
        assert_eq!(Record::text(&long).len(), TEXT_MAX);
        assert_eq!(Record::text(b"a\r\nb\0c"), "abc");
    }

    #[test]
    fn cause_codes_are_those_of_rf() {
        let cause = |ending, status| Cause {
            ending,
            by: CdrParty::Called,
            status,
            reason: None,
        };
        assert_eq!(cause(CdrEnding::Released, None).rf_cause_code(), 0);
        assert_eq!(cause(CdrEnding::Delivered, Some(200)).rf_cause_code(), -1);
        assert_eq!(cause(CdrEnding::Refused, Some(486)).rf_cause_code(), 486);
        assert_eq!(cause(CdrEnding::NodeRestarted, None).rf_cause_code(), 1);
    }
}
