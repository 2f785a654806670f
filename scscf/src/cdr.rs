//! Table: charging data records of sessions and messages in progress (TS 32.260 5.2.2.1: the S-CSCF's part).
//!
//! A record belongs to one served side: it begins with the first pass of a request through the services of a user, and
//! its final answer is the one that goes back on that pass, whatever application servers do behind it. It ends with the
//! BYE of the dialog of that pass. A user who diverts a call begins another one.
//!
//! Nothing is kept, and nothing is said, where records are not asked for.

mod reading;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use hss_client::user_data::SessionCase;
use ims_common::cdr::{Cause, CdrCase, CdrEnding, CdrEvent, CdrKind, CdrParty, CdrService, Record, Times};
use ims_common::node::{TimerTable, give_back};
use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{HeaderName, Message, Method, Request, Response, StatusCode};
use smallvec::SmallVec;

use self::reading::{DialogName, media_of, note_vector, reason_of, session_expires};

/// How long a session lasts of which nothing is heard, where it has no timer of its own (as in the table of dialogs).
const IDLE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Nothing is set up for so long: timer C, and several application servers that take their time.
const SETUP_MAX: Duration = Duration::from_secs(1_800);

/// A record, by its number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct RecordKey(u64);

/// Who is served in a record.
pub(crate) struct Served<'a> {
    pub(crate) impu: &'a str,
    pub(crate) case: SessionCase,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Records {
    node: String,
    /// Before the number of each record, so that no other node and no other life of this one has the same.
    prefix: String,
    max: usize,
    last: u64,
    open: BTreeMap<RecordKey, Open>,
    by_transaction: BTreeMap<ServerTransactionId, Keys>,
    by_dialog: HashMap<u64, Keys>,
    hasher: RandomState,
    timers: TimerTable<RecordKey>,
    events: VecDeque<Box<CdrEvent>>,
    left_out: u64,
}

type Keys = SmallVec<[RecordKey; 1]>;

#[derive(Debug)]
struct Open {
    record: Record,
    times: Times<Instant>,
    caller_tag: Box<[u8]>,
    heard: Instant,
    lasts: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The one who called wants it no more, or somebody else does not.
    Setup { ended_by: Option<CdrParty> },
    /// In these dialogs, by their hashes.
    Answered { dialogs: SmallVec<[u64; 1]> },
}

impl Records {
    /// `prefix`: unique to this life of this node; `None`: there are to be no records.
    pub(crate) fn new(node: String, prefix: Option<String>, max: usize) -> Self {
        Self {
            node,
            max: if prefix.is_some() { max.max(1) } else { 0 },
            prefix: prefix.unwrap_or_default(),
            last: 0,
            open: BTreeMap::new(),
            by_transaction: BTreeMap::new(),
            by_dialog: HashMap::new(),
            hasher: RandomState::new(),
            timers: TimerTable::default(),
            events: VecDeque::new(),
            left_out: 0,
        }
    }

    /// Whether there are to be records.
    pub(crate) const fn is_on(&self) -> bool {
        self.max > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Sessions and messages that had no place in the table.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Box<CdrEvent>> {
        self.events.pop_front()
    }

    /// A request gets the services of a user: TS 32.260 5.2.2.1.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        served: &Served<'_>,
    ) -> Option<RecordKey> {
        let service = match request.method() {
            Method::Invite => CdrService::Session,
            Method::Message => CdrService::Message,
            _ => return None,
        };
        if self.open.len() >= self.max {
            self.left_out += u64::from(self.is_on());
            return None;
        }
        self.last += 1;
        let key = RecordKey(self.last);
        let record = Record {
            served: Record::text(served.impu.as_bytes()),
            case: case_of(served.case),
            ..reading::record_of(
                format!("{}{:x}", self.prefix, self.last),
                &self.node,
                service,
                request,
            )
        };
        let caller_tag = request.from().ok().and_then(|from| from.tag().map(Into::into));
        self.open.insert(
            key,
            Open {
                record,
                times: Times::begun(now),
                caller_tag: caller_tag.unwrap_or_default(),
                heard: now,
                lasts: IDLE_MAX,
                state: State::Setup { ended_by: None },
            },
        );
        self.by_transaction.entry(transaction).or_default().push(key);
        self.timers.set(key, now + SETUP_MAX);
        Some(key)
    }

