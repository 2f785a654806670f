//! Table: requests of the HSS that wait for the CSCF's answer (RTR and PPR; TS 29.228 6.1.3, 6.2).

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use ims_common::diameter::grammar::{avp, result_code};
use ims_common::diameter::{LocalPeer, Message, Refusal};
use ims_common::net::ConnectionId;
use ims_common::node::TimerTable;

use crate::cx::{CxInput, CxPush, CxPushAnswer, CxPushId};

/// Pushes that wait, by number.
#[derive(Debug)]
pub(crate) struct Pushes {
    waiting: BTreeMap<CxPushId, Waiting>,
    timers: TimerTable<CxPushId>,
    last: u64,
    waiting_max: usize,
}

#[derive(Debug)]
struct Waiting {
    connection: ConnectionId,
    request: Message,
}

impl Pushes {
    /// An empty table for at most so many.
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            timers: TimerTable::default(),
            last: 0,
            waiting_max,
        }
    }

    /// Takes a request in; `Err` is the answer that refuses it.
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
    ) -> Result<CxInput, Bytes> {
        let push = self.check(local, &request).map_err(|refusal| {
            tracing::warn!(
                code = request.header().code,
                result_code = refusal.code,
                "Cx push refused"
            );
            local.refuse(request.header(), request.text(&avp::SESSION_ID), &refusal)
        })?;
        let origin_host = request.text(&avp::ORIGIN_HOST).map_or(origin_host, str::to_owned);
        self.last += 1;
        let id = CxPushId(self.last);
        self.timers.set(id, expires_at);
        self.waiting.insert(id, Waiting { connection, request });
        Ok(CxInput::Push {
            id,
            push,
            origin_host,
        })
    }

    /// The printed answer, and where to send it; `None` when it comes too late.
    pub(crate) fn answer(
        &mut self,
        local: &LocalPeer,
        id: CxPushId,
        answer: &CxPushAnswer,
    ) -> Option<(ConnectionId, Bytes)> {
        let Waiting { connection, request } = self.waiting.remove(&id)?;
        self.timers.cancel(&id);
        Some((connection, answer.encode(local, &request)))
    }

    /// Forgets what waited too long: the HSS has given up.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_expired(now) {
            self.waiting.remove(&id);
        }
    }

    /// When `handle_timeout` wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
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
