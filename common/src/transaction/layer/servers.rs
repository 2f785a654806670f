//! Machine: the server side of the transaction layer (RFC 3261 17.2).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::net::{Destination, Flow, Interface, SendTag, Transmit, Transport};
use crate::node::give_back;
use crate::sip::{HeaderName, Method, Request, Response, StatusCode};
use crate::transaction::invite_server::InviteServer;
use crate::transaction::key::{FiledMethod, ServerKey};
use crate::transaction::non_invite_server::NonInviteServer;
use crate::transaction::response_route::ResponseRoute;
use crate::transaction::{Action, Actions, Class, Failure, ServerTransactionId, TimerName, Wire};

use super::lingering::LingeringServer;
use super::{Incoming, ServerMachine, ServerTransaction, Side, TAG_SERVER, TransactionLayer};

impl TransactionLayer {
    /// How many server transactions are there, those that only repeat their answer included.
    pub(crate) fn server_count(&self) -> usize {
        self.servers.len() + self.lingering_servers.len()
    }

    /// How many server transactions still work.
    pub(crate) fn running_server_count(&self) -> usize {
        self.servers.len()
    }

    /// Octets of the requests that running server transactions hold.
    pub(crate) fn request_octets(&self) -> usize {
        self.request_octets
    }

    /// Octets that completed server transactions hold.
    pub(crate) fn completed_octets(&self) -> usize {
        self.lingering_servers.octets()
    }

    /// A server transaction that still works.
    pub(crate) fn server(&self, id: ServerTransactionId) -> Option<&ServerTransaction> {
        self.servers.get(&id).map(Box::as_ref)
    }

    /// Whether the final response went out and is only repeated now.
    pub(crate) fn is_completed(&self, id: ServerTransactionId) -> bool {
        self.lingering_servers.get(id).is_some()
    }

    /// Whether the transaction runs and its final response is still owed.
    pub(crate) fn awaits_final(&self, id: ServerTransactionId) -> bool {
        self.servers.get(&id).is_some_and(|server| server.awaits_final())
    }

    /// Matches a request with the transactions (RFC 3261 17.2.3).
    pub(crate) fn receive_request(&mut self, now: Instant, request: &Request, flow: &Flow) -> Incoming {
        let Some(key) = self.keys.of_request(request) else {
            return Incoming::Unusable;
        };
        let method = request.method();
        match self.find(key, &method) {
            Some(id) if method == Method::Ack => self.receive_ack(now, id),
            None if method == Method::Ack => Incoming::Ack,
            Some(id) => {
                self.counters
                    .count("ims_sip_retransmissions_total", "request_received");
                let Some(server) = self.servers.get(&id) else {
                    self.repeat(id, flow);
                    return Incoming::Absorbed;
                };
                let actions = match server.machine {
                    ServerMachine::Invite(machine) => machine.on_request(),
                    ServerMachine::NonInvite(machine) => machine.on_request(),
                };
                self.perform_server(now, id, actions);
                Incoming::Absorbed
            }
            None => Incoming::New(key),
        }
    }

    /// RFC 3261 17.2.2: Completed | request | last response sent | Completed
    fn repeat(&mut self, id: ServerTransactionId, flow: &Flow) {
        let Some(lingering) = self.lingering_servers.get(id) else {
            return;
        };
        // Nothing is said where nothing was.
        if lingering.interface != flow.interface || lingering.response.is_empty() {
            return;
        }
        let transmit = Transmit {
            bytes: Bytes::copy_from_slice(&lingering.response),
            destination: Destination::Flow(Flow {
                remote: lingering.remote,
                ..*flow
            }),
            tag: SendTag(id.0 << 2 | TAG_SERVER),
        };
        self.transmits.push_back(transmit);
    }