    /// It has turned out who is served.
    pub(crate) fn serve(&mut self, key: Option<RecordKey>, served: &Served<'_>) {
        if let Some(open) = self.get(key) {
            open.record.served = Record::text(served.impu.as_bytes());
            open.record.case = case_of(served.case);
        }
    }

    /// The request goes to an application server.
    pub(crate) fn visit(&mut self, key: Option<RecordKey>, received: &Request, server: &[u8]) {
        if let Some(open) = self.get(key) {
            open.record.add_app_server(server);
            Record::add(&mut open.record.call_ids, received.call_id().unwrap_or_default());
        }
    }

    /// The application server that it went to last has failed.
    pub(crate) fn server_failed(&mut self, key: Option<RecordKey>) {
        let server = self.get(key).and_then(|open| open.record.app_servers.last_mut());
        if let Some(server) = server {
            server.failed = true;
        }
    }

    /// The request goes on to its target; over a trunk where one is named.
    pub(crate) fn leave(
        &mut self,
        key: Option<RecordKey>,
        received: &Request,
        sent: &Request,
        trunk: Option<&[u8]>,
    ) {
        let Some(open) = self.get(key) else { return };
        let record = &mut open.record;
        Record::add(&mut record.call_ids, received.call_id().unwrap_or_default());
        // With the alias that this server adds.
        for value in sent.values(HeaderName::PAssertedIdentity) {
            Record::add(&mut record.calling, reading::uri_of(value));
        }
        if record.icid.is_none() {
            note_vector(record, sent.header(HeaderName::PChargingVector), false);
        }
        let target = Record::text(sent.request_uri_bytes());
        record.target = Some(target).filter(|target| *target != record.dialled);
        record.trunk = trunk.map(Record::text);
    }

    /// Whoever called has given up.
    pub(crate) fn on_cancel(&mut self, transaction: ServerTransactionId) {
        self.mark_ended(transaction, CdrParty::Calling);
    }

    fn mark_ended(&mut self, transaction: ServerTransactionId, by: CdrParty) {
        for key in self.of(transaction) {
            if let Some(Open {
                state: State::Setup { ended_by },
                ..
            }) = self.open.get_mut(&key)
            {
                ended_by.get_or_insert(by);
            }
        }
    }

