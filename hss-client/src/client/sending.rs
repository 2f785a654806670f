//! Machine: how a request of the CSCF finds its peer, waits for its turn, and goes to another one (RFC 6733 5.5.4, 6).

use std::time::Instant;

use bytes::Bytes;
use ims_common::diameter::grammar::avp;
use ims_common::diameter::{Message, Pending};
use ims_common::net::ConnectionId;
use rand::Rng;

use super::line::Rank;
use super::overload::{Route, may_be_left_out};
use super::{ANSWERS, HssClient, REQUESTS, error_label};
use crate::cx::{CxError, CxRequest, CxRequestId, CxResult, RequestHead};

/// A request of the CSCF on its way.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    pub(super) id: CxRequestId,
    /// As printed, to be sent again.
    pub(super) bytes: Bytes,
    /// When the CSCF gets its answer at the latest.
    pub(super) deadline: Instant,
    /// Whether it was sent to another peer already.
    pub(super) is_sent_again: bool,
}

/// How a request is printed for another peer, with another Hop-by-Hop Identifier.
type Reprint = fn(&Message, u32) -> Bytes;

/// A request of the CSCF that waits for its turn on a connection.
#[derive(Debug)]
pub(super) enum Waiting {
    New {
        id: CxRequestId,
        request: CxRequest,
        deadline: Instant,
    },
    Again {
        code: u32,
        context: Outstanding,
        to: ConnectionId,
        reprint: Reprint,
    },
}

impl HssClient {
    pub(super) fn on_request(&mut self, now: Instant, id: CxRequestId, request: CxRequest) {
        self.counters.count(REQUESTS, request.name());
        if self.pending.len() + self.line.len() >= self.config.outstanding_max {
            return self.refuse(id, request.name(), CxError::Overloaded);
        }
        // In line, at the first peer, at the second one.
        let deadline = now + 3 * self.config.request_timeout;
        let Some(connection) = self.choose(request.destination_host(), None) else {
            return self.refuse(id, request.name(), CxError::NoPeer);
        };
        let Some(connection) = self.spare(now, &request, connection) else {
            self.counters.count(REQUESTS, "left_out");
            return self.refuse(id, request.name(), CxError::Overloaded);
        };
        if self.line.is_empty(Rank::New) && self.has_room(connection) {
            return self.send_request(now, id, &request, connection, deadline);
        }
        self.counters.count(REQUESTS, "waited");
        let expires_at = self.expiry(now, deadline);
        let waiting = Waiting::New {
            id,
            request,
            deadline,
        };
        self.line.push(Rank::New, expires_at, waiting);
    }

    /// RFC 7683 5.2.2: the part of the requests that an overloaded HSS does not want goes to another one, or nowhere.
    fn spare(&mut self, now: Instant, request: &CxRequest, to: ConnectionId) -> Option<ConnectionId> {
        if self.overload.len() == 0 {
            return Some(to);
        }
        let wants = |client: &Self, connection| {
            let named = request.destination_host();
            let route = Route {
                host: named.or_else(|| client.peers.host_on(connection)),
                realm: named
                    .is_none()
                    .then_some(client.config.destination_realm.as_str()),
            };
            client.overload.reduction(now, route)
        };
        let reduction = wants(self, to);
        let is_spared =
            reduction > 0 && may_be_left_out(request) && self.rng.random_range(0..100) < reduction;
        if !is_spared {
            return Some(to);
        }
        let other = self.choose(None, Some(to))?;
        (wants(self, other) == 0).then_some(other)
    }

    /// Whether one more request may go out on a connection.
    fn has_room(&self, connection: ConnectionId) -> bool {
        self.pending.len_on(connection) < self.config.in_flight_max
    }

    /// Until when one step may take.
    fn expiry(&self, now: Instant, deadline: Instant) -> Instant {
        deadline.min(now + self.config.request_timeout)
    }

    /// Sends what has its turn; what finds no peer any more fails.
    pub(super) fn send_waiting(&mut self, now: Instant) {
        for rank in [Rank::Again, Rank::New] {
            while let Some((place, next)) = self.line.first(rank) {
                let connection = match next {
                    Waiting::New { request, .. } => self.choose(request.destination_host(), None),
                    Waiting::Again { to, .. } => {
                        let chosen = Some(*to).filter(|to| self.peers.is_usable(*to));
                        chosen.or_else(|| self.choose(None, None))
                    }
                };
                if connection.is_some_and(|connection| !self.has_room(connection)) {
                    break;
                }
                match (self.line.take(place), connection) {
                    (None, _) => return,
                    (Some(waiting), None) => self.give_up(waiting, CxError::NoPeer),
                    (
                        Some(Waiting::New {
                            id,
                            request,
                            deadline,
                        }),
                        Some(connection),
                    ) => self.send_request(now, id, &request, connection, deadline),
                    (
                        Some(Waiting::Again {
                            code,
                            context,
                            reprint,
                            ..
                        }),
                        Some(connection),
                    ) => self.send_printed(now, code, context, connection, reprint),
                }
            }
        }
    }