    fn receive_ack(&mut self, now: Instant, id: ServerTransactionId) -> Incoming {
        let Some(server) = self.servers.get_mut(&id) else {
            return Incoming::Absorbed;
        };
        let actions = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.on_ack(&server.wire),
            ServerMachine::NonInvite(_) => Actions::new(),
        };
        let passes = actions.contains(&Action::Pass);
        self.perform_server(now, id, actions);
        if passes { Incoming::Ack } else { Incoming::Absorbed }
    }

    /// The transaction of a request that has come.
    pub(crate) fn of_request(&self, request: &Request) -> Option<ServerTransactionId> {
        self.find(self.keys.of_request(request)?, &request.method())
    }

    fn find(&self, key: ServerKey, method: &Method) -> Option<ServerTransactionId> {
        let filed = self.by_server_key.get(&key)?;
        let method = self.keys.filed(method);
        filed
            .iter()
            .find(|(filed, _)| *filed == method)
            .map(|(_, id)| *id)
    }

    /// How many transactions have this key.
    pub(crate) fn methods_of(&self, key: ServerKey) -> usize {
        self.by_server_key.get(&key).map_or(0, |filed| filed.len())
    }

    /// A transaction of this key that a CANCEL may mean, of whatever method, if it has the same sender.
    ///
    /// A CANCEL of somebody else is none: same side, transport and host. (The port may differ: a stream may have been
    /// opened anew.)
    pub(crate) fn find_cancellable(&self, key: ServerKey, cancel: &Flow) -> Option<ServerTransactionId> {
        let filed = self.by_server_key.get(&key)?;
        let (_, id) = filed.iter().find(|(method, _)| *method != FiledMethod::CANCEL)?;
        // Inside security associations one set serves UDP and TCP (TS 33.203 7.1), and phones send a long INVITE by the
        // one and its CANCEL by the other.
        let is_sender = |interface, transport, ip: IpAddr| {
            let same_way = transport == cancel.transport || interface == Interface::GmProtected;
            interface == cancel.interface && same_way && ip == cancel.remote.ip()
        };
        let is_same = match (self.servers.get(id), self.lingering_servers.get(*id)) {
            (Some(running), _) => {
                let flow = &running.flow;
                is_sender(flow.interface, flow.transport, flow.remote.ip())
            }
            (None, Some(done)) => is_sender(done.interface, Transport::Udp, done.remote.ip()),
            (None, None) => false,
        };
        is_same.then_some(*id)
    }

    /// Whether there is a transaction that a CANCEL with this key means, whoever sends it.
    pub(crate) fn is_cancel_of_something(&self, key: ServerKey) -> bool {
        let filed = self.by_server_key.get(&key);
        filed.is_some_and(|filed| filed.iter().any(|(method, _)| *method != FiledMethod::CANCEL))
    }

    /// Starts a server transaction.
    pub(crate) fn open_server(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: Request,
        flow: Flow,
        wire: Wire,
        loop_hash: u64,
    ) -> ServerTransactionId {
        let id = ServerTransactionId(self.next_id());
        let method = request.method();
        let (machine, actions) = match &method {
            Method::Invite => {
                let (machine, actions) = InviteServer::start(&wire);
                (ServerMachine::Invite(machine), actions)
            }
            _ => {
                let (machine, actions) = NonInviteServer::start(&wire);
                (ServerMachine::NonInvite(machine), actions)
            }
        };
        let filed = self.keys.filed(&method);
        self.by_server_key.entry(key).or_default().push((filed, id));
        self.request_octets += request.bytes().len();
        let route = ResponseRoute::of(&request, &flow);
        let cancel_reasons = Vec::new();
        let server = ServerTransaction {
            key,
            machine,
            wire,
            route,
            last: None,
            request: Some(Box::new(request)),
            flow,
            loop_hash,
            cancel_reasons,
        };
        self.servers.insert(id, Box::new(server));
        self.perform_server(now, id, actions);
        id
    }

    /// Sends a response of the transaction user; false when the machine does not let it out.
    pub(crate) fn respond(&mut self, now: Instant, id: ServerTransactionId, response: &Response) -> bool {
        let Some(server) = self.servers.get_mut(&id) else {
            return false;
        };
        let class = Class::of(response.status().as_u16());
        let actions = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.on_response(&server.wire, class),
            ServerMachine::NonInvite(machine) => machine.on_response(&server.wire, class),
        };
        let sends = actions.contains(&Action::Send);
        if sends {
            server.last = Some(response.bytes().clone());
        }
        match class {
            Class::Provisional if sends => self.expect_final(now, id),
            Class::Provisional => {}
            Class::Success | Class::Failure => self.timers.cancel(&(Side::Server(id), TimerName::Lifetime)),
        }
        self.perform_server(now, id, actions);
        sends
    }

    /// Starts the time anew in which the final response must come.
    pub(crate) fn expect_final(&mut self, now: Instant, id: ServerTransactionId) {
        if let Some(server) = self.servers.get(&id) {
            let at = now + server.wire.first(TimerName::Lifetime);
            self.timers.set((Side::Server(id), TimerName::Lifetime), at);
        }
    }

    pub(crate) fn set_cancel_reasons(&mut self, id: ServerTransactionId, reasons: Vec<Bytes>) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.cancel_reasons = reasons;
        }
    }

    pub(crate) fn cancel_reasons(&self, id: ServerTransactionId) -> Vec<Bytes> {
        self.servers
            .get(&id)
            .map(|server| server.cancel_reasons.clone())
            .unwrap_or_default()
    }

    /// Forgets a server transaction without an answer (RFC 4320 4.2).
    pub(crate) fn abandon(&mut self, id: ServerTransactionId) {
        self.remove_server(id);
    }

    /// Ends a server transaction that times out without an answer (RFC 4320 4.2). On datagrams the client goes on asking
    /// for as long as its own timer F runs: what it sends again is still nothing new.
    pub(crate) fn time_out(&mut self, now: Instant, id: ServerTransactionId) {
        match self.servers.get_mut(&id) {
            Some(server) if !server.wire.reliable => {
                server.last = Some(Bytes::new());
                let wait = server.wire.first(TimerName::J);
                self.linger_server(now, id, wait);
            }
            _ => self.remove_server(id),
        }
    }

    pub(super) fn server_send_failed(&mut self, now: Instant, id: ServerTransactionId) {
        let Some(server) = self.servers.get_mut(&id) else {
            // RFC 3261 17.2.2: Completed | transport error | inform TU | Terminated
            if let Some(done) = self.lingering_servers.remove(id) {
                self.counters.count("ims_sip_send_failures_total", "response");
                self.unfile_server(done.key, id);
            }
            return;
        };
        // RFC 3261 18.2.2: if the connection is gone, one to the received address and the sent-by port.
        if let Some(fallback) = server.route.fallback.take() {
            server.route.first = fallback;
            self.transmit_last(id);
            return;
        }
        let actions = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.on_transport_error(),
            ServerMachine::NonInvite(machine) => machine.on_transport_error(),
        };
        self.perform_server(now, id, actions);
    }

    pub(super) fn perform_server(&mut self, now: Instant, id: ServerTransactionId, actions: Actions) {
        for action in actions {
            match action {
                Action::Send => self.transmit_last(id),
                Action::Trying => {
                    self.send_trying(id);
                    self.expect_final(now, id);
                }
                Action::Set(TimerName::J, wait) => self.linger_server(now, id, wait),
                Action::Set(TimerName::L, wait) => {
                    self.timers.set((Side::Server(id), TimerName::L), now + wait);
                    self.forget_request(id);
                }
                Action::Set(name, after) => self.timers.set((Side::Server(id), name), now + after),
                Action::Stop(name) => self.timers.cancel(&(Side::Server(id), name)),
                Action::Inform(Failure::Timeout) => self.counters.count("ims_sip_timeouts_total", "H"),
                Action::Inform(Failure::Transport) => {
                    self.counters.count("ims_sip_send_failures_total", "response")
                }
                Action::Terminate => self.remove_server(id),
                // The caller of the machine looks at it.
                Action::Pass => {}
                Action::Ack => unreachable!("only INVITE client transactions acknowledge"),
            }
        }
    }

    fn transmit_last(&mut self, id: ServerTransactionId) {
        let Some((bytes, destination)) = self
            .servers
            .get(&id)
            .and_then(|server| Some((server.last.clone()?, server.route.first)))
        else {
            return;
        };
        self.transmits.push_back(Transmit {
            bytes,
            destination,
            tag: SendTag(id.0 << 2 | TAG_SERVER),
        });
    }

    /// RFC 3261 8.2.6.1: the 100 has no To tag of ours, and the Timestamp of the request.
    fn send_trying(&mut self, id: ServerTransactionId) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let Some(request) = &server.request else {
            return;
        };
        let mut reply = request.reply(StatusCode::TRYING);
        if let Some(timestamp) = request.header(HeaderName::Timestamp) {
            reply = reply.header(HeaderName::Timestamp, String::from_utf8_lossy(timestamp));
        }
        server.last = Some(reply.finish().bytes().clone());
        self.transmit_last(id);
    }

    /// RFC 3261 17.2.2, Completed: the answer is all that is needed, in room of exactly its size.
    fn linger_server(&mut self, now: Instant, id: ServerTransactionId, wait: Duration) {
        let Some(server) = self.take_server(id) else {
            return;
        };
        let Some(last) = server.last else {
            unreachable!("timer J starts when the final response is sent");
        };
        let lingering = LingeringServer {
            key: server.key,
            interface: server.flow.interface,
            remote: match server.route.first {
                Destination::Flow(flow) => flow.remote,
                Destination::Address { remote, .. } => remote,
            },
            response: last.as_ref().into(),
        };
        self.lingering_servers.push(now, wait, id, lingering);
        while let Some((evicted, key)) = self.lingering_servers.pop_above_limit() {
            self.counters
                .count("ims_sip_transactions_evicted_total", "completed_bytes");
            self.unfile_server(key, evicted);
        }
    }

    fn remove_server(&mut self, id: ServerTransactionId) {
        if let Some(server) = self.take_server(id) {
            self.unfile_server(server.key, id);
        } else if let Some(done) = self.lingering_servers.remove(id) {
            self.unfile_server(done.key, id);
        }
    }

    /// RFC 6026 7.1, Accepted: what has come is absorbed, and what may be sent yet comes from the node. That lasts for
    /// 128 s on Gm.
    fn forget_request(&mut self, id: ServerTransactionId) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let octets = server.request.take().map_or(0, |request| request.bytes().len());
        self.request_octets -= octets;
        if !server.wire.reliable {
            server.last = None;
        }
    }

    /// All of a running server transaction but its key.
    fn take_server(&mut self, id: ServerTransactionId) -> Option<Box<ServerTransaction>> {
        let server = self.servers.remove(&id)?;
        give_back(&mut self.servers);
        self.request_octets -= server.request.as_ref().map_or(0, |request| request.bytes().len());
        for name in [TimerName::Trying, TimerName::Lifetime, TimerName::G, TimerName::H] {
            self.timers.cancel(&(Side::Server(id), name));
        }
        Some(server)
    }

    pub(super) fn unfile_server(&mut self, key: ServerKey, id: ServerTransactionId) {
        if let Some(filed) = self.by_server_key.get_mut(&key) {
            filed.retain(|(_, filed)| *filed != id);
            if filed.is_empty() {
                self.by_server_key.remove(&key);
                give_back(&mut self.by_server_key);
            }
        }
    }
}