    /// A provisional or 2xx response, as it came: the beginning of a session, or the end of a message.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        response: &Response,
    ) {
        let status = response.status();
        for key in self.of(transaction) {
            let Some(open) = self.open.get_mut(&key) else {
                continue;
            };
            open.heard = now;
            if status.is_provisional() {
                open.on_provisional(now, response);
            } else if status.is_success() {
                open.note_answer(response);
                match open.record.service {
                    CdrService::Session => self.answer(now, key, response),
                    CdrService::Message => {
                        let cause = cause(CdrEnding::Delivered, CdrParty::Called, Some(status));
                        self.close(now, key, cause);
                    }
                }
            }
        }
    }

    /// TS 32.260 5.2.2.1: the 2xx to an INVITE opens the record. A further one, of another callee, is of the same record.
    fn answer(&mut self, now: Instant, key: RecordKey, response: &Response) {
        let Some(hash) = DialogName::of(response).map(|name| self.hasher.hash_one(name)) else {
            return;
        };
        let Some(open) = self.open.get_mut(&key) else {
            return;
        };
        open.lasts = session_expires(response).unwrap_or(IDLE_MAX);
        let kind = match &mut open.state {
            State::Answered { dialogs } if dialogs.contains(&hash) => None,
            State::Answered { dialogs } => {
                dialogs.push(hash);
                None
            }
            state @ State::Setup { .. } => {
                *state = State::Answered {
                    dialogs: SmallVec::from_elem(hash, 1),
                };
                open.times.answer = Some(now);
                Some(CdrKind::Start)
            }
        };
        self.timers.set(key, now + open.lasts);
        let event = kind.map(|kind| open.event(kind));
        self.events.extend(event);
        let keys = self.by_dialog.entry(hash).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    /// The final response on the first pass. A 2xx has been seen before.
    pub(crate) fn on_final(&mut self, now: Instant, transaction: ServerTransactionId, response: &Response) {
        let status = response.status();
        if !status.is_success() {
            self.refused(now, transaction, status, reason_of(response));
        } else {
            // What this server has answered itself.
            self.on_response(now, transaction, response);
            self.end_transaction(transaction);
        }
    }

    /// This server refuses the request.
    pub(crate) fn on_reject(&mut self, now: Instant, transaction: ServerTransactionId, status: StatusCode) {
        self.mark_ended(transaction, CdrParty::Network);
        self.refused(now, transaction, status, None);
    }

    fn refused(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        status: StatusCode,
        reason: Option<String>,
    ) {
        for key in self.of(transaction) {
            let Some(Open {
                state: State::Setup { ended_by },
                ..
            }) = self.open.get(&key)
            else {
                continue;
            };
            let by = ended_by.unwrap_or(CdrParty::Called);
            let ending = match by {
                CdrParty::Calling => CdrEnding::Cancelled,
                CdrParty::Called | CdrParty::Network => CdrEnding::Refused,
            };
            let reason = reason.clone();
            self.close(
                now,
                key,
                Cause {
                    reason,
                    ..cause(ending, by, Some(status))
                },
            );
        }
        self.end_transaction(transaction);
    }

    /// No further response will come.
    pub(crate) fn end_transaction(&mut self, transaction: ServerTransactionId) {
        self.by_transaction.remove(&transaction);
    }

    /// A request in a dialog passes. A BYE ends the session whatever is answered to it.
    pub(crate) fn on_request(&mut self, now: Instant, request: &Request) {
        if self.by_dialog.is_empty() {
            return;
        }
        let by = |open: &Open| match request.from().ok().and_then(|from| from.tag()) {
            Some(tag) if *tag == *open.caller_tag => CdrParty::Calling,
            _ => CdrParty::Called,
        };
        match request.method() {
            Method::Bye => self.end_dialog(now, request, by),
            method => {
                let offers = matches!(method, Method::Invite | Method::Update);
                self.refresh(now, request, offers);
            }
        }
    }

    /// This network ends a session with this BYE.
    pub(crate) fn on_network_bye(&mut self, now: Instant, bye: &Request) {
        self.end_dialog(now, bye, |_| CdrParty::Network);
    }

    fn end_dialog(&mut self, now: Instant, bye: &Request, by: impl Fn(&Open) -> CdrParty) {
        let Some(hash) = DialogName::of(bye).map(|name| self.hasher.hash_one(name)) else {
            return;
        };
        for key in self.by_dialog.remove(&hash).unwrap_or_default() {
            let Some(open) = self.open.get_mut(&key) else {
                continue;
            };
            let State::Answered { dialogs } = &mut open.state else {
                continue;
            };
            dialogs.retain(|dialog| *dialog != hash);
            if dialogs.is_empty() {
                let by = by(open);
                let cause = Cause {
                    reason: reason_of(bye),
                    ..cause(CdrEnding::Released, by, None)
                };
                self.close(now, key, cause);
            }
        }
        give_back(&mut self.by_dialog);
    }

    fn refresh(&mut self, now: Instant, request: &Request, offers: bool) {
        let Some(hash) = DialogName::of(request).map(|name| self.hasher.hash_one(name)) else {
            return;
        };
        for key in self.by_dialog.get(&hash).cloned().unwrap_or_default() {
            let Some(open) = self.open.get_mut(&key) else {
                continue;
            };
            open.heard = now;
            if offers {
                // RFC 4028 7.2: without Session-Expires the timer is off. A refused request (422, 491) changes nothing, and
                // whether this one is refused is not known, so it shortens nothing.
                open.lasts = open.lasts.max(session_expires(request).unwrap_or(IDLE_MAX));
            }
            self.timers.set(key, now + open.lasts);
            if offers && open.add_media(request) {
                let event = open.event(CdrKind::Interim);
                self.events.push_back(event);
            }
        }
    }

    /// Closes what nobody has ended.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_expired(now) {
            // The session ended at some time after this one.
            let heard = self.open.get(&key).map_or(now, |open| open.heard);
            self.close(heard, key, cause(CdrEnding::Expired, CdrParty::Network, None));
        }
    }

    fn close(&mut self, end: Instant, key: RecordKey, cause: Cause) {
        let Some(mut open) = self.open.remove(&key) else {
            return;
        };
        self.timers.cancel(&key);
        open.times.end = Some(end);
        open.record.cause = Some(cause);
        let kind = match &open.state {
            State::Setup { .. } => CdrKind::Event,
            State::Answered { dialogs } => {
                for hash in dialogs {
                    if let Some(keys) = self.by_dialog.get_mut(hash) {
                        keys.retain(|other| *other != key);
                        if keys.is_empty() {
                            self.by_dialog.remove(hash);
                        }
                    }
                }
                CdrKind::Stop
            }
        };
        self.events.push_back(open.event(kind));
    }

    fn get(&mut self, key: Option<RecordKey>) -> Option<&mut Open> {
        self.open.get_mut(&key?)
    }

    fn of(&self, transaction: ServerTransactionId) -> Keys {
        self.by_transaction.get(&transaction).cloned().unwrap_or_default()
    }
}

