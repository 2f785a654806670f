//! Machine: one peer (RFC 6733 5.6, election 5.6.4). Read that table first.
//!
//! Rows of the table stand above the lines that obey them. I- is the connection that we opened, R- the
//! one that the peer opened. An accepted connection has no name before its CER, so the machine of a
//! peer sees it first in R-Conn-CER, when the capabilities were found to fit.

use std::time::{Duration, Instant};

use smallvec::{SmallVec, smallvec};

use super::base::DisconnectCause;
use super::header::Header;
use crate::net::ConnectionId;

/// The peer's own connection while the election runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Responder {
    /// The connection.
    pub connection: ConnectionId,
    /// Header of its CER, which waits for its CEA.
    pub cer: Header,
    /// Whether we win the election: our Origin-Host is the greater one.
    pub wins: bool,
}

/// The states of RFC 6733 5.6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerState {
    /// Closed.
    Closed,
    /// Wait-Conn-Ack: we dial.
    WaitConnAck {
        /// Number of the dial attempt.
        attempt: u64,
    },
    /// Wait-I-CEA: our CER is unanswered.
    WaitICea {
        /// Our connection.
        initiator: ConnectionId,
    },
    /// Wait-Conn-Ack/Elect: we dial, and the peer's CER came.
    WaitConnAckElect {
        /// Number of the dial attempt.
        attempt: u64,
        /// The peer's connection.
        responder: Responder,
    },
    /// Wait-Returns: both connections are up, the election was lost by us.
    WaitReturns {
        /// Our connection.
        initiator: ConnectionId,
        /// The peer's connection.
        responder: Responder,
    },
    /// R-Open.
    ROpen {
        /// The peer's connection.
        connection: ConnectionId,
    },
    /// I-Open.
    IOpen {
        /// Our connection.
        connection: ConnectionId,
    },
    /// Closing: a DPR or a DPA was sent.
    Closing {
        /// Whichever was open.
        connection: ConnectionId,
    },
}

/// The events of RFC 6733 5.6.2 besides Start, which is [`PeerFsm::start`]. Messages of an open peer that are none of these do not concern the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerEvent {
    /// I-Rcv-Conn-Ack.
    IRcvConnAck {
        /// Our connection.
        connection: ConnectionId,
    },
    /// I-Rcv-Conn-Nack.
    IRcvConnNack,
    /// R-Conn-CER: a CER of this peer, acceptable, on a connection that it opened.
    RConnCer(Responder),
    /// I-Rcv-CEA: a success.
    IRcvCea,
    /// I-Rcv-Non-CEA, or a CEA that refuses us.
    IRcvNonCea,
    /// I-Peer-Disc or R-Peer-Disc.
    PeerDisc {
        /// Which is gone.
        connection: ConnectionId,
    },
    /// I-Rcv-DPR or R-Rcv-DPR.
    RcvDpr {
        /// Its header.
        dpr: Header,
    },
    /// I-Rcv-DPA or R-Rcv-DPA.
    RcvDpa,
    /// Stop: say goodbye.
    Stop(DisconnectCause),
}

/// The actions of RFC 6733 5.6.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerAction {
    /// I-Snd-Conn-Req.
    Connect {
        /// Number of the attempt.
        attempt: u64,
    },
    /// I-Snd-CER.
    SendCer(ConnectionId),
    /// R-Snd-CEA, a success.
    SendCea(Responder),
    /// Snd-DPR.
    SendDpr(ConnectionId, DisconnectCause),
    /// Snd-DPA.
    SendDpa(ConnectionId, Header),
    /// I-Disc, R-Disc, R-Reject, Error.
    Close(ConnectionId),
    /// The peer is open on this connection.
    Up(ConnectionId),
    /// The peer is not open any more.
    Down(ConnectionId),
}

/// What one event leads to, in order.
pub type PeerActions = SmallVec<[PeerAction; 3]>;

