//! Table: requests of the HSS that wait for the CSCF's answer (RTR and PPR; TS 29.228 6.1.3, 6.2), and those that were
//! answered not long ago: the HSS may ask again (RFC 6733 3, 5.5.4).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::diameter::grammar::{avp, result_code};
use ims_common::diameter::{LocalPeer, Message, Refusal};
use ims_common::net::ConnectionId;
use ims_common::node::{TimerTable, earliest};

use crate::cx::{CxInput, CxPush, CxPushAnswer, CxPushId, features_unsupported, requires_features};

/// Answers that are kept; the oldest go first.
const ANSWERED_MAX: usize = 4_096;
/// How long an End-to-End Identifier means one request only (RFC 6733 3).
const ANSWERED_FOR: Duration = Duration::from_secs(240);

/// Pushes that wait, by number, and those that were answered, by what tells a repetition.
#[derive(Debug)]
pub(crate) struct Pushes {
    waiting: BTreeMap<CxPushId, Waiting>,
    timers: TimerTable<CxPushId>,
    known: BTreeMap<RequestKey, Known>,
    /// The keys of what was answered, oldest first.
    order: VecDeque<(Instant, RequestKey)>,
    last: u64,
    waiting_max: usize,
    /// Of list 1 (TS 29.229 7.1.1).
    features: u32,
}

#[derive(Debug)]
struct Waiting {
    connection: ConnectionId,
    request: Message,
    key: RequestKey,
}

/// What stays the same when a request is sent again (RFC 6733 3): Origin-Host and End-to-End Identifier.
///
/// The command and the Session-Id, which stay the same too, stand beside them: there may be an HSS that counts its
/// identifiers from the same number at each start.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct RequestKey {
    end_to_end: u32,
    code: u32,
    origin_host: String,
    session_id: String,
}

impl RequestKey {
    fn of(request: &Message) -> Self {
        let text = |def| request.text(def).unwrap_or_default();
        Self {
            end_to_end: request.header().end_to_end,
            code: request.header().code,
            origin_host: text(&avp::ORIGIN_HOST).to_ascii_lowercase(),
            session_id: text(&avp::SESSION_ID).to_owned(),
        }
    }
}

/// What a repetition meets.
#[derive(Debug)]
enum Known {
    Waits(CxPushId),
    Answered(CxPushAnswer),
}

/// What becomes of a request of the HSS.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// The CSCF is asked.
    New(CxInput),
    /// The CSCF is being asked already; the answer goes where the request came from last.
    Waits,
    /// The answer that it had before.
    AnsweredBefore(Bytes),
    /// The answer that refuses it.
    Refused(Bytes),
}

impl Pushes {
    /// An empty table for at most so many, of a client that has these features of list 1.
    pub(crate) fn new(waiting_max: usize, features: u32) -> Self {
        Self {
            waiting: BTreeMap::new(),
            timers: TimerTable::default(),
            known: BTreeMap::new(),
            order: VecDeque::new(),
            last: 0,
            waiting_max,
            features,
        }
    }

    /// Takes a request in.
    ///
    /// Destination-Host is not compared with ours: there is an HSS that writes the SIP name there, and
    /// the request did reach us.
    pub(crate) fn accept(
        &mut self,
        expires_at: Instant,
        local: &LocalPeer,
        connection: ConnectionId,
        request: Message,
        origin_host: String,
    ) -> Accepted {
        let key = RequestKey::of(&request);
        // RFC 6733 3: a duplicate gets the same answer, and changes nothing.
        match self.known.get(&key) {
            Some(Known::Answered(answer)) => return Accepted::AnsweredBefore(answer.encode(local, &request)),
            Some(Known::Waits(id)) => {
                if let Some(waiting) = self.waiting.get_mut(id) {
                    waiting.connection = connection;
                    waiting.request = request;
                }
                return Accepted::Waits;
            }
            None => {}
        }
        let push = match self.check(local, &request) {
            Ok(push) => push,
            Err(refusal) => {
                tracing::warn!(
                    code = request.header().code,
                    result_code = refusal.code,
                    "Cx push refused"
                );
                let session_id = request.text(&avp::SESSION_ID);
                return Accepted::Refused(local.refuse(request.header(), session_id, &refusal));
            }
        };
        if requires_features(&request, self.features) {
            tracing::warn!(code = request.header().code, "Cx push requires features");
            return Accepted::Refused(features_unsupported(local, &request, self.features));
        }
        let origin_host = request.text(&avp::ORIGIN_HOST).map_or(origin_host, str::to_owned);
        self.last += 1;
        let id = CxPushId(self.last);
        self.timers.set(id, expires_at);
        self.known.insert(key.clone(), Known::Waits(id));
        let waiting = Waiting {
            connection,
            request,
            key,
        };
        self.waiting.insert(id, waiting);
        Accepted::New(CxInput::Push {
            id,
            push,
            origin_host,
        })
    }

    /// The printed answer, and where to send it; `None` when it comes too late.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        local: &LocalPeer,
        id: CxPushId,
        answer: CxPushAnswer,
    ) -> Option<(ConnectionId, Bytes)> {
        let Waiting {
            connection,
            request,
            key,
        } = self.waiting.remove(&id)?;
        self.timers.cancel(&id);
        let bytes = answer.encode(local, &request);
        self.remember(now, key, answer);
        Some((connection, bytes))
    }

    fn remember(&mut self, now: Instant, key: RequestKey, answer: CxPushAnswer) {
        if self.order.len() >= ANSWERED_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back((now + ANSWERED_FOR, key.clone()));
        self.known.insert(key, Known::Answered(answer));
    }

    /// How many answers are kept.
    pub(crate) fn answered(&self) -> usize {
        self.order.len()
    }

    /// Forgets what waited too long, for the HSS has given up, and what cannot be asked again any more.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_expired(now) {
            if let Some(late) = self.waiting.remove(&id) {
                self.known.remove(&late.key);
            }
        }
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, key)) = self.order.pop_front() {
                self.known.remove(&key);
            }
        }
    }

    /// When `handle_timeout` wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.timers.next(), self.order.front().map(|(until, _)| *until))
    }

    fn check(&self, local: &LocalPeer, request: &Message) -> Result<CxPush, Refusal> {
        let push = CxPush::decode(request)?;
        // RFC 6733 6.1.3: our own name in the Route-Record is a loop.
        let mut route = request.avps().all(&avp::ROUTE_RECORD);
        if route.any(|hop| {
            hop.text()
                .is_some_and(|host| host.eq_ignore_ascii_case(&local.origin_host))
        }) {
            return Err(Refusal::new(result_code::LOOP_DETECTED));
        }
        if self.waiting.len() >= self.waiting_max {
            return Err(Refusal::new(result_code::TOO_BUSY));
        }
        Ok(push)
    }
}