impl Open {
    fn on_provisional(&mut self, now: Instant, response: &Response) {
        if response.status() == StatusCode::RINGING {
            self.times.ring.get_or_insert(now);
        }
        note_vector(
            &mut self.record,
            response.header(HeaderName::PChargingVector),
            true,
        );
    }

    fn note_answer(&mut self, response: &Response) {
        let record = &mut self.record;
        note_vector(record, response.header(HeaderName::PChargingVector), true);
        for value in response.values(HeaderName::PAssertedIdentity) {
            Record::add(&mut record.called, reading::uri_of(value));
        }
        for value in response.values(HeaderName::PAccessNetworkInfo) {
            Record::add(&mut record.access, value);
        }
        let media = media_of(response);
        if !media.is_empty() {
            record.media = media;
        }
    }

    /// Types of media that were not there before.
    fn add_media(&mut self, message: &Message) -> bool {
        let before = self.record.media.len();
        for medium in media_of(message) {
            Record::add(&mut self.record.media, medium.as_bytes());
        }
        self.record.media.len() > before
    }

    fn event(&self, kind: CdrKind) -> Box<CdrEvent> {
        Box::new(CdrEvent {
            kind,
            times: self.times,
            record: self.record.clone(),
        })
    }
}

fn cause(ending: CdrEnding, by: CdrParty, status: Option<StatusCode>) -> Cause {
    Cause {
        ending,
        by,
        status: status.map(StatusCode::as_u16),
        reason: None,
    }
}

const fn case_of(case: SessionCase) -> CdrCase {
    match case {
        SessionCase::OriginatingRegistered => CdrCase::Originating,
        SessionCase::OriginatingUnregistered => CdrCase::OriginatingUnregistered,
        SessionCase::OriginatingCdiv => CdrCase::OriginatingDiverted,
        SessionCase::TerminatingRegistered => CdrCase::Terminating,
        SessionCase::TerminatingUnregistered => CdrCase::TerminatingUnregistered,
    }
}