/// How long to wait for CEA, and for the end of a connection after DPR or DPA.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// The machine of one peer.
#[derive(Clone, Debug)]
pub struct PeerFsm {
    state: PeerState,
    timer: Option<Instant>,
}

impl Default for PeerFsm {
    fn default() -> Self {
        Self {
            state: PeerState::Closed,
            timer: None,
        }
    }
}

/// Win-Election (RFC 6733 5.6.4): our Origin-Host is lexicographically greater than the peer's.
#[must_use]
pub fn wins_election(local: &str, peer: &str) -> bool {
    local.to_ascii_lowercase() > peer.to_ascii_lowercase()
}

impl PeerFsm {
    /// The state.
    #[must_use]
    pub fn state(&self) -> PeerState {
        self.state
    }

    /// The connection for messages, in R-Open and I-Open.
    #[must_use]
    pub fn open_connection(&self) -> Option<ConnectionId> {
        match self.state {
            PeerState::ROpen { connection } | PeerState::IOpen { connection } => Some(connection),
            _ => None,
        }
    }

    /// When `handle_timeout` wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Start, which needs no clock: the time to connect is the shell's.
    pub fn start(&mut self, attempt: u64) -> PeerActions {
        if self.state != PeerState::Closed {
            return smallvec![];
        }
        // Closed | Start | I-Snd-Conn-Req | Wait-Conn-Ack
        self.state = PeerState::WaitConnAck { attempt };
        smallvec![PeerAction::Connect { attempt }]
    }

    /// Takes one event.
    pub fn handle(&mut self, now: Instant, event: PeerEvent) -> PeerActions {
        match self.state {
            PeerState::Closed => self.on_closed(event),
            PeerState::WaitConnAck { attempt } => self.on_wait_conn_ack(now, event, attempt),
            PeerState::WaitICea { initiator } => self.on_wait_i_cea(now, event, initiator),
            PeerState::WaitConnAckElect { attempt, responder } => {
                self.on_wait_conn_ack_elect(now, event, attempt, responder)
            }
            PeerState::WaitReturns { initiator, responder } => {
                self.on_wait_returns(now, event, initiator, responder)
            }
            PeerState::ROpen { connection } | PeerState::IOpen { connection } => {
                self.on_open(now, event, connection)
            }
            PeerState::Closing { connection } => self.on_closing(event, connection),
        }
    }

    /// Timeout: fires when it is due.
    pub fn handle_timeout(&mut self, now: Instant) -> PeerActions {
        if self.timer.is_none_or(|timer| timer > now) {
            return smallvec![];
        }
        match self.state {
            // Wait-Conn-Ack, Wait-I-CEA, Wait-Conn-Ack/Elect, Wait-Returns, Closing | Timeout | Error | Closed
            // In the two Wait-Conn-Ack states the time to connect is the shell's: I-Rcv-Conn-Nack comes.
            PeerState::WaitICea { initiator } => self.close_all(&[initiator]),
            PeerState::WaitReturns { initiator, responder } => {
                self.close_all(&[initiator, responder.connection])
            }
            PeerState::Closing { connection } => self.close_all(&[connection]),
            PeerState::WaitConnAckElect { responder, .. } => self.close_all(&[responder.connection]),
            PeerState::Closed
            | PeerState::WaitConnAck { .. }
            | PeerState::ROpen { .. }
            | PeerState::IOpen { .. } => {
                self.timer = None;
                smallvec![]
            }
        }
    }

    fn on_closed(&mut self, event: PeerEvent) -> PeerActions {
        match event {
            // Closed | R-Conn-CER | R-Accept, Process-CER, R-Snd-CEA | R-Open
            PeerEvent::RConnCer(responder) => self.open_responder(responder, None),
            _ => smallvec![],
        }
    }

