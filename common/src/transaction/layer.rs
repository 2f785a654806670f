//! Machine: the tables of running transactions (RFC 3261 17): matches messages, runs the machines, prints.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::net::{ConnectionId, Destination, Flow, SendTag, Transmit};
use crate::node::{Counters, NumberHash, NumberMap, TimerTable, earliest, give_back};
use crate::sip::{Method, Request, Response};

use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::key::{ClientKey, FiledMethod, Keys, ServerKey};
use super::non_invite_client::NonInviteClient;
use super::non_invite_server::NonInviteServer;
use super::response_route::ResponseRoute;
use super::{Action, ClientTransactionId, Failure, ServerTransactionId, TimerName, Wire};

mod clients;
mod lingering;
mod servers;

use lingering::{LingeringClients, LingeringServers};

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
    /// The final response is owed for longer than anything that is under way may take.
    ServerOverdue { server: ServerTransactionId },
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
    /// `None`: answered 2xx (RFC 6026). What is left to do is to pass further 2xx on, which takes the route alone.
    pub(crate) request: Option<Box<Request>>,
    pub(crate) flow: Flow,
    /// Of what the request was when it came, for loop detection in its forwarded forms.
    pub(crate) loop_hash: u64,
    /// Reason lines of the CANCEL that came (RFC 3326), for those that go on.
    cancel_reasons: Vec<Bytes>,
}

impl ServerTransaction {
    /// Whether it is that of an INVITE.
    pub(crate) fn is_invite(&self) -> bool {
        matches!(self.machine, ServerMachine::Invite(_))
    }

    fn awaits_final(&self) -> bool {
        match self.machine {
            ServerMachine::Invite(machine) => machine.awaits_final(),
            ServerMachine::NonInvite(machine) => machine.awaits_final(),
        }
    }
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
    /// What is sent again; nothing once the final response is there.
    bytes: Bytes,
    invite: Option<Box<Request>>,
    destination: Destination,
    /// Its connection was lost once.
    is_written_again: bool,
}

impl ClientTransaction {
    fn is_unanswered(&self) -> bool {
        matches!(
            self.machine,
            ClientMachine::Invite(InviteClient::Calling { .. })
                | ClientMachine::NonInvite(NonInviteClient::Trying { .. })
        )
    }
}

#[derive(Clone, Copy)]
enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Side {
    Client(ClientTransactionId),
    Server(ServerTransactionId),
}

/// All transactions of one node.
///
/// Non-INVITE transactions that have their final response and only absorb retransmissions are not among `servers` and
/// `clients`: nothing is kept of them but what that takes.
pub(crate) struct TransactionLayer {
    keys: Keys,
    servers: NumberMap<ServerTransactionId, Box<ServerTransaction>>,
    lingering_servers: LingeringServers,
    by_server_key: NumberMap<ServerKey, SmallVec<[(FiledMethod, ServerTransactionId); 1]>>,
    clients: NumberMap<ClientTransactionId, Box<ClientTransaction>>,
    lingering_clients: LingeringClients,
    by_client_key: NumberMap<ClientKey, ClientTransactionId>,
    /// Client transactions whose request went along a flow, by its connection.
    by_connection: BTreeMap<ConnectionId, BTreeSet<ClientTransactionId>>,
    timers: TimerTable<(Side, TimerName), NumberHash>,
    /// Octets of the requests of `servers`.
    request_octets: usize,
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
    /// No transactions yet. `secret` makes their keys; completed ones may hold `completed_octets`.
    pub(crate) fn new(secret: (u64, u64), completed_octets: usize) -> Self {
        Self {
            keys: Keys::new(secret),
            servers: NumberMap::default(),
            lingering_servers: LingeringServers::new(completed_octets),
            by_server_key: NumberMap::default(),
            clients: NumberMap::default(),
            lingering_clients: LingeringClients::default(),
            by_client_key: NumberMap::default(),
            by_connection: BTreeMap::new(),
            timers: TimerTable::default(),
            request_octets: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            next: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<TransactionEvent> {
        self.events.pop_front()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lingering = earliest(self.lingering_servers.next(), self.lingering_clients.next());
        earliest(self.timers.next(), lingering)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.by_server_key.is_empty() && self.by_client_key.is_empty()
    }

    /// Whether no transaction waits for a final response, in either direction. Those that only absorb
    /// retransmissions (timers D, H, I, J, K, L) do not count.
    pub(crate) fn is_settled(&self) -> bool {
        let servers = self.servers.values().all(|server| !server.awaits_final());
        let clients = self.clients.values().all(|client| match client.machine {
            ClientMachine::Invite(machine) => {
                !matches!(machine, InviteClient::Calling { .. } | InviteClient::Proceeding)
            }
            ClientMachine::NonInvite(machine) => !matches!(
                machine,
                NonInviteClient::Trying { .. } | NonInviteClient::Proceeding
            ),
        });
        servers && clients
    }

    pub(crate) fn send_failed(&mut self, now: Instant, tag: SendTag) {
        let number = tag.0 >> 2;
        match tag.0 & 3 {
            TAG_CLIENT => {
                let id = ClientTransactionId(number);
                self.client_send_failed(now, id);
            }
            TAG_SERVER => self.server_send_failed(now, ServerTransactionId(number)),
            _ => self.counters.count("ims_sip_send_failures_total", "stateless"),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.expire_lingering(now);
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
                Side::Server(id) if name == TimerName::Lifetime => {
                    self.events
                        .push_back(TransactionEvent::ServerOverdue { server: id });
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

    /// Timers J and K.
    fn expire_lingering(&mut self, now: Instant) {
        while let Some((id, key)) = self.lingering_servers.pop_expired(now) {
            self.unfile_server(key, id);
        }
        while let Some((id, key)) = self.lingering_clients.pop_expired(now) {
            self.by_client_key.remove(&key);
            give_back(&mut self.by_client_key);
            self.events
                .push_back(TransactionEvent::ClientTerminated { client: id });
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
