//! Machine: the tables of running transactions (RFC 3261 17): matches messages, runs the machines, prints.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::net::{Destination, Flow, SendTag, Transmit};
use crate::node::{Counters, TimerTable};
use crate::sip::{HeaderName, Method, Request, Response, StatusCode};

use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::key::{ClientKey, ServerKey, filed_method};
use super::non_invite_client::NonInviteClient;
use super::non_invite_server::NonInviteServer;
use super::response_route::ResponseRoute;
use super::{
    Action, Actions, Class, ClientTransactionId, Failure, ServerTransactionId, TimerName, Wire, wire,
};

/// What the layer tells the proxy core.
#[derive(Debug)]
pub(crate) enum TransactionEvent {
    /// A response to a request of ours, our Via still on top.
    Response {
        client: ClientTransactionId,
        response: Response,
    },
    /// No final response will come.
    ClientFailed {
        client: ClientTransactionId,
        failure: Failure,
    },
    /// Nothing more will come from this transaction.
    ClientTerminated { client: ClientTransactionId },
}

/// What a received request is to the layer.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A retransmission, or an ACK to a final response of ours; dealt with.
    Absorbed,
    /// An ACK that belongs to no transaction, or to one that was answered 2xx.
    Ack,
    /// A new transaction.
    New(ServerKey),
    /// No usable Via.
    Unusable,
}

/// A request to be sent.
pub(crate) struct ClientRequest {
    pub(crate) bytes: Bytes,
    pub(crate) branch: String,
    pub(crate) method: Method,
    /// The INVITE as sent, from which ACK and CANCEL are made.
    pub(crate) invite: Option<Request>,
    pub(crate) destination: Destination,
    pub(crate) wire: Wire,
}

/// A running server transaction.
pub(crate) struct ServerTransaction {
    key: ServerKey,
    machine: ServerMachine,
    wire: Wire,
    route: ResponseRoute,
    last: Option<Bytes>,
    pub(crate) request: Request,
    pub(crate) flow: Flow,
    /// Of what the request was when it came, for loop detection in its forwarded forms.
    pub(crate) loop_hash: u64,
    /// Reason lines of the CANCEL that came (RFC 3326), for those that go on.
    cancel_reasons: Vec<Bytes>,
}

#[derive(Clone, Copy)]
enum ServerMachine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

struct ClientTransaction {
    key: ClientKey,
    machine: ClientMachine,
    wire: Wire,
    bytes: Bytes,
    invite: Option<Request>,
    destination: Destination,
}

#[derive(Clone, Copy)]
enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Client(ClientTransactionId),
    Server(ServerTransactionId),
}

/// All transactions of one node.
#[derive(Default)]
pub(crate) struct TransactionLayer {
    servers: BTreeMap<ServerTransactionId, ServerTransaction>,
    by_server_key: HashMap<ServerKey, SmallVec<[(Method, ServerTransactionId); 1]>>,
    clients: BTreeMap<ClientTransactionId, ClientTransaction>,
    by_client_key: HashMap<ClientKey, ClientTransactionId>,
    timers: TimerTable<(Side, TimerName)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<TransactionEvent>,
    next: u64,
    pub(crate) counters: Counters,
}

/// The two low bits of a [`SendTag`] say whose it is.
const TAG_CLIENT: u64 = 0;
const TAG_SERVER: u64 = 1;
/// Transmissions without a transaction: nobody waits for their failure.
pub(crate) const TAG_STATELESS: SendTag = SendTag(2);