    pub(super) fn give_up(&mut self, waiting: Waiting, error: CxError) {
        match waiting {
            Waiting::New { id, request, .. } => self.refuse(id, request.name(), error),
            Waiting::Again { context, .. } => self.refuse(context.id, "sent_again", error),
        }
    }

    fn refuse(&mut self, id: CxRequestId, command: &'static str, error: CxError) {
        self.counters.count(ANSWERS, error_label(error));
        tracing::warn!(command, %error, "Cx request not sent");
        self.answer(id, Err(error));
    }

    fn send_request(
        &mut self,
        now: Instant,
        id: CxRequestId,
        request: &CxRequest,
        connection: ConnectionId,
        deadline: Instant,
    ) {
        let session_id = self.sessions.next(&self.config.origin_host);
        let hop_by_hop = self.peers.identifiers().next_hop_by_hop();
        let end_to_end = self.peers.identifiers().next_end_to_end();
        let head = RequestHead {
            local: self.peers.local(),
            session_id: &session_id,
            destination_host: request.destination_host(),
            destination_realm: &self.config.destination_realm,
            hop_by_hop,
            end_to_end,
        };
        let bytes = request.encode_with_features(&head, self.config.features());
        let context = Outstanding {
            id,
            bytes: bytes.clone(),
            deadline,
            is_sent_again: false,
        };
        self.enqueue(now, connection, hop_by_hop, request.code(), context, bytes);
    }

    fn enqueue(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        hop_by_hop: u32,
        code: u32,
        context: Outstanding,
        bytes: Bytes,
    ) {
        let pending = Pending {
            connection,
            code,
            expires_at: self.expiry(now, context.deadline),
            context,
        };
        self.pending.insert(hop_by_hop, pending);
        self.peers.send(connection, bytes);
    }

    /// The peer that Destination-Host names, if it is ours, else the preferred one: it may relay.
    pub(super) fn choose(
        &self,
        destination_host: Option<&str>,
        avoid: Option<ConnectionId>,
    ) -> Option<ConnectionId> {
        let named = destination_host.and_then(|host| self.peers.connection_of(host));
        let usable = |connection: &ConnectionId| Some(*connection) != avoid;
        named.filter(usable).or_else(|| {
            let mut open = self.peers.open_peers().map(|(_, connection, _)| connection);
            open.find(usable)
        })
    }

    /// RFC 6733 5.5.4: a request whose peer failed goes once to another one, with T and the same
    /// End-to-End Identifier; when there is none the request fails.
    pub(super) fn fail_over(&mut self, now: Instant, pending: Pending<Outstanding>, error: CxError) {
        let alternate = self.choose(None, Some(pending.connection));
        match alternate.filter(|_| !pending.context.is_sent_again) {
            Some(alternate) => self.send_again(now, pending, alternate, Message::retransmission),
            None => {
                self.counters.count(ANSWERS, error_label(error));
                tracing::warn!(code = pending.code, %error, "Cx request failed");
                self.answer(pending.context.id, Err(error));
            }
        }
    }

    /// Sends a request to another peer, when it has room.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        pending: Pending<Outstanding>,
        connection: ConnectionId,
        reprint: Reprint,
    ) {
        let Pending { code, context, .. } = pending;
        if self.line.is_empty(Rank::Again) && self.has_room(connection) {
            return self.send_printed(now, code, context, connection, reprint);
        }
        self.counters.count(REQUESTS, "waited");
        let expires_at = self.expiry(now, context.deadline);
        let waiting = Waiting::Again {
            code,
            context,
            to: connection,
            reprint,
        };
        self.line.push(Rank::Again, expires_at, waiting);
    }

    fn send_printed(
        &mut self,
        now: Instant,
        code: u32,
        mut context: Outstanding,
        connection: ConnectionId,
        reprint: Reprint,
    ) {
        let Ok(message) = Message::parse(context.bytes.clone()) else {
            unreachable!("we printed it");
        };
        self.counters.count(REQUESTS, "sent_again");
        let hop_by_hop = self.peers.identifiers().next_hop_by_hop();
        context.is_sent_again = true;
        let bytes = reprint(&message, hop_by_hop);
        self.enqueue(now, connection, hop_by_hop, code, context, bytes);
    }

    /// The peer that serves a request that this one refused without doing it: after 3002 and 3004 any other
    /// (RFC 6733 7.1.3), after 3006 the first one of Redirect-Host that is open (TS 29.228 6.4).
    pub(super) fn other_peer_for(
        &self,
        result: CxResult,
        pending: &Pending<Outstanding>,
        answer: &Message,
    ) -> Option<ConnectionId> {
        if pending.context.is_sent_again {
            return None;
        }
        match result {
            CxResult::UNABLE_TO_DELIVER | CxResult::TOO_BUSY => self.choose(None, Some(pending.connection)),
            CxResult::REDIRECT_INDICATION => {
                let mut hosts = answer
                    .avps()
                    .all(&avp::REDIRECT_HOST)
                    .filter_map(|avp| host_of_uri(avp.text()?));
                hosts.find_map(|host| self.peers.connection_of(host))
            }
            _ => None,
        }
    }
}

/// The host of `aaa://host:port;parameters` (RFC 6733 4.3.1).
fn host_of_uri(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    rest.split([':', ';']).next().filter(|host| !host.is_empty())
}
