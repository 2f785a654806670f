//! Shell: what the driver of one shard does with those of the others.

use std::time::Instant;

use tokio::net::TcpStream;

use super::{Driver, Parcel, Phase};
use crate::net::{ConnectionId, Flow, Interface, NetInput, SendTag, SipInput, Transport};
use crate::node::Sharded;
use crate::overload::Work;
use crate::shell::crew::{Call, Handed, origin_of};
use crate::token::ShardId;

impl<N: Sharded> Driver<N> {
    /// A message of another shard goes there. When that one has too much to do, it is refused here if it begins
    /// something, or else lost, as on a wire.
    pub(super) fn hand_over(&mut self, now: Instant, owner: ShardId, Parcel { flow, message }: Parcel) {
        let Some(crew) = &self.crew else { return };
        let counters = &self.shell.context.counters;
        match crew.hand(owner, Handed::Received { flow, message }) {
            None => counters.handed_over.count(),
            Some(Handed::Received { flow, message }) => {
                counters.handed_over_full.count();
                match self.node.work_of(&flow, &message) {
                    Work::New => self.tell(now, Parcel { flow, message }.excess()),
                    Work::InProgress => counters.dropped_queue_full.count(),
                }
            }
            Some(Handed::Transmit(_) | Handed::Accepted { .. }) => {
                unreachable!("what was not handed over comes back")
            }
        }
    }

    /// What other shards have handed over and called.
    pub(super) fn on_crew(&mut self, now: Instant) {
        let Some(crew) = &mut self.crew else { return };
        let mut taken = std::mem::take(&mut crew.taken);
        let mut heard = std::mem::take(&mut crew.heard);
        for call in heard.drain(..) {
            self.on_call(now, call);
        }
        for handed in taken.drain(..) {
            match handed {
                Handed::Received { flow, message } => self.line_up(now, Parcel { flow, message }),
                Handed::Transmit(transmit) => {
                    self.transmit(transmit);
                    self.speak(now);
                }
                Handed::Accepted { interface, stream } => {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        self.shell.streams.accepted(interface, stream);
                    }
                }
            }
        }
        if let Some(crew) = &mut self.crew {
            (crew.taken, crew.heard) = (taken, heard);
        }
    }

    fn on_call(&mut self, now: Instant, call: Call<N::Word>) {
        match call {
            Call::Word(word) => {
                self.node.hear(now, word);
                self.speak(now);
            }
            Call::SendFailed(tag) => self.tell(now, NetInput::Sip(SipInput::SendFailed(tag))),
            // Each shard opens its own.
            Call::ConnectionClosed(id) => self.tell(now, NetInput::Sip(SipInput::ConnectionClosed(id, None))),
            Call::Close(id) => self.shell.streams.close(id),
            Call::AllDrained => self.phase = Phase::Over,
        }
    }

    /// Whether the node wants nothing to do with who opened a connection.
    pub(super) fn turns_away(&mut self, now: Instant, interface: Interface, stream: &TcpStream) -> bool {
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
            return false;
        };
        let flow = Flow {
            interface,
            transport: Transport::Tcp,
            local,
            remote,
            connection: None,
        };
        self.node.turns_away(now, &flow)
    }

    /// A connection that was accepted goes to the shard to which most of what comes on it belongs.
    pub(super) fn accepted(&mut self, interface: Interface, stream: TcpStream) {
        let owner = self.crew.as_ref().and_then(|crew| {
            let remote = stream.peer_addr().ok()?;
            Some((crew, crew.other_owner_of(remote.ip())?))
        });
        let Some((crew, owner)) = owner else {
            return self.shell.streams.accepted(interface, stream);
        };
        let Ok(stream) = stream.into_std() else { return };
        if crew.hand(owner, Handed::Accepted { interface, stream }).is_some() {
            self.shell.context.counters.refused_total.count();
        }
    }

    /// Something was not sent, for this shard or for another one.
    pub(super) fn send_failed(&mut self, tag: SendTag) {
        match (origin_of(tag), &self.crew) {
            ((Some(origin), tag), Some(crew)) => crew.call(origin, Call::SendFailed(tag)),
            ((_, tag), _) => self.failed.push_back(NetInput::Sip(SipInput::SendFailed(tag))),
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        match &self.crew {
            Some(crew) => match crew.other_holder(id) {
                Some(holder) => crew.call(holder, Call::Close(id)),
                None => self.shell.streams.close(id),
            },
            None => self.shell.streams.close(id),
        }
    }
}