    fn on_wait_conn_ack(&mut self, now: Instant, event: PeerEvent, attempt: u64) -> PeerActions {
        match event {
            // Wait-Conn-Ack | I-Rcv-Conn-Ack | I-Snd-CER | Wait-I-CEA
            PeerEvent::IRcvConnAck { connection } => {
                self.enter(
                    now,
                    PeerState::WaitICea {
                        initiator: connection,
                    },
                );
                smallvec![PeerAction::SendCer(connection)]
            }
            // Wait-Conn-Ack | I-Rcv-Conn-Nack | Cleanup | Closed
            PeerEvent::IRcvConnNack | PeerEvent::Stop(_) => self.close_all(&[]),
            // Wait-Conn-Ack | R-Conn-CER | R-Accept, Process-CER | Wait-Conn-Ack/Elect
            PeerEvent::RConnCer(responder) => {
                self.enter(now, PeerState::WaitConnAckElect { attempt, responder });
                smallvec![]
            }
            _ => smallvec![],
        }
    }

    fn on_wait_i_cea(&mut self, now: Instant, event: PeerEvent, initiator: ConnectionId) -> PeerActions {
        match event {
            // Wait-I-CEA | I-Rcv-CEA | Process-CEA | I-Open
            PeerEvent::IRcvCea => self.open_initiator(initiator, None),
            // Wait-I-CEA | R-Conn-CER | R-Accept, Process-CER, Elect | Wait-Returns
            PeerEvent::RConnCer(responder) => self.elect(now, initiator, responder),
            // Wait-I-CEA | I-Peer-Disc | I-Disc | Closed
            PeerEvent::PeerDisc { connection } if connection == initiator => self.close_all(&[initiator]),
            // Wait-I-CEA | I-Rcv-Non-CEA | Error | Closed
            PeerEvent::IRcvNonCea | PeerEvent::Stop(_) => self.close_all(&[initiator]),
            _ => smallvec![],
        }
    }

    fn on_wait_conn_ack_elect(
        &mut self,
        now: Instant,
        event: PeerEvent,
        attempt: u64,
        responder: Responder,
    ) -> PeerActions {
        match event {
            // Wait-Conn-Ack/Elect | I-Rcv-Conn-Ack | I-Snd-CER, Elect | Wait-Returns
            PeerEvent::IRcvConnAck { connection } => {
                let mut actions: PeerActions = smallvec![PeerAction::SendCer(connection)];
                actions.extend(self.elect(now, connection, responder));
                actions
            }
            // Wait-Conn-Ack/Elect | I-Rcv-Conn-Nack | R-Snd-CEA | R-Open
            PeerEvent::IRcvConnNack => self.open_responder(responder, None),
            // Wait-Conn-Ack/Elect | R-Peer-Disc | R-Disc | Wait-Conn-Ack
            PeerEvent::PeerDisc { connection } if connection == responder.connection => {
                self.state = PeerState::WaitConnAck { attempt };
                self.timer = None;
                smallvec![PeerAction::Close(connection)]
            }
            // Wait-Conn-Ack/Elect | R-Conn-CER | R-Reject | Wait-Conn-Ack/Elect
            PeerEvent::RConnCer(other) => smallvec![PeerAction::Close(other.connection)],
            PeerEvent::Stop(_) => self.close_all(&[responder.connection]),
            _ => smallvec![],
        }
    }

    fn on_wait_returns(
        &mut self,
        now: Instant,
        event: PeerEvent,
        initiator: ConnectionId,
        responder: Responder,
    ) -> PeerActions {
        match event {
            // Wait-Returns | I-Peer-Disc | I-Disc, R-Snd-CEA | R-Open
            PeerEvent::PeerDisc { connection } if connection == initiator => {
                self.open_responder(responder, Some(initiator))
            }
            // Wait-Returns | I-Rcv-CEA | R-Disc | I-Open
            PeerEvent::IRcvCea => self.open_initiator(initiator, Some(responder.connection)),
            // Wait-Returns | R-Peer-Disc | R-Disc | Wait-I-CEA
            PeerEvent::PeerDisc { connection } if connection == responder.connection => {
                self.enter(now, PeerState::WaitICea { initiator });
                smallvec![PeerAction::Close(connection)]
            }
            // Wait-Returns | R-Conn-CER | R-Reject | Wait-Returns
            PeerEvent::RConnCer(other) => smallvec![PeerAction::Close(other.connection)],
            // Not in the table: a CEA that refuses (4003 ELECTION_LOST among them) leaves the peer's connection.
            PeerEvent::IRcvNonCea => self.open_responder(responder, Some(initiator)),
            PeerEvent::Stop(_) => self.close_all(&[initiator, responder.connection]),
            _ => smallvec![],
        }
    }

