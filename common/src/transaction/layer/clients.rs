//! Machine: the client side of the transaction layer (RFC 3261 17.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::net::{ConnectionId, Destination, Flow, Interface, SendTag, Transmit, Transport};
use crate::node::give_back;
use crate::sip::{Method, Response};
use crate::transaction::invite_client::InviteClient;
use crate::transaction::key::ClientKey;
use crate::transaction::non_invite_client::NonInviteClient;
use crate::transaction::{Action, Actions, Class, ClientTransactionId, TimerName, wire};

use super::{
    ClientMachine, ClientRequest, ClientTransaction, Side, TAG_CLIENT, TransactionEvent, TransactionLayer,
};

impl TransactionLayer {
    /// How many client transactions are there, those that only absorb retransmissions included.
    pub(crate) fn client_count(&self) -> usize {
        self.by_client_key.len()
    }

    /// How many client transactions still work.
    pub(crate) fn running_client_count(&self) -> usize {
        self.clients.len()
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
        let (machine, actions) = match &method {
            Method::Invite => {
                let (machine, actions) = InviteClient::start(&wire);
                (ClientMachine::Invite(machine), actions)
            }
            _ => {
                let (machine, actions) = NonInviteClient::start(&wire);
                (ClientMachine::NonInvite(machine), actions)
            }
        };
        if let Some(connection) = connection_of(&destination) {
            self.by_connection.entry(connection).or_default().insert(id);
        }
        let key = self.keys.of_client(branch.as_bytes(), &method);
        self.by_client_key.insert(key, id);
        self.clients.insert(
            id,
            Box::new(ClientTransaction {
                key,
                machine,
                wire,
                bytes,
                invite: invite.map(Box::new),
                destination,
                is_written_again: false,
            }),
        );
        self.perform_client(now, id, actions, None);
        id
    }

    /// What the client transaction of a response would be filed under; `None` when its branch cannot be ours.
    pub(crate) fn client_key(&self, response: &Response) -> Option<ClientKey> {
        self.keys.of_response(response)
    }

    /// Gives a response to its client transaction; false when there is none (RFC 6026 8.2: it goes nowhere).
    pub(crate) fn receive_response(
        &mut self,
        now: Instant,
        key: ClientKey,
        response: Response,
        flow: &Flow,
    ) -> bool {
        let Some(id) = self.by_client_key.get(&key).copied() else {
            return false;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            // RFC 3261 17.1.2.2: Completed | any response | absorbed | Completed
            self.counters
                .count("ims_sip_retransmissions_total", "response_received");
            return true;
        };
        let is_from_there = match client.destination {
            // TS 33.203 7.1 rule 7: what is protected comes from the UE that was asked, or is discarded.
            Destination::Flow(asked) if asked.interface == Interface::GmProtected => {
                flow.interface == asked.interface && flow.remote.ip() == asked.remote.ip()
            }
            Destination::Flow(asked) => flow.interface == asked.interface,
            Destination::Address { interface, .. } => flow.interface == interface,
        };
        if !is_from_there {
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

    pub(super) fn client_send_failed(&mut self, now: Instant, id: ClientTransactionId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let actions = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.on_transport_error(),
            ClientMachine::NonInvite(machine) => machine.on_transport_error(),
        };
        self.perform_client(now, id, actions, None);
    }

    /// RFC 3261 18.4, RFC 3263 4.3: the loss of a connection is a transport error to what was sent along it and
    /// got no response at all. What got a provisional one may still be answered over another connection.
    pub(crate) fn connection_closed(&mut self, now: Instant, connection: ConnectionId) {
        let waiting: Vec<_> = self
            .by_connection
            .get(&connection)
            .map(|ids| ids.iter().copied().collect())
            .unwrap_or_default();
        for id in waiting {
            if self.clients.get(&id).is_some_and(|client| client.is_unanswered()) {
                self.client_send_failed(now, id);
            }
        }
    }

    /// A connection that we had opened to this peer is gone. What was written to it a moment ago and is unanswered may
    /// not have arrived, for a peer that has started again resets the old connection as soon as it hears of it: the same
    /// request is written once more, to a new connection. What was written earlier may have been served (over streams
    /// there is no timer J, by which a server would know it again), and runs into its timer.
    pub(crate) fn write_again(&mut self, now: Instant, peer: SocketAddr) {
        let is_lost = |id: ClientTransactionId, client: &ClientTransaction| {
            let is_there = matches!(
                client.destination,
                Destination::Address { transport: Transport::Tcp, remote, .. } if remote == peer
            );
            is_there
                && client.is_unanswered()
                && !client.is_written_again
                && self.was_written_lately(now, id, client)
        };
        let lost = self.clients.iter().filter(|(id, client)| is_lost(**id, client));
        let mut again: Vec<_> = lost.map(|(id, _)| *id).collect();
        again.sort_unstable();
        for id in again {
            self.counters
                .count("ims_sip_retransmissions_total", "connection_lost");
            if let Some(client) = self.clients.get_mut(&id) {
                client.is_written_again = true;
            }
            self.transmit_request(id, None);
        }
    }

    /// Within T2, by what is left of timer B or F.
    fn was_written_lately(&self, now: Instant, id: ClientTransactionId, client: &ClientTransaction) -> bool {
        let timers = [TimerName::B, TimerName::F].map(|name| self.timers.get(&(Side::Client(id), name)));
        let ends = timers.into_iter().flatten().next();
        let all = client.wire.timers.t1_times_64();
        ends.is_some_and(|ends| ends + client.wire.timers.t2 >= now + all)
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

    pub(super) fn perform_client(
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
                Action::Set(TimerName::K, wait) => self.linger_client(now, id, wait),
                Action::Set(TimerName::M, wait) => {
                    self.timers.set((Side::Client(id), TimerName::M), now + wait);
                    self.forget_invite(id);
                }
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

    /// RFC 3261 17.1.2.2, Completed: nothing is sent any more, only the key is needed to know stragglers.
    fn linger_client(&mut self, now: Instant, id: ClientTransactionId, wait: Duration) {
        if let Some(client) = self.take_client(id) {
            self.lingering_clients.push(now, wait, id, client.key);
        }
    }

    /// RFC 6026 7.2, Accepted: nothing is sent any more, neither again nor as ACK or CANCEL.
    fn forget_invite(&mut self, id: ClientTransactionId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.bytes = Bytes::new();
            client.invite = None;
        }
    }

    fn remove_client(&mut self, id: ClientTransactionId) {
        if let Some(client) = self.take_client(id) {
            self.by_client_key.remove(&client.key);
            give_back(&mut self.by_client_key);
        }
    }

    /// All of a client transaction but its key.
    fn take_client(&mut self, id: ClientTransactionId) -> Option<Box<ClientTransaction>> {
        let client = self.clients.remove(&id)?;
        give_back(&mut self.clients);
        if let Some(connection) = connection_of(&client.destination)
            && let Some(ids) = self.by_connection.get_mut(&connection)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_connection.remove(&connection);
            }
        }
        for name in [TimerName::A, TimerName::B, TimerName::E, TimerName::F] {
            self.timers.cancel(&(Side::Client(id), name));
        }
        Some(client)
    }
}

fn connection_of(destination: &Destination) -> Option<ConnectionId> {
    match destination {
        Destination::Flow(flow) => flow.connection,
        Destination::Address { .. } => None,
    }
}