impl TransactionLayer {
    pub(crate) fn poll_event(&mut self) -> Option<TransactionEvent> {
        self.events.pop_front()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn server_count(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty()
    }

    pub(crate) fn server(&self, id: ServerTransactionId) -> Option<&ServerTransaction> {
        self.servers.get(&id)
    }

    /// Whether the transaction runs and its final response is still owed.
    pub(crate) fn awaits_final(&self, id: ServerTransactionId) -> bool {
        self.servers.get(&id).is_some_and(|server| match server.machine {
            ServerMachine::Invite(machine) => machine.awaits_final(),
            ServerMachine::NonInvite(machine) => machine.awaits_final(),
        })
    }

    /// Matches a request with the running transactions (RFC 3261 17.2.3).
    pub(crate) fn receive_request(&mut self, now: Instant, request: &Request) -> Incoming {
        let Some(key) = ServerKey::of(request) else {
            return Incoming::Unusable;
        };
        let method = request.method();
        match self.find(&key, &filed_method(method.clone())) {
            Some(id) if method == Method::Ack => self.receive_ack(now, id),
            None if method == Method::Ack => Incoming::Ack,
            Some(id) => {
                self.counters
                    .count("ims_sip_retransmissions_total", "request_received");
                let Some(server) = self.servers.get(&id) else {
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

    /// The transaction of this key and method.
    pub(crate) fn find(&self, key: &ServerKey, method: &Method) -> Option<ServerTransactionId> {
        let filed = self.by_server_key.get(key)?;
        filed.iter().find(|(filed, _)| filed == method).map(|(_, id)| *id)
    }

    /// A transaction of this key that a CANCEL may mean, of whatever method.
    pub(crate) fn find_cancellable(&self, key: &ServerKey) -> Option<ServerTransactionId> {
        let filed = self.by_server_key.get(key)?;
        filed
            .iter()
            .find(|(method, _)| *method != Method::Cancel)
            .map(|(_, id)| *id)
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
        let (machine, actions) = match method {
            Method::Invite => {
                let (machine, actions) = InviteServer::start(&wire);
                (ServerMachine::Invite(machine), actions)
            }
            _ => {
                let (machine, actions) = NonInviteServer::start(&wire);
                (ServerMachine::NonInvite(machine), actions)
            }
        };
        self.by_server_key
            .entry(key.clone())
            .or_default()
            .push((method, id));
        let route = ResponseRoute::of(&request, &flow);
        let cancel_reasons = Vec::new();
        let server = ServerTransaction {
            key,
            machine,
            wire,
            route,
            last: None,
            request,
            flow,
            loop_hash,
            cancel_reasons,
        };
        self.servers.insert(id, server);
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
        self.perform_server(now, id, actions);
        sends
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

    /// Starts a client transaction.
    pub(crate) fn send_request(&mut self, now: Instant, request: ClientRequest) -> ClientTransactionId {
        let id = ClientTransactionId(self.next_id());
        let ClientRequest {
            bytes,
            branch,
            method,
            invite,
            destination,
            wire,
        } = request;
        let (machine, actions) = match method {
            Method::Invite => {
                let (machine, actions) = InviteClient::start(&wire);
                (ClientMachine::Invite(machine), actions)
            }
            _ => {
                let (machine, actions) = NonInviteClient::start(&wire);
                (ClientMachine::NonInvite(machine), actions)
            }
        };
        let key = ClientKey::new(branch.as_bytes(), method);
        self.by_client_key.insert(key.clone(), id);
        self.clients.insert(
            id,
            ClientTransaction {
                key,
                machine,
                wire,
                bytes,
                invite,
                destination,
            },
        );
        self.perform_client(now, id, actions, None);
        id
    }

    /// Gives a response to its client transaction; false when there is none (RFC 6026 8.2: it goes nowhere).
    pub(crate) fn receive_response(&mut self, now: Instant, response: Response, flow: &Flow) -> bool {
        let Some(id) = ClientKey::of(&response).and_then(|key| self.by_client_key.get(&key).copied()) else {
            return false;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        let interface = match client.destination {
            Destination::Flow(flow) => flow.interface,
            Destination::Address { interface, .. } => interface,
        };
        if interface != flow.interface {
            return false;
        }
        let class = Class::of(response.status().as_u16());
        let actions = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.on_response(&client.wire, class),
            ClientMachine::NonInvite(machine) => machine.on_response(&client.wire, class),
        };
        if !actions.contains(&Action::Pass) {
            self.counters
                .count("ims_sip_retransmissions_total", "response_received");
        }
        self.perform_client(now, id, actions, Some(response));
        true
    }

    /// The CANCEL of a client transaction that is proceeding, as its own transaction (RFC 3261 9.1).
    pub(crate) fn send_cancel(&mut self, now: Instant, id: ClientTransactionId, reasons: &[Bytes]) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let Some(invite) = &client.invite else {
            return;
        };
        let Some(branch) = invite
            .top_via()
            .ok()
            .and_then(|via| via.branch().map(<[u8]>::to_vec))
        else {
            return;
        };
        let request = ClientRequest {
            bytes: wire::cancel(invite, reasons),
            branch: String::from_utf8_lossy(&branch).into_owned(),
            method: Method::Cancel,
            invite: None,
            destination: client.destination,
            wire: client.wire,
        };
        self.send_request(now, request);
    }

    /// Whether a CANCEL may be sent now.
    pub(crate) fn is_proceeding(&self, id: ClientTransactionId) -> bool {
        self.clients.get(&id).is_some_and(|client| match client.machine {
            ClientMachine::Invite(machine) => machine.is_proceeding(),
            ClientMachine::NonInvite(_) => false,
        })
    }

    /// Forgets a client transaction whose answer nobody waits for any more.
    pub(crate) fn drop_client(&mut self, id: ClientTransactionId) {
        self.remove_client(id);
    }

    pub(crate) fn send_failed(&mut self, now: Instant, tag: SendTag) {
        let number = tag.0 >> 2;
        match tag.0 & 3 {
            TAG_CLIENT => {
                let id = ClientTransactionId(number);
                let Some(client) = self.clients.get_mut(&id) else {
                    return;
                };
                let actions = match &mut client.machine {
                    ClientMachine::Invite(machine) => machine.on_transport_error(),
                    ClientMachine::NonInvite(machine) => machine.on_transport_error(),
                };
                self.perform_client(now, id, actions, None);
            }
            TAG_SERVER => self.server_send_failed(now, ServerTransactionId(number)),
            _ => self.counters.count("ims_sip_send_failures_total", "stateless"),
        }
    }

    fn server_send_failed(&mut self, now: Instant, id: ServerTransactionId) {
        let Some(server) = self.servers.get_mut(&id) else {
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

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((side, name)) = self.timers.pop_expired(now) {
            match side {
                Side::Client(id) => {
                    let Some(client) = self.clients.get_mut(&id) else {
                        continue;
                    };
                    let actions = match &mut client.machine {
                        ClientMachine::Invite(machine) => machine.on_timer(name),
                        ClientMachine::NonInvite(machine) => machine.on_timer(&client.wire, name),
                    };
                    if actions.contains(&Action::Send) {
                        self.counters
                            .count("ims_sip_retransmissions_total", "request_sent");
                    }
                    self.perform_client(now, id, actions, None);
                }
                Side::Server(id) => {
                    let Some(server) = self.servers.get_mut(&id) else {
                        continue;
                    };
                    let actions = match &mut server.machine {
                        ServerMachine::Invite(machine) => machine.on_timer(&server.wire, name),
                        ServerMachine::NonInvite(machine) => machine.on_timer(name),
                    };
                    self.perform_server(now, id, actions);
                }
            }
        }
    }

    fn perform_server(&mut self, now: Instant, id: ServerTransactionId, actions: Actions) {
        for action in actions {
            match action {
                Action::Send => self.transmit_last(id),
                Action::Trying => self.send_trying(id),
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

    fn perform_client(
        &mut self,
        now: Instant,
        id: ClientTransactionId,
        actions: Actions,
        response: Option<Response>,
    ) {
        for action in actions {
            match action {
                Action::Send => self.transmit_request(id, None),
                Action::Ack => self.transmit_request(id, response.as_ref()),
                Action::Set(name, after) => self.timers.set((Side::Client(id), name), now + after),
                Action::Stop(name) => self.timers.cancel(&(Side::Client(id), name)),
                Action::Pass => {
                    if let Some(response) = response.clone() {
                        self.events
                            .push_back(TransactionEvent::Response { client: id, response });
                    }
                }
                Action::Inform(failure) => {
                    self.events
                        .push_back(TransactionEvent::ClientFailed { client: id, failure });
                }
                Action::Terminate => {
                    self.remove_client(id);
                    self.events
                        .push_back(TransactionEvent::ClientTerminated { client: id });
                }
                Action::Trying => unreachable!("only server transactions send 100"),
            }
        }
    }

    /// Transmits the request of a client transaction, or the ACK to `response`.
    fn transmit_request(&mut self, id: ClientTransactionId, response: Option<&Response>) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let bytes = match (response, &client.invite) {
            (Some(response), Some(invite)) => wire::ack(invite, response),
            _ => client.bytes.clone(),
        };
        let tag = SendTag(id.0 << 2 | TAG_CLIENT);
        self.transmits.push_back(Transmit {
            bytes,
            destination: client.destination,
            tag,
        });
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
        let mut reply = server.request.reply(StatusCode::TRYING);
        if let Some(timestamp) = server.request.header(HeaderName::Timestamp) {
            reply = reply.header(HeaderName::Timestamp, String::from_utf8_lossy(timestamp));
        }
        server.last = Some(reply.finish().bytes().clone());
        self.transmit_last(id);
    }

    fn remove_server(&mut self, id: ServerTransactionId) {
        let Some(server) = self.servers.remove(&id) else {
            return;
        };
        if let Some(filed) = self.by_server_key.get_mut(&server.key) {
            filed.retain(|(_, filed)| *filed != id);
            if filed.is_empty() {
                self.by_server_key.remove(&server.key);
            }
        }
        for name in [TimerName::Trying, TimerName::G, TimerName::H] {
            self.timers.cancel(&(Side::Server(id), name));
        }
    }

    fn remove_client(&mut self, id: ClientTransactionId) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.by_client_key.remove(&client.key);
        for name in [TimerName::A, TimerName::B, TimerName::E, TimerName::F] {
            self.timers.cancel(&(Side::Client(id), name));
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