    fn on_open(&mut self, now: Instant, event: PeerEvent, connection: ConnectionId) -> PeerActions {
        match event {
            // R-Open, I-Open | R-Conn-CER | R-Reject | same
            PeerEvent::RConnCer(other) => smallvec![PeerAction::Close(other.connection)],
            // R-Open, I-Open | Stop | Snd-DPR | Closing
            PeerEvent::Stop(cause) => {
                self.enter(now, PeerState::Closing { connection });
                smallvec![
                    PeerAction::Down(connection),
                    PeerAction::SendDpr(connection, cause)
                ]
            }
            // R-Open, I-Open | Rcv-DPR | Snd-DPA | Closing
            PeerEvent::RcvDpr { dpr } => {
                self.enter(now, PeerState::Closing { connection });
                smallvec![PeerAction::SendDpa(connection, dpr), PeerAction::Down(connection)]
            }
            // R-Open, I-Open | Peer-Disc | Disc | Closed
            PeerEvent::PeerDisc { connection: gone } if gone == connection => {
                let mut actions: PeerActions = smallvec![PeerAction::Down(connection)];
                actions.extend(self.close_all(&[connection]));
                actions
            }
            _ => smallvec![],
        }
    }

    fn on_closing(&mut self, event: PeerEvent, connection: ConnectionId) -> PeerActions {
        match event {
            // Closing | Rcv-DPA | Disc | Closed
            PeerEvent::RcvDpa => self.close_all(&[connection]),
            // Closing | Peer-Disc | Disc | Closed
            PeerEvent::PeerDisc { connection: gone } if gone == connection => self.close_all(&[connection]),
            // Not in the table: both sides said DPR at the same time.
            PeerEvent::RcvDpr { dpr } => smallvec![PeerAction::SendDpa(connection, dpr)],
            PeerEvent::RConnCer(other) => smallvec![PeerAction::Close(other.connection)],
            _ => smallvec![],
        }
    }

    /// Elect: Win-Election follows at once, else Wait-Returns.
    fn elect(&mut self, now: Instant, initiator: ConnectionId, responder: Responder) -> PeerActions {
        if responder.wins {
            // Wait-Returns | Win-Election | I-Disc, R-Snd-CEA | R-Open
            return self.open_responder(responder, Some(initiator));
        }
        self.enter(now, PeerState::WaitReturns { initiator, responder });
        smallvec![]
    }

    fn open_responder(&mut self, responder: Responder, close: Option<ConnectionId>) -> PeerActions {
        let connection = responder.connection;
        self.state = PeerState::ROpen { connection };
        self.timer = None;
        let mut actions: PeerActions = close.map(PeerAction::Close).into_iter().collect();
        actions.extend([PeerAction::SendCea(responder), PeerAction::Up(connection)]);
        actions
    }

    fn open_initiator(&mut self, connection: ConnectionId, close: Option<ConnectionId>) -> PeerActions {
        self.state = PeerState::IOpen { connection };
        self.timer = None;
        let mut actions: PeerActions = close.map(PeerAction::Close).into_iter().collect();
        actions.push(PeerAction::Up(connection));
        actions
    }

    fn close_all(&mut self, connections: &[ConnectionId]) -> PeerActions {
        self.state = PeerState::Closed;
        self.timer = None;
        connections.iter().copied().map(PeerAction::Close).collect()
    }

    fn enter(&mut self, now: Instant, state: PeerState) {
        self.state = state;
        self.timer = Some(now + WAIT);
    }
}

#[cfg(test)]
mod tests;
